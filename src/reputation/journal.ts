/**
 * The recording: every event on disk, one JSON line each, before anything else is done with it.
 *
 * A new file begins each day (UTC) and at FILE_BYTES_MAX; files go when they are older than `keepMs` or when all together
 * exceed `bytesMax`. A line is acknowledged once it is handed to the kernel, so that it outlives this process however it
 * ends; a loss of power may cost what the kernel had not yet written. A line torn by such an end is skipped when read.
 *
 * Each journal names its box by a random word, and numbers its events: with both, stores count an event once.
 */
import { randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type FileHandle, mkdir, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setImmediate, setTimeout } from 'node:timers/promises'
import { type Entry, type Event, fromLine, type Instant, toLine } from '../core/evidence.ts'

export type JournalHappening =
  | { readonly what: 'write-failed'; readonly lost: number; readonly error: string }
  /** After it had failed, for so many events in all. */
  | { readonly what: 'writes-again'; readonly lost: number }
  | { readonly what: 'unreadable'; readonly file: string; readonly lines: number }

export type JournalOptions = {
  readonly keepMs: number
  readonly bytesMax: number
  readonly now: () => Instant
  /** Called in order with each entry that is on disk. */
  readonly written: (entries: readonly Entry[]) => void
  readonly tell: (happening: JournalHappening) => void
}

/** A journal file is closed at this size. */
const FILE_BYTES_MAX = 64 * 1024 * 1024
/** Events that may wait for the disk; beyond it they are refused and told, so that a dead disk costs no memory. */
const WAITING_MAX = 100_000
/** Between two writes in a flood. Nobody's answer waits for it longer than that, and when it is quiet nobody does. */
const GATHER_MS = 10
/** How far back from the end of a file its last whole line is looked for. */
const TAIL_BYTES = 64 * 1024

export type JournalTrouble = { readonly error: string; readonly since: Instant; readonly lost: number }

/** What is written together; its promise tells everyone who waits for any of it. */
type Batch = {
  readonly entries: Entry[]
  readonly written: Promise<boolean>
  readonly done: (written: boolean) => void
}
type File = { readonly name: string; readonly firstSeq: number; readonly day: string }

export class Journal {
  readonly #folder: string
  readonly #options: JournalOptions
  readonly box: string
  #seq: number
  #waiting: Batch | undefined
  #draining: Promise<void> | undefined
  #trouble: JournalTrouble | undefined
  /** When the last write began, on a clock that nobody sets. */
  #wroteAt = -Infinity
  #open: { handle: FileHandle; day: string; bytes: number } | undefined

  private constructor(folder: string, box: string, lastSeq: number, options: JournalOptions) {
    this.#folder = folder
    this.box = box
    this.#seq = lastSeq
    this.#options = options
  }

  static async open(folder: string, options: JournalOptions): Promise<Journal> {
    await mkdir(folder, { recursive: true, mode: 0o750 })
    return new Journal(folder, await nameOfBox(folder), await lastSeqIn(folder), options)
  }

  /** The number of the newest event. */
  get lastSeq(): number {
    return this.#seq
  }

  /** What kept the last write from the disk, since when, and how much was lost by it; null while the disk takes what comes. */
  get trouble(): JournalTrouble | null {
    return this.#trouble ?? null
  }

  /** No event after this gets a number up to `seq`: what a store has seen of this box must not be used again. */
  skipTo(seq: number): void {
    this.#seq = Math.max(this.#seq, seq)
  }

  /** Gives the event its number, and tells when it is on disk, or that it could not be written. */
  enter(event: Event): { readonly seq: number; readonly written: Promise<boolean> } {
    this.#waiting ??= newBatch()
    const { entries, written } = this.#waiting
    if (entries.length >= WAITING_MAX) {
      this.#failed(1, 'the disk is too slow: too many events wait for it')
      return { seq: 0, written: LOST }
    }
    const seq = ++this.#seq
    entries.push({ seq, event })
    this.#draining ??= this.#drain()
    return { seq, written }
  }

  /** The number of the event once it is on disk, or undefined when it could not be written. */
  async append(event: Event): Promise<number | undefined> {
    const { seq, written } = this.enter(event)
    return (await written) ? seq : undefined
  }

  /** Every readable entry after `seq` that is on disk now, in order; with `mark` only of lines that hold this text. */
  read(after: number, mark = ''): AsyncGenerator<Entry> {
    const unreadable = (file: string, lines: number) => this.#options.tell({ what: 'unreadable', file, lines })
    return entriesIn(this.#folder, after, mark, unreadable)
  }

  /** Writes what waits and closes the file. */
  async close(): Promise<void> {
    await this.#draining
    await this.#open?.handle.close()
    this.#open = undefined
  }

  /**
   * What comes in one turn of the event loop is written together, and in a flood what comes within GATHER_MS: a write
   * costs much the same for one event as for a hundred.
   */
  async #drain(): Promise<void> {
    await setImmediate()
    while (this.#waiting) {
      const early = this.#wroteAt + GATHER_MS - performance.now()
      if (early > 0) await setTimeout(early)
      this.#wroteAt = performance.now()
      const { entries, done } = this.#waiting
      this.#waiting = undefined
      const written = await this.#write(entries)
      if (written) this.#options.written(entries)
      done(written)
    }
    this.#draining = undefined
  }

