/**
 * A recording told again: admit, tally and judge, folded over journal entries.
 *
 * The daemon does the same three with a store and a ledger around them; here they are maps. So a story, or a replay
 * under other rules, ends in the verdicts that the daemon would have given. As there, a client is judged when evidence
 * of it at a decoy counts, and a listing then stands its time out; the clock is the recording's own. And as there, each
 * box has a guard of its own, fed by its own looks at the real MX, while the facts of all boxes are one.
 *
 * What was seen does not depend on rules. So a past is told once (`witness`), and several worlds, each with rules of its
 * own, judge it beside each other (`rejudge`). With one world it is `step`.
 *
 * All of these change the world they are given: a copy at every step would make a month's journal quadratic.
 */
import { type Client, clientOfKey } from './client.ts'
import { clientOf, type Entry, type Instant, type Word } from './evidence.ts'
import { addSighting, type Bucket, countsSince, type FactName, type Facts, NO_COUNTS, tally } from './facts.ts'
import { effectOf, type Listing, renew, standOf } from './listing.ts'
import { admit, type Guard, newGuard, type Numbered, type Waived, type Watch } from './outage.ts'
import { covers, Prefixes, parsePrefix, type Prefix } from './prefixes.ts'
import { Latest } from './latest.ts'
import type { Member } from './pools.ts'
import { allowedBy, type Rules, type Standing } from './rules.ts'
import { judge, mayReach, type Verdict } from './verdict.ts'

/** What was seen and said. */
export type Past = {
  /** Who vouches for the real MX at this box? */
  readonly watchAt: (box: string) => Watch
  readonly guards: Map<string, Guard>
  /** What is known by `Client.key`; the one that was touched last comes last. */
  readonly clients: Latest<Kept>
  /** Counts by `Client.network`. */
  readonly networks: Latest<Counts>
  /** What the operator said that stands: allow and block; and whom it released. */
  readonly words: Prefixes<Ruling>
  readonly releases: Prefixes<Ruling>
  /** How many hits the guard let go by, and why. */
  readonly waived: Partial<Record<Waived['why'], number>>
}

/** And what rules make of it. */
export type World = Past & {
  readonly rules: Rules
  /** Who is of a pool of senders: DNS is not asked again, so it is as whoever tells the recording says. */
  readonly memberOf: MemberOf
  /** What the rules said, by `Client.key`. */
  readonly listings: Latest<Listing>
}

export type MemberOf = (client: Client) => Member
const NOBODY: MemberOf = () => undefined

type Counts = Map<FactName, readonly Bucket[]>
type Kept = { counts: Counts; forgottenAt: Instant }
type Ruling = { readonly prefix: Prefix; readonly word: Word }

/** Most clients, networks and listings that are kept; the one touched longest ago is forgotten first. */
export const CLIENTS_MAX = 1_000_000

/** A past in which nothing has been seen. */
export function newPast(watchAt: (box: string) => Watch): Past {
  return {
    watchAt,
    guards: new Map(),
    clients: new Latest(CLIENTS_MAX),
    networks: new Latest(CLIENTS_MAX),
    words: new Prefixes(),
    releases: new Prefixes(),
    waived: {},
  }
}

/** This past, as these rules see it from now on; others may judge it beside them. */
export function worldOf(past: Past, rules: Rules, memberOf = NOBODY): World {
  return { ...past, rules, memberOf, listings: new Latest(CLIENTS_MAX) }
}

/** A world in which nothing has been seen. Watch: who vouches for the real MX? */
export function newWorld(rules: Rules, watch: Watch, memberOf = NOBODY): World {
  return worldOf(
    newPast(() => watch),
    rules,
    memberOf,
  )
}

/** The world after one more entry. */
export function step(world: World, entry: Entry): World {
  rejudge(world, witness(world, entry), entry.event.at)
  return world
}

/** Whom the rules have to judge again, and the keys of those who are forgotten. */
export type Witnessed = { readonly judged: readonly Client[]; readonly forgotten: readonly string[] }

/** Takes one more entry of a box's journal into the past. */
export function witness(past: Past, { seq, event }: Entry, box = ''): Witnessed {
  const before = past.guards.get(box) ?? newGuard(past.watchAt(box))
  const { guard, counted, waived } = admit(before, seq, event)
  past.guards.set(box, guard)
  const atDecoys = new Map<string, Client>()
  for (const hit of counted) {
    const client = count(past, hit)
    if (hit.evidence.role !== 'real') atDecoys.set(client.key, client)
  }
  for (const hit of waived) {
    count(past, hit)
    past.waived[hit.why] = (past.waived[hit.why] ?? 0) + 1
  }
  return { judged: [...atDecoys.values()], forgotten: event.type === 'word' ? heed(past, event) : [] }
}

/** A listing before and after; the verdict that it was made of, unless the client was forgotten. */
export type Change = {
  readonly client: Client
  readonly before: Listing | undefined
  readonly after: Listing | undefined
  readonly verdict: Verdict | undefined
}

/** Has the rules of a world judge what has been witnessed; tells of each client that is listed, or was. */
export function rejudge(
  world: World,
  { judged, forgotten }: Witnessed,
  now: Instant,
  tell?: (change: Change) => void,
): void {
  const { listings, rules } = world
  for (const key of forgotten) {
    const before = listings.get(key)
    if (!before) continue
    listings.delete(key)
    tell?.({ client: clientOfKey(key) as Client, before, after: undefined, verdict: undefined })
  }
  for (const client of judged) {
    const before = listings.get(client.key)
    const facts = factsOf(world, client)
    if (!before && !mayReach(facts, rules)) continue
    const verdict = judge(client, facts, rules, now)
    const after = renew(before, verdict, rules, now)
    if (after) listings.keep(client.key, after)
    else if (before) listings.delete(client.key)
    if (before || after) tell?.({ client, before, after, verdict })
  }
}

