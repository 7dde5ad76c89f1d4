import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  comparisonsOf,
  type Condition,
  holdsUntil,
  isSlip,
  readCondition,
  spellCondition,
} from '../../src/core/condition.ts'
import {
  type Counts,
  type FactName,
  type Facts,
  HOUR_MS,
  NO_COUNTS,
  NO_FACTS,
  RULE_FACTS,
  withSighting,
} from '../../src/core/facts.ts'

const T0 = Date.UTC(2026, 0, 5)
const DAY_MS = 24 * HOUR_MS

const conditionOf = (text: string): Condition => {
  const read = readCondition(text)
  if (isSlip(read)) throw new Error(`${read.at}: ${read.message}`)
  return read
}
const countsOf = (...seen: (readonly [FactName, number])[]): Counts =>
  seen.reduce((counts, [fact, at]) => withSighting(counts, fact, at), NO_COUNTS)

describe('a condition is read', () => {
  test('as a postmaster says it', () => {
    expect(conditionOf('backup.contact >= 3 within 24h and real.contact == 0 within 48h')).toEqual({
      all: [
        { of: 'client', fact: 'backup.contact', is: '>=', n: 3, withinMs: DAY_MS },
        { of: 'client', fact: 'real.contact', is: '==', n: 0, withinMs: 2 * DAY_MS },
      ],
    })
  })

  test('"and" binds closer than "or"; brackets bind closest; blanks are free', () => {
    const [a, b, c] = ['backup.auth', 'backup.message', 'backup.recipient'].map((fact) => ({
      of: 'client',
      fact,
      is: '>=',
      n: 1,
      withinMs: undefined,
    }))
    expect(conditionOf('backup.auth>=1 or backup.message >= 1 and backup.recipient >= 1')).toEqual({
      any: [a, { all: [b, c] }],
    })
    expect(conditionOf('( backup.auth >= 1\n or backup.message >= 1 ) and backup.recipient >= 1')).toEqual({
      all: [{ any: [a, b] }, c],
    })
  })

  test('of the network, too', () => {
    expect(comparisonsOf(conditionOf('network real.passed > 2'))).toEqual([
      { of: 'network', fact: 'real.passed', is: '>', n: 2, withinMs: undefined },
    ])
  })

  test('and spelt, it reads as itself', () => {
    const comparison = fc.record({
      of: fc.constantFrom('client', 'network'),
      fact: fc.constantFrom(...RULE_FACTS),
      is: fc.constantFrom('>=', '>', '==', '<=', '<'),
      n: fc.integer({ min: 1, max: 99 }),
      withinMs: fc.option(fc.constantFrom(1, 90_000, HOUR_MS, 5 * DAY_MS), { nil: undefined }),
    }) as fc.Arbitrary<Condition>
    const several = fc.array(comparison, { minLength: 2, maxLength: 3 })
    const mixed = fc.oneof(
      comparison,
      several.map((all) => ({ all })),
      several.map((any) => ({ all: [{ any }, any[0] as Condition] })),
    )
    fc.assert(
      fc.property(mixed, (condition) => {
        expect(conditionOf(spellCondition(condition))).toEqual(condition)
      }),
    )
  })
})

describe('a mistake has its column', () => {
  test.each<[string, number, string, string | undefined]>([
    ['', 0, 'expected a fact, got the end', 'a condition reads like backup.contact >= 3 within 24h'],
    ['backup.contacts >= 3', 0, 'no such fact: "backup.contacts"', 'did you mean backup.contact?'],
    ['backup.recipient >= 1 and bakup.auth >= 1', 26, 'no such fact: "bakup.auth"', 'did you mean backup.auth?'],
    [
      'backup.auth',
      11,
      'expected >=, >, ==, <= or < after backup.auth, got the end',
      'for "seen at all" write backup.auth >= 1',
    ],
    ['backup.auth = 1', 12, 'expected >=, >, ==, <= or < after backup.auth, got "="', 'equal is =='],
    ['backup.auth ≥ 1', 12, 'expected >=, >, ==, <= or < after backup.auth, got "≥"', 'did you mean >=?'],
    ['backup.auth >= some', 15, 'expected a whole number up to 1000000 after >=, got "some"', undefined],
    ['backup.auth >= 0', 15, '>= 0 is always so', 'for "seen at all" write >= 1'],
    ['backup.auth < 0', 14, 'nothing is counted less than 0 times', 'for "never seen" write == 0'],
    ['backup.auth >= 1 within a day', 24, 'expected a time span like 15m, 24h or 7d after within, got "a"', undefined],
    ['backup.auth >= 1 within 90d', 24, 'expected a span above 0 and at most 31d, for which facts are kept', undefined],
    ['backup.auth >= 1 && real.passed == 0', 17, 'expected "and", "or" or the end, got "&&"', 'did you mean and?'],
    ['backup.auth >= 1 wihtin 2d', 17, 'expected "and", "or" or the end, got "wihtin"', 'did you mean within?'],
    [
      'backup.auth >= 1 and',
      20,
      'expected a fact, got the end',
      'a condition reads like backup.contact >= 3 within 24h',
    ],
    ['(backup.auth >= 1', 0, 'this bracket is not closed: expected ")"', undefined],
    ['((((((backup.auth >= 1))))))', 4, 'at most 4 brackets stand within each other', undefined],
  ])('%j', (text, at, message, hint) => expect(readCondition(text)).toMatchObject({ at, message, hint }))

  test('and a bound: how many comparisons, how many characters', () => {
    const many = (n: number) => Array.from({ length: n }, () => 'backup.auth >= 1').join(' and ')
    expect(readCondition(many(16))).toHaveProperty('all')
    expect(readCondition(many(17))).toMatchObject({ at: 336, message: 'at most 16 comparisons stand in one condition' })
    expect(readCondition(' '.repeat(501))).toMatchObject({
      at: 0,
      message: 'a condition has at most 500 characters, this 501',
    })
  })

  test('of any text: a condition, or a slip within it', () => {
    const words = fc.constantFrom(
      'backup.auth',
      'real.contact',
      'network',
      '>=',
      '==',
      '=',
      '3',
      '0',
      'within',
      '2d',
      'and',
      'or',
      '(',
      ')',
      '💥',
      'x',
    )
    fc.assert(
      fc.property(
        fc.array(fc.oneof({ weight: 9, arbitrary: words }, fc.string({ maxLength: 6 })), { maxLength: 20 }),
        (parts) => {
          const text = parts.join(' ')
          const read = readCondition(text)
          if (!isSlip(read)) return
          expect(read.at).toBeGreaterThanOrEqual(0)
          expect(read.at + read.width).toBeLessThanOrEqual(text.length + 1)
        },
      ),
      { numRuns: 1000 },
    )
  })
})

