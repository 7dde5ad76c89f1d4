import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Evidence, Kind, Role } from '../../src/core/evidence.ts'
import {
  BUCKETS_MAX,
  type Bucket,
  type Counts,
  contactsOf,
  countKinds,
  FACT_NAMES,
  type FactName,
  HOUR_MS,
  hourOf,
  laneOf,
  lastAtDecoys,
  NO_COUNTS,
  tally,
  total,
  WAIVED_FACTS,
  withSighting,
} from '../../src/core/facts.ts'

type Sighting = { readonly fact: FactName; readonly at: number }

const sightings = (hours: number, maxLength: number): fc.Arbitrary<Sighting[]> =>
  fc.array(fc.record({ fact: fc.constantFrom(...FACT_NAMES), at: fc.nat(hours * HOUR_MS) }), { maxLength })

const countsOf = (seen: readonly Sighting[]): Counts =>
  seen.reduce((counts, { fact, at }) => withSighting(counts, fact, at), NO_COUNTS)

/** The same in a plain way: group, then keep the newest. */
function modelOf(seen: readonly Sighting[]): Record<string, Bucket> {
  const groups = Map.groupBy(seen, ({ fact, at }) => `${String(hourOf(at)).padStart(12, '0')} ${fact}`)
  const kept = [...groups].toSorted(([a], [b]) => (a < b ? -1 : 1)).slice(-BUCKETS_MAX)
  return Object.fromEntries(
    kept.map(([key, group]) => {
      const times = group.map(({ at }) => at)
      return [
        key,
        { hour: hourOf(times[0] as number), count: times.length, first: Math.min(...times), last: Math.max(...times) },
      ]
    }),
  )
}

const flat = (counts: Counts): Record<string, Bucket> =>
  Object.fromEntries(
    [...counts].flatMap(([fact, buckets]) =>
      buckets.map((each) => [`${String(each.hour).padStart(12, '0')} ${fact}`, each]),
    ),
  )

describe('counts', () => {
  test('are what grouping by fact and hour gives, in whatever order the sightings came', () => {
    const shuffled = sightings(50, 150).chain((seen) =>
      fc.tuple(fc.constant(seen), fc.shuffledSubarray(seen, { minLength: seen.length, maxLength: seen.length })),
    )
    fc.assert(
      fc.property(shuffled, ([seen, other]) => {
        expect(flat(countsOf(seen))).toEqual(modelOf(seen))
        expect(flat(countsOf(other))).toEqual(modelOf(seen))
      }),
    )
  })

  test('keep the newest BUCKETS_MAX hours, in whatever order the sightings came', () => {
    // Enough facts share each hour that the cut falls within one.
    const crowd = FACT_NAMES.flatMap((fact) =>
      Array.from({ length: 40 }, (_, hour): Sighting => ({ fact, at: hour * HOUR_MS + 1 })),
    )
    expect(crowd.length).toBeGreaterThan(BUCKETS_MAX)
    const model = modelOf(crowd)
    fc.assert(
      fc.property(fc.shuffledSubarray(crowd, { minLength: crowd.length, maxLength: crowd.length }), (seen) => {
        const counts = countsOf(seen)
        expect([...counts.values()].reduce((sum, buckets) => sum + buckets.length, 0)).toBe(BUCKETS_MAX)
        expect(flat(counts)).toEqual(model)
      }),
      { numRuns: 5 },
    )
  })

  test('stand in rising order of hours, and a value once given never changes', () => {
    fc.assert(
      fc.property(sightings(20, 60), sightings(20, 1), (seen, more) => {
        const before = countsOf(seen)
        const copy = structuredClone(before)
        more.forEach(({ fact, at }) => withSighting(before, fact, at))
        expect(before).toEqual(copy)
        for (const buckets of before.values()) expect(buckets).toEqual(buckets.toSorted((a, b) => a.hour - b.hour))
      }),
    )
  })
})

