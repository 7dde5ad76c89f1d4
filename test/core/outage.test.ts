import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Event, type Evidence, KIND_NAMES, KINDS, type Kind, OUTCOMES } from '../../src/core/evidence.ts'
import type { Probe, Role } from '../../src/core/evidence.ts'
import { Queue } from '../../src/core/growing.ts'
import {
  admit,
  freezeOf,
  GRACE_MAX_MS,
  GRACE_MS,
  type Guard,
  INEXCUSABLE,
  newGuard,
  type Numbered,
  PENDING_MAX,
  PROBE_GAP_MS,
  QUESTION_GAP_MS,
  RUDE_MAX,
  type Waived,
  type Watch,
} from '../../src/core/outage.ts'

const seen = (at: number, kind: Kind, session = 's', role: Role = 'backup'): Evidence => ({
  type: 'evidence',
  at,
  client: '203.0.113.9',
  role,
  kind,
  session,
})
const hit = (at: number, role: Role = 'backup'): Evidence =>
  seen(at, role === 'real' ? 'passed' : 'recipient', 's', role)
const question = (at: number): Evidence => hit(at, 'real')
const probe = (at: number, outcome: Probe['outcome'] = 'up'): Probe => ({
  type: 'probe',
  at,
  mx: 'mx.example.test',
  outcome,
})
const MINUTE_MS = 60_000

type Told = { guard: Guard; counted: Numbered[]; waived: Waived[] }

/** Feeds events in this order, numbered from 1. */
function run(events: readonly Event[], watch: Watch = 'witness'): Told {
  const sum: Told = { guard: newGuard(watch), counted: [], waived: [] }
  events.forEach((event, i) => {
    const { guard, counted, waived } = admit(sum.guard, i + 1, event)
    sum.guard = guard
    sum.counted.push(...counted)
    sum.waived.push(...waived)
  })
  return sum
}

/** What became of what was seen at the backup, in the order in which it was decided. */
const fate = ({ guard, counted, waived }: Told): string[] => [
  ...counted.filter(({ evidence }) => evidence.role === 'backup').map(() => 'counted'),
  ...[...guard.pending].map(() => 'pending'),
  ...waived.map(({ why }) => why),
]

describe('a contact that is told a minute late, as those of a known offender are,', () => {
  const LATE = seen(10 * MINUTE_MS, 'contact')
  const looks = (...minutes: number[]) => minutes.map((minute) => probe(minute * MINUTE_MS))

  test('counts where all looks since then were good', () => {
    expect(fate(run([...looks(9, 10.5, 11), LATE, ...looks(11.5)]))).toEqual(['counted'])
  })

  test('does not count where there was none before it, or none for long in between', () => {
    expect(fate(run([...looks(10.5, 11), LATE, ...looks(11.5)]))).toEqual(['unwatched'])
    expect(fate(run([...looks(9, 17), LATE, ...looks(17.5)]))).toEqual(['unwatched'])
  })

  test('does not count where the real MX was away meanwhile, though it is back', () => {
    const away = probe(10.5 * MINUTE_MS, 'down')
    expect(fate(run([...looks(9), away, ...looks(11), LATE, ...looks(11.5)]))).toEqual(['outage'])
  })

  test('does not count within the grace of an outage before it', () => {
    const away = probe(7 * MINUTE_MS, 'down')
    expect(fate(run([away, ...looks(9, 10.5, 11), LATE, ...looks(11.5)]))).toEqual(['grace'])
  })

  test('counts where the questions of the real MX never paused, and else does not', () => {
    const questions = (...minutes: number[]) => minutes.map((minute) => question(minute * MINUTE_MS))
    expect(fate(run([...questions(9.5, 10.25, 11), LATE, ...questions(11.5)], 'blind'))).toEqual(['counted'])
    expect(fate(run([...questions(9.5, 11), LATE, ...questions(11.5)], 'blind'))).toEqual(['blind'])
    expect(fate(run([...questions(10.25, 11), LATE, ...questions(11.5)], 'blind'))).toEqual(['blind'])
  })

  test('and that does not count takes nothing from who waits', () => {
    const events = [question(11 * MINUTE_MS), hit(11.1 * MINUTE_MS), LATE, question(11.5 * MINUTE_MS)]
    expect(fate(run(events, 'blind'))).toEqual(['counted', 'blind'])
  })
})

