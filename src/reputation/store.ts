/**
 * The promise that both stores keep: add tallies once, give facts back, keep the rulings that stand, tell of changes.
 *
 * `embedded` keeps it on one box, `redis` for several. One test suite runs against both. A method rejects when the
 * store cannot keep its promise now (Redis away, disk full); every caller has its own answer to that.
 */
import { createHash } from 'node:crypto'
import { z } from 'zod'
import { clientOfKey, dottedOf, numberOfDotted } from '../core/client.ts'
import type { Instant } from '../core/evidence.ts'
import type { Stand } from '../core/listing.ts'
import { type Bucket, type Counts, FACT_NAMES, type FactName, hourOf, type Tally, WAIVED_FACTS } from '../core/facts.ts'
import { parsePrefix } from '../core/prefixes.ts'
import type { Standing } from '../core/rules.ts'

/** A decision that stands: the rules' about one client, or the operator's about a network. */
export type Ruling = {
  readonly by: 'rules' | 'operator'
  /** `Client.key` for the rules, `Prefix.cidr` for the operator. With `by` it names the ruling: see `idOf`. */
  readonly target: string
  readonly word: 'allow' | 'release' | Standing
  readonly since: Instant
  /** When nothing of it stands any more. Undefined: until released. Only the operator's. */
  readonly until?: Instant | undefined
  /** The rules' rulings: each word with its own end, of all rules and of the enforced ones; see listing.ts. */
  readonly stands?: readonly Stand[] | undefined
  readonly enforced?: readonly Stand[] | undefined
  /** A release: until when it is believed. What was seen before `since` is forgotten for as long as facts are kept. */
  readonly grace?: Instant | undefined
  /** The code that a refused sender quotes and `why` finds. */
  readonly ticket: string
  readonly because: string
  /** Operator's rulings: who said so. */
  readonly author?: string | undefined
  /** The rules' rulings: the sum when it was last judged. */
  readonly score?: number | undefined
}

/** One step in the life of the rulings. Generations rise by one, so that a missed change is noticed. */
export type Change = { readonly generation: number } & ({ readonly put: Ruling } | { readonly drop: string })

/** The rulings that stand: each as it was at that generation, or as a later change has left it. To be gone through once. */
export type Snapshot = { readonly generation: number; readonly rulings: Iterable<Ruling> }

/** What a store tells of itself, beside the answers it gives. */
export type StoreHappening =
  /** The store works: told when it begins to, and again after each `down` or `flush-failed`. */
  | { readonly what: 'up' }
  /** Redis is away or refuses us; methods reject until it is back, and we go on trying to reach it. */
  | { readonly what: 'down'; readonly error: string }
  /** The file could not be read: it was kept beside, under another name, and the store began empty. */
  | { readonly what: 'corrupt'; readonly file: string; readonly movedTo: string; readonly error: string }
  /** The file could not be written: what is new is kept in memory and written when that works again. */
  | { readonly what: 'flush-failed'; readonly error: string }
  /** Something stands in the store that is none of ours, or damaged: it was passed over. `where` names the first. */
  | { readonly what: 'ignored'; readonly where: string; readonly count: number }
  /** The store knows less of a box than it did: it was restored, emptied, or a replica that lagged took over. */
  | { readonly what: 'rewound'; readonly box: string; readonly from: number; readonly to: number }

/** How a store is now, and since when. */
export type StoreHealth = {
  /** hung: it is connected, and let a call wait in vain; until it answers again, nobody is kept waiting by it. */
  readonly state: 'up' | 'down' | 'hung'
  readonly since: Instant
  readonly error: string | undefined
}

/** A box at a shared store: which rules it had in force when it last said so. */
export type Neighbour = {
  readonly box: string
  /** As its operating system calls it, for people. */
  readonly host: string
  readonly rules: string
  readonly at: Instant
}

