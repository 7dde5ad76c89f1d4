import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Client, parseClient } from '../../src/core/client.ts'
import type { Condition } from '../../src/core/condition.ts'
import { creditOf } from '../../src/core/credit.ts'
import {
  type Bucket,
  type Counts,
  FACT_NAMES,
  type FactName,
  type Facts,
  HOUR_MS,
  hourOf,
  NO_COUNTS,
  NO_FACTS,
  RETENTION_MS,
  RULE_FACTS,
  withSighting,
} from '../../src/core/facts.ts'
import { type Listing, renew } from '../../src/core/listing.ts'
import { DEFERRED_MS } from '../../src/core/outage.ts'
import { readRules, type Rule, type Rules, STANDINGS } from '../../src/core/rules.ts'
import { judge, mayReach, unmetBy, type Verdict } from '../../src/core/verdict.ts'

const T0 = Date.UTC(2026, 0, 5)
const MINUTE_MS = 60_000
const DAY_MS = 24 * HOUR_MS
const BOT = parseClient('203.0.113.9') as Client

const SOURCE = readFileSync(new URL('../../rules.yaml', import.meta.url), 'utf8')
const shippedWith = (from: string, to: string): Rules => {
  const read = readRules('rules.yaml', SOURCE.replace(from, to))
  if (!read.ok) throw new Error('unsound')
  return read.rules
}
const shipped = shippedWith('', '')

type Sighting = readonly [fact: FactName, at: number]
const countsOf = (seen: readonly Sighting[]): Counts =>
  seen.reduce((counts, [fact, at]) => withSighting(counts, fact, at), NO_COUNTS)
const alone = (seen: readonly Sighting[]): Facts => ({ own: countsOf(seen), network: countsOf(seen) })
const reasonOf = (verdict: Verdict, rule: string) => verdict.reasons.find((reason) => reason.rule === rule)

/** What a polite visit leaves: a contact, and a recipient of ours. */
const polite = (at: number): Sighting[] => [
  ['backup.contact', at],
  ['backup.recipient', at + 1],
]
const politeEvery = (stepMs: number, times: number): Sighting[] =>
  Array.from({ length: times }, (_, i) => polite(T0 + i * stepMs)).flat()

describe('a rule whose condition lacks something', () => {
  const early: Sighting[] = [
    ['backup.contact', T0],
    ['backup.early-talk', T0],
  ]

  test('is told with what it would add and with what lacks; once that is seen it is a reason', () => {
    expect(reasonOf(judge(BOT, alone(early), shipped, T0), 'talks-first')).toBeUndefined()
    expect(unmetBy(alone(early), shipped, T0)).toMatchObject([
      { rule: 'talks-first', count: 1, weight: 110, lacks: 'backup.recipient >= 1', last: T0, mode: 'enforce' },
    ])
    const whole = alone([...early, ['backup.recipient', T0 + 1]])
    expect(unmetBy(whole, shipped, T0 + 1)).toEqual([])
    expect(reasonOf(judge(BOT, whole, shipped, T0 + 1), 'talks-first')).toMatchObject({ count: 1 })
  })

  test.each([
    ['backup.recipient >= 1 and backup.contact >= 1', 'backup.recipient >= 1'],
    ['backup.recipient >= 1 or real.contact >= 1', 'backup.recipient >= 1 or real.contact >= 1'],
    [
      'backup.contact >= 1 and (backup.recipient >= 1 or backup.message >= 1)',
      'backup.recipient >= 1 or backup.message >= 1',
    ],
    [
      'backup.contact >= 2 within 1h and backup.recipient >= 1',
      'backup.contact >= 2 within 1h and backup.recipient >= 1',
    ],
  ])('of %s it is: %s', (when, lacks) => {
    const rules = shippedWith('when: backup.recipient >= 1', `when: ${when}`)
    expect(unmetBy(alone(early), rules, T0).find(({ rule }) => rule === 'talks-first')?.lacks).toBe(lacks)
  })

  test('is not told where all that it saw is excused', () => {
    const released: Facts = { ...alone([['backup.recipient-flood', T0]]), releasedUntil: T0 + DAY_MS }
    expect(unmetBy(released, shipped, T0)).toEqual([])
    expect(unmetBy(alone([['backup.recipient-flood', T0]]), shipped, T0)).toMatchObject([{ rule: 'odd-habits' }])
  })
})

