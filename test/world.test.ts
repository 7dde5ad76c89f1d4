/**
 * The promise that matters most: wherever outages fall, honest senders are neither listed nor kept waiting. Many made-up
 * weeks, lived by the code that decides in the daemon. And the world itself is tried: with rules that have no excuses it
 * does find honest senders listed.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Entry, fromLine, toLine } from '../src/core/evidence.ts'
import { DEFAULT_LAYOUT, type Layout, readLayout } from '../src/core/mx.ts'
import { newWorld, step } from '../src/core/replay.ts'
import type { Rules } from '../src/core/rules.ts'
import { HONEST } from '../src/simulation/honest.ts'
import type { Behaviour } from '../src/simulation/senders.ts'
import { TROUBLES, type Weather } from '../src/simulation/weather.ts'
import { NO_WEEKS, rateOf, storyOf, type Weeks, withWeek } from '../src/simulation/weeks.ts'
import { BEGINS_AT, inForce, liveWeek, type Week, type WeekOptions } from '../src/simulation/world.ts'
import { shippedRules } from './rules.ts'

const HOUR_MS = 3_600_000
const rules = shippedRules()
const layoutOf = (text: string): Layout => {
  const layout = readLayout(text)
  if (typeof layout === 'string') throw new Error(layout)
  return layout
}
const layout = layoutOf(DEFAULT_LAYOUT)
const week = (options: Partial<WeekOptions> = {}): Week => liveWeek({ rules, layout, seed: 1, ...options })
const weeks = (seeds: readonly number[], options: Partial<WeekOptions> = {}): Weeks =>
  seeds.reduce((sum, seed) => withWeek(sum, week({ ...options, seed })), NO_WEEKS)
const seeds = (from: number, many: number) => Array.from({ length: many }, (_, i) => from + i)
const sum = (
  { kinds }: Weeks,
  of: 'honest' | 'stranded' | 'bot',
  what: 'senders' | 'observed' | 'listed' | 'messages' | 'delayed' | 'refused',
) => kinds.filter((kind) => kind.of === of).reduce((total, kind) => total + kind[what], 0)
const named = (...kinds: string[]): Behaviour[] => HONEST.filter(({ kind }) => kinds.includes(kind))
const blamed = ({ mishaps }: Weeks, options: Partial<WeekOptions> = {}): string[] =>
  mishaps.map(({ seed, sender, listed }) => {
    const { finding } = storyOf({ rules, layout, seed, ...options }, listed)
    const reasons = finding.verdict.reasons.map(({ rule, weight, count }) => `${rule} ${weight.toFixed(1)} (${count})`)
    return `seed ${seed} ${sender} ${listed.client.ip} ${listed.word}: ${reasons.join(', ')}`
  })

/** The rules we ship without any excuse: what a simpler design would do. */
const merciless: Rules = {
  ...rules,
  list: rules.list.map((rule) => ({ ...rule, kind: 'violation', unlessSeenMs: undefined, unlessWalkedMs: undefined })),
}

