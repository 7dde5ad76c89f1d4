/**
 * The operator's words over HTTP: allow, block and release of addresses, networks and pools; enlist and discard of what the
 * governor holds back. And the trail of all that was ever said.
 *
 * Each word is journalled with its reason and author before it takes effect. The answer says what it did, and also what it
 * did not: a release inside a blocked network leaves the client blocked, and whoever asked must not believe otherwise.
 */
import type { Context } from 'hono'
import { z } from 'zod'
import { type Client, clientOfKey } from '../core/client.ts'
import { neverListed } from '../core/never.ts'
import { show } from '../core/complaints.ts'
import { duration } from '../core/document.ts'
import { EVERYTHING, type Instant, NO_REASON, oneLine, type Word, WORDS } from '../core/evidence.ts'
import type { Never } from '../core/never.ts'
import { POOL_NAME } from '../core/pools.ts'
import { covers, parsePrefix, type Prefix } from '../core/prefixes.ts'
import type { Visitor } from '../core/rights.ts'
import { type AllowEntry, type Rules, STANDINGS } from '../core/rules.ts'
import { spellSpan } from '../core/span.ts'
import type { Reputation, Ruling } from '../reputation/reputation.ts'
import { sentencesOf } from './mistaken.ts'
import { iso } from './making-views.ts'
import type { WordView } from './views.ts'

export type WordsOptions = {
  readonly reputation: Pick<Reputation, 'rulings' | 'say' | 'waiting'>
  /** The networks of a pool of senders; undefined: there is none of this name. */
  readonly pool: (name: string) => readonly Prefix[] | undefined
  /** The allow-list of the rules file. */
  readonly allowed: () => readonly AllowEntry[]
  /** Which words of the rules, and of their exceptions, are told to askers. */
  readonly rules: () => Pick<Rules, 'modes' | 'exceptions'>
  /** Who can never be listed on this host. */
  readonly never: Pick<Never, 'within'>
  readonly now: () => Instant
}

/** Longest span for which an operator's word can be given; longer means: until released. */
const WORD_MS_MAX = 3660 * 24 * 3_600_000
/** An operator's word about a network wider than this is a slip until somebody insists (`force`). */
const WIDEST = { 4: 16, 6: 32 } as const
/** So many of those that a block does not touch are named. */
const SPARED_TOLD = 5
/** So many domains are named. */
const EXCEPTIONS_TOLD = 5

const A_TARGET = 'an IP address, a CIDR or a pool'

const text = (most: number) =>
  z
    .string({ error: wanting('a word or two') })
    .max(1000)
    .transform(oneLine)
    .pipe(z.string().min(1, 'expected a word or two, got nothing').max(most))
/** A word as it is asked for. */
export const saidSchema = z.strictObject({
  word: z.enum(WORDS),
  target: z
    .string({ error: wanting(A_TARGET) })
    .max(64, { abort: true })
    .superRefine((text, ctx) => {
      // Whether there is such a pool, and whether anything waits, is found out later.
      if (POOL_NAME.test(text)) return
      const read = parsePrefix(text, A_TARGET)
      if (typeof read === 'string') ctx.addIssue({ code: 'custom', message: read })
    })
    .describe('An IP address, a CIDR, or a pool; for enlist and discard also "all", for all that waits'),
  for: duration()
    .refine((ms) => ms > 0 && ms <= WORD_MS_MAX, {
      error: ({ input }) =>
        `expected a span above 0 and at most ten years, got ${spellSpan(Number(input))}; leave it out for good`,
    })
    .optional()
    .describe('How long it stands; without it until released'),
  because: text(300),
  author: text(100).optional().describe('Who says so, where the visitor has no name of its own: on the socket'),
  force: z.boolean().default(false).describe('It is meant, though it looks like a slip'),
})
type Said = z.output<typeof saidSchema>

/** What is told where it is no text, or missing; what else may be wrong is told elsewhere. */
function wanting(what: string): (issue: { readonly code?: string; readonly input?: unknown }) => string | undefined {
  return ({ code, input }) => {
    if (code !== 'invalid_type') return undefined
    return input === undefined ? `missing; expected ${what}` : `expected ${what}, got ${show(input)}`
  }
}

/** What is wrong with a word, each with the field it is in: as the API says it, for whoever finds nobody to say it to. */
export function mistakesIn(said: unknown): readonly string[] {
  const { error } = saidSchema.safeParse(said, { reportInput: true })
  return error ? sentencesOf(error, saidSchema, 'the word') : []
}

type Refusal = { readonly error: string; readonly hint?: string }

