/**
 * What a person sees in a terminal, and what a pipe gets: tables that fit, tab-separated lines when nobody looks, colours by
 * the usual rules (NO_COLOR, FORCE_COLOR, a terminal or not), instants in words.
 */
import { stripVTControlCharacters } from 'node:util'
import picocolors from 'picocolors'
import { span } from '../core/span.ts'

export type Screen = {
  readonly colours: ReturnType<typeof picocolors.createColors>
  /** Is a person looking? Then tables are aligned. */
  readonly person: boolean
  /** In characters. In a pipe there is no end: what is one line stays one. */
  readonly width: number
  /** In lines. */
  readonly height: number
  readonly print: (line: string) => void
  /** Writes over the line that it wrote last, for a person who waits; an empty one wipes it. */
  readonly over?: ((line: string) => void) | undefined
}

/** No narrower: the longest IPv6 address has 39 characters, and none is ever cut. */
const WIDTH_MIN = 40

export function screenOf(stream: NodeJS.WriteStream, env: NodeJS.ProcessEnv): Screen {
  const forced = env['FORCE_COLOR'] !== undefined && env['FORCE_COLOR'] !== '0'
  const coloured = !env['NO_COLOR'] && (forced || (stream.isTTY === true && env['TERM'] !== 'dumb'))
  return {
    colours: picocolors.createColors(coloured),
    person: stream.isTTY === true,
    // Asked each time, for a window changes.
    get width() {
      return stream.isTTY === true ? Math.max(stream.columns ?? 100, WIDTH_MIN) : Infinity
    },
    get height() {
      return stream.isTTY === true ? (stream.rows ?? 24) : Infinity
    },
    print: (line) => void stream.write(`${line}\n`),
    over: stream.isTTY === true ? (line) => void stream.write(`\r\x1b[K${line}`) : undefined,
  }
}

/**
 * Rows under their heads. In a pipe: tab-separated, uncut. For a person every word is there, and no line is wider than the
 * screen: cells wrap between words, the widest columns first; where that leaves the last column too little, its cells stand
 * below their rows; and where even the others are too wide, each row is a block of lines.
 */
export function table(screen: Screen, heads: readonly string[], rows: readonly (readonly string[])[]): string[] {
  if (!screen.person) return [heads, ...rows].map((row) => row.map((cell) => cell.replace(/[\t\n]/g, ' ')).join('\t'))
  const titles = heads.map((head) => head.toUpperCase())
  const { width, colours } = screen
  const beside = columnWidths(titles, rows, width, LAST_SENTENCE)
  if (beside) return [...inColumns(titles, beside).map(colours.dim), ...rows.flatMap((row) => inColumns(row, beside))]
  const before = columnWidths(titles.slice(0, -1), rows, width, SENTENCE)
  const last = titles.length - 1
  const fits = (cell: string) => cell.split(' ').every((word) => BELOW.length + lengthOf(word) <= width)
  if (!before || last < 2 || !rows.every((row) => fits(row[last] ?? '')))
    return rows.flatMap((row, i) => [...(i > 0 ? [''] : []), ...block(screen, titles, row)])
  const lines = (row: readonly string[]) => [
    ...inColumns(row.slice(0, last), before),
    ...(row[last] ? wrapped(row[last], width, BELOW.length) : []),
  ]
  return [...lines(titles).map(colours.dim), ...rows.flatMap(lines)]
}

const GAP = '  '
/** Before a cell that stands below its row. */
const BELOW = '    '
/** A column of sentences is not squeezed below this, and the last one not below that. */
const [SENTENCE, LAST_SENTENCE] = [18, 28]

function inColumns(row: readonly string[], widths: readonly number[]): string[] {
  const cells = widths.map((width, i) => wrapped(row[i] ?? '', width, 0))
  const height = Math.max(...cells.map((cell) => cell.length))
  return Array.from({ length: height }, (_, n) =>
    cells
      .map((cell, i) => padded(cell[n] ?? '', widths[i] as number))
      .join(GAP)
      .trimEnd(),
  )
}

