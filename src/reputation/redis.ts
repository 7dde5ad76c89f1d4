/**
 * The store that several boxes share: Redis, one script per record, so that every step is whole and can be repeated.
 *
 * Where everything stands is told in redis-keys.ts. A record is one key and
 * the rulings are one slot, so the same scripts run on a Cluster. Nothing waits for a Redis that is away, since the
 * journal is the queue, and one that hangs costs one deadline (breaker.ts). What is read is checked, because another
 * program may write there: what cannot be ours is passed over and told, and a key of another type is begun anew.
 */
import type { Instant } from '../core/evidence.ts'
import { BUCKETS_MAX, type Counts, RETENTION_MS, type Tally } from '../core/facts.ts'
import { Breaker } from './breaker.ts'
import { type Connection, plainly, prepareConnection, type RedisAccess } from './redis-connection.ts'
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
/** Rulings read, or swept, in one step: HGETALL of a million would stop Redis for all its clients for a second. */
const SCAN_COUNT = 1000
/** A server that hung is looked at again so often. */
const BREAK_MS = 1000
/** An attempt to connect is waited for so long: Sentinels are asked one after the other until one answers. */
const CONNECT_MS = 3000
/** What is told of a connection that ended without an error. */
const CLOSED = 'the connection was closed'

class RedisStore implements Store {
  readonly kind = 'redis'
  readonly #connection: Connection
  readonly #now: () => Instant
  readonly #tell: (happening: StoreHappening) => void
  readonly #rulingsMax: number
  readonly #commandTimeoutMs: number
  readonly #timer: NodeJS.Timeout
  /** In a Cluster the rulings may be on a node that answers while one with records hangs, and the other way round. */
  readonly #breakers: Record<'records' | 'rulings', Breaker>
  /** Rises with each connection: what stood in the store before may be gone after it. */
  #epoch = 0
  /** Of each box of ours the cursor as we last knew it, and in which epoch. */
  readonly #cursors = new Map<string, { readonly cursor: number; readonly epoch: number }>()
  #watcher: { readonly onChange: (change: Change) => void; readonly onLost: () => void } | undefined
  /** The generation of the last change that was told. */
  #told: number | undefined
  #connected = false
  /** Settles when it is known whether the server we are connected to is a master. */
  #examined: Promise<void> = Promise.resolve()
  /** Why it is of no use, though it answers. */
  #unfit: string | undefined
  #health: StoreHealth | undefined
  #lastError = CLOSED
  #sweeping = false
  #closed = false

  constructor(
    access: RedisAccess,
    { now, tell, commandTimeoutMs = 500, sweepMs = 1000, rulingsMax = RULINGS_MAX }: RedisOptions,
  ) {
    this.#now = now
    this.#tell = tell
    this.#rulingsMax = rulingsMax
    this.#commandTimeoutMs = commandTimeoutMs
    this.#connection = prepareConnection(access, commandTimeoutMs, {
      ready: () => this.#ready(),
      closed: () => this.#disconnected(),
      failed: (error) => (this.#lastError = plainly(error, commandTimeoutMs).message),
      nodesChanged: () => this.#startEpoch(),
    })
    const breaker = () =>
      new Breaker({
        slowMs: 0.9 * commandTimeoutMs,
        pauseMs: BREAK_MS,
        clock: () => performance.now(),
        turned: (error) => {
          if (error !== undefined) this.#lastError = error
          this.#settleHealth()
        },
      })
    const records = breaker()
    this.#breakers = { records, rulings: this.#connection.kind === 'cluster' ? breaker() : records }
    const { subscriber } = this.#connection
    // Whatever is wrong is wrong with the other connection, too, and told there.
    subscriber.on('error', () => {})
    subscriber.on('ready', () => void this.#resubscribe())
    subscriber.on('message', (_channel: string, message: string) => this.#heard(message))
    this.#timer = setInterval(() => void this.#tend(), sweepMs)
  }

  /** Settles when the first attempt to connect has come to an end, one way or the other. */
  async greet(): Promise<void> {
    const first = this.#redis.connect().catch((error: Error) => {
      if (this.#lastError === CLOSED) this.#lastError = error.message
    })
    await inTime(first)
    // The library may settle before it says that it is ready.
    await new Promise((resolve) => setImmediate(resolve))
    await this.#examined
    this.#settleHealth()
  }

  health(): StoreHealth {
    return this.#health ?? { state: 'down', since: this.#now(), error: this.#lastError }
  }

  async cursor(box: string): Promise<number> {
    const epoch = this.#epoch
    const cursor = await this.#through('records', () => this.#readCursor(box))
    this.#cursors.set(box, { cursor, epoch })
    return cursor
  }

  async add(box: string, tallies: readonly Tally[], upTo: number): Promise<ReadonlyMap<string, Counts>> {
    await this.#proveCursor(box)
    return await this.#through('records', () => this.#add(box, tallies, upTo))
  }

