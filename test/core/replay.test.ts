import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Client, parseClient } from '../../src/core/client.ts'
import {
  clientOf,
  type Event,
  type Evidence,
  type Instant,
  type Kind,
  type Role,
  type Word,
} from '../../src/core/evidence.ts'
import { type FactName, HOUR_MS, NO_COUNTS, total, withSighting } from '../../src/core/facts.ts'
import { admit, newGuard, type Watch } from '../../src/core/outage.ts'
import {
  CLIENTS_MAX,
  factsOf,
  newPast,
  newWorld,
  rejudge,
  step,
  verdictOf,
  witness,
  type World,
  worldOf,
} from '../../src/core/replay.ts'
import { readRules, type Rules } from '../../src/core/rules.ts'

const T0 = Date.UTC(2026, 0, 5)
const MINUTE_MS = 60_000
const SOURCE = readFileSync(new URL('../../rules.yaml', import.meta.url), 'utf8')
const rulesWith = (allow: string): Rules => {
  const read = readRules('rules.yaml', SOURCE.replace('allow: []', allow))
  if (!read.ok) throw new Error('unsound')
  return read.rules
}
const rules = rulesWith('allow: []')

const client = (ip: string): Client => parseClient(ip) as Client
const seen = (at: Instant, ip: string, role: Role, kind: Kind): Evidence => ({
  type: 'evidence',
  at,
  client: ip,
  role,
  kind,
})
/** Talks first, and names a recipient of ours: blocked at once. */
const offence = (at: Instant, ip: string): Event[] => [
  seen(at, ip, 'backup', 'early-talk'),
  seen(at, ip, 'backup', 'recipient'),
]
const said = (at: Instant, word: Word['word'], target: string, until?: Instant): Word => ({
  type: 'word',
  at,
  word,
  target,
  until,
  because: `${word} ${target}`,
  author: 'me',
})
const probe = (at: Instant, outcome: 'up' | 'down' = 'up'): Event => ({ type: 'probe', at, mx: 'mx', outcome })

const tell = (events: readonly Event[], watch: Watch = 'trusted', under = rules): World =>
  events.reduce((world, event, i) => step(world, { seq: i + 1, event }), newWorld(under, watch))
const wordOf = (world: World, ip: string, now: Instant) => verdictOf(world, client(ip), now).word

const IPS = ['203.0.113.9', '203.0.113.10', '198.51.100.1', '2001:db8:1:2::1', '2001:db8:1:3::1', '10.0.0.1']
const TARGETS = [
  '203.0.113.9/32',
  '203.0.113.0/24',
  '198.51.100.1/32',
  '2001:db8:1:2::/64',
  '2001:db8:1::/48',
  '0.0.0.0/0',
]
const moment = fc.nat(40 * HOUR_MS).map((ms) => T0 + ms)
const anyWatch = fc.constantFrom<Watch>('witness', 'blind', 'trusted')
const anyEvent: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc
      .tuple(
        moment,
        fc.constantFrom(...IPS),
        fc.constantFrom<Kind>('contact', 'recipient', 'early-talk', 'trap-recipient'),
      )
      .map(([at, ip, kind]): Event => seen(at, ip, 'backup', kind)),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(moment, fc.constantFrom(...IPS), fc.constantFrom<Kind>('passed', 'refused'))
      .map(([at, ip, kind]): Event => seen(at, ip, 'real', kind)),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(moment, fc.constantFrom<'up' | 'down'>('up', 'up', 'down'))
      .map(([at, outcome]): Event => probe(at, outcome)),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(moment, fc.constantFrom<Word['word']>('allow', 'block', 'release'), fc.constantFrom(...TARGETS))
      .map(([at, word, target]): Event => said(at, word, target)),
  },
)
const recording = fc.array(anyEvent, { maxLength: 80 }).map((events) => events.toSorted((a, b) => a.at - b.at))
const END = T0 + 41 * HOUR_MS