describe('whatever comes, in whatever order', () => {
  const sighting = fc
    .record({
      at: fc.nat(60 * MINUTE_MS),
      role: fc.constantFrom<Role>('primary', 'backup', 'backup', 'real'),
      kind: fc.constantFrom(...KIND_NAMES),
      session: fc.constantFrom('a', 'b', 'c'),
    })
    .filter(({ role, kind }) => (KINDS[kind].roles as readonly Role[]).includes(role))
    .map(({ at, role, kind, session }): Event => seen(at, kind, session, role))
  const look = fc
    .record({ at: fc.nat(60 * MINUTE_MS), outcome: fc.constantFrom<Probe['outcome']>('up', 'up', 'up', ...OUTCOMES) })
    .map(({ at, outcome }): Event => probe(at, outcome))
  const event = fc.oneof(sighting, look)
  const watch = fc.constantFrom<Watch>('witness', 'blind', 'trusted')
  /** Mostly in order of time, as a journal is. */
  const recording = fc
    .array(event, { maxLength: 80 })
    .chain((events) => fc.boolean().map((ordered) => (ordered ? events.toSorted((a, b) => a.at - b.at) : events)))

  test('no hit is lost and none is doubled', () => {
    fc.assert(
      fc.property(recording, watch, (events, who) => {
        const { guard, counted, waived } = run(events, who)
        const seqs = [...counted, ...waived, ...guard.pending].map(({ seq }) => seq)
        expect(seqs.toSorted((a, b) => a - b)).toEqual(
          events.flatMap((each, i) => (each.type === 'evidence' ? [i + 1] : [])),
        )
      }),
    )
  })

  test('what waited, and what did not, come each in rising order: so a store knows a repeated one', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 80 }), watch, (events, who) => {
        const { counted, waived } = run(
          events.toSorted((a, b) => a.at - b.at),
          who,
        )
        expect(waived.map(({ seq }) => seq)).toEqual(waived.map(({ seq }) => seq).toSorted((a, b) => a - b))
        for (const waited of [true, undefined])
          for (const role of ['primary', 'backup', 'real']) {
            const lane = counted.filter((each) => each.waited === waited && each.evidence.role === role)
            const seqs = lane.map(({ seq }) => seq)
            expect(seqs).toEqual(seqs.toSorted((a, b) => a - b))
          }
      }),
    )
  })

  test('what waited counts only between two good probes that are near each other', () => {
    fc.assert(
      fc.property(recording, (events) => {
        const probes = events.filter((each) => each.type === 'probe')
        for (const { evidence, waited } of run(events).counted) {
          if (!waited) continue
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

  test('in order of time, nothing polite counts within the grace of a bad probe', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 80 }), (events) => {
        const ordered = events.toSorted((a, b) => a.at - b.at)
        const bad = ordered.filter((each) => each.type === 'probe' && each.outcome !== 'up')
        for (const { evidence, waited } of run(ordered).counted)
          if (waited) expect(bad.filter(({ at }) => at < evidence.at && evidence.at - at < GRACE_MS)).toEqual([])
      }),
    )
  })

  test('a polite session never counts at once at the backup, and never at all where nobody vouches', () => {
    const polite = event.filter(
      (each) => each.type !== 'evidence' || !(INEXCUSABLE.has(each.kind) || each.kind === 'foreign-recipient'),
    )
    fc.assert(
      fc.property(fc.array(polite, { maxLength: 60 }), (events) => {
        const atBackup = ({ counted }: Told) => counted.filter(({ evidence }) => evidence.role === 'backup')
        expect(atBackup(run(events)).every(({ waited }) => waited)).toBe(true)
        const unasked = events.filter((each) => each.type !== 'evidence' || each.role !== 'real')
        expect(atBackup(run(unasked, 'blind'))).toEqual([])
      }),
    )
  })
})

