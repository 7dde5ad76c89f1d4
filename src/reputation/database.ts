/**
 * The embedded store's file: SQLite, open and ours alone, read whole at the start and written in single transactions.
 *
 * A file that another process holds is refused. A damaged one is set aside under a name of its own, never overwritten, and
 * an empty one takes its place: the journal fills it again.
 */
import { existsSync, renameSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import type { Instant } from '../core/evidence.ts'
import { ById } from './by-id.ts'
import { readRuling, type Ruling, type StoreHappening } from './store.ts'

/** A record as it is kept, in memory as in the file. */
export type Kept = { readonly touched: Instant; readonly text: string }

/** The file, open and ours alone, with what was found in it. */
export type OpenFile = {
  readonly records: Map<string, Kept>
  readonly rulings: ById
  /** The ids of rulings that cannot be read. */
  readonly unreadable: readonly string[]
  readonly marks: Map<string, number>
  /** A mark as it stands in the file now; 0 when it does not. */
  readonly mark: (name: string) => number
  /** All or nothing; a record or ruling without a value is removed. */
  readonly write: (
    records: readonly (readonly [string, Kept | undefined])[],
    rulings: readonly (readonly [string, Ruling | undefined])[],
    marks: readonly (readonly [string, number])[],
  ) => void
  readonly close: () => void
}

/** The layout of the tables below. A file of any other is refused: it is neither ours to read nor to put aside. */
const LAYOUT = 1
/** A process that is just ending, as at a restart, gets this long to let go of the file. */
const LOCK_WAIT_MS = 1000

export function openFile(file: string, tell: (happening: StoreHappening) => void): OpenFile {
  try {
    return readFile(file)
  } catch (error) {
    const code = codeOf(error)
    if (code === SQLITE.busy) throw new Error(`${file} is in use: another decoymx runs on it`, { cause: error })
    if (code !== SQLITE.corrupt && code !== SQLITE.notADatabase)
      throw new Error(`${file}: ${(error as Error).message}`, { cause: error })
    const movedTo = setAside(file)
    tell({ what: 'corrupt', file, movedTo, error: (error as Error).message })
    return readFile(file)
  }
}

function readFile(file: string): OpenFile {
  const db = new DatabaseSync(file, { timeout: LOCK_WAIT_MS })
  try {
    // Exclusive before WAL: the lock is then held until we close, or die, and no shared-memory file is needed.
    db.exec('PRAGMA locking_mode = EXCLUSIVE')
    const layout = db.prepare('PRAGMA user_version').get()?.['user_version']
    if (layout !== 0 && layout !== LAYOUT)
      throw new Error(`it has layout ${String(layout)}, and this decoymx reads ${LAYOUT}: move it away to start anew`)
    db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL')
    prepareTables(db)
    const unreadable: string[] = []
    return withStatements(db, {
      records: readTable(db, 'SELECT key AS name, text, touched AS value FROM records ORDER BY touched', (row) =>
        isText(row['text']) && isWhole(row['value']) ? { touched: row['value'], text: row['text'] } : undefined,
      ),
      // Read one by one: the texts of a million rulings would take more than the rulings do.
      rulings: readRulings(db, unreadable),
      unreadable,
      marks: readTable(db, 'SELECT name, value FROM marks', (row) =>
        isWhole(row['value']) ? row['value'] : undefined,
      ),
    })
  } catch (error) {
    db.close()
    throw error
  }
}

function prepareTables(db: DatabaseSync): void {
  db.exec('BEGIN EXCLUSIVE')
  const check = db.prepare('PRAGMA quick_check(1)').get()?.['quick_check']
  if (check !== 'ok') throw Object.assign(new Error(String(check)), { errcode: SQLITE.corrupt })
  db.exec(`
    CREATE TABLE IF NOT EXISTS records (key TEXT PRIMARY KEY NOT NULL, touched INTEGER NOT NULL, text TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS rulings (id TEXT PRIMARY KEY NOT NULL, text TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS marks (name TEXT PRIMARY KEY NOT NULL, value INTEGER NOT NULL);
    PRAGMA user_version = ${LAYOUT};
    COMMIT`)
}

function readRulings(db: DatabaseSync, unreadable: string[]): ById {
  const rulings = new ById()
  const rows = db.prepare('SELECT id, text FROM rulings ORDER BY rowid')
  rows.setReturnArrays(true)
  for (const [id, text] of rows.iterate() as Iterable<unknown> as Iterable<readonly unknown[]>) {
    const ruling = isText(id) && isText(text) ? readRuling(id, text) : undefined
    if (ruling) rulings.set(ruling)
    else unreadable.push(String(id))
  }
  return rulings
}

type Row = { [column: string]: unknown }

function readTable<Value>(db: DatabaseSync, sql: string, valueOf: (row: Row) => Value | undefined): Map<string, Value> {
  const found = new Map<string, Value>()
  for (const row of db.prepare(sql).iterate() as Iterable<Row>) {
    const value = valueOf(row)
    if (isText(row['name']) && value !== undefined) found.set(row['name'], value)
  }
  return found
}

function withStatements(
  db: DatabaseSync,
  found: Pick<OpenFile, 'records' | 'rulings' | 'unreadable' | 'marks'>,
): OpenFile {
  // REPLACE gives the row a new place at the end, which keeps rulings in order of their last put; records are in no order,
  // and stay where they are.
  const set = {
    record: db.prepare(
      `INSERT INTO records (key, touched, text) VALUES (?, ?, ?)
       ON CONFLICT (key) DO UPDATE SET touched = excluded.touched, text = excluded.text`,
    ),
    ruling: db.prepare('REPLACE INTO rulings (id, text) VALUES (?, ?)'),
    mark: db.prepare('REPLACE INTO marks (name, value) VALUES (?, ?)'),
  }
  const remove = {
    record: db.prepare('DELETE FROM records WHERE key = ?'),
    ruling: db.prepare('DELETE FROM rulings WHERE id = ?'),
  }
  const mark = db.prepare('SELECT value FROM marks WHERE name = ?')
  return {
    ...found,
    mark: (name) => Number(mark.get(name)?.['value'] ?? 0),
    write(records, rulings, marks) {
      db.exec('BEGIN IMMEDIATE')
      try {
        for (const [key, kept] of records) {
          if (kept) set.record.run(key, kept.touched, kept.text)
          else remove.record.run(key)
        }
        for (const [id, ruling] of rulings) {
          if (ruling) set.ruling.run(id, JSON.stringify(ruling))
          else remove.ruling.run(id)
        }
        for (const [name, value] of marks) set.mark.run(name, value)
        db.exec('COMMIT')
      } catch (error) {
        if (db.isTransaction) db.exec('ROLLBACK')
        throw error
      }
    },
    close: () => db.close(),
  }
}

/** Keeps the file, and what SQLite has put beside it, under the first name that is free. */
function setAside(file: string): string {
  const beside = ['', '-wal', '-shm', '-journal']
  let n = 1
  while (beside.some((end) => existsSync(`${file}.corrupt-${n}${end}`))) n++
  for (const end of beside) if (existsSync(`${file}${end}`)) renameSync(`${file}${end}`, `${file}.corrupt-${n}${end}`)
  return `${file}.corrupt-${n}`
}

/** Primary result codes of SQLite, https://sqlite.org/rescode.html. */
const SQLITE = { busy: 5, corrupt: 11, notADatabase: 26 }

/** The primary result code of an error of SQLite's; undefined for any other error. */
export function codeOf(error: unknown): number | undefined {
  const code = (error as { errcode?: unknown }).errcode
  return typeof code === 'number' ? code & 0xff : undefined
}

function isText(value: unknown): value is string {
  return typeof value === 'string'
}

function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value)
}
