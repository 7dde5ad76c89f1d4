import { expect, test } from 'vitest'
import { believable, type SampleHappening } from '../../src/answer/sample.ts'
import { type Client, parseClient } from '../../src/core/client.ts'
import { covers, type Prefix, parsePrefix } from '../../src/core/prefixes.ts'
import type { Decision } from '../../src/reputation/decision.ts'

/** What a list that holds these networks, and observes those, says of an address. */
function listing(listed: readonly string[], word: 'block' | 'observe' = 'block') {
  let prefixes = listed.map((cidr) => parsePrefix(cidr) as Prefix)
  let now = 1_700_000_000_000
  const told: SampleHappening[] = []
  const decide = (client: Client): Decision => {
    const isListed = prefixes.some((prefix) => covers(prefix, client))
    return {
      client,
      verdict: isListed ? word : 'clean',
      effect: isListed ? word : 'pass',
      mode: 'enforce',
      by: 'operator',
      until: undefined,
      ticket: undefined,
      because: undefined,
      doubt: undefined,
    }
  }
  const believed = believable(
    decide,
    () => now,
    (it) => void told.push(it),
  )
  return {
    told,
    ask: (ip: string) => believed(parseClient(ip) as Client),
    becomes: (next: readonly string[], inMs: number) => {
      prefixes = next.map((cidr) => parsePrefix(cidr) as Prefix)
      now += inMs
    },
  }
}

test.each<[string, string[]]>([
  ['all of IPv4', ['0.0.0.0/0']],
  ['all of IPv6', ['::/0']],
  ['half of IPv4', ['0.0.0.0/1']],
  ['a fourth of what IPv6 is in use', ['2000::/5']],
  ['many blocks together', Array.from({ length: 60 }, (_, n) => `${n + 1}.0.0.0/8`)],
])('a list of %s is not believed: everybody passes, and it is told once', (_, listed) => {
  const { ask, told } = listing(listed)
  for (const ip of ['198.51.100.7', '2001:db8::7', '1.2.3.4'])
    expect(ask(ip)).toMatchObject({ effect: 'pass', doubt: 'overfull' })
  expect(told).toMatchObject([{ what: 'overfull' }])
})

test.each<[string, string[]]>([
  ['nothing', []],
  ['a network', ['198.51.100.0/24']],
  ['some large networks', ['5.0.0.0/8', '45.0.0.0/8', '2400::/12', '198.51.100.0/24', '185.0.0.0/8']],
])('a list of %s is', (_, listed) => {
  const { ask, told } = listing(listed)
  expect(ask('198.51.100.7').effect).toBe(listed.length > 0 ? 'block' : 'pass')
  expect(ask('203.0.113.7')).toMatchObject({ effect: 'pass', doubt: undefined })
  expect(told).toEqual([])
})

test('a mistake is noticed within a second, and its end, too', () => {
  const { ask, told, becomes } = listing(['198.51.100.0/24'])
  expect(ask('198.51.100.7').effect).toBe('block')
  becomes(['0.0.0.0/0'], 1000)
  expect(ask('203.0.113.7').doubt).toBe('overfull')
  becomes(['198.51.100.0/24'], 1000)
  expect(ask('198.51.100.7').effect).toBe('block')
  expect(told.map(({ what }) => what)).toEqual(['overfull', 'sane'])
})
