/**
 * What is said of the boxes that share our store: do they run the same rules? They add to the same decisions, so where the rules
 * differ, a client is listed or released by whoever judged it last.
 */
import type { StatusView } from '../../daemon/status-view.ts'
import { type Finding, ok, warn } from './finding.ts'

type View = Pick<StatusView, 'rules' | 'box'> & {
  readonly reputation: Pick<StatusView['reputation'], 'store' | 'neighbours'>
}

/** So many are named. */
const NAMED_MAX = 3
const NEXT = 'put the same rules.yaml on each, then decoymx reload there'

export function otherBoxes(view: View): Finding[] {
  if (view.reputation.store !== 'redis') return []
  const seen = otherRules(view)
  if (seen !== undefined) return [warn('boxes', seen, NEXT)]
  const { length } = view.reputation.neighbours
  if (length === 0) return [ok('boxes', 'no other box has told us of its rules lately')]
  return [ok('boxes', `${sharers(length)} the store and ${length === 1 ? 'runs' : 'run'} the same rules`)]
}

function otherRules({ rules, reputation }: View): string | undefined {
  const others = reputation.neighbours.filter((each) => each.rules !== rules.digest)
  if (others.length === 0) return undefined
  const names = others.slice(0, NAMED_MAX).map((each) => `${each.host} (box ${each.box}, rules ${each.rules})`)
  const more = others.length > NAMED_MAX ? `, and ${others.length - NAMED_MAX} more` : ''
  const runs = others.length === 1 ? 'runs' : 'run'
  return `${names.join(', ')}${more} ${runs} other rules than we do (${rules.digest}): the same clients are listed by one and freed by the other`
}

/** For the line about the rules in `status`. */
export function sameRules({ rules, reputation }: View): string {
  const { length } = reputation.neighbours.filter((each) => each.rules === rules.digest)
  return length === 0 ? '' : `; the same on ${length} other ${length === 1 ? 'box' : 'boxes'}`
}

const sharers = (boxes: number) => (boxes === 1 ? '1 other box shares' : `${boxes} other boxes share`)
