/**
 * What `status` remarks on and the console's page of health shows: all that is known not to be well, the gravest first, and
 * notes last.
 */
import type { StatusView } from '../../daemon/status-view.ts'
import { lastPlay } from './canary-check.ts'
import type { Finding } from './finding.ts'
import { knownOf } from './known.ts'

export function remarksOn(view: StatusView, beside: readonly Finding[] = []): Finding[] {
  const findings = [...knownOf(view, Date.now()), ...lastPlay(view), ...beside]
  return (['fail', 'warn', 'note'] as const).flatMap((level) => findings.filter((each) => each.level === level))
}

/** One finding with its next step. Some are a question, or end in somebody else's words. */
export function spellRemark({ seen, next }: Pick<Finding, 'seen' | 'next'>): string {
  return next === null ? seen : `${/[.?!]$/.test(seen) ? seen : `${seen}.`} Next: ${next}`
}