describe('after a "later" of ours', () => {
  const bare = shippedWith('', '')
  const rules: Rules = {
    ...bare,
    list: bare.list.map((rule) => ({ ...rule, unlessSeenMs: undefined, unlessWalkedMs: undefined })),
  }
  const deferred: Sighting[] = [['real.deferred', T0]]

  test.each([
    ['the client', { own: deferred, network: deferred }],
    ['its network', { own: [], network: deferred }],
  ])('of %s the order counts for nothing, even if no rule says so', (_, { own, network }) => {
    const later = T0 + DEFERRED_MS / 2
    const facts = { own: countsOf([...own, ...polite(later)]), network: countsOf([...network, ...polite(later)]) }
    expect(judge(BOT, facts, rules, later + MINUTE_MS)).toMatchObject({ word: 'clean', score: 0 })
    const late = T0 + DEFERRED_MS + 2 * HOUR_MS
    const passed = { own: countsOf([...own, ...polite(late)]), network: countsOf([...network, ...polite(late)]) }
    expect(judge(BOT, passed, rules, late + MINUTE_MS).score).toBe(6)
  })

  test('what no mail server does counts all the same', () => {
    const facts = alone([...deferred, ['backup.early-talk', T0 + 1], ['backup.recipient', T0 + 1]])
    expect(judge(BOT, facts, rules, T0 + MINUTE_MS).word).toBe('block')
  })
})

describe('the rules we ship: polite, at the wrong door', () => {
  test('one visit lists nobody', () => {
    expect(judge(BOT, alone(polite(T0)), shipped, T0 + MINUTE_MS)).toMatchObject({ word: 'clean', score: 6 })
  })

  test('nor ten within one hour', () => {
    expect(judge(BOT, alone(politeEvery(6 * MINUTE_MS, 10)), shipped, T0 + HOUR_MS)).toMatchObject({
      word: 'clean',
      score: expect.closeTo(6, 1),
    })
  })

  test.each<[number, Verdict['word']]>([
    [1, 'clean'],
    [3, 'clean'],
    [4, 'observe'],
    [11, 'observe'],
    [13, 'defer'],
    [16, 'defer'],
    [19, 'block'],
    [300, 'block'],
  ])('every hour for %i hours: %s', (hours, word) => {
    const facts = alone(politeEvery(HOUR_MS, hours))
    expect(judge(BOT, facts, shipped, T0 + (hours - 1) * HOUR_MS + MINUTE_MS).word).toBe(word)
  })

  test('twice a day is slower, and gets there, too', () => {
    const words = Array.from(
      { length: 28 },
      (_, i) => judge(BOT, alone(politeEvery(12 * HOUR_MS, i + 1)), shipped, T0 + i * 12 * HOUR_MS + MINUTE_MS).word,
    )
    expect(words.slice(0, 3)).toEqual(['clean', 'clean', 'clean'])
    expect(words).toContain('observe')
    expect(judge(BOT, alone(politeEvery(4 * HOUR_MS, 60)), shipped, T0 + 10 * DAY_MS).word).toBe('block')
  })
})

