/** The sets at the packet filter: what a change makes of what is held, in a model of the kernel, and that it is small. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { inTurns } from '../../src/answer/exports.ts'
import {
  type Change,
  changeOf,
  differences,
  type Held,
  heldUntil,
  keyOf,
  type Timed,
  wholeOf,
} from '../../src/answer/nft-sets.ts'

const NOW = Date.parse('2026-11-24T12:00:00Z')
const HOUR = 3_600_000
const RENEW = { now: NOW, renewMs: HOUR / 2 }

const client = (i: number, until: number): Timed => ({ family: 4, address: `203.0.113.${i}`, length: 32, until })
const heldAt = (entries: readonly Timed[], now: number): Held =>
  new Map(entries.map((entry) => [keyOf(entry), heldUntil(entry, now)]))

/** As the kernel takes it: who leaves must be there, who enters must not; who has run out is not there. */
function applied(held: Held, { leave, enter }: Change, now: number): Map<string, number> {
  const there = new Map([...held].filter(([, until]) => until > now))
  for (const network of leave) expect(there.delete(keyOf(network))).toBe(true)
  for (const entry of enter) {
    expect(there.has(keyOf(entry))).toBe(false)
    there.set(keyOf(entry), heldUntil(entry, now))
  }
  return there
}

test('whatever was held, a change makes of it what is wanted: nobody else, nobody longer, everybody long enough', async () => {
  const entry = fc
    .record({ i: fc.nat(12), wide: fc.boolean(), left: fc.integer({ min: 1, max: HOUR }) })
    .map(({ i, wide, left }): Timed => ({
      family: 4,
      address: `203.0.${i}.0`,
      length: wide ? 24 : 32,
      until: NOW + left,
    }))
  const some = fc.uniqueArray(entry, { selector: keyOf, maxLength: 20 })
  await fc.assert(
    fc.asyncProperty(some, some, fc.integer({ min: 0, max: HOUR }), async (before, wanted, ago) => {
      const held = heldAt(
        before.map((each) => ({ ...each, until: each.until - ago })),
        NOW - ago,
      )
      const after = applied(held, await inTurns(differences(held, wanted, RENEW)), NOW)
      expect(new Set(after.keys())).toEqual(new Set(wanted.map(keyOf)))
      for (const each of wanted) {
        const until = after.get(keyOf(each)) as number
        // A second is the smallest there is.
        expect(until).toBeLessThanOrEqual(Math.max(each.until, NOW) + 1000)
        expect(until).toBeGreaterThan(Math.min(each.until, NOW + RENEW.renewMs) - 1000)
      }
    }),
  )
})

test('of a hundred thousand, a change of one names one', async () => {
  const all = Array.from({ length: 100_000 }, (_, i): Timed => ({
    family: 4,
    address: `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`,
    length: 32,
    until: NOW + HOUR,
  }))
  const held = heldAt(all, NOW)
  // A minute later each may stand a minute longer: that is no change.
  const later = { now: NOW + 60_000, renewMs: HOUR / 2 }
  const wanted = [...all.slice(1).map((each) => ({ ...each, until: NOW + HOUR + 60_000 })), client(9, NOW + HOUR)]
  const change = await inTurns(differences(held, wanted, later))
  expect([...changeOf(change, later.now)]).toEqual([
    'delete element inet decoymx_list clients4 { 10.0.0.0 }',
    'add element inet decoymx_list clients4 { 203.0.113.9 timeout 3540s }',
  ])
})

test('clients and networks are in sets of their own, each with its time', () => {
  const entries: Timed[] = [
    client(9, Infinity),
    { family: 4, address: '192.0.2.0', length: 24, until: NOW + 61_500 },
    { family: 6, address: '2001:db8:0:1::', length: 64, until: NOW + 10 },
    { family: 6, address: '2001:db8:ff::', length: 48, until: Infinity },
  ]
  expect([...wholeOf(entries, NOW)].filter((line) => line.startsWith('add element'))).toEqual([
    'add element inet decoymx_list clients4 { 203.0.113.9 }',
    'add element inet decoymx_list blocked4 { 192.0.2.0/24 timeout 61s }',
    'add element inet decoymx_list clients6 { 2001:db8:0:1:: timeout 1s }',
    'add element inet decoymx_list blocked6 { 2001:db8:ff::/48 }',
  ])
})
