/**
 * The embedded store's records: what is known under each key, in memory, and which of it the file has not yet.
 *
 * A record at rest is kept as the text that stands in the file: a million short strings cost far less memory than a million
 * maps. One that has changed is at work: it stays unpacked until it is written, and for a while after, for of one client several
 * pieces of evidence come within seconds, and its network is every client's there.
 */
import { z } from 'zod'
import type { Instant } from '../core/evidence.ts'
import {
  addSighting,
  type Bucket,
  type Counts,
  type FactName,
  laneOf,
  NO_COUNTS,
  RETENTION_MS,
  type Tally,
} from '../core/facts.ts'
import type { Kept } from './database.ts'
import { byRecord, isFactName, parsed, readBucket } from './store.ts'

/** Records that stay unpacked when they are written: as many clients as talk to us at a time, in a flood. */
const AT_WORK_MAX = 2000
/** Of all that may be kept, the part that goes at a time when there is one too many: to find the oldest takes a while. */
const GO_SHARE = 0.001

export class Records {
  /** In order of their last touch. */
  readonly #all: Map<string, Kept | Work>
  #changed: Work[] = []
  readonly #removed = new Set<string>()
  /** Those that were written last, each at its place; the next place is that of the one whose work is longest ago. */
  readonly #written: (Work | undefined)[] = []
  #next = 0
  readonly #max: number
  readonly #now: () => Instant
  readonly #ignored: (what: readonly string[]) => void

  /** `all` as the file has them, the one touched longest ago first; at most `max` are kept. */
  constructor(all: Map<string, Kept>, max: number, now: () => Instant, ignored: (what: readonly string[]) => void) {
    this.#all = all
    this.#max = max
    this.#now = now
    this.#ignored = ignored
  }

  /** How many the file has not as they are. */
  get unwritten(): number {
    return this.#changed.length + this.#removed.size
  }

  counts(key: string): Counts {
    return this.#recordIn(key, this.#all.get(key)).counts
  }

