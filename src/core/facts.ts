/**
 * What evidence adds up to, for one client and for its network: counts in hour buckets.
 *
 * A tally only counts up and widens a first and a last time, so tallies can arrive in any order, from any box, and the
 * facts come out the same: shared Redis needs no locks, and a replay ends where the daemon did. Each box numbers its
 * events; a record remembers the last number of each box and lane it has taken in, so that what is sent twice counts
 * once.
 */
import { clientOf, type Evidence, type Instant, type Kind, KIND_NAMES, KINDS, type Role, ROLES } from './evidence.ts'
import { type Numbered, WAIVED_WHYS, type Waived } from './outage.ts'
import type { Member } from './pools.ts'

/**
 * `backup.early-talk`, `real.passed`, ...: the role, a dot, the kind. Rules name facts by this. What the guard waived stands
 * under its reason instead, `outage.recipient`: it can be told of, and no rule can weigh it.
 */
export type FactName = `${Role | Waived['why']}.${Kind}`

export const FACT_NAMES: readonly FactName[] = ROLES.flatMap((role) =>
  (Object.keys(KINDS) as Kind[])
    .filter((kind) => (KINDS[kind].roles as readonly Role[]).includes(role))
    .map((kind): FactName => `${role}.${kind}`),
)

/** The name of what is seen: the same string each time, which maps know by sight. */
function factOf(role: Role | Waived['why'], kind: Kind): FactName {
  return (NAMES[role] as Record<Kind, FactName>)[kind]
}

const NAMES = Object.fromEntries(
  [...ROLES, ...WAIVED_WHYS].map((role) => [
    role,
    Object.fromEntries(KIND_NAMES.map((kind) => [kind, `${role}.${kind}`])),
  ]),
)

/** Sums of facts, under a name of their own that rules may use in place of any fact. */
export const SUMS = {
  'real.contact': {
    of: ['real.passed', 'real.deferred', 'real.refused'],
    what: 'came to the real MX, whatever it was told there',
  },
} as const satisfies Record<string, { readonly of: readonly FactName[]; readonly what: string }>

/** What stands in rules: a fact, or a sum of some. */
export type RuleFact = FactName | keyof typeof SUMS
export const RULE_FACTS: readonly RuleFact[] = [...FACT_NAMES, ...(Object.keys(SUMS) as (keyof typeof SUMS)[])]

/** The facts that a name in the rules stands for. */
export function factsOf(name: RuleFact): readonly FactName[] {
  return name in SUMS ? SUMS[name as keyof typeof SUMS].of : [name as FactName]
}

export function isRuleFact(text: string): text is RuleFact {
  return (RULE_FACTS as readonly string[]).includes(text)
}

/** What was seen at the backup and did not count. */
export const WAIVED_FACTS: readonly FactName[] = WAIVED_WHYS.flatMap((why) =>
  FACT_NAMES.filter((name) => name.startsWith('backup.')).map((name): FactName => `${why}.${kindOf(name)}`),
)

/** Sightings of one fact within one hour (hours since 1970). */
export type Bucket = { readonly hour: number; readonly count: number; readonly first: Instant; readonly last: Instant }

/** One record's facts; buckets in rising order of hours. */
export type Counts = ReadonlyMap<FactName, readonly Bucket[]>

/** What is known of a client: its own counts, and those of its whole network, itself included. */
export type Facts = {
  readonly own: Counts
  readonly network: Counts
  /** An operator has released it: until then it is believed about what may have honest reasons. */
  readonly releasedUntil?: Instant | undefined
  /** The pool of senders that it belongs to, as far as DNS has said. */
  readonly member?: Member
}

export const NO_COUNTS: Counts = new Map()
export const NO_FACTS: Facts = { own: NO_COUNTS, network: NO_COUNTS }

/** One addition to the record of a client and to that of its network. */
export type Tally = {
  readonly key: string
  readonly network: string
  readonly fact: FactName
  readonly at: Instant
  /** The event's number on the box it was seen at. */
  readonly seq: number
  /** How many sightings it is; without it one. */
  readonly times?: number | undefined
  /**
   * What is seen at one role arrives in rising order of `seq`; what had to wait for a probe, and what was waived, come later,
   * each in an order of its own.
   */
  readonly lane?: 'waited' | 'waived' | undefined
}

export const HOUR_MS = 3_600_000

/** Facts are forgotten this long after their last sighting. No window of a rule may reach further back. */
export const RETENTION_MS = 31 * 24 * HOUR_MS

/** Most buckets that one record keeps; beyond it the oldest hours go first. */
export const BUCKETS_MAX = 1024

/** What a piece of evidence adds; its client, where somebody has read it already. */
export function tally(hit: Numbered | Waived, { key, network } = clientOf(hit.evidence)): Tally {
  const { evidence, seq } = hit
  const { at, kind, times } = evidence
  const why = 'why' in hit ? hit.why : undefined
  const lane = why ? 'waived' : hit.waited ? 'waited' : undefined
  return { key, network, fact: factOf(why ?? evidence.role, kind), at, seq, times, lane }
}

