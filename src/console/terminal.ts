/**
 * What a person sees in a terminal, and what a pipe gets: tables that fit, tab-separated lines when nobody looks, colours by
 * the usual rules (NO_COLOR, FORCE_COLOR, a terminal or not), spans and instants in words.
 */
import picocolors from 'picocolors'

export type Screen = {
  readonly colours: ReturnType<typeof picocolors.createColors>
  /** Is a person looking? Then tables are aligned. */
  readonly person: boolean
  readonly width: number
  readonly print: (line: string) => void
  /** Writes over the line that it wrote last, for a person who waits; an empty one wipes it. */
  readonly over?: ((line: string) => void) | undefined
}

/** Narrower terminals get wrapped lines rather than nothing. */
const WIDTH_MIN = 60

export function screenOf(stream: NodeJS.WriteStream, env: NodeJS.ProcessEnv): Screen {
  const forced = env['FORCE_COLOR'] !== undefined && env['FORCE_COLOR'] !== '0'
  const coloured = !env['NO_COLOR'] && (forced || (stream.isTTY === true && env['TERM'] !== 'dumb'))
  return {
    colours: picocolors.createColors(coloured),
    person: stream.isTTY === true,
    width: Math.max(stream.columns ?? 100, WIDTH_MIN),
    print: (line) => void stream.write(`${line}\n`),
    over: stream.isTTY === true ? (line) => void stream.write(`\r\x1b[K${line}`) : undefined,
  }
}

/** Rows under their heads; the last column takes what room is left and is cut to it. In a pipe: tab-separated, uncut. */
export function table(screen: Screen, heads: readonly string[], rows: readonly (readonly string[])[]): string[] {
  if (!screen.person) return [heads, ...rows].map((row) => row.map((cell) => cell.replace(/[\t\n]/g, ' ')).join('\t'))
  const widths = heads.map((head, i) => Math.max(head.length, ...rows.map((row) => (row[i] ?? '').length)))
  const before = widths.slice(0, -1).reduce((sum, width) => sum + width + 2, 0)
  const room = Math.max(screen.width - before, 20)
  const line = (row: readonly string[]) =>
    row
      .map((cell, i) => (i === heads.length - 1 ? cut(cell, room) : cell.padEnd(widths[i] as number)))
      .join('  ')
      .trimEnd()
  return [screen.colours.dim(line(heads.map((head) => head.toUpperCase()))), ...rows.map(line)]
}

function cut(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`
}

/** Lines of at most `width`, each behind a margin. */
export function wrapped(text: string, width: number, margin: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && margin + line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, line].map((each) => `${' '.repeat(margin)}${each}`)
}

/** `3 h`, `12 min`, `2 d`: the one unit that tells enough. */
export function span(ms: number): string {
  const units: readonly [number, string][] = [
    [86_400_000, 'd'],
    [3_600_000, 'h'],
    [60_000, 'min'],
    [1000, 's'],
  ]
  const [size, name] = units.find(([each]) => ms >= each * 1.95 || each === 1000) as [number, string]
  return `${Math.max(0, Math.round(ms / size))} ${name}`
}

/** `2026-11-24 14:20 UTC (in 23 h)`. */
export function when(iso: string, now: number): string {
  const at = Date.parse(iso)
  const words = at >= now ? `in ${span(at - now)}` : `${span(now - at)} ago`
  return `${iso.slice(0, 10)} ${iso.slice(11, 16)} UTC (${words})`
}