export type Store = {
  readonly kind: 'embedded' | 'redis'

  health(): StoreHealth

  /** The highest event number of this box of which all before it, too, are safely in the store. 0 when none is. */
  cursor(box: string): Promise<number>

  /**
   * Adds each tally to the record of its key and to that of its network, once, however often it is sent, and answers
   * with the counts of every record it touched (duplicates touch, too). `upTo` becomes the box's cursor once all is in.
   *
   * Within one box and one lane (`laneOf`), tallies arrive in rising order of `seq`; that is how a repeated one is known. When it
   * rejects, some may be in and some not: sending the same again puts that right. It rejects with `Rewound`, once and
   * before anything is added, when the store has lost what it had: then deliver again from its cursor.
   */
  add(box: string, tallies: readonly Tally[], upTo: number): Promise<ReadonlyMap<string, Counts>>

  /** The counts kept under this key (a client's or a network's); empty when there are none. */
  counts(key: string): Promise<Counts>

  /**
   * Forgets what was seen under this key up to `at`, also what has not arrived yet. An hour in which `at` falls goes
   * whole: what it held cannot be told apart any more, and doubt favours the sender.
   */
  forget(key: string, at: Instant): Promise<void>

  /** All rulings, with the generation they are of. */
  rulings(): Promise<Snapshot>

  /** The generation now: a cheap question that also proves that the store answers. */
  generation(): Promise<number>

  /** Says which rules (a digest) this box has in force, and answers with what all have said lately. None where there is one box. */
  meet(mine: Omit<Neighbour, 'at'>): Promise<readonly Neighbour[]>

  put(ruling: Ruling): Promise<void>
  drop(id: string): Promise<void>

  /**
   * Tells of every change from now on, those made here included; `onLost` when changes may have been missed. There is
   * one watcher: a second call takes the place of the first.
   */
  watch(onChange: (change: Change) => void, onLost: () => void): Promise<void>

  close(): Promise<void>
}

/** A store that had taken in more of a box's events than it has now. */
export class Rewound extends Error {
  override readonly name = 'Rewound'
  readonly cursor: number

  constructor(box: string, from: number, to: number) {
    super(`the store had events of box ${box} up to ${from}, and now has them up to ${to} only`)
    this.cursor = to
  }
}

/** Most rulings that a store keeps; beyond it, rulings of the rules go first, never the operator's. */
export const RULINGS_MAX = 1_000_000

/** A release stands beside what the operator says afterwards: it must still forget. */
export function idOf({ by, target, word }: Pick<Ruling, 'by' | 'target'> & { readonly word?: Ruling['word'] }): string {
  return `${word === 'release' ? word : by} ${target}`
}

/** A code short enough to be read out on the phone: 40 bits, in letters and digits that are not mistaken for others. */
export function ticketOf(target: string, since: Instant): string {
  const bytes = createHash('sha256').update(`${target} ${since}`).digest()
  const letters = Array.from({ length: 8 }, (_, i) => TICKET_LETTERS[(bytes[i] as number) % 32])
  return `${letters.slice(0, 4).join('')}-${letters.slice(4).join('')}`
}

const TICKET_LETTERS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'

/** Reads a ruling that was kept under `id`; undefined when it is none. */
export function readRuling(id: string, text: string): Ruling | undefined {
  const value = parsed(text)
  if (isListing(value) && idOf(value) === id) return compact(value)
  const read = rulingSchema.safeParse(value)
  return read.success && idOf(read.data) === id ? compact(read.data) : undefined
}

/**
 * Surely what the schema below takes, and the rules' word about an IPv4 address as we write it: nearly all of a million are,
 * and the schema takes four times as long to say so.
 */
function isListing(value: unknown): value is Ruling {
  const { by, target, word, since, until, stands, enforced, grace, ticket, because, author, score } = (value ?? {}) as {
    readonly [Name in keyof Ruling]?: unknown
  }
  return (
    by === 'rules' &&
    typeof target === 'string' &&
    target.length <= 15 &&
    target === dottedOf(numberOfDotted(target)) &&
    (word === 'block' || word === 'defer' || word === 'observe') &&
    isInstant(since) &&
    isInstant(until) &&
    areStands(stands) &&
    areStands(enforced) &&
    typeof ticket === 'string' &&
    ticket.length <= 32 &&
    typeof because === 'string' &&
    because.length <= 1000 &&
    (score === undefined || Number.isFinite(score)) &&
    grace === undefined &&
    author === undefined
  )
}