  /** What stands under each key then. */
  add(box: string, tallies: readonly Tally[]): Map<string, Counts> {
    const touched = new Map<string, Counts>()
    const marks = new Map<string, string>()
    const markOf = (each: Tally) => {
      const lane = laneOf(each)
      let mark = marks.get(lane)
      if (mark === undefined) marks.set(lane, (mark = `${box}/${lane}`))
      return mark
    }
    for (const [key, group] of byRecord(tallies)) {
      const found = this.#all.get(key)
      const record = withTallies(this.#recordIn(key, found), group, markOf)
      this.#keep(key, found, record)
      touched.set(key, record.counts)
    }
    return touched
  }

  forget(key: string, at: Instant): void {
    const found = this.#all.get(key)
    this.#keep(key, found, without(this.#recordIn(key, found), at))
  }

  /** Lets those go that are too many. */
  bound(): void {
    if (this.#all.size <= this.#max) return
    const most = this.#max - Math.floor(this.#max * GO_SHARE)
    for (const key of this.#all.keys()) {
      if (this.#all.size <= most) break
      this.#forgo(key)
    }
  }

  /** Lets those go that nobody has touched for their time, so many at most. */
  sweep(most: number): void {
    const now = this.#now()
    let looked = 0
    for (const [key, { touched }] of this.#all) {
      if (now - touched < RETENTION_MS || ++looked > most) break
      this.#forgo(key)
    }
  }

  /** All that the file has not, as it is to be written; without a value it is to be removed. What was removed comes first. */
  changes(): (readonly [string, Kept | undefined])[] {
    const changes: (readonly [string, Kept | undefined])[] = []
    for (const key of this.#removed) changes.push([key, undefined])
    for (const work of this.#changed)
      if (work.isChanged) changes.push([work.key, { touched: work.touched, text: pack(work.record) }])
    return changes
  }

  /** Those changes are in the file. */
  written(changes: readonly (readonly [string, Kept | undefined])[]): void {
    for (const [key, kept] of changes) {
      const work = kept && this.#all.get(key)
      if (!(work instanceof Work)) continue
      work.isChanged = false
      work.text = kept?.text
      this.#rest(work)
    }
    this.#changed = []
    this.#removed.clear()
  }

  /** It takes the place of the one that was written longest ago, which is packed from now on, unless it has one of its own since. */
  #rest(work: Work): void {
    const place = this.#next
    this.#next = (place + 1) % AT_WORK_MAX
    const old = this.#written[place]
    this.#written[place] = work
    work.place = place
    if (!old || old === work || old.place !== place || old.isChanged || old.text === undefined) return
    if (this.#all.get(old.key) === old) this.#all.set(old.key, { touched: old.touched, text: old.text })
  }

  #recordIn(key: string, found: Kept | Work | undefined): Record {
    if (!found || this.#now() - found.touched >= RETENTION_MS) return EMPTY
    if (found instanceof Work) return found.record
    const { record, damaged } = unpack(found.text)
    if (damaged.length > 0) this.#ignored(damaged.map((part) => `${part} of ${key}`))
    return record
  }

  #keep(key: string, found: Kept | Work | undefined, record: Record): void {
    const work = found instanceof Work ? found : new Work(key)
    work.touched = this.#now()
    work.record = record
    if (found) this.#all.delete(key)
    this.#all.set(key, work)
    if (work.isChanged) return
    work.isChanged = true
    this.#changed.push(work)
  }

  #forgo(key: string): void {
    const found = this.#all.get(key)
    if (found instanceof Work) found.isChanged = false
    this.#all.delete(key)
    this.#removed.add(key)
  }
}

/** A record at work. */
class Work {
  readonly key: string
  touched: Instant = 0
  record: Record = EMPTY
  /** The file has another. */
  isChanged = false
  /** As the file has it, once it does, and where it stands among those written last. */
  text: string | undefined = undefined
  place = -1

  constructor(key: string) {
    this.key = key
  }
}

/** What is known under one key; for each `box/lane` the last number that was taken in. */
type Record = { readonly counts: Counts; readonly seqs: Map<string, number>; readonly forgottenAt: Instant }

const EMPTY: Record = { counts: NO_COUNTS, seqs: new Map(), forgottenAt: -1 }

/** The record with all of these. Whoever has read its counts may keep them, so they are copied, once for all. */
function withTallies(record: Record, tallies: readonly Tally[], markOf: (tally: Tally) => string): Record {
  const { forgottenAt } = record
  const counts = new Map(record.counts)
  const seqs = record === EMPTY ? new Map<string, number>() : record.seqs
  for (const each of tallies) {
    const { fact, at, seq, times } = each
    const mark = markOf(each)
    if (seq <= (seqs.get(mark) ?? 0)) continue
    seqs.set(mark, seq)
    if (at <= forgottenAt) continue
    const buckets = counts.get(fact)
    if (buckets && buckets === record.counts.get(fact)) counts.set(fact, [...buckets])
    addSighting(counts, fact, at, times)
  }
  return { counts, seqs, forgottenAt }
}

function without(record: Record, at: Instant): Record {
  const counts = new Map<FactName, readonly Bucket[]>()
  for (const [fact, buckets] of record.counts) {
    const after = buckets.filter((bucket) => bucket.first > at)
    if (after.length > 0) counts.set(fact, after)
  }
  return { counts, seqs: new Map(record.seqs), forgottenAt: Math.max(record.forgottenAt, at) }
}

/** Its JSON, put together by hand: in a flood records are small, and each is written twice. */
function pack({ counts, seqs, forgottenAt }: Record): string {
  let text = `{"forgottenAt":${forgottenAt},"seqs":[`
  let comma = ''
  for (const [mark, seq] of seqs) {
    text += `${comma}[${JSON.stringify(mark)},${seq}]`
    comma = ','
  }
  text += '],"facts":['
  comma = ''
  for (const [fact, buckets] of counts) {
    text += `${comma}["${fact}",[`
    for (let i = 0; i < buckets.length; i++) {
      const { count, first, last } = buckets[i] as Bucket
      text += i === 0 ? `[${count},${first},${last}]` : `,[${count},${first},${last}]`
    }
    text += ']]'
    comma = ','
  }
  return `${text}]}`
}

/** The record in a text; what cannot be read of it is left out and named. */
function unpack(text: string): { record: Record; damaged: string[] } {
  const read = recordSchema.safeParse(parsed(text))
  if (!read.success) return { record: EMPTY, damaged: ['record'] }
  const { forgottenAt, seqs, facts } = read.data
  const damaged: string[] = []
  const counts = new Map<FactName, readonly Bucket[]>()
  for (const [fact, rows] of facts) {
    const buckets = rows
      .map(([count, first, last]) => readBucket(count, first, last))
      .filter((bucket) => bucket !== undefined)
    if (buckets.length < rows.length || !isFactName(fact)) damaged.push(fact)
    if (buckets.length > 0 && isFactName(fact)) counts.set(fact, buckets)
  }
  return { record: { counts, seqs: new Map(seqs), forgottenAt }, damaged }
}

const recordSchema = z.object({
  forgottenAt: z.int(),
  seqs: z.array(z.tuple([z.string(), z.int()])),
  facts: z.array(z.tuple([z.string(), z.array(z.tuple([z.number(), z.number(), z.number()]))])),
})
