/**
 * Exports: who is refused now, as a file for a program that cannot ask us.
 *
 * Listed is exactly whom `decide` would refuse: a block that is enforced, until it ends. Whoever is allowed, or never listed,
 * is cut out of the operator's networks. IPv4 neighbours are joined to networks where every address of them is listed; an
 * IPv6 client is its /64 and stays so. Formats that know an end for each entry join only what ends in the same second, and
 * those that say why join nothing.
 *
 * Pure: what stands goes in, lines come out. It is made in small steps: a mail server that asks meanwhile does not wait.
 */
import { createHash } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import { clientOfKey } from '../core/client.ts'
import { BREATH, flatten, merge, type Network, networksOf, type Paced, type Stretch } from '../core/cover.ts'
import type { Instant } from '../core/evidence.ts'
import { effectOf, type Stand } from '../core/listing.ts'
import { parsePrefix, type Prefix } from '../core/prefixes.ts'
import type { Mode, Rules } from '../core/rules.ts'
import type { Decide } from '../reputation/decision.ts'
import type { Ruling } from '../reputation/reputation.ts'
import { type Format, FORMATS } from './formats.ts'
import { keyOf, secondsLeft, type Timed, wholeOf } from './nft-sets.ts'

/** What stands, and how it is told. */
export type ExportBasis = {
  readonly rulings: Iterable<Ruling>
  readonly decide: Decide
  readonly rules: Pick<Rules, 'modes' | 'allow'>
  /** All that can never be listed. */
  readonly never: readonly Prefix[]
  readonly generation: number
  /** A fingerprint of the rules. */
  readonly rulesHash: string
  readonly now: Instant
  /** No entry stands longer than this from now, whatever its end; without it, until its end. */
  readonly lifeMs?: number
}

export type Listed = {
  /** The word that an asker would be told of. */
  readonly ruling: Ruling
  /** The widest block that it lies in: the pieces of one are joined again, whatever lies within. */
  readonly widest: Ruling
  /** When the last of the blocks that cover it ends; Infinity: when somebody says so. */
  readonly until: number
}

/** What the first lines of an export say of the rest. */
export type Head = {
  readonly format: Format
  readonly made: string
  readonly generation: number
  readonly rules: string
  readonly mode: Mode
  /** Blocks, however wide. */
  readonly listings: number
  /** Networks, after neighbours were joined. */
  readonly entries: number
  /** A fingerprint of who is listed, until when and why: two exports with the same one differ in `made` alone. */
  readonly digest: string
}

export type Export = { readonly head: Head; readonly text: string }

export function* exportOf(format: Format, basis: ExportBasis): Paced<Export> {
  const { now, generation, rulesHash: rules } = basis
  const listed = yield* listedOf(basis)
  const entries = yield* entriesOf(listed, ALIKE[format])
  const head: Head = {
    format,
    made: new Date(now).toISOString(),
    generation,
    rules,
    mode: basis.rules.modes.block,
    listings: new Set(listed.map(({ value }) => value.ruling)).size,
    entries: entries.length,
    digest: yield* digestOf(format, entries),
  }
  const text: string[] = []
  for (const line of SPELL[format](head, entries, now)) if (text.push(line, '\n') % BREATH === 0) yield
  return { head, text: text.join('') }
}

/**
 * Who is refused, each in one network for as long as possible: pieces of one block that end together are joined, neighbours are
 * not. So a change of one is a change of little else, for whoever follows the changes.
 */
export function* networksRefused(basis: ExportBasis): Paced<readonly Timed[]> {
  const apart: Alike = (a, b) => a.value.widest === b.value.widest && endsWith(a, b)
  return yield* entriesOf(yield* listedOf(basis), apart)
}

/** Walks to the end, while others have their turn. */
export async function inTurns<Value>(walk: Paced<Value>): Promise<Value> {
  for (;;) {
    const { done, value } = walk.next()
    if (done) return value
    await setImmediate()
  }
}

/**
 * Makes exports one after the other, while others have their turn. Who asks for a format that waits already gets the same one:
 * so however many ask, no more is made than one of each, and each is made of what stands after it was asked for.
 */
export function exportsInTurn(basis: () => ExportBasis): (format: Format) => Promise<Export> {
  const waiting = new Map<Format, Promise<Export>>()
  let last: Promise<unknown> = Promise.resolve()
  return (format) => {
    const before = waiting.get(format)
    if (before) return before
    const made = last.then(async () => {
      waiting.delete(format)
      return await inTurns(exportOf(format, basis()))
    })
    waiting.set(format, made)
    last = made.catch(() => undefined)
    return made
  }
}