function areStands(value: unknown): boolean {
  if (!Array.isArray(value) || value.length > 3) return false
  for (const stand of value as unknown[]) {
    const { word, until } = (stand ?? {}) as { readonly [Name in keyof Stand]?: unknown }
    if ((word !== 'block' && word !== 'defer' && word !== 'observe') || !isInstant(until)) return false
  }
  return true
}

function isInstant(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

/** The same in less memory: of a million listings most have the same words and ends, and need them once. */
function compact(ruling: Ruling): Ruling {
  const { by, target, word, since, until, stands, enforced, ticket, because, score } = ruling
  if (by === 'operator' || !stands || !enforced) return ruling
  const same = stands.length === enforced.length && stands.every((stand, i) => sameStand(stand, enforced[i]))
  const kept = { by, target, word, since, until, stands, enforced: same ? stands : enforced, ticket }
  return { ...kept, because: shared(because), ...(score === undefined ? {} : { score }) }
}

function sameStand(a: Stand, b: Stand | undefined): boolean {
  return a.word === b?.word && a.until === b.until
}

/** Sentences are the rules', and few; those of a last SENTENCES_MAX are known again. */
function shared(sentence: string): string {
  const known = SENTENCES.get(sentence)
  if (known !== undefined) return known
  if (SENTENCES.size >= SENTENCES_MAX) SENTENCES.clear()
  SENTENCES.set(sentence, sentence)
  return sentence
}

const SENTENCES = new Map<string, string>()
const SENTENCES_MAX = 1000

/** A bucket from the numbers kept for it; undefined when they cannot be one. */
export function readBucket(count: unknown, first: unknown, last: unknown): Bucket | undefined {
  if (![count, first, last].every((n) => Number.isSafeInteger(n) && (n as number) >= 0)) return undefined
  const bucket = { count: count as number, first: first as Instant, last: last as Instant }
  const hour = hourOf(bucket.first)
  if (bucket.count === 0 || bucket.first > bucket.last || hourOf(bucket.last) !== hour) return undefined
  return { hour, ...bucket }
}

export function isFactName(text: string): text is FactName {
  return KNOWN_FACTS.has(text)
}

/** Groups tallies by the records they go to, in the order they came: a client's, and its network's. */
export function byRecord(tallies: readonly Tally[]): Map<string, Tally[]> {
  const groups = new Map<string, Tally[]>()
  for (const tally of tallies) {
    for (const key of [tally.key, tally.network]) {
      const group = groups.get(key)
      if (group) group.push(tally)
      else groups.set(key, [tally])
    }
  }
  return groups
}

/** JSON, or undefined. */
export function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const KNOWN_FACTS: ReadonlySet<string> = new Set([...FACT_NAMES, ...WAIVED_FACTS])

const instant = z.int().nonnegative()
const stands = z.array(z.object({ word: z.enum(['observe', 'defer', 'block']), until: instant })).max(3)
const rulingSchema = z
  .object({
    by: z.enum(['rules', 'operator']),
    target: z.string().max(64),
    word: z.enum(['allow', 'release', 'observe', 'defer', 'block']),
    since: instant,
    until: instant.optional(),
    stands: stands.optional(),
    enforced: stands.optional(),
    grace: instant.optional(),
    ticket: z.string().max(32),
    because: z.string().max(1000),
    author: z.string().max(1000).optional(),
    score: z.number().optional(),
  })
  .refine(({ by, target }) => (by === 'rules' ? clientOfKey(target)?.key === target : isCidr(target)))

function isCidr(text: string): boolean {
  const prefix = parsePrefix(text)
  return typeof prefix !== 'string' && prefix.cidr === text
}
