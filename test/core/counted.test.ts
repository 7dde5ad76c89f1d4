import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseClient } from '../../src/core/client.ts'
import { Counted } from '../../src/core/counted.ts'
import {
  addSighting,
  type Bucket,
  type Counts,
  FACT_NAMES,
  type FactName,
  HOUR_MS,
  tally,
} from '../../src/core/facts.ts'

const T0 = Date.UTC(2026, 0, 5)
const sighting = fc.record({
  fact: fc.constantFrom<FactName>(...FACT_NAMES),
  at: fc.integer({ min: T0, max: T0 + 30 * HOUR_MS }),
  times: fc.integer({ min: 1, max: 30 }),
})
const ips = ['203.0.113.9', '198.51.100.7', '2001:db8:0:1::5']

test('told again, in the order of time, the counts of every client come out the same', () => {
  const seen = fc.array(fc.tuple(fc.constantFrom(...ips), sighting), { maxLength: 80 })
  fc.assert(
    fc.property(seen, (all) => {
      const before = new Map<string, Map<FactName, readonly Bucket[]>>()
      for (const [ip, { fact, at, times }] of all) {
        const counts = before.get(ip) ?? new Map()
        before.set(ip, counts)
        addSighting(counts, fact, at, times)
      }
      const counted = new Counted()
      for (const [ip, counts] of before) counted.add(ip, counts)
      const told = [...counted.told()]
      expect(told.map(({ at }) => at)).toEqual(told.map(({ at }) => at).toSorted((a, b) => a - b))
      const after = new Map<string, Map<FactName, readonly Bucket[]>>()
      for (const evidence of told) {
        const { fact, at, times } = tally({ seq: 1, evidence })
        const counts = after.get(evidence.client) ?? new Map()
        after.set(evidence.client, counts)
        addSighting(counts, fact, at, times)
      }
      expect(after).toEqual(before)
    }),
  )
})

test('what was withheld is not told; an address of IPv6 leads to the same client', () => {
  const counts: Counts = new Map<FactName, readonly Bucket[]>([
    ['outage.recipient', [{ hour: T0 / HOUR_MS, count: 3, first: T0, last: T0 + 5 }]],
    ['backup.auth', [{ hour: T0 / HOUR_MS, count: 3, first: T0, last: T0 + 5 }]],
  ])
  const counted = new Counted()
  counted.add('2001:db8:0:1::', counts)
  const told = [...counted.told()]
  expect(told).toEqual([
    { type: 'evidence', at: T0, client: '2001:db8:0:1::', role: 'backup', kind: 'auth' },
    { type: 'evidence', at: T0 + 5, client: '2001:db8:0:1::', role: 'backup', kind: 'auth', times: 2 },
  ])
  expect(parseClient('2001:db8:0:1::')?.key).toBe(parseClient('2001:db8:0:1::5')?.key)
})

test('beyond the bound sightings are left out, and counted', () => {
  const counted = new Counted(3)
  const bucket = { hour: T0 / HOUR_MS, count: 2, first: T0, last: T0 + 1 }
  for (const ip of ips) counted.add(ip, new Map([['backup.auth' as const, [bucket]]]))
  expect([counted.size, counted.leftOut, counted.clients]).toEqual([3, 3, 3])
})
