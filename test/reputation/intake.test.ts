import { rmSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, onTestFinished, test } from 'vitest'
import { CANARY_MS, canaryBot } from '../../src/core/canary.ts'
import { type Client, parseClient } from '../../src/core/client.ts'
import { type Event, EVERYTHING, type Kind, type Role, type Word } from '../../src/core/evidence.ts'
import { type Counts, HOUR_MS, total } from '../../src/core/facts.ts'
import type { Watch } from '../../src/core/outage.ts'
import { factsOf, newWorld, step } from '../../src/core/replay.ts'
import type { Member } from '../../src/core/pools.ts'
import type { Rules } from '../../src/core/rules.ts'
import { openEmbedded } from '../../src/reputation/embedded.ts'
import { type Bounds, type Governor, newGovernor } from '../../src/reputation/governor.ts'
import { Intake, type IntakeHappening } from '../../src/reputation/intake.ts'
import { Journal } from '../../src/reputation/journal.ts'
import { Ledger } from '../../src/reputation/ledger.ts'
import type { Ruling, Store } from '../../src/reputation/store.ts'
import { folder } from '../folders.ts'
import { shippedRules } from '../rules.ts'

const NOON = Date.parse('2026-11-24T12:00:00Z')
const BOT = '203.0.113.9'
const RULES = shippedRules()
/** For what comes true by itself. */
const WITHIN_MS = 60_000

type Box = {
  readonly intake: Intake
  readonly journal: Journal
  readonly ledger: Ledger
  readonly store: Store
  readonly governor: Governor
  readonly told: IntakeHappening[]
  readonly record: (...events: Event[]) => Promise<void>
  readonly close: () => Promise<void>
}

/** Everything between an event and a ruling, on a real disk; `wrap` may stand between intake and store. */
async function box(
  path: string,
  options: {
    bounds?: Partial<Bounds>
    rules?: () => Rules
    watch?: Watch
    wrap?: (store: Store) => Store
    reads?: (journal: Journal) => Journal
    now?: () => number
    memberOf?: (client: Client) => Member
    identify?: (client: Client) => void
  } = {},
): Promise<Box> {
  const now = options.now ?? (() => NOON)
  const told: IntakeHappening[] = []
  const store = await openEmbedded(join(path, 'reputation.db'), { now, tell: () => {} })
  const ledger = new Ledger(store, { now, uptime: now, maxAgeMs: 60_000, tell: () => {} })
  const governor = newGovernor({ perMinute: 1000, perNetwork: 1000, goodShare: 1, ...options.bounds })
  const journal: Journal = await Journal.open(join(path, 'journal'), {
    keepMs: 1e10,
    bytesMax: 1e9,
    now,
    written: (entries) => intake.written(entries),
    tell: () => {},
  })
  const intake: Intake = new Intake({
    journal: options.reads?.(journal) ?? journal,
    store: options.wrap?.(store) ?? store,
    ledger,
    governor,
    rules: options.rules ?? (() => RULES),
    watch: options.watch ?? 'trusted',
    memberOf: options.memberOf ?? (() => undefined),
    identify: options.identify ?? (() => {}),
    now,
    tell: (happening) => told.push(happening),
  })
  await ledger.start()
  await intake.start(WITHIN_MS)
  let open = true
  const close = async () => {
    if (!open) return
    open = false
    await journal.close()
    await intake.close()
    ledger.close()
    await store.close()
  }
  onTestFinished(close)
  const record = async (...events: Event[]) => {
    await Promise.all(events.map((event) => journal.append(event)))
    expect(await intake.settled(journal.lastSeq, WITHIN_MS)).toBe(true)
  }
  return { intake, journal, ledger, store, governor, told, record, close }
}

function seen(kind: Kind, at = NOON, client = BOT, role: Role = 'backup'): Event {
  return { type: 'evidence', at, client, role, kind }
}

function countsOf(counts: Counts): Record<string, number> {
  return Object.fromEntries([...counts.keys()].map((fact) => [fact, total(counts, fact)]))
}