describe('a rule with a condition', () => {
  const read = readRules(
    'rules.yaml',
    SOURCE.replace(
      /\nrules:\n[\s\S]*?\npools:/,
      `
rules:
  - name: knocks
    counts: backup.contact
    when: backup.contact >= 3 within 24h and real.contact == 0 within 48h
    weight: 10
    half-life: 7d
    window: 14d
    because: comes again and again, and never to the real MX
pools:`,
    ),
  )
  if (!read.ok) throw new Error('unsound')
  const contacts = (n: number): Sighting[] => Array.from({ length: n }, (_, i) => ['backup.contact', T0 + i * HOUR_MS])
  const at = T0 + 4 * HOUR_MS

  test.each<[string, Sighting[], number]>([
    ['twice: not yet', contacts(2), 0],
    ['three times: all of them weigh', contacts(3), 30],
    ['and at the real MX the day before: nothing', [['real.passed', T0 - 20 * HOUR_MS], ...contacts(3)], 0],
    ['and there three days before: that is too long ago', [['real.passed', T0 - 72 * HOUR_MS], ...contacts(3)], 30],
    ['and then on to the real MX: nothing any more', [...contacts(3), ['real.refused', at - MINUTE_MS]], 0],
  ])('%s', (_, seen, score) => {
    expect(judge(BOT, alone(seen), read.rules, at).score).toBeCloseTo(score, -1)
  })

  test('ends when fewer than three are left within the day, long before the window does', () => {
    expect(judge(BOT, alone(contacts(3)), read.rules, T0 + 23 * HOUR_MS).score).toBeGreaterThan(25)
    expect(judge(BOT, alone(contacts(3)), read.rules, T0 + 25 * HOUR_MS).score).toBe(0)
  })
})

describe('the rules we ship: what no mail server does', () => {
  test.each<FactName>(['backup.early-talk', 'backup.foreign-protocol'])(
    '%s and a recipient of ours: blocked at once',
    (fact) => {
      const verdict = judge(BOT, alone([...polite(T0), [fact, T0]]), shipped, T0 + 1000)
      expect(verdict).toMatchObject({ word: 'block', allowedBy: undefined })
      expect(verdict.score).toBeGreaterThanOrEqual(110)
      expect(reasonOf(verdict, 'talks-first')).toMatchObject({ count: 1, weight: expect.closeTo(110, 1) })
    },
  )

  test('two trap addresses block, one is watched', () => {
    expect(judge(BOT, alone([...polite(T0), ['backup.trap-recipient', T0]]), shipped, T0).word).toBe('observe')
    expect(
      judge(
        BOT,
        alone([...polite(T0), ['backup.trap-recipient', T0], ['backup.trap-recipient', T0 + 1]]),
        shipped,
        T0 + 1,
      ).word,
    ).toBe('block')
  })

  const OURS: readonly FactName[] = [
    'backup.recipient',
    'backup.trap-recipient',
    'primary.recipient',
    'primary.trap-recipient',
  ]
  const WITHOUT_OURS = FACT_NAMES.filter((fact) => !OURS.includes(fact))

  test('without a recipient of ours nothing reaches defer: all kinds together, every hour, for as long as facts are kept', () => {
    const hours = RETENTION_MS / HOUR_MS
    const crowd = (fact: FactName): [FactName, Bucket[]] => [
      fact,
      Array.from({ length: hours }, (_, i) => ({
        hour: hourOf(T0) + i,
        count: 1000,
        first: T0 + i * HOUR_MS,
        last: T0 + (i + 1) * HOUR_MS - 1,
      })),
    ]
    const own: Counts = new Map(WITHOUT_OURS.map(crowd))
    for (const at of [T0, T0 + RETENTION_MS - 1]) {
      const { score, word } = judge(BOT, { own, network: own }, shipped, at)
      expect(word).toBe('observe')
      expect(score).toBeLessThan(shipped.thresholds.defer)
    }
  })

  test('nor in any mixture of them', () => {
    const sighting = fc.tuple(
      fc.constantFrom(...WITHOUT_OURS),
      fc.nat(31 * DAY_MS).map((ms) => T0 + ms),
    )
    fc.assert(
      fc.property(fc.array(sighting, { maxLength: 200, size: 'max' }), fc.nat(40 * DAY_MS), (seen, later) => {
        expect(judge(BOT, alone(seen), shipped, T0 + later).score).toBeLessThan(shipped.thresholds.defer)
      }),
    )
  })

  test('fifty visits for foreign domains only weigh nothing, and leave a reason that says so', () => {
    const seen = Array.from({ length: 50 }, (_, i): Sighting[] => [
      ['backup.contact', T0 + i * HOUR_MS],
      ['backup.foreign-recipient', T0 + i * HOUR_MS],
    ]).flat()
    const verdict = judge(BOT, alone(seen), shipped, T0 + 50 * HOUR_MS)
    expect(verdict).toMatchObject({ word: 'clean', score: 0 })
    expect(reasonOf(verdict, 'foreign-only')).toMatchObject({
      weight: 0,
      count: 50,
      because: expect.stringContaining('foreign'),
    })
  })

  test('at the primary nothing weighs: it is where a correct sender begins', () => {
    const seen = FACT_NAMES.filter((fact) => fact.startsWith('primary.')).flatMap((fact) =>
      Array.from({ length: 20 }, (_, i): Sighting => [fact, T0 + i * HOUR_MS]),
    )
    expect(judge(BOT, alone(seen), shipped, T0 + 20 * HOUR_MS)).toMatchObject({ word: 'clean', score: 0 })
  })
})

