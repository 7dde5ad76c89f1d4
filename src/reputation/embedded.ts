/**
 * The store on one box: maps in memory are the truth, and SQLite is written behind them.
 *
 * Every answer comes from memory. What has changed is written in one transaction, records, rulings, cursors and
 * generation together, so the file is always the state after some prefix of what was added: a box that died is sent the
 * rest again from the journal, and counts none of it twice. A record is kept as the text that stands in the file: a
 * million short strings cost far less memory than a million maps. Only those that changed last are unpacked: of one client
 * several pieces of evidence come within seconds, and its network is every client's there.
 *
 * The file belongs to one process at a time. Damaged, it is put aside and the journal fills a new one.
 */
import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { z } from 'zod'
import type { Instant } from '../core/evidence.ts'
import {
  type Bucket,
  type Counts,
  type FactName,
  laneOf,
  NO_COUNTS,
  RETENTION_MS,
  type Tally,
  withSighting,
} from '../core/facts.ts'
import { type ById, Unended } from './by-id.ts'
import { type Kept, type OpenFile, codeOf, openFile } from './database.ts'
import {
  byRecord,
  type Change,
  type Neighbour,
  idOf,
  isFactName,
  parsed,
  readBucket,
  type Ruling,
  RULINGS_MAX,
  type Snapshot,
  type Store,
  type StoreHappening,
  type StoreHealth,
} from './store.ts'

export type EmbeddedOptions = {
  readonly now: () => Instant
  readonly tell: (happening: StoreHappening) => void
  /** What has changed is on disk after this long. */
  readonly flushMs?: number | undefined
  /** Most records kept, of clients and networks; beyond it the least recently touched goes first. */
  readonly clientsMax?: number | undefined
  readonly rulingsMax?: number | undefined
}

export async function openEmbedded(file: string, options: EmbeddedOptions): Promise<Store> {
  mkdirSync(dirname(file), { recursive: true })
  return new Embedded(openFile(file, options.tell), options)
}

/** Changes that may wait for one transaction, some ten milliseconds of writing; no more is taken in while it fails. */
const DIRTY_MAX = 2000
/** Records that stay unpacked when they are written: as many clients as talk to us at a time, in a flood. */
const AT_WORK_MAX = 2000
/** Records, and rulings, looked at for their end in one tick, so that a million of them never hold up an answer. */
const SWEEP_MAX = 1000
/** The names in `marks`, beside one for each box's cursor. */
const GENERATION = 'generation'
const cursorOf = (box: string) => `cursor ${box}`

class Embedded implements Store {
  readonly kind = 'embedded'
  readonly #file: OpenFile
  readonly #now: () => Instant
  readonly #tell: (happening: StoreHappening) => void
  readonly #clientsMax: number
  readonly #rulingsMax: number
  readonly #timer: NodeJS.Timeout
  /** In order of last touch. */
  readonly #records: Map<string, Kept | Fresh>
  /** The same as their texts, unpacked; in order of last change. */
  readonly #atWork = new Map<string, Record>()
  readonly #rulings: ById
  readonly #marks: Map<string, number>
  readonly #dirty: Dirty = { records: new Set(), rulings: new Set(), marks: new Set() }
  #round: Iterator<Ruling>
  #onChange: ((change: Change) => void) | undefined
  #health: StoreHealth
  #closed = false

  constructor(
    file: OpenFile,
    { now, tell, flushMs = 250, clientsMax = 1_000_000, rulingsMax = RULINGS_MAX }: EmbeddedOptions,
  ) {
    this.#file = file
    this.#now = now
    this.#tell = tell
    this.#clientsMax = clientsMax
    this.#rulingsMax = rulingsMax
    this.#records = file.records
    this.#marks = file.marks
    this.#rulings = file.rulings
    this.#ignored(file.unreadable.map((id) => `ruling ${id}`))
    this.#round = this.#rulings.values()
    this.#bound()
    this.#timer = setInterval(() => this.#tick(), flushMs)
    this.#health = { state: 'up', since: now(), error: undefined }
    tell({ what: 'up' })
  }

