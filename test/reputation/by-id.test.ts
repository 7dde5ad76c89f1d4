import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { dottedOf, numberOfDotted } from '../../src/core/client.ts'
import { STANDINGS } from '../../src/core/rules.ts'
import { ById } from '../../src/reputation/by-id.ts'
import { Listings } from '../../src/reputation/listings.ts'
import { idOf, readRuling, type Ruling, ticketOf } from '../../src/reputation/store.ts'

/** Few enough that they meet again, at both ends of what a number of 32 bits can be. */
const fourth = fc
  .tuple(fc.constantFrom(0, 127, 128, 203, 255), fc.nat(255), fc.constantFrom(0, 7, 255), fc.nat(15))
  .map((octets) => octets.join('.'))
const sixth = fc.nat(15).map((n) => `2001:db8:0:${(n + 1).toString(16)}::/64`)
const instant = fc.oneof(fc.nat(1000), fc.nat({ max: Number.MAX_SAFE_INTEGER }))
const stands = fc
  .tuple(fc.option(instant), fc.option(instant), fc.option(instant))
  .map((ends) => STANDINGS.flatMap((word, i) => (ends[i] === null ? [] : [{ word, until: ends[i] as number }])))

/** JSON knows no minus zero. */
const score = fc.double({ noNaN: true, noDefaultInfinity: true }).map((sum) => sum || 0)

/** As the rules make them. */
const listing: fc.Arbitrary<Ruling> = fc
  .record({
    target: fc.oneof({ weight: 3, arbitrary: fourth }, sixth),
    since: instant,
    stands: stands.filter((each) => each.length > 0),
    enforced: stands,
    same: fc.boolean(),
    because: fc.constantFrom('talked first', 'came to the backup MX first', 'ü'),
    score: fc.option(score, { nil: undefined }),
  })
  .map(({ same, enforced, score, ...each }) => ({
    ...each,
    by: 'rules' as const,
    word: each.stands[0]!.word,
    until: Math.max(...each.stands.map(({ until }) => until)),
    enforced: same ? each.stands : enforced,
    ticket: ticketOf(each.target, each.since),
    ...(score === undefined ? {} : { score }),
  }))

/** As nobody makes them, but a store may hold: of these nothing may be lost, either. */
const odd: fc.Arbitrary<Ruling> = fc
  .tuple(
    listing,
    fc.oneof(
      fc.record({ ticket: fc.constantFrom('T', 'ABCD-EFGH-', 'abcd-efgh', 'ABCD_EFGH', 'ABCDE-FGH') }),
      fc.record({ word: fc.constantFrom('allow' as const, 'observe' as const) }),
      fc.record({ until: fc.constantFrom(undefined, 1) }),
      fc.record({ stands: fc.constantFrom(undefined, []) }),
      fc.record({ enforced: fc.constant(undefined) }),
      fc.record({
        stands: fc.constant([
          { word: 'observe', until: 5 },
          { word: 'block', until: 3 },
        ] as const),
      }),
      fc.record({ author: fc.constant('eve') }),
      fc.record({ grace: fc.constant(3) }),
    ),
  )
  .map(([each, change]) => ({ ...each, ...change }))

const operators: fc.Arbitrary<Ruling> = fc
  .record({ target: fourth, word: fc.constantFrom('allow' as const, 'block' as const, 'release' as const) })
  .map(({ target, word }) => ({
    by: 'operator',
    target: `${target}/32`,
    word,
    since: 1,
    ticket: `T${target}`,
    because: 'b',
  }))

const ruling = fc.oneof({ weight: 4, arbitrary: listing }, odd, operators)