describe('the rules we ship: seen at the real MX', () => {
  const visits = politeEvery(HOUR_MS, 24)
  const end = T0 + 24 * HOUR_MS

  test.each<FactName>(['real.passed', 'real.deferred'])('%s before: the order at the backup is waived', (fact) => {
    const verdict = judge(BOT, alone([[fact, T0 - HOUR_MS], ...visits]), shipped, end)
    expect(verdict).toMatchObject({ word: 'clean', score: 0 })
    expect(reasonOf(verdict, 'backup-first')).toMatchObject({ count: 0, waived: 24, weight: 0 })
  })

  test('a neighbour in its /24 was: waived, too, for big senders retry from another address', () => {
    const facts = { own: countsOf(visits), network: countsOf([['real.passed', T0 - HOUR_MS], ...visits]) }
    expect(judge(BOT, facts, shipped, end)).toMatchObject({ word: 'clean', score: 0 })
  })

  test('it came there afterwards: what it did before still counts', () => {
    const verdict = judge(BOT, alone([...visits, ['real.passed', end]]), shipped, end + 1)
    expect(verdict.word).toBe('block')
    expect(reasonOf(verdict, 'backup-first')).toMatchObject({ count: 24, waived: 0 })
  })

  test('it came in the middle: only what follows is waived', () => {
    const middle = T0 + 10.5 * HOUR_MS
    expect(
      reasonOf(judge(BOT, alone([...visits, ['real.passed', middle]]), shipped, end), 'backup-first'),
    ).toMatchObject({ count: 11, waived: 13 })
  })

  test('longer ago than the rule says: no excuse', () => {
    const facts = alone([['real.passed', T0 - 49 * HOUR_MS], ...visits])
    expect(reasonOf(judge(BOT, facts, shipped, end), 'backup-first')).toMatchObject({ count: 24, waived: 0 })
  })

  test('refused there: no excuse either', () => {
    expect(judge(BOT, alone([['real.refused', T0 - HOUR_MS], ...visits]), shipped, end).word).toBe('block')
  })

  test('violations are never waived', () => {
    expect(
      judge(BOT, alone([['real.passed', T0 - 1], ...polite(T0), ['backup.early-talk', T0]]), shipped, T0 + 1).word,
    ).toBe('block')
  })
})

const blockedUntil = (until: number): Listing => {
  const stands = [{ word: 'block', until }] as const
  return { since: T0, stands, enforced: stands }
}

