/**
 * Lines of which a stranger can cause as many as he likes: of each subject the first at once, then one a minute, which
 * says how many were left out. So the log names the trouble and can neither be flooded nor hide a second one behind it.
 *
 * At most SUBJECTS_MAX subjects are remembered; one that falls out begins anew. Metrics count them all.
 */
import { LRUCache } from 'lru-cache'

const EVERY_MS = 60_000
const SUBJECTS_MAX = 100

/** Gives how many were left out since the last line about this subject, or undefined: leave this one out, too. */
export type Seldom = (subject: string) => number | undefined

export function seldom(now: () => number): Seldom {
  const subjects = new LRUCache<string, { at: number; leftOut: number }>({ max: SUBJECTS_MAX })
  return (subject) => {
    const said = subjects.get(subject)
    if (said && now() - said.at < EVERY_MS) {
      said.leftOut++
      return undefined
    }
    subjects.set(subject, { at: now(), leftOut: 0 })
    return said?.leftOut ?? 0
  }
}
