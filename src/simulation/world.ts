/**
 * A made-up week: senders of every kind visit an MX layout; decoys, witness and real MX do what ours do; and admit, tally and
 * judge, folded as in a replay, decide in the loop. What we answer at the real MX sends the senders on, as it would.
 *
 * The week is lived as if the mode were enforce, whatever the rules say: that is what one wants to know beforehand. It is
 * the same again for the same seed. Nothing here waits, listens or writes; time is the agenda's.
 */
import { type Client, parseClient } from '../core/client.ts'
import type { Entry, Evidence, Event, Instant, Kind, Role } from '../core/evidence.ts'
import { type Layout, roleAt } from '../core/mx.ts'
import type { Watch } from '../core/outage.ts'
import type { Membership } from '../core/pools.ts'
import { type MemberOf, newWorld, standingOf, step, type World } from '../core/replay.ts'
import type { Rules } from '../core/rules.ts'
import { Agenda } from './agenda.ts'
import { BOTS } from './bots.ts'
import { Chance } from './chance.ts'
import { HONEST, STRANDED } from './honest.ts'
import { type Answer, type Life, live, type Visit } from './life.ts'
import type { Behaviour } from './senders.ts'
import { outcomeAt, troubleFor, type Weather, weatherOf } from './weather.ts'

/** Everybody we know. */
export const BEHAVIOURS: readonly Behaviour[] = [...HONEST, ...STRANDED, ...BOTS]

export type WeekOptions = {
  readonly rules: Rules
  readonly layout: Layout
  readonly seed: number
  readonly days?: number
  readonly behaviours?: readonly Behaviour[]
  /** Without, it is made of the seed. */
  readonly weather?: Weather
  /** Who vouches for the real MX: our witness, unless said otherwise. */
  readonly watch?: Watch
  /** Hears each entry of the journal as it is written. */
  readonly hear?: (entry: Entry) => void
}

/** A client that was deferred or blocked, or only observed: when it first was. */
export type Listed = { readonly client: Client; readonly word: 'observe' | 'defer' | 'block'; readonly at: Instant }

export type Week = {
  readonly seed: number
  readonly lives: readonly Life[]
  /** By `Client.key`: the worst that stood in the week. */
  readonly listed: ReadonlyMap<string, Listed>
  readonly weather: Weather
  /** As it stands when the week is over. */
  readonly world: World
  readonly endsAt: Instant
}

export const BEGINS_AT: Instant = Date.UTC(2026, 0, 5)
const DAY_MS = 86_400_000

/** How the appliance is set by default: the witness looks so often, and soon after a hit, but not sooner than this. */
const LOOK_EVERY_MS = 30_000
const LOOK_SOONEST_MS = 500
/** A suspect waits so long at the primary; an offender is held until it gives up, as mail servers do after 5 min. */
const SUSPECT_HOLD_MS = 20_000
const GIVES_UP_MS = 300_000
/** The policy service tells of a client once in this time. */
const NOTE_EVERY_MS = 600_000
const GREYLIST_MS = 300_000
/** How many bots live in the network of an honest sender, as at a hoster; and how many senders come by IPv6. */
const NEIGHBOURS = 0.15
const BY_IPV6 = 0.15

export function liveWeek(options: WeekOptions): Week {
  const { rules, layout, seed } = options
  const days = options.days ?? 7
  const chance = new Chance(String(seed))
  const endsAt = BEGINS_AT + days * DAY_MS
  const weather = options.weather ?? weatherOf(chance.fork('weather'), BEGINS_AT, days)
  const agenda = new Agenda(endsAt)
  const members = new Map<string, Membership>()
  const house = newHouse(rules, weather, agenda, ({ key }) => members.get(key), options)
  const meet = ({ stop, ...visit }: Visit, now: Instant): Answer => {
    const where = `${stop.address}:25`
    const role = roleAt(layout, stop.exchange)
    return role === 'real'
      ? house.atReal({ stop, ...visit }, where, now)
      : house.atDecoy(role, { stop, ...visit }, where, now)
  }

  const land = newLand()
  const lives: Life[] = []
  for (const behaviour of options.behaviours ?? BEHAVIOURS) {
    const crowd = chance.fork(behaviour.kind)
    const many = Math.floor(behaviour.senders) + (crowd.happens(behaviour.senders % 1) ? 1 : 0)
    for (let i = 0; i < many; i++) {
      const name = `${behaviour.kind}-${i + 1}`
      const own = crowd.fork(name)
      const activeMs = behaviour.activeDays ? own.scaled(...behaviour.activeDays) * DAY_MS : endsAt - BEGINS_AT
      const begins = BEGINS_AT + own.between(0, Math.max(0, endsAt - BEGINS_AT - activeMs))
      const addresses = land.settle(behaviour, own)
      if (behaviour.pool?.known)
        for (const address of addresses) members.set(address(own).key, { pool: name, found: 'spf', at: BEGINS_AT })
      lives.push(
        live({ name, behaviour, layout, chance: own, agenda, addresses, meet, begins, ends: begins + activeMs }),
      )
    }
  }
  house.watch(BEGINS_AT)
  agenda.run()
  return { seed, lives, listed: house.listed, weather, world: house.world(), endsAt }
}

