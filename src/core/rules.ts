/**
 * rules.yaml: read, checked, compiled. Only a sound document becomes Rules.
 *
 * The language is plain YAML that is read aloud as it stands: a rule counts one or more facts within a window, each
 * counted hour or sighting adds a weight that fades with a half-life, up to a cap. It can call nothing, so that it can be
 * checked before it runs.
 */
import { z } from 'zod'
import type { Client } from './client.ts'
import type { CreditTerms } from './credit.ts'
import { type Path, type Problem, didYouMean, duration, readDocument, show } from './document.ts'
import { type Instant, oneLine } from './evidence.ts'
import { FACT_NAMES, type FactName, HOUR_MS, RETENTION_MS } from './facts.ts'
import { Never } from './never.ts'
import { type Pools, poolsOf, poolsSchema } from './pools.ts'
import { Prefixes, parsePrefix, type Prefix } from './prefixes.ts'

export type Rule = {
  readonly name: string
  /** The order of visits can have honest reasons, and credit excuses it; a violation is what no mail server does. */
  readonly kind: 'order' | 'violation'
  /** In mode observe its weight is shown as what would have been, and refuses nobody. */
  readonly mode: Mode
  readonly counts: readonly FactName[]
  /** What is counted once: every sighting, or an hour with any. */
  readonly each: 'sighting' | 'hour'
  /** Facts of which one must have been seen within the window, too. Empty: no such condition. */
  readonly together: readonly FactName[]
  /** A sighting weighs nothing if the client or its network was seen at the real MX this long before it. */
  readonly unlessSeenMs: number | undefined
  /** Nor if the client itself tried the primary this long before it. */
  readonly unlessWalkedMs: number | undefined
  readonly weight: number
  readonly halfLifeMs: number
  readonly windowMs: number
  readonly cap: number
  readonly because: string
  readonly line: number
}

export type Mode = 'observe' | 'enforce'

export type AllowEntry = {
  readonly prefix: Prefix
  readonly because: string
  readonly until: Instant | undefined
  readonly line: number
}

/** The words that can stand about a client, the heaviest first. */
export const STANDINGS = ['block', 'defer', 'observe'] as const
export type Standing = (typeof STANDINGS)[number]

export type Rules = {
  readonly file: string
  readonly mode: Mode
  /** The mode of each verdict: its own, or else that of all. */
  readonly modes: Readonly<Record<Standing, Mode>>
  readonly thresholds: Readonly<Record<Standing, number>>
  /** How long a decision stands at least once it is made. */
  readonly standsMs: Readonly<Record<Standing, number>>
  readonly credit: CreditTerms
  /** The line that asks for it: strangers that never tried the primary are deferred once. */
  readonly unlisting: { readonly line: number } | undefined
  /** How long a client is believed about what may have honest reasons after an operator has released it. */
  readonly releaseGraceMs: number
  readonly list: readonly Rule[]
  readonly pools: Pools
  readonly allow: Prefixes<AllowEntry>
  /** The relays that our own mail comes from. */
  readonly relays: readonly Prefix[]
  /** Why this client can never be listed, or undefined: the relays, and what this host knows beyond (`withNever`). */
  readonly never: (client: Client) => string | undefined
  /** The protected domains that are written out, for those who ask DNS about them. */
  readonly domains: readonly string[]
  readonly protects: (domain: string) => boolean
  readonly isTrap: (address: string) => boolean
}

/** The same rules on a host that knows who else is ours. */
export function withNever(rules: Rules, never: Never): Rules {
  never.put(RELAY, rules.relays)
  return { ...rules, never: (client) => never.find(client) }
}

const RELAY = 'a relay of ours (relays in the rules)'

/** Bounds of one document; far beyond what a person keeps in one file. */
const RULES_MAX = 500
const WITHIN_MAX_MS = 24 * HOUR_MS
const ENTRIES_MAX = 10_000

export type RulesReading =
  { readonly ok: true; readonly rules: Rules } | { readonly ok: false; readonly problems: readonly Problem[] }

export function readRules(file: string, source: string): RulesReading {
  const read = readDocument(file, source, rulesSchema)
  if (!read.ok) return read
  return { ok: true, rules: compile(file, read.value, read.lineOf) }
}

const because = z
  .string()
  .max(1000)
  .transform(oneLine)
  .pipe(z.string().min(1).max(300))
  .describe('Why: read by the operator, and by the sender in the refusal')

const factName = z
  .string()
  .meta({ enum: FACT_NAMES })
  .refine((name): name is FactName => (FACT_NAMES as readonly string[]).includes(name), {
    error: (issue) => `no such fact: ${show(issue.input)}${hint(String(issue.input), FACT_NAMES)}`,
  })
