/**
 * What a store has counted, as a recording again: exact to the hour, so that other rules can be tried on it.
 *
 * A store keeps, of each client and fact and hour, how often it was seen, first and last. Rules read nothing finer, and what
 * the guard withheld is not among it: so told again as one sighting at the first moment and the others at the last, the facts
 * come out the same (`tally`). What is lost is the order within an hour, and what was forgotten meanwhile.
 *
 * A shared store has millions of such counts, so they are kept as columns of numbers until they are told.
 */
import { type Evidence, type Instant, type Kind, type Role, ROLES, TIMES_MAX } from './evidence.ts'
import { type Counts, FACT_NAMES, type FactName } from './facts.ts'

/** Most sightings that are kept: what comes beyond is counted as left out, and told. */
const SIGHTINGS_MAX = 10_000_000

export class Counted {
  readonly #clients: string[] = []
  #at = new Float64Array(1024)
  #client = new Uint32Array(1024)
  #fact = new Uint16Array(1024)
  #times = new Uint32Array(1024)
  #size = 0
  readonly #max: number
  leftOut = 0

  constructor(max = SIGHTINGS_MAX) {
    this.#max = max
  }

  get size(): number {
    return this.#size
  }
  get clients(): number {
    return this.#clients.length
  }

  /** A client, by an address of it, and its own counts. Those that say what was withheld are none to rules. */
  add(ip: string, counts: Counts): void {
    const client = this.#clients.push(ip) - 1
    for (const [name, buckets] of counts) {
      const fact = FACTS.get(name)
      if (fact === undefined) continue
      for (const { count, first, last } of buckets) {
        this.#push(first, client, fact, 1)
        for (let rest = count - 1; rest > 0; rest -= TIMES_MAX)
          this.#push(last, client, fact, Math.min(rest, TIMES_MAX))
      }
    }
  }

  /** All of them, by time. */
  *told(): Generator<Evidence> {
    const order = new Uint32Array(this.#size).map((_, i) => i)
    order.sort((a, b) => this.#atOf(a) - this.#atOf(b) || a - b)
    for (const i of order) {
      const [role, kind] = NAMES[this.#fact[i] as number] as readonly [Role, Kind]
      const times = this.#times[i] as number
      const evidence = {
        type: 'evidence',
        at: this.#atOf(i),
        client: this.#clients[this.#client[i] as number] as string,
      } as const
      yield times > 1 ? { ...evidence, role, kind, times } : { ...evidence, role, kind }
    }
  }

  #push(at: Instant, client: number, fact: number, times: number): void {
    if (this.#size >= this.#max) {
      this.leftOut++
      return
    }
    if (this.#size === this.#at.length) this.#grow()
    const i = this.#size++
    this.#at[i] = at
    this.#client[i] = client
    this.#fact[i] = fact
    this.#times[i] = times
  }

  #grow(): void {
    const size = this.#at.length * 2
    const grown = <Column extends Float64Array | Uint32Array | Uint16Array>(column: Column, into: Column): Column => {
      into.set(column)
      return into
    }
    this.#at = grown(this.#at, new Float64Array(size))
    this.#client = grown(this.#client, new Uint32Array(size))
    this.#fact = grown(this.#fact, new Uint16Array(size))
    this.#times = grown(this.#times, new Uint32Array(size))
  }

  #atOf(i: number): Instant {
    return this.#at[i] as number
  }
}

const NAMES = FACT_NAMES.map((name) => {
  const dot = name.indexOf('.')
  return [name.slice(0, dot), name.slice(dot + 1)] as unknown as readonly [Role, Kind]
})
const FACTS: ReadonlyMap<FactName, number> = new Map(
  FACT_NAMES.map((name, i) => [name, i] as const).filter(([, i]) =>
    ROLES.includes((NAMES[i] as readonly [Role, Kind])[0]),
  ),
)