/** What stands for a client, and the arithmetic beside it. */
export type Finding = {
  /** The operator's word, else the allow-list's, else that of the listing that stands. */
  readonly word: Verdict['word']
  /** What askers would be told: a word that is enforced, or nothing. */
  readonly effect: 'pass' | Standing
  readonly by: 'operator' | 'rules' | undefined
  readonly until: Instant | undefined
  readonly because: string | undefined
  /** What the rules would say if they were asked now. */
  readonly verdict: Verdict
}

export function verdictOf(world: World, client: Client, now: Instant): Finding {
  const verdict = judge(client, factsOf(world, client), world.rules, now)
  const stands = standingOf(world, client, now)
  const heaviest = verdict.reasons.toSorted((a, b) => b.weight - a.weight)[0]
  return { ...stands, because: stands.because ?? (stands.by && heaviest?.because), verdict }
}

/** What an asker is told: what stands, without the arithmetic. */
export function standingOf(world: World, client: Client, now: Instant): Omit<Finding, 'verdict'> {
  const { rules, listings } = world
  const none = { effect: 'pass', by: undefined, until: undefined } as const
  const allow = operatorsWord(world, client, 'allow', now)
  if (allow) return { ...none, word: 'allow', by: 'operator', until: allow.until, because: allow.because }
  const entry = allowedBy(rules, client, now)
  if (entry) return { ...none, word: 'allow', by: 'rules', until: entry.until, because: entry.because }

  const never = rules.never(client)
  if (never) return { ...none, word: 'clean', because: never }
  const block = operatorsWord(world, client, 'block', now)
  if (block) {
    const effect = rules.modes.block === 'enforce' ? 'block' : 'pass'
    return { word: 'block', effect, by: 'operator', until: block.until, because: block.because }
  }
  const listing = listings.get(client.key)
  const stand = standOf(listing?.stands ?? [], now)
  if (!listing || !stand) return { ...none, word: 'clean', because: undefined }
  const effect = effectOf(listing, rules, now)
  return { word: stand.word, effect, by: 'rules', until: stand.until, because: undefined }
}

export function factsOf(world: World, client: Client): Facts {
  return {
    own: world.clients.get(client.key)?.counts ?? NO_COUNTS,
    network: world.networks.get(client.network) ?? NO_COUNTS,
    releasedUntil: releasedUntil(world, client),
    member: world.memberOf(client),
  }
}

function count(past: Past, hit: Numbered | Waived): Client {
  const client = clientOf(hit.evidence)
  const { fact, at, times } = tally(hit, client)
  const known = past.clients.get(client.key) ?? { counts: new Map(), forgottenAt: lastRelease(past, client) }
  if (at > known.forgottenAt) {
    addSighting(known.counts, fact, at, times)
    past.clients.keep(client.key, known)
  }
  const network = past.networks.get(client.network) ?? new Map()
  addSighting(network, fact, at, times)
  past.networks.keep(client.network, network)
  return client
}

/** A release also forgets what is only heard of afterwards, of a client that nobody knew: its own moment is among it. */
function lastRelease({ releases }: Past, client: Client): Instant {
  return releases.size === 0 ? -1 : Math.max(-1, ...releases.findAll(client).map(({ word }) => word.at))
}

/** The operator's word takes the place of what the operator said before of the same target. */
function heed(past: Past, word: Word): readonly string[] {
  const prefix = parsePrefix(word.target)
  if (typeof prefix === 'string' || word.word === 'enlist' || word.word === 'discard') return []
  if (word.word === 'release') {
    past.words.delete(prefix)
    past.releases.set(prefix, { prefix, word })
    return forget(past, prefix, word.at)
  }
  if ((word.until ?? Infinity) > word.at) past.words.set(prefix, { prefix, word })
  return []
}

/**
 * Forgets what clients inside this prefix did up to then, and frees them. What still waits for a probe is theirs,
 * too: it was seen before the operator spoke.
 */
function forget(past: Past, prefix: Prefix, at: Instant): readonly string[] {
  const waiting = [...past.guards.values()].flatMap(({ pending }) =>
    [...pending].map(({ evidence }) => clientOf(evidence).key),
  )
  const inside = [...new Set([...past.clients.keys(), ...waiting])].filter((key) =>
    covers(prefix, clientOfKey(key) as Client),
  )
  for (const key of inside) {
    const counts = countsSince(past.clients.get(key)?.counts ?? NO_COUNTS, at)
    past.clients.keep(key, { counts: new Map(counts), forgottenAt: at })
  }
  return inside
}

/** Until when an operator's release has it believed about what may have honest reasons. */
function releasedUntil({ releases, rules }: World, client: Client): Instant | undefined {
  if (releases.size === 0) return undefined
  const ends = releases.findAll(client).map(({ word }) => word.until ?? word.at + rules.releaseGraceMs)
  return ends.length > 0 ? Math.max(...ends) : undefined
}

/** The longest of the operator's rulings with this word that stand and hold the client. */
export function operatorsWord({ words }: Past, client: Client, word: Word['word'], now: Instant): Word | undefined {
  if (words.size === 0) return undefined
  return words.findAll(client).find((each) => each.word.word === word && (each.word.until ?? Infinity) > now)?.word
}