describe('rulings by their ids', () => {
  test('they are what a map from ids to rulings keeps', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(ruling, fc.nat(3)), { maxLength: 200 }), (steps) => {
        const [kept, plain] = [new ById(), new Map<string, Ruling>()]
        for (const [each, chance] of steps) {
          // As a map it is in order of last put.
          plain.delete(idOf(each))
          if (chance === 0) {
            kept.delete(idOf(each))
            continue
          }
          plain.set(idOf(each), each)
          kept.set(each)
        }
        const copied = kept.copy()
        for (const [i, [each, chance]] of steps.entries())
          if (i % 2 === 0) copied.delete(idOf(each))
          else if (chance > 0) copied.set({ ...each, because: 'only in the copy' })
        expect(kept.size).toBe(plain.size)
        expect([...kept.ids()].toSorted()).toEqual([...plain.keys()].toSorted())
        expect(new Map([...kept.values()].map((each) => [idOf(each), each]))).toEqual(plain)
        expect(new Set(kept.copy().values())).toEqual(new Set(plain.values()))
        expect(kept.oldestOfRules()).toBe([...plain].find(([, { by }]) => by === 'rules')?.[0])
        for (const [each] of steps) {
          const stands = plain.get(idOf(each))
          expect(kept.get(idOf(each))).toEqual(stands)
          if (each.by === 'rules') expect(kept.ofRules(each.target)).toEqual(stands)
          if (stands) expect(kept.ofTicket(stands.ticket)?.ticket).toBe(stands.ticket)
        }
      }),
    )
  })

  test('a round meets each once, so many at a time, and gives the ids of those that have ended by then', () => {
    fc.assert(
      fc.property(
        fc.array(ruling, { maxLength: 50 }),
        instant,
        fc.integer({ min: 1, max: 60 }),
        (rulings, now, most) => {
          const kept = new ById()
          for (const each of rulings) kept.set(each)
          const round = [...kept.endings(() => now, most)]
          const ended = [...kept.values()].filter(({ until = Infinity }) => until <= now)
          expect(round.flat().toSorted()).toEqual(ended.map(idOf).toSorted())
          for (const ids of round) expect(ids.length).toBeLessThanOrEqual(most)
          expect(round.length).toBeGreaterThanOrEqual(kept.size / most)
        },
      ),
    )
  })

  test('those put since are told from those before, and each that stays is met once while others come and go', () => {
    fc.assert(
      fc.property(
        fc.array(listing, { minLength: 1 }),
        fc.array(fc.tuple(listing, fc.boolean())),
        (before, meanwhile) => {
          const kept = new ById()
          for (const each of before) kept.set(each)
          const stay = new Set([...kept.ids()].filter((id) => !meanwhile.some(([each]) => idOf(each) === id)))
          const old = kept.puts
          const met: string[] = []
          for (const each of kept.values()) {
            met.push(idOf(each))
            const [next, goes] = meanwhile.pop() ?? []
            if (next && goes) kept.delete(idOf(next))
            else if (next) kept.set(next)
          }
          expect(met.filter((id) => stay.has(id)).toSorted()).toEqual([...stay].toSorted())
          expect(
            [...kept.ids(old)].filter((id) => !stay.has(id)).every((id) => before.some((each) => idOf(each) === id)),
          ).toBe(true)
          for (const id of stay) expect([...kept.ids(old)]).toContain(id)
        },
      ),
    )
  })

  test('they are counted by the word that stands, those that are excepted apart', () => {
    fc.assert(
      fc.property(fc.array(listing), instant, (all, now) => {
        const kept = new Listings()
        const plain = new Map<string, Ruling>()
        for (const [i, each] of all.entries()) {
          if (each.target.includes(':')) continue
          expect(kept.set(numberOfDotted(each.target), each, i)).toBe(true)
          plain.set(each.target, each)
        }
        const expected = { block: 0, defer: 0, observe: 0, except: 0 }
        for (const { target, stands } of plain.values()) {
          const word = stands?.find(({ until }) => until > now)?.word
          if (word) expected[target.startsWith('203.') ? 'except' : word]++
        }
        expect(kept.tally(now, (whole) => dottedOf(whole).startsWith('203.'))).toEqual(expected)
      }),
    )
  })
})

