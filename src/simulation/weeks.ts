/**
 * Many made-up weeks added up: for each kind of sender how many came, were listed, and what became of their mail.
 *
 * Listed is who was ever deferred or blocked; one that was only observed is counted apart. Each week has a seed of its own,
 * so that any of them can be lived again alone.
 */
import type { Client } from '../core/client.ts'
import type { Entry } from '../core/evidence.ts'
import { type Finding, newWorld, step, verdictOf } from '../core/replay.ts'
import type { Behaviour } from './senders.ts'
import { inForce, type Listed, liveWeek, type Week, type WeekOptions } from './world.ts'

export type KindSum = {
  readonly kind: string
  readonly of: Behaviour['of']
  readonly senders: number
  readonly observed: number
  readonly listed: number
  /** Of the listed, those that were blocked at least once; the others were only deferred. */
  readonly blocked: number
  readonly messages: number
  readonly delivered: number
  readonly delayed: number
  readonly refused: number
  /** Given up by their senders, and not for us. */
  readonly expired: number
  readonly detourMs: number
  /** Senders and listed ones of each week, for the interval. */
  readonly weekly: readonly (readonly [senders: number, listed: number])[]
}

/** An honest sender that was listed: in which week, who, and as what. */
export type Mishap = { readonly seed: number; readonly sender: string; readonly listed: Listed }

export type Weeks = { readonly kinds: readonly KindSum[]; readonly mishaps: readonly Mishap[] }

export const NO_WEEKS: Weeks = { kinds: [], mishaps: [] }

export function withWeek(sum: Weeks, week: Week): Weeks {
  const kinds = new Map(sum.kinds.map((each) => [each.kind, each]))
  const of = new Map<string, [senders: number, listed: number]>()
  const mishaps = [...sum.mishaps]
  for (const life of week.lives) {
    const { kind, of: whose } = life.behaviour
    const standings = [...life.clients.keys()].flatMap((key) => week.listed.get(key) ?? [])
    const listed = standings.find(({ word }) => word !== 'observe')
    if (listed && whose === 'honest') mishaps.push({ seed: week.seed, sender: life.name, listed })
    const [senders, many] = of.get(kind) ?? [0, 0]
    of.set(kind, [senders + 1, many + (listed ? 1 : 0)])
    const old = kinds.get(kind) ?? { ...NOTHING, kind, of: whose }
    kinds.set(kind, {
      ...old,
      senders: old.senders + 1,
      observed: old.observed + (!listed && standings.length > 0 ? 1 : 0),
      listed: old.listed + (listed ? 1 : 0),
      blocked: old.blocked + (standings.some(({ word }) => word === 'block') ? 1 : 0),
      messages: old.messages + life.messages,
      delivered: old.delivered + life.delivered,
      delayed: old.delayed + life.delayed,
      refused: old.refused + life.refused,
      expired: old.expired + life.expired,
      detourMs: Math.max(old.detourMs, life.detourMs),
    })
  }
  const added = [...kinds.values()].map((each) => ({
    ...each,
    weekly: [...each.weekly, of.get(each.kind) ?? ([0, 0] as const)],
  }))
  return { kinds: added, mishaps }
}

const NOTHING = {
  senders: 0,
  observed: 0,
  listed: 0,
  blocked: 0,
  messages: 0,
  delivered: 0,
  delayed: 0,
  refused: 0,
  expired: 0,
  detourMs: 0,
  weekly: [],
}

export type Rate = { readonly rate: number; readonly low: number; readonly high: number }

/** 97.5 % of a normal distribution lie below this many deviations. */
const Z = 1.96

/**
 * A share with its 95 % interval: Wilson's, which keeps its sense at 0 and at 1. Senders of one week share its outages; where
 * weeks differ more than chance among senders explains, the sample counts for as much smaller (the design effect).
 */
export function rateOf(weekly: KindSum['weekly']): Rate | undefined {
  const n = weekly.reduce((sum, [senders]) => sum + senders, 0)
  if (n === 0) return undefined
  const rate = weekly.reduce((sum, [, listed]) => sum + listed, 0) / n
  const weeks = weekly.length
  const between =
    ((weeks / Math.max(1, weeks - 1)) * weekly.reduce((sum, [m, x]) => sum + (x - rate * m) ** 2, 0)) / n ** 2
  const within = (rate * (1 - rate)) / n
  const size = n / (within > 0 ? Math.max(1, between / within) : 1)
  const middle = (rate + Z ** 2 / (2 * size)) / (1 + Z ** 2 / size)
  const half = (Z / (1 + Z ** 2 / size)) * Math.sqrt((rate * (1 - rate)) / size + Z ** 2 / (4 * size ** 2))
  return { rate, low: Math.max(0, middle - half), high: Math.min(1, middle + half) }
}

/** What several kinds come to. */
export type Total = Pick<
  KindSum,
  'senders' | 'observed' | 'listed' | 'blocked' | 'messages' | 'delivered' | 'delayed' | 'refused' | 'detourMs'
>

export function totalOf(kinds: readonly KindSum[]): Total {
  const sum = (of: (kind: KindSum) => number) => kinds.reduce((total, kind) => total + of(kind), 0)
  return {
    senders: sum(({ senders }) => senders),
    observed: sum(({ observed }) => observed),
    listed: sum(({ listed }) => listed),
    blocked: sum(({ blocked }) => blocked),
    messages: sum(({ messages }) => messages),
    delivered: sum(({ delivered }) => delivered),
    delayed: sum(({ delayed }) => delayed),
    refused: sum(({ refused }) => refused),
    detourMs: Math.max(0, ...kinds.map(({ detourMs }) => detourMs)),
  }
}

/** Senders and listed ones of each week, of all kinds of this sort. A kind that came first in a later week has fewer weeks. */
export function weeklyOf(kinds: readonly KindSum[], of: KindSum['of']): KindSum['weekly'] {
  const some = kinds.filter((kind) => kind.of === of).map(({ weekly }) => weekly)
  const weeks = Math.max(0, ...some.map(({ length }) => length))
  return Array.from({ length: weeks }, (_, i) => {
    const ofWeek = some.map((weekly) => weekly.at(i - weeks) ?? [0, 0])
    const sum = (column: 0 | 1) => ofWeek.reduce((total, each) => total + each[column], 0)
    return [sum(0), sum(1)]
  })
}

/** What was seen of a client until it was listed, and how the rules came to it: its week is lived again for that. */
export type Story = { readonly journal: readonly Entry[]; readonly finding: Finding }

/** More lines of one client than a person reads. */
const JOURNAL_MAX = 100

export function storyOf(options: WeekOptions, { client, at }: { readonly client: Client; readonly at: number }): Story {
  const entries: Entry[] = []
  const week = liveWeek({ ...options, hear: (entry) => void (entry.event.at <= at && entries.push(entry)) })
  const { memberOf } = week.world
  const world = entries.reduce(step, newWorld(inForce(options.rules), options.watch ?? 'witness', memberOf))
  const journal = entries.filter(({ event }) => event.type === 'evidence' && event.client === client.ip)
  return { journal: journal.slice(-JOURNAL_MAX), finding: verdictOf(world, client, at) }
}
