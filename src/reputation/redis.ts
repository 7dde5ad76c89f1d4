/**
 * The store that several boxes share: Redis, one script for each step, so that it is whole and can be repeated.
 *
 * Where everything stands is told in redis-keys.ts. A record is one key and the rulings are one slot, so the same scripts
 * run on a Cluster, there with one record at a time. Whether it can be asked now is for redis-health.ts to know; nothing waits
 * for a Redis that is away, since the journal is the queue. What is read is checked, because another program may write there:
 * what cannot be ours is passed over and told, and a key of another type is begun anew.
 */
import type { Instant } from '../core/evidence.ts'
import { BUCKETS_MAX, type Counts, RETENTION_MS, type Tally } from '../core/facts.ts'
import { type Connection, inTime, prepareConnection, type RedisAccess } from './redis-connection.ts'
import { RedisHealth } from './redis-health.ts'
import { type Addition, additionsOf, meetBoxes, pairs, portions, readChange, readCounts, whole } from './redis-wire.ts'
import { CHANNEL, cursorKeys, recordKey, RULINGS_KEYS } from './redis-keys.ts'
import { SWEEP_MAX } from './redis-scripts.ts'
import {
  type Change,
  idOf,
  type Neighbour,
  readRuling,
  Rewound,
  type Ruling,
  RULINGS_MAX,
  type Snapshot,
  type Store,
  type StoreHappening,
  type StoreHealth,
} from './store.ts'

export type RedisOptions = {
  readonly now: () => Instant
  readonly tell: (happening: StoreHappening) => void
  /** A command that has no answer by then has failed. */
  readonly commandTimeoutMs?: number | undefined
  /** How often rulings are looked at for their end. */
  readonly sweepMs?: number | undefined
  readonly rulingsMax?: number | undefined
}

/** Opens whether or not Redis answers; the connection is made, and made again, behind the scenes. */
export async function openRedis(access: RedisAccess, options: RedisOptions): Promise<Store> {
  const store = new RedisStore(access, options)
  await store.greet()
  return store
}

/** Records that one script call adds to: some milliseconds, so that it does not hold up others for long. */
const RECORDS_MAX = 100
/** Rulings read in one step: HGETALL of a million would stop Redis for all its clients for a second. */
const SCAN_COUNT = 1000

class RedisStore implements Store {
  readonly kind = 'redis'
  readonly #connection: Connection
  readonly #now: () => Instant
  readonly #tell: (happening: StoreHappening) => void
  readonly #rulingsMax: number
  readonly #timer: NodeJS.Timeout
  readonly #health: RedisHealth
  /** Rises with each connection: what stood in the store before may be gone after it. */
  #epoch = 0
  /** Of each box of ours the cursor as we last knew it, and in which epoch. */
  readonly #cursors = new Map<string, { readonly cursor: number; readonly epoch: number }>()
  #watcher: { readonly onChange: (change: Change) => void; readonly onLost: () => void } | undefined
  /** The generation of the last change that was told. */
  #told: number | undefined
  #sweeping = false
  #closed = false

