/**
 * A recording told again as if it had been enforced, under one set of rules or several beside each other: who would have
 * been listed, and what the real MX would have heard about whom.
 *
 * The same three functions as ever are folded over the recording (`witness`, `rejudge`), under rules whose mode is enforce.
 * Each time the real MX asked about a client, what stood then is what it would have been told. Beside it stands what speaks
 * for the client: whether it ever went from the primary to the real MX, whether an operator, or a rule, allows it, and
 * whether it did anything but come in the wrong order. Those are the ones that an operator looks at first.
 *
 * A single rule in mode observe stays so: what it alone reaches is not enforced, and is not counted here. The governor is
 * not asked either: what it would have held back is what one wants to see.
 */
import type { Client } from './client.ts'
import { Course } from './course.ts'
import { LATE_MS } from './credit.ts'
import { clientOf, type Entry, type Evidence, type Instant, type Word } from './evidence.ts'
import { Latest } from './latest.ts'
import { effectOf } from './listing.ts'
import type { Watch } from './outage.ts'
import { parsePrefix, Prefixes } from './prefixes.ts'
import {
  type Change,
  type MemberOf,
  newPast,
  operatorsWord,
  rejudge,
  standingOf,
  witness,
  type World,
  worldOf,
} from './replay.ts'
import type { Rules } from './rules.ts'

/** What one set of rules makes of a client. */
export type Told = {
  /** The heaviest that would have been told about it. */
  readonly word: 'defer' | 'block'
  /** When it would first have been listed. */
  readonly since: Instant
  readonly score: number
  readonly because: string
  /** How often the real MX would have refused it, and how often it would have said later. */
  readonly refused: number
  readonly deferred: number
  /** Was it never seen doing what no mail server does? Then only the order of its visits speaks against it. */
  readonly behaved: boolean
}

export type Retold = {
  readonly client: Client
  /** One of each set of rules, in their order; undefined where it would not have been listed. */
  readonly told: readonly (Told | undefined)[]
  /** Did it go from the primary to the real MX, at any time in the recording? */
  readonly walked: boolean
  /** Does an operator's word that stands at the end of the recording, or the allow-list of any of the rules, allow it? */
  readonly allowed: boolean
  /** Did an operator release it? Taking back an allow is no release of that kind. */
  readonly released: boolean
}

export type Retelling = {
  /** Everybody whom any of the rules would have listed. */
  readonly clients: readonly Retold[]
  /** There were more than are told of. */
  readonly crowded: boolean
  /** Questions of the real MX, and how each set of rules would have had them answered. */
  readonly questions: number
  readonly answers: readonly { readonly refused: number; readonly deferred: number }[]
  /** How many were listed when, under each of the rules. */
  readonly courses: readonly Course[]
  /** When the real MX was in doubt, so that no order of visits counted. */
  readonly outages: readonly Outage[]
  readonly events: number
  /** Those of them that are of clients: no probes, no words. */
  readonly sightings: number
  readonly first: Instant
  readonly last: Instant
}

export type Outage = { readonly from: Instant; readonly to: Instant }

export type Side = { readonly rules: Rules; readonly memberOf?: MemberOf | undefined }

export type RetellingOptions = {
  readonly sides: readonly Side[]
  /** Who vouches for the real MX at each box that is heard? */
  readonly watchAt: (box: string) => Watch
  /** What is told is of the time after this; what was before is known. */
  readonly from?: Instant | undefined
}

/** Clients that are told of, and that are known to have walked; and outages. */
const CLIENTS_MAX = 100_000
const OUTAGES_MAX = 1000

export type Preparation = { readonly add: (entry: Entry, box?: string) => void; readonly end: () => Retelling }