describe('many made-up weeks', { timeout: 240_000 }, () => {
  test('no honest sender is listed, no message of theirs is delayed; and bots are caught', () => {
    const lived = weeks(seeds(1, 20))
    expect(blamed(lived)).toEqual([])
    expect(sum(lived, 'honest', 'senders')).toBeGreaterThan(1000)
    expect(sum(lived, 'honest', 'messages')).toBeGreaterThan(20_000)
    for (const what of ['listed', 'delayed', 'refused'] as const) expect(sum(lived, 'honest', what)).toBe(0)

    const percent = (share: number) => `${Math.round(share * 100)} %`
    const rates = lived.kinds.flatMap(({ of, kind, weekly }) => {
      const found = rateOf(weekly)
      return of === 'bot' && found ? [{ kind, ...found }] : []
    })
    for (const { kind, rate, low, high } of rates)
      process.stdout.write(`caught: ${kind.padEnd(16)} ${percent(rate)} (${percent(low)} to ${percent(high)})\n`)
    const rate = Object.fromEntries(rates.map((each) => [each.kind, each.rate]))
    expect(rate['pregreeter']).toBeGreaterThan(0.9)
    expect(rate['http-proxy']).toBeGreaterThan(0.6)
    expect(rate['backup-slow']).toBeGreaterThan(0.3)
    expect(rate['backup-retrier']).toBeGreaterThan(0.5)
    expect(rate['trap-hitter']).toBeGreaterThan(0.5)
    // Whoever walks the right way, or never comes to a decoy that talks, is not ours to judge.
    expect(rate).toMatchObject({ 'correct-walker': 0, 'real-only': 0, 'primary-only': 0 })
  })

  test('nor in four weeks on end, where something could add up', () => {
    const lived = weeks(seeds(100, 2), { days: 28, behaviours: HONEST })
    expect(blamed(lived, { days: 28, behaviours: HONEST })).toEqual([])
    expect(sum(lived, 'honest', 'delayed')).toBe(0)
  })

  test.each(['primary:5,real:20', 'primary:5,real:20,real:20,real:30,backup:90'])('nor at %s', (text) => {
    const options = { layout: layoutOf(text), behaviours: HONEST }
    const lived = weeks(seeds(200, 2), options)
    expect(blamed(lived, options)).toEqual([])
    expect(sum(lived, 'honest', 'delayed')).toBe(0)
  })

  // Nobody can be seen to walk the right way there, so a sender that cannot reach the real MX for half a day looks guilty.
  test('nor at real:20,backup:90, if the rules that need the primary are on trial; else some are', () => {
    const options = { layout: layoutOf('real:20,backup:90'), behaviours: HONEST }
    const bad = [1012, 1014, 1025, 1026]
    expect(sum(weeks(bad, options), 'honest', 'listed')).toBeGreaterThan(0)
    const list = rules.list.map((rule) =>
      rule.unlessWalkedMs === undefined ? rule : { ...rule, mode: 'observe' as const },
    )
    const careful = { ...options, rules: { ...rules, list } }
    const lived = weeks(bad, careful)
    expect(blamed(lived, careful)).toEqual([])
    expect(sum(lived, 'honest', 'delayed')).toBe(0)
    expect(sum(lived, 'honest', 'observed')).toBeGreaterThan(0)
  })

  test('nor where no witness looks at the real MX', () => {
    const options = { watch: 'blind', behaviours: HONEST } as const
    const lived = weeks(seeds(300, 2), options)
    expect(blamed(lived, options)).toEqual([])
    expect(sum(lived, 'honest', 'delayed')).toBe(0)
  })

  test('the same weeks under rules without excuses list honest senders: the world can tell', () => {
    const lived = weeks(seeds(1, 3), { rules: merciless, behaviours: HONEST })
    expect(sum(lived, 'honest', 'listed')).toBeGreaterThan(10)
    expect(sum(lived, 'honest', 'refused')).toBeGreaterThan(0)
    const [first] = lived.mishaps
    const { journal, finding } = storyOf(
      { rules: merciless, layout, seed: first!.seed, behaviours: HONEST },
      first!.listed,
    )
    expect(finding.word).toBe(first!.listed.word)
    expect(journal.length).toBeGreaterThan(0)
  })
})

describe('a pool that goes on at the next MX from another address', { timeout: 120_000 }, () => {
  // The real MX greylists, so its next try is the backup. Nothing but that order speaks against it, and nothing excuses it.
  const harsh: Rules = {
    ...rules,
    credit: { ...rules.credit, walk: 0, network: 0 },
    list: rules.list
      .filter(({ kind }) => kind === 'order')
      .map((rule) => ({ ...rule, weight: 110, unlessSeenMs: undefined, unlessWalkedMs: undefined })),
  }
  const weather: Weather = { troubles: [], greylist: 'before' }
  const [known] = named('known-pool')
  const { addresses, networks } = known!.pool!

  test('is not listed where DNS says whose it is, and would be where it does not', () => {
    const lived = weeks(seeds(1, 3), { rules: harsh, weather, behaviours: [known!] })
    expect(sum(lived, 'honest', 'senders')).toBe(3)
    expect(sum(lived, 'honest', 'observed') + sum(lived, 'honest', 'listed')).toBe(0)
    const unknown = { ...known!, pool: { addresses, networks } }
    expect(
      sum(weeks(seeds(1, 3), { rules: harsh, weather, behaviours: [unknown] }), 'honest', 'listed'),
    ).toBeGreaterThan(0)
  })
})