/** Who is refused now, in order, each stretch under the word that an asker is told of. */
function* listedOf({ rulings, decide, rules, never, now, lifeMs = Infinity }: ExportBasis): Paced<Stretch<Listed>[]> {
  const layers: (readonly [Prefix, Listed | 'spared'])[] = never.map((prefix) => [prefix, 'spared'])
  for (const { prefix, until = Infinity } of rules.allow.values()) if (until > now) layers.push([prefix, 'spared'])
  let looked = 0
  for (const ruling of rulings) {
    if (looked++ % BREATH === 0) yield
    const prefix = parsePrefix(ruling.target)
    if (typeof prefix === 'string' || (ruling.until ?? Infinity) <= now) continue
    if (ruling.by === 'operator' && ruling.word === 'allow') layers.push([prefix, 'spared'])
    const until = blockedUntil(ruling, rules, now)
    if (until === undefined) continue
    // One client is asked about as an answer would be: so whatever keeps it from being refused keeps it from here.
    const client = ruling.by === 'rules' ? clientOfKey(ruling.target) : undefined
    if (client && decide(client).effect !== 'block') continue
    layers.push([prefix, { ruling, widest: ruling, until: Math.min(until, now + lifeMs) }])
  }
  const flat = yield* flatten(layers, joined)
  return flat.filter((stretch): stretch is Stretch<Listed> => stretch.value !== 'spared')
}

/** Until when this ruling refuses; undefined: it does not. */
function blockedUntil(ruling: Ruling, rules: Pick<Rules, 'modes'>, now: Instant): number | undefined {
  if (ruling.word === 'allow' || ruling.word === 'release') return undefined
  const enforced: readonly Stand[] = ruling.enforced ?? [{ word: ruling.word, until: ruling.until ?? Infinity }]
  if (effectOf({ enforced }, rules, now) !== 'block') return undefined
  return enforced.find(({ word }) => word === 'block')?.until
}

/** Allow and never beat every block; the operator's word is told before the rules', and the narrower before the wider. */
function joined(outer: Listed | 'spared', inner: Listed | 'spared'): Listed | 'spared' {
  if (outer === 'spared' || inner === 'spared') return 'spared'
  const told = inner.ruling.by === 'operator' || outer.ruling.by === 'rules' ? inner : outer
  return { ruling: told.ruling, widest: outer.widest, until: Math.max(outer.until, inner.until) }
}

function* entriesOf(listed: readonly Stretch<Listed>[], alike: Alike): Paced<Entry[]> {
  const entries: Entry[] = []
  for (const { value, ...stretch } of yield* merge(listed, alike))
    for (const network of networksOf(stretch)) if (entries.push({ ...network, ...value }) % BREATH === 0) yield
  return entries
}

type Entry = Network & Listed
type Alike = (a: Stretch<Listed>, b: Stretch<Listed>) => boolean

const wherever: Alike = (a, b) => a.family === 4 || a.value.widest === b.value.widest
const endsWith: Alike = (a, b) =>
  wherever(a, b) && Math.floor(a.value.until / 1000) === Math.floor(b.value.until / 1000)
const sameWord: Alike = (a, b) => a.value.ruling === b.value.ruling && a.value.until === b.value.until

const ALIKE: Record<Format, Alike> = {
  plain: wherever,
  cidr: wherever,
  rbldnsd: wherever,
  nft: endsWith,
  ipset: endsWith,
  csv: sameWord,
  json: sameWord,
}

function* digestOf(format: Format, entries: readonly Entry[]): Paced<string> {
  const hash = createHash('sha256')
  for (const [i, entry] of entries.entries()) {
    if (i % BREATH === 0) yield
    hash.update(keyOf(entry))
    if (ALIKE[format] !== wherever) hash.update(` ${entry.until} `)
    if (ALIKE[format] === sameWord) hash.update(`${entry.ruling.ticket} ${entry.ruling.because}`)
    hash.update('\n')
  }
  return hash.digest('hex').slice(0, 16)
}

type Spell = (head: Head, entries: readonly Entry[], now: Instant) => Generator<string>

