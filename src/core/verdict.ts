/**
 * judge: what the rules say of a client, given its facts, now. Allow, observe, defer, block, or clean.
 *
 * The sum is the whole of it: every rule that holds adds its weight, faded by age, and the sum meets the thresholds. Each
 * rule that saw anything leaves a Reason, with its arithmetic, so that a verdict can be retold to the sender it refuses.
 *
 * Pure: the daemon, `why` and `test` call this same function.
 */
import { type Client, neverListed } from './client.ts'
import { type Credit, creditOf } from './credit.ts'
import type { Instant } from './evidence.ts'
import { type Bucket, type Counts, type FactName, type Facts, HOUR_MS } from './facts.ts'
import type { AllowEntry, Rule, Rules, Standing } from './rules.ts'

export type Reason = {
  readonly rule: string
  /** What this rule adds to the sum, now; 0 for a note, and for what is waived. */
  readonly weight: number
  /** Sightings (or hours) that counted. */
  readonly count: number
  /** Sightings (or hours) that would have counted without an excuse. */
  readonly waived: number
  /** Why they did not: the client's good credit, or it (or a neighbour) was seen at the real MX before. */
  readonly excuse: 'credit' | 'real-mx' | undefined
  readonly last: Instant
  readonly because: string
  /** Line of the rule in the rules file. */
  readonly line: number
}

export type Verdict = {
  readonly word: 'clean' | 'allow' | Standing
  readonly score: number
  /** The sum at which a client is refused. */
  readonly threshold: number
  readonly reasons: readonly Reason[]
  /** What it has earned by walking the right way. */
  readonly credit: Credit
  /** When the sum falls below the threshold of this word, if nothing more is seen. */
  readonly clearsAt: Instant | undefined
  readonly allowedBy: AllowEntry | undefined
  /** Why it can never be listed, if so. */
  readonly never: string | undefined
}

export function judge(client: Client, facts: Facts, rules: Rules, now: Instant): Verdict {
  const credit = creditOf(facts, rules.credit, now)
  const reasons = rules.list
    .map((rule) => tryRule(rule, facts, credit, now))
    .filter((reason) => reason.count + reason.waived > 0)
  const score = sum(reasons)
  const plain = {
    score,
    threshold: rules.thresholds.block,
    reasons,
    credit,
    clearsAt: undefined,
    allowedBy: undefined,
    never: undefined,
  }

  const entry = rules.allow.find(client)
  if (entry && (entry.until ?? Infinity) > now) return { ...plain, word: 'allow', allowedBy: entry }
  const never = neverListed(client)
  if (never) return { ...plain, word: 'clean', never }
  const word = wordFor(score, rules)
  if (word === 'clean') return { ...plain, word }
  return { ...plain, word, clearsAt: whenBelow(rules.thresholds[word], facts, rules, credit, now) }
}

/** A decision that stands: made once, kept at least `stands` long, prolonged by what comes after. */
export type Listing = { readonly word: Standing; readonly since: Instant; readonly until: Instant }

/**
 * The listing after a verdict. A listing does not flap with the fading of its sum: it stands its time out, grows with
 * new evidence, and a lesser verdict never shortens it. Undefined: nothing stands.
 */
export function renew(
  standing: Listing | undefined,
  verdict: Verdict,
  rules: Rules,
  now: Instant,
): Listing | undefined {
  const old = standing && standing.until > now ? standing : undefined
  if (verdict.word === 'allow' || verdict.never) return undefined
  if (verdict.word === 'clean') return old
  const until = Math.max(now + rules.standsMs[verdict.word], verdict.clearsAt ?? 0)
  if (!old || RANK[verdict.word] > RANK[old.word]) return { word: verdict.word, since: now, until }
  if (RANK[verdict.word] < RANK[old.word]) return old
  return { ...old, until: Math.max(old.until, until) }
}

const RANK: Record<Standing, number> = { observe: 1, defer: 2, block: 3 }

function wordFor(score: number, rules: Rules): 'clean' | Standing {
  const { observe, defer, block } = rules.thresholds
  if (score >= block) return 'block'
  if (score >= defer) return 'defer'
  return score >= observe ? 'observe' : 'clean'
}

function tryRule(rule: Rule, facts: Facts, credit: Credit, now: Instant): Reason {
  const tried = { rule: rule.name, because: rule.because, line: rule.line }
  if (rule.together.length > 0 && !rule.together.some((fact) => recent(facts.own, fact, rule.windowMs, now).length > 0))
    return { ...tried, weight: 0, count: 0, waived: 0, excuse: undefined, last: 0 }

  const believed = rule.kind === 'order' && credit.good
  let [weight, count, waived, last] = [0, 0, 0, 0]
  for (const bucket of rule.counts.flatMap((fact) => recent(facts.own, fact, rule.windowMs, now))) {
    const n = rule.each === 'hour' ? 1 : bucket.count
    last = Math.max(last, bucket.last)
    if (believed || (rule.unlessSeenMs !== undefined && seenBefore(facts, bucket, rule.unlessSeenMs))) {
      waived += n
      continue
    }
    count += n
    weight += n * rule.weight * 0.5 ** (Math.max(0, now - bucket.last) / rule.halfLifeMs)
  }
  const excuse = waived === 0 ? undefined : believed ? 'credit' : 'real-mx'
  return { ...tried, weight: Math.min(weight, rule.cap), count, waived, excuse, last }
}

function recent(counts: Counts, fact: FactName, windowMs: number, now: Instant): readonly Bucket[] {
  return (counts.get(fact) ?? []).filter((bucket) => now - bucket.last < windowMs)
}

/**
 * Was the client, or its network, at the real MX and not refused there before a sighting of this bucket? Then whatever
 * sent it to the backup may have been the real MX itself. What comes afterwards does not excuse what came before.
 */
function seenBefore(facts: Facts, bucket: Bucket, withinMs: number): boolean {
  return [facts.own, facts.network].some((counts) =>
    SEEN.some((fact) =>
      (counts.get(fact) ?? []).some((seen) => seen.first <= bucket.last && seen.last >= bucket.first - withinMs),
    ),
  )
}

const SEEN: readonly FactName[] = ['real.passed', 'real.deferred']

/**
 * The first minute at which the sum is below `threshold`: under the credit of now it only falls while nothing is seen, so
 * halving finds it. That credit fades, too, is no reason to hold anybody longer.
 */
function whenBelow(threshold: number, facts: Facts, rules: Rules, credit: Credit, now: Instant): Instant {
  const holds = (at: Instant) => sum(rules.list.map((rule) => tryRule(rule, facts, credit, at))) >= threshold
  let [low, high] = [now, now + Math.max(HOUR_MS, ...rules.list.map((rule) => rule.windowMs))]
  while (high - low > 60_000) {
    const middle = Math.floor((low + high) / 2)
    if (holds(middle)) low = middle
    else high = middle
  }
  return high
}

/** Rounded so that 0.1 + 0.2 meets a threshold of 0.3, and people can add the printed weights up. */
function sum(reasons: readonly Reason[]): number {
  return Math.round(reasons.reduce((total, reason) => total + reason.weight, 0) * 100) / 100
}