/** Decoys, witness, real MX and what they tell, in one box. */
function newHouse(
  rules: Rules,
  weather: Weather,
  agenda: Agenda,
  memberOf: MemberOf,
  { hear, watch = 'witness', layout }: WeekOptions,
) {
  const world = newWorld(inForce(rules), watch, memberOf)
  let seq = 0
  let lookedAt = -Infinity
  let nudged = false
  const listed = new Map<string, Listed>()
  const touched = new Map<string, Client>()
  const noted = new Map<string, Instant>()
  const greylist = new Map<string, Instant>()

  const tell = (event: Event) => {
    const entry: Entry = { seq: ++seq, event }
    step(world, entry)
    hear?.(entry)
  }
  const see = (client: Client, role: Role, kind: Kind, where: string, session: string, at: Instant) => {
    const evidence: Evidence = { type: 'evidence', at, client: client.ip, role, kind, where, session }
    tell(evidence)
  }

  /** Looks at the real MX, and then again when it is time. */
  const look = (at: Instant) => {
    lookedAt = at
    nudged = false
    tell({ type: 'probe', at, mx: 'real-mx', outcome: outcomeAt(weather, at) })
    takeStock(at)
    agenda.plan(at + LOOK_EVERY_MS, (now) => {
      if (lookedAt === at) look(now)
    })
  }
  const nudge = (now: Instant) => {
    if (nudged) return
    nudged = true
    agenda.plan(Math.max(now, lookedAt + LOOK_SOONEST_MS), look)
  }
  /** What has come of those that were at the decoys lately? */
  const takeStock = (at: Instant) => {
    for (const client of touched.values()) {
      const { word: stands, effect, by } = standingOf(world, client, at)
      if (by !== 'rules' || stands === 'clean' || stands === 'allow') continue
      // What only a rule on trial says is shown, and told to nobody.
      const word = effect === 'pass' ? 'observe' : effect
      const before = listed.get(client.key)
      if (!before || RANK[word] > RANK[before.word]) listed.set(client.key, { client, word, at })
    }
    touched.clear()
  }

  const stockEvery = (at: Instant) => {
    takeStock(at)
    agenda.plan(at + LOOK_EVERY_MS, stockEvery)
  }

  return {
    listed,
    world: () => world,
    watch: (at: Instant) => {
      if (watch === 'witness') look(at)
      else agenda.plan(at + LOOK_EVERY_MS, stockEvery)
    },

    atDecoy(role: 'primary' | 'backup', { client, names, manners }: Visit, where: string, now: Instant): Answer {
      const { effect } = standingOf(world, client, now)
      const session = `s${seq + 1}`
      see(client, role, 'contact', where, session, now)
      touched.set(client.key, client)
      if (role === 'backup' && watch === 'witness') nudge(now)
      if (effect === 'block') return { what: 'reset', afterMs: GIVES_UP_MS, ours: true }
      if (role === 'primary') {
        const suspect = effect === 'defer'
        if (!suspect && layout.closedPrimary) return { what: 'unreachable', afterMs: 0, ours: false }
        return { what: 'reset', afterMs: suspect ? SUSPECT_HOLD_MS : 0, ours: suspect }
      }
      for (const kind of manners) if (names || !NEEDS_RECIPIENT.has(kind)) see(client, role, kind, where, session, now)
      if (names) see(client, role, 'recipient', where, session, now)
      return { what: 'later', afterMs: 1000, ours: false }
    },

    atReal({ client, names, pair }: Visit, where: string, now: Instant): Answer {
      const trouble = troubleFor(weather, placeOf(client), now)
      if (trouble === 'down' || trouble === 'path') return { what: 'unreachable', afterMs: 100, ours: false }
      if (trouble === 'later') return { what: 'busy', afterMs: 100, ours: false }
      if (!names) return { what: 'taken', afterMs: 100, ours: false }
      if (trouble === 'sick') return LATER
      if (weather.greylist === 'before' && isNew(client, pair, now)) return LATER
      const { word, effect } = standingOf(world, client, now)
      const kind = word === 'block' ? 'refused' : word === 'defer' ? 'deferred' : 'passed'
      const last = noted.get(`${kind} ${client.key}`)
      if (last === undefined || now - last >= NOTE_EVERY_MS) {
        noted.set(`${kind} ${client.key}`, now)
        see(client, 'real', kind, where, `s${seq + 1}`, now)
      }
      if (effect === 'block') return { what: 'bounced', afterMs: 500, ours: true }
      if (effect === 'defer') return { ...LATER, ours: true }
      if (weather.greylist === 'after' && isNew(client, pair, now)) return LATER
      return { what: 'taken', afterMs: 500, ours: false }
    },
  }

  /** Greylisting by network, sender and recipient. */
  function isNew({ network }: Client, pair: string, now: Instant): boolean {
    const key = `${network} ${pair}`
    const first = greylist.get(key)
    if (first === undefined) greylist.set(key, now)
    return first === undefined || now - first < GREYLIST_MS
  }
}

