/**
 * A listing: the words that stand about a client, each until its own end.
 *
 * The rules' word is of now; a listing is made once and kept. Each word that the sum reaches stands at least the time the
 * rules give it, and as long as the sum stays above its threshold; a lesser verdict never shortens it. So when a block ends,
 * the deferral that was reached with it stands on, if it is still due, and nothing flaps with the fading of a sum.
 *
 * The same is kept for the sum of the rules in mode enforce alone: only that refuses anybody. What all rules together
 * reach is told as what would have been.
 */
import type { Instant } from './evidence.ts'
import { type Rules, type Standing, STANDINGS } from './rules.ts'
import type { Reached, Verdict } from './verdict.ts'

export type Stand = { readonly word: Standing; readonly until: Instant }

export type Listing = {
  /** When the heaviest of its words began to stand. */
  readonly since: Instant
  /** What all rules together say, the heaviest first. */
  readonly stands: readonly Stand[]
  /** What the rules in mode enforce say alone, the heaviest first. */
  readonly enforced: readonly Stand[]
}

/** The listing after a verdict. Undefined: nothing stands. */
export function renew(
  standing: Listing | undefined,
  verdict: Verdict,
  rules: Rules,
  now: Instant,
): Listing | undefined {
  if (verdict.word === 'allow' || verdict.never) return undefined
  const stands = joined(standing?.stands ?? [], verdict.reached, rules, now)
  const heaviest = stands[0]
  if (!heaviest) return undefined
  const before = standOf(standing?.stands ?? [], now)
  return {
    since: standing && before && !isHeavier(heaviest.word, before.word) ? standing.since : now,
    stands,
    enforced: joined(standing?.enforced ?? [], verdict.enforced, rules, now),
  }
}

export function isHeavier(word: Standing, than: Standing): boolean {
  return STANDINGS.indexOf(word) < STANDINGS.indexOf(than)
}

/** The heaviest word that still stands. */
export function standOf(stands: readonly Stand[], now: Instant): Stand | undefined {
  return stands.find(({ until }) => until > now)
}

/** When nothing of it stands any more. */
export function endOf({ stands }: Pick<Listing, 'stands'>): Instant {
  return Math.max(0, ...stands.map(({ until }) => until))
}

/** The heaviest word that is to be told to askers: enforced by its rules, and by the mode of the word itself. */
export function effectOf(
  { enforced }: Pick<Listing, 'enforced'>,
  { modes }: Pick<Rules, 'modes'>,
  now: Instant,
): 'pass' | Standing {
  return enforced.find(({ word, until }) => until > now && modes[word] === 'enforce')?.word ?? 'pass'
}

function joined(old: readonly Stand[], reached: readonly Reached[], rules: Rules, now: Instant): Stand[] {
  return STANDINGS.flatMap((word): Stand[] => {
    const stood = old.find((each) => each.word === word)?.until ?? 0
    const hit = reached.find((each) => each.word === word)
    const until = Math.max(stood, hit ? Math.max(now + rules.standsMs[word], hit.clearsAt) : 0)
    return until > now ? [{ word, until }] : []
  })
}
