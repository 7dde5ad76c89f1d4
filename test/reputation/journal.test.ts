import { appendFileSync, mkdirSync, readFileSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Entry, Evidence } from '../../src/core/evidence.ts'
import { Journal, type JournalHappening } from '../../src/reputation/journal.ts'
import { folder } from '../folders.ts'

const NOON = Date.parse('2026-11-24T12:00:00Z')
const DAY = 86_400_000

function contact(at: number, client = '203.0.113.9'): Evidence {
  return { type: 'evidence', at, client, role: 'backup', kind: 'contact' }
}

async function opened(path: string, options: { now?: () => number; keepMs?: number; bytesMax?: number } = {}) {
  const told: JournalHappening[] = []
  const written: Entry[] = []
  const journal = await Journal.open(path, {
    keepMs: options.keepMs ?? 31 * DAY,
    bytesMax: options.bytesMax ?? 1e9,
    now: options.now ?? (() => NOON),
    written: (entries) => written.push(...entries),
    tell: (happening) => told.push(happening),
  })
  return { journal, told, written }
}

async function all(journal: Journal, after = 0): Promise<Entry[]> {
  const entries: Entry[] = []
  for await (const entry of journal.read(after)) entries.push(entry)
  return entries
}

describe('journal', () => {
  test('what is acknowledged is on disk, numbered from one, in order', async () => {
    const path = folder()
    const { journal, written } = await opened(path)
    const numbers = await Promise.all(Array.from({ length: 100 }, (_, i) => journal.append(contact(NOON + i))))
    expect(numbers).toEqual(Array.from({ length: 100 }, (_, i) => i + 1))
    const [file = ''] = readdirSync(path).filter((name) => name.endsWith('.jsonl'))
    expect(readFileSync(join(path, file), 'utf8').trim().split('\n')).toHaveLength(100)
    expect(written.map((entry) => entry.seq)).toEqual(numbers)
    expect((await all(journal)).map((entry) => entry.event)).toEqual(written.map((entry) => entry.event))
    await journal.close()
  })

  test('in a flood, what comes within 5 ms is written together', async () => {
    let writes = 0
    const written = () => writes++
    const options = { keepMs: DAY, bytesMax: 1e9, now: () => NOON, tell: () => {} }
    const journal = await Journal.open(folder(), { ...options, written })
    const began = performance.now()
    const appended: Promise<number | undefined>[] = []
    for (let i = 0; i < 2000; i++) {
      appended.push(journal.append(contact(NOON + i)))
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(await Promise.all(appended)).toEqual(appended.map((_, i) => i + 1))
    // A timer of Node's may be a millisecond early.
    expect(writes).toBeLessThanOrEqual(2 + (performance.now() - began) / 4)
    await journal.close()
  })

  test('reading goes on after a number, over the days', async () => {
    const path = folder()
    let now = NOON
    const { journal } = await opened(path, { now: () => now })
    for (let day = 0; day < 3; day++, now += DAY) for (let i = 0; i < 10; i++) await journal.append(contact(now))
    expect(readdirSync(path).filter((name) => name.endsWith('.jsonl'))).toEqual([
      '2026-11-24-000000000001.jsonl',
      '2026-11-25-000000000011.jsonl',
      '2026-11-26-000000000021.jsonl',
    ])
    expect((await all(journal, 14)).map((entry) => entry.seq)).toEqual(Array.from({ length: 16 }, (_, i) => i + 15))
    await journal.close()
  })

  test('a restart keeps the name of the box and goes on counting', async () => {
    const path = folder()
    const first = await opened(path)
    await first.journal.append(contact(NOON))
    await first.journal.close()
    const second = await opened(path)
    expect(second.journal.box).toBe(first.journal.box)
    expect(await second.journal.append(contact(NOON))).toBe(2)
    await second.journal.close()
  })

  test('a line torn by a crash costs itself alone', async () => {
    const path = folder()
    const first = await opened(path)
    await first.journal.append(contact(NOON))
    await first.journal.close()
    appendFileSync(join(path, '2026-11-24-000000000001.jsonl'), '{"seq":2,"type":"evid')
    const { journal, told } = await opened(path)
    await journal.append(contact(NOON + 1))
    expect((await all(journal)).map((entry) => entry.event)).toEqual([contact(NOON), contact(NOON + 1)])
    expect(told).toEqual([{ what: 'unreadable', file: '2026-11-24-000000000001.jsonl', lines: 1 }])
    await journal.close()
  })

  test('numbers go on after the files are gone', async () => {
    const path = folder()
    const { journal } = await opened(path)
    journal.skipTo(41)
    expect(await journal.append(contact(NOON))).toBe(42)
    await journal.close()
  })

  test('old files go by age, and the oldest first beyond the bound of size', async () => {
    const path = folder()
    for (const day of ['2026-09-01', '2026-11-20', '2026-11-21', '2026-11-22']) {
      const file = join(path, `${day}-${day.replaceAll('-', '').padStart(12, '0')}.jsonl`)
      writeFileSync(file, '\n')
      // Holes take no room on the disk.
      truncateSync(file, 50 * 1024 * 1024)
    }
    const { journal } = await opened(path, { keepMs: 31 * DAY, bytesMax: 170 * 1024 * 1024 })
    await journal.append(contact(NOON))
    const left = readdirSync(path)
      .filter((name) => name.endsWith('.jsonl'))
      .sort()
      .map((name) => name.slice(0, 10))
    expect(left).toEqual(['2026-11-21', '2026-11-22', '2026-11-24'])
    await journal.close()
  })

  test('what is written together is told together, to everyone who waits for any of it', async () => {
    const path = folder()
    const { journal } = await opened(path)
    const [first, second] = [journal.enter(contact(NOON)), journal.enter(contact(NOON + 1))]
    expect([first.seq, second.seq]).toEqual([1, 2])
    expect(second.written).toBe(first.written)
    expect(await first.written).toBe(true)
    const third = journal.enter(contact(NOON + 2))
    expect(third.written).not.toBe(first.written)
    expect(await third.written).toBe(true)
    const seqs: number[] = []
    for await (const { seq } of journal.read(0)) seqs.push(seq)
    expect(seqs).toEqual([1, 2, 3])
    await journal.close()
  })

  test('a disk that cannot be written to is told, and the journal goes on once it can', async () => {
    const path = folder()
    const { journal, told } = await opened(path)
    rmSync(path, { recursive: true })
    expect(await journal.append(contact(NOON))).toBeUndefined()
    expect(told).toMatchObject([{ what: 'write-failed', lost: 1 }])
    mkdirSync(path)
    expect(await journal.append(contact(NOON))).toBe(2)
    expect(await journal.append(contact(NOON))).toBe(3)
    expect(told.slice(1)).toEqual([{ what: 'writes-again', lost: 1 }])
    await journal.close()
  })
})
