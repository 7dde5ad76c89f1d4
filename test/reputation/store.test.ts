import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readdirSync, readFileSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { DatabaseSync } from 'node:sqlite'
import fc from 'fast-check'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, onTestFinished, test } from 'vitest'
import { parseClient } from '../../src/core/client.ts'
import { type Role, ROLES } from '../../src/core/evidence.ts'
import {
  BUCKETS_MAX,
  type Counts,
  FACT_NAMES,
  type FactName,
  HOUR_MS,
  NO_COUNTS,
  RETENTION_MS,
  type Tally,
  total,
  withSighting,
} from '../../src/core/facts.ts'
import { openEmbedded } from '../../src/reputation/embedded.ts'
import { openRedis } from '../../src/reputation/redis.ts'
import { BOXES_MAX } from '../../src/reputation/redis-wire.ts'
import { type Change, idOf, Rewound, type Ruling, type Store, type StoreHappening } from '../../src/reputation/store.ts'
import { folder } from '../folders.ts'
import { type RedisServer, startRedis } from '../servers.ts'

const NOON = Date.parse('2026-11-24T12:00:00Z')
const BOXES = 'decoymx:1:boxes'
const ADDRESSES = ['203.0.113.9', '203.0.113.10', '198.51.100.7', '2001:db8:0:1::5', '2001:db8:0:2::5']

/** Said loudly, and a failure in CI: see setup.ts. */
const NO_REDIS = inject('missing').includes('redis-server')

let server: RedisServer
let admin: Redis
beforeAll(async () => {
  if (NO_REDIS) return
  server = await startRedis()
  admin = new Redis(server.url)
  admin.on('error', () => {})
})
afterAll(async () => {
  admin?.disconnect()
  await server?.stop()
})

/** What the tests may turn; both stores understand it. */
type Turns = {
  now?: () => number
  told?: Told<StoreHappening>
  rulingsMax?: number
  clientsMax?: number
  flushMs?: number
}

type Kind = {
  readonly kind: Store['kind']
  /** An empty place for a store. */
  readonly place: () => Promise<string>
  readonly openAt: (place: string, turns?: Turns) => Promise<Store>
}

const EMBEDDED: Kind = {
  kind: 'embedded',
  place: async () => join(folder(), 'reputation.db'),
  openAt: (place, { now = () => NOON, told = new Told(), ...bounds } = {}) =>
    openEmbedded(place, { now, tell: told.push, flushMs: 5, ...bounds }),
}

const REDIS: Kind = {
  kind: 'redis',
  async place() {
    await admin.flushall()
    return server.url
  },
  openAt: (place, { now = () => NOON, told = new Told(), rulingsMax } = {}) =>
    openRedis({ at: { path: place } }, { now, tell: told.push, commandTimeoutMs: 2000, sweepMs: 5, rulingsMax }),
}