/** Whoever has a name of its own, by its token or its session, speaks in that. */
export async function heedWord(
  c: Context,
  said: Said,
  visitor: Visitor | undefined,
  options: WordsOptions,
): Promise<Response> {
  const author = visitor?.by === 'socket' ? (said.author ?? visitor.name) : (visitor?.name ?? '')
  const targets = targetsOf(said, options)
  if ('error' in targets) return c.json(targets, 400)
  if (said.word === 'enlist' || said.word === 'discard') return settle(c, said, author, targets, options)

  const rulings = [...options.reputation.rulings()]
  const untold = isUntold(said.word, options.rules())
  const notes = [
    ...(untold ? toldAllTheSame(options.rules()) : []),
    ...targets.flatMap((prefix) => notesOn(said.word, prefix, rulings, options)),
  ]
  const before = targets.length === 1 ? standingAt(targets[0] as Prefix, rulings) : undefined
  const at = options.now()
  const until = said.for === undefined ? undefined : at + said.for
  const { word, because } = said
  let outcome: 'applied' | 'waiting' = 'applied'
  for (const { cidr } of targets) {
    const done = await options.reputation.say({ type: 'word', at, word, target: cidr, until, because, author })
    if (done === 'lost') return c.json(UNWRITTEN, 503)
    if (done === 'waiting') outcome = done
  }
  const target = targets.length === 1 ? (targets[0]?.cidr ?? '') : said.target
  return c.json({
    outcome,
    word,
    target,
    until: until === undefined ? null : new Date(until).toISOString(),
    count: targets.length,
    ...(untold ? { untold } : {}),
    notes,
    stood: before ? { word: before.word, by: before.by, until: iso(before.until), because: before.because } : null,
  } satisfies WordView)
}

const UNWRITTEN = { error: 'the word could not be written to the journal', hint: 'see the log: is the disk full?' }

/** What a word is said of; none for all that waits. */
function targetsOf({ word, target, because, force }: Said, { pool, never }: WordsOptions): readonly Prefix[] | Refusal {
  const waits = word === 'enlist' || word === 'discard'
  if (waits && target === EVERYTHING) return []
  const prefixes = pool(target)
  if (prefixes?.length === 0)
    return {
      error: `no network of the pool "${target}" is known`,
      hint: 'its SPF record has not been read, or names none: decoymx doctor tells; or name the networks',
    }
  if (prefixes) return prefixes
  const prefix = parsePrefix(target)
  if (typeof prefix === 'string') return noPool(target)
  if (waits) return [prefix]
  const bold = boldnessOf(word, prefix, never)
  if (bold !== undefined && !force)
    return { error: bold, hint: 'say it again with --force and a --because if you mean it' }
  if (bold !== undefined && because === NO_REASON)
    return { error: `${bold}: that wants a reason`, hint: 'add --because "..."' }
  return [prefix]
}

function noPool(target: string): { readonly error: string; readonly hint: string } {
  return {
    error: `target: there is no pool named "${target}"`,
    hint: 'pools are those of pools.list in the rules, and the well-known senders; else name an IP address or a CIDR',
  }
}

/** Of a word that is mistaken otherwise: does it name a pool that there is not? */
export function unknownPool(
  said: unknown,
  { pool }: Pick<WordsOptions, 'pool'>,
): ReturnType<typeof noPool> | undefined {
  const read = namedSchema.safeParse(said)
  if (!read.success) return undefined
  const { target } = read.data
  const waits = target === EVERYTHING
  return waits || typeof parsePrefix(target) !== 'string' || pool(target) ? undefined : noPool(target)
}

const namedSchema = z.object({ target: z.string().regex(POOL_NAME) })

/** Why a word may be a slip, so that somebody must insist on it; undefined when it is none. */
function boldnessOf(word: Word['word'], prefix: Prefix, never: WordsOptions['never']): string | undefined {
  if (prefix.length < WIDEST[prefix.family]) return `${prefix.cidr} is wider than /${WIDEST[prefix.family]}`
  if (word !== 'block') return undefined
  const range = neverListed(clientOfKey(prefix.cidr) as Client)
  if (range !== undefined) return `${prefix.cidr} is never listed: ${range}`
  const spared = sparedIn(prefix, never)
  return spared.length > 0 ? `${prefix.cidr} is never listed, or holds what never is: ${spared.join(', ')}` : undefined
}

/** What of ours a block of this network does not touch. */
function sparedIn(prefix: Prefix, never: WordsOptions['never']): string[] {
  const told = never.within(prefix).map(({ cidr, what }) => `${cidr} (${what})`)
  const more = told.length > SPARED_TOLD ? [`and ${told.length - SPARED_TOLD} more`] : []
  return [...told.slice(0, SPARED_TOLD), ...more]
}

