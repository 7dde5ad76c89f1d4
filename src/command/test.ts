/**
 * `decoymx test`: stories kept beside the rules, told under those rules. One line for each story, two for each
 * expectation that was not met, which rules no case reaches, and a closing count.
 *
 * Places are printed as `file:line`, which editors jump to. Exit code 0: all that was expected came true; else 1. A
 * story that cannot be read is a failure, and so is having none: nobody should believe rules that nothing has tried.
 */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Screen } from '../console/terminal.ts'
import type { Problem } from '../core/document.ts'
import { readRules, type Rules } from '../core/rules.ts'
import { type Outcome, readStory, runStory } from '../core/story.ts'
import { readText } from './reading.ts'

export type TestOptions = {
  readonly rulesFile: string
  /** Story files, and folders of them. */
  readonly cases: readonly string[]
  readonly json: boolean
  readonly screen: Screen
  readonly problems: (all: readonly Problem[]) => void
}

export async function runTests({ rulesFile, cases, json, screen, problems }: TestOptions): Promise<number> {
  const read = opened(rulesFile, readRules)
  if (!read.ok) {
    if (json) screen.print(JSON.stringify({ ok: false, problems: read.problems }, null, 2))
    else problems(read.problems)
    return 1
  }
  const told = (await Promise.all(cases.map(filesOf))).flat().map((file) => tell(file, read.rules))
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
  const { never, excused } = coverage
  if (never.length > 0)
    screen.print(yellow(`no case reaches: ${never.join(', ')} (${never.length} of ${read.rules.list.length} rules)`))
  if (excused.length > 0) screen.print(yellow(`only excused, never counted: ${excused.join(', ')}`))
  const unreadable = told.filter((each) => each.problems.length > 0).length
  const closing = [
    counted(told.length - unreadable, 'story', 'stories'),
    counted(outcomes.length, 'expectation'),
    `${failed} failed`,
    ...(unreadable > 0 ? [`${counted(unreadable, 'file')} not readable`] : []),
  ]
  screen.print((good ? green : red)(closing.join(', ')))
  return good ? 0 : 1
}

type Told = {
  readonly file: string
  readonly title: string
  readonly problems: readonly Problem[]
  readonly outcomes: readonly Outcome[]
}

function tell(file: string, rules: Rules): Told {
  const read = opened(file, readStory)
  if (!read.ok) return { file, title: file, problems: read.problems, outcomes: [] }
  return { file, title: read.story.title, problems: [], outcomes: runStory(read.story, rules) }
}

function show(
  { file, title, problems: wrong, outcomes }: Told,
  { print, colours }: Screen,
  problems: TestOptions['problems'],
): void {
  const { red, green, dim } = colours
  if (wrong.length > 0) return problems(wrong)
  const failures = outcomes.filter(({ ok }) => !ok)
  print(`${failures.length > 0 ? red('FAILED') : green('ok')}  ${title}  ${dim(file)}`)
  for (const { line, expected, got, because } of failures) {
    print(`  ${file}:${line}: expected ${expected}`)
    print(`    got ${got}${because ? dim(`: ${because}`) : ''}`)
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

/** What of the cases does not come true under these rules, each in its place. */
export async function failuresOf(cases: readonly string[], rules: Rules): Promise<Problem[]> {
  const files = (await Promise.all(cases.map(filesOf))).flat()
  return files.flatMap((file): readonly Problem[] => {
    const { problems, outcomes } = tell(file, rules)
    const failed = outcomes.filter(({ ok }) => !ok)
    return [
      ...problems,
      ...failed.map(({ line, expected, got, because }) => {
        const message = `expected ${expected}; got ${got}${because ? `: ${because}` : ''}`
        return { file, line, column: 1, code: 'R021' as const, message }
      }),
    ]
  })
}

/** A file, or what a folder has of them, by name. */
async function filesOf(path: string): Promise<string[]> {
  const found = await stat(path).catch(() => undefined)
  if (!found?.isDirectory()) return [path]
  const names = await readdir(path)
  return names
    .filter((name) => /\.ya?ml$/.test(name))
    .toSorted()
    .map((name) => join(path, name))
}

type Unread = { readonly ok: false; readonly problems: readonly Problem[] }

type Reader<Reading> = (file: string, source: string) => Reading

function opened<Reading>(file: string, read: Reader<Reading>): Reading | Unread {
  const text = readText(file)
  return text.ok ? read(file, text.source) : text
}

function counted(n: number, one: string, many = `${one}s`): string {
  return `${n} ${n === 1 ? one : many}`
}