describe('one polite hit at the backup', () => {
  test.each<[string, Event[], 'counted' | 'pending' | Waived['why']]>([
    ['up before and after', [probe(0), hit(10), probe(60)], 'counted'],
    ['up before, no word since', [probe(0), hit(10)], 'pending'],
    ['never looked before', [hit(10), probe(60)], 'unwatched'],
    ['down after', [probe(0), hit(10), probe(60, 'down')], 'outage'],
    ['"later" after', [probe(0), hit(10), probe(60, 'later')], 'outage'],
    ['one of several away after', [probe(0), hit(10), probe(60, 'partial')], 'outage'],
    ['unsure after', [probe(0), hit(10), probe(60, 'unsure')], 'outage'],
    ['down before', [probe(0, 'down'), hit(10), probe(60)], 'outage'],
    ['down a while before', [probe(0, 'down'), probe(10), hit(20), probe(60)], 'grace'],
    ['the last look too long ago', [probe(0), hit(10), probe(PROBE_GAP_MS + 1)], 'unwatched'],
    ['seen while the next look was under way', [probe(0), hit(70), probe(60)], 'pending'],
    ['and then counted by the look after it', [probe(0), hit(70), probe(60), probe(120)], 'counted'],
    ['or waived by it', [probe(0), hit(70), probe(60), probe(120, 'down')], 'outage'],
    ['a question of the real MX is no look, where there is a witness', [probe(0), hit(10), question(20)], 'pending'],
  ])('%s', (_, events, outcome) => expect(fate(run(events))).toEqual([outcome]))

  test('the grace ends', () => {
    const at = GRACE_MS + 10
    expect(fate(run([probe(0, 'down'), probe(at - 5), hit(at), probe(at + 5)]))).toEqual(['counted'])
  })

  test.each([
    ['half as long as the outage was', 4 * 60 * MINUTE_MS, 2 * 60 * MINUTE_MS],
    ['6 hours at most', 4 * 24 * 60 * MINUTE_MS, GRACE_MAX_MS],
  ])('the grace is %s', (_, outageMs, graceMs) => {
    const bad = [probe(0, 'down'), ...every(10 * MINUTE_MS, outageMs, 'later'), probe(outageMs, 'down')]
    const judged = (at: number) => fate(run([...bad, probe(at - 5), hit(at), probe(at + 5)]))
    expect(judged(outageMs + graceMs - 10)).toEqual(['grace'])
    expect(judged(outageMs + graceMs)).toEqual(['counted'])
  })

  test('a second outage within the grace prolongs the first; a later one begins anew', () => {
    const long = 8 * 60 * MINUTE_MS
    const first = [probe(0, 'down'), ...every(10 * MINUTE_MS, long, 'down'), probe(long, 'down')]
    const soon = long + 60 * MINUTE_MS
    const late = long + 10 * 60 * MINUTE_MS
    const judged = (at: number, events: Event[]) => fate(run([...events, probe(at - 5), hit(at), probe(at + 5)]))
    expect(judged(soon + 2 * GRACE_MS, [...first, probe(soon, 'down')])).toEqual(['grace'])
    expect(judged(late + 2 * GRACE_MS, [...first, probe(late, 'down')])).toEqual(['counted'])
  })
})

function every(stepMs: number, endMs: number, outcome: Probe['outcome']): Event[] {
  return Array.from({ length: Math.floor(endMs / stepMs) }, (_, i) => probe((i + 1) * stepMs, outcome))
}

describe('what no mail server does', () => {
  test.each([...INEXCUSABLE])('%s counts at once, in an outage, too, and so does the rest of its session', (kind) => {
    const outage = run([probe(0, 'down'), seen(5, 'recipient', 'a'), seen(10, kind, 'a'), seen(20, 'recipient', 'a')])
    expect(fate(outage)).toEqual(['counted', 'counted', 'pending'])
    expect(outage.counted.map(({ seq, waited }) => [seq, waited])).toEqual([
      [3, undefined],
      [4, undefined],
    ])
    expect(fate(run([seen(10, kind, 'a'), seen(20, 'recipient', 'a')], 'blind'))).toEqual(['counted', 'counted'])
  })

  test('says nothing about another session of the same client', () => {
    expect(fate(run([probe(0), seen(10, 'early-talk', 'a'), seen(20, 'recipient', 'b')]))).toEqual([
      'counted',
      'pending',
    ])
  })

  test('in evidence without a session, the client stands for it', () => {
    const { session: _, ...early } = seen(10, 'early-talk')
    const { session: __, ...recipient } = seen(20, 'recipient')
    expect(fate(run([probe(0), early, recipient]))).toEqual(['counted', 'counted'])
  })

  test('at most RUDE_MAX sessions are remembered; in one that is forgotten, hits wait again', () => {
    const rude = Array.from({ length: RUDE_MAX + 1 }, (_, i) => seen(i, 'early-talk', `${i}`))
    const { guard } = run([probe(0), ...rude])
    expect(guard.rude).toHaveLength(RUDE_MAX)
    expect(admit(guard, 5000, seen(5000, 'recipient', '1')).counted).toHaveLength(1)
    expect(admit(guard, 5000, seen(5000, 'recipient', '0')).guard.pending).toHaveLength(1)
  })

  test('mail for others counts at once, but makes no session rude: no outage of ours sends it here', () => {
    expect(fate(run([probe(0, 'down'), seen(5, 'foreign-recipient'), seen(6, 'recipient')]))).toEqual([
      'counted',
      'pending',
    ])
  })

  test('what a careless mail server may show is excused as its order is', () => {
    const careless: Kind[] = ['contact', 'recipient', 'false-helo', 'unknown-command', 'bare-newline', 'hang-up']
    for (const kind of careless) expect(fate(run([probe(0), seen(10, kind)]))).toEqual(['pending'])
  })
})