  health(): StoreHealth {
    return this.#health
  }

  async cursor(box: string): Promise<number> {
    this.#working()
    this.#flush()
    return this.#file.mark(cursorOf(box))
  }

  async add(box: string, tallies: readonly Tally[], upTo: number): Promise<ReadonlyMap<string, Counts>> {
    this.#working()
    this.#makeRoom()
    const touched = new Map<string, Counts>()
    for (const [key, group] of byRecord(tallies)) {
      const record = withTallies(this.#read(key), box, group)
      this.#keep(key, record)
      touched.set(key, record.counts)
    }
    this.#bound()
    this.#mark(cursorOf(box), Math.max(upTo, this.#marks.get(cursorOf(box)) ?? 0))
    return touched
  }

  async counts(key: string): Promise<Counts> {
    this.#working()
    return this.#read(key).counts
  }

  async forget(key: string, at: Instant): Promise<void> {
    this.#working()
    this.#makeRoom()
    this.#keep(key, without(this.#read(key), at))
    this.#bound()
  }

  async rulings(): Promise<Snapshot> {
    this.#working()
    return { generation: this.#generation, rulings: new Unended(this.#rulings, this.#now()) }
  }

  async generation(): Promise<number> {
    this.#working()
    return this.#generation
  }

  async meet(): Promise<readonly Neighbour[]> {
    return []
  }

  async put(ruling: Ruling): Promise<void> {
    this.#working()
    this.#makeRoom()
    const id = idOf(ruling)
    this.#rulings.set(ruling)
    this.#dirty.rulings.add(id)
    this.#change({ put: ruling })
    this.#bound()
  }

  async drop(id: string): Promise<void> {
    this.#working()
    this.#makeRoom()
    this.#drop(id)
  }

  async watch(onChange: (change: Change) => void): Promise<void> {
    this.#working()
    this.#onChange = onChange
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    clearInterval(this.#timer)
    this.#flush()
    this.#file.close()
  }

  get #generation(): number {
    return this.#marks.get(GENERATION) ?? 0
  }

  #working(): void {
    if (this.#closed) throw new Error('the store is closed')
  }

  #makeRoom(): void {
    const { records, rulings } = this.#dirty
    if (records.size + rulings.size >= DIRTY_MAX && !this.#flush())
      throw new Error('the file cannot be written, and no more can wait for it')
  }

  #read(key: string): Record {
    const kept = this.#records.get(key)
    if (!kept || this.#now() - kept.touched >= RETENTION_MS) return EMPTY
    if ('record' in kept) return kept.record
    const known = this.#atWork.get(key)
    if (known) return known
    const { record, damaged } = unpack(kept.text)
    this.#ignored(damaged.map((part) => `${part} of ${key}`))
    return record
  }

  #keep(key: string, record: Record): void {
    this.#records.delete(key)
    this.#atWork.delete(key)
    this.#records.set(key, { touched: this.#now(), record })
    this.#dirty.records.add(key)
  }

  /** As it is to be written, and is kept from now on. */
  #packed(key: string): Kept | undefined {
    const kept = this.#records.get(key)
    if (!kept || !('record' in kept)) return kept
    const packed = { touched: kept.touched, text: pack(kept.record) }
    this.#records.set(key, packed)
    this.#atWork.set(key, kept.record)
    if (this.#atWork.size > AT_WORK_MAX) this.#atWork.delete(this.#atWork.keys().next().value as string)
    return packed
  }

  #mark(name: string, value: number): void {
    this.#marks.set(name, value)
    this.#dirty.marks.add(name)
  }

  #drop(id: string): void {
    if (!this.#rulings.delete(id)) return
    this.#dirty.rulings.add(id)
    this.#change({ drop: id })
  }

