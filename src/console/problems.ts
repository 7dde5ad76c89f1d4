/**
 * Problems of a file as a compiler tells them: the place, what is wrong, the line with a caret below it, and what to do.
 *
 * The first line is `file:line:col: message [CODE]`, which editors jump by; what stands below it is for eyes.
 */
import type { Problem } from '../core/document.ts'
import { asTyped } from './called.ts'
import { counted, hanging, type Screen } from './terminal.ts'

/** Errors first in the order of their places, then warnings. What has no line is a word of the command line. */
export function tellProblems(problems: readonly Problem[], screen: Screen): void {
  const { red, yellow } = screen.colours
  for (const problem of problems) for (const line of told(problem, screen)) screen.print(line)
  const warnings = problems.filter(({ warning }) => warning).length
  const errors = problems.length - warnings
  const sums = [
    ...(errors > 0 ? [red(counted(errors, 'problem'))] : []),
    ...(warnings > 0 ? [yellow(counted(warnings, 'warning'))] : []),
  ]
  const coded = problems.some(({ code }) => code !== undefined)
  screen.print(`${sums.join(', ')}${coded ? screen.colours.dim('; what each code means is in docs/problems.md') : ''}`)
}

function told(problem: Problem, { colours, width }: Screen): string[] {
  const { file, line, column, code, warning, excerpt } = problem
  const message = asTyped(problem.message)
  const hint = problem.hint && asTyped(problem.hint)
  const { bold, dim, red, yellow, cyan } = colours
  const shade = warning ? yellow : red
  // A word of the command line is told as all that is wrong with those is.
  const isTyped = line === 0
  const place = isTyped ? `${file}:` : `${file}:${line}:${column}:`
  const head = `${bold(place)} ${warning ? `${yellow('warning:')} ` : ''}${message}${code ? ` ${dim(`[${code}]`)}` : ''}`
  const heads = isTyped ? hanging(`${red('error')}  `, head, width, 7) : hanging('', head, width, 4)
  const below = hint ? hanging(`  ${dim('=')} `, hint, width, 4).map(cyan) : []
  if (!excerpt) return [...heads, ...below]
  const gutter = String(line)
  const margin = ' '.repeat(gutter.length)
  const before = ` ${margin} | ${' '.repeat(excerpt.column - 1)}${'^'.repeat(excerpt.width)}`
  const fits = hint !== undefined && before.length + 1 + hint.length <= width
  return [
    ...heads,
    ` ${dim(`${gutter} |`)} ${excerpt.text}`.trimEnd(),
    ` ${dim(`${margin} |`)} ${' '.repeat(excerpt.column - 1)}${shade('^'.repeat(excerpt.width))}${fits ? ` ${cyan(hint)}` : ''}`,
    ...(fits ? [] : below),
  ]
}