/** In mode observe a word against somebody stands, and nobody who asks hears of it. */
function isUntold(word: Word['word'], { modes }: Pick<Rules, 'modes'>): boolean {
  if (word === 'block') return modes.block === 'observe'
  return word === 'enlist' && STANDINGS.every((standing) => modes[standing] === 'observe')
}

function toldAllTheSame({ exceptions }: Pick<Rules, 'exceptions'>): string[] {
  const domains = exceptions.filter(({ modes }) => modes.block === 'enforce').map(({ domain }) => domain)
  const more = domains.length > EXCEPTIONS_TOLD ? [`and ${domains.length - EXCEPTIONS_TOLD} more`] : []
  return domains.length === 0
    ? []
    : [
        `told all the same of mail to ${[...domains.slice(0, EXCEPTIONS_TOLD), ...more].join(', ')}: exceptions in the rules`,
      ]
}

/** What a release or a block leaves as it is: said before the word, of what stands then. */
function notesOn(
  word: Word['word'],
  prefix: Prefix,
  rulings: readonly Ruling[],
  { reputation, allowed, never, now }: WordsOptions,
): string[] {
  if (word === 'allow') return []
  const around = rulings.filter(
    (ruling) => ruling.by === 'operator' && ruling.target !== prefix.cidr && within(prefix, ruling.target),
  )
  const entries = allowed().filter((entry) => (entry.until ?? Infinity) > now() && within(prefix, entry.prefix.cidr))
  const allows = [
    ...around.filter((ruling) => ruling.word === 'allow').map(({ target }) => `the allow of ${target}`),
    ...entries.map((entry) => `the rules file, line ${entry.line}`),
  ]
  if (word === 'block')
    return [
      ...allows.map((by) => `${prefix.cidr} stays allowed, by ${by}: allow stands above block`),
      ...sparedIn(prefix, never).map((spared) => `never listed all the same: ${spared}`),
    ]
  const blocks = around.filter((ruling) => ruling.word === 'block')
  return [
    ...(stood(prefix, rulings, reputation.waiting())
      ? []
      : [
          `nothing stood about ${prefix.cidr}; what was seen is forgotten, and the order of its visits is excused for a while, as after any release`,
        ]),
    ...allows.map((by) => `${prefix.cidr} stays allowed, by ${by}`),
    ...(allows.length > 0
      ? []
      : blocks.map(
          ({ target, ticket }) =>
            `${prefix.cidr} stays blocked, by the block of ${target} (${ticket}): allow it instead`,
        )),
  ]
}

/** What stands about this very target: the operator's word before that of the rules. */
function standingAt(prefix: Prefix, rulings: readonly Ruling[]): Ruling | undefined {
  const own = rulings.find(({ by, target, word }) => by === 'operator' && target === prefix.cidr && word !== 'release')
  if (own || prefix.length < (prefix.family === 4 ? 32 : 64)) return own
  const { key } = clientOfKey(prefix.cidr) as Client
  return rulings.find(({ by, target }) => by === 'rules' && target === key)
}

/** Was there anything to release? */
function stood(prefix: Prefix, rulings: readonly Ruling[], waiting: readonly { readonly client: Client }[]): boolean {
  return (
    waiting.some(({ client }) => covers(prefix, client)) ||
    rulings.some(({ by, target, word }) => {
      if (by === 'operator') return target === prefix.cidr && word !== 'release'
      return covers(prefix, clientOfKey(target) as Client)
    })
  )
}

/** Does this wider network hold the whole of the prefix? */
function within(prefix: Prefix, wider: string): boolean {
  const outer = parsePrefix(wider)
  return typeof outer !== 'string' && outer.length <= prefix.length && covers(outer, clientOfKey(prefix.cidr) as Client)
}

/** A word about listings that the governor holds back. */
async function settle(
  c: Context,
  said: Said,
  author: string,
  targets: readonly Prefix[],
  options: WordsOptions,
): Promise<Response> {
  const [prefix] = targets
  const count = options.reputation.waiting().filter(({ client }) => !prefix || covers(prefix, client)).length
  if (count === 0) return c.json({ error: 'no listing waits there', hint: 'decoymx governor shows what waits' }, 404)
  const { word, because } = said
  const target = prefix?.cidr ?? EVERYTHING
  const outcome = await options.reputation.say({ type: 'word', at: options.now(), word, target, because, author })
  if (outcome === 'lost') return c.json(UNWRITTEN, 503)
  const untold = isUntold(word, options.rules()) ? { untold: true } : {}
  return c.json({ outcome, word, target, until: null, count, ...untold, notes: [], stood: null } satisfies WordView)
}
