/**
 * What a sound rules file most likely did not mean: rules that can never hold, that refuse one polite visit, entries that
 * have ended. Warnings: the rules are read all the same.
 *
 * What can be tried is tried, with the functions that judge real clients: a polite visit and bare contacts are made up, and
 * `judge` says what would become of them.
 */
import { type Client, parseClient } from './client.ts'
import { type Comparison, comparisonsOf, type Condition } from './condition.ts'
import type { Path } from './complaints.ts'
import type { PlaceOf, Problem } from './document.ts'
import type { Instant } from './evidence.ts'
import { addSighting, type Bucket, type FactName, type Facts, factsOf, HOUR_MS } from './facts.ts'
import { Prefixes } from './prefixes.ts'
import type { Code } from './problems.ts'
import { type AllowEntry, type Rule, type Rules, STANDINGS } from './rules.ts'
import { judge, type Verdict } from './verdict.ts'

/**
 * Why nothing here tells of a fact; undefined: it is seen. `rests`: this host was set up without whoever would tell of it, so
 * that rules which count it rest here. That is no mistake of theirs; that its absence is true of everybody still is one.
 */
export type Unseen = (fact: FactName) => { readonly because: string; readonly rests: boolean } | undefined

/** The rules that weigh and have nothing to count here, and why; undefined: none. */
export function restingRules({ list }: Rules, unseen: Unseen): { rules: readonly Rule[]; because: string } | undefined {
  const rules = list.filter((rule) => rule.weight !== 0 && rests(rule.counts.map(unseen)))
  const because = rules[0]?.counts.map(unseen)[0]?.because
  return because === undefined ? undefined : { rules, because }
}

function rests(reasons: readonly ReturnType<Unseen>[]): boolean {
  return reasons.every((reason) => reason?.rests === true)
}

export function reviewRules(rules: Rules, placeOf: PlaceOf, now: Instant, unseen: Unseen): Problem[] {
  const problems: Problem[] = []
  const warn: Warn = (code, path, message, hint) =>
    problems.push({ file: rules.file, ...placeOf(path), code, warning: true, message, hint })
  reviewThresholds(rules, warn)
  for (const [i, rule] of rules.list.entries()) {
    reviewRule(rule, ['rules', i], warn)
    reviewSight(rule, ['rules', i], unseen, warn)
  }
  tryVisits(rules, warn)
  for (const [i, address] of rules.traps.entries())
    if (!rules.protects(address.slice(address.lastIndexOf('@') + 1)))
      warn('W008', ['traps', i], `the domain of ${address} is none of those under domains: nobody is ever caught by it`)
  reviewAnswers(rules, warn)
  for (const entry of rules.allow.values()) reviewEntry(entry, rules, now, warn)
  return problems.toSorted((a, b) => a.line - b.line || a.column - b.column)
}

type Warn = (code: Code, path: Path, message: string, hint?: string) => void

function reviewThresholds({ thresholds, list }: Rules, warn: Warn): void {
  const { observe, defer, block } = thresholds
  if (observe === defer)
    warn('W006', ['thresholds', 'defer'], `observe and defer are both ${defer}: nobody is ever only observed`)
  if (defer === block)
    warn('W006', ['thresholds', 'block'], `defer and block are both ${block}: nobody is ever only deferred`)
  const most = list.reduce((sum, { weight, cap }) => sum + (weight > 0 ? cap : 0), 0)
  for (const word of ['observe', 'defer', 'block'] as const)
    if (most < thresholds[word])
      warn(
        'W010',
        ['thresholds', word],
        `nobody reaches ${word} at ${thresholds[word]}: all rules together add at most ${most}`,
      )
}

