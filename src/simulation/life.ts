/**
 * One sender's life in a made-up week: its messages, and for each the attempts, address by address, until it is taken,
 * refused or given up. All it knows is the answers it gets; what they do to it is counted beside.
 */
import type { Client } from '../core/client.ts'
import type { Instant, Kind } from '../core/evidence.ts'
import { type Layout, routeOf, type Stop } from '../core/mx.ts'
import type { Agenda } from './agenda.ts'
import type { Chance } from './chance.ts'
import type { Behaviour, Failure } from './senders.ts'

/** How one address answered, after how long, and whether it was our listing that made it fail or wait. */
export type Answer = {
  readonly what: 'taken' | 'bounced' | Failure
  readonly afterMs: number
  readonly ours: boolean
}

export type Visit = {
  readonly client: Client
  readonly stop: Stop
  /** Whether it names a recipient of ours, and what else it does where it is talked to. */
  readonly names: boolean
  readonly manners: readonly Kind[]
  /** Sender and recipient, as a greylist knows them. */
  readonly pair: string
}

export type Meet = (visit: Visit, now: Instant) => Answer

/** What became of a sender. */
export type Life = {
  readonly name: string
  readonly behaviour: Behaviour
  /** Every client it has been seen as, by key. */
  readonly clients: Map<string, Client>
  messages: number
  delivered: number
  /** Messages that our listing deferred, refused or kept waiting. */
  delayed: number
  /** Of these, refused for good. */
  refused: number
  /** Given up by the sender at an outage or a greylist of the real MX, where nothing of ours stood in its way. */
  expired: number
  /** Longest way to the real MX in one attempt, which the decoys before it cost, in ms. */
  detourMs: number
}

export type LifeOptions = {
  readonly name: string
  readonly behaviour: Behaviour
  readonly layout: Layout
  readonly chance: Chance
  readonly agenda: Agenda
  /** Whom it comes as, one of these for each attempt. */
  readonly addresses: readonly ((chance: Chance) => Client)[]
  readonly meet: Meet
  readonly begins: Instant
  readonly ends: Instant
}

const MINUTE_MS = 60_000
const DAY_MS = 86_400_000
/** Different pairs of sender and recipient that one sender has mail for. */
const PAIRS = 5

type Message = {
  readonly born: Instant
  readonly pair: string
  tries: number
  delayed: boolean
  taken: boolean
  /** Where a sender that resumes begins its next attempt. */
  resumeAt: number
}

/** Plans the whole life; what becomes of it is read when the agenda is done. */
export function live(options: LifeOptions): Life {
  const { behaviour, chance, agenda, meet, layout, name } = options
  const life: Life = {
    name,
    behaviour,
    clients: new Map(),
    messages: 0,
    delivered: 0,
    delayed: 0,
    refused: 0,
    expired: 0,
    detourMs: 0,
  }
  const dead = new Map<string, { readonly since: Instant; readonly waitMin: number; readonly until: Instant }>()
  const fixed = chance.fork('fixed').shuffled(routeOf(layout, () => 0).stops)
  const everyMs = DAY_MS / chance.scaled(...behaviour.daily)

  const write = (now: Instant) => {
    if (now >= options.ends) return
    agenda.plan(now + chance.waitMs(everyMs), write)
    if (!behaviour.looks) life.messages++
    const pair = `${name}/${chance.below(PAIRS)}`
    attempt({ born: now, pair, tries: 0, delayed: false, taken: false, resumeAt: 0 }, now)
  }
  agenda.plan(options.begins + chance.waitMs(everyMs), write)
  return life

  function attempt(message: Message, now: Instant): void {
    const address = options.addresses[chance.below(options.addresses.length)] as (chance: Chance) => Client
    const client = address(chance)
    life.clients.set(client.key, client)
    const found = stopsOf(behaviour, layout, fixed, chance)
    const turned = behaviour.resumes ? found.map((_, i) => found[(i + message.resumeAt) % found.length] as Stop) : found
    const stops = turned.slice(0, behaviour.stops).filter(({ address: ip }) => !((dead.get(ip)?.until ?? 0) > now))
    message.tries++
    if (behaviour.order === 'all') {
      for (const stop of stops) agenda.plan(now + chance.between(0, 200), (at) => void call(message, client, stop, at))
    } else step(message, client, stops, 0, now, now)
  }

  /** Tries the next address, and goes on from its answer. */
  function step(
    message: Message,
    client: Client,
    stops: readonly Stop[],
    i: number,
    began: Instant,
    now: Instant,
  ): void {
    const stop = stops[i]
    if (!stop) return again(message, now)
    const { what, afterMs } = call(message, client, stop, now)
    const then = now + afterMs
    if (what === 'taken') {
      life.detourMs = Math.max(life.detourMs, now - began)
      dead.delete(stop.address)
    } else if (what !== 'bounced') {
      if (behaviour.remembersHosts && what !== 'later') remember(stop.address, then)
      message.resumeAt++
      if (!behaviour.walksOn.includes(what)) again(message, then)
      else {
        const pauseMs = behaviour.pauseMs ?? chance.between(20, 300)
        agenda.plan(then + pauseMs, (at) => step(message, client, stops, i + 1, began, at))
      }
    }
  }

  function call(message: Message, client: Client, stop: Stop, now: Instant): Answer {
    const manners = (behaviour.manners ?? []).flatMap(([kind, share]) => (chance.happens(share) ? [kind] : []))
    const answer = meet({ client, stop, names: !behaviour.looks, manners, pair: message.pair }, now)
    if (behaviour.looks) return answer
    if (answer.ours && !message.delayed) {
      message.delayed = true
      life.delayed++
    }
    if (answer.what === 'taken' && !message.taken) {
      message.taken = true
      life.delivered++
    }
    if (answer.what === 'bounced') life.refused++
    return answer
  }

  function again(message: Message, now: Instant): void {
    const waits = behaviour.retryMin ?? []
    const waitMin = waits[Math.min(message.tries, waits.length) - 1]
    const at = waitMin === undefined ? Infinity : now + waitMin * MINUTE_MS * chance.between(1, 1.1)
    if (at - message.born > (behaviour.givesUpDays ?? 0) * DAY_MS)
      life.expired += behaviour.looks || message.delayed ? 0 : 1
    else agenda.plan(at, (then) => attempt(message, then))
  }

  /** Exim's rule for hosts, `F,2h,15m; G,16h,1h,1.5; F,4d,6h`: the longest wait is the last before 16 h, of 7.6 h. */
  function remember(ip: string, now: Instant): void {
    const before = dead.get(ip)
    const since = before?.since ?? now
    const ageMin = (now - since) / MINUTE_MS
    const waitMin = ageMin < 120 ? 15 : ageMin < 960 ? Math.max(60, (before?.waitMin ?? 0) * 1.5) : 360
    dead.set(ip, { since, waitMin, until: now + waitMin * MINUTE_MS })
  }
}

function stopsOf({ order }: Behaviour, layout: Layout, fixed: readonly Stop[], chance: Chance): readonly Stop[] {
  const { stops } = routeOf(layout, () => chance.next())
  switch (order) {
    case 'rfc':
    case 'all':
      return stops
    case 'first':
      return stops.slice(0, 1)
    case 'last':
      return stops.slice(-1)
    case 'reversed':
      return stops.toReversed()
    case 'any':
      return [stops[chance.below(stops.length)] as Stop]
    case 'shuffled':
      return chance.shuffled(stops)
    case 'fixed':
      return fixed
    case 'real':
      return stops.filter(({ exchange }) => layout.roles.get(exchange) === 'real').slice(0, 1)
  }
}
