/**
 * The store on one box: maps in memory are the truth, and SQLite is written behind them.
 *
 * Every answer comes from memory. What has changed is written in one transaction, records, rulings, cursors and
 * generation together, so the file is always the state after some prefix of what was added: a box that died is sent the
 * rest again from the journal, and counts none of it twice.
 *
 * The file belongs to one process at a time. Damaged, it is put aside and the journal fills a new one.
 */
import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Instant } from '../core/evidence.ts'
import type { Counts, Tally } from '../core/facts.ts'
import { type ById, Unended } from './by-id.ts'
import { type OpenFile, codeOf, openFile } from './database.ts'
import { Records } from './records.ts'
import {
  type Change,
  type Neighbour,
  idOf,
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
/** So often that what a flood of new clients brings is written in a millisecond or two: an answer may have to wait for it. */
const FLUSH_MS = 50
/** Records, and rulings, looked at for their end at a time, so that a million of them never hold up an answer. */
const SWEEP_MAX = 4000
/** For each look so many times may pass in which something is written: each wakes the appliance. */
const SWEEP_FLUSHES = 20
/** The names in `marks`, beside one for each box's cursor. */
const GENERATION = 'generation'
const cursorOf = (box: string) => `cursor ${box}`

class Embedded implements Store {
  readonly kind = 'embedded'
  readonly #file: OpenFile
  readonly #now: () => Instant
  readonly #tell: (happening: StoreHappening) => void
  readonly #rulingsMax: number
  readonly #flushMs: number
  readonly #sweeper: NodeJS.Timeout
  /** While something is to be written. */
  #flusher: NodeJS.Timeout | undefined
  readonly #records: Records
  readonly #rulings: ById
  readonly #marks: Map<string, number>
  readonly #dirty: Dirty = { rulings: new Set(), marks: new Set() }
  #round: Iterator<readonly string[], void>
  #onChange: ((change: Change) => void) | undefined
  #health: StoreHealth
  #closed = false

  constructor(
    file: OpenFile,
    { now, tell, flushMs = FLUSH_MS, clientsMax = 1_000_000, rulingsMax = RULINGS_MAX }: EmbeddedOptions,
  ) {
    this.#file = file
    this.#now = now
    this.#tell = tell
    this.#rulingsMax = rulingsMax
    this.#flushMs = flushMs
    this.#records = new Records(file.records, clientsMax, now, (what) => this.#ignored(what))
    this.#marks = file.marks
    this.#rulings = file.rulings
    this.#ignored(file.unreadable.map((id) => `ruling ${id}`))
    this.#round = this.#rulings.endings(now, SWEEP_MAX)
    this.#bound()
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_FLUSHES * flushMs)
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
    const touched = this.#records.add(box, tallies)
    this.#bound()
    this.#mark(cursorOf(box), Math.max(upTo, this.#marks.get(cursorOf(box)) ?? 0))
    return touched
  }

  async counts(key: string): Promise<Counts> {
    this.#working()
    return this.#records.counts(key)
  }

  async forget(key: string, at: Instant): Promise<void> {
    this.#working()
    this.#makeRoom()
    this.#records.forget(key, at)
    this.#bound()
    this.#flushSoon()
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
    clearInterval(this.#sweeper)
    this.#flush()
    clearTimeout(this.#flusher)
    this.#file.close()
  }

  get #generation(): number {
    return this.#marks.get(GENERATION) ?? 0
  }

  #working(): void {
    if (this.#closed) throw new Error('the store is closed')
  }

  #makeRoom(): void {
    if (this.#records.unwritten + this.#dirty.rulings.size >= DIRTY_MAX && !this.#flush())
      throw new Error('the file cannot be written, and no more can wait for it')
  }

  #mark(name: string, value: number): void {
    this.#marks.set(name, value)
    this.#dirty.marks.add(name)
    this.#flushSoon()
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
    this.#records.bound()
    while (this.#rulings.size > this.#rulingsMax) {
      const id = this.#rulings.oldestOfRules()
      if (id === undefined) break
      this.#drop(id)
    }
  }

  #sweep(): void {
    this.#records.sweep(SWEEP_MAX)
    const ended = this.#round.next()
    if (ended.done) this.#round = this.#rulings.endings(this.#now, SWEEP_MAX)
    else for (const id of ended.value) this.#drop(id)
    this.#flushSoon()
  }

  get #unwritten(): number {
    return this.#records.unwritten + this.#dirty.rulings.size + this.#dirty.marks.size
  }

  /** An idle appliance writes nothing and is not woken for it. What could not be written is tried again. */
  #flushSoon(): void {
    if (this.#flusher || this.#unwritten === 0) return
    this.#flusher = setTimeout(() => {
      this.#flusher = undefined
      this.#flush()
      this.#flushSoon()
    }, this.#flushMs)
  }

  /** Writes all that has changed; false when that failed, and everything stays to be written. */
  #flush(): boolean {
    const { rulings, marks } = this.#dirty
    if (this.#unwritten === 0) return true
    const changes = this.#records.changes()
    try {
      this.#file.write(
        changes,
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
    this.#records.written(changes)
    for (const set of [rulings, marks]) set.clear()
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

type Dirty = { readonly rulings: Set<string>; readonly marks: Set<string> }