  async #write(entries: readonly Entry[]): Promise<boolean> {
    try {
      const file = await this.#fileFor((entries[0] as Entry).seq)
      let lines = ''
      for (const entry of entries) lines += toLine(entry)
      const bytes = Buffer.from(lines)
      await file.handle.appendFile(bytes)
      file.bytes += bytes.length
      if (this.#trouble) this.#options.tell({ what: 'writes-again', lost: this.#trouble.lost })
      this.#trouble = undefined
      return true
    } catch (error) {
      this.#failed(entries.length, (error as Error).message)
      await this.#open?.handle.close().catch(() => {})
      this.#open = undefined
      return false
    }
  }

  #failed(lost: number, error: string): void {
    const { since = this.#options.now(), lost: before = 0 } = this.#trouble ?? {}
    this.#trouble = { error, since, lost: before + lost }
    this.#options.tell({ what: 'write-failed', lost, error })
  }

  async #fileFor(firstSeq: number): Promise<{ handle: FileHandle; bytes: number }> {
    const day = new Date(this.#options.now()).toISOString().slice(0, 10)
    if (this.#open && this.#open.day === day && this.#open.bytes < FILE_BYTES_MAX) return this.#open
    await this.#open?.handle.close()
    this.#open = undefined
    await this.#prune()
    const newest = (await listFiles(this.#folder)).at(-1)
    const reuse =
      newest?.day === day && (await stat(join(this.#folder, newest.name))).size < FILE_BYTES_MAX ? newest : undefined
    const handle = await open(
      join(this.#folder, reuse?.name ?? `${day}-${String(firstSeq).padStart(12, '0')}.jsonl`),
      'a+',
      0o640,
    )
    const bytes = (await handle.stat()).size
    this.#open = { handle, day, bytes }
    if (bytes > 0 && !(await endsWithNewline(handle, bytes))) await handle.appendFile('\n')
    return this.#open
  }

  async #prune(): Promise<void> {
    const files = await listFiles(this.#folder)
    const sizes = await Promise.all(files.map(async (file) => (await stat(join(this.#folder, file.name))).size))
    let total = sizes.reduce((sum, size) => sum + size, 0)
    const oldest = new Date(this.#options.now() - this.#options.keepMs).toISOString().slice(0, 10)
    for (const [i, file] of files.entries()) {
      if (file.day >= oldest && total + FILE_BYTES_MAX <= Math.max(this.#options.bytesMax, FILE_BYTES_MAX)) break
      await rm(join(this.#folder, file.name), { force: true })
      total -= sizes[i] as number
    }
  }
}

/** What cannot wait is given up at once. */
const LOST = Promise.resolve(false)

function newBatch(): Batch {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  return { entries: [], written: promise, done: resolve }
}

/** The same of a folder that another process writes, or wrote. */
export async function* entriesIn(
  folder: string,
  after: number,
  mark: string,
  tellUnreadable: (file: string, lines: number) => void,
): AsyncGenerator<Entry> {
  const files = await listFiles(folder)
  for (const [i, file] of files.entries()) {
    const next = files[i + 1]
    if (next && next.firstSeq <= after + 1) continue
    let unreadable = 0
    for await (const line of createInterface({
      input: createReadStream(join(folder, file.name)),
      crlfDelay: Infinity,
    })) {
      if (line === '' || !line.includes(mark)) continue
      const entry = fromLine(line)
      if (!entry) unreadable++
      else if (entry.seq > after) yield entry
    }
    if (unreadable > 0) tellUnreadable(file.name, unreadable)
  }
}

/** The box's name: made once, kept beside its files, so that a journal and its numbers stay together. */
async function nameOfBox(folder: string): Promise<string> {
  const file = join(folder, 'box')
  const known = (await readFile(file, 'utf8').catch(() => '')).trim()
  if (/^[0-9a-f]{12}$/.test(known)) return known
  const made = randomBytes(6).toString('hex')
  await writeFile(file, `${made}\n`, { mode: 0o640 })
  return made
}

export async function listFiles(folder: string): Promise<File[]> {
  const files = (await readdir(folder)).flatMap((name): File[] => {
    const parts = /^(\d{4}-\d\d-\d\d)-(\d{12})\.jsonl$/.exec(name)
    return parts ? [{ name, day: parts[1] as string, firstSeq: Number(parts[2]) }] : []
  })
  return files.sort((a, b) => a.firstSeq - b.firstSeq)
}

async function lastSeqIn(folder: string): Promise<number> {
  for (const file of (await listFiles(folder)).toReversed()) {
    const seqs = (await tailOf(join(folder, file.name))).split('\n').flatMap((line) => fromLine(line)?.seq ?? [])
    if (seqs.length > 0) return Math.max(...seqs)
    if (file.firstSeq > 1) return file.firstSeq - 1
  }
  return 0
}

async function tailOf(path: string): Promise<string> {
  const handle = await open(path, 'r')
  try {
    const { size } = await handle.stat()
    const from = Math.max(0, size - TAIL_BYTES)
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(size - from), 0, size - from, from)
    return buffer.toString('utf8', 0, bytesRead)
  } finally {
    await handle.close()
  }
}

async function endsWithNewline(handle: FileHandle, size: number): Promise<boolean> {
  const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, size - 1)
  return buffer[0] === 10
}
