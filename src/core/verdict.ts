/**
 * judge: what the rules say of a client, given its facts, now. Allow, observe, defer, block, or clean.
 *
 * The sum is the whole of it: every rule that holds adds its weight, faded by age, and the sum meets the thresholds. Each
 * rule that saw anything leaves a Reason, with its arithmetic, so that a verdict can be retold to the sender it refuses.
 *
 * Pure: the daemon, `why` and `test` call this same function.
 */
import type { Client } from './client.ts'
import { holdsUntil, lackingOf, spellCondition } from './condition.ts'
import { type Credit, creditOf, LATE_MS } from './credit.ts'
import type { Instant, Kind } from './evidence.ts'
import { type Bucket, type Counts, FACT_NAMES, type FactName, type Facts, HOUR_MS } from './facts.ts'
import { DEFERRED_MS, INEXCUSABLE } from './outage.ts'
import type { Member, Membership } from './pools.ts'
import { type AllowEntry, allowedBy, type Rule, type Rules, type Standing, STANDINGS } from './rules.ts'

export type Reason = {
  readonly rule: string
  /** What this rule adds to the sum, now; 0 for a note, and for what is waived. */
  readonly weight: number
  /** Sightings (or hours) that counted. */
  readonly count: number
  /** Sightings (or hours) that would have counted without an excuse. */
  readonly waived: number
  /** Why they did not: an operator has released it lately, its good credit, it (or a neighbour) was at the real MX before, or it at the primary; it is of a pool, or may be. */
  readonly excuse: Excuse | undefined
  /** Its weight is this part of what it would be: below 1 for a member of a pool. */
  readonly factor: number
  readonly last: Instant
  readonly because: string
  /** A rule in mode observe is shown, and does not count towards what is enforced. */
  readonly mode: Rule['mode']
  /** Line of the rule in the rules file. */
  readonly line: number
}

/** A rule that saw something, and adds nothing because its condition does not hold. */
export type Unmet = {
  readonly rule: string
  readonly count: number
  /** What it would add now, if it held. */
  readonly weight: number
  /** The condition, or those of its parts that do not hold, as they read. */
  readonly lacks: string
  readonly last: Instant
  readonly because: string
  readonly mode: Rule['mode']
  readonly line: number
}

/** A threshold that the sum reaches, and when it falls below it if nothing more is seen. */
export type Reached = { readonly word: Standing; readonly clearsAt: Instant }

export type Excuse = 'release' | 'credit' | 'real-mx' | 'primary' | 'pool' | 'identity'

/** In which way a client is believed now, whatever its rules' excuses. */
type Belief = { readonly good: boolean; readonly released: boolean; readonly member: Member }

export type Verdict = {
  readonly word: 'clean' | 'allow' | Standing
  /** The sum of all rules, and of those in mode enforce. */
  readonly score: number
  readonly enforcedScore: number
  /** The sum at which a client is refused. */
  readonly threshold: number
  readonly reasons: readonly Reason[]
  /** What it has earned by walking the right way. */
  readonly credit: Credit
  /** When the sum falls below the threshold of this word, if nothing more is seen. */
  readonly clearsAt: Instant | undefined
  /** Every word that all rules together reach, the heaviest first; and those that the enforced ones reach alone. */
  readonly reached: readonly Reached[]
  readonly enforced: readonly Reached[]
  /** The pool that it belongs to. */
  readonly member: Membership | undefined
  readonly allowedBy: AllowEntry | undefined
  /** Why it can never be listed, if so. */
  readonly never: string | undefined
}