  constructor(
    access: RedisAccess,
    { now, tell, commandTimeoutMs = 500, sweepMs = 1000, rulingsMax = RULINGS_MAX }: RedisOptions,
  ) {
    this.#now = now
    this.#tell = tell
    this.#rulingsMax = rulingsMax
    this.#connection = prepareConnection(access, commandTimeoutMs, {
      ready: () => {
        this.#startEpoch()
        this.#health.connected()
      },
      closed: () => this.#health.disconnected(),
      failed: (error) => this.#health.failed(error),
      nodesChanged: () => this.#startEpoch(),
    })
    this.#health = new RedisHealth(this.#connection, { now, tell, commandTimeoutMs })
    const { subscriber } = this.#connection
    // Whatever is wrong is wrong with the other connection, too, and told there.
    subscriber.on('error', () => {})
    subscriber.on('ready', () => void this.#resubscribe())
    subscriber.on('message', (_channel: string, message: string) => this.#heard(message))
    this.#timer = setInterval(() => void this.#tend(), sweepMs)
  }

  /** Settles when the first attempt to connect has come to an end, one way or the other. */
  async greet(): Promise<void> {
    await this.#health.first(this.#redis.connect())
  }

  health(): StoreHealth {
    return this.#health.told
  }

  async cursor(box: string): Promise<number> {
    const epoch = this.#epoch
    const cursor = await this.#health.through('records', () => this.#readCursor(box))
    this.#cursors.set(box, { cursor, epoch })
    return cursor
  }

  async add(box: string, tallies: readonly Tally[], upTo: number): Promise<ReadonlyMap<string, Counts>> {
    await this.#proveCursor(box)
    return await this.#health.through('records', () => this.#add(box, tallies, upTo))
  }

  async counts(key: string): Promise<Counts> {
    const [flat] = await this.#health.through('records', () => this.#addTo('', [{ key, text: '' }]))
    return this.#countsOf(key, flat)
  }

  async forget(key: string, at: Instant): Promise<void> {
    await this.#health.through('records', () => this.#redis.decoymxForget(recordKey(key), at, RETENTION_MS))
  }

  rulings(): Promise<Snapshot> {
    return this.#health.through('rulings', () => this.#readRulings())
  }

  generation(): Promise<number> {
    return this.#health.through('rulings', () => this.#readGeneration())
  }

  meet(mine: Omit<Neighbour, 'at'>): Promise<readonly Neighbour[]> {
    return this.#health.through('rulings', () => meetBoxes(this.#redis, { ...mine, at: this.#now() }))
  }

  async put(ruling: Ruling): Promise<void> {
    const text = JSON.stringify(ruling)
    await this.#health.through('rulings', () =>
      this.#redis.decoymxPut(...RULINGS_KEYS, idOf(ruling), text, ruling.until ?? '', this.#rulingsMax),
    )
  }

  async drop(id: string): Promise<void> {
    await this.#health.through('rulings', () => this.#redis.decoymxDrop(...RULINGS_KEYS, id))
  }

  async watch(onChange: (change: Change) => void, onLost: () => void): Promise<void> {
    const { subscriber } = this.#connection
    if (subscriber.status === 'wait') await inTime(subscriber.connect())
    await subscriber.subscribe(CHANNEL)
    this.#told = undefined
    this.#watcher = { onChange, onLost }
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    clearInterval(this.#timer)
    this.#health.close()
    await this.#connection.close()
  }

  get #redis(): Connection['commands'] {
    return this.#connection.commands
  }

  async #add(box: string, tallies: readonly Tally[], upTo: number): Promise<ReadonlyMap<string, Counts>> {
    const epoch = this.#epoch
    const touched = new Map<string, Counts>()
    for (const round of additionsOf(tallies)) {
      this.#stillIn(epoch)
      const calls = portions(round, this.#connection.kind === 'cluster' ? 1 : RECORDS_MAX).map(async (portion) => {
        const replies = await this.#addTo(box, portion)
        portion.forEach(({ key }, i) => touched.set(key, this.#countsOf(key, replies[i])))
      })
      // All are awaited even if one fails, so that nothing of this attempt is under way during the next.
      for (const outcome of await Promise.allSettled(calls)) if (outcome.status === 'rejected') throw outcome.reason
    }
    this.#stillIn(epoch)
    const advanced = await Promise.all(
      cursorKeys(this.#connection.kind, box).map((key) => this.#redis.decoymxAdvance(key, upTo, RETENTION_MS)),
    )
    this.#cursors.set(box, { cursor: Math.min(...advanced.map(Number)), epoch })
    return touched
  }

  /** One script call; the answers are in the order of the records. */
  async #addTo(box: string, portion: readonly Addition[]): Promise<readonly unknown[]> {
    const keys = portion.map(({ key }) => recordKey(key))
    const texts = portion.map((each) => each.text)
    const replies = await this.#redis.decoymxAdd(keys.length, ...keys, box, RETENTION_MS, BUCKETS_MAX, ...texts)
    if (!Array.isArray(replies)) throw new Error('Redis answered in a way that no script of ours does')
    return replies as unknown[]
  }

  #countsOf(key: string, flat: unknown): Counts {
    const { counts, ignored } = readCounts(flat)
    this.#ignored(ignored.map((field) => `${field} of ${key}`))
    return counts
  }

  async #readCursor(box: string): Promise<number> {
    const texts = await Promise.all(cursorKeys(this.#connection.kind, box).map((key) => this.#redis.get(key)))
    const cursors = texts.map(whole)
    if (texts.some((text, i) => text !== null && cursors[i] === undefined)) this.#ignored([`cursor of ${box}`])
    return Math.min(...cursors.map((cursor) => cursor ?? 0))
  }

  async #readGeneration(): Promise<number> {
    return whole(await this.#redis.get(RULINGS_KEYS[1])) ?? 0
  }

  async #readRulings(): Promise<Snapshot> {
    const generation = await this.#readGeneration()
    const found = new Map<string, Ruling>()
    const ids = new Set<string>()
    const ignored: string[] = []
    const now = this.#now()
    let place = '0'
    do {
      const [next, flat] = await this.#redis.hscan(RULINGS_KEYS[0], place, 'COUNT', SCAN_COUNT)
      for (const [id, text] of pairs(flat)) {
        ids.add(id)
        const ruling = readRuling(id, text)
        if (!ruling) ignored.push(`ruling ${id}`)
        else if ((ruling.until ?? Infinity) > now) found.set(id, ruling)
      }
      place = next
    } while (place !== '0')
    // Where a slot moves to another node meanwhile, a scan goes on at the wrong place there.
    if (ids.size < (await this.#redis.hlen(RULINGS_KEYS[0])) && generation === (await this.#readGeneration()))
      throw new Error('the rulings moved while they were read')
    this.#ignored(ignored)
    return { generation, rulings: [...found.values()] }
  }

  /** Has the store, since we were connected anew, still got what it had of this box? */
  async #proveCursor(box: string): Promise<void> {
    const known = this.#cursors.get(box)
    if (!known || known.epoch === this.#epoch) return
    const cursor = await this.cursor(box)
    if (cursor >= known.cursor) return
    this.#tell({ what: 'rewound', box, from: known.cursor, to: cursor })
    throw new Rewound(box, known.cursor, cursor)
  }

  /** What was proved of the store in one epoch says nothing of the next. */
  #stillIn(epoch: number): void {
    if (epoch !== this.#epoch) throw new Error('the connection was made anew meanwhile')
  }

  /** Takes away the rulings that have ended, whoever comes first, and looks again at a server that was of no use. */
  async #tend(): Promise<void> {
    if (this.#sweeping) return
    this.#sweeping = true
    try {
      await this.#health.lookAgain()
      let dropped = SWEEP_MAX
      while (dropped === SWEEP_MAX && !this.#closed)
        dropped = Number(
          await this.#health.through('rulings', () =>
            this.#redis.decoymxSweep(...RULINGS_KEYS, this.#now(), SWEEP_MAX),
          ),
        )
    } catch {
      // Away, or ill: the connection tells of it, and the next round tries again.
    } finally {
      this.#sweeping = false
    }
  }

  #heard(message: string): void {
    const change = readChange(message)
    if (!change) return this.#ignored([`message on ${CHANNEL}`])
    const skipped = this.#told !== undefined && change.generation !== this.#told + 1
    this.#told = change.generation
    this.#watcher?.onChange(change)
    if (skipped) this.#watcher?.onLost()
  }

  /** After a break. Lost is told once we hear again, so that nothing falls between a new snapshot and the changes. */
  async #resubscribe(): Promise<void> {
    const watcher = this.#watcher
    if (!watcher) return
    try {
      await this.#connection.subscriber.subscribe(CHANNEL)
      this.#told = undefined
      this.#watcher?.onLost()
    } catch {
      if (!this.#closed) this.#connection.subscriber.disconnect(true)
    }
  }

  #startEpoch(): void {
    this.#epoch++
  }

  #ignored(what: readonly string[]): void {
    if (what[0] !== undefined) this.#tell({ what: 'ignored', where: what[0], count: what.length })
  }
}