const SPELL: Record<Format, Spell> = {
  // OpenSMTPD takes a table of which it has seen no entry yet for a list by this comment only, and else for no list for good.
  *plain(head, entries) {
    yield* comments(head)
    yield '# @list'
    for (const entry of entries) yield shortOf(entry)
  },

  *cidr(head, entries) {
    yield* comments(head)
    for (const entry of entries) yield `${keyOf(entry)} ${REFUSAL}`
  },

  // One transaction: the sets are made where they are missing, emptied and filled, or nothing happens.
  *nft(head, entries, now) {
    yield* comments(head)
    yield* wholeOf(entries, now)
  },

  // Each set is filled beside the one in use, and takes its place in one step.
  *ipset(head, entries, now) {
    yield* comments(head)
    for (const family of [4, 6] as const) {
      const set = `decoymx${family}`
      const own = entries.filter((entry) => entry.family === family).flatMap(halved)
      const kind = `hash:net family ${family === 4 ? 'inet' : 'inet6'} timeout 0`
      const maxelem = Math.max(65_536, 2 ** Math.ceil(Math.log2(own.length + 1)))
      yield `create ${set} ${kind} -exist`
      yield `create ${set}-next ${kind} maxelem ${maxelem} -exist`
      yield `flush ${set}-next`
      for (const entry of own)
        yield `add ${set}-next ${keyOf(entry)} timeout ${Math.min(secondsLeft(entry, now), IPSET_SECONDS_MAX)} -exist`
      yield `swap ${set}-next ${set}`
      yield `destroy ${set}-next`
    }
  },

  // The entries that RFC 5782, 5 wants for tests come first in each half.
  *rbldnsd(head, entries) {
    yield* comments(head)
    for (const [family, kind, test] of [
      [4, 'ip4trie', '127.0.0.2/32'],
      [6, 'ip6trie', '::ffff:7f00:2/128'],
    ] as const) {
      yield `$DATASET ${kind} @`
      yield `:127.0.0.2:${REASON}`
      yield test
      for (const entry of entries) if (entry.family === family) yield keyOf(entry)
    }
  },

  *csv(head, entries) {
    yield* comments(head)
    yield 'network,until,by,ticket,because'
    for (const entry of entries) {
      const { by, ticket, because } = entry.ruling
      yield [keyOf(entry), untilOf(entry) ?? '', by, ticket, because].map(field).join(',')
    }
  },

  *json(head, entries) {
    yield `{"export": ${JSON.stringify(head)},`
    yield '"listed": ['
    for (const [i, entry] of entries.entries()) {
      const { by, ticket, because } = entry.ruling
      const row = { network: keyOf(entry), until: untilOf(entry), by, ticket, because }
      yield `${JSON.stringify(row)}${i < entries.length - 1 ? ',' : ''}`
    }
    yield ']}'
  },
}

const REASON = 'refused by local policy; to ask why, quote your address to the postmaster'
const REFUSAL = `REJECT 5.7.1 ${REASON}`
/** The longest that ipset knows, in seconds; a longer block is renewed by the next export. */
const IPSET_SECONDS_MAX = 2_147_483

export const CONTENT_TYPES: Record<Format, string> = {
  plain: 'text/plain; charset=utf-8',
  cidr: 'text/plain; charset=utf-8',
  nft: 'text/plain; charset=utf-8',
  ipset: 'text/plain; charset=utf-8',
  rbldnsd: 'text/plain; charset=utf-8',
  csv: 'text/csv; charset=utf-8',
  json: 'application/json',
}

/** In nft and ipset an entry's time runs from when it is loaded: such a file is only true when it is new. */
export function countsDown(format: Format): boolean {
  return ALIKE[format] === endsWith
}

function* comments({ format, made, generation, rules, mode, listings, entries, digest }: Head): Generator<string> {
  yield `# decoymx export ${format}: who is refused. Written by a program: changes are lost.`
  yield `# made ${made} generation ${generation} rules ${rules} mode ${mode}`
  yield `# listings ${listings} entries ${entries} digest ${digest}`
}

/** What the beginning of a file says of it; undefined: it is no export of ours. */
export function headOf(text: string): Head | undefined {
  const found =
    /^# decoymx export (?<format>\w+): .*\n# made (?<made>\S+) generation (?<generation>\d+) rules (?<rules>\w+) mode (?<mode>\w+)\n# listings (?<listings>\d+) entries (?<entries>\d+) digest (?<digest>\w+)\n/.exec(
      text,
    )?.groups ?? /^\{"export": (?<json>\{.*\}),\n/.exec(text)?.groups
  if (!found) return undefined
  try {
    const { format, made, generation, rules, mode, listings, entries, digest } =
      found['json'] === undefined ? found : (JSON.parse(found['json']) as Record<string, string>)
    if (!FORMATS.includes(format as Format)) return undefined
    return {
      format: format as Format,
      made: String(made),
      generation: Number(generation),
      rules: String(rules),
      mode: mode === 'enforce' ? 'enforce' : 'observe',
      listings: Number(listings),
      entries: Number(entries),
      digest: String(digest),
    }
  } catch {
    return undefined
  }
}

/** A single IPv4 address without its length. */
function shortOf(entry: Entry): string {
  return entry.family === 4 && entry.length === 32 ? entry.address : keyOf(entry)
}

/** ipset's sets hold no network of all addresses. */
function halved(entry: Entry): Entry[] {
  if (entry.length > 0) return [entry]
  const second = entry.family === 4 ? '128.0.0.0' : '8000::'
  return [
    { ...entry, length: 1 },
    { ...entry, address: second, length: 1 },
  ]
}

function untilOf({ until }: Listed): string | null {
  return until === Infinity ? null : new Date(until).toISOString()
}

function field(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