describe.each([EMBEDDED, REDIS])('the store: $kind', (kind) => {
  beforeEach(({ skip }) => skip(NO_REDIS && kind === REDIS, 'redis-server is missing'))

  test('adds to the record of the client and to that of its network, and answers with both', async () => {
    const store = await opened(kind)
    const both = [tallyOf(1, '203.0.113.9', 'backup.recipient'), tallyOf(2, '203.0.113.10', 'backup.recipient')]
    const touched = await store.add('box', both, 2)

    expect([...touched.keys()].toSorted()).toEqual(['203.0.113.0/24', '203.0.113.10', '203.0.113.9'])
    expect(touched).toEqual(modelOf(both))
    expect(await store.counts('203.0.113.0/24')).toEqual(
      new Map([['backup.recipient', [{ hour: NOON / HOUR_MS, count: 2, first: NOON + 1, last: NOON + 2 }]]]),
    )
    expect(await store.counts('192.0.2.1')).toEqual(NO_COUNTS)
  })

  test('knows an IPv6 client by its /64, and its network by the /48', async () => {
    const store = await opened(kind)
    await store.add(
      'box',
      [tallyOf(1, '2001:db8:7:1::1', 'primary.contact'), tallyOf(2, '2001:db8:7:1:ffff::2', 'primary.contact')],
      2,
    )
    expect(total(await store.counts('2001:db8:7:1::/64'), 'primary.contact')).toBe(2)
    expect(total(await store.counts('2001:db8:7::/48'), 'primary.contact')).toBe(2)
  })

  test('adds a tally of many sightings as so many, once', async () => {
    const store = await opened(kind)
    const often = { ...tallyOf(1, '203.0.113.9', 'backup.contact'), times: 40 }
    const again = tallyOf(2, '203.0.113.9', 'backup.contact')
    await store.add('box', [often, again], 2)
    await store.add('box', [often], 2)
    for (const key of [often.key, often.network])
      expect((await store.counts(key)).get('backup.contact')).toMatchObject([{ count: 41, first: often.at }])
  })

  test('counts once what is sent again, and answers with it all the same', async () => {
    const store = await opened(kind)
    const tallies = ADDRESSES.map((ip, i) => tallyOf(i + 1, ip, 'backup.early-talk'))
    await store.add('box', tallies.slice(0, 3), 3)
    await store.add('box', tallies, 5)
    expect(await store.add('box', tallies, 5)).toEqual(modelOf(tallies))
    expect(await recordsOf(store, tallies)).toEqual(modelOf(tallies))
  })

  test('keeps boxes apart, and within a box the roles', async () => {
    const store = await opened(kind)
    const late = tallyOf(3, '203.0.113.9', 'backup.recipient')
    const early = [tallyOf(7, '203.0.113.9', 'primary.contact'), tallyOf(8, '203.0.113.9', 'real.passed')]
    await store.add('one', early, 2)
    await store.add('one', [late], 8)
    await store.add('other', [late], 3)
    expect(await store.counts('203.0.113.9')).toEqual(modelOf([...early, late, late]).get('203.0.113.9'))
  })

  test('counts what waited for a probe once, though what did not wait came before it under a higher number', async () => {
    const store = await opened(kind)
    const waited = [2, 3].map((seq) => ({
      ...tallyOf(seq, '203.0.113.9', 'backup.recipient'),
      lane: 'waited' as const,
    }))
    const atOnce = tallyOf(4, '203.0.113.9', 'backup.early-talk')
    await store.add('box', [atOnce], 1)
    for (let again = 0; again < 2; again++) await store.add('box', [...waited, atOnce], 4)
    for (const key of [atOnce.key, atOnce.network]) {
      const counts = await store.counts(key)
      expect([total(counts, 'backup.recipient'), total(counts, 'backup.early-talk')]).toEqual([2, 1])
    }
  })

  test('ends with the same counts whatever the order of boxes and roles, and however often it is sent', async () => {
    const store = await opened(kind)
    let run = 0
    await fc.assert(
      fc.asyncProperty(SIGHTINGS, STEPS, async (sightings, steps) => {
        // Boxes of their own for each run, and clients as well: the store stays, and its records start empty.
        const mark = ++run
        const boxes = ['a', 'b'].map((name) => `${name}${mark}`)
        const sent = sightings.map((it, i) => ({
          ...it,
          tally: tallyOf(i + 1, moved(it.ip, mark), it.fact, NOON + it.afterMs),
        }))
        const queues = boxes.map((_, box) =>
          ROLES.map((role) => sent.filter((it) => it.box === box && roleOf(it.tally) === role).map((it) => it.tally)),
        )
        const done = queues.map((roles) => roles.map(() => 0))

        const all = [
          ...steps,
          ...boxes.flatMap((_, box) => ROLES.map((_role, role) => ({ box, role, take: 1000, again: 2 }))),
        ]
        for (const { box, role, take, again } of all) {
          const queue = queues[box]?.[role] ?? []
          const from = done[box]?.[role] ?? 0
          const batch = queue.slice(Math.max(0, from - again), from + take)
          await store.add(boxes[box] as string, batch, 0)
          ;(done[box] as number[])[role] = Math.min(queue.length, from + take)
        }
        const tallies = sent.map((it) => it.tally)
        expect(await recordsOf(store, tallies)).toEqual(modelOf(tallies))
      }),
      { numRuns: 60 },
    )
  })

  test('keeps a bounded number of hours in a record, the latest, in whatever order they come', async () => {
    const store = await opened(kind)
    // Three facts an hour, so that the bound falls within one, too.
    const facts: FactName[] = ['backup.recipient', 'backup.early-talk', 'backup.auth']
    const places = Array.from({ length: BUCKETS_MAX + 40 }, (_, i) => (i * 389) % (BUCKETS_MAX + 40))
    const tallies = places.map((n, i) =>
      tallyOf(i + 1, '203.0.113.9', facts[n % 3] as FactName, NOON + Math.floor(n / 3) * HOUR_MS),
    )
    for (let i = 0; i < tallies.length; i += 100) await store.add('box', tallies.slice(i, i + 100), i)

    const counts = await store.counts('203.0.113.9')
    expect([...counts.values()].flat()).toHaveLength(BUCKETS_MAX)
    expect(await recordsOf(store, tallies)).toEqual(modelOf(tallies))
  })

  test('takes more tallies of one client at once than one call may carry', async () => {
    const store = await opened(kind)
    const tallies = Array.from({ length: 2500 }, (_, i) => tallyOf(i + 1, '203.0.113.9', 'backup.contact'))
    await store.add('box', tallies, 2500)
    await store.add('box', tallies, 2500)
    expect(total(await store.counts('203.0.113.0/24'), 'backup.contact')).toBe(2500)
  })

  test('forgets what came before, also what arrives later, and nothing that came after', async () => {
    const store = await opened(kind)
    const old = [
      tallyOf(1, '203.0.113.9', 'backup.recipient', NOON - 2 * HOUR_MS),
      tallyOf(2, '203.0.113.9', 'primary.contact', NOON - 1),
    ]
    const later = tallyOf(4, '203.0.113.9', 'backup.recipient', NOON + HOUR_MS)
    await store.add('box', [...old, later], 4)
    await store.forget('203.0.113.9', NOON)
    await store.forget('203.0.113.9', NOON - HOUR_MS)
    await store.add('other', [tallyOf(1, '203.0.113.9', 'backup.auth', NOON)], 1)
    expect(await store.counts('203.0.113.9')).toEqual(modelOf([later]).get('203.0.113.9'))
    expect(total(await store.counts('203.0.113.0/24'), 'backup.recipient'), 'the neighbours stay').toBe(2)

    await store.forget('2001:db8:0:1::/64', NOON)
    await store.add('box', [tallyOf(9, '2001:db8:0:1::5', 'backup.recipient', NOON - 5)], 9)
    expect(await store.counts('2001:db8:0:1::/64')).toEqual(NO_COUNTS)
    await store.add('box', [tallyOf(10, '2001:db8:0:1::5', 'backup.recipient', NOON + 1)], 10)
    expect(total(await store.counts('2001:db8:0:1::/64'), 'backup.recipient')).toBe(1)
  })

  test('forgets the whole of an hour in which the word falls', async () => {
    const store = await opened(kind)
    const hour = [
      tallyOf(1, '203.0.113.9', 'backup.recipient', NOON + 10),
      tallyOf(2, '203.0.113.9', 'backup.recipient', NOON + 50),
    ]
    await store.add('box', hour, 2)
    await store.forget('203.0.113.9', NOON + 20)
    expect(await store.counts('203.0.113.9')).toEqual(NO_COUNTS)
    await store.add('box', hour, 2)
    expect(await store.counts('203.0.113.9'), 'nor do they come back').toEqual(NO_COUNTS)
  })

  test('has a cursor for each box, which only moves on', async () => {
    const store = await opened(kind)
    expect(await store.cursor('one')).toBe(0)
    await store.add('one', [tallyOf(4, '203.0.113.9', 'backup.contact')], 4)
    await store.add('two', [], 9)
    await store.add('one', [], 2)
    expect([await store.cursor('one'), await store.cursor('two'), await store.cursor('three')]).toEqual([4, 9, 0])
  })

  test('keeps rulings by who said so and of whom, and counts every change', async () => {
    const store = await opened(kind)
    expect(await snapshotOf(store)).toEqual({ generation: 0, rulings: [] })
    const [rules, network] = [rulingOf('203.0.113.9'), operatorsOf('2001:db8::/32', 'block')]
    await store.put(rules)
    await store.put(network)
    await store.put({ ...rules, word: 'defer', score: 12.5 })
    await store.drop(idOf({ by: 'operator', target: '203.0.113.9/32' }))
    expect(await snapshotOf(store)).toEqual({
      generation: 3,
      rulings: [network, { ...rules, word: 'defer', score: 12.5 }],
    })

    await store.drop(idOf(rules))
    await store.drop(idOf(rules))
    expect(await store.generation()).toBe(4)
    expect([...(await store.rulings()).rulings]).toEqual([network])
  })

  test('tells the watcher of every change in order, and nobody else', async () => {
    const store = await opened(kind)
    const [before, changes, lost] = [new Told<Change>(), new Told<Change>(), new Told<true>()]
    await store.put(rulingOf('203.0.113.1'))
    await store.watch(before.push, () => lost.push(true))
    await store.watch(changes.push, () => lost.push(true))
    const ruling = rulingOf('203.0.113.9', { because: 'said "backup", naïve\n' })
    await store.put(ruling)
    await store.drop(idOf(ruling))
    await store.drop(idOf(ruling))
    await store.put(operatorsOf('198.51.100.0/24', 'allow'))
    await changes.until((all) => all.length === 3)
    expect(changes.all).toEqual([
      { generation: 2, put: ruling },
      { generation: 3, drop: 'rules 203.0.113.9' },
      { generation: 4, put: operatorsOf('198.51.100.0/24', 'allow') },
    ])
    expect([before.all, lost.all]).toEqual([[], []])
  })

  test('lets rulings end: they stand no more, and are swept with a change', async () => {
    let now = NOON
    const store = await opened(kind, { now: () => now })
    const changes = new Told<Change>()
    await store.watch(changes.push, () => {})
    await store.put(rulingOf('203.0.113.9', { until: NOON + 1000 }))
    await store.put(rulingOf('203.0.113.10', { until: NOON + 1000 }))
    await store.put(rulingOf('203.0.113.10', { until: NOON + 5000 }))
    await store.put(operatorsOf('198.51.100.0/24', 'block'))

    now = NOON + 1000
    expect((await snapshotOf(store)).rulings.map((ruling) => ruling.target)).toEqual([
      '198.51.100.0/24',
      '203.0.113.10',
    ])
    await changes.until((all) => all.length === 5)
    expect(changes.all.at(-1)).toEqual({ generation: 5, drop: 'rules 203.0.113.9' })
    expect(await store.generation()).toBe(5)
  })

  test('keeps a bounded number of rulings, and always those of the operator', async () => {
    const store = await opened(kind, { rulingsMax: 3 })
    const changes = new Told<Change>()
    await store.watch(changes.push, () => {})
    await store.put(operatorsOf('198.51.100.0/24', 'allow', NOON + 10))
    await store.put(operatorsOf('192.0.2.0/24', 'block'))
    for (const [i, target] of ['203.0.113.1', '203.0.113.2', '203.0.113.3'].entries())
      await store.put(rulingOf(target, { until: NOON + 1000 + i }))
    expect((await snapshotOf(store)).rulings.map((ruling) => ruling.target)).toEqual([
      '192.0.2.0/24',
      '198.51.100.0/24',
      '203.0.113.3',
    ])
    await changes.until((all) => all.length === 7)
    expect(changes.all.map(({ generation }) => generation)).toEqual([1, 2, 3, 4, 5, 6, 7])
  })

  test('is the same after it was closed and opened again', async () => {
    const place = await kind.place()
    const first = await kind.openAt(place)
    const tallies = FACT_NAMES.map((fact, i) => tallyOf(i + 1, ADDRESSES[i % 5] as string, fact, NOON + i * 1_200_000))
    await first.add('box', tallies, 40)
    await first.forget('203.0.113.10', NOON + HOUR_MS)
    await first.put(rulingOf('203.0.113.9'))
    await first.put(operatorsOf('192.0.2.0/24', 'block'))
    const kept = await recordsOf(first, tallies)
    const stood = await snapshotOf(first)
    await first.close()
    await first.close()
    await expect(first.add('box', [], 50), 'closed is closed').rejects.toThrow(/closed/)

    const second = await opened(kind, {}, place)
    expect(await recordsOf(second, tallies)).toEqual(kept)
    expect(await snapshotOf(second)).toEqual(stood)
    expect(await second.cursor('box')).toBe(40)
    await second.add('box', tallies, 40)
    expect(await recordsOf(second, tallies), 'and still knows what it has taken in').toEqual(kept)
  })
})

