/**
 * The store that several boxes share: Redis, one script per record, so that every step is whole and can be repeated.
 *
 *     decoymx:{<key>}:facts          hash: `<fact> <hour>` -> `count first last`, `seq <box>/<lane>`, `forgotten`
 *     decoymx:cursor:{<box>}         number
 *     decoymx:{rulings}              hash: id -> JSON
 *     decoymx:{rulings}:until        sorted set: id by the end of its ruling
 *     decoymx:{rulings}:generation   number; every change is published on `decoymx:changes`
 *
 * A record is one key and the rulings are one slot, so the same scripts run on a Cluster. Nothing waits for a Redis
 * that is away: commands are neither queued nor sent again, since the journal is the queue. What is read is checked,
 * because another program may write there: what cannot be ours is passed over and told, and a key of another type is
 * begun anew.
 */
import { Redis } from 'ioredis'
import type { Instant } from '../core/evidence.ts'
import {
  type Bucket,
  BUCKETS_MAX,
  type Counts,
  type FactName,
  hourOf,
  laneOf,
  RETENTION_MS,
  type Tally,
} from '../core/facts.ts'
import { CHANNEL, SCRIPTS, SWEEP_MAX } from './redis-scripts.ts'
import {
  byRecord,
  type Change,
  idOf,
  isFactName,
  parsed,
  readBucket,
  readRuling,
  Rewound,
  type Ruling,
  RULINGS_MAX,
  type Snapshot,
  type Store,
  type StoreHappening,
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
export async function openRedis(url: string, options: RedisOptions): Promise<Store> {
  if (!/^(rediss?:\/\/[^/]|\/[^/])/.test(url))
    throw new Error('expected redis://HOST:PORT/DB, rediss://HOST:PORT/DB or the path of a socket')
  const { commandTimeoutMs = 500 } = options
  const store = new RedisStore(() => connection(url, commandTimeoutMs), commandTimeoutMs, options)
  await store.greet()
  return store
}

const RULINGS_KEYS = ['decoymx:{rulings}', 'decoymx:{rulings}:generation', 'decoymx:{rulings}:until'] as const
const recordKey = (key: string) => `decoymx:{${key}}:facts`
const cursorKey = (box: string) => `decoymx:cursor:{${box}}`

/** Records worked on at once by one `add`: far fewer than Redis gets through within the time-out of a command. */
const CALLS_MAX = 1000
/** Tallies that one script call adds, so that no call holds up the others for long. */
const TALLIES_MAX = 1000
/** Rulings read, or swept, in one step: HGETALL of a million would stop Redis for all its clients for a second. */
const SCAN_COUNT = 1000
const RETRY_MAX_MS = 1000
/** What is told of a connection that ended without an error. */
const CLOSED = 'the connection was closed'

class RedisStore implements Store {
  readonly kind = 'redis'
  readonly #redis: Connection
  readonly #subscriber: Connection
  readonly #now: () => Instant
  readonly #tell: (happening: StoreHappening) => void
  readonly #commandTimeoutMs: number
  readonly #rulingsMax: number
  readonly #timer: NodeJS.Timeout
  /** Rises with each connection: what stood in the store before may be gone after it. */
  #epoch = 0
  /** Of each box of ours the cursor as we last knew it, and in which epoch. */
  readonly #cursors = new Map<string, { readonly cursor: number; readonly epoch: number }>()
  #watcher: { readonly onChange: (change: Change) => void; readonly onLost: () => void } | undefined
  /** The generation of the last change that was told. */
  #told: number | undefined
  #state: 'up' | 'down' | undefined
  #lastError = CLOSED
  #sweeping = false
  #closed = false

  constructor(
    connect: () => Connection,
    commandTimeoutMs: number,
    { now, tell, sweepMs = 1000, rulingsMax = RULINGS_MAX }: RedisOptions,
  ) {
    this.#now = now
    this.#tell = tell
    this.#commandTimeoutMs = commandTimeoutMs
    this.#rulingsMax = rulingsMax
    this.#redis = connect()
    this.#redis.on('error', (error: Error) => (this.#lastError = error.message))
    this.#redis.on('ready', () => this.#up())
    this.#redis.on('close', () => this.#down())
    this.#subscriber = connect()
    // Whatever is wrong is wrong with the other connection, too, and told there.
    this.#subscriber.on('error', () => {})
    this.#subscriber.on('ready', () => void this.#resubscribe())
    this.#subscriber.on('message', (_channel: string, message: string) => this.#heard(message))
    this.#timer = setInterval(() => void this.#sweep(), sweepMs)
  }

  /** Settles when the first attempt to connect has come to an end, one way or the other. */
  async greet(): Promise<void> {
    await this.#redis.connect().catch(() => {})
  }

  async cursor(box: string): Promise<number> {
    const epoch = this.#epoch
    const cursor = await this.#readCursor(box)
    this.#cursors.set(box, { cursor, epoch })
    return cursor
  }

  async add(box: string, tallies: readonly Tally[], upTo: number): Promise<ReadonlyMap<string, Counts>> {
    await this.#proveCursor(box)
    const epoch = this.#epoch
    const touched = new Map<string, Counts>()
    const groups = [...byRecord(tallies)]
    for (let i = 0; i < groups.length; i += CALLS_MAX) {
      const calls = groups
        .slice(i, i + CALLS_MAX)
        .map(async ([key, group]) => touched.set(key, await this.#addTo(key, box, group, epoch)))
      // All are awaited even if one fails, so that nothing of this attempt is under way during the next.
      for (const outcome of await Promise.allSettled(calls)) if (outcome.status === 'rejected') throw outcome.reason
    }
    this.#stillIn(epoch)
    const cursor = Number(await this.#redis.decoymxAdvance(cursorKey(box), upTo, RETENTION_MS))
    this.#cursors.set(box, { cursor, epoch })
    return touched
  }

  async counts(key: string): Promise<Counts> {
    return this.#countsOf(key, await this.#redis.decoymxAdd(recordKey(key), '', RETENTION_MS, BUCKETS_MAX))
  }

  async forget(key: string, at: Instant): Promise<void> {
    await this.#redis.decoymxForget(recordKey(key), at, RETENTION_MS)
  }

  async rulings(): Promise<Snapshot> {
    const generation = await this.generation()
    const found = new Map<string, Ruling>()
    const ignored: string[] = []
    const now = this.#now()
    let place = '0'
    do {
      const [next, flat] = await this.#redis.hscan(RULINGS_KEYS[0], place, 'COUNT', SCAN_COUNT)
      for (const [id, text] of pairs(flat)) {
        const ruling = readRuling(id, text)
        if (!ruling) ignored.push(`ruling ${id}`)
        else if ((ruling.until ?? Infinity) > now) found.set(id, ruling)
      }
      place = next
    } while (place !== '0')
    this.#ignored(ignored)
    return { generation, rulings: [...found.values()] }
  }

  async generation(): Promise<number> {
    return whole(await this.#redis.get(RULINGS_KEYS[1])) ?? 0
  }

  async put(ruling: Ruling): Promise<void> {
    await this.#redis.decoymxPut(
      ...RULINGS_KEYS,
      idOf(ruling),
      JSON.stringify(ruling),
      ruling.until ?? '',
      this.#rulingsMax,
    )
  }

  async drop(id: string): Promise<void> {
    await this.#redis.decoymxDrop(...RULINGS_KEYS, id)
  }

  async watch(onChange: (change: Change) => void, onLost: () => void): Promise<void> {
    if (this.#subscriber.status === 'wait') await this.#subscriber.connect()
    await this.#subscriber.subscribe(CHANNEL)
    this.#told = undefined
    this.#watcher = { onChange, onLost }
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    clearInterval(this.#timer)
    await Promise.all([this.#redis, this.#subscriber].map((each) => disconnect(each, this.#commandTimeoutMs)))
  }

  async #addTo(key: string, box: string, tallies: readonly Tally[], epoch: number): Promise<Counts> {
    let flat: unknown = []
    for (let i = 0; i < tallies.length; i += TALLIES_MAX) {
      this.#stillIn(epoch)
      const rows = tallies.slice(i, i + TALLIES_MAX).flatMap(rowOf)
      flat = await this.#redis.decoymxAdd(recordKey(key), box, RETENTION_MS, BUCKETS_MAX, ...rows)
    }
    return this.#countsOf(key, flat)
  }

  #countsOf(key: string, flat: unknown): Counts {
    const counts = new Map<FactName, Bucket[]>()
    const ignored: string[] = []
    for (const [field, text] of pairs(flat)) {
      const [fact = '', hour] = field.split(' ')
      const bucket = readBucket(...(text.split(' ').map(whole) as [unknown, unknown, unknown]))
      if (!bucket || String(bucket.hour) !== hour || !isFactName(fact)) ignored.push(`${field} of ${key}`)
      else counts.set(fact, [...(counts.get(fact) ?? []), bucket])
    }
    for (const buckets of counts.values()) buckets.sort((a, b) => a.hour - b.hour)
    this.#ignored(ignored)
    return counts
  }

  async #readCursor(box: string): Promise<number> {
    const text = await this.#redis.get(cursorKey(box))
    const cursor = whole(text)
    if (text !== null && cursor === undefined) this.#ignored([`cursor of ${box}`])
    return cursor ?? 0
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

  /** Takes away the rulings that have ended. Whoever comes first does it, and it is done once. */
  async #sweep(): Promise<void> {
    if (this.#sweeping || this.#state !== 'up') return
    this.#sweeping = true
    try {
      let dropped = SWEEP_MAX
      while (dropped === SWEEP_MAX && !this.#closed)
        dropped = Number(await this.#redis.decoymxSweep(...RULINGS_KEYS, this.#now(), SWEEP_MAX))
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
      await this.#subscriber.subscribe(CHANNEL)
      this.#told = undefined
      this.#watcher?.onLost()
    } catch {
      if (!this.#closed) this.#subscriber.disconnect(true)
    }
  }

  #up(): void {
    this.#epoch++
    if (this.#state !== 'up') this.#tell({ what: 'up' })
    this.#state = 'up'
  }

  #down(): void {
    if (this.#state !== 'down' && !this.#closed) this.#tell({ what: 'down', error: this.#lastError })
    this.#state = 'down'
    this.#lastError = CLOSED
  }

  #ignored(what: readonly string[]): void {
    if (what[0] !== undefined) this.#tell({ what: 'ignored', where: what[0], count: what.length })
  }
}

/** A published change; undefined when it is none. */
function readChange(message: string): Change | undefined {
  const raw = parsed(message)
  if (typeof raw !== 'object' || raw === null || !('generation' in raw) || !Number.isSafeInteger(raw.generation))
    return undefined
  const generation = raw.generation as number
  if ('drop' in raw && typeof raw.drop === 'string') return { generation, drop: raw.drop }
  if (!('put' in raw) || !('id' in raw)) return undefined
  const put = readRuling(String(raw.id), JSON.stringify(raw.put))
  return put && { generation, put }
}

/** A flat reply `field, value, field, value, ...` in pairs; anything else in it is left out. */
/** What the script wants of a tally. */
function rowOf(tally: Tally): (string | number)[] {
  return [tally.fact, hourOf(tally.at), tally.at, tally.seq, tally.times ?? 1, laneOf(tally)]
}

function* pairs(flat: unknown): Generator<readonly [string, string]> {
  if (!Array.isArray(flat)) return
  for (let i = 0; i + 1 < flat.length; i += 2) yield [String(flat[i]), String(flat[i + 1])]
}

/** A whole number as our scripts write them; undefined for anything else. */
function whole(text: string | null): number | undefined {
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : undefined
}

type Script = (...args: (string | number)[]) => Promise<unknown>
type Connection = Redis & { [Name in keyof typeof SCRIPTS]: Script }

function connection(url: string, commandTimeoutMs: number): Connection {
  const redis = new Redis(url, {
    lazyConnect: true,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    // We subscribe again ourselves, to know when it is done.
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
    connectTimeout: 2 * commandTimeoutMs,
    commandTimeout: commandTimeoutMs,
    // A server that owes answers and is silent for so long is given up, and with it what was sent to it.
    socketTimeout: 2 * commandTimeoutMs,
    disconnectTimeout: commandTimeoutMs,
    retryStrategy: (times) => Math.min(25 * 2 ** times, RETRY_MAX_MS),
    replyMapping: 'legacy',
    scripts: SCRIPTS,
  })
  return redis as Connection
}

/** Says goodbye, and does not wait for a server that hangs. Between two attempts to connect there is nothing to end. */
async function disconnect(redis: Redis, withinMs: number): Promise<void> {
  if (redis.status === 'wait' || redis.status === 'reconnecting' || redis.status === 'end') return redis.disconnect()
  await new Promise<void>((resolve) => {
    const timer = setTimeout(() => (redis.stream?.destroy(), resolve()), withinMs)
    redis.once('end', () => (clearTimeout(timer), resolve()))
    redis.disconnect()
  })
}
