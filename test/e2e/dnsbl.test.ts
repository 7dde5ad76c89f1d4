/** The DNSBL of a whole appliance, asked as a resolver asks: its settings, and a list that nobody should believe. */
import { Resolver } from 'node:dns/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Appliance, startAppliance } from './appliance.ts'

const ZONE = 'bl.decoymx.test'

let appliance: Appliance
const resolver = new Resolver({ timeout: 2000, tries: 1 })
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
  const scraped = await fetch(`http://127.0.0.1:${appliance.door('HTTP').port}/metrics`)
  expect(await scraped.text()).toMatch(/decoymx_doubts_total\{asker="dnsbl",doubt="overfull"\} [1-9]/)

  const released = await appliance.decoymx('release', '0.0.0.0/1', '--force', '--because', 'put right')
  expect(released.code).toBe(0)
  await becomes('9.113.0.203', ['127.0.0.2'])
  expect(await answerAbout('2.0.0.127')).toEqual(['127.0.0.2'])
})

/** A look is good for a second, by the clock of the appliance, which is not ours to turn. */
const becomes = (name: string, answer: string | string[]) =>
  expect.poll(() => answerAbout(name), { timeout: 5000 }).toEqual(answer)