describe('any recording', () => {
  test('ends in the facts of what was admitted and not forgotten', () => {
    fc.assert(
      fc.property(recording, anyWatch, (events, watch) => {
        const world = tell(events, watch)
        let guard = newGuard(watch)
        let kept: { evidence: Evidence; fact: FactName }[] = []
        events.forEach((event, i) => {
          const admission = admit(guard, i + 1, event)
          guard = admission.guard
          for (const { evidence } of admission.counted)
            kept.push({ evidence, fact: `${evidence.role}.${evidence.kind}` })
          for (const { evidence, why } of admission.waived) kept.push({ evidence, fact: `${why}.${evidence.kind}` })
        })
        for (const word of events)
          if (word.type === 'word' && word.word === 'release')
            kept = kept.filter(({ evidence }) => evidence.at > word.at || !inside(word.target, evidence.client))
        for (const ip of IPS) {
          const own = kept.filter(({ evidence }) => clientOf(evidence).key === client(ip).key)
          expect(factsOf(world, client(ip)).own).toEqual(
            own.reduce((counts, { evidence, fact }) => withSighting(counts, fact, evidence.at), NO_COUNTS),
          )
        }
      }),
      { numRuns: 300 },
    )
  })

  /** By hand, for these addresses only. */
  function inside(target: string, ip: string): boolean {
    const [base = '', length] = target.split('/')
    if (length === '0') return !ip.includes(':')
    if (length === '32') return base === ip
    if (length === '24') return ip.startsWith(base.slice(0, -1))
    return ip.startsWith(length === '64' ? base.slice(0, -1) : base.slice(0, -2))
  }

  test('never lists a private address, and whom the operator allows is allowed', () => {
    fc.assert(
      fc.property(recording, (events) => {
        const world = tell(events)
        expect(['clean', 'allow']).toContain(wordOf(world, '10.0.0.1', END))
        const allowed = step(world, { seq: 1000, event: said(END, 'allow', '0.0.0.0/0') })
        expect(wordOf(allowed, '203.0.113.9', END)).toBe('allow')
      }),
    )
  })

  test('of two clients who have nothing to do with each other: told together as told alone', () => {
    fc.assert(
      fc.property(recording, (events) => {
        const about = (network: string) =>
          events.filter((each) => each.type === 'evidence' && clientOf(each).network === network)
        const [one, other] = [about(client('203.0.113.9').network), about(client('2001:db8:1:2::1').network)]
        const together = tell([...one, ...other].toSorted((a, b) => a.at - b.at))
        expect(verdictOf(together, client('203.0.113.9'), END)).toEqual(
          verdictOf(tell(one), client('203.0.113.9'), END),
        )
        expect(verdictOf(together, client('2001:db8:1:2::1'), END)).toEqual(
          verdictOf(tell(other), client('2001:db8:1:2::1'), END),
        )
      }),
    )
  })
})

describe("the rules' word", () => {
  test('a listing says who, until when and why, and ends', () => {
    const world = tell(offence(T0, '203.0.113.9'))
    const found = verdictOf(world, client('203.0.113.9'), T0 + 1)
    expect(found).toMatchObject({
      word: 'block',
      by: 'rules',
      because: expect.stringContaining('before being greeted'),
    })
    expect(found.until).toBeGreaterThanOrEqual(T0 + 24 * HOUR_MS)
    expect(wordOf(world, '203.0.113.9', (found.until ?? 0) - 1)).toBe('block')
    expect(wordOf(world, '203.0.113.9', found.until ?? 0)).toBe('defer')
    expect(wordOf(world, '203.0.113.9', T0 + 30 * 24 * HOUR_MS)).toBe('clean')
    expect(verdictOf(world, client('192.0.2.1'), T0)).toMatchObject({ word: 'clean', by: undefined, until: undefined })
  })

  test('the allow-list of the rules stands above the operator’s block, until its end', () => {
    const listed = rulesWith('allow:\n  - client: 203.0.113.0/24\n    because: a friend\n    until: 2026-01-06\n')
    const world = tell([...offence(T0, '203.0.113.9'), said(T0, 'block', '203.0.113.9/32')], 'trusted', listed)
    expect(verdictOf(world, client('203.0.113.9'), T0)).toMatchObject({
      word: 'allow',
      by: 'rules',
      because: 'a friend',
    })
    expect(verdictOf(world, client('203.0.113.9'), Date.UTC(2026, 0, 6))).toMatchObject({
      word: 'block',
      by: 'operator',
    })
  })
})