/** The row in which its number rises. A record keeps the last number of each box and lane. */
export function laneOf({ fact, lane }: Tally): string {
  return lane ?? fact.slice(0, fact.indexOf('.'))
}

export function hourOf(at: Instant): number {
  return Math.floor(at / HOUR_MS)
}

/** The counts with one more sighting, or with `times` more of that moment. The stores do the same in their own way; one test suite holds them together. */
export function withSighting(counts: Counts, fact: FactName, at: Instant, times = 1): Counts {
  const own = new Map(counts)
  own.set(fact, [...(counts.get(fact) ?? [])])
  return addSighting(own, fact, at, times)
}

/**
 * The same, added to counts and lists that nobody else holds: a long recording has no time for a copy at every line. A bucket is
 * replaced and never changed, for copies share it.
 */
export function addSighting(counts: Map<FactName, readonly Bucket[]>, fact: FactName, at: Instant, times = 1): Counts {
  const hour = hourOf(at)
  const buckets = (counts.get(fact) ?? []) as Bucket[]
  const newest = buckets.at(-1)
  if (newest?.hour === hour) {
    buckets[buckets.length - 1] = grown(newest, at, times)
    return counts
  }
  if (!newest) counts.set(fact, [{ hour, count: times, first: at, last: at }])
  else if (newest.hour < hour) buckets.push({ hour, count: times, first: at, last: at })
  else {
    const place = buckets.findIndex((bucket) => bucket.hour >= hour)
    const old = buckets[place] as Bucket
    if (old.hour === hour) counts.set(fact, buckets.with(place, grown(old, at, times)))
    else counts.set(fact, buckets.toSpliced(place, 0, { hour, count: times, first: at, last: at }))
  }
  return bounded(counts)
}

function grown({ hour, count, first, last }: Bucket, at: Instant, times: number): Bucket {
  return { hour, count: count + times, first: Math.min(first, at), last: Math.max(last, at) }
}

/**
 * At most BUCKETS_MAX buckets: the oldest hour goes first, of one hour the fact first in the alphabet. The order is
 * total, so that what is kept does not depend on what arrived first.
 */
function bounded(counts: Map<FactName, readonly Bucket[]>): Counts {
  let total = 0
  for (const buckets of counts.values()) total += buckets.length
  for (; total > BUCKETS_MAX; total--) {
    const [fact, buckets] = [...counts].reduce((a, b) => (goesFirst(a, b) ? a : b))
    if (buckets.length === 1) counts.delete(fact)
    else counts.set(fact, buckets.slice(1))
  }
  return counts
}

type Row = readonly [FactName, readonly Bucket[]]

function goesFirst([a, mine]: Row, [b, others]: Row): boolean {
  const [hour, other] = [mine[0]?.hour ?? Infinity, others[0]?.hour ?? Infinity]
  return hour === other ? a < b : hour < other
}

/** The counts without the hours that had begun by then. */
export function countsSince(counts: Counts, at: Instant): Counts {
  const later = [...counts].map(([fact, buckets]) => [fact, buckets.filter(({ first }) => first > at)] as const)
  return new Map(later.filter(([, buckets]) => buckets.length > 0))
}

/** All sightings of a fact that a record holds. */
export function total(counts: Counts, fact: FactName): number {
  return (counts.get(fact) ?? []).reduce((sum, bucket) => sum + bucket.count, 0)
}

/** How often each kind was seen that was seen at all; what was told together counts as often as it was. */
export function countKinds(seen: readonly Evidence[]): Partial<Record<Kind, number>> {
  const counts: Partial<Record<Kind, number>> = {}
  for (const { kind, times = 1 } of seen) counts[kind] = (counts[kind] ?? 0) + times
  return counts
}

/** How often a client came to each role: connections at the decoys, counted or not, questions about it at the real MX. */
export function contactsOf(counts: Counts): Record<Role, number> {
  return {
    primary: total(counts, 'primary.contact'),
    backup: ['backup', ...WAIVED_WHYS].reduce((sum, role) => sum + total(counts, `${role}.contact` as FactName), 0),
    real: total(counts, 'real.passed') + total(counts, 'real.deferred') + total(counts, 'real.refused'),
  }
}

/** When the client was last seen at a decoy, and it counted; 0 if never. */
export function lastAtDecoys(counts: Counts): Instant {
  const decoys = [...counts].filter(([fact]) => fact.startsWith('primary.') || fact.startsWith('backup.'))
  return Math.max(0, ...decoys.flatMap(([, buckets]) => buckets.map((bucket) => bucket.last)))
}

function kindOf(name: FactName): Kind {
  return name.slice(name.indexOf('.') + 1) as Kind
}