export function judge(client: Client, facts: Facts, rules: Rules, now: Instant): Verdict {
  const credit = creditOf(facts, rules.credit, now)
  const { member } = facts
  const trials = triedBy(facts, rules, credit, now, 'holds')
  const reasons = trials.map((trial) => reasonOf(trial, now))
  const enforcedReasons = reasons.filter(({ mode }) => mode === 'enforce')
  const plain: Verdict = {
    word: 'clean',
    score: sum(reasons),
    enforcedScore: sum(enforcedReasons),
    threshold: rules.thresholds.block,
    reasons,
    credit,
    clearsAt: undefined,
    reached: [],
    enforced: [],
    member: isMember(member) ? member : undefined,
    allowedBy: undefined,
    never: undefined,
  }

  const entry = allowedBy(rules, client, now)
  if (entry) return { ...plain, word: 'allow', allowedBy: entry }
  const never = rules.never(client)
  if (never) return { ...plain, never }
  const reached = reachedBy(plain.score, trials, rules, now)
  const heaviest = reached[0]
  if (!heaviest) return plain
  const alike = enforcedReasons.length === reasons.length
  const inForce = trials.filter(({ rule }) => rule.mode === 'enforce')
  const enforced = alike ? reached : reachedBy(plain.enforcedScore, inForce, rules, now)
  return { ...plain, word: heaviest.word, clearsAt: heaviest.clearsAt, reached, enforced }
}

/** The rules that would add something, but for their condition: whoever adds up what was seen must be told what lacks. */
export function unmetBy(facts: Facts, rules: Rules, now: Instant): Unmet[] {
  return triedBy(facts, rules, creditOf(facts, rules.credit, now), now, 'lacks').flatMap((trial) => {
    const { rule, marks, last } = trial
    if (!rule.when || marks.length === 0) return []
    const { rule: name, count, because, mode, line } = reasonOf(trial, now)
    const weight = weightOf({ ...trial, endsAt: Infinity }, now)
    const lacks = spellCondition(lackingOf(rule.when, facts, rule.windowMs, now, last))
    return [{ rule: name, count, weight, lacks, last, because, mode, line }]
  })
}

/**
 * Could what these facts hold reach the lowest threshold, if none of it had faded and nothing excused it? Where not, judge lists nobody,
 * and whoever has millions to judge need not ask it.
 */
export function mayReach({ own }: Facts, { list, thresholds }: Rules): boolean {
  let most = 0
  for (const rule of list) {
    let weight = 0
    for (const fact of rule.counts)
      for (const bucket of own.get(fact) ?? []) weight += timesOf(bucket, rule) * rule.weight
    most += Math.min(weight, rule.cap)
    if (rounded(most) >= thresholds.observe) return true
  }
  return false
}

function reachedBy(score: number, trials: readonly Trial[], { thresholds }: Rules, now: Instant): Reached[] {
  const reached: Reached[] = []
  // The heaviest first: a lesser word clears no sooner.
  for (const word of STANDINGS) {
    if (score < thresholds[word]) continue
    const clearsAt = whenBelow(thresholds[word], trials, now, reached.at(-1)?.clearsAt)
    reached.push({ word, clearsAt })
  }
  return reached
}

const MINUTE_MS = 60_000

/** What a rule found in the facts: its weight at any later time is made of that, if nothing more is seen. */
type Trial = {
  readonly rule: Rule
  readonly factor: number
  /** Buckets that count: each for its sightings, or for an hour. */
  readonly marks: readonly Bucket[]
  readonly waived: number
  readonly excuse: Excuse | undefined
  readonly last: Instant
  /** When its condition ends, if nothing more is seen; no later than now: it does not hold. */
  readonly endsAt: Instant
}

/** The rules that find anything to count, or to waive, and whose condition holds, or does not. */
function triedBy(facts: Facts, rules: Rules, { good }: Credit, now: Instant, condition: 'holds' | 'lacks'): Trial[] {
  const { member } = facts
  const belief = { good, released: (facts.releasedUntil ?? 0) > now, member }
  const factor = isMember(member) ? rules.pools.factor : 1
  const trials: Trial[] = []
  for (const rule of rules.list) {
    const trial = rule.counts.some((fact) => facts.own.has(fact)) && tryRule(rule, facts, belief, factor, now)
    if (trial && trial.endsAt > now === (condition === 'holds')) trials.push(trial)
  }
  return trials
}