describe('listings', () => {
  test('thousands come, go and come again, and each is found, with its sentence', () => {
    const kept = new Listings()
    const listed = (n: number, because: string): Ruling => ({
      by: 'rules',
      target: dottedOf(n),
      word: 'block',
      since: n,
      until: n + 1,
      stands: [{ word: 'block', until: n + 1 }],
      enforced: [],
      ticket: ticketOf(dottedOf(n), n),
      because,
    })
    const numbers = Array.from({ length: 5000 }, (_, i) => (i * 65_521 * 13) >>> 0)
    for (const [i, n] of numbers.entries()) expect(kept.set(n, listed(n, `because ${i % 7}`), i)).toBe(true)
    for (const n of numbers.filter((_, i) => i % 3 === 0)) expect(kept.delete(n)).toBe(true)
    expect(numbers.map((n) => kept.get(n))).toEqual(
      numbers.map((n, i) => (i % 3 === 0 ? undefined : listed(n, `because ${i % 7}`))),
    )
    for (const [i, n] of numbers.entries()) if (i % 3 === 0) kept.set(n, listed(n, `again ${i % 5}`), 5000 + i)
    expect(kept.size).toBe(5000)
    expect(kept.oldest()).toEqual({ whole: numbers[1], put: 1 })
    expect(numbers.map((n) => kept.get(n))).toEqual(
      numbers.map((n, i) => listed(n, i % 3 === 0 ? `again ${i % 5}` : `because ${i % 7}`)),
    )
  })

  test('more sentences than anybody has rules are not taken, until others have gone', () => {
    const kept = new Listings()
    const listed = (n: number): Ruling => ({
      by: 'rules',
      target: dottedOf(n),
      word: 'block',
      since: 1,
      until: 2,
      stands: [{ word: 'block', until: 2 }],
      enforced: [{ word: 'block', until: 2 }],
      ticket: '0000-0000',
      because: `for the ${n}th reason`,
    })
    for (let n = 0; n < 10_000; n++) kept.set(n, listed(n), n)
    expect(kept.size).toBe(10_000)
    expect(kept.set(10_000, listed(10_000), 10_000)).toBe(false)
    expect(kept.delete(77)).toBe(true)
    expect(kept.set(10_000, listed(10_000), 10_000)).toBe(true)
    expect(kept.get(10_000)).toEqual(listed(10_000))
  })
})

test('what is read of a store is what was written, by the short way and by the long one', () => {
  fc.assert(
    fc.property(ruling, (each) => {
      // An unknown key goes the same way, and is left out.
      const read = readRuling(idOf(each), JSON.stringify({ ...each, more: 1 }))
      if (each.by === 'rules' && each.author === undefined && each.grace === undefined) expect(read).toEqual(each)
      expect(readRuling(`${idOf(each)}0`, JSON.stringify(each))).toBeUndefined()
    }),
  )
})

test.each([
  ['a time before 1970', { since: -1 }],
  ['half a millisecond', { until: 0.5 }],
  ['a word nobody knows', { word: 'ban' }],
  ['an address as nobody writes it', { target: '203.0.113.09' }],
  ['three octets', { target: '203.0.113' }],
  ['four words', { stands: Array.from({ length: 4 }, () => ({ word: 'block', until: 1 })) }],
  ['a stand without its end', { enforced: [{ word: 'block' }] }],
  ['no stand at all', { enforced: [null] }],
  ['a ticket as long as a letter', { ticket: 'T'.repeat(33) }],
  ['a novel', { because: 'b'.repeat(1001) }],
  ['a sum that is text', { score: '1' }],
])('a ruling with %s is none', (_, change) => {
  const good = {
    by: 'rules',
    target: '203.0.113.9',
    word: 'block',
    since: 1,
    until: 2,
    stands: [{ word: 'block', until: 2 }],
    enforced: [{ word: 'block', until: 2 }],
    ticket: 'ABCD-EFGH',
    because: 'b',
    score: 1,
  }
  expect(readRuling('rules 203.0.113.9', JSON.stringify(good))).toEqual(good)
  const bad = { ...good, ...change }
  expect(readRuling(`rules ${bad.target}`, JSON.stringify(bad))).toBeUndefined()
})
