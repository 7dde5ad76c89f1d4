/**
 * `check`: are settings and rules sound? Every problem at once, as `file:line:col: message`, and what is most likely not meant,
 * as warnings. Exit 0 or 1; with `strict` warnings count, too.
 */
import { tellProblems } from '../console/problems.ts'
import type { Screen } from '../console/terminal.ts'
import { reviewRules } from '../core/review.ts'
import { readAll, unseenUnder } from '../settings/checked.ts'
import { failuresOf } from '../settings/cases.ts'
import type { Where } from '../settings/settings.ts'

export type CheckOptions = {
  /** Warnings fail, too. */
  readonly strict: boolean
  /** Cases, or folders of them, that must come true under these rules. */
  readonly cases: readonly string[]
  readonly json: boolean
  readonly screen: Screen
  readonly errors: Screen
  readonly now: () => number
}

export async function check(where: Where, env: NodeJS.ProcessEnv, options: CheckOptions): Promise<number> {
  const { strict, cases, json, screen, errors, now } = options
  const read = readAll(where, env)
  const failed = read.ok ? await failuresOf(cases, read.rules) : []
  const problems = read.ok ? failed : read.problems
  const warnings = read.ok ? reviewRules(read.rules, read.placeOf, now(), unseenUnder(read.settings)) : []
  const ok = problems.length + (strict ? warnings.length : 0) === 0
  if (json) screen.print(JSON.stringify({ ok, problems, warnings }, null, 2))
  else {
    if (problems.length + warnings.length > 0) tellProblems([...problems, ...warnings], errors)
    if (ok && read.ok) {
      const { list, mode, file } = read.rules
      const tried = cases.length > 0 ? '; all cases come true' : ''
      screen.print(
        `${screen.colours.green('sound')}  ${where.settings ?? 'settings: defaults'}; ${file}: ${list.length} rules, mode ${mode}${tried}`,
      )
    }
  }
  return ok ? 0 : 1
}