function tryRule(rule: Rule, facts: Facts, belief: Belief, factor: number, now: Instant): Trial | undefined {
  const marks: Bucket[] = []
  let [waived, last] = [0, 0]
  let excuse: Excuse | undefined
  const excuses = excusesOf(rule, facts, belief)
  for (const fact of rule.counts)
    for (const bucket of facts.own.get(fact) ?? []) {
      if (now - bucket.last >= rule.windowMs) continue
      last = Math.max(last, bucket.last)
      let found: Excuse | undefined
      for (const excusing of excuses) if ((found = excusing(bucket))) break
      if (found) {
        waived += timesOf(bucket, rule)
        excuse ??= found
      } else marks.push(bucket)
    }
  if (marks.length + waived === 0) return undefined
  const endsAt = rule.when ? holdsUntil(rule.when, facts, rule.windowMs, now, last) : Infinity
  return { rule, factor, marks, waived, excuse, last, endsAt }
}

/** How much a bucket counts: an hour, or each of its sightings. */
function timesOf({ count }: Bucket, { each }: Rule): number {
  return each === 'hour' ? 1 : count
}

function reasonOf(trial: Trial, now: Instant): Reason {
  const { rule, factor, marks, waived, excuse, last } = trial
  const { name, because, mode, line } = rule
  const count = marks.reduce((total, bucket) => total + timesOf(bucket, rule), 0)
  return { rule: name, because, mode, line, weight: weightOf(trial, now), count, waived, excuse, factor, last }
}

function weightOf({ rule, factor, marks, endsAt }: Trial, at: Instant): number {
  if (at >= endsAt) return 0
  const { windowMs, halfLifeMs } = rule
  let weight = 0
  for (const bucket of marks) {
    const age = at - bucket.last
    if (age < windowMs) weight += timesOf(bucket, rule) * rule.weight * 0.5 ** (Math.max(0, age) / halfLifeMs)
    // More of the same adds nothing.
    if (weight >= rule.cap) break
  }
  return Math.min(weight, rule.cap) * factor
}

/** The same at any time from now on, for whoever asks many times: all marks of a rule fade alike, so each is weighed once. */
function fadeOf(trial: Trial, now: Instant): (at: Instant) => number {
  const { rule, factor, marks, endsAt } = trial
  const { windowMs, halfLifeMs, cap } = rule
  // What is told ahead of its time has not begun to fade.
  if (marks.some(({ last }) => last > now)) return (at) => weightOf(trial, at)
  const weights = marks.map((bucket) => timesOf(bucket, rule) * rule.weight * 0.5 ** ((now - bucket.last) / halfLifeMs))
  return (at) => {
    if (at >= endsAt) return 0
    let weight = 0
    for (let i = 0; i < marks.length; i++) if (at - (marks[i] as Bucket).last < windowMs) weight += weights[i] as number
    return Math.min(weight * 0.5 ** ((at - now) / halfLifeMs), cap) * factor
  }
}

/**
 * What can excuse the buckets of a rule, the first that holds; none for most clients, which were never at the real MX. If the
 * client, or its network, was there before and not refused, then whatever sent it to the backup may have been the real MX
 * itself. If it was at the primary, then it walks the right way, and may have found the real MX out of reach, which no witness
 * of ours can see. What comes afterwards does not excuse what came before.
 */