describe.skipIf(NO_REDIS)('redis alone', () => {
  test('two boxes at one Redis see the same counts, and each the changes of the other', async () => {
    const place = await REDIS.place()
    const [one, two] = [await opened(REDIS, {}, place), await opened(REDIS, {}, place)]
    const changes = new Told<Change>()
    await two.watch(changes.push, () => {})
    const tallies = ADDRESSES.map((ip, i) => tallyOf(i + 1, ip, 'backup.recipient'))
    await Promise.all([one.add('one', tallies, 5), two.add('two', tallies, 5)])
    await one.put(rulingOf('203.0.113.9'))
    await one.drop('rules 203.0.113.9')
    await changes.until((all) => all.length === 2)

    expect(changes.all).toEqual([
      { generation: 1, put: rulingOf('203.0.113.9') },
      { generation: 2, drop: 'rules 203.0.113.9' },
    ])
    expect(await recordsOf(one, tallies)).toEqual(modelOf([...tallies, ...tallies]))
    expect(await recordsOf(two, tallies)).toEqual(await recordsOf(one, tallies))
    expect([await one.cursor('two'), await two.cursor('one')]).toEqual([5, 5])
  })

  test('sweeps an ended ruling once, however many boxes notice it', async () => {
    const place = await REDIS.place()
    let now = NOON
    const stores = await Promise.all([1, 2, 3].map(() => opened(REDIS, { now: () => now }, place)))
    const changes = new Told<Change>()
    await stores[0]?.watch(changes.push, () => {})
    for (let i = 0; i < 250; i++) await stores[1]?.put(rulingOf(`203.0.113.${i}`, { until: NOON + 10 }))
    now += 10
    await changes.until((all) => all.length >= 500)
    expect(changes.all.map(({ generation }) => generation)).toEqual(Array.from({ length: 500 }, (_, i) => i + 1))
    expect(await snapshotOf(stores[2] as Store)).toEqual({ generation: 500, rulings: [] })
    expect(await admin.exists('decoymx:1:{rulings}', 'decoymx:1:{rulings}:until')).toBe(0)
  })

  test('boxes tell each other which rules they have; those long gone, and what is none, are not told of', async () => {
    let now = NOON
    const store = await opened(REDIS, { now: () => now })
    const [one, two] = [
      { box: 'one', host: 'mx1.example', rules: 'aa11' },
      { box: 'two', host: 'mx2', rules: 'bb22' },
    ]
    expect(await store.meet(one)).toEqual([{ ...one, at: NOON }])
    await admin.hset(BOXES, 'strange', 'text', 'bad name!', `${NOON} aa11 mx3`, 'evil', `${NOON} aa11 <b>`)
    now += HOUR_MS / 2
    expect(await store.meet(two)).toEqual([
      { ...two, at: now },
      { ...one, at: NOON },
    ])
    now += HOUR_MS / 2 + 1
    expect(await store.meet({ ...two, host: 'mx 2' })).toEqual([{ ...two, host: 'mx-2', at: now }])
    expect(await admin.hkeys(BOXES)).toEqual(['two'])
  })

  test('of more boxes than are compared, those that told first are let go', async () => {
    const store = await opened(REDIS)
    for (let n = 0; n < BOXES_MAX + 20; n++) await admin.hset(BOXES, `b${n}`, `${NOON - n} aa11 mx${n}`)
    const met = await store.meet({ box: 'one', host: 'mx', rules: 'bb22' })
    expect(met).toHaveLength(BOXES_MAX)
    expect(met.map(({ box }) => box)).toContain('one')
    expect(await admin.hlen(BOXES)).toBe(BOXES_MAX)
  })

  test('reads thousands of rulings in steps', async () => {
    const store = await opened(REDIS)
    const rulings = Array.from({ length: 5000 }, (_, i) => rulingOf(`10.1.${i >> 8}.${i & 255}`))
    await Promise.all(rulings.map((ruling) => store.put(ruling)))
    const { generation, rulings: found } = await store.rulings()
    expect(generation).toBe(5000)
    expect(new Set([...found].map(idOf))).toEqual(new Set(rulings.map(idOf)))
  })

  test('lets records and cursors go after their time', async () => {
    const store = await opened(REDIS)
    await store.add('box', [tallyOf(1, '203.0.113.9', 'backup.contact')], 1)
    await store.forget('198.51.100.7', NOON)
    const keys = await admin.keys('*')
    expect(keys.toSorted()).toEqual([
      'decoymx:1:cursor:{box}',
      'decoymx:1:{198.51.100.7}:facts',
      'decoymx:1:{203.0.113.0/24}:facts',
      'decoymx:1:{203.0.113.9}:facts',
    ])
    for (const key of keys) {
      const leftMs = await admin.pttl(key)
      expect(leftMs).toBeGreaterThan(RETENTION_MS - 60_000)
      expect(leftMs).toBeLessThanOrEqual(RETENTION_MS)
    }
  })

  test('passes over what another program wrote, and says so', async () => {
    const told = new Told<StoreHappening>()
    const store = await opened(REDIS, { told })
    const tally = tallyOf(1, '203.0.113.9', 'backup.recipient')
    const hour = NOON / HOUR_MS
    await store.put(rulingOf('203.0.113.9'))
    await admin.hset('decoymx:1:{rulings}', {
      'rules 203.0.113.9 ': '{}',
      'rules 1.2.3.4': 'nonsense',
      'rules 5.6.7.8': JSON.stringify(rulingOf('9.9.9.9')),
    })
    expect([...(await store.rulings()).rulings]).toEqual([rulingOf('203.0.113.9')])
    expect(told.all.at(-1)).toMatchObject({ what: 'ignored', count: 3 })

    await admin.hset('decoymx:1:{203.0.113.9}:facts', {
      [`backup.recipient ${hour}`]: 'nan inf -1',
      [`backup.contact ${hour}`]: `0 ${NOON} ${NOON}`,
      [`backup.auth ${hour + 1}`]: `1 ${NOON} ${NOON}`,
      [`backup.message ${hour}`]: `${'9'.repeat(40)} ${NOON} ${NOON}`,
      [`backup.unheard-of ${hour}`]: `1 ${NOON} ${NOON}`,
      'seq box/backup': 'x',
      forgotten: '1e300',
      hello: 'world',
    })
    expect(await store.counts('203.0.113.9')).toEqual(NO_COUNTS)
    expect(told.all.at(-1)).toMatchObject({ what: 'ignored', count: 6 })
    const touched = await store.add('box', [tally], 1)
    expect(touched.get('203.0.113.9'), 'and counts go on where they were damaged').toEqual(
      modelOf([tally]).get('203.0.113.9'),
    )

    await admin.set('decoymx:1:cursor:{box}', 'NaN')
    expect(await store.cursor('box')).toBe(0)
    expect(told.all.at(-1)).toEqual({ what: 'ignored', where: 'cursor of box', count: 1 })
  })

  test('begins anew a key that has another type', async () => {
    const told = new Told<StoreHappening>()
    const store = await opened(REDIS, { told })
    await admin.set('decoymx:1:{203.0.113.9}:facts', 'mine')
    await admin.rpush('decoymx:1:cursor:{box}', 'mine')
    await admin.mset('decoymx:1:{rulings}', 'mine', 'decoymx:1:{rulings}:until', 'mine')
    await admin.hset('decoymx:1:{rulings}:generation', 'mine', 1)
    expect(await store.counts('203.0.113.9')).toEqual(NO_COUNTS)
    expect(told.all.at(-1)).toEqual({ what: 'ignored', where: 'a string of 203.0.113.9', count: 1 })
    expect(await admin.get('decoymx:1:{203.0.113.9}:facts'), 'reading leaves it alone').toBe('mine')

    await store.add('box', [tallyOf(1, '203.0.113.9', 'backup.contact')], 1)
    await store.put(rulingOf('203.0.113.9'))
    expect(total(await store.counts('203.0.113.9'), 'backup.contact')).toBe(1)
    expect(await store.cursor('box')).toBe(1)
    expect([...(await store.rulings()).rulings]).toEqual([rulingOf('203.0.113.9')])
  })

  test('hears only changes on its channel, and asks for a new look when one was skipped', async () => {
    const told = new Told<StoreHappening>()
    const store = await opened(REDIS, { told })
    const [changes, lost] = [new Told<Change>(), new Told<number>()]
    await store.watch(changes.push, () => lost.push(changes.all.length))
    const wrong = [
      '',
      '[]',
      'null',
      '{"generation":1}',
      '{"generation":"1","drop":"x"}',
      '{"generation":1,"put":{}}',
      '{"generation":1,"id":"rules 1.2.3.4","put":{"by":"rules"}}',
    ]
    for (const message of wrong) await admin.publish('decoymx:1:changes', message)
    await store.put(rulingOf('203.0.113.1'))
    await admin.set('decoymx:1:{rulings}:generation', 7)
    await store.put(rulingOf('203.0.113.2'))
    await store.put(rulingOf('203.0.113.3'))
    await changes.until((all) => all.length === 3)
    expect(changes.all.map(({ generation }) => generation)).toEqual([1, 8, 9])
    expect(lost.all, 'after the one that skipped').toEqual([2])
    expect(told.all.filter(({ what }) => what === 'ignored')).toHaveLength(wrong.length)
  })

  test('an add that is cut off anywhere may be sent again, and counts once', async () => {
    const told = new Told<StoreHappening>()
    const store = await opened(REDIS, { told })
    const tallies = Array.from({ length: 1500 }, (_, i) =>
      tallyOf(i + 1, `10.${i % 3}.${i % 200}.${i % 250}`, 'backup.recipient'),
    )
    const ups = () => told.all.filter(({ what }) => what === 'up').length
    for (let from = 0; from < tallies.length; from += 300) {
      const batch = tallies.slice(from, from + 300)
      for (let cut = true; ; cut = false) {
        const before = ups()
        const adding = store.add('box', batch, from + batch.length)
        const cutting = cut && admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
        const [outcome] = await Promise.allSettled([adding, cutting])
        if (outcome?.status === 'fulfilled') break
        // The cut of the batch before may be the one that is felt.
        await told.until(() => ups() > before)
      }
    }
    expect(await recordsOf(store, tallies)).toEqual(modelOf(tallies))
    expect(await store.cursor('box')).toBe(1500)
  })
})

