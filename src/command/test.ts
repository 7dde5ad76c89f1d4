/**
 * `decoymx test`: stories kept beside the rules, told under those rules. One line for each story, two for each
 * expectation that was not met, which rules no case reaches, and a closing count.
 *
 * Places are printed as `file:line`, which editors jump to. Exit code 0: all that was expected came true; else 1. A
 * story that cannot be read is a failure, and so is having none: nobody should believe rules that nothing has tried.
 */
import { counted, hanging, type Screen } from '../console/terminal.ts'
import type { Problem } from '../core/document.ts'
import type { Rules } from '../core/rules.ts'
import type { Outcome } from '../core/story.ts'
import { tellCases, type Told } from '../settings/cases.ts'
import { readRulesFile } from '../settings/checked.ts'

export type TestOptions = {
  readonly rulesFile: string
  /** Story files, and folders of them. */
  readonly cases: readonly string[]
  readonly json: boolean
  readonly screen: Screen
  readonly problems: (all: readonly Problem[]) => void
}

export async function runTests({ rulesFile, cases, json, screen, problems }: TestOptions): Promise<number> {
  const read = readRulesFile(rulesFile)
  if (!read.ok) {
    if (json) screen.print(JSON.stringify({ ok: false, problems: read.problems }, null, 2))
    else problems(read.problems)
    return 1
  }
  const told = await tellCases(cases, read.rules)
  const unread = told.flatMap((each) => each.problems)
  const outcomes = told.flatMap((each) => each.outcomes)
  const failed = outcomes.filter(({ ok }) => !ok).length
  const good = failed + unread.length === 0 && outcomes.length > 0
  const coverage = coverageOf(outcomes, read.rules)
  if (json) {
    const stories = told.map(({ file, title, outcomes }) => ({
      file,
      title,
      failures: outcomes.filter(({ ok }) => !ok),
    }))
    screen.print(
      JSON.stringify({ ok: good, expectations: outcomes.length, failed, problems: unread, stories, coverage }, null, 2),
    )
    return good ? 0 : 1
  }
  for (const each of told) show(each, screen, problems)
  const { red, green, yellow } = screen.colours
  const unreadable = told.filter((each) => each.problems.length > 0).length
  const { never, excused } = coverage
  const remark = (text: string) => {
    for (const line of hanging('', text, screen.width, 4)) screen.print(yellow(line))
  }
  if (never.length > 0 && (unreadable === 0 || told.length > unreadable))
    remark(`no case reaches: ${never.join(', ')} (${never.length} of ${read.rules.list.length} rules)`)
  if (excused.length > 0) remark(`only excused, never counted: ${excused.join(', ')}`)
  const closing = [
    counted(told.length - unreadable, 'story', 'stories'),
    counted(outcomes.length, 'expectation'),
    `${failed} failed`,
    ...(unreadable > 0 ? [`${counted(unreadable, 'file')} not readable`] : []),
  ]
  screen.print((good ? green : red)(closing.join(', ')))
  return good ? 0 : 1
}

function show(
  { file, title, problems: wrong, outcomes }: Told,
  { print, colours, width }: Screen,
  problems: TestOptions['problems'],
): void {
  const { red, green, dim } = colours
  if (wrong.length > 0) return problems(wrong)
  const failures = outcomes.filter(({ ok }) => !ok)
  const say = (head: string, text: string, margin: number) => {
    for (const each of hanging(head, text, width, margin)) print(each)
  }
  say(`${failures.length > 0 ? red('FAILED') : green('ok')}  `, `${title}  ${dim(file)}`, 4)
  for (const { line, expected, got, because } of failures) {
    say('  ', `${file}:${line}: expected ${expected}`, 4)
    say('    ', `got ${got}${because ? dim(`: ${because}`) : ''}`, 6)
  }
}

/** Which rules the cases reach where something is expected: counted there, only excused, or never. */
function coverageOf(outcomes: readonly Outcome[], { list }: Rules) {
  const reached = new Set(outcomes.flatMap((each) => each.counted))
  const waived = new Set(outcomes.flatMap((each) => each.excused))
  const names = list.map(({ name }) => name)
  return {
    counted: names.filter((name) => reached.has(name)),
    excused: names.filter((name) => !reached.has(name) && waived.has(name)),
    never: names.filter((name) => !reached.has(name) && !waived.has(name)),
  }
}
