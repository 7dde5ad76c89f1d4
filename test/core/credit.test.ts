import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Client, parseClient } from '../../src/core/client.ts'
import { creditOf, LATE_MS, walksOf } from '../../src/core/credit.ts'
import { type Counts, FACT_NAMES, type FactName, type Facts, HOUR_MS, NO_COUNTS } from '../../src/core/facts.ts'
import { withSighting } from '../../src/core/facts.ts'
import { judge } from '../../src/core/verdict.ts'
import { shippedRules } from '../rules.ts'

const T0 = Date.UTC(2026, 0, 5)
const DAY_MS = 24 * HOUR_MS
const BOT = parseClient('203.0.113.9') as Client
const RULES = shippedRules()
const TERMS = RULES.credit

type Sighting = readonly [fact: FactName, at: number]
const countsOf = (...seen: Sighting[]): Counts =>
  seen.reduce((counts, [fact, at]) => withSighting(counts, fact, at), NO_COUNTS)
const factsOf = (own: readonly Sighting[], neighbours: readonly Sighting[] = []): Facts => ({
  own: countsOf(...own),
  network: countsOf(...own, ...neighbours),
})
const walk = (at: number): Sighting[] => [
  ['primary.contact', at],
  ['real.passed', at + 300],
]

describe('a walk', () => {
  test.each<[string, Sighting[], number]>([
    ['from the primary to the real MX', walk(T0), 1],
    ['over the turn of the hour', walk(T0 + HOUR_MS - 100), 1],
    ['to the primary only', [['primary.contact', T0]], 0],
    ['to the real MX only, as Exim does that remembers a dead host', [['real.passed', T0]], 0],
    [
      'whose contact is told late, in the next hour',
      [
        ['real.passed', T0 + HOUR_MS - 1],
        ['primary.contact', T0 + HOUR_MS - 1 + LATE_MS],
      ],
      1,
    ],
    [
      'the wrong way round',
      [
        ['real.passed', T0],
        ['primary.contact', T0 + LATE_MS + 1],
      ],
      0,
    ],
    [
      'that takes an hour',
      [
        ['primary.contact', T0],
        ['real.passed', T0 + HOUR_MS],
      ],
      1,
    ],
    [
      'that takes longer is two visits',
      [
        ['primary.contact', T0],
        ['real.passed', T0 + HOUR_MS + 1],
      ],
      0,
    ],
    [
      'that was refused or deferred at its end',
      [
        ['primary.contact', T0],
        ['real.refused', T0 + 1],
        ['real.deferred', T0 + 2],
      ],
      0,
    ],
    ['many in one hour are one', [...walk(T0), ...walk(T0 + 60_000), ...walk(T0 + 120_000)], 1],
    ['many in many hours are many', [...walk(T0), ...walk(T0 + HOUR_MS), ...walk(T0 + DAY_MS)], 3],
  ])('%s', (_, seen, walks) => expect(walksOf(countsOf(...seen), TERMS.withinMs)).toHaveLength(walks))

  test('in the order in which nothing was told it is the same', () => {
    const seen = fc.array(fc.tuple(fc.constantFrom<FactName>('primary.contact', 'real.passed'), fc.nat(2 * DAY_MS)), {
      maxLength: 30,
    })
    fc.assert(
      fc.property(seen, fc.infiniteStream(fc.nat()), (seen, chance) => {
        const [dice] = [chance[Symbol.iterator]()]
        const shuffled = seen
          .map((each) => [dice.next().value as number, each] as const)
          .toSorted(([a], [b]) => a - b)
          .map(([, each]) => each)
        expect(walksOf(countsOf(...shuffled), TERMS.withinMs)).toEqual(walksOf(countsOf(...seen), TERMS.withinMs))
      }),
    )
  })

  test('is never seen where no sighting at the real MX follows one at the primary', () => {
    const seen = fc.array(fc.tuple(fc.constantFrom<FactName>('primary.contact', 'real.passed'), fc.nat(4 * HOUR_MS)), {
      maxLength: 8,
    })
    fc.assert(
      fc.property(seen, (seen) => {
        const at = (wanted: FactName) => seen.flatMap(([fact, at]) => (fact === wanted ? [at] : []))
        const walked = at('real.passed').filter((end) =>
          at('primary.contact').some((from) => end - from >= -LATE_MS && end - from <= TERMS.withinMs),
        )
        // With a span of an hour, the first and last of each hour tell of every walk.
        expect(walksOf(countsOf(...seen), TERMS.withinMs)).toHaveLength(
          new Set(walked.map((end) => Math.floor(end / HOUR_MS))).size,
        )
      }),
      { numRuns: 1000 },
    )
  })
})