describe.skipIf(NO_REDIS)('redis when it is away', () => {
  test('a server that hangs costs no more than the deadline, and serves again when it goes on', async () => {
    const [{ url, signal }, told] = [await ownRedis(), new Told<StoreHappening>()]
    const store = await openedRedis(url, { told, commandTimeoutMs: 500 })
    const changes = new Told<Change>()
    await store.watch(changes.push, () => {})
    await store.add('box', [tallyOf(1, '203.0.113.9', 'backup.contact')], 1)

    signal('SIGSTOP')
    const began = performance.now()
    const methods = [
      store.cursor('box'),
      store.add('box', [tallyOf(2, '203.0.113.9', 'backup.contact')], 2),
      store.counts('203.0.113.9'),
      store.forget('203.0.113.9', NOON),
      store.rulings(),
      store.generation(),
      store.put(rulingOf('203.0.113.9')),
      store.drop('rules 203.0.113.9'),
    ]
    const outcomes = await Promise.allSettled(methods)
    expect(performance.now() - began).toBeLessThan(methods.length * 500)
    expect(outcomes.map(({ status }) => status)).toEqual(methods.map(() => 'rejected'))
    await told.until((all) => all.some(({ what }) => what === 'down'))
    await expect(store.generation(), 'then it is known to be away, and nobody waits').rejects.toThrow(
      /^not (asked|connected)/,
    )

    signal('SIGCONT')
    await told.until((all) => all.at(-1)?.what === 'up')
    await store.add(
      'box',
      [tallyOf(2, '203.0.113.9', 'backup.contact'), tallyOf(3, '203.0.113.9', 'backup.contact')],
      3,
    )
    expect(total(await store.counts('203.0.113.0/24'), 'backup.contact')).toBe(3)
    await store.put(rulingOf('203.0.113.10'))
    await changes.until((all) => all.some((change) => 'put' in change && change.put.target === '203.0.113.10'))
    expect(told.all.map(({ what }) => what)).toEqual(['up', 'down', 'up'])
  })

  test('a server that comes back empty: reconnected, the watcher asked to look again, the loss told', async () => {
    const [{ url, kill, start }, told] = [await ownRedis(), new Told<StoreHappening>()]
    const store = await openedRedis(url, { told, commandTimeoutMs: 2000 })
    const [changes, lost] = [new Told<Change>(), new Told<true>()]
    await store.watch(changes.push, () => lost.push(true))
    const tallies = [1, 2, 3].map((seq) => tallyOf(seq, '203.0.113.9', 'backup.contact'))
    await store.add('box', tallies, 3)

    await kill()
    await told.until((all) => all.at(-1)?.what === 'down')
    await expect(store.add('box', [], 4)).rejects.toThrow()
    await start()
    await told.until((all) => all.at(-1)?.what === 'up')
    await lost.until((all) => all.length === 1)
    await store.put(rulingOf('203.0.113.9'))
    await changes.until((all) => all.length === 1)

    const more = tallyOf(4, '203.0.113.9', 'backup.contact')
    const refused: unknown = await store.add('box', [more], 4).catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(Rewound)
    expect((refused as Rewound).cursor).toBe(0)
    expect(told.all.at(-1)).toEqual({ what: 'rewound', box: 'box', from: 3, to: 0 })
    await store.add('box', [...tallies, more], 4)
    expect(
      total(await store.counts('203.0.113.9'), 'backup.contact'),
      'nothing was added before the loss was told',
    ).toBe(4)
  })

  test('opens while nobody is there, refuses quickly, and works as soon as somebody is', async () => {
    const own = await ownRedis()
    await own.kill()
    const told = new Told<StoreHappening>()
    const store = await openedRedis(own.url, { told, commandTimeoutMs: 20_000 })
    const quick = performance.now()
    await expect(store.cursor('box')).rejects.toThrow()
    await expect(
      store.watch(
        () => {},
        () => {},
      ),
    ).rejects.toThrow()
    expect(performance.now() - quick).toBeLessThan(5000)
    expect(told.all).toMatchObject([{ what: 'down', error: expect.stringMatching(/ENOENT|ECONNREFUSED/) }])
    await own.start()
    await told.until((all) => all.at(-1)?.what === 'up')
    expect(await store.cursor('box')).toBe(0)
  })

  test('opens beside a server that hangs, and closes beside it, too', async () => {
    const own = await ownRedis()
    own.signal('SIGSTOP')
    const store = await openRedis({ at: { path: own.url } }, { now: () => NOON, tell: () => {}, commandTimeoutMs: 100 })
    await expect(store.generation()).rejects.toThrow()
    await store.close()
    await expect(store.generation()).rejects.toThrow()
  })

  test('tells why it is not let in', async () => {
    const own = await ownRedis()
    const boss = new Redis(own.url)
    await boss.config('SET', 'requirepass', 'secret')
    const told = new Told<StoreHappening>()
    const store = await openedRedis(own.url, { told, commandTimeoutMs: 2000 })
    await expect(store.generation()).rejects.toThrow()
    expect(told.all).toEqual([{ what: 'down', error: expect.stringContaining('NOAUTH') }])
    boss.disconnect()
  })
})

