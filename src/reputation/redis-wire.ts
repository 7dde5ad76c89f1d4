/**
 * What Redis answers, read, and what it is asked, spelled: others may write there, too, so nothing is taken for ours before it was looked at.
 */
import { type Bucket, type Counts, type FactName, hourOf, laneOf, type Tally } from '../core/facts.ts'
import type { Commands } from './redis-connection.ts'
import { BOXES } from './redis-keys.ts'
import { byRecord, type Change, isFactName, type Neighbour, parsed, readBucket, readRuling } from './store.ts'

/** Tallies of one record in one call, for the same reason. */
const TALLIES_MAX = 1000
/** Records worked on at once by one `add`: far fewer than Redis gets through within the time-out of a command. */
const ROUND_MAX = 1000

/** The counts in the fields of a record, and the fields that cannot be ours. */
export function readCounts(flat: unknown): { readonly counts: Counts; readonly ignored: readonly string[] } {
  const counts = new Map<FactName, Bucket[]>()
  const ignored: string[] = []
  for (const [field, text] of pairs(flat)) {
    const [fact = '', hour] = field.split(' ')
    const bucket = readBucket(...(text.split(' ').map(whole) as [unknown, unknown, unknown]))
    if (!bucket || String(bucket.hour) !== hour || !isFactName(fact)) ignored.push(field)
    else {
      const buckets = counts.get(fact)
      if (buckets) buckets.push(bucket)
      else counts.set(fact, [bucket])
    }
  }
  for (const buckets of counts.values()) buckets.sort((a, b) => a.hour - b.hour)
  return { counts, ignored }
}

/** A published change; undefined when it is none. */
export function readChange(message: string): Change | undefined {
  const raw = parsed(message)
  if (typeof raw !== 'object' || raw === null || !('generation' in raw) || !Number.isSafeInteger(raw.generation))
    return undefined
  const generation = raw.generation as number
  if ('drop' in raw && typeof raw.drop === 'string') return { generation, drop: raw.drop }
  if (!('put' in raw) || !('id' in raw)) return undefined
  const put = readRuling(String(raw.id), JSON.stringify(raw.put))
  return put && { generation, put }
}

/** A record and the tallies that are to be added to it, as the script reads them. */
export type Addition = { readonly key: string; readonly text: string }

/** What is done at once, in order: a record with more tallies than one call may carry has a place in several. */
export function additionsOf(tallies: readonly Tally[]): Addition[][] {
  const done: Addition[][] = []
  for (const round of portions([...byRecord(tallies)], ROUND_MAX)) {
    const longest = Math.max(...round.map(([, tallies]) => tallies.length))
    for (let i = 0; i < longest; i += TALLIES_MAX)
      done.push(
        round.flatMap(([key, tallies]) =>
          i < tallies.length
            ? {
                key,
                text: tallies
                  .slice(i, i + TALLIES_MAX)
                  .map(spellTally)
                  .join(''),
              }
            : [],
        ),
      )
  }
  return done
}

export function portions<Item>(items: readonly Item[], size: number): Item[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size))
}

/** A tally as the script reads it. */
export function spellTally(tally: Tally): string {
  return `${tally.fact} ${hourOf(tally.at)} ${tally.at} ${tally.seq} ${tally.times ?? 1} ${laneOf(tally)};`
}

/** A flat reply `field, value, field, value, ...` in pairs; anything else in it is left out. */
export function* pairs(flat: unknown): Generator<readonly [string, string]> {
  if (!Array.isArray(flat)) return
  for (let i = 0; i + 1 < flat.length; i += 2) yield [String(flat[i]), String(flat[i + 1])]
}

/** A whole number as our scripts write them; undefined for anything else. */
export function whole(text: string | null): number | undefined {
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : undefined
}

/** Boxes that stand there, those that told last; and how long one that is gone does. */
export const BOXES_MAX = 100
const BOX_MS = 3_600_000
/** A host's name may be as long as Linux lets it be. */
const HOST_MAX = 64

/** Each box writes its own field, and takes away those of boxes long gone. */
export async function meetBoxes(
  redis: Pick<Commands, 'hset' | 'hdel' | 'hgetall'>,
  mine: Neighbour,
): Promise<readonly Neighbour[]> {
  const named = mine.host.replace(/[^\w.-]/g, '-').slice(0, HOST_MAX)
  await redis.hset(BOXES, mine.box, `${mine.at} ${mine.rules} ${named}`)
  const all = Object.entries(await redis.hgetall(BOXES)).map(([box, text]) => {
    const [at = '', rules = '', host = ''] = text.split(' ')
    return { box, host, rules, at: whole(at) ?? 0 }
  })
  const known = all
    .filter(({ at }) => mine.at - at <= BOX_MS)
    .toSorted((a, b) => b.at - a.at)
    .slice(0, BOXES_MAX)
  const gone = all.filter((each) => !known.includes(each)).map(({ box }) => box)
  if (gone.length > 0) await redis.hdel(BOXES, ...gone)
  return known.filter(
    ({ box, host, rules }) =>
      [box, host].every((name) => /^[\w.-]{1,64}$/.test(name)) && /^[0-9a-f]{1,64}$/.test(rules),
  )
}