describe('credit', () => {
  test('one walk is good for two weeks, each walk renews it', () => {
    const good = (seen: readonly Sighting[], at: number) => creditOf(factsOf(seen), TERMS, at).good
    expect(good(walk(T0), T0 + 300)).toBe(true)
    expect(good(walk(T0), T0 + 14 * DAY_MS)).toBe(true)
    expect(good(walk(T0), T0 + 20 * DAY_MS)).toBe(false)
    expect(good([...walk(T0), ...walk(T0 + 13 * DAY_MS)], T0 + 30 * DAY_MS)).toBe(true)
  })

  test('a walk in its network helps a client less: two of them are good for a few days', () => {
    const credit = (walks: number, at: number) =>
      creditOf(factsOf([], Array.from({ length: walks }, (_, i) => walk(T0 + i * HOUR_MS)).flat()), TERMS, at)
    expect(credit(1, T0 + 300)).toMatchObject({ points: 3, own: 0, walks: 0, networkWalks: 1, good: false })
    expect(credit(2, T0 + 2 * HOUR_MS)).toMatchObject({ points: 5.98, good: true })
    expect(credit(2, T0 + 7 * DAY_MS).good).toBe(false)
    expect(credit(100, T0 + 100 * HOUR_MS).points).toBeLessThanOrEqual(TERMS.networkCap)
  })

  test('a thousand walks come to no more than the cap', () => {
    const own = Array.from({ length: 300 }, (_, i) => walk(T0 + i * HOUR_MS)).flat()
    expect(creditOf(factsOf(own), TERMS, T0 + 300 * HOUR_MS)).toMatchObject({
      own: TERMS.cap,
      network: TERMS.networkCap,
      points: TERMS.cap + TERMS.networkCap,
      walks: 300,
    })
  })

  test('none: nothing, and it says what would be needed', () => {
    expect(creditOf(factsOf([]), TERMS, T0)).toEqual({
      points: 0,
      own: 0,
      network: 0,
      walks: 0,
      networkWalks: 0,
      last: 0,
      needed: 5,
      good: false,
    })
  })
})

const anySeen = fc.array(
  fc.tuple(
    fc.constantFrom(...FACT_NAMES),
    fc.nat(14 * DAY_MS).map((ms) => T0 + ms),
  ),
  { maxLength: 100, size: 'max' },
)
const END = T0 + 14 * DAY_MS

describe('credit and the rules we ship', () => {
  const politeHours = Array.from({ length: 300 }, (_, i): Sighting[] => [
    ['backup.contact', T0 + i * HOUR_MS],
    ['backup.recipient', T0 + i * HOUR_MS],
  ]).flat()

  test('three hundred hours at the backup: blocked without credit, nothing at all with one walk, and why says so', () => {
    const now = T0 + 300 * HOUR_MS
    expect(judge(BOT, factsOf(politeHours), RULES, now).word).toBe('block')
    const { word, score, reasons } = judge(BOT, factsOf([...politeHours, ...walk(now - DAY_MS)]), RULES, now)
    expect({ word, score }).toEqual({ word: 'clean', score: 0 })
    expect(reasons.find(({ rule }) => rule === 'backup-first')).toMatchObject({
      weight: 0,
      count: 0,
      waived: 300,
      excuse: 'credit',
    })
  })

  test('order alone never adds anything for a client of good credit, whatever it did', () => {
    const orderOnly = { ...RULES, list: RULES.list.filter(({ kind }) => kind === 'order') }
    expect(orderOnly.list.map(({ name }) => name)).toEqual(['backup-first'])
    fc.assert(
      fc.property(anySeen, fc.nat(14 * DAY_MS), (seen, back) => {
        const verdict = judge(BOT, factsOf([...seen, ...walk(END - back)]), orderOnly, END)
        fc.pre(verdict.credit.good)
        expect(verdict).toMatchObject({ word: 'clean', score: 0 })
      }),
    )
  })

  test('credit never saves a violator: what is no order weighs the same with credit as without', () => {
    const bare = { ...RULES, credit: { ...TERMS, walk: 0, network: 0 } }
    fc.assert(
      fc.property(anySeen, fc.nat(14 * DAY_MS), (seen, back) => {
        const facts = factsOf([...seen, ...walk(END - back)])
        const [credited, uncredited] = [judge(BOT, facts, RULES, END), judge(BOT, facts, bare, END)]
        const order = ({ reasons }: typeof credited) => reasons.filter(({ rule }) => rule !== 'backup-first')
        expect(order(credited)).toEqual(order(uncredited))
        expect(credited.score).toBeLessThanOrEqual(uncredited.score)
      }),
    )
  })

  test('talking first with a recipient of ours blocks whoever does it', () => {
    const seen: Sighting[] = [...walk(T0), ['backup.early-talk', T0 + DAY_MS], ['backup.recipient', T0 + DAY_MS]]
    const verdict = judge(BOT, factsOf(seen), RULES, T0 + DAY_MS)
    expect(verdict).toMatchObject({ word: 'block', credit: { good: true } })
  })
})
