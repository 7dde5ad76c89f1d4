/**
 * What Redis answers, read: others may write there, too, so nothing is taken for ours before it was looked at.
 */
import { type Bucket, type Counts, type FactName, hourOf, laneOf, type Tally } from '../core/facts.ts'
import { type Change, isFactName, parsed, readBucket, readRuling } from './store.ts'

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

/** What the script wants of a tally. */
export function rowOf(tally: Tally): (string | number)[] {
  return [tally.fact, hourOf(tally.at), tally.at, tally.seq, tally.times ?? 1, laneOf(tally)]
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
