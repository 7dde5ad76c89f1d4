/**
 * One question about DNS, answered in one way, wherever the answer comes from: name servers, or a zone file.
 *
 * `none` is an answer: there is no such record. `unknown` is none: nobody answered, or what came cannot be believed. `outside`:
 * the zone file does not say. Aliases (CNAME) are followed, at most ALIASES_MAX of them, and told.
 */
import type { Place } from '../core/dangers.ts'
import type { RecordType, ZoneRecord } from '../core/zone-file.ts'

export type Found = {
  readonly outcome: 'found' | 'none' | 'unknown' | 'outside'
  /** Why nothing is known; '' otherwise. */
  readonly because: string
  readonly records: readonly {
    readonly data: string
    readonly ttlSeconds: number
    readonly place?: Place | undefined
  }[]
  /** The names that an alias led to, in order. */
  readonly aliases: readonly string[]
  /** From a resolver's cache: each TTL is what is left of it (RFC 1035, section 4.1.1, AA). */
  readonly isCached?: boolean
}

/** Names without the last dot. The data is spelled as in ZoneRecord. */
export type Lookup = (name: string, type: RecordType) => Promise<Found>

/** Longest chain of aliases that is followed; BIND stops at 16, most have one. */
export const ALIASES_MAX = 8

export const NOTHING: Found = { outcome: 'none', because: '', records: [], aliases: [] }

export function unknown(because: string, aliases: readonly string[] = []): Found {
  return { outcome: 'unknown', because, records: [], aliases }
}

/** Answers from a zone file; `beyond` is asked what the file does not hold. */
export function lookupInZone(origin: string, records: readonly ZoneRecord[], beyond?: Lookup): Lookup {
  const byName = Map.groupBy(records, ({ name }) => name)
  const within = (name: string) => name === origin || name.endsWith(`.${origin}`)
  const at = (name: string): readonly ZoneRecord[] => {
    const own = byName.get(name)
    if (own) return own
    // RFC 4592: the wildcard below the closest name that is there.
    for (let rest = name; within(rest) && rest !== origin;) {
      rest = rest.slice(rest.indexOf('.') + 1)
      const wild = byName.get(`*.${rest}`)
      if (wild) return wild
      if (byName.has(rest)) return []
    }
    return []
  }
  const look = async (name: string, type: RecordType, aliases: readonly string[]): Promise<Found> => {
    if (!within(name)) {
      if (!beyond) return { ...NOTHING, outcome: 'outside', aliases }
      const found = await beyond(name, type)
      return { ...found, aliases: [...aliases, ...found.aliases] }
    }
    const here = at(name)
    const own = here.filter((record) => record.type === type)
    if (own.length > 0) return { outcome: 'found', because: '', records: own, aliases }
    const alias = type === 'CNAME' ? undefined : here.find((record) => record.type === 'CNAME')?.data
    if (alias === undefined) return { ...NOTHING, aliases }
    if (aliases.length >= ALIASES_MAX || aliases.includes(alias)) return unknown(roundabout(aliases, alias), aliases)
    return await look(alias, type, [...aliases, alias])
  }
  return (name, type) => look(name, type, [])
}

export function roundabout(aliases: readonly string[], next: string): string {
  return aliases.includes(next)
    ? `its aliases go in a circle: ${[...aliases, next].join(' > ')}`
    : `more than ${ALIASES_MAX} aliases, one after the other`
}
