/**
 * Figures of several rounds, and the table they are printed in.
 */

export type Figure = {
  readonly value: number
  /** The loader was the limit: the server could have done more. */
  readonly atLeast?: boolean
}

export type Row = { readonly what: string; readonly ours: Figure; readonly theirs: Figure | undefined }

export type Table = {
  readonly part: string
  readonly rival: string
  readonly rows: readonly Row[]
  readonly method: string
}

/** A row of medians; without rounds of theirs the rival is absent. */
export function rowOf(what: string, ours: readonly Figure[], theirs: readonly Figure[]): Row {
  return { what, ours: median(ours), theirs: theirs.length > 0 ? median(theirs) : undefined }
}

/** A lower bound if any round was one: then the middle value, too, could have been more. */
function median(figures: readonly Figure[]): Figure {
  const { value } = figures.toSorted((a, b) => a.value - b.value)[Math.floor(figures.length / 2)] as Figure
  return { value, atLeast: figures.some(({ atLeast }) => atLeast) }
}

export function printTable({ part, rival, rows, method }: Table): void {
  progress('')
  const head = [part, 'decoymx', rival, 'ratio']
  const lines = [head, ...rows.map(({ what, ours, theirs }) => [what, spell(ours), spell(theirs), ratio(ours, theirs)])]
  const widths = head.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)))
  const aligned = (cell: string, column: number) =>
    column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)
  process.stdout.write(`${lines.map((line) => line.map(aligned).join('  ')).join('\n')}\n${method}\n\n`)
}

/** Where we are, for the person who waits. */
export function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`)
  else if (text !== '') process.stderr.write(`${text}\n`)
}

function spell(figure: Figure | undefined): string {
  return figure ? `${figure.atLeast ? '>' : ''}${digits(figure.value, 3)}` : '-'
}

/** decoymx / rival. Of two lower bounds nothing can be said. */
function ratio(ours: Figure, theirs: Figure | undefined): string {
  if (!theirs || theirs.value === 0 || (ours.atLeast && theirs.atLeast)) return '-'
  const sign = ours.atLeast ? '>' : theirs.atLeast ? '<' : ''
  return `${sign}${digits(ours.value / theirs.value, 2)}`
}

/** No more digits than mean something, and no fewer than the whole number has. */
function digits(value: number, significant: number): string {
  const whole = value >= 10 ** significant
  return value.toLocaleString('en', whole ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: significant })
}
