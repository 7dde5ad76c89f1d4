/**
 * rules.yaml: read, checked, compiled. Only a sound document becomes Rules.
 *
 * The language is plain YAML that is read aloud as it stands: a rule counts one or more facts within a window, each
 * counted hour or sighting adds a weight that fades with a half-life, up to a cap, and it may weigh only under a condition
 * (condition.ts). It can call nothing, so that it can be checked before it runs. docs/rules.md tells it to people.
 */
import type { z } from 'zod'
import type { Client } from './client.ts'
import type { Condition } from './condition.ts'
import type { CreditTerms } from './credit.ts'
import type { Path } from './complaints.ts'
import { type PlaceOf, type Problem, readDocument } from './document.ts'
import type { Instant } from './evidence.ts'
import { type FactName, factsOf } from './facts.ts'
import { Never } from './never.ts'
import { type Pools, poolsOf } from './pools.ts'
import { Prefixes, type Prefix } from './prefixes.ts'
import { given, normal, REPLACED, rulesSchema } from './rules-form.ts'

export type Rule = {
  readonly name: string
  /** The order of visits can have honest reasons, and credit excuses it; a violation is what no mail server does. */
  readonly kind: 'order' | 'violation'
  /** In mode observe its weight is shown as what would have been, and refuses nobody. */
  readonly mode: Mode
  readonly counts: readonly FactName[]
  /** What is counted once: every sighting, or an hour with any. */
  readonly each: 'sighting' | 'hour'
  /** It weighs only while this holds. */
  readonly when: Condition | undefined
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
  /** Its place in the list. */
  readonly index: number
}

/** The words that can stand about a client, the heaviest first. */
export const STANDINGS = ['block', 'defer', 'observe'] as const
export type Standing = (typeof STANDINGS)[number]

/** For mail to one domain, which only some askers know. */
export type Exception = {
  readonly domain: string
  readonly modes: Readonly<Record<Standing, Mode>>
  readonly thresholds: Readonly<Record<Standing, number>>
  readonly because: string
}

export type PolicyWord = 'DUNNO' | 'PREPEND' | 'DEFER_IF_PERMIT' | 'REJECT'

/** How verdicts that are enforced are told. */
export type Answers = {
  readonly policy: Readonly<Record<Standing, PolicyWord>>
  /** With {because} and {ticket} to be filled in. */
  readonly text: string
}

export type Rules = {
  readonly file: string
  readonly mode: Mode
  /** The mode of each verdict: its own, or else that of all. */
  readonly modes: Readonly<Record<Standing, Mode>>
  readonly thresholds: Readonly<Record<Standing, number>>
  readonly exceptions: readonly Exception[]
  /** Of those that hold the domain of a recipient, the narrowest. */
  readonly exceptionFor: (domain: string) => Exception | undefined
  readonly answers: Answers
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
  readonly traps: readonly string[]
  readonly isTrap: (address: string) => boolean
}

/** The same rules on a host that knows who else is ours. */
export function withNever(rules: Rules, never: Never): Rules {
  never.put(RELAY, rules.relays)
  return { ...rules, never: (client) => never.find(client) }
}

const RELAY = 'a relay of ours (relays in the rules)'

export type RulesReading =
  | { readonly ok: true; readonly rules: Rules; readonly placeOf: PlaceOf }
  | { readonly ok: false; readonly problems: readonly Problem[] }

export function readRules(file: string, source: string): RulesReading {
  const read = readDocument(file, source, rulesSchema, REPLACED)
  if (!read.ok) return read
  return { ok: true, rules: compile(file, read.value, read.placeOf), placeOf: read.placeOf }
}

/** The entry by which a client is never judged now: of those that have not ended the narrowest. */
export function allowedBy({ allow }: Pick<Rules, 'allow'>, client: Client, now: Instant): AllowEntry | undefined {
  const entry = allow.find(client)
  if (!entry || (entry.until ?? Infinity) > now) return entry
  return allow
    .findAll(client)
    .reduce<AllowEntry | undefined>(
      (best, each) =>
        (each.until ?? Infinity) > now && each.prefix.length >= (best?.prefix.length ?? 0) ? each : best,
      undefined,
    )
}

function compile(file: string, doc: z.output<typeof rulesSchema>, placeOf: PlaceOf): Rules {
  const lineOf = (path: Path): number => placeOf(path).line
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
      index: i,
    },
  ])
  const alike = (mode: Mode) => ({ observe: mode, defer: mode, block: mode })
  const modes = { ...alike(doc.mode), ...given(doc.modes) }
  const exceptions = doc.exceptions.map((entry) => ({
    domain: normal(entry.domain),
    modes: entry.mode ? alike(entry.mode) : modes,
    thresholds: { ...doc.thresholds, ...given(entry.thresholds) },
    because: entry.because,
  }))
  return {
    file,
    mode: doc.mode,
    modes,
    thresholds: doc.thresholds,
    exceptions,
    exceptionFor: finderOf(exceptions),
    answers: doc.answers,
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
      counts: [...new Set(rule.counts.flatMap(factsOf))],
      each: rule.each,
      when: rule.when,
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
    traps: doc.traps,
    isTrap: (address) => traps.has(address.toLowerCase()),
  }
}

function finderOf(exceptions: readonly Exception[]): Rules['exceptionFor'] {
  if (exceptions.length === 0) return () => undefined
  const byDomain = new Map(exceptions.map((each) => [each.domain, each]))
  return (name) => {
    const domain = normal(name)
    const exact = byDomain.get(domain)
    if (exact) return exact
    for (let dot = domain.indexOf('.'); dot >= 0; dot = domain.indexOf('.', dot + 1)) {
      const above = byDomain.get(domain.slice(dot))
      if (above) return above
    }
    return undefined
  }
}

function neverOf(relays: readonly Prefix[]): Rules['never'] {
  const never = new Never()
  never.put(RELAY, relays)
  return (client) => never.find(client)
}
