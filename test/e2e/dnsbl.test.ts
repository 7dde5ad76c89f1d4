/** The DNSBL of a whole appliance, asked as a resolver asks: its settings, and a list that nobody should believe. */
import { Resolver } from 'node:dns/promises'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { startRedis } from '../servers.ts'
import { type Appliance, startAppliance, textAt } from './appliance.ts'

const ZONE = 'bl.decoymx.test'

let appliance: Appliance
const resolver = new Resolver({ timeout: 20_000, tries: 1 })
beforeAll(async () => {
  const dnsbl = { listen: ['127.0.0.1:0'], 'name-server': 'ns1.example.test' }
  appliance = await startAppliance({ settings: { dnsbl } })
  resolver.setServers([`127.0.0.1:${appliance.door('DNSBL, UDP').port}`])
})
afterAll(() => appliance?.clear())

const answerAbout = (name: string) => resolver.resolve4(`${name}.${ZONE}`).catch((error) => error.code as string)

test('the name server of the settings is in NS and SOA', async () => {
  expect(await resolver.resolveNs(ZONE)).toEqual(['ns1.example.test'])
  expect((await resolver.resolveSoa(ZONE)).nsname).toBe('ns1.example.test')
})

test('who blocks the world lists nobody, not even the test entry, until it is released', async () => {
  await appliance.decoymx('block', '203.0.113.9', '--because', 'seen often')
  expect(await answerAbout('9.113.0.203')).toEqual(['127.0.0.2'])

  const blocked = await appliance.decoymx('block', '0.0.0.0/1', '--force', '--because', 'a slip of the hand')
  expect(blocked.code).toBe(0)
  await becomes('9.113.0.203', 'ENOTFOUND')
  for (const name of ['44.33.22.11', '2.0.0.127']) expect(await answerAbout(name)).toBe('ENOTFOUND')
  await appliance.heard(/so much of the world is listed/)
  expect(await textAt(appliance, '/metrics')).toMatch(/decoymx_doubts_total\{asker="dnsbl",doubt="overfull"\} [1-9]/)

  const released = await appliance.decoymx('release', '0.0.0.0/1', '--force', '--because', 'put right')
  expect(released.code).toBe(0)
  await becomes('9.113.0.203', ['127.0.0.2'])
  expect(await answerAbout('2.0.0.127')).toEqual(['127.0.0.2'])
})

/** A look is good for a second, by the clock of the appliance, which is not ours to turn. */
const becomes = (name: string, answer: string | string[]) => expect.poll(() => answerAbout(name)).toEqual(answer)

test('two processes answer at one address from one store, and each has its share of who asks', async () => {
  const redis = await startRedis()
  onTestFinished(() => redis.stop())
  const start = async (port: number) => {
    const dnsbl = { listen: [`127.0.0.1:${port}`], shared: true }
    const made = await startAppliance({ settings: { dnsbl }, redisUrl: redis.url, only: 'dnsbl,http' })
    onTestFinished(() => made.clear())
    return made
  }
  const first = await start(0)
  const { port } = first.door('DNSBL, UDP')
  const second = await start(port)
  expect((await first.decoymx('block', '203.0.113.9', '--because', 'seen often')).code).toBe(0)
  const answered = async (by: Appliance) => {
    const page = await textAt(by, '/metrics')
    return Number(/decoymx_answers_total\{asker="dnsbl",answer="block"\} (\d+)/.exec(page)?.[1])
  }
  // The kernel deals by the asker's port, and each resolver has one of its own: that all of 64 meet one process is no chance.
  const askOnce = async () => {
    const from = new Resolver({ timeout: 20_000, tries: 1 })
    from.setServers([`127.0.0.1:${port}`])
    return from.resolve4(`9.113.0.203.${ZONE}`).catch((error) => [error.code as string])
  }
  const askAll = async () => (await Promise.all(Array.from({ length: 64 }, askOnce))).flat()
  const all = Array.from({ length: 64 }, () => '127.0.0.2')
  await expect.poll(askAll).toEqual(all)
  const before = [await answered(first), await answered(second)]
  expect(await askAll()).toEqual(all)
  const shares = [(await answered(first)) - (before[0] as number), (await answered(second)) - (before[1] as number)]
  expect(Math.min(...shares)).toBeGreaterThan(0)
  expect((shares[0] as number) + (shares[1] as number)).toBe(64)
})