function reviewRule(rule: Rule, path: Path, warn: Warn): void {
  const { name, weight, cap, when, counts, halfLifeMs, windowMs } = rule
  if (weight > 0 && cap === 0)
    warn('W001', [...path, 'cap'], `${name} never weighs: its cap is 0`, 'for a note without weight write weight: 0')
  else if (cap < weight)
    warn('W007', [...path, 'cap'], `the cap of ${name} is below its weight of ${weight}: one sighting reaches it`)
  if (weight > 0 && windowMs < halfLifeMs)
    warn(
      'W015',
      [...path, 'window'],
      `the window of ${name} is shorter than its half-life: a sighting ends before half of its weight has faded`,
      'two half-lives or more let it fade',
    )
  const all = when ? conjuncts(when) : []
  const absent = (fact: FactName) => all.some((each) => mostOf(each) === 0 && factsOf(each.fact).includes(fact))
  if (counts.every(absent))
    warn('W001', [...path, 'when'], `${name} never holds: what it counts must not have been seen`)
  else if (all.some((a) => all.some((b) => contradict(a, b))))
    warn('W001', [...path, 'when'], `${name} never holds: its condition contradicts itself`)
}

/** What must be so at the same time. */
function conjuncts(condition: Condition): readonly Comparison[] {
  if ('all' in condition) return condition.all.flatMap(conjuncts)
  return 'any' in condition ? [] : [condition]
}

function leastOf({ is, n }: Comparison): number {
  return is === '>=' || is === '==' ? n : is === '>' ? n + 1 : 0
}

function mostOf({ is, n }: Comparison): number {
  return is === '<=' || is === '==' ? n : is === '<' ? n - 1 : Infinity
}

/** So many within a span, and fewer within a wider one. */
function contradict(a: Comparison, b: Comparison): boolean {
  const wider = b.withinMs === undefined ? a.withinMs === undefined : (a.withinMs ?? Infinity) <= b.withinMs
  return a.of === b.of && a.fact === b.fact && wider && leastOf(a) > mostOf(b)
}

function reviewSight(rule: Rule, path: Path, unseen: Unseen, warn: Warn): void {
  const reasons = rule.counts.map(unseen)
  // A note without weight decides nothing, whether or not it is ever made.
  if (rule.weight !== 0 && reasons.every((reason) => reason !== undefined) && !rests(reasons))
    warn('W009', [...path, 'counts'], `${rule.name} never counts anything here: ${reasons[0]?.because}`)
  for (const comparison of rule.when ? comparisonsOf(rule.when) : []) {
    const why = factsOf(comparison.fact).map(unseen)
    if (!why.every((reason) => reason !== undefined)) continue
    const isTrue = leastOf(comparison) === 0
    if (!isTrue && rests(why)) continue
    const so = isTrue ? 'so this is true of everybody' : 'so this never holds'
    warn('W009', [...path, 'when'], `${comparison.fact} is never seen here, ${so}: ${why[0]?.because}`)
  }
  // In mode observe it refuses nobody, so that nobody misses an excuse: that is how `init` writes it without a primary.
  if (rule.mode === 'observe') return
  const [seen, walked] = [unseen('real.passed'), unseen('primary.contact')]
  if (rule.unlessSeenMs !== undefined && seen)
    warn('W009', [...path, 'unless-seen'], `excuses nobody here: ${seen.because}`)
  if (rule.unlessWalkedMs !== undefined && walked)
    warn(
      'W009',
      [...path, 'unless-walked'],
      `excuses nobody here: ${walked.because}`,
      'where nobody can be seen to walk the right way, this rule belongs in mode: observe',
    )
}

function reviewAnswers({ answers, exceptions, modes, thresholds, protects }: Rules, warn: Warn): void {
  if (!answers.text.includes('{ticket}'))
    warn('W014', ['answers', 'text'], 'a refused sender gets no code to quote: {ticket} is not in the text')
  for (const [i, each] of exceptions.entries()) {
    const inside = each.domain.startsWith('.') ? `x${each.domain}` : each.domain
    if (!protects(inside)) warn('W012', ['exceptions', i, 'domain'], `${each.domain} is none of those under domains`)
    const alike = STANDINGS.every(
      (word) => each.modes[word] === modes[word] && each.thresholds[word] === thresholds[word],
    )
    if (alike) warn('W013', ['exceptions', i], `for ${each.domain} nothing is different`)
  }
}