describe('whatever the outages', { timeout: 120_000 }, () => {
  const DAYS = 4
  const COMPLIANT = HONEST.filter(({ order, resumes }) => order === 'rfc' && !resumes).map((behaviour) => ({
    ...behaviour,
    senders: 1,
  }))
  const anyTrouble = fc
    .record({
      what: fc.constantFrom(...TROUBLES),
      from: fc.integer({ min: 0, max: DAYS * 24 * 60 }).map((minutes) => BEGINS_AT + minutes * 60_000),
      minutes: fc.integer({ min: 1, max: 3 * 24 * 60 }),
      begins: fc.double({ min: 0, max: 0.99, noNaN: true }),
      share: fc.double({ min: 0.05, max: 1, noNaN: true }),
    })
    .map(({ what, from, minutes, begins, share }) => {
      return { what, from, to: from + minutes * 60_000, begins, share: what === 'path' ? share : 1 }
    })
  const anyWeather: fc.Arbitrary<Weather> = fc.record({
    troubles: fc.array(anyTrouble, { maxLength: 6 }),
    greylist: fc.constantFrom('none', 'before', 'after'),
  })

  test('no compliant sender is listed, observed or delayed', () => {
    fc.assert(
      fc.property(anyWeather, fc.nat(1e6), (weather, seed) => {
        const options = { weather, behaviours: COMPLIANT, days: DAYS }
        const lived = weeks([seed], options)
        expect(blamed(lived, options)).toEqual([])
        expect(sum(lived, 'honest', 'observed') + sum(lived, 'honest', 'delayed')).toBe(0)
      }),
      { numRuns: 15 },
    )
  })
})

describe('the feedback trap: our own deferral sends honest mail to the backup', () => {
  // One visit to the backup is enough to be deferred; the real MX is sick for a while, and sends everybody there.
  const sick: Weather = {
    troubles: [{ what: 'sick', from: BEGINS_AT + 24 * HOUR_MS, to: BEGINS_AT + 24.9 * HOUR_MS, begins: 0, share: 1 }],
    greylist: 'none',
  }
  const hasty = (excuse: Partial<Rules['list'][number]>): Rules => {
    const first = rules.list.find(({ name }) => name === 'backup-first')
    return {
      ...rules,
      list: [
        { ...first!, kind: 'violation', weight: 75, unlessWalkedMs: undefined, unlessSeenMs: undefined, ...excuse },
      ],
    }
  }
  const options = { weather: sick, days: 4, behaviours: named('postfix', 'sendmail', 'exim') }

  test('with the excuse a deferral ends by itself, and nobody is refused', () => {
    const lived = weeks([1], { ...options, rules: hasty({ unlessSeenMs: 48 * HOUR_MS }) })
    expect(sum(lived, 'honest', 'delayed')).toBeGreaterThan(0)
    expect(lived.mishaps.map(({ listed }) => listed.word)).not.toContain('block')
    expect(sum(lived, 'honest', 'refused')).toBe(0)
  })

  test('and rules that forget the excuse do not feed on it either: after a "later" of ours no order counts', () => {
    const lived = weeks([1], { ...options, rules: hasty({}) })
    expect(sum(lived, 'honest', 'delayed')).toBeGreaterThan(0)
    expect(lived.mishaps.map(({ listed }) => listed.word)).not.toContain('block')
    expect(sum(lived, 'honest', 'refused')).toBe(0)
  })
})

describe('a week', () => {
  const told = (options: Partial<WeekOptions>): [Week, Entry[]] => {
    const journal: Entry[] = []
    return [week({ ...options, hear: (entry) => journal.push(entry) }), journal]
  }

  test('is the same again for its seed, and another for another', () => {
    const journals = [7, 7, 8].map((seed) => told({ seed, days: 1 })[1])
    expect(journals[1]).toEqual(journals[0])
    expect(journals[2]).not.toEqual(journals[0])
  })

  test('comes out in order of time, and its journal, written, read and folded again, ends in the same facts', () => {
    const [{ world }, journal] = told({ seed: 5, days: 3 })
    const moments = journal.map(({ event }) => event.at)
    expect(moments).toEqual(moments.toSorted((a, b) => a - b))
    const read = journal.map((entry) => fromLine(toLine(entry))!)
    const again = read.reduce(step, newWorld(inForce(rules), 'witness'))
    expect(again.clients.size).toBeGreaterThan(100)
    expect(again.listings.size).toBeGreaterThan(5)
    for (const part of ['clients', 'networks', 'listings', 'waived'] as const) expect(again[part]).toEqual(world[part])
  })
})
