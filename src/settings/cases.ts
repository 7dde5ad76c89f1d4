/**
 * Cases kept beside the rules: stories in files, read and told under rules. `decoymx test` shows them; before other rules are
 * taken, those that the settings name must come true.
 */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import type { Problem } from '../core/document.ts'
import type { Rules } from '../core/rules.ts'
import { type Outcome, readStory, runStory } from '../core/story.ts'
import { readText } from './reading.ts'

export type Told = {
  readonly file: string
  readonly title: string
  readonly problems: readonly Problem[]
  readonly outcomes: readonly Outcome[]
}

function tell(file: string, rules: Rules): Told {
  const text = readText(file, 'is the path right? a case is a YAML file; a folder stands for all in it')
  const read = text.ok ? readStory(file, text.source) : text
  if (!read.ok) return { file, title: file, problems: read.problems, outcomes: [] }
  return { file, title: read.story.title, problems: [], outcomes: runStory(read.story, rules) }
}

/** All that the cases tell under these rules, file by file; between two of them whatever else waits goes first. */
export async function tellCases(cases: readonly string[], rules: Rules): Promise<Told[]> {
  const told: Told[] = []
  for (const file of (await Promise.all(cases.map(filesOf))).flat()) {
    told.push(tell(file, rules))
    await setImmediate()
  }
  return told
}

/** What of the cases does not come true under these rules, each in its place. */
export async function failuresOf(cases: readonly string[], rules: Rules): Promise<Problem[]> {
  return (await tellCases(cases, rules)).flatMap(({ file, problems, outcomes }): readonly Problem[] => {
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