describe('until when it holds', () => {
  const until = (text: string, facts: Facts, now: number, counted = now) =>
    holdsUntil(conditionOf(text), facts, 7 * DAY_MS, now, counted)
  const own = (...seen: (readonly [FactName, number])[]): Facts => ({ ...NO_FACTS, own: countsOf(...seen) })
  const thrice = own(['backup.contact', T0], ['backup.contact', T0 + HOUR_MS], ['backup.contact', T0 + 2 * HOUR_MS])

  test('so many within a span: until the last that is needed is older than that', () => {
    const text = 'backup.contact >= 3 within 24h'
    expect(until(text, thrice, T0 + 2 * HOUR_MS)).toBe(T0 + DAY_MS)
    expect(until(text, thrice, T0 + DAY_MS)).toBe(-Infinity)
    expect(until('backup.contact >= 2 within 24h', thrice, T0 + DAY_MS)).toBe(T0 + HOUR_MS + DAY_MS)
    expect(until('backup.contact > 3', thrice, T0 + 3 * HOUR_MS)).toBe(-Infinity)
  })

  test('without a span of its own: within the window of the rule', () => {
    expect(until('backup.contact >= 1', thrice, T0 + 3 * HOUR_MS)).toBe(T0 + 2 * HOUR_MS + 7 * DAY_MS)
  })

  test('never seen: looked for back from the last sighting that counts, so that waiting makes it no truer', () => {
    const facts = own(['real.passed', T0], ['backup.contact', T0 + HOUR_MS])
    const text = 'real.contact == 0 within 48h'
    expect(until(text, facts, T0 + HOUR_MS, T0 + HOUR_MS)).toBe(-Infinity)
    expect(until(text, facts, T0 + 9 * DAY_MS, T0 + HOUR_MS)).toBe(-Infinity)
    expect(until(text, facts, T0 + 3 * DAY_MS, T0 + 3 * DAY_MS)).toBe(Infinity)
  })

  test('what came after that sighting is seen, too: who went on to the real MX is no longer absent there', () => {
    const facts = own(['backup.contact', T0], ['real.refused', T0 + HOUR_MS])
    expect(until('real.contact == 0 within 48h', facts, T0 + 2 * HOUR_MS, T0)).toBe(-Infinity)
  })

  test('exactly so many: no more, and until it is one less', () => {
    expect(until('backup.contact == 3 within 24h', thrice, T0 + 2 * HOUR_MS)).toBe(T0 + DAY_MS)
    expect(until('backup.contact == 2 within 24h', thrice, T0 + 2 * HOUR_MS)).toBe(-Infinity)
    expect(until('backup.contact <= 3', thrice, T0 + 2 * HOUR_MS)).toBe(Infinity)
    expect(until('backup.contact < 3', thrice, T0 + 2 * HOUR_MS)).toBe(-Infinity)
  })

  test('of the network: what the neighbours did', () => {
    const facts: Facts = { own: NO_COUNTS, network: countsOf(['real.passed', T0]) }
    expect(until('network real.passed >= 1', facts, T0)).toBe(T0 + 7 * DAY_MS)
    expect(until('real.passed >= 1', facts, T0)).toBe(-Infinity)
  })

  test('all of them: the first end; any of them: the last', () => {
    const [early, late] = ['backup.contact >= 3 within 24h', 'backup.contact >= 1 within 48h']
    expect(until(`${early} and ${late}`, thrice, T0 + 2 * HOUR_MS)).toBe(T0 + DAY_MS)
    expect(until(`${early} or ${late}`, thrice, T0 + 2 * HOUR_MS)).toBe(T0 + 2 * HOUR_MS + 2 * DAY_MS)
    expect(until(`${early} and backup.auth >= 1`, thrice, T0 + 2 * HOUR_MS)).toBe(-Infinity)
  })
})
