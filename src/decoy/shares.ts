/**
 * One view of the caps among several processes: each worker's share, and what the others have.
 *
 * A worker counts by itself; up to ten times a second it reports the clients and networks of which it has many, and hears how
 * many the others have of these. A cap holds when any worker has its share of it: what is below half a share everywhere
 * cannot add up to a cap, and costs nothing. Once one of them reports a key, all do.
 *
 * So a cap is known with a delay of two beats (0.2 s). In that time each worker keeps the cap by itself, so it can be passed
 * as many times over as there are workers, and no more; then those who have too many let held ones go, each its part, at
 * most once in COOL_MS for one key. Dialogues are never cut for it.
 *
 * Values only: messages and time are the caller's.
 */
import type { Who } from './crowd.ts'

/** A client, or a network by its name. */
export type Key = Who

export type Caps = { readonly connections: number; readonly perNetwork: number; readonly perClient: number }

/** How many a worker has in all, and of each key that it has something new to say about. */
export type Report = { readonly connections: number; readonly keys: readonly (readonly [Key, number])[] }

const COOL_MS = 300
/** Keys that are watched at once; one for each of a cap's share, so this is a bound on damage only. */
const KEYS_MAX = 100_000

/** In a worker: what the others have, and what there is to report. */
export class Share {
  readonly #threshold: { readonly network: number; readonly client: number }
  readonly #elsewhere = new Map<Key, number>()
  readonly #reported = new Set<Key>()
  readonly #cooling = new Map<Key, number>()
  #changed = new Map<Key, number>()
  #connections = 0
  #cooledAt = -Infinity

  constructor(workers: number, caps: Caps) {
    const half = (cap: number) => Math.max(1, Math.floor(cap / (2 * workers)))
    this.#threshold = { network: half(caps.perNetwork), client: half(caps.perClient) }
  }

  /** All connections of the other workers. */
  get connections(): number {
    return this.#connections
  }

  elsewhere(key: Key): number {
    return this.#elsewhere.get(key) ?? 0
  }

  /** We have now so many of this key. */
  note(key: Key, here: number, isNetwork: boolean): void {
    const threshold = isNetwork ? this.#threshold.network : this.#threshold.client
    if (here >= threshold || this.#reported.has(key) || this.#elsewhere.has(key)) this.#changed.set(key, here)
  }

  report(connections: number): Report {
    const keys = [...this.#changed]
    this.#changed = new Map()
    for (const [key, here] of keys) {
      if (here > 0) this.#reported.add(key)
      else this.#reported.delete(key)
    }
    return { connections, keys }
  }

  /** What the others have. `here` tells what we have of a key. */
  hear(news: Report, here: (key: Key) => number): void {
    this.#connections = news.connections
    for (const [key, elsewhere] of news.keys) {
      if (elsewhere === 0) this.#elsewhere.delete(key)
      else if (this.#elsewhere.size < KEYS_MAX) {
        this.#elsewhere.set(key, elsewhere)
        const own = here(key)
        if (own > 0 && !this.#reported.has(key)) this.#changed.set(key, own)
      }
    }
  }

  /** How many of the `here` that we have of this key are to go, now: our part of what is over the cap. */
  excess(key: Key, here: number, cap: number, now: number): number {
    const part = partOf(here, this.elsewhere(key), cap)
    if (part === 0) this.#cooling.delete(key)
    if (part === 0 || now - (this.#cooling.get(key) ?? -Infinity) < COOL_MS) return 0
    this.#cooling.set(key, now)
    return part
  }

  /** Keys of which there were too many when it was last looked: to be looked at again. */
  get excessive(): Key[] {
    return [...this.#cooling.keys()]
  }

  /** The same of all connections. */
  excessInAll(here: number, cap: number, now: number): number {
    const part = partOf(here, this.#connections, cap)
    if (part === 0 || now - this.#cooledAt < COOL_MS) return 0
    this.#cooledAt = now
    return part
  }
}

/** Of what is too many, our part: as large as our part of all. */
function partOf(here: number, elsewhere: number, cap: number): number {
  const over = here + elsewhere - cap
  return over <= 0 ? 0 : Math.min(here, Math.ceil((over * here) / (here + elsewhere)))
}

/** In the parent: who has how many of what. */
export class Census {
  readonly #byKey = new Map<Key, Map<number, number>>()
  readonly #connections = new Map<number, number>()
  #changed = new Set<Key>()

  hear(worker: number, { connections, keys }: Report): void {
    this.#connections.set(worker, connections)
    for (const [key, here] of keys) this.#set(worker, key, here)
  }

  /** It is gone, and so are its connections. */
  gone(worker: number): void {
    this.#connections.delete(worker)
    for (const key of this.#byKey.keys()) this.#set(worker, key, 0)
  }

  /** For each of these workers what the others have, of all that has changed since. A new one is to hear everything. */
  news(workers: readonly number[], newcomers: ReadonlySet<number>): Map<number, Report> {
    const changed = [...this.#changed]
    this.#changed = new Set()
    return new Map(
      workers.map((worker) => {
        const keys = (newcomers.has(worker) ? [...this.#byKey.keys()] : changed).map(
          (key) => [key, this.#elsewhere(worker, key)] as const,
        )
        const connections = [...this.#connections].reduce((sum, [other, n]) => (other === worker ? sum : sum + n), 0)
        return [worker, { connections, keys }]
      }),
    )
  }

  #set(worker: number, key: Key, here: number): void {
    const workers = this.#byKey.get(key)
    if ((workers?.get(worker) ?? 0) === here) return
    this.#changed.add(key)
    if (!workers) this.#byKey.set(key, new Map([[worker, here]]))
    else if (here > 0) workers.set(worker, here)
    else if (workers.delete(worker) && workers.size === 0) this.#byKey.delete(key)
  }

  #elsewhere(worker: number, key: Key): number {
    let sum = 0
    for (const [other, here] of this.#byKey.get(key) ?? []) if (other !== worker) sum += here
    return sum
  }
}
