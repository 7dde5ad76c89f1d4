import { readFileSync, writeFileSync } from 'node:fs'
import { Resolver } from 'node:dns/promises'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type Client, parseClient } from '../../src/core/client.ts'
import type { Pool } from '../../src/core/pools.ts'
import { troubleLine } from '../../src/daemon/pooling.ts'
import { BigSenders, type PoolTrouble } from '../../src/watch/big-senders.ts'
import { folder } from '../folders.ts'
import { nameServer, type Zone } from '../name-server.ts'

const NOON = Date.UTC(2026, 10, 24, 12)
const client = (ip: string) => parseClient(ip) as Client
const pool = (name: string, ...spf: string[]): Pool => ({ name, spf, names: [], because: 'a test' })
const TWO = [pool('one-mail', 'one.test'), pool('two-mail', 'two.test', 'more.test')]

async function senders(
  zone: (() => Zone | 'broken') | undefined,
  file = join(folder(), 'big-senders.json'),
  start = NOON,
) {
  let pools: readonly Pool[] = TWO
  let now = start
  const dns = new Resolver({ timeout: 20_000, tries: 1 })
  if (zone) dns.setServers([await nameServer(zone)])
  const own: string[][] = []
  const trouble: string[] = []
  const troubles: PoolTrouble[] = []
  const made = new BigSenders({
    pools: () => pools,
    own: () => ['example.test'],
    dns: zone && dns,
    file,
    everyMs: 3_600_000,
    now: () => now,
    random: () => 0.5,
    changed: (networks) => own.push(networks.map(({ cidr }) => cidr)),
    trouble: (it) => {
      troubles.push(it)
      trouble.push(...it.where.map(({ name, because }) => `${name}: ${because}`))
    },
  })
  onTestFinished(() => made.close())
  return {
    made,
    own,
    trouble,
    troubles,
    file,
    later: (ms: number) => (now += ms),
    become: (others: readonly Pool[]) => (pools = others),
    of: (ip: string) => made.memberOf(client(ip)),
  }
}

const ZONE: Zone = {
  'TXT one.test': ['v=spf1 ip4:192.0.2.0/25 -all'],
  'TXT two.test': ['v=spf1 ip4:192.0.2.64/26 ip6:2001:db8::/32 -all'],
  'TXT more.test': ['v=spf1 ip4:198.51.100.0/24 -all'],
  'TXT example.test': ['v=spf1 ip4:203.0.113.0/28 -all'],
}

