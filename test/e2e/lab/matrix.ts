/**
 * What the lab has measured, as the table that people read: for each sender and each kind of primary, how much later than
 * without decoys its message came in the same attempt.
 *
 * The figures are put into steps, so that the page changes only when a promise is kept better or worse.
 */
import type { Layout } from './lab.ts'

export type Row = {
  readonly name: string
  readonly version: string
  /** Seconds, in steps, or what went wrong. */
  readonly cells: Readonly<Record<string, string>>
}

/** The layouts with decoys, and the layout that each is measured against. */
export const COLUMNS = {
  reset: { against: 'control', title: 'accepted, reset at once' },
  kernel: { against: 'control', title: 'refused by the kernel' },
  held: { against: 'control', title: 'held for 1 s, then reset' },
  reset6: { against: 'control6', title: 'IPv6 only, reset at once' },
} as const satisfies Partial<Record<Layout, { against: Layout; title: string }>>
export type Column = keyof typeof COLUMNS

/** The promise's own steps: added by us; and with the pause that OpenSMTPD makes by itself. */
const STEPS_MS = [500, 1500, 3000, 4000, 10_000] as const

/** The middle one. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) / 2)] ?? Number.NaN
}

/** The first step that is not passed. */
export function stepOf(ms: number): string {
  const step = STEPS_MS.find((each) => ms <= each)
  return step === undefined ? 'too late' : `≤ ${step / 1000} s`
}

export function table(rows: readonly Row[]): string {
  const columns = Object.keys(COLUMNS) as Column[]
  const head = ['sender', 'version', ...columns.map((column) => COLUMNS[column].title)]
  const body = rows.map(({ name, version, cells }) => [name, version, ...columns.map((column) => cells[column] ?? '')])
  const all = [head, ...body]
  const widths = head.map((_, i) => Math.max(...all.map((line) => line[i]?.length ?? 0)))
  const spell = (line: readonly string[]) => `| ${line.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(' | ')} |`
  return [spell(head), `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`, ...body.map(spell)].join('\n')
}

/** The rows of a table without their versions: those are as old as the packages of the day. */
export function verdictsIn(page: string): string[] {
  const rows = page.split('\n').filter((line) => line.startsWith('| '))
  return rows.map((line) => {
    const [name, , ...cells] = line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim())
    return [name, ...cells].join(' | ')
  })
}