describe('intake', () => {
  test('evidence becomes facts of the client and of its network, and a ruling in the ledger', async () => {
    const { record, store, ledger } = await box(folder())
    await record(seen('contact'), seen('early-talk'), seen('recipient'))
    const facts = { 'backup.contact': 1, 'backup.early-talk': 1, 'backup.recipient': 1 }
    expect(countsOf(await store.counts(BOT))).toEqual(facts)
    expect(countsOf(await store.counts('203.0.113.0/24'))).toEqual(facts)
    expect(ledger.ofRules(BOT)).toMatchObject({ word: 'block', by: 'rules', since: NOON })
    expect(ledger.ofRules(BOT)?.until).toBeGreaterThan(NOON + 23 * 3_600_000)
  })

  test('a client is forgotten as if it had never come; what a canary did counts for minutes only', async () => {
    const { intake, record, store, ledger, told } = await box(folder())
    const canary = canaryBot(7)
    await record(seen('early-talk', NOON, canary.ip), seen('recipient', NOON, canary.ip))
    expect(ledger.ofRules(canary.key)).toMatchObject({ word: 'block' })
    await intake.forget(canary)
    expect(ledger.ofRules(canary.key)).toBeUndefined()
    for (const key of [canary.key, canary.network]) expect(countsOf(await store.counts(key))).toEqual({})
    const before = told.length
    const late = NOON - CANARY_MS - 1
    await record(seen('early-talk', late, canary.ip), seen('recipient', late, canary.ip))
    expect(told.slice(before)).toEqual([])
    expect(ledger.ofRules(canary.key)).toBeUndefined()
  })

  test('what is written while intake has just read the end of the journal is found there, too', async () => {
    let late: Promise<unknown> | undefined
    const reads = (journal: Journal): Journal =>
      new Proxy(journal, {
        get(target, name: keyof Journal) {
          const value = target[name]
          if (name !== 'read') return typeof value === 'function' ? (value as () => unknown).bind(target) : value
          return async function* (...words: Parameters<Journal['read']>) {
            yield* target.read(...words)
            // The end was seen, and the reader has not been told of it yet.
            if (words[1] === undefined) await (late ??= target.append(seen('early-talk')))
          }
        },
      })
    const { record, store } = await box(folder(), { reads })
    await record(seen('contact'))
    expect(countsOf(await store.counts(BOT))).toEqual({ 'backup.contact': 1, 'backup.early-talk': 1 })
  })

  test('a store that fails now and then costs no evidence and doubles none', async () => {
    let calls = 0
    const wrap = (store: Store): Store =>
      new Proxy(store, {
        get: (target, name: keyof Store) =>
          name === 'add'
            ? async (...words: Parameters<Store['add']>) => {
                const call = calls++ % 7
                if (call === 0) throw new Error('away')
                const touched = await target.add(...words)
                if (call === 1 || call === 3) throw new Error('added, but the answer was lost')
                return touched
              }
            : ((target[name] as (...words: unknown[]) => unknown).bind?.(target) ?? target[name]),
      })
    const { record, store, told } = await box(folder(), { wrap })
    for (let i = 0; i < 8; i++) await record(seen('contact', NOON + i))
    expect(countsOf(await store.counts(BOT))).toEqual({ 'backup.contact': 8 })
    expect(told.filter(({ what }) => what === 'counted')).toHaveLength(8)
    expect(told.some(({ what }) => what === 'blocked')).toBe(true)
    expect(told.some(({ what }) => what === 'flowing')).toBe(true)
  })

  test('what the journal holds and the store has lost is counted again from the start, once', async () => {
    const path = folder()
    const first = await box(path)
    for (let i = 0; i < 30; i++) await first.record(seen('contact', NOON + i))
    await first.record({
      type: 'word',
      at: NOON + 40,
      word: 'allow',
      target: '198.51.100.0/24',
      because: 'our newsletter',
      author: 'eve',
    })
    await first.close()
    for (const file of ['reputation.db', 'reputation.db-wal', 'reputation.db-shm'])
      rmSync(join(path, file), { force: true })
    const second = await box(path)
    expect(countsOf(await second.store.counts(BOT))).toEqual({ 'backup.contact': 30 })
    expect(second.ledger.allowFor(parseClient('198.51.100.7')!)).toMatchObject({ word: 'allow', author: 'eve' })
  })

  test('who was released, or allowed, is not listed again while a store that lost all is filled from the journal', async () => {
    const path = folder()
    const first = await box(path)
    const word = (word: 'release' | 'allow', target: string): Word => ({
      type: 'word',
      at: NOON + 50,
      word,
      target,
      because: 'a mistake',
      author: 'eve',
    })
    const [alone, neighbour, friend] = ['203.0.113.9', '198.51.100.4', '192.0.2.9']
    for (const ip of [alone, neighbour, friend])
      await first.record(seen('contact', NOON, ip), seen('early-talk', NOON, ip), seen('recipient', NOON, ip))
    await first.record(
      word('release', `${alone}/32`),
      word('release', '198.51.100.0/24'),
      word('allow', `${friend}/32`),
    )
    await first.close()
    for (const file of ['reputation.db', 'reputation.db-wal', 'reputation.db-shm'])
      rmSync(join(path, file), { force: true })

    const words: string[] = []
    const second = await box(path, {
      now: () => NOON + 1000,
      wrap: (store) =>
        new Proxy(store, {
          get: (target, name: keyof Store) =>
            name === 'put'
              ? async (ruling: Ruling) => {
                  words.push(`${ruling.by} ${ruling.word} ${ruling.target}`)
                  await target.put(ruling)
                }
              : ((target[name] as (...words: unknown[]) => unknown).bind?.(target) ?? target[name]),
        }),
    })
    expect(words, 'the words first, and of the rules only what stands').toEqual([
      `operator release ${alone}/32`,
      'operator release 198.51.100.0/24',
      `operator allow ${friend}/32`,
      `rules block ${friend}`,
    ])
    for (const ip of [alone, neighbour]) expect(await second.store.counts(ip)).toEqual(new Map())
    expect(second.ledger.allowFor(parseClient(friend) as Client)).toMatchObject({ word: 'allow' })
  })

  test('a restart adds nothing twice', async () => {
    const path = folder()
    for (let i = 1; i <= 3; i++) {
      const { record, store, close } = await box(path)
      await record(seen('contact', NOON + i))
      expect(countsOf(await store.counts(BOT))).toEqual({ 'backup.contact': i })
      await close()
    }
  })

  test('more than the queue holds is read from the journal again, in order and once', async () => {
    let open = () => {}
    const gate = new Promise<void>((resolve) => (open = resolve))
    const wrap = (store: Store): Store =>
      new Proxy(store, {
        get: (target, name: keyof Store) =>
          name === 'add'
            ? (...words: Parameters<Store['add']>) => gate.then(() => target.add(...words))
            : ((target[name] as (...words: unknown[]) => unknown).bind?.(target) ?? target[name]),
      })
    const { record, store } = await box(folder(), { wrap })
    const flood = Array.from({ length: 25_000 }, (_, i) => seen('contact', NOON, `198.51.${i % 100}.7`))
    const recorded = record(...flood)
    open()
    await recorded
    for (const i of [0, 50, 99])
      expect(countsOf(await store.counts(`198.51.${i}.7`))).toEqual({ 'backup.contact': 250 })
  })

  test('where a witness watches, a hit at the backup waits for the next good probe, over a restart, too', async () => {
    const path = folder()
    const probe = (at: number, outcome: 'up' | 'down'): Event => ({ type: 'probe', at, mx: '192.0.2.25:25', outcome })
    const first = await box(path, { watch: 'witness' })
    await first.record(probe(NOON, 'up'), seen('recipient', NOON + 1000))
    expect(countsOf(await first.store.counts(BOT))).toEqual({})
    expect(first.told).toContainEqual({ what: 'pending' })
    await first.record(probe(NOON + 2000, 'up'), seen('recipient', NOON + 3000))
    expect(countsOf(await first.store.counts(BOT))).toEqual({ 'backup.recipient': 1 })
    await first.close()
    const second = await box(path, { watch: 'witness' })
    await second.record(probe(NOON + 4000, 'down'), seen('recipient', NOON + 5000), probe(NOON + 6000, 'up'))
    expect(countsOf(await second.store.counts(BOT))).toEqual({ 'backup.recipient': 1, 'outage.recipient': 2 })
    expect(second.told.filter(({ what }) => what === 'waived').map((it) => 'why' in it && it.why)).toEqual([
      'outage',
      'outage',
    ])
  })

  test('after a restart it still knows of the outage before it', async () => {
    const path = folder()
    const probe = (at: number, outcome: 'up' | 'down'): Event => ({ type: 'probe', at, mx: '192.0.2.25:25', outcome })
    const first = await box(path, { watch: 'witness' })
    await first.record(probe(NOON, 'down'), probe(NOON + 1000, 'up'))
    expect(first.intake.freeze).toMatchObject({ why: 'grace' })
    await first.close()
    const second = await box(path, { watch: 'witness' })
    expect(second.intake.freeze).toMatchObject({ why: 'grace' })
    await second.record(seen('recipient', NOON + 2000))
    expect(second.intake.pendingOf(parseClient(BOT)!)).toMatchObject([{ kind: 'recipient' }])
    await second.record(probe(NOON + 3000, 'up'))
    expect(second.intake.pendingOf(parseClient(BOT)!)).toEqual([])
    expect(countsOf(await second.store.counts(BOT))).toEqual({ 'grace.recipient': 1 })
  })

  test('release takes the ruling back and forgets what led there; the same again lists again', async () => {
    const { record, ledger, store } = await box(folder())
    await record(seen('early-talk'), seen('recipient'))
    expect(ledger.ofRules(BOT)?.word).toBe('block')
    await record({
      type: 'word',
      at: NOON + 10,
      word: 'release',
      target: `${BOT}/32`,
      because: 'a customer',
      author: 'eve',
    })
    expect(ledger.ofRules(BOT)).toBeUndefined()
    expect(countsOf(await store.counts(BOT))).toEqual({})
    await record(seen('early-talk', NOON + 20), seen('recipient', NOON + 20))
    expect(ledger.ofRules(BOT)?.word).toBe('block')
  })

  test('release of a network frees all in it, and nobody else', async () => {
    const { record, ledger } = await box(folder())
    for (const client of [BOT, '203.0.113.10', '203.0.114.1'])
      await record(seen('early-talk', NOON, client), seen('recipient', NOON, client))
    await record({
      type: 'word',
      at: NOON + 10,
      word: 'release',
      target: '203.0.113.0/24',
      because: 'a customer',
      author: 'eve',
    })
    const left = [...ledger.all()].filter(({ by }) => by === 'rules')
    expect(left.map((ruling) => ruling.target)).toEqual(['203.0.114.1'])
  })

  test('after the rules changed, every listing is what they would have said when the client was last seen', async () => {
    let rules = RULES
    const { record, intake, ledger } = await box(folder(), { rules: () => rules })
    await record(seen('early-talk'), seen('recipient'))
    expect(await intake.rejudge()).toEqual({ kept: 1, changed: 0, released: 0, waiting: 0 })
    const ticket = ledger.ofRules(BOT)?.ticket
    rules = { ...rules, thresholds: { observe: 20, defer: 70, block: 500 } }
    expect(await intake.rejudge()).toEqual({ kept: 0, changed: 1, released: 0, waiting: 0 })
    expect(ledger.ofRules(BOT)?.word).toBe('defer')
    rules = { ...rules, list: [] }
    expect(await intake.rejudge()).toEqual({ kept: 0, changed: 0, released: 1, waiting: 0 })
    expect(ledger.ofRules(BOT)).toBeUndefined()
    expect(ticket).toMatch(/^[0-9A-Z]{4}-[0-9A-Z]{4}$/)
  })

  test('release, of one or of a whole network, leaves the facts that a replay of the journal ends with', async () => {
    const targets = [`${BOT}/32`, '203.0.113.0/24', '198.51.0.0/16', '0.0.0.0/0', '2001:db8:1::/48']
    const ips = [BOT, '203.0.113.10', '198.51.7.7', '192.0.2.1', '2001:db8:1:2::9']
    const at = fc.nat(20 * HOUR_MS).map((ms) => NOON + ms)
    const event: fc.Arbitrary<Event> = fc.oneof(
      {
        weight: 4,
        arbitrary: fc
          .tuple(at, fc.constantFrom(...ips), fc.constantFrom<Kind>('contact', 'recipient', 'early-talk'))
          .map(([at, ip, kind]) => seen(kind, at, ip)),
      },
      {
        weight: 1,
        arbitrary: fc
          .tuple(at, fc.constantFrom(...targets), fc.constantFrom<Word['word']>('release', 'allow'))
          .map(([at, target, word]): Event => ({ type: 'word', at, word, target, because: 'a test', author: 'eve' })),
      },
    )
    const end = NOON + 21 * HOUR_MS
    await fc.assert(
      fc.asyncProperty(fc.array(event, { maxLength: 40, size: 'max' }), async (events) => {
        const told = [...events.toSorted((a, b) => a.at - b.at), ...ips.map((ip) => seen('hang-up', end, ip))]
        const here = await box(folder(), { now: () => end })
        await here.record(...told.slice(0, -ips.length))
        // A client forgets when it is seen again: nobody lists the addresses of a network.
        await here.record(...told.slice(-ips.length))
        const world = told.reduce((world, event, i) => step(world, { seq: i + 1, event }), newWorld(RULES, 'trusted'))
        for (const ip of ips) {
          const client = parseClient(ip)!
          expect(await here.store.counts(client.key)).toEqual(factsOf(world, client).own)
        }
        await here.close()
      }),
      { numRuns: 40 },
    )
  })

  test('in one delivery, what came before a release is forgotten and what came after it is not', async () => {
    const { record, store } = await box(folder())
    const release: Word = {
      type: 'word',
      at: NOON,
      word: 'release',
      target: `${BOT}/32`,
      because: 'a test',
      author: 'eve',
    }
    await record(seen('contact', NOON), release, seen('contact', NOON + 1))
    expect(countsOf(await store.counts(BOT))).toEqual({ 'backup.contact': 1 })
  })

  test('who is released is believed about the order of its visits for a day, and not about violations', async () => {
    let now = NOON
    const { record, ledger } = await box(folder(), { now: () => now })
    await record({
      type: 'word',
      at: NOON,
      word: 'release',
      target: '203.0.113.0/24',
      because: 'a shop',
      author: 'eve',
    })
    for (let hour = 1; hour < 24; hour++) {
      now = NOON + hour * HOUR_MS
      await record(seen('recipient', now))
    }
    expect(ledger.ofRules(BOT)).toBeUndefined()
    await record(
      seen('early-talk', now),
      seen('recipient', now, '203.0.113.77'),
      seen('early-talk', now, '203.0.113.77'),
    )
    expect(ledger.ofRules('203.0.113.77')?.word).toBe('block')
    // After that day it is judged as anybody.
    const other = '203.0.113.5'
    for (let hour = 25; hour < 45; hour++) {
      now = NOON + hour * HOUR_MS
      await record(seen('recipient', now, other))
    }
    expect(ledger.ofRules(other)?.word).toBe('block')
  })

  describe('with a governor', () => {
    const BAD: Rules = {
      ...RULES,
      list: RULES.list.map((rule) => (rule.name === 'primary-touched' ? { ...rule, weight: 200 } : rule)),
    }
    const bounds = { perMinute: 5 }
    const clients = Array.from({ length: 40 }, (_, i) => `198.51.${i}.7`)
    const word = (word: Word['word'], target: string): Word => ({
      type: 'word',
      at: NOON + 10,
      word,
      target,
      because: 'a test',
      author: 'eve',
    })
    const blocked = ({ ledger }: Box) => [...ledger.all()].filter((ruling) => ruling.word === 'block').length

    test('rules that would list everybody list a handful; better rules release it, and discard what waits', async () => {
      let rules = BAD
      const here = await box(folder(), { rules: () => rules, bounds })
      await here.record(...clients.map((client) => seen('contact', NOON, client, 'primary')))
      expect([blocked(here), here.governor.waiting.size]).toEqual([5, 35])
      expect(here.told.filter(({ what }) => what === 'governed')).toHaveLength(35)
      // Not told again of whoever waits already.
      await here.record(seen('contact', NOON + 1, clients[39], 'primary'))
      expect(here.told.filter(({ what }) => what === 'governed')).toHaveLength(35)
      rules = RULES
      expect(await here.intake.rejudge()).toEqual({ kept: 0, changed: 0, released: 5, waiting: 0 })
      expect([[...here.ledger.all()], here.governor.waiting.size]).toEqual([[], 0])
    })

    test('what is delivered late, all at once, is no flood: it is counted by the time at which it was seen', async () => {
      const here = await box(folder(), { bounds, now: () => NOON + 10 * HOUR_MS })
      await here.record(
        ...clients.flatMap((client, i) => [
          seen('early-talk', NOON + i * 60_000, client),
          seen('recipient', NOON + i * 60_000, client),
        ]),
      )
      expect([blocked(here), here.governor.waiting.size]).toEqual([40, 0])
    })

    test('a reload that would make every listing heavier goes through it, too; what stood stands on', async () => {
      let rules = RULES
      const here = await box(folder(), { rules: () => rules })
      await here.record(...clients.map((client) => seen('trap-recipient', NOON, client)))
      expect([...here.ledger.all()].every((ruling) => ruling.word === 'observe')).toBe(true)
      here.governor.minute.clear()
      Object.assign(here.governor.bounds, bounds)
      rules = { ...RULES, thresholds: { observe: 20, defer: 30, block: 40 } }
      expect(await here.intake.rejudge()).toMatchObject({ waiting: 35 })
      expect(blocked(here)).toBe(5)
      expect([...here.ledger.all()]).toHaveLength(40)
    })

    test('a client of good standing is one of few that may be listed; the next waits, and everybody after it', async () => {
      const here = await box(folder(), { bounds: { goodShare: 0 } })
      const walks = clients
        .slice(0, 10)
        .flatMap((client): Event[] => [
          seen('contact', NOON - 2000, client, 'primary'),
          seen('passed', NOON - 1000, client, 'real'),
        ])
      await here.record(...walks)
      for (const client of clients.slice(0, 5))
        await here.record(seen('early-talk', NOON, client), seen('recipient', NOON, client))
      await here.record(seen('early-talk'), seen('recipient'))
      expect(blocked(here)).toBe(3)
      expect([...here.governor.waiting.values()].map(({ why }) => why)).toEqual(['standing', 'standing', 'held'])
    })

    test('enlist puts what waits into effect, discard lets it go, release forgets it', async () => {
      const here = await box(folder(), { rules: () => BAD, bounds })
      await here.record(...clients.map((client) => seen('contact', NOON, client, 'primary')))
      await here.record(word('enlist', '198.51.39.7/32'), word('discard', '198.51.38.0/24'))
      expect(here.ledger.ofRules('198.51.39.7')).toMatchObject({ word: 'block', score: 200 })
      expect(here.ledger.ofRules('198.51.38.7')).toBeUndefined()
      expect([blocked(here), here.governor.waiting.size]).toEqual([6, 33])
      await here.record(word('release', '198.51.36.0/23'))
      expect(here.governor.waiting.size).toBe(31)
      expect(countsOf(await here.store.counts('198.51.37.7'))).toEqual({})
      await here.record(word('enlist', EVERYTHING))
      expect([blocked(here), here.governor.waiting.size]).toEqual([37, 0])
    })
  })
})