describe('big senders', () => {
  test('are known by the networks of their records; the nearest network counts, then the first pool', async () => {
    const { made, own, of, trouble } = await senders(() => ZONE)
    expect(of('192.0.2.1')).toBeUndefined()
    await made.ask()
    expect(of('192.0.2.1')).toEqual({ pool: 'one-mail', found: 'spf', at: NOON })
    expect(['192.0.2.65', '2001:db8:1::1', '198.51.100.9'].map((ip) => of(ip)?.pool)).toEqual(Array(3).fill('two-mail'))
    expect(of('203.0.113.1')).toBeUndefined()
    expect(own.at(-1)).toEqual(['203.0.113.0/28'])
    expect(
      made
        .networksOf('two-mail')
        ?.map(({ cidr }) => cidr)
        .toSorted(),
    ).toEqual(['192.0.2.64/26', '198.51.100.0/24', '2001:db8::/32'])
    expect(made.networksOf('three-mail')).toBeUndefined()
    expect(trouble).toEqual([])
  })

  test('stay known, with their date, when DNS is away, when a record turns bad, and over a restart without DNS', async () => {
    let zone: Zone | 'broken' = ZONE
    const first = await senders(() => zone)
    await first.made.ask()
    first.later(60_000)
    zone = {
      ...ZONE,
      'TXT one.test': ['v=spf1 include:one.test'],
      'TXT more.test': ['v=spf1 ip4:198.51.100.128/25 -all'],
    }
    await first.made.ask()
    expect(first.of('192.0.2.1')).toEqual({ pool: 'one-mail', found: 'spf', at: NOON })
    expect(first.of('198.51.100.1')).toBeUndefined()
    expect(first.of('198.51.100.200')).toEqual({ pool: 'two-mail', found: 'spf', at: NOON + 60_000 })
    expect(first.trouble).toEqual(['one.test: one.test > one.test goes in a circle'])
    expect(first.made.states.find(({ domain }) => domain === 'one.test')).toMatchObject({
      at: NOON,
      error: expect.any(String),
    })
    zone = 'broken'
    await first.made.ask()
    expect(first.of('192.0.2.1')?.at).toBe(NOON)
    await first.made.close()

    const again = await senders(undefined, first.file, NOON + 86_400_000)
    expect(again.of('192.0.2.1')).toEqual({ pool: 'one-mail', found: 'spf', at: NOON })
    expect(again.own.at(-1)).toEqual(['203.0.113.0/28'])
    const muchLater = await senders(undefined, first.file, NOON + 100 * 86_400_000)
    expect(muchLater.of('192.0.2.1')).toBeUndefined()
  })

  test('whose record lets everybody in are nobody, and that is said', async () => {
    const { made, of, trouble } = await senders(() => ({ ...ZONE, 'TXT one.test': ['v=spf1 ip4:0.0.0.0/0 +all'] }))
    await made.ask()
    expect(of('8.8.8.8')).toBeUndefined()
    expect(of('192.0.2.1')).toBeUndefined()
    expect(trouble).toEqual([
      'one.test: 0.0.0.0/0 is too wide for one sender: refused; one.test: +all lets everybody in: passed over',
    ])
  })

  test('a resolver that knows nothing is told once for all records, and not again while it stays so', async () => {
    const { made, troubles } = await senders(() => ({}))
    await made.ask()
    await made.ask()
    expect(troubles.map(troubleLine)).toEqual([
      [
        { because: expect.stringMatching(/^one\.test is not in DNS \(NXDOMAIN\); /) as string },
        'pools: 3 of 3 SPF records could not be read: is the resolver reachable? status says what is used instead',
      ],
    ])
  })

  test('one record that cannot be read, of many, is told by its name; of more the first three', async () => {
    const { made, troubles } = await senders(() => ({ ...ZONE, 'TXT one.test': ['a text'] }))
    await made.ask()
    expect(troubles.map(troubleLine)).toEqual([
      [{ because: 'one.test has no SPF record' }, 'pools: the SPF record of one.test'],
    ])
    const where = ['a', 'b', 'c', 'd', 'e'].map((name) => ({ name, because: 'x' }))
    expect(troubleLine({ how: 'passed-over', where, of: 9 })).toEqual([
      { because: 'a: x; b: x; c: x, and 2 more' },
      'pools: something is passed over in 5 of 9 SPF records',
    ])
  })

  test('are others after the rules have changed: at once where the record is known, else when it is read', async () => {
    const { made, of, become } = await senders(() => ZONE)
    await made.ask()
    become([pool('renamed', 'one.test'), pool('new-mail', 'example.test')])
    await made.ask()
    expect(of('192.0.2.1')?.pool).toBe('renamed')
    expect(of('198.51.100.9')).toBeUndefined()
    expect(of('203.0.113.1')?.pool).toBe('new-mail')
    become(TWO)
    const round = made.ask()
    become([pool('last', 'more.test')])
    await Promise.all([round, made.ask()])
    await made.ask()
    expect([of('198.51.100.9')?.pool, of('192.0.2.1')]).toEqual(['last', undefined])
  })
})

test.each([
  '',
  '{',
  '[]',
  '{"one.test": 1}',
  '{"one.test": {"at": 1e15, "networks": ["8.8.8.0/24"], "notes": []}}',
  '{"one.test": {"at": 1795500000000, "networks": ["0.0.0.0/0", "x"], "notes": []}}',
])('a file that says %j is no harm', async (text) => {
  const file = join(folder(), 'big-senders.json')
  writeFileSync(file, text)
  const { made, of } = await senders(() => ZONE, file)
  expect(of('8.8.8.8')).toBeUndefined()
  await made.ask()
  expect(of('192.0.2.1')?.pool).toBe('one-mail')
  expect(Object.keys(JSON.parse(readFileSync(file, 'utf8')) as object).toSorted()).toEqual(
    Object.keys(ZONE)
      .map((key) => key.slice(4))
      .toSorted(),
  )
})
