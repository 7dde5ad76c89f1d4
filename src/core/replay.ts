/**
 * A recording told again: admit, tally and judge, folded over journal entries.
 *
 * The daemon does the same three with a store and a ledger around them; here they are maps. So a story, or a replay
 * under other rules, ends in the verdicts that the daemon would have given. As there, a client is judged when evidence
 * of it at a decoy counts, and a listing then stands its time out; the clock is the recording's own.
 *
 * `step` takes the world it is given and hands it on: go on with what it returns. A copy at every step would make a
 * month's journal quadratic.
 */
import { type Client, clientOfKey } from './client.ts'
import { clientOf, type Entry, type Instant, type Word } from './evidence.ts'
import { type Counts, countsSince, type Facts, NO_COUNTS, tally, withSighting } from './facts.ts'
import { effectOf, type Listing, renew, standOf } from './listing.ts'
import { admit, type Guard, newGuard, type Numbered, type Waived, type Watch } from './outage.ts'
import { covers, parsePrefix, type Prefix } from './prefixes.ts'
import type { Member } from './pools.ts'
import type { Rules, Standing } from './rules.ts'
import { judge, type Verdict } from './verdict.ts'

export type World = {
  readonly rules: Rules
  /** Who is of a pool of senders: DNS is not asked again, so it is as whoever tells the recording says. */
  readonly memberOf: MemberOf
  readonly guard: Guard
  /** What is known by `Client.key`; the one that was touched last comes last. */
  readonly clients: Map<string, Kept>
  /** Counts by `Client.network`. */
  readonly networks: Map<string, Counts>
  /** What the rules said, by `Client.key`. */
  readonly listings: Map<string, Listing>
  /** What the operator said, by `Prefix.cidr`; releases apart. */
  readonly rulings: Map<string, Ruling>
  /** How many hits the guard let go by, and why. */
  readonly waived: Readonly<Partial<Record<Waived['why'], number>>>
}

export type MemberOf = (client: Client) => Member
const NOBODY: MemberOf = () => undefined

type Kept = { readonly counts: Counts; readonly forgottenAt: Instant }
type Ruling = { readonly prefix: Prefix; readonly word: Word }

/** Most clients, networks and listings that a world keeps; the one touched longest ago is forgotten first. */
export const CLIENTS_MAX = 1_000_000

/** A world in which nothing has been seen. Watch: who vouches for the real MX? */
export function newWorld(rules: Rules, watch: Watch, memberOf = NOBODY): World {
  return {
    rules,
    memberOf,
    guard: newGuard(watch),
    clients: new Map(),
    networks: new Map(),
    listings: new Map(),
    rulings: new Map(),
    waived: {},
  }
}

/** The world after one more entry. */
export function step(world: World, { seq, event }: Entry): World {
  const { guard, counted, waived } = admit(world.guard, seq, event)
  for (const hit of [...counted, ...waived]) count(world, hit)
  const atDecoys = counted.filter(({ evidence }) => evidence.role !== 'real').map(({ evidence }) => clientOf(evidence))
  for (const client of new Map(atDecoys.map((each) => [each.key, each])).values()) rule(world, client, event.at)
  const letGo = waived.reduce((sum, { why }) => ({ ...sum, [why]: (sum[why] ?? 0) + 1 }), world.waived)
  const next = { ...world, guard, waived: letGo }
  return event.type === 'word' ? heed(next, event) : next
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
  const none = { effect: 'pass', by: undefined, until: undefined } as const
  const allow = operatorsWord(world, client, 'allow', now)
  if (allow) return { ...none, word: 'allow', by: 'operator', until: allow.until, because: allow.because }
  const entry = world.rules.allow.find(client)
  if (entry && (entry.until ?? Infinity) > now)
    return { ...none, word: 'allow', by: 'rules', until: entry.until, because: entry.because }

  const never = world.rules.never(client)
  if (never) return { ...none, word: 'clean', because: never }
  const block = operatorsWord(world, client, 'block', now)
  if (block) {
    const effect = world.rules.modes.block === 'enforce' ? 'block' : 'pass'
    return { word: 'block', effect, by: 'operator', until: block.until, because: block.because }
  }
  const listing = world.listings.get(client.key)
  const stand = standOf(listing?.stands ?? [], now)
  if (!listing || !stand) return { ...none, word: 'clean', because: undefined }
  const effect = effectOf(listing, world.rules, now)
  return { word: stand.word, effect, by: 'rules', until: stand.until, because: undefined }
}

