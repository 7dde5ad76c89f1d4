/**
 * The journals of any number of boxes, told as one recording: merged by time, each in its own order.
 *
 * A journal is a folder as `journal.ts` keeps it, or one file of it. Read in large pieces and handed on without waiting, for
 * a recording of a month has millions of lines. A line that cannot be read is counted and passed over; what the appliance
 * played to itself is passed over, too.
 */
import { createReadStream, existsSync, statSync } from 'node:fs'
import { open, readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { isPlayed } from '../core/canary.ts'
import { type Entry, fromLine, type Instant } from '../core/evidence.ts'
import { listFiles } from './journal.ts'

export type Recording = {
  /** The box's own name, or that of the file. */
  readonly box: string
  readonly files: readonly string[]
  readonly bytes: number
  /** Has it looked at the real MX itself? */
  readonly watched: boolean
  /** It is no journal, but what a store had counted at this moment (redis-recording.ts): nothing in it waits for a look. */
  readonly countedAt: Instant | undefined
}

/** The recording at this path: a journal's folder, a state directory with one in it, or a file; else why it is none. */
export async function findRecording(path: string): Promise<Recording | string> {
  if (!existsSync(path)) return `${path}: there is no such file or folder`
  const folder = existsSync(join(path, 'journal')) ? join(path, 'journal') : path
  const isFile = statSync(folder).isFile()
  const files = isFile ? [folder] : (await listFiles(folder)).map(({ name }) => join(folder, name))
  if (files.length === 0) return `${path}: holds no journal: expected files like 2026-01-31-000000000001.jsonl`
  const named = isFile ? '' : (await readFile(join(folder, 'box'), 'utf8').catch(() => '')).trim()
  const bytes = files.reduce((sum, file) => sum + statSync(file).size, 0)
  const countedAt = await countsIn(files[0] as string)
  const watched = countedAt === undefined && (await holdsProbe(files))
  return { box: named || (isFile ? basename(folder) : folder), files, bytes, watched, countedAt }
}

export type Hearing = {
  readonly hear: (entry: Entry, box: string) => void
  /** So many bytes of all have been read. */
  readonly progress?: ((bytes: number) => void) | undefined
}

/** Tells all entries, and how many lines could not be read. Of two that were seen at one moment, those of the box named first. */
export async function tellRecordings(recordings: readonly Recording[], { hear, progress }: Hearing): Promise<number> {
  let [bytes, unreadable] = [0, 0]
  const read = (more: number, bad: number) => {
    bytes += more
    unreadable += bad
    progress?.(bytes)
  }
  const heads: Head[] = []
  for (const { box, files } of recordings) {
    const head: Head = { box, batches: batchesOf(files, read), batch: [], next: 0 }
    if (await refill(head)) heads.push(head)
  }
  while (heads.length > 0) {
    const head = heads.reduce((a, b) => (atOf(b) < atOf(a) ? b : a))
    const before = heads.reduce((least, each) => (each === head ? least : Math.min(least, atOf(each))), Infinity)
    // As long as no other is sooner.
    do hear(head.batch[head.next++] as Entry, head.box)
    while (head.next < head.batch.length && atOf(head) < before)
    if (head.next === head.batch.length && !(await refill(head))) heads.splice(heads.indexOf(head), 1)
  }
  return unreadable
}

/** Where one recording is being read. */
type Head = { readonly box: string; readonly batches: AsyncGenerator<Entry[]>; batch: Entry[]; next: number }

function atOf({ batch, next }: Head): number {
  return (batch[next] as Entry).event.at
}

async function refill(head: Head): Promise<boolean> {
  const { value, done } = await head.batches.next()
  head.batch = done ? [] : value
  head.next = 0
  return !done
}

const PIECE_BYTES = 1 << 16
/** No line of ours is that long: what is, is no journal, and is passed over. */
const LINE_MAX = 64 * 1024

async function* batchesOf(files: readonly string[], read: (bytes: number, bad: number) => void) {
  for (const file of files) {
    let rest = ''
    for await (const piece of createReadStream(file, { highWaterMark: PIECE_BYTES })) {
      const text = rest + (piece as Buffer).toString('latin1')
      const lines = text.split('\n')
      rest = (lines.pop() as string).slice(0, LINE_MAX)
      yield* entriesOf(lines, (piece as Buffer).length, isAscii(text))
    }
    yield* entriesOf([rest], 0, isAscii(rest))
  }

  function* entriesOf(lines: readonly string[], bytes: number, ascii: boolean) {
    const batch: Entry[] = []
    let bad = 0
    for (const line of lines) {
      if (line === '' || line.startsWith(COUNTS)) continue
      const entry = fromLine(ascii ? line : Buffer.from(line, 'latin1').toString('utf8'))
      if (!entry) bad++
      else if (!isPlayed(entry.event)) batch.push(entry)
    }
    read(bytes, bad)
    if (batch.length > 0) yield batch
  }
}

/** Pieces end anywhere, also within a character; a line is put together from bytes, and read as UTF-8 only where it must be. */
function isAscii(text: string): boolean {
  return !/[\x80-\xff]/.test(text)
}

/** How the first line of a store's recording begins. */
const COUNTS = '{"type":"counts",'

async function countsIn(file: string): Promise<Instant | undefined> {
  const piece = Buffer.alloc(COUNTS.length + 50)
  const opened = await open(file)
  try {
    await opened.read(piece)
  } finally {
    await opened.close()
  }
  const at = /^\{"type":"counts","at":(\d{1,16})[,}]/.exec(piece.toString('latin1'))?.[1]
  return at === undefined ? undefined : Number(at)
}

async function holdsProbe(files: readonly string[]): Promise<boolean> {
  const mark = Buffer.from('"type":"probe"')
  for (const file of files) {
    let tail = Buffer.alloc(0)
    for await (const piece of createReadStream(file, { highWaterMark: PIECE_BYTES })) {
      const text = Buffer.concat([tail, piece as Buffer])
      if (text.includes(mark)) return true
      tail = text.subarray(-mark.length)
    }
  }
  return false
}
