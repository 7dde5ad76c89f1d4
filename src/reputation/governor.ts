/**
 * The governor: may this client be listed now, or does the listing wait for a person?
 *
 * Rules are written by people, and the world has bad days: one slip in the rules, or an outage that nobody noticed, must
 * never list everybody. So new listings are bounded, in three ways. *In a minute*: while more clients than that come up,
 * nothing new is listed until ten minutes of calm. *In a network*: of one neighbourhood only so many in an hour. *Of good
 * standing*: of the clients that we have seen walk the right way, or come to the real MX for hours, only a small share in
 * a day; beyond it nothing at all is listed while one of them waits, because then most likely the rules are wrong.
 *
 * What waits stands in no one's way: what stood before stands on. A client that waits is tried again when it is seen
 * again. An operator enlists or discards what waits; loading better rules discards what they would not list.
 *
 * `govern` decides from the state and the clock it is given, and notes what it let through in the state. Each process
 * governs what it rules itself; what waits is kept in its memory, and is found again by the clients' next evidence. Which
 * clients of good standing were listed outlives a restart (good-listed.ts).
 */
import type { Client } from '../core/client.ts'
import type { Credit } from '../core/credit.ts'
import type { Instant } from '../core/evidence.ts'
import { type Facts, HOUR_MS } from '../core/facts.ts'
import { Latest } from '../core/latest.ts'
import { endOf, type Listing } from '../core/listing.ts'
import type { Standing } from '../core/rules.ts'

export type Bounds = {
  /** New listings in a minute. */
  readonly perMinute: number
  /** New listings in an hour of one network (/24, /48). */
  readonly perNetwork: number
  /** New listings in a day of clients of good standing, as a share of those seen in that day. */
  readonly goodShare: number
}

/** Which bound a listing met; `held`: clients of good standing wait, and all others with them. */
export type Why = 'minute' | 'network' | 'standing' | 'held'
export const WHYS: readonly Why[] = ['minute', 'network', 'standing', 'held']

export type Candidate = {
  readonly client: Client
  readonly good: boolean
  readonly word: Standing
  readonly listing: Listing
  readonly score: number
  readonly because: string
}

export type Waiting = Candidate & { readonly why: Why; readonly since: Instant }

export type Governor = {
  readonly bounds: Bounds
  /** Who came up in the last minute, by `Client.key`, the newest last; and when there were last too many. */
  readonly minute: Latest<Instant>
  crowdedAt: Instant | undefined
  /** Who was listed in the last hour, by network. */
  readonly networks: Latest<Latest<Instant>>
  /** Clients of good standing seen in the last day, the newest last; and which of them were listed. */
  readonly good: Latest<Instant>
  readonly goodListed: Latest<Instant>
  readonly waiting: Map<string, Waiting>
  /** How many of these are of good standing, and met that bound. */
  inDoubt: number
}

/** Without too many at once for so long, new ones are listed again. */
export const CALM_MS = 10 * 60_000
/** So many clients of good standing may be listed in a day however few have been seen. */
export const GOOD_LEAST = 3
/** A client that the real MX has seen in so many hours is of good standing without a walk: not everybody has a primary. */
const REGULAR_HOURS = 3
const MINUTE_MS = 60_000
const DAY_MS = 24 * HOUR_MS

/** Most that wait; beyond it the first go, those of good standing last, and are found again when they are seen again. */
export const WAITING_MAX = 10_000
/** Most networks, and most clients of good standing, that are remembered. */
const NETWORKS_MAX = 10_000
const GOOD_MAX = 100_000

export function newGovernor(bounds: Bounds): Governor {
  return {
    bounds,
    minute: new Latest(bounds.perMinute),
    crowdedAt: undefined,
    networks: new Latest(NETWORKS_MAX),
    good: new Latest(GOOD_MAX),
    goodListed: new Latest(GOOD_MAX),
    waiting: new Map(),
    inDoubt: 0,
  }
}

