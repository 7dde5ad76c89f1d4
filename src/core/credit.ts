/**
 * Follow-through: the credit of who has walked the route of RFC 5321, first the primary, then the real MX.
 *
 * A bot picks one MX; a mail server tries the lowest preference and, refused there, goes on to the next. Nobody can be seen
 * doing so by accident, and it costs an honest sender nothing: so it is the best that we can know of a client. Each hour
 * with a walk adds to its credit, and a little to that of its network, whose other addresses send the retries of a big
 * pool. Credit fades slowly, is renewed by each walk, and is forgotten with the facts it is made of.
 *
 * A client whose credit is good is believed about the order of its visits: rules of kind `order` weigh nothing for it. A
 * violation that no mail server commits counts as ever.
 */
import type { Instant } from './evidence.ts'
import { type Bucket, type Counts, type Facts, HOUR_MS } from './facts.ts'

export type CreditTerms = {
  /** What an hour with a walk adds to the credit of the client, and what to that of its network. */
  readonly walk: number
  readonly network: number
  readonly halfLifeMs: number
  /** The most that its own walks, and those of its network, come to. */
  readonly cap: number
  readonly networkCap: number
  /** From this on it is good. */
  readonly good: number
  /** The real MX this long after the primary is still the same walk. */
  readonly withinMs: number
}

export type Credit = {
  /** What is left of it now: its own and its network's, together. */
  readonly points: number
  readonly own: number
  readonly network: number
  /** Hours with a walk, by the client itself and by its network, itself included. */
  readonly walks: number
  readonly networkWalks: number
  /** The end of the client's own last walk; 0 without. */
  readonly last: Instant
  /** The points from which credit is good, and whether it is. */
  readonly needed: number
  readonly good: boolean
}

/**
 * The kernel tells us of a contact at the primary up to ten seconds late, so a walk may seem to have ended before it
 * began. A little more than that is granted.
 */
export const LATE_MS = 15_000

export function creditOf(facts: Facts, terms: CreditTerms, now: Instant): Credit {
  const walks = walksOf(facts.own, terms.withinMs)
  const networkWalks = walksOf(facts.network, terms.withinMs)
  const own = Math.min(faded(walks, terms.walk, terms.halfLifeMs, now), terms.cap)
  const network = Math.min(faded(networkWalks, terms.network, terms.halfLifeMs, now), terms.networkCap)
  const points = Math.round((own + network) * 100) / 100
  return {
    points,
    own,
    network,
    walks: walks.length,
    networkWalks: networkWalks.length,
    last: Math.max(0, ...walks),
    needed: terms.good,
    good: points >= terms.good,
  }
}

function faded(walks: readonly Instant[], each: number, halfLifeMs: number, now: Instant): number {
  return walks.reduce((sum, at) => sum + each * 0.5 ** (Math.max(0, now - at) / halfLifeMs), 0)
}

/** For each hour in which the real MX was reached by way of the primary: when, as late as is known. */
export function walksOf(counts: Counts, withinMs: number): readonly Instant[] {
  const [starts, ends] = [counts.get('primary.contact'), counts.get('real.passed')]
  if (!starts || !ends) return []
  const hours = Math.ceil(withinMs / HOUR_MS)
  const walks: Instant[] = []
  // Both rise by the hour: the starts that are too old for one end are too old for the next.
  let oldest = 0
  for (const end of ends) {
    while (oldest < starts.length && (starts[oldest] as Bucket).hour < end.hour - hours) oldest++
    let latest = -Infinity
    // Up to one hour later: the contact may have been told late.
    for (let i = oldest; i < starts.length; i++) {
      const start = starts[i] as Bucket
      // Nothing is later than the last of this hour.
      if (start.hour > end.hour + 1 || latest === end.last) break
      latest = Math.max(latest, endOf(start, end, withinMs))
    }
    if (latest > -Infinity) walks.push(latest)
  }
  return walks
}

/** Of the sightings that two hours are known by, the last at the real MX that follows one at the primary closely enough. */
function endOf(start: Bucket, reached: Bucket, withinMs: number): Instant {
  if (follows(reached.last, start, withinMs)) return reached.last
  return follows(reached.first, start, withinMs) ? reached.first : -Infinity
}

function follows(end: Instant, { first, last }: Bucket, withinMs: number): boolean {
  return (end - first >= -LATE_MS && end - first <= withinMs) || (end - last >= -LATE_MS && end - last <= withinMs)
}