/** The rules as if all of them were in mode enforce, except single rules that are on trial. */
export function inForce(rules: Rules): Rules {
  return { ...rules, mode: 'enforce', modes: { observe: 'enforce', defer: 'enforce', block: 'enforce' } }
}

const RANK = { observe: 1, defer: 2, block: 3 } as const
const LATER: Answer = { what: 'later', afterMs: 500, ours: false }
/** What is only seen of a session that names a recipient of ours. */
const NEEDS_RECIPIENT: ReadonlySet<Kind> = new Set(['trap-recipient', 'recipient-flood'])

/** Where in the net a client is, from 0 to 1: the same for all of its network. */
function placeOf({ network }: Client): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < network.length; i++) hash = Math.imul(hash ^ network.charCodeAt(i), 0x01000193)
  return (hash >>> 0) / 2 ** 32
}

/**
 * Who lives where: IPv4 in 240.0.0.0/4, which is reserved and nobody's, from 241 on, for below it are the
 * canary's; IPv6 in the documentation prefix. Each sender has networks of its own, except for bots that are somebody's neighbours.
 */
function newLand() {
  let networks = 0
  const honest: number[] = []
  const v4 = (network: number, host: number) =>
    `${241 + (network >> 16)}.${(network >> 8) & 255}.${network & 255}.${host}`
  const v6 = (network: number, host: string) => `2001:db8:${network.toString(16)}:1::${host}`

  return {
    settle({ of, pool, hops }: Behaviour, chance: Chance): ((chance: Chance) => Client)[] {
      if (hops) {
        const network = networks++
        return [(again) => known(v6(network, (1 + again.below(0xfffe)).toString(16)))]
      }
      if (pool) {
        const first = networks
        networks += pool.networks
        return Array.from({ length: pool.addresses }, (_, i) => {
          const client = known(v4(first + (i % pool.networks), 10 + Math.floor(i / pool.networks)))
          return () => client
        })
      }
      const neighbour = of === 'bot' && honest.length > 0 && chance.happens(NEIGHBOURS)
      const network = neighbour ? (honest[chance.below(honest.length)] as number) : networks++
      const host = 10 + chance.below(200)
      const sixth = !neighbour && chance.happens(BY_IPV6)
      if (of === 'honest' && !sixth) honest.push(network)
      const client = known(sixth ? v6(network, host.toString(16)) : v4(network, host))
      return [() => client]
    },
  }
}

function known(ip: string): Client {
  const client = parseClient(ip)
  if (!client) throw new Error(`"${ip}" was made up wrongly`)
  return client
}