  #change(step: { put: Ruling } | { drop: string }): void {
    this.#mark(GENERATION, this.#generation + 1)
    this.#onChange?.({ generation: this.#generation, ...step })
  }

  #bound(): void {
    for (const key of this.#records.keys()) {
      if (this.#records.size <= this.#clientsMax) break
      this.#forgo(key)
    }
    while (this.#rulings.size > this.#rulingsMax) {
      const id = this.#rulings.oldestOfRules()
      if (id === undefined) break
      this.#drop(id)
    }
  }

  #forgo(key: string): void {
    this.#records.delete(key)
    this.#atWork.delete(key)
    this.#dirty.records.add(key)
  }

  #tick(): void {
    const now = this.#now()
    let looked = 0
    for (const [key, { touched }] of this.#records) {
      if (now - touched < RETENTION_MS || ++looked > SWEEP_MAX) break
      this.#forgo(key)
    }
    for (looked = 0; looked < SWEEP_MAX; looked++) {
      const next = this.#round.next()
      if (next.done) {
        this.#round = this.#rulings.values()
        break
      }
      if (ended(next.value, now)) this.#drop(idOf(next.value))
    }
    this.#flush()
  }

  /** Writes all that has changed; false when that failed, and everything stays to be written. */
  #flush(): boolean {
    const { records, rulings, marks } = this.#dirty
    if (records.size + rulings.size + marks.size === 0) return true
    try {
      this.#file.write(
        [...records].map((key) => [key, this.#packed(key)]),
        [...rulings].map((id) => [id, this.#rulings.get(id)]),
        [...marks].map((name) => [name, this.#marks.get(name) ?? 0]),
      )
    } catch (error) {
      if (codeOf(error) === undefined) throw error
      const { message } = error as Error
      if (this.#health.state === 'up') {
        this.#health = { state: 'down', since: this.#now(), error: message }
        this.#tell({ what: 'flush-failed', error: message })
      }
      return false
    }
    for (const set of [records, rulings, marks]) set.clear()
    if (this.#health.state !== 'up') {
      this.#health = { state: 'up', since: this.#now(), error: undefined }
      this.#tell({ what: 'up' })
    }
    return true
  }

  #ignored(what: readonly string[]): void {
    if (what[0] !== undefined) this.#tell({ what: 'ignored', where: what[0], count: what.length })
  }
}

function ended(ruling: Ruling, now: Instant): boolean {
  return (ruling.until ?? Infinity) <= now
}

/** What is known under one key; for each `box/lane` the last number that was taken in. */
type Record = { readonly counts: Counts; readonly seqs: ReadonlyMap<string, number>; readonly forgottenAt: Instant }

/** A record at work, which has changed and is not written yet: at most so many as may be dirty. */
type Fresh = { readonly touched: Instant; readonly record: Record }

const EMPTY: Record = { counts: NO_COUNTS, seqs: new Map(), forgottenAt: -1 }

function withTallies(record: Record, box: string, tallies: readonly Tally[]): Record {
  const seqs = new Map(record.seqs)
  let { counts } = record
  for (const each of tallies) {
    const { fact, at, seq, times } = each
    const mark = `${box}/${laneOf(each)}`
    if (seq <= (seqs.get(mark) ?? 0)) continue
    seqs.set(mark, seq)
    if (at > record.forgottenAt) counts = withSighting(counts, fact, at, times)
  }
  return { ...record, counts, seqs }
}

function without(record: Record, at: Instant): Record {
  const counts = new Map<FactName, readonly Bucket[]>()
  for (const [fact, buckets] of record.counts) {
    const after = buckets.filter((bucket) => bucket.first > at)
    if (after.length > 0) counts.set(fact, after)
  }
  return { ...record, counts, forgottenAt: Math.max(record.forgottenAt, at) }
}

function pack({ counts, seqs, forgottenAt }: Record): string {
  const facts = [...counts].map(([fact, buckets]) => [
    fact,
    buckets.map(({ count, first, last }) => [count, first, last]),
  ])
  return JSON.stringify({ forgottenAt, seqs: [...seqs], facts })
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

type Dirty = { readonly records: Set<string>; readonly rulings: Set<string>; readonly marks: Set<string> }