  async counts(key: string): Promise<Counts> {
    const [flat] = await this.#through('records', () => this.#addTo('', [{ key, text: '' }]))
    return this.#countsOf(key, flat)
  }

  async forget(key: string, at: Instant): Promise<void> {
    await this.#through('records', () => this.#redis.decoymxForget(recordKey(key), at, RETENTION_MS))
  }

  rulings(): Promise<Snapshot> {
    return this.#through('rulings', () => this.#readRulings())
  }

  generation(): Promise<number> {
    return this.#through('rulings', () => this.#readGeneration())
  }

  meet(mine: Omit<Neighbour, 'at'>): Promise<readonly Neighbour[]> {
    return this.#through('rulings', () => meetBoxes(this.#redis, { ...mine, at: this.#now() }))
  }

  async put(ruling: Ruling): Promise<void> {
    const text = JSON.stringify(ruling)
    await this.#through('rulings', () =>
      this.#redis.decoymxPut(...RULINGS_KEYS, idOf(ruling), text, ruling.until ?? '', this.#rulingsMax),
    )
  }

  async drop(id: string): Promise<void> {
    await this.#through('rulings', () => this.#redis.decoymxDrop(...RULINGS_KEYS, id))
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
    await this.#connection.close()
  }

  get #redis(): Connection['commands'] {
    return this.#connection.commands
  }

  async #through<Value>(what: 'records' | 'rulings', call: () => Promise<Value>): Promise<Value> {
    if (!this.#closed && !this.#connected) throw new Error(`not connected: ${this.#lastError}`)
    if (!this.#closed && this.#unfit !== undefined) throw new Error(this.#unfit)
    try {
      return await this.#breakers[what].through(async () => {
        try {
          return await call()
        } catch (error) {
          throw plainly(error as Error, this.#commandTimeoutMs)
        }
      })
    } catch (error) {
      // It was made a replica while we were connected.
      const { message } = error as Error
      if (message.startsWith('READONLY')) void this.#examine()
      // What the library says of a connection that broke meanwhile does not say why.
      if (/max retries per request|Connection is closed|isn't writeable/.test(message) && !this.#closed)
        throw new Error(`not connected: ${this.#lastError}`, { cause: error })
      throw error
    }
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
    if (this.#sweeping || !this.#connected) return
    this.#sweeping = true
    try {
      if (this.#unfit !== undefined) await this.#examine()
      let dropped = SWEEP_MAX
      while (dropped === SWEEP_MAX && !this.#closed)
        dropped = Number(
          await this.#through('rulings', () => this.#redis.decoymxSweep(...RULINGS_KEYS, this.#now(), SWEEP_MAX)),
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

  #ready(): void {
    this.#connected = true
    this.#startEpoch()
    this.#lastError = CLOSED
    for (const breaker of Object.values(this.#breakers)) breaker.close()
    this.#examined = this.#examine()
  }

  #disconnected(): void {
    this.#connected = false
    this.#unfit = undefined
    this.#settleHealth()
  }

  #startEpoch(): void {
    this.#epoch++
  }

  /**
   * Sentinels and Clusters name their masters. A single server may be a replica: it takes nothing, and its rulings may be
   * old without its knowing, so it proves nothing either.
   */
  async #examine(): Promise<void> {
    if (this.#connection.kind === 'one') {
      // Who may not ask is not told, and learns it by the first write.
      const text = await this.#redis.info('replication').catch(() => '')
      const master = /^role:slave\r?\nmaster_host:(\S+)\r?\nmaster_port:(\d+)/m.exec(text)
      this.#unfit = master
        ? `this is a read-only replica: the store is at its master, ${master[1]} port ${master[2]}`
        : undefined
    }
    this.#settleHealth()
  }

  /** Each turn for the better or the worse is told once. */
  #settleHealth(): void {
    if (this.#closed) return
    const before = this.#health?.state
    const hung = this.#breakers.records.error ?? this.#breakers.rulings.error
    const error = this.#connected ? (this.#unfit ?? hung) : this.#lastError
    const state = error === undefined ? 'up' : this.#connected && this.#unfit === undefined ? 'hung' : 'down'
    this.#health = { state, since: state === before ? this.health().since : this.#now(), error }
    if (state === before) return
    if (error === undefined) this.#tell({ what: 'up' })
    else if (before === undefined || before === 'up') this.#tell({ what: 'down', error })
  }

  #ignored(what: readonly string[]): void {
    if (what[0] !== undefined) this.#tell({ what: 'ignored', where: what[0], count: what.length })
  }
}

/** Settles with the attempt, or once it has taken too long; it then goes on by itself. */
async function inTime(attempt: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise((resolve) => (timer = setTimeout(resolve, CONNECT_MS)))
  await Promise.race([attempt, late]).finally(() => clearTimeout(timer))
}