test('the catalogue names each fact once, and no decoy kind at the real MX', () => {
  expect(new Set(FACT_NAMES).size).toBe(FACT_NAMES.length)
  expect(FACT_NAMES).toContain('backup.early-talk')
  expect(FACT_NAMES).toContain('real.passed')
  expect(FACT_NAMES).not.toContain('real.contact')
  expect(FACT_NAMES).not.toContain('backup.passed')
})

test('a tally goes to the client and its network, under the number of its event', () => {
  const evidence: Evidence = { type: 'evidence', at: 5, client: '2001:db8:1:2::9', role: 'backup', kind: 'recipient' }
  expect(tally({ evidence, seq: 12 })).toEqual({
    key: '2001:db8:1:2::/64',
    network: '2001:db8:1::/48',
    fact: 'backup.recipient',
    at: 5,
    seq: 12,
  })
})

test('one line may tell of many sightings: they count as so many, in whatever order they come', () => {
  const often: Evidence = { type: 'evidence', at: 5, client: '192.0.2.7', role: 'backup', kind: 'contact', times: 40 }
  expect(tally({ evidence: often, seq: 12 })).toMatchObject({ fact: 'backup.contact', at: 5, seq: 12, times: 40 })
  const fact = 'backup.contact'
  const merged = withSighting(withSighting(NO_COUNTS, fact, 9), fact, 5, 40)
  expect(merged.get(fact)).toEqual([{ hour: 0, count: 41, first: 5, last: 9 }])
  expect(withSighting(withSighting(NO_COUNTS, fact, 5, 40), fact, 9)).toEqual(merged)
})

test('what was waived is kept under its reason, in a lane of its own, and is still a contact', () => {
  const evidence: Evidence = { type: 'evidence', at: 5, client: '203.0.113.9', role: 'backup', kind: 'contact' }
  const waived = tally({ evidence, seq: 12, why: 'outage' })
  expect([waived.fact, laneOf(waived), WAIVED_FACTS.includes(waived.fact)]).toEqual(['outage.contact', 'waived', true])
  expect(laneOf(tally({ evidence, seq: 12, waited: true }))).toBe('waited')
  expect(laneOf(tally({ evidence, seq: 12 }))).toBe('backup')
  const counts = withSighting(withSighting(NO_COUNTS, 'outage.contact', 5), 'backup.contact', 6)
  expect(contactsOf(counts)).toEqual({ primary: 0, backup: 2, real: 0 })
  expect(lastAtDecoys(withSighting(NO_COUNTS, 'outage.contact', 5))).toBe(0)
})

test('contacts per role, totals, and when it was last at a decoy', () => {
  const seen: [Role, Kind, number][] = [
    ['primary', 'contact', 1],
    ['backup', 'contact', 2],
    ['backup', 'contact', HOUR_MS + 2],
    ['real', 'passed', 3],
    ['real', 'deferred', 4],
    ['real', 'refused', 2 * HOUR_MS],
  ]
  const counts = seen.reduce((sum, [role, kind, at]) => withSighting(sum, `${role}.${kind}`, at), NO_COUNTS)
  expect(contactsOf(counts)).toEqual({ primary: 1, backup: 2, real: 3 })
  expect(total(counts, 'backup.contact')).toBe(2)
  expect(total(counts, 'backup.auth')).toBe(0)
  expect(lastAtDecoys(counts)).toBe(HOUR_MS + 2)
  expect(lastAtDecoys(NO_COUNTS)).toBe(0)
})

test('kinds are counted as often as they were seen, told together or not', () => {
  const seen = (kind: Kind, times?: number): Evidence => {
    return { type: 'evidence', at: 0, client: '192.0.2.1', role: 'backup', kind, ...(times ? { times } : {}) }
  }
  expect(countKinds([seen('contact', 40), seen('recipient'), seen('contact')])).toEqual({ contact: 41, recipient: 1 })
  expect(countKinds([])).toEqual({})
})