const T0: Instant = Date.UTC(2026, 0, 5)
const SOMEBODY = parseClient('198.51.100.1') as Client
/** What a mail server leaves that behaves, and what anybody can make it leave. */
const POLITE: readonly FactName[] = ['backup.contact', 'backup.recipient', 'backup.tls-hello', 'backup.dialect']
const BARE: readonly FactName[] = (['primary', 'backup'] as const).flatMap((role) =>
  (['contact', 'foreign-recipient', 'callout', 'tls-hello', 'dialect', 'hang-up'] as const).map(
    (kind): FactName => `${role}.${kind}`,
  ),
)
/** Hours, and sightings in each: more than any person's monitor makes, fewer than a record keeps. */
const HOURS = 80
const TIMES = 100

function tryVisits(rules: Rules, warn: Warn): void {
  const plain: Rules = { ...rules, allow: new Prefixes(), never: () => undefined }
  const visit = judge(SOMEBODY, seenAt(POLITE, [T0]), plain, T0)
  const blamed = blamedOf(visit, rules)
  if (blamed)
    warn(
      'W002',
      ['rules', blamed.index, 'weight'],
      `one polite visit would be ${blamed.word}: it reaches ${visit.score}`,
      'honest servers come here when the real MX is slow: each: hour, and a weight far below defer',
    )
  const hours = Array.from({ length: HOURS }, (_, i) => T0 + i * HOUR_MS)
  const contacts = judge(SOMEBODY, seenAt(BARE, hours, TIMES), plain, hours.at(-1) as Instant)
  const bare = blamedOf(contacts, rules)
  if (bare && bare.index !== blamed?.index)
    warn(
      'W003',
      ['rules', bare.index, 'weight'],
      `contacts alone would be ${bare.word}: without a recipient of ours they reach ${contacts.score}`,
      'add when: backup.recipient >= 1, or a cap below defer',
    )
}

function seenAt(facts: readonly FactName[], instants: readonly Instant[], times = 1): Facts {
  const counts = new Map<FactName, readonly Bucket[]>()
  for (const fact of facts) for (const at of instants) addSighting(counts, fact, at, times)
  return { own: counts, network: counts }
}

/** Where a verdict refuses: its word, and the rule that weighs most. */
function blamedOf({ reached, reasons }: Verdict, { list }: Rules): { word: string; index: number } | undefined {
  const word = reached.find((each) => each.word !== 'observe')?.word
  const heaviest = reasons.toSorted((a, b) => b.weight - a.weight)[0]
  if (!word || !heaviest) return undefined
  return {
    word: word === 'block' ? 'blocked' : 'deferred',
    index: list.findIndex(({ name }) => name === heaviest.rule),
  }
}

/** Shorter prefixes are most likely not meant. */
const WIDEST = { 4: 8, 6: 16 } as const

function reviewEntry(entry: AllowEntry, { allow }: Rules, now: Instant, warn: Warn): void {
  const { prefix, until = Infinity, index } = entry
  const path = ['allow', index]
  if (until <= now)
    return warn(
      'W005',
      [...path, 'until'],
      `${prefix.cidr} is judged again: this ended on ${new Date(until).toISOString().slice(0, 10)}`,
    )
  if (prefix.length < WIDEST[prefix.family])
    warn('W011', [...path, 'client'], `${prefix.cidr} is very wide: nobody in it is ever refused`)
  const inside = parseClient(prefix.cidr.slice(0, prefix.cidr.indexOf('/'))) as Client
  const wider = allow
    .findAll(inside)
    .find((other) => other.prefix.length < prefix.length && (other.until ?? Infinity) >= until)
  if (wider)
    warn(
      'W004',
      [...path, 'client'],
      `${prefix.cidr} lies within ${wider.prefix.cidr} on line ${wider.line}, which is allowed at least as long`,
    )
}