describe("the operator's word", () => {
  test('allow beats block, whichever is wider and whichever came last', () => {
    const world = tell([
      said(T0, 'allow', '192.0.2.0/24'),
      said(T0 + 1, 'block', '192.0.2.9/32'),
      said(T0 + 2, 'block', '192.0.0.0/16'),
    ])
    expect(verdictOf(world, client('192.0.2.9'), T0 + 3)).toMatchObject({
      word: 'allow',
      by: 'operator',
      because: 'allow 192.0.2.0/24',
    })
    expect(verdictOf(world, client('192.0.3.9'), T0 + 3)).toMatchObject({
      word: 'block',
      because: 'block 192.0.0.0/16',
    })
  })

  test('a new word about the same target takes the place of the old one', () => {
    const world = tell([said(T0, 'allow', '192.0.2.0/24'), said(T0 + 1, 'block', '192.0.2.0/24')])
    expect(wordOf(world, '192.0.2.9', T0 + 2)).toBe('block')
  })

  test('when it ends, the wider one beneath it stands again', () => {
    const world = tell([said(T0, 'block', '192.0.0.0/16'), said(T0, 'block', '192.0.2.0/24', T0 + 10)])
    expect(verdictOf(world, client('192.0.2.9'), T0 + 9)).toMatchObject({
      until: T0 + 10,
      because: 'block 192.0.2.0/24',
    })
    expect(verdictOf(world, client('192.0.2.9'), T0 + 10)).toMatchObject({
      until: undefined,
      because: 'block 192.0.0.0/16',
    })
  })

  test('one that had ended before it was said changes nothing', () => {
    expect(
      wordOf(
        tell([said(T0, 'block', '192.0.2.0/24'), said(T0 + 2, 'allow', '192.0.2.0/24', T0 + 1)]),
        '192.0.2.9',
        T0 + 2,
      ),
    ).toBe('block')
  })

  test('release frees and forgets, and what comes afterwards counts from nothing', () => {
    const guilty = [...offence(T0, '203.0.113.9'), ...offence(T0, '203.0.113.10')]
    const freed = [...guilty, said(T0 + MINUTE_MS, 'release', '203.0.113.9/32')]
    expect(verdictOf(tell(freed), client('203.0.113.9'), T0 + MINUTE_MS)).toMatchObject({
      word: 'clean',
      verdict: { score: 0, reasons: [] },
    })
    expect(wordOf(tell(freed), '203.0.113.10', T0 + MINUTE_MS)).toBe('block')
    // Its order is believed for a day; and when the day is over, only what came after it counts as for anybody.
    const polite = [...freed, seen(T0 + 2 * MINUTE_MS, '203.0.113.9', 'backup', 'recipient')]
    expect(verdictOf(tell(polite), client('203.0.113.9'), T0 + 3 * MINUTE_MS)).toMatchObject({
      word: 'clean',
      verdict: { score: 0, reasons: [{ rule: 'backup-first', waived: 1, excuse: 'release' }] },
    })
    expect(verdictOf(tell(polite), client('203.0.113.9'), T0 + 25 * HOUR_MS).verdict.score).toBeGreaterThan(4)
    const rude = [...freed, ...offence(T0 + 2 * MINUTE_MS, '203.0.113.9')]
    expect(wordOf(tell(rude), '203.0.113.9', T0 + 3 * MINUTE_MS)).toBe('block')
  })

  test('hours that began after the release stay, those that had begun go', () => {
    // Told late: another thread had written its evidence before the operator's word reached the journal.
    const world = tell([
      seen(T0, '203.0.113.9', 'backup', 'recipient'),
      seen(T0 + 2 * HOUR_MS, '203.0.113.9', 'backup', 'recipient'),
      said(T0 + HOUR_MS, 'release', '203.0.113.9/32'),
      seen(T0 + 1, '203.0.113.9', 'backup', 'recipient'),
    ])
    expect(total(factsOf(world, client('203.0.113.9')).own, 'backup.recipient')).toBe(1)
  })

  test('of a client that nobody knew, too, what was seen up to the release is forgotten', () => {
    const world = tell([
      said(T0, 'release', '203.0.113.0/24'),
      seen(T0, '203.0.113.9', 'backup', 'recipient'),
      seen(T0 + 1, '203.0.113.9', 'backup', 'recipient'),
    ])
    expect(total(factsOf(world, client('203.0.113.9')).own, 'backup.recipient')).toBe(1)
  })

  test('release of a network frees every client inside, and of an IPv6 address its whole /64', () => {
    const world = tell([
      ...IPS.flatMap((ip) => offence(T0, ip)),
      said(T0 + 1, 'release', '203.0.113.0/24'),
      said(T0 + 1, 'release', '2001:db8:1:2::9'),
    ])
    expect(IPS.map((ip) => wordOf(world, ip, T0 + 2))).toEqual(['clean', 'clean', 'block', 'clean', 'block', 'clean'])
  })

  test('release forgets what still waits for a probe', () => {
    const waiting = [
      probe(T0),
      ...['contact', 'trap-recipient'].map((kind) => seen(T0 + 1, '203.0.113.9', 'backup', kind as Kind)),
    ]
    expect(wordOf(tell([...waiting, probe(T0 + MINUTE_MS)], 'witness'), '203.0.113.9', T0 + MINUTE_MS)).toBe('observe')
    const released = [...waiting, said(T0 + 2, 'release', '203.0.113.0/24'), probe(T0 + MINUTE_MS)]
    expect(verdictOf(tell(released, 'witness'), client('203.0.113.9'), T0 + MINUTE_MS)).toMatchObject({
      word: 'clean',
      verdict: { score: 0 },
    })
  })

  test('a target that is no prefix is passed over', () => {
    expect(tell([said(T0, 'block', '192.0.2.1/24')]).words.size).toBe(0)
  })
})

