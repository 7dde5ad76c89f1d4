/**
 * Rulings by their ids (`idOf`), in a form that a million of them can have.
 *
 * Nearly all are the rules' word about an IPv4 address, and nearly every question is about one. These are kept in columns
 * under the address's number (listings.ts): a look-up makes no string and compares none. All others are kept as they are.
 * Whoever goes through them while they change meets each that stays exactly once, as with a map.
 */
import { dottedOf, numberOfDotted } from '../core/client.ts'
import type { Instant } from '../core/evidence.ts'
import type { Standing } from '../core/rules.ts'
import { Listings } from './listings.ts'
import type { Newest, Search } from './search.ts'
import { idOf, type Ruling } from './store.ts'

export class ById {
  #fourth = new Listings()
  #others = new Map<string, Other>()
  /** Of those others. */
  #byTicket = new Map<string, Ruling>()
  #puts = 0

  /** The same once more; what is put into one is not in the other. */
  copy(): ById {
    const made = new ById()
    made.#fourth = this.#fourth.copy()
    made.#others = new Map(this.#others)
    made.#byTicket = new Map(this.#byTicket)
    made.#puts = this.#puts
    return made
  }

  get size(): number {
    return this.#fourth.size + this.#others.size
  }

  /** How many were ever put: what is put from now on is younger than that. */
  get puts(): number {
    return this.#puts
  }

  get(id: string): Ruling | undefined {
    return id.startsWith(RULES) ? this.ofRules(id.slice(RULES.length)) : this.#others.get(id)?.ruling
  }

  /** The rules' word about the client with this key. */
  ofRules(key: string): Ruling | undefined {
    const listed = isFourth(key) ? this.#fourth.get(numberOfDotted(key)) : undefined
    return listed ?? (this.#others.size === 0 ? undefined : this.#others.get(RULES + key)?.ruling)
  }

  ofTicket(ticket: string): Ruling | undefined {
    return this.#byTicket.get(ticket) ?? this.#fourth.ofTicket(ticket)
  }

  set(ruling: Ruling): void {
    const put = ++this.#puts
    const fourth = ruling.by === 'rules' && isFourth(ruling.target)
    if (fourth && this.#fourth.set(numberOfDotted(ruling.target), ruling, put)) {
      if (this.#others.size > 0) this.#deleteOther(RULES + ruling.target)
      return
    }
    const id = idOf(ruling)
    this.delete(id)
    this.#others.set(id, { ruling, put })
    this.#byTicket.set(ruling.ticket, ruling)
  }

  delete(id: string): boolean {
    const key = id.startsWith(RULES) ? id.slice(RULES.length) : undefined
    if (key !== undefined && isFourth(key) && this.#fourth.delete(numberOfDotted(key))) return true
    return this.#deleteOther(id)
  }

  #deleteOther(id: string): boolean {
    const old = this.#others.get(id)?.ruling
    if (!old) return false
    if (this.#byTicket.get(old.ticket) === old) this.#byTicket.delete(old.ticket)
    return this.#others.delete(id)
  }

  /** Of the rules' rulings the id of the one that was put longest ago. */
  oldestOfRules(): string | undefined {
    const fourth = this.#fourth.oldest()
    for (const [id, { ruling, put }] of this.#others) {
      if (ruling.by !== 'rules') continue
      if (!fourth || put < fourth.put) return id
      break
    }
    return fourth && RULES + dottedOf(fourth.whole)
  }

  /** Those last put when there had been no more than `puts`. */
  *ids(puts = Infinity): Generator<string> {
    for (const whole of this.#fourth.wholes(puts)) yield RULES + dottedOf(whole)
    for (const [id, { put }] of this.#others) if (put <= puts) yield id
  }

  *values(): Generator<Ruling> {
    yield* this.#fourth.values()
    yield* this.others()
  }

  /** Goes through all of them, `most` at a time, and gives the ids of those among them that have ended. */
  *endings(now: () => Instant, most: number): Generator<readonly string[]> {
    for (const wholes of this.#fourth.endings(now, most)) yield wholes.map((whole) => RULES + dottedOf(whole))
    let [ended, looked]: [string[], number] = [[], 0]
    for (const ruling of this.others()) {
      if ((ruling.until ?? Infinity) <= now()) ended.push(idOf(ruling))
      if (++looked % most > 0) continue
      yield ended
      ended = []
    }
    yield ended
  }

  /** Of those that `tally` counts, those that are looked for: the newest, as they were put, and how many. */
  newest(now: Instant, search: Search, most: number): Newest {
    return this.#fourth.newest(now, search, most)
  }

  /** Of those that `tally` counts, for how many each reason was given. */
  reasons(now: Instant, except: (whole: number) => boolean): Map<string, number> {
    return this.#fourth.reasons(now, except)
  }

  /** All but those that `tally` counts. */
  *others(): Generator<Ruling> {
    // Whoever is put again moves to the end of the map, and would be met there once more.
    const ids = [...this.#others.keys()]
    for (const id of ids) {
      const other = this.#others.get(id)
      if (other) yield other.ruling
    }
  }

  /** How many of those in columns stand under each word; those for whose address `except` is true count as that. */
  tally(now: Instant, except: ((whole: number) => boolean) | undefined): Record<Standing | 'except', number> {
    return this.#fourth.tally(now, except)
  }
}

/** Those of a store that have not ended by `now`: to be gone through, or to be copied at one stroke, those that have with them. */
export class Unended implements Iterable<Ruling> {
  readonly all: ById
  readonly #now: Instant

  constructor(all: ById, now: Instant) {
    this.all = all
    this.#now = now
  }

  *[Symbol.iterator](): Generator<Ruling> {
    for (const ruling of this.all.values()) if ((ruling.until ?? Infinity) > this.#now) yield ruling
  }
}

type Other = { readonly ruling: Ruling; readonly put: number }

const RULES = 'rules '

/** The key of an IPv6 client is a network, with colons; the operator's targets never get here. */
function isFourth(key: string): boolean {
  return !key.includes(':')
}