describe('without a witness', () => {
  test.each<[string, Event[], 'counted' | 'pending' | Waived['why']]>([
    ['a polite hit counts for nothing', [hit(10)], 'blind'],
    ['it waits where the real MX has just asked us', [question(0), hit(10)], 'pending'],
    ['and counts when it asks again', [question(0), hit(10), question(20)], 'counted'],
    ['not when that took too long', [question(0), hit(10), question(QUESTION_GAP_MS + 1)], 'blind'],
    ['nor when the last question is long past', [question(0), hit(QUESTION_GAP_MS + 1)], 'blind'],
    ['a look is none, for nobody looks', [probe(0), hit(10), probe(20)], 'blind'],
  ])('%s', (_, events, outcome) => expect(fate(run(events, 'blind'))).toEqual([outcome]))

  test('what is seen at the other roles counts', () => {
    expect(run([hit(1, 'primary'), hit(2, 'real')], 'blind').counted).toHaveLength(2)
  })
})

test('where the real MX is trusted to be up, and at the other roles, every hit counts at once', () => {
  expect(run([hit(1)], 'trusted').counted).toHaveLength(1)
  expect(run([hit(1, 'primary'), hit(2, 'real')]).counted).toHaveLength(2)
})

describe('is the order of visits frozen?', () => {
  test.each<[string, Watch, Event[], number, ReturnType<typeof freezeOf>]>([
    ['trusted', 'trusted', [], 0, undefined],
    ['nobody vouches', 'blind', [], 0, { why: 'blind', until: undefined }],
    ['asked just now', 'blind', [question(0)], QUESTION_GAP_MS, undefined],
    ['asked long ago', 'blind', [question(0)], QUESTION_GAP_MS + 1, { why: 'blind', until: undefined }],
    ['not looked yet', 'witness', [], 0, { why: 'unwatched', until: undefined }],
    ['up', 'witness', [probe(0)], PROBE_GAP_MS, undefined],
    ['not looked any more', 'witness', [probe(0)], PROBE_GAP_MS + 1, { why: 'unwatched', until: undefined }],
    ['down', 'witness', [probe(0, 'down')], 1, { why: 'outage', until: undefined }],
    ['some are away', 'witness', [probe(0, 'partial')], 1, { why: 'outage', until: undefined }],
    ['up again', 'witness', [probe(0, 'later'), probe(5)], 9, { why: 'grace', until: GRACE_MS }],
    ['and long enough', 'witness', [probe(0, 'later'), probe(GRACE_MS)], GRACE_MS, undefined],
  ])('%s', (_, watch, events, now, freeze) => expect(freezeOf(run(events, watch).guard, now)).toEqual(freeze))
})

test("the operator's word passes through", () => {
  const word: Event = { type: 'word', at: 3, word: 'block', target: '203.0.113.9/32', because: '', author: '' }
  const { guard, counted, waived } = run([probe(0), hit(1), word])
  expect([counted, waived, guard.pending.length]).toEqual([[], [], 1])
})

test('at most PENDING_MAX wait; the oldest is waived', () => {
  const waiting = Array.from({ length: PENDING_MAX }, (_, i) => ({ seq: i + 2, evidence: hit(i) }))
  const full: Guard = { ...newGuard('witness'), last: probe(0), pending: Queue.of(waiting) }
  const { guard, counted, waived } = admit(full, PENDING_MAX + 2, hit(PENDING_MAX))
  expect(guard.pending).toHaveLength(PENDING_MAX)
  expect(counted).toEqual([])
  expect(waived).toEqual([{ ...waiting[0], why: 'pressure' }])
})
