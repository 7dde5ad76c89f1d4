/**
 * The rules' word about IPv4 clients, in columns of numbers instead of an object each.
 *
 * A store and every copy of it may keep a million of these. As objects they take ten times the memory, and the collector
 * looks at each again and again while somebody waits for an answer; numbers in arrays it never looks at. What is read out
 * is equal to what was put in, and is made anew each time. A ruling that does not fit the columns is not taken.
 *
 * Rows do not move: whoever goes through them while they change meets each that stays exactly once.
 */
import { dottedOf } from '../core/client.ts'
import type { Instant } from '../core/evidence.ts'
import type { Stand } from '../core/listing.ts'
import { type Standing, STANDINGS } from '../core/rules.ts'
import { alike, codeOfTicket, fits, lastEnd, readStands, ticketOfCode, writeStands } from './ruling-numbers.ts'
import type { Search } from './search.ts'
import { Sentences } from './sentences.ts'
import type { Ruling } from './store.ts'

export class Listings {
  /** A slot is a key and its row + 1, or two zeros; half of the slots are empty at least. */
  #slots = new Int32Array(2 * SLOTS_MIN)
  #chunks: Chunk[] = []
  /** Rows ever used, those that are free again among them. */
  #rows = 0
  #free = NONE
  #size = 0
  /** In order of last put. */
  #oldest = NONE
  #newest = NONE
  #sentences = new Sentences()

  get size(): number {
    return this.#size
  }

  /** The same once more, in a tenth of a second for a million. */
  copy(): Listings {
    const made = new Listings()
    made.#slots = this.#slots.slice()
    made.#chunks = this.#chunks.map(({ numbers, links }) => ({ numbers: numbers.slice(), links: links.slice() }))
    made.#rows = this.#rows
    made.#free = this.#free
    made.#size = this.#size
    made.#oldest = this.#oldest
    made.#newest = this.#newest
    made.#sentences = this.#sentences.copy()
    return made
  }

  get(whole: number): Ruling | undefined {
    const row = this.#rowOf(whole)
    return row === NONE ? undefined : this.#read(row)
  }