test('each box has a guard of its own, and the facts of all are one', () => {
  const world = worldOf(
    newPast(() => 'witness'),
    rules,
  )
  const boxes = { east: 0, west: 0 }
  const hear = (box: keyof typeof boxes, event: Event) =>
    rejudge(world, witness(world, { seq: ++boxes[box], event }, box), event.at)
  const hit = (at: Instant) => seen(at, '203.0.113.9', 'backup', 'recipient')
  for (const box of ['east', 'west'] as const) hear(box, probe(T0, box === 'east' ? 'up' : 'down'))
  for (const box of ['east', 'west'] as const) hear(box, hit(T0 + 1))
  for (const box of ['east', 'west'] as const) hear(box, probe(T0 + 2))
  const { own } = factsOf(world, client('203.0.113.9'))
  expect([total(own, 'backup.recipient'), total(own, 'outage.recipient')]).toEqual([1, 1])
})

test('several rules judge one past, each as if it were alone with it', () => {
  fc.assert(
    fc.property(fc.array(anyEvent, { maxLength: 60 }), anyWatch, (events, watch) => {
      const told = events.toSorted((a, b) => a.at - b.at)
      const harsh = { ...rules, thresholds: { observe: 1, defer: 5, block: 10 } }
      const past = newPast(() => watch)
      const worlds = [rules, harsh].map((each) => worldOf(past, each))
      for (const [i, event] of told.entries()) {
        const seen = witness(past, { seq: i + 1, event })
        for (const world of worlds) rejudge(world, seen, event.at)
      }
      for (const world of worlds) expect(world.listings).toEqual(tell(told, watch, world.rules).listings)
    }),
  )
})

test('what the guard let go by is counted, by its reason', () => {
  const world = tell(
    [
      seen(T0, '203.0.113.9', 'backup', 'contact'),
      probe(T0 + 1),
      seen(T0 + 2, '203.0.113.9', 'backup', 'contact'),
      seen(T0 + 2, '203.0.113.9', 'backup', 'recipient'),
      probe(T0 + 3, 'down'),
    ],
    'witness',
  )
  expect(world.waived).toEqual({ unwatched: 1, outage: 2 })
})

test('a world keeps at most CLIENTS_MAX clients; the one touched longest ago goes first', () => {
  const full = newWorld(rules, 'trusted')
  for (let i = 0; i < CLIENTS_MAX; i++) full.clients.set(`${i}`, { counts: new Map(), forgottenAt: 0 })
  const world = step(full, { seq: 1, event: seen(T0, '203.0.113.9', 'backup', 'contact') })
  expect(world.clients.size).toBe(CLIENTS_MAX)
  expect(world.clients.has('0')).toBe(false)
  expect(world.clients.has('203.0.113.9')).toBe(true)
})