/** Undefined: it may be listed. Else why it waits from now on. */
export function govern(governor: Governor, candidate: Candidate, now: Instant): Why | undefined {
  const { key } = candidate.client
  const before = forgetWaiting(governor, key)
  const why = boundMet(governor, candidate, before !== undefined, now)
  if (!why) return undefined
  governor.waiting.set(key, { ...candidate, why, since: before?.since ?? now })
  if (why === 'standing') governor.inDoubt++
  if (governor.waiting.size > WAITING_MAX) letGo(governor)
  return why
}

/** It waits no longer: the rules would not list it now, or it was listed. */
export function forgetWaiting(governor: Governor, key: string): Waiting | undefined {
  const gone = governor.waiting.get(key)
  if (gone?.why === 'standing') governor.inDoubt--
  governor.waiting.delete(key)
  return gone
}

/** A client is seen: if it is of good standing, it is one of those whom few listings may meet. */
export function noteGood(governor: Governor, client: Client, now: Instant): void {
  governor.good.renew(client.key, now)
}

/** Is it in good standing: by its credit, or as a regular at the real MX? */
export function isGood({ own }: Facts, credit: Credit): boolean {
  return credit.good || (own.get('real.passed')?.length ?? 0) >= REGULAR_HOURS
}

/** Those that wait, inside this reach; they wait no longer, and what was counted against them is forgotten. */
export function takeWaiting(governor: Governor, reach: (client: Client) => boolean): Waiting[] {
  const taken = [...governor.waiting.values()].filter(({ client }) => reach(client))
  for (const { client } of taken) forgetWaiting(governor, client.key)
  if (taken.length > 0 && governor.waiting.size === 0) {
    governor.minute.clear()
    governor.crowdedAt = undefined
    governor.networks.clear()
    governor.goodListed.clear()
  }
  return taken
}

/** What waits after what has run out is gone. */
export function stillWaiting(governor: Governor, now: Instant): Waiting[] {
  for (const [key, { listing }] of governor.waiting) if (endOf(listing) <= now) forgetWaiting(governor, key)
  return [...governor.waiting.values()]
}

function boundMet(governor: Governor, { client, good }: Candidate, waited: boolean, now: Instant): Why | undefined {
  const { bounds, minute, networks, goodListed } = governor
  const { key, network } = client
  forgetBefore(minute, now - MINUTE_MS)
  forgetBefore(governor.good, now - DAY_MS)
  forgetBefore(goodListed, now - DAY_MS)

  // Everybody who comes up anew counts, listed or not, so that a flood that goes on stays a flood.
  const full = !minute.has(key) && minute.size >= bounds.perMinute
  if (full && !waited) governor.crowdedAt = now
  else if (!waited && !minute.has(key)) minute.set(key, now)

  if (good && !goodListed.has(key)) {
    const most = Math.max(GOOD_LEAST, Math.floor(bounds.goodShare * governor.good.size))
    if (goodListed.size >= most) return 'standing'
  }
  if (governor.inDoubt > 0) return 'held'
  if (full || (governor.crowdedAt !== undefined && now - governor.crowdedAt < CALM_MS)) return 'minute'
  const listed = networks.get(network) ?? new Latest<Instant>(bounds.perNetwork)
  forgetBefore(listed, now - HOUR_MS)
  if (!listed.has(key) && listed.size >= bounds.perNetwork) return 'network'

  minute.renew(key, now)
  listed.renew(key, now)
  networks.renew(network, listed)
  if (good) goodListed.renew(key, now)
  return undefined
}

/** The first that waits goes; of those of good standing one only if there are no others. */
function letGo(governor: Governor): void {
  let gone: string | undefined
  for (const [key, { why }] of governor.waiting) {
    gone ??= key
    if (why === 'standing') continue
    gone = key
    break
  }
  if (gone !== undefined) forgetWaiting(governor, gone)
}

function forgetBefore(map: Latest<Instant>, start: Instant): void {
  for (let key = map.oldest(); key !== undefined; key = map.oldest()) {
    if ((map.get(key) as Instant) > start) return
    map.delete(key)
  }
}