describe('embedded alone', () => {
  test('a damaged file is kept beside, every one of them, and the store begins empty', async () => {
    const place = await EMBEDDED.place()
    for (const n of [1, 2]) {
      writeFileSync(place, `this is no database, take ${n}`.repeat(500))
      const told = new Told<StoreHappening>()
      const store = await EMBEDDED.openAt(place, { told })
      expect(told.all).toEqual([
        { what: 'corrupt', file: place, movedTo: `${place}.corrupt-${n}`, error: expect.any(String) },
        { what: 'up' },
      ])
      expect(await store.cursor('box')).toBe(0)
      await store.add('box', [tallyOf(1, '203.0.113.9', 'backup.contact')], 1)
      await store.close()
    }
    expect(readdirSync(join(place, '..')).toSorted()).toEqual([
      'reputation.db',
      'reputation.db.corrupt-1',
      'reputation.db.corrupt-2',
    ])
    expect(readFileSync(`${place}.corrupt-1`, 'utf8')).toMatch(/^this is no database, take 1/)
    const store = await opened(EMBEDDED, {}, place)
    expect(await store.cursor('box')).toBe(1)
  })

  test('damage in the middle of the file is noticed at the start', async () => {
    const place = await EMBEDDED.place()
    const before = await EMBEDDED.openAt(place)
    const tallies = Array.from({ length: 2000 }, (_, i) =>
      tallyOf(i + 1, `10.0.${i >> 8}.${i & 255}`, 'backup.contact'),
    )
    await before.add('box', tallies, 2000)
    await before.close()
    const file = openSync(place, 'r+')
    writeSync(file, Buffer.alloc(16_384, 0xa5), 0, 16_384, 40_960)
    closeSync(file)

    const told = new Told<StoreHappening>()
    const store = await opened(EMBEDDED, { told }, place)
    expect(told.all).toMatchObject([{ what: 'corrupt' }, { what: 'up' }])
    expect(await store.cursor('box')).toBe(0)
    await store.add('box', tallies, 2000)
    expect(total(await store.counts('10.0.0.0/24'), 'backup.contact')).toBe(256)
  })

  test('a record counts on, be it at work, written a while ago, or read from the file', async () => {
    const place = await EMBEDDED.place()
    const ips = Array.from({ length: 2600 }, (_, i) => `10.${i >> 8}.${i & 255}.7`)
    const visit = async (store: Store, round: number) => {
      for (const [i, ip] of ips.entries()) {
        const seq = round * ips.length + i + 1
        await store.add('box', [tallyOf(seq, ip, 'backup.contact')], seq)
        // Asking for the cursor has all written that waits: now and then, as time does it.
        if (i % 700 === 0) await store.cursor('box')
      }
    }
    const first = await EMBEDDED.openAt(place)
    await visit(first, 0)
    await visit(first, 1)
    await first.close()
    const store = await opened(EMBEDDED, {}, place)
    await visit(store, 2)
    const counts = await Promise.all(ips.map(async (ip) => total(await store.counts(ip), 'backup.contact')))
    expect(counts).toEqual(Array(ips.length).fill(3))
    expect(total(await store.counts('10.0.0.0/24'), 'backup.contact')).toBe(3)
  })

  test('passes over rows that it cannot read, and says so', async () => {
    const place = await EMBEDDED.place()
    const before = await EMBEDDED.openAt(place)
    const tallies = ['203.0.113.9', '198.51.100.7', '192.0.2.1'].map((ip, i) => tallyOf(i + 1, ip, 'backup.contact'))
    await before.add('box', tallies, 3)
    await before.put(rulingOf('203.0.113.9'))
    await before.put(rulingOf('203.0.113.10'))
    await before.close()
    const db = new DatabaseSync(place)
    db.exec(`
      UPDATE records SET text = 'nonsense' WHERE key = '203.0.113.9';
      UPDATE records SET text = replace(text, '[[1,', '[[0,') WHERE key = '198.51.100.7';
      UPDATE rulings SET text = '{}' WHERE id = 'rules 203.0.113.9'`)
    db.close()

    const told = new Told<StoreHappening>()
    const store = await opened(EMBEDDED, { told }, place)
    expect([...(await store.rulings()).rulings]).toEqual([rulingOf('203.0.113.10')])
    expect(await store.counts('203.0.113.9')).toEqual(NO_COUNTS)
    expect(await store.counts('198.51.100.7')).toEqual(NO_COUNTS)
    expect(total(await store.counts('192.0.2.1'), 'backup.contact')).toBe(1)
    expect(told.all).toEqual([
      { what: 'ignored', where: 'ruling rules 203.0.113.9', count: 1 },
      { what: 'up' },
      { what: 'ignored', where: 'record of 203.0.113.9', count: 1 },
      { what: 'ignored', where: 'backup.contact of 198.51.100.7', count: 1 },
    ])
  })

  test('a file of another layout is refused, and left alone', async () => {
    const place = await EMBEDDED.place()
    const db = new DatabaseSync(place)
    db.exec('PRAGMA user_version = 99; CREATE TABLE precious (it)')
    db.close()
    const bytes = readFileSync(place)
    await expect(EMBEDDED.openAt(place)).rejects.toThrow(/reputation.db: it has layout 99, and this decoymx reads 1/)
    expect(readFileSync(place).equals(bytes)).toBe(true)
  })

  test('a second process is refused in a sentence, and the first is not disturbed', async () => {
    const place = await EMBEDDED.place()
    const first = await opened(EMBEDDED, {}, place)
    await first.add('box', [tallyOf(1, '203.0.113.9', 'backup.contact')], 1)
    const second = child(
      `await openEmbedded(${JSON.stringify(place)}, { now: Date.now, tell() {} }).catch((e) => console.log(e.message))`,
    )
    expect(await linesOf(second)).toEqual([`${place} is in use: another decoymx runs on it`])
    expect(await first.cursor('box')).toBe(1)
  })

  test('a place where no file can be is told with its name', async () => {
    const place = await EMBEDDED.place()
    writeFileSync(place, '')
    await expect(EMBEDDED.openAt(join(place, 'below', 'reputation.db'))).rejects.toThrow(/reputation\.db/)
  })

  test('keeps a bounded number of records, those touched last', async () => {
    const place = await EMBEDDED.place()
    const store = await EMBEDDED.openAt(place, { clientsMax: 4 })
    const clients = ['10.0.0.1', '10.0.1.1', '10.0.2.1']
    for (const [i, ip] of clients.entries()) await store.add('box', [tallyOf(i + 1, ip, 'backup.contact')], i + 1)
    await store.add('box', [tallyOf(4, '10.0.1.1', 'backup.contact')], 4)
    await store.add('box', [tallyOf(5, '10.0.3.1', 'backup.contact')], 5)
    const kept = async (from: Store) =>
      Promise.all(
        ['10.0.0.1', '10.0.1.1', '10.0.2.1', '10.0.3.1'].map(async (key) =>
          total(await from.counts(key), 'backup.contact'),
        ),
      )
    expect(await kept(store)).toEqual([0, 2, 0, 1])
    await store.close()
    const again = await EMBEDDED.openAt(place, { clientsMax: 2 })
    expect(await kept(again), 'the same order after a restart').toEqual([0, 0, 0, 1])
    await again.close()
    expect(rowsOf(place)).toEqual(['10.0.3.0/24', '10.0.3.1'])
  })

  test('of a great many the oldest go some at a time', async () => {
    const place = await EMBEDDED.place()
    const store = await EMBEDDED.openAt(place, { clientsMax: 2000 })
    const tallies = Array.from({ length: 1001 }, (_, i) =>
      tallyOf(i + 1, `10.${i >> 8}.${i & 255}.1`, 'backup.contact'),
    )
    await store.add('box', tallies.slice(0, 1000), 1000)
    const counted = async (key: string) => total(await store.counts(key), 'backup.contact')
    expect([await counted('10.0.0.1'), await counted('10.0.1.1')]).toEqual([1, 1])
    await store.add('box', tallies.slice(1000), 1001)
    const left = ['10.0.0.1', '10.0.0.0/24', '10.0.1.1', '10.0.1.0/24', '10.0.2.1', '10.3.232.1']
    expect(await Promise.all(left.map(counted))).toEqual([0, 0, 0, 0, 1, 1])
    await store.close()
    expect(rowsOf(place)).toHaveLength(1998)
  })

  test('lets records go that nobody has touched for their time', async () => {
    const place = await EMBEDDED.place()
    let now = NOON
    const store = await EMBEDDED.openAt(place, { now: () => now })
    await store.add('box', [tallyOf(1, '10.0.0.1', 'backup.contact')], 1)
    now += RETENTION_MS / 2
    await store.add('box', [tallyOf(2, '10.0.1.1', 'backup.contact')], 2)
    now = NOON + RETENTION_MS
    expect(await store.counts('10.0.0.1')).toEqual(NO_COUNTS)
    expect(total(await store.counts('10.0.1.1'), 'backup.contact')).toBe(1)
    await store.close()
    // A round of the sweep also takes rulings that have ended: its change tells that the round is over.
    const again = await EMBEDDED.openAt(place, { now: () => now })
    const changes = new Told<Change>()
    await again.watch(changes.push, () => {})
    await again.put(rulingOf('203.0.113.9', { until: now }))
    await changes.until((all) => all.length === 2)
    await again.close()
    expect(rowsOf(place)).toEqual(['10.0.1.0/24', '10.0.1.1'])
  })

  test.each([30, 333, 1234, 4000])(
    'after kill -9 in mid-flush, at row %i, the file is the state after some prefix',
    async (row) => {
      const place = await EMBEDDED.place()
      const adding = child(`
      const { StatementSync } = await import('node:sqlite')
      const run = StatementSync.prototype.run
      let rows = 0
      StatementSync.prototype.run = function (...values) {
        if (++rows === ${row}) process.kill(process.pid, 'SIGKILL')
        return run.apply(this, values)
      }
      const tallyOf = ${storyOf.toString()}
      const store = await openEmbedded(${JSON.stringify(place)}, { now: () => ${NOON}, tell() {}, flushMs: 1 })
      for (let seq = 0; ; ) {
        for (let i = 0; i < 7; i++) {
          const batch = Array.from({ length: 60 }, () => tallyOf(++seq))
          await store.add('box', batch, seq)
          await new Promise(setImmediate)
        }
        console.log(await store.cursor('box'))
      }`)
      const ended = once(adding, 'close')
      const acknowledged = Number((await linesOf(adding)).at(-1) ?? 0)
      await ended
      expect(adding.signalCode).toBe('SIGKILL')

      const told = new Told<StoreHappening>()
      const store = await opened(EMBEDDED, { told }, place)
      const cursor = await store.cursor('box')
      expect(told.all).toEqual([{ what: 'up' }])
      expect(cursor).toBeGreaterThanOrEqual(acknowledged)
      const whole = Array.from({ length: cursor + 1000 }, (_, i) => storyOf(i + 1))
      const kept = [...(await recordsOf(store, whole))].filter(([, counts]) => counts.size > 0)
      expect(new Map(kept), 'all up to the cursor, and nothing beyond it').toEqual(modelOf(whole.slice(0, cursor)))

      await store.add('box', whole, whole.length)
      expect(await recordsOf(store, whole), 'sent again from the beginning, nothing counts twice').toEqual(
        modelOf(whole),
      )
    },
  )

  test('while the disk refuses, what is new waits up to a bound and is written later', async () => {
    const place = await EMBEDDED.place()
    const writing = child(`
      const { execFileSync } = await import('node:child_process')
      const limit = (bytes) => execFileSync('prlimit', ['--pid', process.pid + '', '--fsize=' + bytes + ':unlimited'])
      const tallyOf = ${storyOf.toString()}
      const heard = []
      const tell = ({ what }) => heard.push(what)
      const store = await openEmbedded(${JSON.stringify(place)}, { now: () => ${NOON}, tell, flushMs: 20 })
      let seq = 0
      const add = async () => {
        const batch = Array.from({ length: 300 }, (_, i) => tallyOf(seq + i + 1))
        await store.add('box', batch, seq + 300)
        seq += 300
      }
      await add()
      const durable = await store.cursor('box')
      limit(65536)
      let refused
      while (refused === undefined) await add().catch((error) => (refused = error.message))
      const stuck = await store.cursor('box')
      const served = (await store.counts(tallyOf(1).key)).size > 0
      limit('unlimited')
      await add()
      const caughtUp = (await store.cursor('box')) === seq
      await store.close()
      console.log(JSON.stringify({ durable, stuck, refused, served, caughtUp, heard }))`)
    const [line = ''] = await linesOf(writing)
    const outcome = JSON.parse(line) as { [name: string]: unknown }
    expect(outcome).toEqual({
      durable: 300,
      stuck: outcome['stuck'],
      refused: 'the file cannot be written, and no more can wait for it',
      served: true,
      caughtUp: true,
      heard: ['up', 'flush-failed', 'up'],
    })
    const store = await opened(EMBEDDED, {}, place)
    const cursor = await store.cursor('box')
    expect(cursor).toBeGreaterThan(outcome['stuck'] as number)
    const kept = Array.from({ length: cursor }, (_, i) => storyOf(i + 1))
    expect(await recordsOf(store, kept)).toEqual(modelOf(kept))
  })
})

