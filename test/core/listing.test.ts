import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Client, parseClient } from '../../src/core/client.ts'
import { type FactName, type Facts, HOUR_MS, NO_COUNTS, NO_FACTS, withSighting } from '../../src/core/facts.ts'
import { effectOf, endOf, isHeavier, type Listing, renew, type Stand, standOf } from '../../src/core/listing.ts'
import { type Rules, type Standing, STANDINGS } from '../../src/core/rules.ts'
import { judge, type Reached, type Verdict } from '../../src/core/verdict.ts'
import { shippedRules } from '../rules.ts'

const T0 = Date.UTC(2026, 0, 5)
const DAY_MS = 24 * HOUR_MS
const BOT = parseClient('203.0.113.9') as Client
const shipped = shippedRules()

const time = fc.nat(60 * DAY_MS).map((ms) => T0 + ms)
/** Words from the heaviest that is reached down, as judge gives them. */
const reached = fc
  .tuple(fc.constantFrom(0, 1, 2, 3), fc.array(time, { minLength: 3, maxLength: 3 }))
  .map(([from, ends]): Reached[] =>
    STANDINGS.slice(from).map((word, i) => ({ word, clearsAt: ends.toSorted((a, b) => a - b)[i] as number })),
  )
/** What the enforced rules reach is no more, and clears no later. */
const verdict = fc
  .tuple(reached, fc.constantFrom(0, 1, 2, 3), fc.nat(DAY_MS))
  .map(([reached, less, sooner]): Verdict => {
    const enforced = reached.slice(less).map(({ word, clearsAt }) => ({ word, clearsAt: clearsAt - sooner }))
    const bare = judge(BOT, NO_FACTS, shipped, T0)
    return { ...bare, word: reached[0]?.word ?? 'clean', clearsAt: reached[0]?.clearsAt, reached, enforced }
  })
const history = fc.array(fc.tuple(verdict, fc.nat(3 * DAY_MS)), { maxLength: 8 })
const lived = (steps: readonly (readonly [Verdict, number])[]): { listing: Listing | undefined; now: number } => {
  let [listing, now]: [Listing | undefined, number] = [undefined, T0]
  for (const [verdict, later] of steps) {
    now += later
    listing = renew(listing, verdict, shipped, now)
  }
  return { listing, now }
}
const ends = (stands: readonly Stand[] = []) => new Map(stands.map(({ word, until }) => [word, until]))

describe('a listing', () => {
  test('no verdict shortens a word that stands, and its ticket stays until it grows heavier', () => {
    fc.assert(
      fc.property(history, verdict, fc.nat(3 * DAY_MS), (before, verdict, later) => {
        const { listing: old, now: then } = lived(before)
        const now = then + later
        const next = renew(old, verdict, shipped, now)
        for (const track of ['stands', 'enforced'] as const)
          for (const { word, until } of old?.[track] ?? [])
            if (until > now) expect(ends(next?.[track]).get(word)).toBeGreaterThanOrEqual(until)
        const [was, is] = [standOf(old?.stands ?? [], now), next?.stands[0]]
        if (is) expect(next?.since).toBe(was && !isHeavier(is.word, was.word) ? old?.since : now)
      }),
    )
  })

  test('each word stands its time, and as long as the sum is above its threshold', () => {
    fc.assert(
      fc.property(verdict, time, (verdict, now) => {
        const next = renew(undefined, verdict, shipped, now)
        expect(next === undefined).toBe(verdict.word === 'clean')
        for (const track of ['stands', 'enforced'] as const)
          expect(next?.[track] ?? []).toEqual(
            next
              ? verdict[track === 'stands' ? 'reached' : 'enforced'].map(({ word, clearsAt }) => ({
                  word,
                  until: Math.max(now + shipped.standsMs[word], clearsAt),
                }))
              : [],
          )
      }),
    )
  })

  test('words stand heaviest first, each once, and none that has ended', () => {
    fc.assert(
      fc.property(history, (steps) => {
        const { listing, now } = lived(steps)
        const words = listing?.stands.map(({ word }) => word) ?? []
        expect(words).toEqual(STANDINGS.filter((word) => words.includes(word)))
        expect(listing?.stands.every(({ until }) => until > now)).not.toBe(false)
        expect(listing?.stands.length).not.toBe(0)
      }),
    )
  })

  test('when a block ends, the deferral that was reached with it stands on while it is due', () => {
    const seen: [FactName, number][] = [
      ['backup.early-talk', T0],
      ['backup.recipient', T0],
    ]
    const counts = seen.reduce((counts, [fact, at]) => withSighting(counts, fact, at), NO_COUNTS)
    const facts: Facts = { own: counts, network: counts }
    const listing = renew(undefined, judge(BOT, facts, shipped, T0), shipped, T0) as Listing
    const { stands } = listing
    expect(stands.map(({ word }) => word)).toEqual(['block', 'defer', 'observe'])
    const [block, defer, observe] = stands.map(({ until }) => until) as [number, number, number]
    expect(block).toBeLessThan(defer)
    expect(standOf(stands, block - 1)?.word).toBe('block')
    expect(standOf(stands, block)?.word).toBe('defer')
    expect(judge(BOT, facts, shipped, defer - 60_000).score).toBeGreaterThanOrEqual(shipped.thresholds.defer)
    expect(standOf(stands, defer)?.word).toBe('observe')
    expect(standOf(stands, observe)).toBeUndefined()
    expect(endOf(listing)).toBe(observe)
  })

  test('that has ended is no longer there', () => {
    const clean = judge(BOT, NO_FACTS, shipped, T0)
    const until = (at: number): Listing => ({ since: 0, stands: [{ word: 'block', until: at }], enforced: [] })
    expect(renew(until(T0), clean, shipped, T0)).toBeUndefined()
    expect(renew(until(T0 + 1), clean, shipped, T0)).toEqual(until(T0 + 1))
  })
})