/** Of each column, so that all fit into the width; undefined when they cannot. */
function columnWidths(
  titles: readonly string[],
  rows: readonly (readonly string[])[],
  width: number,
  lastAtLeast: number,
): number[] | undefined {
  const cellsOf = (i: number) => [titles[i] as string, ...rows.map((row) => row[i] ?? '')]
  const widths = titles.map((_, i) => Math.max(...cellsOf(i).map(lengthOf)))
  const least = titles.map((_, i) => {
    const word = Math.max(...cellsOf(i).flatMap((cell) => cell.split(' ').map(lengthOf)))
    return Math.min(widths[i] as number, Math.max(word, i === titles.length - 1 ? lastAtLeast : SENTENCE))
  })
  const room = width - GAP.length * (titles.length - 1)
  if (sum(least) > room) return undefined
  while (sum(widths) > room) {
    const spare = widths.map((each, i) => (each > (least[i] as number) ? each : 0))
    // The last of those as wide: columns stand in the order of their weight.
    const widest = spare.lastIndexOf(Math.max(...spare))
    widths[widest] = (widths[widest] as number) - 1
  }
  return widths
}

const sum = (numbers: readonly number[]) => numbers.reduce((all, each) => all + each, 0)

/** A row as lines of its own: its first cell, and below it each other that is not empty beside its title. */
function block({ colours, width }: Screen, titles: readonly string[], row: readonly string[]): string[] {
  const margin = 2 + Math.max(...titles.slice(1).map((title) => title.length)) + GAP.length
  const named = titles.flatMap((title, i) => {
    const cell = inPieces(row[i] ?? '', width)
    if (i === 0 || cell === '') return []
    const longest = Math.max(...cell.split(' ').map(lengthOf))
    if (margin + longest <= width) return hanging(`  ${colours.dim(title.padEnd(margin - 2))}`, cell, width, margin)
    return [`  ${colours.dim(title)}`, ...wrapped(cell, width, Math.max(0, Math.min(4, width - longest)))]
  })
  return [...wrapped(inPieces(row[0] ?? '', width), width, 0).map(colours.bold), ...named]
}

/** A word that is wider than the whole screen goes on below, as the terminal itself would have it. */
function inPieces(text: string, width: number): string {
  const pieces = (word: string) => word.match(new RegExp(`.{1,${width}}`, 'gsu'))?.join(' ') ?? word
  return text.split(' ').map(pieces).join(' ')
}

/** Lines of at most `width`, each behind a margin. A word that is longer stands alone. */
export function wrapped(text: string, width: number, margin: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && margin + lengthOf(line) + 1 + lengthOf(word) > width) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, line].map((each) => `${' '.repeat(margin)}${each.trimEnd()}`)
}

/** Behind a head, and where the text needs more lines behind a margin of that width; `head` is as wide as the margin, or wider. */
export function hanging(head: string, text: string, width: number, margin: number): string[] {
  const beyond = Math.max(0, lengthOf(head) - margin)
  const [first = '', ...others] = wrapped(`${'-'.repeat(beyond)}${text}`, width, margin)
  return [`${head}${first.slice(margin + beyond)}`, ...others]
}

/** What is seen of it: colours take no room. */
function lengthOf(text: string): number {
  return stripVTControlCharacters(text).length
}

function padded(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - lengthOf(text)))
}

/** `1 story`, `2 stories`. */
export function counted(n: number, one: string, many = `${one}s`): string {
  return `${n} ${n === 1 ? one : many}`
}

/** `2026-11-24 14:20 UTC (in 23 h)`. */
export function when(iso: string, now: number): string {
  const at = Date.parse(iso)
  const words = at >= now ? `in ${span(at - now)}` : `${span(now - at)} ago`
  return `${iso.slice(0, 10)} ${iso.slice(11, 16)} UTC (${words})`
}
