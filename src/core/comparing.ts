/**
 * What differs between two tellings of one recording: under the rules of today, and under others. Whom they would treat
 * differently, as figures, and as what a picture of it is drawn from.
 */
import type { Instant } from './evidence.ts'
import { HOUR_MS } from './facts.ts'
import type { Retelling, Retold, Told } from './retelling.ts'

export type Compared = {
  readonly change: 'new' | 'heavier' | 'lighter' | 'released'
  readonly client: string
  /** Under the rules of today, and under the others. */
  readonly before: Told | undefined
  readonly after: Told | undefined
  /** What speaks for it. */
  readonly walked: boolean
  readonly allowed: boolean
  readonly freed: boolean
}

/** Those whom the rules would treat differently: first the ones that an operator looks at first. */
export function compare({ clients }: Retelling): Compared[] {
  const changed = clients.flatMap((each) => {
    const [before, after] = each.told
    const change = changeOf(each)
    if (!change) return []
    return [
      {
        change,
        client: each.client.ip,
        before,
        after,
        walked: each.walked,
        allowed: each.allowed,
        freed: each.released,
      },
    ]
  })
  const order = ['new', 'heavier', 'lighter', 'released']
  const weight = ({ before, after }: Compared) => (after?.refused ?? 0) + (before?.refused ?? 0)
  return changed.toSorted(
    (a, b) =>
      Number(isDoubtful(b)) - Number(isDoubtful(a)) ||
      order.indexOf(a.change) - order.indexOf(b.change) ||
      weight(b) - weight(a),
  )
}

function changeOf({ told: [before, after] }: Retold): Compared['change'] | undefined {
  if (!before || !after) return after ? 'new' : 'released'
  if (before.word === after.word) return undefined
  return after.word === 'block' ? 'heavier' : 'lighter'
}

/** Would it be worse off, although something speaks for it? */
export function isDoubtful({ change, walked, allowed, freed }: Compared): boolean {
  return (change === 'new' || change === 'heavier') && (walked || allowed || freed)
}

/**
 * Why a recording tells nothing of what rules do, as after a minute of trying out: that nobody is listed newly is then no good
 * news. Undefined where it is long enough.
 */
function shortnessOf({ sightings, first, last }: Retelling): string | undefined {
  if (last - first < TELLING_MS) return `Too short to tell anything: less than an hour. ${RECORD_MORE}`
  if (sightings < TELLING_SIGHTINGS)
    return `Too little to tell anything: clients were seen ${sightings === 1 ? 'once' : `${sightings} times`}. ${RECORD_MORE}`
  return undefined
}

const TELLING_MS = HOUR_MS
const TELLING_SIGHTINGS = 50
const RECORD_MORE = 'Days of real senders show what rules do'

type Journal = {
  readonly box: string
  readonly bytes: number
  readonly watched: boolean
  readonly countedAt: Instant | undefined
}

type Telling = {
  readonly retold: Retelling
  readonly compared: readonly Compared[]
  readonly journals: readonly Journal[]
  readonly old: string
  readonly other: string
}

/** How many points of a course stand in the JSON, and in the picture. */
const POINTS = 400

/** As figures: what `replay --json` prints. Instants are ISO 8601, UTC. */
export function viewOf({ retold, compared, journals, old, other }: Telling) {
  const { clients, questions, answers, events, first, last, outages } = retold
  const [before, after] = [0, 1].map((i) => {
    const told = clients.flatMap(({ told }) => told[i] ?? [])
    const count = (word: string) => told.filter((each) => each.word === word).length
    return { blocked: count('block'), deferred: count('defer'), answers: answers[i] as (typeof answers)[number] }
  }) as [Side, Side]
  const many = (change: Compared['change']) => compared.filter((each) => each.change === change).length
  return {
    rules: other,
    against: old,
    journals: journals.map(({ box, bytes, watched, countedAt }) => ({
      box,
      bytes,
      watched,
      countedAt: countedAt === undefined ? null : iso(countedAt),
    })),
    events,
    /** Why it tells nothing, where it does not. */
    short: shortnessOf(retold) ?? null,
    from: iso(first),
    to: iso(last),
    questions,
    before,
    after,
    changes: {
      new: many('new'),
      heavier: many('heavier'),
      lighter: many('lighter'),
      released: many('released'),
      alike: clients.length - compared.length,
      doubtful: compared.filter(isDoubtful).length,
    },
    clients: compared.map(({ before: was, after: is, ...each }) => ({ ...each, before: dated(was), after: dated(is) })),
    outages: outages.map(({ from, to }) => ({ from: iso(from), to: iso(to) })),
    courses: coursesOf(retold).map((points) => points.map(({ at, ...counts }) => ({ at: iso(at), ...counts }))),
  }
}

export type Comparing = ReturnType<typeof viewOf>

type Side = { blocked: number; deferred: number; answers: { refused: number; deferred: number } }

function dated(told: Told | undefined) {
  return told ? { ...told, since: iso(told.since) } : null
}

function iso(at: Instant): string {
  return new Date(at).toISOString()
}

function coursesOf({ courses, first, last }: Retelling) {
  return courses.map((course) => course.points(first, last, POINTS))
}

/** For a picture: courses, and when those began to be listed whom only one of the two lists. */
export function pictured(retold: Retelling, compared: readonly Compared[], old: string, other: string) {
  const { first, last, outages, events } = retold
  const [before = [], after = []] = coursesOf(retold)
  const begun = (change: Compared['change']) =>
    compared.flatMap((each) => {
      const at = (each.after ?? each.before)?.since
      return each.change === change && at !== undefined ? [{ at, doubtful: isDoubtful(each) }] : []
    })
  return {
    old,
    other,
    first,
    last,
    events,
    short: shortnessOf(retold),
    outages,
    before,
    after,
    added: begun('new'),
    removed: begun('released'),
  }
}
