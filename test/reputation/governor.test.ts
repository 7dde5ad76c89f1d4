import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Client, parseClient } from '../../src/core/client.ts'
import { HOUR_MS } from '../../src/core/facts.ts'
import {
  type Bounds,
  CALM_MS,
  type Candidate,
  GOOD_LEAST,
  govern,
  type Governor,
  newGovernor,
  noteGood,
  stillWaiting,
  takeWaiting,
  WAITING_MAX,
} from '../../src/reputation/governor.ts'

const T0 = Date.UTC(2026, 0, 5)
const MINUTE_MS = 60_000
const DAY_MS = 24 * HOUR_MS
const WIDE: Bounds = { perMinute: 1_000_000, perNetwork: 1_000_000, goodShare: 1 }

function candidate(ip: string, good = false, until = T0 + 30 * DAY_MS): Candidate {
  const stands = [{ word: 'block', until }] as const
  const listing = { since: T0, stands, enforced: stands }
  return { client: parseClient(ip) as Client, good, word: 'block', listing, score: 110, because: 'a test' }
}
/** Each in a network of its own. */
const apart = (i: number) => `198.${(i >> 8) & 255}.${i & 255}.7`
const together = (i: number) => `203.0.113.${i}`
const whysOf = (governor: Governor) => stillWaiting(governor, T0).map(({ why }) => why)

describe('too many in a minute', () => {
  const bounds = { ...WIDE, perMinute: 10 }

  test('wait, and new ones after them, until ten minutes are calm', () => {
    const governor = newGovernor(bounds)
    const at = (i: number, now: number) => govern(governor, candidate(apart(i)), now)
    for (let i = 0; i < 10; i++) expect(at(i, T0)).toBeUndefined()
    expect(at(10, T0 + 1)).toBe('minute')
    expect(at(11, T0 + CALM_MS)).toBe('minute')
    expect(at(12, T0 + 1 + CALM_MS)).toBeUndefined()
    // One that waited is listed when it is seen again.
    expect(at(10, T0 + 2 + CALM_MS)).toBeUndefined()
    expect([...governor.waiting.keys()]).toEqual([apart(11)])
  })

  test('a flood that goes on lists nobody more, and those who wait do not keep it alive by coming again', () => {
    const governor = newGovernor(bounds)
    let listed = 0
    for (let i = 0; i < 3000; i++) if (!govern(governor, candidate(apart(i)), T0 + i * 1000)) listed++
    expect(listed).toBe(10)
    const end = T0 + 3000 * 1000
    for (let ms = 0; ms < CALM_MS; ms += 1000) govern(governor, candidate(apart(2999)), end + ms)
    expect(govern(governor, candidate(apart(2999)), end + CALM_MS)).toBeUndefined()
  })

  test('the same client growing heavier is one', () => {
    const governor = newGovernor(bounds)
    for (let i = 0; i < 100; i++) expect(govern(governor, candidate(apart(1)), T0 + i)).toBeUndefined()
  })
})

test('of one network only so many are listed in an hour, others meanwhile', () => {
  const governor = newGovernor({ ...WIDE, perNetwork: 5 })
  const whys = Array.from({ length: 8 }, (_, i) => govern(governor, candidate(together(i)), T0 + i))
  expect(whys).toEqual([...Array<undefined>(5).fill(undefined), 'network', 'network', 'network'])
  expect(govern(governor, candidate('203.0.114.1'), T0 + 10)).toBeUndefined()
  expect(govern(governor, candidate(together(7)), T0 + HOUR_MS)).toBeUndefined()
})

describe('clients of good standing', () => {
  const bounds = { ...WIDE, goodShare: 0.01 }
  const known = (n: number): Governor => {
    const governor = newGovernor(bounds)
    for (let i = 0; i < n; i++) noteGood(governor, parseClient(apart(i)) as Client, T0)
    return governor
  }

  test('a share of those seen may be listed in a day; the next waits, and everybody with it', () => {
    const governor = known(1000)
    for (let i = 0; i < 10; i++) expect(govern(governor, candidate(apart(i), true), T0 + i)).toBeUndefined()
    expect(govern(governor, candidate(apart(10), true), T0 + 20)).toBe('standing')
    expect(govern(governor, candidate('203.0.113.9'), T0 + 21)).toBe('held')
    expect(whysOf(governor)).toEqual(['standing', 'held'])
  })

  test('of few, a few may', () => {
    const governor = known(5)
    const whys = Array.from({ length: 5 }, (_, i) => govern(governor, candidate(apart(i), true), T0 + i))
    expect(whys.filter((why) => why === undefined)).toHaveLength(GOOD_LEAST)
    expect(whys.at(-1)).toBe('standing')
  })

  test('once none of them waits, others are listed again', () => {
    const governor = known(5)
    for (let i = 0; i < 4; i++) govern(governor, candidate(apart(i), true), T0 + i)
    expect(govern(governor, candidate('203.0.113.9'), T0 + 10)).toBe('held')
    expect(takeWaiting(governor, ({ ip }) => ip === apart(3))).toHaveLength(1)
    expect(govern(governor, candidate('203.0.113.9'), T0 + 11)).toBeUndefined()
  })
})