export function factsOf(world: World, client: Client): Facts {
  const { counts } = world.clients.get(client.key) ?? UNKNOWN
  return {
    own: counts,
    network: world.networks.get(client.network) ?? NO_COUNTS,
    releasedUntil: releasedUntil(world, client),
    member: world.memberOf(client),
  }
}

function count(world: World, hit: Numbered | Waived): void {
  const { key, network, fact, at, times } = tally(hit)
  const { counts, forgottenAt } = world.clients.get(key) ?? UNKNOWN
  if (at > forgottenAt) keep(world.clients, key, { counts: withSighting(counts, fact, at, times), forgottenAt })
  keep(world.networks, network, withSighting(world.networks.get(network) ?? NO_COUNTS, fact, at, times))
}

const UNKNOWN: Kept = { counts: NO_COUNTS, forgottenAt: -1 }

/** Sets a value as the newest of its map, and lets the oldest go when there are too many. */
function keep<Value>(map: Map<string, Value>, key: string, value: Value): void {
  map.delete(key)
  map.set(key, value)
  if (map.size > CLIENTS_MAX) map.delete(map.keys().next().value as string)
}

function rule(world: World, client: Client, now: Instant): void {
  const verdict = judge(client, factsOf(world, client), world.rules, now)
  const listing = renew(world.listings.get(client.key), verdict, world.rules, now)
  if (listing) keep(world.listings, client.key, listing)
  else world.listings.delete(client.key)
}

/** The operator's word takes the place of what the operator said before of the same target. */
function heed(world: World, word: Word): World {
  const prefix = parsePrefix(word.target)
  if (typeof prefix === 'string' || word.word === 'enlist' || word.word === 'discard') return world
  if (word.word === 'release') {
    world.rulings.delete(prefix.cidr)
    world.rulings.set(`release ${prefix.cidr}`, { prefix, word })
    forget(world, prefix, word.at)
  } else if ((word.until ?? Infinity) > word.at) world.rulings.set(prefix.cidr, { prefix, word })
  return world
}

/**
 * Forgets what clients inside this prefix did up to then, and frees them. What still waits for a probe is theirs,
 * too: it was seen before the operator spoke.
 */
function forget(world: World, prefix: Prefix, at: Instant): void {
  const waiting = world.guard.pending.map(({ evidence }) => clientOf(evidence).key)
  for (const key of new Set([...world.clients.keys(), ...waiting])) {
    if (!covers(prefix, clientOfKey(key) as Client)) continue
    const { counts } = world.clients.get(key) ?? UNKNOWN
    keep(world.clients, key, { counts: countsSince(counts, at), forgottenAt: at })
    world.listings.delete(key)
  }
}

/** Until when an operator's release has it believed about what may have honest reasons. */
function releasedUntil({ rulings, rules }: World, client: Client): Instant | undefined {
  const ends = [...rulings.values()].flatMap(({ prefix, word }) =>
    word.word === 'release' && covers(prefix, client) ? [word.until ?? word.at + rules.releaseGraceMs] : [],
  )
  return ends.length > 0 ? Math.max(...ends) : undefined
}

/** The longest of the operator's rulings with this word that stand and hold the client. */
function operatorsWord(world: World, client: Client, word: Word['word'], now: Instant): Word | undefined {
  let found: Ruling | undefined
  for (const ruling of world.rulings.values()) {
    if (ruling.word.word !== word || (ruling.word.until ?? Infinity) <= now || !covers(ruling.prefix, client)) continue
    if (!found || ruling.prefix.length > found.prefix.length) found = ruling
  }
  return found?.word
}
