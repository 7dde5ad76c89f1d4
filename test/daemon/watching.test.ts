import { once } from 'node:events'
import { createServer } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { readSettings } from '../../src/settings/settings.ts'
import { decoyPrefixes, watchRealMx, type WatchHappening } from '../../src/daemon/watching.ts'
import { parseClient, type Client } from '../../src/core/client.ts'
import type { Event } from '../../src/core/evidence.ts'
import { Never } from '../../src/core/never.ts'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { folder } from '../folders.ts'
import { nameServer } from '../name-server.ts'

function settingsOf(source: string) {
  const file = join(folder(), 'decoymx.yaml')
  writeFileSync(file, source)
  const read = readSettings(file, {})
  if (!read.ok) throw new Error(read.problems.map(({ message }) => message).join('; '))
  return read.settings
}

const client = (ip: string) => parseClient(ip) as Client

test('real MXs that DNS names are looked at, and never listed; so are the public addresses of our decoys', async () => {
  const server = await nameServer(() => ({
    'MX example.test': ['5 mx0.example.test', '20 real.example.test', '90 mx9.example.test'],
    'A mx0.example.test': ['198.51.100.66'],
    'A mx9.example.test': ['198.51.100.67'],
    // Nobody listens at port 25 of this one.
    'A real.example.test': ['127.0.0.77'],
  }))
  const settings = settingsOf(`decoys:
  primary: { name: mx0.example.test }
  backup: { name: mx9.example.test, listen: ["192.0.2.67:2590"] }
real-mx: { discover: true, resolver: ["${server}"] }
`)
  const [never, told, reported] = [new Never(), [] as WatchHappening[], [] as Event[]]
  never.put('a decoy of ours', decoyPrefixes(settings))
  const watch = watchRealMx({
    settings,
    domains: () => ['example.test'],
    never,
    report: async (event) => void reported.push(event),
    now: Date.now,
    tell: (it) => told.push(it),
  })
  onTestFinished(() => watch?.close())
  await watch?.start()
  expect(watch?.view()).toMatchObject({
    outcome: 'down',
    outage: true,
    mxs: [{ name: 'real.example.test', outcome: 'down', because: '127.0.0.77:25 ECONNREFUSED', banner: null }],
  })
  expect(watch?.sentence()).toBe('found in DNS real.example.test')
  expect(told).toMatchObject([
    { what: 'found', names: ['real.example.test'] },
    { what: 'changed', mx: 'real.example.test', outcome: 'down' },
    { what: 'changed', mx: undefined, outcome: 'down' },
  ])
  expect(reported).toMatchObject([{ type: 'probe', mx: 'real.example.test', outcome: 'down' }])
  for (const [ip, why] of [
    ['198.51.100.66', "an address of a decoy's name"],
    ['198.51.100.67', "an address of a decoy's name"],
    ['192.0.2.67', 'a decoy of ours'],
    ['198.51.100.68', undefined],
  ] as const)
    expect(never.find(client(ip))).toBe(why)
})

test('a real MX that does not answer holds up nobody for long', async () => {
  const silent = createServer(() => {}).listen(0, '127.0.0.1')
  await once(silent, 'listening')
  onTestFinished(() => void silent.close())
  const { port } = silent.address() as { port: number }
  const watch = watchRealMx({
    settings: settingsOf(`real-mx: { greet: ["127.0.0.1:${port}", "192.0.2.25:25"] }\n`),
    domains: () => [],
    never: new Never(),
    report: async () => {},
    now: Date.now,
    tell: () => {},
  })
  const began = performance.now()
  await watch?.start()
  expect(performance.now() - began).toBeLessThan(5000)
  expect([watch?.outage, watch?.view()]).toEqual([false, null])
  await watch?.close()
})

test('without real MXs in the settings there is no witness', () => {
  const options = { domains: () => [], never: new Never(), report: async () => {}, now: Date.now, tell: () => {} }
  expect(watchRealMx({ settings: settingsOf(''), ...options })).toBeUndefined()
})

test('a wildcard is every address of this host, and a listed prefix is itself', () => {
  const own = (source: string) => decoyPrefixes(settingsOf(source)).map(({ cidr }) => cidr)
  expect(own('decoys: { backup: { listen: ["0.0.0.0:2590"] } }')).toContain('127.0.0.1/32')
  expect(own('decoys: { backup: { listen: ["0.0.0.0:2590"], prefixes: ["203.0.113.0/24"] } }')).toContain(
    '203.0.113.0/24',
  )
})