test('what waits is taken by reach, and is gone when it has run out', () => {
  const governor = newGovernor({ ...WIDE, perMinute: 1 })
  for (let i = 0; i < 4; i++) govern(governor, candidate(together(i), false, T0 + 1000 * (i + 1)), T0)
  expect(stillWaiting(governor, T0).map(({ client }) => client.ip)).toEqual([1, 2, 3].map(together))
  expect(stillWaiting(governor, T0 + 2000).map(({ client }) => client.ip)).toEqual([2, 3].map(together))
  expect(takeWaiting(governor, ({ ip }) => ip === together(2))).toMatchObject([{ why: 'minute', since: T0 }])
  expect(takeWaiting(governor, () => true)).toHaveLength(1)
  // Whoever settled them has looked: the counting begins anew.
  expect(govern(governor, candidate(together(9)), T0 + 1)).toBeUndefined()
})

test('at most WAITING_MAX wait; those of good standing are let go last', () => {
  const governor = newGovernor({ ...WIDE, perMinute: 1, goodShare: 0 })
  for (let i = 0; i <= GOOD_LEAST; i++) govern(governor, candidate(`192.0.2.${i}`, true), T0 - 2 * CALM_MS * (9 - i))
  expect(govern(governor, candidate('192.0.2.200', true), T0)).toBe('standing')
  for (let i = 0; i < WAITING_MAX + 500; i++) govern(governor, candidate(apart(i)), T0)
  expect(governor.waiting.size).toBe(WAITING_MAX)
  expect(governor.waiting.has('192.0.2.200')).toBe(true)
  expect(governor.waiting.has(apart(0))).toBe(false)
  expect(governor.inDoubt).toBe([...governor.waiting.values()].filter(({ why }) => why === 'standing').length)
})

test('whatever comes, never more is let through than the bounds say, and nobody is both listed and waiting', () => {
  const bounds: Bounds = { perMinute: 6, perNetwork: 4, goodShare: 0.1 }
  const coming = fc.record({
    i: fc.nat(60),
    good: fc.boolean(),
    laterMs: fc.oneof(fc.nat(1000), fc.nat(MINUTE_MS), fc.nat(2 * CALM_MS), fc.nat(HOUR_MS)),
    settle: fc.nat(30).map((n) => n === 0),
  })
  fc.assert(
    fc.property(fc.array(coming, { minLength: 20, maxLength: 300, size: 'max' }), (all) => {
      let governor = newGovernor(bounds)
      let passed: { key: string; network: string; good: boolean; at: number }[] = []
      let now = T0
      for (const { i, good, laterMs, settle } of all) {
        now += laterMs
        if (good) noteGood(governor, candidate(together(i)).client, now)
        if (settle) {
          // An operator begins a new count, so the bounds are held between two such words.
          takeWaiting(governor, () => true)
          governor = newGovernor(bounds)
          passed = []
        }
        const { client } = candidate(i % 3 === 0 ? together(i) : apart(i))
        const why = govern(governor, { ...candidate(client.ip, good), client }, now)
        expect(governor.waiting.has(client.key)).toBe(why !== undefined)
        if (!why) passed.push({ key: client.key, network: client.network, good, at: now })
        const since = (ms: number) => passed.filter(({ at }) => at > now - ms)
        const clients = (some: typeof passed) => new Set(some.map(({ key }) => key)).size
        expect(clients(since(MINUTE_MS))).toBeLessThanOrEqual(bounds.perMinute)
        expect(clients(since(HOUR_MS).filter(({ network }) => network === client.network))).toBeLessThanOrEqual(
          bounds.perNetwork,
        )
        const most = Math.max(GOOD_LEAST, Math.floor(bounds.goodShare * 61))
        expect(clients(since(DAY_MS).filter((each) => each.good))).toBeLessThanOrEqual(most)
      }
    }),
  )
})
