/**
 * `check`: are settings and rules sound? Every problem at once, as `file:line:col: message`, and what is most likely not meant,
 * as warnings. Exit 0 or 1; with `strict` warnings count, too.
 */
import { tellProblems } from '../console/problems.ts'
import { type Screen, wrapped } from '../console/terminal.ts'
import { restingRules, reviewRules, type Unseen } from '../core/review.ts'
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
  const unseen: Unseen = read.ok ? unseenUnder(read.settings) : () => undefined
  const warnings = read.ok ? reviewRules(read.rules, read.placeOf, now(), unseen) : []
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
      const resting = restingRules(read.rules, unseen)
      const rest =
        resting &&
        `${resting.rules.length} of the rules count nothing on this host: ${resting.because}; they weigh once it has`
      for (const line of rest === undefined ? [] : wrapped(rest, screen.width, 0)) screen.print(line)
    }
  }
  return ok ? 0 : 1
}
