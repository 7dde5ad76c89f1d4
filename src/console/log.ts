/**
 * One line for each event worth a line: JSON for machines, words for a person at a terminal.
 *
 * Whatever a client said was made printable and cut before it became evidence, so no line can be forged or broken.
 */
import { Writable } from 'node:stream'
import pino, { type LogFn, type Logger } from 'pino'
import { asTyped } from './called.ts'
import type { Screen } from './terminal.ts'

export type Log = Logger

/** `missed` hears of lines that were left out, for whoever reads the log did not keep up. */
export function createLog(
  level: string,
  stream: Writable,
  screen: Screen,
  missed: (lines: number) => void = () => {},
): Log {
  const options = {
    level,
    base: null,
    timestamp: timeOf(),
    formatters: { level: (label: string) => ({ level: label }) },
  }
  if (!screen.person) return pino({ ...options, hooks: { logMethod: hinting } }, gathered(stream, missed))
  const worded = new Writable({
    write(chunk: Buffer, _encoding, done) {
      stream.write(`${words(chunk.toString(), screen)}\n`)
      done()
    },
  })
  return pino(options, worded)
}

/** What is to be done, about which lines from `warn` on may tell, is said as it is typed here. The others are many. */
function hinting(this: Log, words: Parameters<LogFn>, method: LogFn, level: number): void {
  const said = level < pino.levels.values['warn']! ? words : words.map(asTypedWithin)
  method.apply(this, said as Parameters<LogFn>)
}

function asTypedWithin(word: unknown): unknown {
  if (typeof word === 'string') return asTyped(word)
  if (typeof word !== 'object' || word === null || word instanceof Error) return word
  return Object.fromEntries(
    Object.entries(word).map(([key, value]: [string, unknown]) => [
      key,
      typeof value === 'string' ? asTyped(value) : value,
    ]),
  )
}

/** In ISO 8601, made once a millisecond: in a flood there are many lines in each. */
function timeOf(): () => string {
  let [at, text] = [Number.NaN, '']
  return () => {
    const now = Date.now()
    if (now !== at) {
      at = now
      text = `,"time":"${new Date(now).toISOString()}"`
    }
    return text
  }
}

/**
 * Lines of LINES_MS in one write, for a write costs more than a line: in a flood there are thousands a second. What is still
 * here when the process ends goes out then; beyond LINES_MAX characters it does at once.
 *
 * Nobody waits for whoever reads the log. What he has not taken waits here up to UNREAD_MAX bytes; then lines are left out,
 * and how many is told when he reads again.
 */
function gathered(stream: Writable, missed: (lines: number) => void): pino.DestinationStream {
  let [lines, count, leftOut] = ['', 0, 0]
  const tellLeftOut = () => {
    const msg = `log: ${leftOut} lines were left out, for whoever reads the log did not keep up`
    leftOut = 0
    stream.write(`${JSON.stringify({ level: 'warn', time: new Date().toISOString(), msg })}\n`)
  }
  const flush = () => {
    const [text, those] = [lines, count]
    lines = ''
    count = 0
    if (text === '') return
    if (stream.writableLength < UNREAD_MAX) return void stream.write(text)
    if (leftOut === 0) stream.once('drain', tellLeftOut)
    leftOut += those
    missed(those)
  }
  process.on('exit', flush)
  return {
    write(line) {
      if (lines === '') setTimeout(flush, LINES_MS)
      lines += line
      count++
      if (lines.length > LINES_MAX) flush()
    },
  }
}

const LINES_MAX = 65_536
const LINES_MS = 5
const UNREAD_MAX = 8 * 1024 * 1024

function words(json: string, screen: Screen): string {
  const { level, time, msg, ...rest } = JSON.parse(json) as { level: string; time: string; msg?: string } & Record<
    string,
    unknown
  >
  const paint =
    { error: screen.colours.red, warn: screen.colours.yellow, debug: screen.colours.dim }[level] ??
    ((text: string) => text)
  // A count that the sentence tells, or that there is none of, is not told a second time.
  const counts: readonly string[] = msg?.match(/\d+/g) ?? []
  const isTold = (value: unknown) => typeof value === 'number' && (value === 0 || counts.includes(String(value)))
  const fields = Object.entries(rest).flatMap(([key, value]) =>
    isTold(value) ? [] : [`${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`],
  )
  return `${screen.colours.dim(time.slice(11, 19))} ${paint(asTyped(msg ?? ''))} ${screen.colours.dim(asTyped(fields.join(' ')))}`.trimEnd()
}