const facts = z.union([factName.transform((name) => [name]), z.array(factName).min(1).max(FACT_NAMES.length)])

const prefix = z.string().transform((text, ctx): Prefix => {
  const read = parsePrefix(text)
  if (typeof read !== 'string') return read
  ctx.addIssue({ code: 'custom', message: read })
  return z.NEVER
})

const window = duration().refine((ms) => ms > 0 && ms <= RETENTION_MS, {
  error: 'expected a span above 0 and at most 31d, for which facts are kept',
})

const domain = z.string().regex(/^\.?([a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?$/i, {
  error: (issue) => `expected a domain like example.org, or .example.org for all below it, got ${show(issue.input)}`,
})

const mode = z.enum(['observe', 'enforce'])

const ruleSchema = z.strictObject({
  name: z
    .string()
    .regex(/^[a-z][a-z0-9-]{0,39}$/, { error: 'expected a short name in lower case with dashes, like talks-first' }),
  kind: z
    .enum(['order', 'violation'])
    .default('violation')
    .describe(
      'order: in which order it came to the MXs, which good credit excuses; violation: what no mail server does',
    ),
  mode: mode.default('enforce').describe('observe: shown as what would have been, and refuses nobody'),
  counts: facts.describe('The fact, or list of facts, that is counted'),
  each: z
    .enum(['sighting', 'hour'])
    .default('sighting')
    .describe('Count every sighting, or each hour with a sighting once'),
  together: facts.default([]).describe('Only if one of these was seen within the window, too'),
  'unless-seen': window
    .optional()
    .describe('Weighs nothing if the client or its network was at the real MX this long before'),
  'unless-walked': window
    .optional()
    .describe('Weighs nothing if the client tried the primary this long before: it walks the right way'),
  weight: z.number().min(0).max(1000).describe('What each adds; 0 makes a note without weight'),
  'half-life': duration()
    .refine((ms) => ms > 0, { error: 'expected a span above 0' })
    .describe('After this time half of the weight is left'),
  window: window.describe('Older sightings are not counted'),
  cap: z.number().min(0).max(10_000).default(1000).describe('The most this rule can add'),
  because,
})

const points = z.number().min(0).max(10_000)

const creditSchema = z
  .strictObject({
    walk: points.default(10).describe('What each hour with a walk, from the primary to the real MX, adds to a client'),
    network: points.default(3).describe('What it adds to every client of the same network (/24, /48)'),
    'half-life': duration()
      .refine((ms) => ms > 0, { error: 'expected a span above 0' })
      .prefault('14d')
      .describe('After this time half of it is left, if there is no other walk'),
    cap: points.default(30).describe("The most that a client's own walks come to"),
    'network-cap': points.default(9).describe("The most that the network's walks come to"),
    good: points.positive().default(5).describe('From this on rules of kind order weigh nothing'),
    within: duration()
      .refine((ms) => ms > 0 && ms <= WITHIN_MAX_MS, { error: 'expected a span above 0 and at most 1d' })
      .prefault('1h')
      .describe('The real MX this long after the primary is still the same walk'),
  })
  .superRefine(({ walk, cap, good, 'network-cap': networkCap }, ctx) => {
    const most = Math.min(cap, walk > 0 ? cap : 0) + networkCap
    if (good > most)
      ctx.addIssue({
        code: 'custom',
        path: ['good'],
        message: `nobody could reach ${good}: the walks of a client and of its network come to at most ${most}`,
      })
  })
  .prefault({})
  .describe('Who has tried the primary and then come to the real MX is believed about the order of its visits')

const notDay = {
  error: ({ input }: { input?: unknown }) =>
    `expected a day like 2026-12-31, or an instant like 2026-12-31T12:00:00Z, got ${show(input)}`,
}
const end = z.iso
  .datetime({ offset: true, ...notDay })
  .or(z.iso.date(notDay))
  .describe('From then on it is judged again')

const level = z.number().positive().max(100_000)

export const rulesSchema = z
  .strictObject({
    mode: mode.describe('observe: decide and show, refuse nothing'),
    modes: z
      .strictObject({ observe: mode.optional(), defer: mode.optional(), block: mode.optional() })
      .default({})
      .describe('Another mode for one verdict, like defer: observe'),
    domains: z.array(domain).min(1).max(ENTRIES_MAX).describe('The domains we protect'),
    traps: z.array(z.email()).max(ENTRIES_MAX).default([]).describe('Addresses that exist only to be harvested'),
    thresholds: z.strictObject({ observe: level, defer: level, block: level }),
    stands: z
      .strictObject({ observe: window, defer: window, block: window })
      .describe('How long a decision stands at least, once made'),
    credit: creditSchema,
    unlisting: z
      .boolean()
      .default(false)
      .describe(
        'Tell a stranger that never tried the primary "later", once; Exim servers skip it and pay with a retry',
      ),
    release: z
      .strictObject({
        grace: duration()
          .refine((ms) => ms <= RETENTION_MS, { error: 'expected at most 31d' })
          .prefault('24h')
          .describe('So long it is believed about the order of its visits and what else has excuses'),
      })
      .prefault({})
      .describe('A client that an operator has released'),
    rules: z.array(ruleSchema).max(RULES_MAX),
    pools: poolsSchema,
    allow: z
      .array(z.strictObject({ client: prefix, because, until: end.optional() }))
      .max(ENTRIES_MAX)
      .default([])
      .describe('Never judged'),
    relays: z
      .array(prefix)
      .max(ENTRIES_MAX)
      .default([])
      .describe('Hosts and networks that our own mail comes from: never listed, not even by hand'),
  })
  .superRefine((doc, ctx) => {
    const { observe, defer, block } = doc.thresholds
    if (!(observe <= defer && defer <= block))
      ctx.addIssue({
        code: 'custom',
        path: ['thresholds'],
        message: `expected observe <= defer <= block, got ${observe}, ${defer}, ${block}`,
      })
    repeated(doc.rules.map((rule) => rule.name)).forEach((i) =>
      ctx.addIssue({
        code: 'custom',
        path: ['rules', i, 'name'],
        message: `a rule named ${doc.rules[i]?.name} stands above already`,
      }),
    )
    repeated(doc.allow.map((entry) => entry.client.cidr)).forEach((i) =>
      ctx.addIssue({
        code: 'custom',
        path: ['allow', i, 'client'],
        message: `${doc.allow[i]?.client.cidr} stands above already`,
      }),
    )
  })

function compile(file: string, doc: z.output<typeof rulesSchema>, lineOf: (path: Path) => number): Rules {
  const exact = new Set<string>()
  const below: string[] = []
  for (const name of doc.domains.map(normal)) {
    if (name.startsWith('.')) below.push(name)
    else exact.add(name)
  }
  const traps = new Set(doc.traps.map((address) => address.toLowerCase()))
  const allow = doc.allow.map((entry, i): readonly [Prefix, AllowEntry] => [
    entry.client,
    {
      prefix: entry.client,
      because: entry.because,
      until: entry.until ? Date.parse(entry.until) : undefined,
      line: lineOf(['allow', i]),
    },
  ])
  return {
    file,
    mode: doc.mode,
    modes: {
      observe: doc.modes.observe ?? doc.mode,
      defer: doc.modes.defer ?? doc.mode,
      block: doc.modes.block ?? doc.mode,
    },
    thresholds: doc.thresholds,
    standsMs: doc.stands,
    credit: {
      walk: doc.credit.walk,
      network: doc.credit.network,
      halfLifeMs: doc.credit['half-life'],
      cap: doc.credit.cap,
      networkCap: doc.credit['network-cap'],
      good: doc.credit.good,
      withinMs: doc.credit.within,
    },
    unlisting: doc.unlisting ? { line: lineOf(['unlisting']) } : undefined,
    releaseGraceMs: doc.release.grace,
    list: doc.rules.map((rule, i) => ({
      name: rule.name,
      kind: rule.kind,
      mode: rule.mode,
      counts: rule.counts,
      each: rule.each,
      together: rule.together,
      unlessSeenMs: rule['unless-seen'],
      unlessWalkedMs: rule['unless-walked'],
      weight: rule.weight,
      halfLifeMs: rule['half-life'],
      windowMs: rule.window,
      cap: rule.cap,
      because: rule.because,
      line: lineOf(['rules', i]),
    })),
    pools: poolsOf(doc.pools),
    allow: Prefixes.of(allow),
    relays: doc.relays,
    never: neverOf(doc.relays),
    domains: [...exact],
    protects: (name) => exact.has(normal(name)) || below.some((suffix) => normal(name).endsWith(suffix)),
    isTrap: (address) => traps.has(address.toLowerCase()),
  }
}

function neverOf(relays: readonly Prefix[]): Rules['never'] {
  const never = new Never()
  never.put(RELAY, relays)
  return (client) => never.find(client)
}

/** Lower case, without the root's dot. */
function normal(domainName: string): string {
  return domainName.toLowerCase().replace(/\.$/, '')
}

function repeated(names: readonly string[]): number[] {
  return names.flatMap((name, i) => (names.indexOf(name) < i ? [i] : []))
}

function hint(word: string, known: readonly string[]): string {
  const found = didYouMean(word, known)
  return found ? ` (${found})` : `; facts are named like backup.early-talk, see docs/facts.md`
}