  /** `put` rises from one call to the next. False: it does not fit, and what stood under its number stands. */
  set(whole: number, ruling: Ruling, put: number): boolean {
    const { stands = NOTHING, enforced, ticket, because, score = Number.NaN, since } = ruling
    const code = codeOfTicket(ticket)
    if (enforced === undefined || code === undefined || !fits(ruling, stands, enforced)) return false
    const sentence = this.#sentences.keep(because)
    if (sentence === undefined) return false
    let row = this.#rowOf(whole)
    if (row === NONE) row = this.#take(whole)
    else {
      this.#unlink(row)
      this.#sentences.drop(this.#links(row)[at(row, LINKS) + SENTENCE] as number)
    }
    const [numbers, first] = [this.#numbers(row), at(row, NUMBERS)]
    numbers[first + SINCE] = since
    numbers[first + TICKET] = code
    numbers[first + SCORE] = score
    numbers[first + PUT] = put
    writeStands(numbers, first + STOOD, stands)
    writeStands(numbers, first + ENFORCED, enforced)
    const [links, link] = [this.#links(row), at(row, LINKS)]
    links[link + KEY] = whole | 0
    links[link + SENTENCE] = sentence
    this.#append(row)
    return true
  }

  delete(whole: number): boolean {
    const row = this.#rowOf(whole)
    if (row === NONE) return false
    this.#unlink(row)
    this.#unslot(whole)
    const [links, link] = [this.#links(row), at(row, LINKS)]
    this.#sentences.drop(links[link + SENTENCE] as number)
    links[link + SENTENCE] = NONE
    links[link + NEXT] = this.#free
    this.#free = row
    this.#size--
    return true
  }

  /** The one that was put longest ago, and when; undefined when there is none. */
  oldest(): { readonly whole: number; readonly put: number } | undefined {
    const row = this.#oldest
    if (row === NONE) return undefined
    return {
      whole: this.#links(row)[at(row, LINKS) + KEY] as number,
      put: this.#numbers(row)[at(row, NUMBERS) + PUT] as number,
    }
  }

  /** Looks at all, some milliseconds for a million: only a person asks by ticket. */
  ofTicket(ticket: string): Ruling | undefined {
    const code = codeOfTicket(ticket)
    if (code === undefined) return undefined
    for (let row = 0; row < this.#rows; row++)
      if (this.#numbers(row)[at(row, NUMBERS) + TICKET] === code && this.#isUsed(row)) return this.#read(row)
    return undefined
  }

  /** Those last put no later than `put`. */
  *wholes(put = Infinity): Generator<number> {
    for (const row of this.#used())
      if ((this.#numbers(row)[at(row, NUMBERS) + PUT] as number) <= put)
        yield this.#links(row)[at(row, LINKS) + KEY] as number
  }

  *values(): Generator<Ruling> {
    for (const row of this.#used()) yield this.#read(row)
  }

  /** Goes through all of them, `most` at a time, and gives the numbers of those among them that have ended. */
  *endings(now: () => Instant, most: number): Generator<readonly number[]> {
    for (let from = 0; from < this.#rows; from += most) {
      const instant = now()
      const ended: number[] = []
      for (let row = from; row < Math.min(from + most, this.#rows); row++) {
        if (!this.#isUsed(row)) continue
        const [numbers, first] = [this.#numbers(row), at(row, NUMBERS) + STOOD]
        const stands = STANDINGS.some((_, i) => (numbers[first + i] as number) > instant)
        if (!stands) ended.push(this.#links(row)[at(row, LINKS) + KEY] as number)
      }
      yield ended
    }
  }

  /** How many stand of each word; those for whose number `except` is true count as that. No object is made. */
  tally(now: Instant, except: ((whole: number) => boolean) | undefined): Record<Standing | 'except', number> {
    const counts = { block: 0, defer: 0, observe: 0, except: 0 }
    for (let row = 0; row < this.#rows; row++) {
      if (!this.#isUsed(row)) continue
      const [numbers, first] = [this.#numbers(row), at(row, NUMBERS) + STOOD]
      const word = STANDINGS.find((_, i) => (numbers[first + i] as number) > now)
      if (!word) continue
      if (except?.((this.#links(row)[at(row, LINKS) + KEY] as number) >>> 0)) counts.except++
      else counts[word]++
    }
    return counts
  }

  /** For how many that stand each reason was given, those left out for whose number `except` is true. */
  reasons(now: Instant, except: (whole: number) => boolean): Map<string, number> {
    const counts: number[] = []
    for (let row = 0; row < this.#rows; row++) {
      if (!this.#isUsed(row)) continue
      const [numbers, first] = [this.#numbers(row), at(row, NUMBERS) + STOOD]
      if (!STANDINGS.some((_, i) => (numbers[first + i] as number) > now)) continue
      const [links, link] = [this.#links(row), at(row, LINKS)]
      if (except((links[link + KEY] as number) >>> 0)) continue
      const sentence = links[link + SENTENCE] as number
      counts[sentence] = (counts[sentence] ?? 0) + 1
    }
    return new Map(Object.entries(counts).map(([sentence, n]) => [this.#sentences.text(Number(sentence)), n]))
  }

  /**
   * Of those that are looked for the newest, and how many there are, the newest first. Only these are made: of a million the
   * numbers are looked at, and no object is made. Rows that were taken last are nearly always the newest, so they come first.
   */
  newest(now: Instant, { word, listing }: Search, most: number): { readonly found: Ruling[]; readonly count: number } {
    const sinceOf = (row: number) => this.#numbers(row)[at(row, NUMBERS) + SINCE] as number
    let rows: number[] = []
    let [count, floor] = [0, -Infinity]
    const cut = () => {
      rows = rows.sort((a, b) => sinceOf(b) - sinceOf(a)).slice(0, most)
      if (rows.length === most) floor = sinceOf(rows.at(-1) as number)
    }
    for (let row = this.#rows - 1; row >= 0; row--) {
      if (!this.#isUsed(row)) continue
      const [numbers, first] = [this.#numbers(row), at(row, NUMBERS)]
      let heaviest = 0
      while (heaviest < STANDINGS.length && !((numbers[first + STOOD + heaviest] as number) > now)) heaviest++
      if (heaviest === STANDINGS.length || (word !== undefined && STANDINGS[heaviest] !== word)) continue
      if (listing && !this.#fits(row, listing)) continue
      count++
      if ((numbers[first + SINCE] as number) > floor && rows.push(row) >= 2 * most) cut()
    }
    cut()
    return { found: rows.map((row) => this.#read(row)), count }
  }

  #fits(row: number, { whole, because, ticket }: NonNullable<Search['listing']>): boolean {
    const [links, link] = [this.#links(row), at(row, LINKS)]
    return (
      whole?.((links[link + KEY] as number) >>> 0) === true ||
      because?.(this.#sentences.text(links[link + SENTENCE] as number)) === true ||
      ticket?.(ticketOfCode(this.#numbers(row)[at(row, NUMBERS) + TICKET] as number)) === true
    )
  }

  *#used(): Generator<number> {
    for (let row = 0; row < this.#rows; row++) if (this.#isUsed(row)) yield row
  }

  #read(row: number): Ruling {
    const [numbers, first] = [this.#numbers(row), at(row, NUMBERS)]
    const [links, link] = [this.#links(row), at(row, LINKS)]
    const stands = readStands(numbers, first + STOOD)
    const score = numbers[first + SCORE] as number
    const ruling = {
      by: 'rules',
      target: dottedOf(links[link + KEY] as number),
      word: (stands[0] as Stand).word,
      since: numbers[first + SINCE] as number,
      until: lastEnd(stands),
      stands,
      enforced: alike(numbers, first + STOOD, first + ENFORCED) ? stands : readStands(numbers, first + ENFORCED),
      ticket: ticketOfCode(numbers[first + TICKET] as number),
      because: this.#sentences.text(links[link + SENTENCE] as number),
    } as const
    return Number.isNaN(score) ? ruling : { ...ruling, score }
  }

  #isUsed(row: number): boolean {
    return this.#links(row)[at(row, LINKS) + SENTENCE] !== NONE
  }

  #numbers(row: number): Float64Array {
    return (this.#chunks[row >> CHUNK_BITS] as Chunk).numbers
  }

  #links(row: number): Int32Array {
    return (this.#chunks[row >> CHUNK_BITS] as Chunk).links
  }

  #take(whole: number): number {
    let row = this.#free
    if (row !== NONE) this.#free = this.#links(row)[at(row, LINKS) + NEXT] as number
    else {
      row = this.#rows
      if (row >> CHUNK_BITS === this.#chunks.length)
        this.#chunks.push({
          numbers: new Float64Array(NUMBERS * CHUNK_ROWS),
          links: new Int32Array(LINKS * CHUNK_ROWS).fill(NONE),
        })
      this.#rows++
    }
    if (4 * ++this.#size > this.#slots.length) this.#widen()
    this.#slot(whole, row)
    return row
  }

  #append(row: number): void {
    const [links, link] = [this.#links(row), at(row, LINKS)]
    links[link + PREVIOUS] = this.#newest
    links[link + NEXT] = NONE
    if (this.#newest === NONE) this.#oldest = row
    else this.#links(this.#newest)[at(this.#newest, LINKS) + NEXT] = row
    this.#newest = row
  }

  #unlink(row: number): void {
    const [links, link] = [this.#links(row), at(row, LINKS)]
    const [previous, next] = [links[link + PREVIOUS] as number, links[link + NEXT] as number]
    if (previous === NONE) this.#oldest = next
    else this.#links(previous)[at(previous, LINKS) + NEXT] = next
    if (next === NONE) this.#newest = previous
    else this.#links(next)[at(next, LINKS) + PREVIOUS] = previous
  }

  #rowOf(whole: number): number {
    const slots = this.#slots
    for (let slot = homeOf(whole, slots); ; slot = after(slot, slots)) {
      const row = (slots[slot + 1] as number) - 1
      if (row === NONE || slots[slot] === (whole | 0)) return row
    }
  }

  #slot(whole: number, row: number): void {
    const slots = this.#slots
    let slot = homeOf(whole, slots)
    while (slots[slot + 1] !== 0) slot = after(slot, slots)
    slots[slot] = whole
    slots[slot + 1] = row + 1
  }

  /** Those behind it move up, so that no search ends too early: Knuth, The Art of Computer Programming 3, 6.4, algorithm R. */
  #unslot(whole: number): void {
    const slots = this.#slots
    let hole = homeOf(whole, slots)
    while (slots[hole] !== (whole | 0) || slots[hole + 1] === 0) hole = after(hole, slots)
    for (let slot = after(hole, slots); slots[slot + 1] !== 0; slot = after(slot, slots)) {
      const away = (slot - homeOf(slots[slot] as number, slots)) & (slots.length - 1)
      if (away < ((slot - hole) & (slots.length - 1))) continue
      slots[hole] = slots[slot] as number
      slots[hole + 1] = slots[slot + 1] as number
      hole = slot
    }
    slots[hole] = slots[hole + 1] = 0
  }

  #widen(): void {
    const old = this.#slots
    this.#slots = new Int32Array(2 * old.length)
    for (let slot = 0; slot < old.length; slot += 2)
      if (old[slot + 1] !== 0) this.#slot(old[slot] as number, (old[slot + 1] as number) - 1)
  }
}

type Chunk = { readonly numbers: Float64Array; readonly links: Int32Array }

const NONE = -1
const NOTHING: readonly Stand[] = []
const SLOTS_MIN = 1024
const CHUNK_BITS = 12
const CHUNK_ROWS = 1 << CHUNK_BITS

/** The numbers of a row: instants, or NaN for a word that does not stand; heaviest word first. */
const [SINCE, TICKET, SCORE, PUT, STOOD, ENFORCED, NUMBERS] = [0, 1, 2, 3, 4, 7, 10]
/** And its whole ones; a free row has no sentence, and the next free row for its next. */
const [KEY, SENTENCE, PREVIOUS, NEXT, LINKS] = [0, 1, 2, 3, 4]

function at(row: number, width: number): number {
  return (row & (CHUNK_ROWS - 1)) * width
}

/** Neighbours lie far apart: Knuth's multiplicative hash, 6.4. */
function homeOf(whole: number, slots: Int32Array): number {
  return ((Math.imul(whole, 0x9e3779b1) >>> 7) * 2) & (slots.length - 1)
}

function after(slot: number, slots: Int32Array): number {
  return (slot + 2) & (slots.length - 1)
}