/** Takes recordings from their beginning, merged by time. */
export function prepareRetelling({ sides, watchAt, from = -Infinity }: RetellingOptions): Preparation {
  const past = newPast(watchAt)
  const worlds = sides.map(({ rules, memberOf }) => worldOf(past, enforcing(rules), memberOf))
  const courses = sides.map(() => new Course())
  const orders = sides.map(({ rules }) => orderRules(rules))
  const answers = sides.map(() => ({ refused: 0, deferred: 0 }))
  const rows = new Map<string, Row>()
  const walks = newWalks(Math.max(...sides.map(({ rules }) => rules.credit.withinMs)))
  const released = new Prefixes<true>()
  const outages = newOutages()
  let crowded = false
  let [questions, events, sightings, first, last] = [0, 0, 0, Infinity, -Infinity]

  return {
    add(entry, box = '') {
      const { event } = entry
      events++
      if (event.type === 'evidence') sightings++
      first = Math.min(first, event.at)
      last = Math.max(last, event.at)
      if (event.type === 'word' && event.word === 'release') free(event)
      const seen = witness(past, entry, box)
      for (const [i, world] of worlds.entries()) rejudge(world, seen, event.at, (change) => hear(i, change, event.at))
      if (event.type === 'probe') outages.look(box, event.outcome !== 'up', event.at)
      else if (event.type === 'evidence' && event.role !== 'backup') {
        const client = clientOf(event)
        walks.see(event, client)
        if (event.role === 'real' && event.at > from) asked(event, client)
      }
    },
    end() {
      const clients = [...rows.values()].flatMap((row) => {
        const told = row.told.map((each) =>
          each && (each.last > from || each.refused + each.deferred > 0) ? each : undefined,
        )
        if (!told.some(Boolean)) return []
        const { client } = row
        const listed = sides.some(({ rules }) => rules.allow.find(client))
        return {
          client,
          told: told.map((each) => each && withoutLast(each)),
          walked: walks.has(client),
          allowed: listed || operatorsWord(past, client, 'allow', last) !== undefined,
          released: released.find(client) === true,
        }
      })
      return {
        clients,
        crowded,
        questions,
        answers,
        courses,
        outages: outages.all(last),
        events,
        sightings,
        first,
        last,
      }
    },
  }

  /** Before it is heeded: what it takes back still stands. */
  function free({ target }: Word): void {
    const prefix = parsePrefix(target)
    if (typeof prefix !== 'string' && past.words.get(prefix)?.word.word !== 'allow') released.set(prefix, true)
  }

  /** A client is listed, or no longer, under one of the rules. */
  function hear(i: number, { client, before, after, verdict }: Change, now: Instant): void {
    ;(courses[i] as Course).change(before, after, now)
    const { rules } = worlds[i] as World
    const effect = after && effectOf(after, rules, now)
    if (!verdict || (effect !== 'block' && effect !== 'defer')) return
    const row = rowOf(client)
    if (!row) return
    const counting = verdict.reasons.filter(({ weight }) => weight > 0)
    const heaviest = counting.reduce((a, b) => (b.weight > a.weight ? b : a), counting[0] as (typeof counting)[number])
    const old = row.told[i]
    const behaved = counting.every(({ rule }) => orders[i]?.has(rule))
    row.told[i] = {
      word: old?.word === 'block' ? 'block' : effect,
      since: old?.since ?? now,
      last: now,
      score: Math.max(old?.score ?? 0, verdict.score),
      because: heaviest?.because ?? old?.because ?? '',
      refused: old?.refused ?? 0,
      deferred: old?.deferred ?? 0,
      behaved: (old?.behaved ?? true) && behaved,
    }
  }

  /** The real MX asks about a client. */
  function asked({ at, times = 1 }: Evidence, client: Client): void {
    questions += times
    for (const [i, world] of worlds.entries()) {
      if (!world.listings.has(client.key)) continue
      const { effect, by } = standingOf(world, client, at)
      if (by !== 'rules' || (effect !== 'block' && effect !== 'defer')) continue
      const what = effect === 'block' ? 'refused' : 'deferred'
      ;(answers[i] as (typeof answers)[number])[what] += times
      const told = rows.get(client.key)?.told[i]
      if (told) told[what] += times
    }
  }

  function rowOf(client: Client): Row | undefined {
    const known = rows.get(client.key)
    if (known) return known
    if (rows.size >= CLIENTS_MAX) {
      crowded = true
      return undefined
    }
    const row: Row = { client, told: sides.map(() => undefined) }
    rows.set(client.key, row)
    return row
  }
}

type Telling = { -readonly [Name in keyof Told]: Told[Name] } & { last: Instant }
type Row = { readonly client: Client; readonly told: (Telling | undefined)[] }

function withoutLast({ word, since, score, because, refused, deferred, behaved }: Telling): Told {
  return { word, since, score, because, refused, deferred, behaved }
}

function enforcing(rules: Rules): Rules {
  return { ...rules, mode: 'enforce', modes: { observe: 'enforce', defer: 'enforce', block: 'enforce' } }
}

function orderRules({ list }: Rules): ReadonlySet<string> {
  return new Set(list.filter(({ kind }) => kind === 'order').map(({ name }) => name))
}

/** Who went from the primary to the real MX? News from the primary may be late. */
function newWalks(withinMs: number) {
  const primaryAt = new Latest<Instant>(CLIENTS_MAX)
  const walked = new Set<string>()
  return {
    see({ role, at }: Evidence, { key }: Client) {
      if (role === 'primary') {
        primaryAt.keep(key, at)
      } else {
        const gap = at - (primaryAt.get(key) ?? -Infinity)
        if (gap >= -LATE_MS && gap <= withinMs && walked.size < CLIENTS_MAX) walked.add(key)
      }
    },
    has: ({ key }: Client) => walked.has(key),
  }
}

/** From the first bad look to the next good one, at each box. */
function newOutages() {
  const since = new Map<string, Instant>()
  const over: Outage[] = []
  return {
    look(box: string, bad: boolean, at: Instant) {
      const from = since.get(box)
      if (bad) since.set(box, from ?? at)
      else if (from !== undefined) {
        since.delete(box)
        if (over.length < OUTAGES_MAX) over.push({ from, to: at })
      }
    },
    all: (end: Instant): Outage[] => [...over, ...[...since.values()].map((from) => ({ from, to: end }))],
  }
}
