import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { expect, test } from 'vitest'
import { createLog } from '../../src/console/log.ts'
import { screenOf } from '../../src/console/terminal.ts'

function ear() {
  const writes: string[] = []
  const { promise: written, resolve } = Promise.withResolvers<void>()
  const write = (chunk: Buffer, _encoding: string, done: () => void) => (writes.push(String(chunk)), resolve(), done())
  return { stream: new Writable({ write }) as Writable & NodeJS.WriteStream, writes, written }
}

test('lines of a moment go out together, in order; a flood does not wait for its end', async () => {
  const { stream, writes, written } = ear()
  const log = createLog('info', stream, screenOf(stream, {}))
  for (let n = 0; n < 3; n++) log.info({ n }, 'seen')
  expect(writes).toEqual([])
  await written
  expect(writes.length).toBe(1)
  const lines = writes[0]
    ?.trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown)
  expect(lines).toMatchObject([0, 1, 2].map((n) => ({ level: 'info', n, msg: 'seen' })))

  log.info('x'.repeat(40_000))
  log.info('y'.repeat(40_000))
  expect(writes.length).toBe(2)
})

test('for a person a count is told once: not beside a sentence that has it, nor where there is none', () => {
  const { stream, writes } = ear()
  const log = createLog('info', stream, { ...screenOf(stream, { NO_COLOR: '1' }), person: true })
  log.info({ listed: 3, changed: 0, looked: 7, digest: 'ab12' }, 'rules: +3 listed')
  expect(writes.join('').replace(/^\S+ /, '')).toBe('rules: +3 listed looked=7 digest=ab12\n')
})

test('what was said last is heard, however the process ends', () => {
  const log = JSON.stringify(join(import.meta.dirname, '../../src/console/log.ts'))
  const terminal = JSON.stringify(join(import.meta.dirname, '../../src/console/terminal.ts'))
  const last = (end: string) =>
    spawnSync(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        `
      import { createLog } from ${log}
      import { screenOf } from ${terminal}
      const log = createLog('info', process.stdout, screenOf(process.stdout, {}))
      log.info('the last words')
      ${end}`,
      ],
      { encoding: 'utf8' },
    ).stdout
  for (const end of ['', 'process.exit(3)', 'throw new Error("a bug")']) expect(last(end)).toContain('the last words')
})

test('a reader that does not keep up costs bounded memory: lines are left out, and told when it reads again', async () => {
  let take = () => {}
  const taken: string[] = []
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      taken.push(String(chunk))
      take = done
    },
  })
  let missed = 0
  const log = createLog('info', stream, screenOf(stream as NodeJS.WriteStream, {}), (lines) => (missed += lines))
  const long = 'x'.repeat(70_000)
  for (let n = 0; n < 1000; n++) log.info({ n }, long)
  expect(stream.writableLength).toBeLessThan(9 * 1024 * 1024)
  const kept = Math.round(stream.writableLength / long.length)
  // Known at once, though nobody reads.
  expect(missed).toBe(1000 - kept)

  const reads = once(stream, 'drain')
  stream._write = (chunk: Buffer, _encoding, done) => (taken.push(String(chunk)), done())
  take()
  await reads
  log.info(long)
  const lines = taken.map((line) => JSON.parse(line) as { n?: number; msg: string })
  expect(lines.slice(0, kept).map(({ n }) => n)).toEqual(Array.from({ length: kept }, (_, n) => n))
  expect(lines.slice(kept).map(({ msg }) => msg)).toEqual([
    `log: ${1000 - kept} lines were left out, for whoever reads the log did not keep up`,
    long,
  ])
})