describe('the rules we ship: tried the primary', () => {
  const end = T0 + 24 * HOUR_MS
  const visits = politeEvery(HOUR_MS, 24)
  const primaryEvery = (everyMs: number, from = T0): Sighting[] =>
    Array.from({ length: Math.ceil((24 * HOUR_MS) / everyMs) }, (_, i) => ['primary.contact', from + i * everyMs])
  const order = (seen: Sighting[]) => reasonOf(judge(BOT, alone(seen), shipped, end), 'backup-first')

  test('before each visit, or now and then: it is out of reach of the real MX, and not blamed', () => {
    for (const everyMs of [HOUR_MS, 6 * HOUR_MS])
      expect(order([...primaryEvery(everyMs), ...visits])).toMatchObject({ count: 0, waived: 24, excuse: 'primary' })
  })

  test('the kernel tells us late: the same; but what comes later than that excuses nothing before it', () => {
    const late = (ms: number): Sighting[] => [...politeEvery(HOUR_MS, 1), ['primary.contact', T0 + ms]]
    expect(order(late(10_000))).toMatchObject({ count: 0, waived: 1 })
    expect(order(late(60_000))).toMatchObject({ count: 1, waived: 0 })
  })

  test('once, half a day ago: no excuse', () => {
    expect(order([['primary.contact', T0 - 12 * HOUR_MS], ...visits])).toMatchObject({ count: 24, waived: 0 })
  })

  test('by a neighbour: no excuse, for a botnet tries every door', () => {
    const facts = { own: countsOf(visits), network: countsOf([...primaryEvery(HOUR_MS), ...visits]) }
    expect(judge(BOT, facts, shipped, end).word).toBe('block')
  })
})

describe('who is never listed', () => {
  const guilty = alone([...politeEvery(HOUR_MS, 30), ['backup.early-talk', T0]])
  const at = T0 + 30 * HOUR_MS

  test.each(['127.0.0.1', '10.0.0.1', '192.168.1.1', '100.64.0.1', '169.254.0.9', '::1', 'fe80::1', 'fd00::1'])(
    '%s: recorded, never listed',
    (text) => {
      const verdict = judge(parseClient(text) as Client, guilty, shipped, at)
      expect(verdict).toMatchObject({ word: 'clean', never: expect.stringContaining('address') })
      expect(verdict.score).toBeGreaterThan(shipped.thresholds.block)
      expect(renew(blockedUntil(at + DAY_MS), verdict, shipped, at)).toBeUndefined()
    },
  )

  const listed = shippedWith(
    'allow: []',
    'allow:\n  - client: 203.0.113.0/24\n    because: a friend\n    until: 2026-01-07T12:00:00Z\n',
  )
  const end = Date.UTC(2026, 0, 7, 12)

  test('on the allow-list: allowed, with the entry, and its reasons still told', () => {
    const verdict = judge(BOT, guilty, listed, end - 1)
    expect(verdict).toMatchObject({ word: 'allow', allowedBy: { because: 'a friend' } })
    expect(verdict.reasons.length).toBeGreaterThan(0)
    expect(renew(blockedUntil(end + DAY_MS), verdict, listed, end - 1)).toBeUndefined()
  })

  test('from its last day on: judged again', () => {
    expect(judge(BOT, guilty, listed, end)).toMatchObject({ word: 'block', allowedBy: undefined })
  })

  test('nothing seen, nothing said', () => {
    expect(judge(BOT, NO_FACTS, shipped, T0)).toEqual({
      word: 'clean',
      score: 0,
      enforcedScore: 0,
      reached: [],
      enforced: [],
      threshold: 100,
      reasons: [],
      credit: creditOf(NO_FACTS, shipped.credit, T0),
      clearsAt: undefined,
      allowedBy: undefined,
      never: undefined,
    })
  })
})

