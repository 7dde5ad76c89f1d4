import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Event, Evidence, Probe, Role } from '../../src/core/evidence.ts'
import {
  admit,
  GRACE_MS,
  type Guard,
  newGuard,
  type Numbered,
  PENDING_MAX,
  PROBE_GAP_MS,
  type Waived,
} from '../../src/core/outage.ts'

const hit = (at: number, role: Role = 'backup'): Evidence => ({
  type: 'evidence',
  at,
  client: '203.0.113.9',
  role,
  kind: role === 'real' ? 'passed' : 'recipient',
})
const probe = (at: number, outcome: Probe['outcome'] = 'up'): Probe => ({
  type: 'probe',
  at,
  mx: 'mx.example.test',
  outcome,
})
const MINUTE_MS = 60_000

/** Feeds events in this order, numbered from 1. */
function run(events: readonly Event[], watched = true): { guard: Guard; counted: Numbered[]; waived: Waived[] } {
  const sum = { guard: newGuard(watched), counted: [] as Numbered[], waived: [] as Waived[] }
  events.forEach((event, i) => {
    const { guard, counted, waived } = admit(sum.guard, i + 1, event)
    sum.guard = guard
    sum.counted.push(...counted)
    sum.waived.push(...waived)
  })
  return sum
}

describe('whatever comes, in whatever order', () => {
  const event = fc.oneof(
    fc
      .record({ at: fc.nat(60 * MINUTE_MS), role: fc.constantFrom<Role>('primary', 'backup', 'backup', 'real') })
      .map(({ at, role }): Event => hit(at, role)),
    fc
      .record({
        at: fc.nat(60 * MINUTE_MS),
        outcome: fc.constantFrom<Probe['outcome']>('up', 'up', 'up', 'up', 'down', 'later', 'unsure'),
      })
      .map(({ at, outcome }): Event => probe(at, outcome)),
  )
  /** Mostly in order of time, as a journal is. */
  const recording = fc
    .array(event, { maxLength: 80 })
    .chain((events) => fc.boolean().map((ordered) => (ordered ? events.toSorted((a, b) => a.at - b.at) : events)))

  test('no hit is lost and none is doubled', () => {
    fc.assert(
      fc.property(recording, fc.boolean(), (events, watched) => {
        const { guard, counted, waived } = run(events, watched)
        const seqs = [...counted, ...waived, ...guard.pending].map(({ seq }) => seq)
        expect(seqs.toSorted((a, b) => a - b)).toEqual(
          events.flatMap((each, i) => (each.type === 'evidence' ? [i + 1] : [])),
        )
      }),
    )
  })

  test('a backup hit counts only between two good probes that are near each other, and past the grace of any bad one', () => {
    fc.assert(
      fc.property(recording, (events) => {
        const probes = events.filter((each) => each.type === 'probe')
        for (const { evidence } of run(events).counted) {
          if (evidence.role !== 'backup') continue
          const { at } = evidence
          const pairs = probes.flatMap((before, i) => {
            const after = probes[i + 1]
            return after && before.at <= at && at <= after.at ? [[before, after] as const] : []
          })
          expect(pairs.some(([a, b]) => a.outcome === 'up' && b.outcome === 'up' && b.at - a.at <= PROBE_GAP_MS)).toBe(
            true,
          )
        }
      }),
    )
  })

  test('in order of time, nothing counts within the grace of a bad probe', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 80 }), (events) => {
        const ordered = events.toSorted((a, b) => a.at - b.at)
        const bad = ordered.filter((each) => each.type === 'probe' && each.outcome !== 'up')
        for (const { evidence } of run(ordered).counted)
          if (evidence.role === 'backup')
            expect(bad.filter(({ at }) => at < evidence.at && evidence.at - at < GRACE_MS)).toEqual([])
      }),
    )
  })
})

describe('one hit at the backup', () => {
  test.each<[string, Event[], 'counted' | 'pending' | Waived['why']]>([
    ['up before and after', [probe(0), hit(10), probe(60)], 'counted'],
    ['up before, no word since', [probe(0), hit(10)], 'pending'],
    ['never looked before', [hit(10), probe(60)], 'unwatched'],
    ['down after', [probe(0), hit(10), probe(60, 'down')], 'outage'],
    ['"later" after', [probe(0), hit(10), probe(60, 'later')], 'outage'],
    ['unsure after', [probe(0), hit(10), probe(60, 'unsure')], 'outage'],
    ['down before', [probe(0, 'down'), hit(10), probe(60)], 'outage'],
    ['down a while before', [probe(0, 'down'), probe(10), hit(20), probe(60)], 'grace'],
    ['the last look too long ago', [probe(0), hit(10), probe(PROBE_GAP_MS + 1)], 'unwatched'],
    ['seen while the next look was under way', [probe(0), hit(70), probe(60)], 'pending'],
    ['and then counted by the look after it', [probe(0), hit(70), probe(60), probe(120)], 'counted'],
    ['or waived by it', [probe(0), hit(70), probe(60), probe(120, 'down')], 'outage'],
  ])('%s', (_, events, outcome) => {
    const { guard, counted, waived } = run(events)
    expect([
      ...counted.map(() => 'counted'),
      ...guard.pending.map(() => 'pending'),
      ...waived.map(({ why }) => why),
    ]).toEqual([outcome])
  })

  test('the grace ends', () => {
    const at = GRACE_MS + 10
    expect(run([probe(0, 'down'), probe(at - 5), hit(at), probe(at + 5)]).counted).toHaveLength(1)
  })
})

test('without a witness, and at the other roles, every hit counts at once', () => {
  expect(run([hit(1)], false).counted).toHaveLength(1)
  expect(run([hit(1, 'primary'), hit(2, 'real')]).counted).toHaveLength(2)
})

test("the operator's word passes through", () => {
  const word: Event = { type: 'word', at: 3, word: 'block', target: '203.0.113.9/32', because: '', author: '' }
  const { guard, counted, waived } = run([probe(0), hit(1), word])
  expect([counted, waived, guard.pending.length]).toEqual([[], [], 1])
})

test('at most PENDING_MAX wait; the oldest is waived', () => {
  const waiting = Array.from({ length: PENDING_MAX }, (_, i) => ({ seq: i + 2, evidence: hit(i) }))
  const full: Guard = { ...newGuard(true), last: probe(0), pending: waiting }
  const { guard, counted, waived } = admit(full, PENDING_MAX + 2, hit(PENDING_MAX))
  expect(guard.pending).toHaveLength(PENDING_MAX)
  expect(counted).toEqual([])
  expect(waived).toEqual([{ ...waiting[0], why: 'pressure' }])
})
