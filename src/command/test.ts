/**
 * `decoymx test`: stories kept beside the rules, told under those rules. One line for each story, two for each
 * expectation that was not met, and a closing count.
 *
 * Places are printed as `file:line`, which editors jump to. Exit code 0: all that was expected came true; else 1. A
 * story that cannot be read is a failure, and so is having none: nobody should believe rules that nothing has tried.
 */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Screen } from '../console/terminal.ts'
import { type Problem, spellProblem } from '../core/document.ts'
import { readRules, type Rules } from '../core/rules.ts'
import { readStory, runStory } from '../core/story.ts'
import { readText } from './reading.ts'

export type TestOptions = {
  readonly rulesFile: string
  /** Story files, and folders of them. */
  readonly cases: readonly string[]
  readonly screen: Screen
}

export async function runTests({ rulesFile, cases, screen }: TestOptions): Promise<number> {
  const { print, colours } = screen
  const { red, green, dim } = colours
  const complain = (problems: readonly Problem[]) => problems.forEach((problem) => print(red(spellProblem(problem))))
  const read = opened(rulesFile, readRules)
  if (!read.ok) {
    complain(read.problems)
    return 1
  }

  let [stories, expectations, failed, unreadable] = [0, 0, 0, 0]
  for (const file of (await Promise.all(cases.map(filesOf))).flat()) {
    const story = opened(file, readStory)
    if (!story.ok) {
      unreadable++
      complain(story.problems)
      continue
    }
    const outcomes = runStory(story.story, read.rules)
    const failures = outcomes.filter(({ ok }) => !ok)
    stories++
    expectations += outcomes.length
    failed += failures.length
    print(`${failures.length > 0 ? red('FAILED') : green('ok')}  ${story.story.title}  ${dim(file)}`)
    for (const { line, expected, got, because } of failures) {
      print(`  ${file}:${line}: expected ${expected}`)
      print(`    got ${got}${because ? dim(`: ${because}`) : ''}`)
    }
  }

  const good = failed + unreadable === 0 && expectations > 0
  const closing = [
    counted(stories, 'story', 'stories'),
    counted(expectations, 'expectation'),
    `${failed} failed`,
    ...(unreadable > 0 ? [`${counted(unreadable, 'file')} not readable`] : []),
  ]
  print((good ? green : red)(closing.join(', ')))
  return good ? 0 : 1
}

/** What of the cases does not come true under these rules, each in its place. */
export async function failuresOf(cases: readonly string[], rules: Rules): Promise<Problem[]> {
  const files = (await Promise.all(cases.map(filesOf))).flat()
  return files.flatMap((file): readonly Problem[] => {
    const read = opened(file, readStory)
    if (!read.ok) return read.problems
    const failed = runStory(read.story, rules).filter(({ ok }) => !ok)
    return failed.map(({ line, expected, got, because }) => {
      const message = `expected ${expected}; got ${got}${because ? `: ${because}` : ''}`
      return { file, line, column: 1, code: 'R021', message }
    })
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