function excusesOf(rule: Rule, facts: Facts, { released, good, member }: Belief): readonly Excusing[] {
  if (released && mayBeHonest(rule)) return [() => 'release']
  if (rule.kind === 'order' && good) return [() => 'credit']
  // Its next try comes from another address: of one address the order tells nothing. Nor while nobody knows whose it is.
  if (rule.kind === 'order' && member) return [() => (isMember(member) ? 'pool' : 'identity')]
  const { unlessWalkedMs: walked, unlessSeenMs: seen, counts } = rule
  const anywhere = (fact: FactName) => facts.own.has(fact) || facts.network.has(fact)
  const excuses: Excusing[] = []
  if (walked !== undefined && WALKED.some((fact) => facts.own.has(fact)))
    excuses.push((bucket) => (before(facts.own, WALKED, bucket, walked, LATE_MS) ? 'primary' : undefined))
  if (seen !== undefined && SEEN.some(anywhere))
    excuses.push((bucket) => (atRealMx(facts, SEEN, bucket, seen) ? 'real-mx' : undefined))
  // Whatever the rules say: our own "later" must never feed our own evidence.
  if (DEFERRED.some(anywhere) && counts.every((fact) => !NEVER_EXCUSED.has(fact)))
    excuses.push((bucket) => (atRealMx(facts, DEFERRED, bucket, DEFERRED_MS) ? 'real-mx' : undefined))
  return excuses
}

type Excusing = (bucket: Bucket) => Excuse | undefined

/** Was it, or its network, told any of these at the real MX so long before? */
function atRealMx({ own, network }: Facts, what: readonly FactName[], bucket: Bucket, withinMs: number): boolean {
  return before(own, what, bucket, withinMs, 0) || before(network, what, bucket, withinMs, 0)
}

function isMember(member: Member): member is Membership {
  return typeof member === 'object'
}

const NEVER_EXCUSED: ReadonlySet<FactName> = new Set(
  FACT_NAMES.filter((name) => INEXCUSABLE.has(name.slice(name.indexOf('.') + 1) as Kind)),
)

const DEFERRED: readonly FactName[] = ['real.deferred']

/** Does the rule know honest reasons for what it counts? Then a release excuses it; what no mail server does it does not. */
function mayBeHonest({ kind, unlessSeenMs, unlessWalkedMs }: Rule): boolean {
  return kind === 'order' || unlessSeenMs !== undefined || unlessWalkedMs !== undefined
}

const SEEN: readonly FactName[] = ['real.passed', 'real.deferred']
const WALKED: readonly FactName[] = ['primary.contact']

/** Was any of these seen no longer than this before the bucket's sightings? News of it may be late. */
function before(counts: Counts, facts: readonly FactName[], bucket: Bucket, withinMs: number, lateMs: number): boolean {
  const [from, to] = [bucket.first - withinMs, bucket.last + lateMs]
  for (const fact of facts) {
    const buckets = counts.get(fact)
    if (!buckets) continue
    // They rise by the hour: all before one that is too old are older.
    for (let i = buckets.length - 1; i >= 0; i--) {
      const { first, last } = buckets[i] as Bucket
      if (last < from) break
      if (first <= to) return true
    }
  }
  return false
}

/**
 * The first minute at which the sum is below `threshold`, no sooner than below a `heavier` one: believed as it is now it only
 * falls while nothing is seen, so halving finds it. That credit fades, and a release ends, is no reason to hold anybody longer.
 */
function whenBelow(threshold: number, trials: readonly Trial[], now: Instant, heavier: Instant | undefined): Instant {
  const weighing = trials.filter(({ rule, marks }) => rule.weight !== 0 && marks.length > 0)
  const fades = weighing.map((trial) => fadeOf(trial, now))
  const holds = (at: Instant) => rounded(fades.reduce((total, weightAt) => total + weightAt(at), 0)) >= threshold
  // Where both fall at one stroke, as with the end of a window, both clear in the same minute.
  if (heavier !== undefined && !holds(heavier)) return heavier
  let [low, high] = [heavier ?? now, now + Math.max(HOUR_MS, ...weighing.map(({ rule }) => rule.windowMs))]
  while (high - low > MINUTE_MS) {
    const middle = Math.floor((low + high) / 2)
    if (holds(middle)) low = middle
    else high = middle
  }
  return high
}

function sum(reasons: readonly Reason[]): number {
  return rounded(reasons.reduce((total, reason) => total + reason.weight, 0))
}

/** So that 0.1 + 0.2 meets a threshold of 0.3, and people can add the printed weights up. */
function rounded(total: number): number {
  return Math.round(total * 100) / 100
}
