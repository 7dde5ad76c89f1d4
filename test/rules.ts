/** The rules that we ship, as the daemon reads them. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { spellProblem } from '../src/core/document.ts'
import { type Answers, readRules, type Rules } from '../src/core/rules.ts'

/** How the rules that we ship tell their verdicts. */
export const ANSWERS: Answers = shippedRules().answers

export function shippedRules(file = 'rules.yaml'): Rules {
  const read = readRules(file, readFileSync(join(import.meta.dirname, '..', file), 'utf8'))
  if (!read.ok) throw new Error(read.problems.map(spellProblem).join('\n'))
  return read.rules
}