describe('whose a client is', () => {
  const bot = parseClient(BOT) as Client
  const HOURS = 40
  /** Polite, at the wrong door, again and again. */
  const polite = Array.from({ length: HOURS }, (_, i) => NOON - (HOURS - i) * HOUR_MS).flatMap((at) => [
    seen('contact', at),
    seen('recipient', at),
  ])
  const rude = [seen('contact'), seen('early-talk'), seen('recipient')]
  const MEMBER: Member = { pool: 'big-mail', found: 'fcrdns', at: NOON }

  async function unknown(...events: Event[]) {
    const asked: string[] = []
    let member: Member = 'unknown'
    const made = await box(folder(), { memberOf: () => member, identify: ({ ip }) => asked.push(ip) })
    await made.record(...events)
    return {
      ...made,
      asked,
      answer: (said: Member) => {
        member = said
        return made.intake.identified(bot)
      },
    }
  }

  test('is asked when the order of its visits would list it, and it is listed once nobody knows', async () => {
    const { ledger, asked, answer } = await unknown(...polite)
    expect(new Set(asked)).toEqual(new Set([BOT]))
    expect(ledger.ofRules(BOT)).toBeUndefined()
    await answer(undefined)
    expect(ledger.ofRules(BOT)).toMatchObject({ word: 'block', by: 'rules' })
  })

  test('is asked and found out: a member of a pool is not listed by the order of its visits', async () => {
    const { ledger, answer, record } = await unknown(...polite)
    await answer(MEMBER)
    await record(seen('contact'), seen('recipient'))
    expect(ledger.ofRules(BOT)).toBeUndefined()
  })

  test('is forgotten at a restart, and what stands is not undone for that; it is asked again', async () => {
    const { ledger, answer, intake, asked } = await unknown(...polite)
    await answer(undefined)
    const before = ledger.ofRules(BOT)
    expect(before).toMatchObject({ word: 'block' })
    asked.length = 0
    await answer('unknown')
    expect(await intake.rejudge()).toMatchObject({ kept: 1, released: 0 })
    expect(ledger.ofRules(BOT)).toMatchObject({ word: 'block', ticket: before?.ticket })
    expect(asked).toContain(BOT)
    await answer(MEMBER)
    expect(ledger.ofRules(BOT)).toBeUndefined()
  })

  test('does not delay what no mail server does, and what that weighs is put right when it is a member', async () => {
    const { ledger, answer } = await unknown(...rude)
    expect(ledger.ofRules(BOT)).toMatchObject({ word: 'block' })
    await answer(MEMBER)
    expect(ledger.ofRules(BOT)).toMatchObject({ word: 'observe' })
  })

  test('is not asked of those against whom nothing is to be said', async () => {
    const { asked } = await unknown(seen('contact'), seen('recipient'), seen('contact', NOON, BOT, 'primary'))
    expect(asked).toEqual([])
  })
})