const anyComparison = fc.record({
  of: fc.constantFrom('client', 'network'),
  fact: fc.constantFrom(...RULE_FACTS),
  is: fc.constantFrom('>=', '>', '==', '<=', '<'),
  n: fc.nat(4),
  withinMs: fc.option(fc.integer({ min: 1, max: RETENTION_MS }), { nil: undefined }),
})
const { anyCondition } = fc.letrec<{ anyCondition: Condition; parts: Condition[] }>((tie) => ({
  anyCondition: fc.oneof(
    { maxDepth: 2 },
    anyComparison as fc.Arbitrary<Condition>,
    tie('parts').map((all) => ({ all })),
    tie('parts').map((any) => ({ any })),
  ),
  parts: fc.array(tie('anyCondition'), { minLength: 2, maxLength: 3 }),
}))
const anyRule: fc.Arbitrary<Rule> = fc.record({
  name: fc.constant('any'),
  kind: fc.constantFrom('order', 'violation'),
  mode: fc.constantFrom('observe', 'enforce'),
  counts: fc.uniqueArray(fc.constantFrom(...FACT_NAMES), { minLength: 1, maxLength: 4 }),
  each: fc.constantFrom('sighting', 'hour'),
  when: fc.option(anyCondition, { nil: undefined }),
  unlessSeenMs: fc.option(fc.integer({ min: 1, max: RETENTION_MS }), { nil: undefined }),
  unlessWalkedMs: fc.option(fc.integer({ min: 1, max: RETENTION_MS }), { nil: undefined }),
  weight: fc.double({ min: 0, max: 200, noNaN: true }),
  halfLifeMs: fc.integer({ min: MINUTE_MS, max: RETENTION_MS }),
  windowMs: fc.integer({ min: MINUTE_MS, max: RETENTION_MS }),
  cap: fc.double({ min: 0, max: 500, noNaN: true }),
  because: fc.constant('any'),
  line: fc.constant(1),
})
const anyRules = fc.array(anyRule, { maxLength: 6 }).map((list): Rules => ({ ...shipped, list }))
const anySeen = fc.array(
  fc.tuple(
    fc.constantFrom(...FACT_NAMES),
    fc.nat(31 * DAY_MS).map((ms) => T0 + ms),
  ),
  { maxLength: 40 },
)
const anyFacts = anySeen.map((seen) => alone(seen))
const END = T0 + 31 * DAY_MS
const ALL_AT_ONCE: Rule = {
  name: 'any',
  kind: 'order',
  mode: 'enforce',
  counts: ['primary.contact'],
  each: 'sighting',
  when: undefined,
  unlessSeenMs: undefined,
  unlessWalkedMs: undefined,
  weight: 150,
  halfLifeMs: RETENTION_MS,
  windowMs: DAY_MS,
  cap: 150,
  because: 'any',
  line: 1,
}