describe('what askers are told', () => {
  const stands = (...words: Standing[]): Stand[] => words.map((word) => ({ word, until: T0 + HOUR_MS }))
  const modes = (each: Partial<Rules['modes']>): Rules => ({ ...shipped, modes: { ...shipped.modes, ...each } })

  test.each<[string, Standing[], Partial<Rules['modes']>, 'pass' | Standing]>([
    ['all enforced: the heaviest', ['block', 'defer', 'observe'], {}, 'block'],
    ['block in mode observe: the next that is enforced', ['block', 'defer', 'observe'], { block: 'observe' }, 'defer'],
    ['defer in mode observe: no deferral, but blocks', ['block', 'defer'], { defer: 'observe' }, 'block'],
    ['defer in mode observe: not deferred', ['defer', 'observe'], { defer: 'observe' }, 'observe'],
    ['all in mode observe', ['block', 'defer'], { block: 'observe', defer: 'observe' }, 'pass'],
    ['the enforced rules reach nothing', [], {}, 'pass'],
  ])('%s', (_, enforced, each, effect) => {
    expect(effectOf({ enforced: stands(...enforced) }, modes(each), T0)).toBe(effect)
  })

  test('what has ended is not told', () => {
    expect(effectOf({ enforced: stands('block') }, shipped, T0 + HOUR_MS)).toBe('pass')
  })

  test('a rule in mode observe alone refuses nobody; with enough from the others it adds nothing to what is told', () => {
    const observing = { ...shipped, list: shipped.list.map((rule) => ({ ...rule, mode: 'observe' as const })) }
    const half = {
      ...shipped,
      list: shipped.list.map((rule) => (rule.name === 'trap' ? rule : { ...rule, mode: 'observe' as const })),
    }
    const seen: FactName[] = ['backup.early-talk', 'backup.recipient', 'backup.trap-recipient', 'backup.trap-recipient']
    const own = seen.reduce((counts, fact) => withSighting(counts, fact, T0), NO_COUNTS)
    const told = (rules: Rules) => {
      const verdict = judge(BOT, { own, network: own }, rules, T0)
      const listing = renew(undefined, verdict, rules, T0) as Listing
      return [listing.stands[0]?.word, effectOf(listing, rules, T0), verdict.enforcedScore]
    }
    expect(told(shipped)).toEqual(['block', 'block', judge(BOT, { own, network: own }, shipped, T0).score])
    expect(told(observing)).toEqual(['block', 'pass', 0])
    expect(told(half)).toEqual(['block', 'block', 120])
    expect(told({ ...half, thresholds: { ...half.thresholds, block: 121 } })).toEqual(['block', 'defer', 120])
  })
})