/** Collects what is told; `until` settles when all that was told so far satisfies. */
class Told<What> {
  readonly all: What[] = []
  readonly #waiting: { enough: (all: readonly What[]) => boolean; done: () => void }[] = []

  readonly push = (what: What): void => {
    this.all.push(what)
    for (const each of this.#waiting) if (each.enough(this.all)) each.done()
  }

  until(enough: (all: readonly What[]) => boolean): Promise<void> {
    if (enough(this.all)) return Promise.resolve()
    return new Promise((done) => this.#waiting.push({ enough, done }))
  }
}

async function opened(kind: Kind, turns: Turns = {}, place?: string): Promise<Store> {
  const store = await kind.openAt(place ?? (await kind.place()), turns)
  onTestFinished(() => store.close())
  return store
}

async function openedRedis(
  url: string,
  { told, commandTimeoutMs }: { told: Told<StoreHappening>; commandTimeoutMs: number },
): Promise<Store> {
  const store = await openRedis(
    { at: { path: url } },
    { now: () => NOON, tell: told.push, commandTimeoutMs, sweepMs: 1000 },
  )
  onTestFinished(() => store.close())
  return store
}

/** A server that a test may hang and kill. */
async function ownRedis(): Promise<RedisServer> {
  const own = await startRedis()
  onTestFinished(() => own.stop())
  return own
}

function tallyOf(seq: number, ip: string, fact: FactName, at = NOON + seq): Tally {
  const client = parseClient(ip)
  if (!client) throw new Error(`no address: ${ip}`)
  return { key: client.key, network: client.network, fact, at, seq }
}

/** The tally of each number in a story that another process tells, too: it must stand on its own. */
function storyOf(seq: number): Tally {
  const network = `10.${(seq * 7) % 5}.${(seq * 13) % 50}`
  const fact = seq % 3 === 0 ? 'primary.contact' : 'backup.recipient'
  return { key: `${network}.${seq % 251}`, network: `${network}.0/24`, fact, at: 1_795_521_600_000 + seq * 60_000, seq }
}

function roleOf(tally: Tally): Role {
  return tally.fact.split('.', 1)[0] as Role
}

/** The same address, in networks that no other run uses. */
function moved(ip: string, run: number): string {
  const [high, low] = [run >> 8, run & 255]
  if (ip.includes(':')) return ip.replace('2001:db8:0:', `2001:${run.toString(16)}:`.concat('0:'))
  return ip.replace('203.0', `11${high}.${low}`).replace('198.51', `12${high}.${low}`)
}

/** What the records must be: every tally once, by the ground's own arithmetic. */
function modelOf(tallies: readonly Tally[]): Map<string, Counts> {
  const records = new Map<string, Counts>()
  for (const { key, network, fact, at } of tallies)
    for (const name of [key, network]) records.set(name, withSighting(records.get(name) ?? NO_COUNTS, fact, at))
  return records
}

async function recordsOf(store: Store, tallies: readonly Tally[]): Promise<Map<string, Counts>> {
  const keys = new Set(tallies.flatMap(({ key, network }) => [key, network]))
  return new Map(await Promise.all([...keys].map(async (key) => [key, await store.counts(key)] as const)))
}

async function snapshotOf(store: Store): Promise<{ generation: number; rulings: Ruling[] }> {
  const { generation, rulings } = await store.rulings()
  return { generation, rulings: [...rulings].toSorted((a, b) => (idOf(a) < idOf(b) ? -1 : 1)) }
}

function rulingOf(target: string, more: Partial<Ruling> = {}): Ruling {
  return {
    by: 'rules',
    target,
    word: 'block',
    since: NOON,
    until: NOON + HOUR_MS,
    ticket: 'ABCD-EFGH',
    because: 'talks too soon',
    score: 10,
    ...more,
  }
}

function operatorsOf(target: string, word: 'allow' | 'block', until?: number): Ruling {
  const ruling: Ruling = {
    by: 'operator',
    target,
    word,
    since: NOON,
    ticket: '0123-4567',
    because: 'a partner of ours',
    author: 'ann',
  }
  return until === undefined ? ruling : { ...ruling, until }
}

function rowsOf(file: string): unknown[] {
  const db = new DatabaseSync(file)
  const rows = db.prepare('SELECT key FROM records ORDER BY key').all()
  db.close()
  return rows.map((row) => row['key'])
}

/** Another process of this Node, with `openEmbedded` at hand. */
function child(source: string): ChildProcess {
  const embedded = JSON.stringify(join(import.meta.dirname, '../../src/reputation/embedded.ts'))
  const started = spawn(
    process.execPath,
    ['--input-type=module', '-e', `import { openEmbedded } from ${embedded}\n${source}`],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  onTestFinished(() => void started.kill('SIGKILL'))
  return started
}

async function linesOf(started: ChildProcess): Promise<string[]> {
  const lines: string[] = []
  for await (const line of createInterface(started.stdout as NodeJS.ReadableStream)) lines.push(line)
  return lines
}

const SIGHTINGS = fc.array(
  fc.record({
    box: fc.integer({ min: 0, max: 1 }),
    ip: fc.constantFrom(...ADDRESSES),
    fact: fc.constantFrom(...FACT_NAMES),
    afterMs: fc.integer({ min: 0, max: 4 * HOUR_MS }),
  }),
  { minLength: 1, maxLength: 60 },
)

const STEPS = fc.array(
  fc.record({
    box: fc.integer({ min: 0, max: 1 }),
    role: fc.integer({ min: 0, max: 2 }),
    take: fc.integer({ min: 0, max: 6 }),
    again: fc.integer({ min: 0, max: 10 }),
  }),
  { maxLength: 30 },
)