describe('under any rules', () => {
  test('the sum never rises while nothing is seen and no credit runs out', () => {
    fc.assert(
      fc.property(anyRules, anyFacts, fc.nat(70 * DAY_MS), fc.nat(40 * DAY_MS), (rules, facts, from, ms) => {
        const [before, after] = [judge(BOT, facts, rules, T0 + from), judge(BOT, facts, rules, T0 + from + ms)]
        fc.pre(after.credit.good || !before.credit.good)
        expect(after.score).toBeLessThanOrEqual(before.score)
      }),
      { numRuns: 500 },
    )
  })

  test('a verdict clears in the minute in which the sum falls below its threshold', () => {
    fc.assert(
      fc.property(anyRules, anyFacts, fc.nat(20 * DAY_MS), (rules, facts, later) => {
        const now = END + later
        const { word, clearsAt, credit } = judge(BOT, facts, rules, now)
        expect(clearsAt === undefined).toBe(word === 'clean')
        if (word === 'clean' || word === 'allow') return
        const end = clearsAt ?? Number.NaN
        expect(end).toBeGreaterThan(now)
        fc.pre(judge(BOT, facts, rules, end).credit.good === credit.good)
        expect(judge(BOT, facts, rules, end).score).toBeLessThan(rules.thresholds[word])
        expect(judge(BOT, facts, rules, Math.max(now, end - MINUTE_MS)).score).toBeGreaterThanOrEqual(
          rules.thresholds[word],
        )
      }),
      { numRuns: 500 },
    )
  })

  test('each threshold is reached in its turn, and what is enforced never reaches more than all together', () => {
    fc.assert(
      fc.property(anyRules, anyFacts, fc.nat(20 * DAY_MS), (rules, facts, later) => {
        const { word, score, enforcedScore, clearsAt, reached, enforced } = judge(BOT, facts, rules, END + later)
        expect(reached.map((each) => each.word)).toEqual(STANDINGS.filter((each) => score >= rules.thresholds[each]))
        expect(reached[0]).toEqual(word === 'clean' ? undefined : { word, clearsAt })
        expect(enforced.map((each) => each.word)).toEqual(
          STANDINGS.filter((each) => enforcedScore >= rules.thresholds[each]),
        )
        expect(enforcedScore).toBeLessThanOrEqual(score)
        for (const lists of [reached, enforced])
          expect(lists.map((each) => each.clearsAt)).toEqual(
            lists.map((each) => each.clearsAt).toSorted((a, b) => a - b),
          )
      }),
    )
  })

  test('thresholds that the end of a window leaves at one stroke clear in the same minute, whenever that is', () => {
    const seen = alone([['primary.contact', T0]])
    for (let windowMs = HOUR_MS; windowMs < 2 * DAY_MS; windowMs += 1_234_567) {
      const rule = { ...ALL_AT_ONCE, windowMs }
      const { reached } = judge(BOT, seen, { ...shipped, list: [rule] }, T0 + windowMs / 3)
      expect(reached.map(({ word }) => word)).toEqual(STANDINGS)
      const ends = reached.map(({ clearsAt }) => clearsAt)
      expect(new Set(ends).size).toBe(1)
      expect(ends[0]).toBeGreaterThanOrEqual(T0 + windowMs)
      expect(ends[0]).toBeLessThan(T0 + windowMs + MINUTE_MS)
    }
  })

  test('the order of the rules, and that in which the evidence came, do not matter', () => {
    fc.assert(
      fc.property(anyRules, anySeen, (rules, seen) => {
        const turned = { ...rules, list: rules.list.toReversed() }
        const one = judge(BOT, alone(seen), rules, END)
        const other = judge(BOT, alone(seen.toReversed()), turned, END)
        expect([other.reasons.toReversed(), other.credit]).toEqual([one.reasons, one.credit])
        expect(other.score).toBeCloseTo(one.score, 1)
      }),
    )
  })

  test('the printed weights add up to the sum, and no rule exceeds its cap', () => {
    fc.assert(
      fc.property(anyRules, anyFacts, (rules, facts) => {
        const { score, reasons } = judge(BOT, facts, rules, END)
        expect(reasons.reduce((sum, { weight }) => sum + weight, 0)).toBeCloseTo(score, 1)
        for (const { weight } of reasons)
          expect(weight).toBeLessThanOrEqual(Math.max(...rules.list.map(({ cap }) => cap)))
      }),
    )
  })
})

test('who cannot reach any threshold is listed by no verdict', () => {
  const sighting = fc.tuple(
    fc.constantFrom(...FACT_NAMES),
    fc.nat(20 * DAY_MS).map((ms) => T0 + ms),
  )
  let spared = 0
  fc.assert(
    fc.property(fc.array(sighting, { maxLength: 12 }), fc.nat(3 * DAY_MS), (seen, laterMs) => {
      const facts = alone(seen)
      if (mayReach(facts, shipped)) return
      spared++
      for (const now of [...seen.map(([, at]) => at), T0 + 20 * DAY_MS + laterMs])
        expect(judge(BOT, facts, shipped, now)).toMatchObject({ word: 'clean', reached: [], enforced: [] })
    }),
  )
  expect(spared).toBeGreaterThan(0)
  // One trap and it may be.
  expect(mayReach(alone([['backup.trap-recipient', T0]]), shipped)).toBe(true)
  expect(mayReach(alone([['backup.recipient', T0]]), shipped)).toBe(false)
})
