/**
 * The condition of a rule: `backup.contact >= 3 within 24h and real.contact == 0 within 48h`.
 *
 *     condition   = and-part { "or" and-part }
 *     and-part    = part { "and" part }
 *     part        = comparison | "(" condition ")"
 *     comparison  = [ "network" ] fact ( ">=" | ">" | "==" | "<=" | "<" ) number [ "within" span ]
 *
 * It can call nothing, and names only what is counted anyway, so that it can be checked before it runs: every mistake has the
 * column it stands in. `network`: what was seen of the whole /24 or /48, the client included.
 *
 * Presence is counted back from now, absence back from the last sighting that the rule counts; what came after that sighting
 * is seen, too. So a condition never comes true by mere waiting, and a sum only falls while nothing is seen.
 */
import { didYouMean } from './likely.ts'
import type { Instant } from './evidence.ts'
import {
  type Bucket,
  type Counts,
  type Facts,
  factsOf,
  isRuleFact,
  RETENTION_MS,
  RULE_FACTS,
  type RuleFact,
} from './facts.ts'
import { parseSpan, spellSpan } from './span.ts'

export type Condition = { readonly all: readonly Condition[] } | { readonly any: readonly Condition[] } | Comparison

export type Comparison = {
  readonly of: 'client' | 'network'
  readonly fact: RuleFact
  readonly is: Operator
  readonly n: number
  /** Undefined: the window of the rule. */
  readonly withinMs: number | undefined
}

const OPERATORS = ['>=', '<=', '==', '>', '<'] as const
type Operator = (typeof OPERATORS)[number]

/** A mistake in the text of a condition: from this character on, so many. */
export type Slip = {
  readonly at: number
  readonly width: number
  readonly code: 'R001' | 'R002' | 'R006'
  readonly message: string
  readonly hint?: string | undefined
}

/** Bounds of one condition: what a person can still read aloud. */
const TEXT_MAX = 500
const COMPARISONS_MAX = 16
const DEPTH_MAX = 4
const NUMBER_MAX = 1_000_000

/** The condition, or its first mistake. */
export function readCondition(text: string): Condition | Slip {
  if (text.length > TEXT_MAX)
    return {
      at: 0,
      width: 1,
      code: 'R002',
      message: `a condition has at most ${TEXT_MAX} characters, this ${text.length}`,
    }
  try {
    return new Reader(text).whole()
  } catch (error) {
    if (error instanceof Stumble) return error.slip
    throw error
  }
}

export function isSlip(read: Condition | Slip): read is Slip {
  return 'message' in read
}

/**
 * Until when the condition holds if nothing more is seen; -Infinity: it does not hold. `counted` is the last sighting that
 * the rule counts.
 */
export function holdsUntil(
  condition: Condition,
  facts: Facts,
  windowMs: number,
  now: Instant,
  counted: Instant,
): Instant {
  const ends = (parts: readonly Condition[]) => parts.map((part) => holdsUntil(part, facts, windowMs, now, counted))
  if ('all' in condition) return Math.min(...ends(condition.all))
  if ('any' in condition) return Math.max(...ends(condition.any))
  const { of, fact, is, n, withinMs = windowMs } = condition
  const counts = of === 'client' ? facts.own : facts.network
  const least = is === '>=' || is === '==' ? n : is === '>' ? n + 1 : 0
  const most = is === '<=' || is === '==' ? n : is === '<' ? n - 1 : Infinity
  const since = (from: Instant) => factsOf(fact).flatMap((name) => seenAfter(counts, name, from))
  if (totalOf(since(counted - withinMs)) > most) return -Infinity
  if (least === 0) return Infinity
  let sightings = 0
  for (const { count, last } of since(now - withinMs).toSorted((a, b) => b.last - a.last)) {
    sightings += count
    if (sightings >= least) return last + withinMs
  }
  return -Infinity
}

/** What of the condition does not hold: of parts that are all wanted, those. The condition itself does not hold now. */
export function lackingOf(
  condition: Condition,
  facts: Facts,
  windowMs: number,
  now: Instant,
  counted: Instant,
): Condition {
  if (!('all' in condition)) return condition
  const lacking = condition.all.filter((part) => holdsUntil(part, facts, windowMs, now, counted) <= now)
  const [first] = lacking
  return first && lacking.length === 1 ? lackingOf(first, facts, windowMs, now, counted) : { all: lacking }
}

/** Every comparison in it, in the order of the text. */
export function comparisonsOf(condition: Condition): readonly Comparison[] {
  if ('all' in condition) return condition.all.flatMap(comparisonsOf)
  if ('any' in condition) return condition.any.flatMap(comparisonsOf)
  return [condition]
}

/** The text that reads as this condition. */
export function spellCondition(condition: Condition): string {
  const inner = (part: Condition) => (isComparison(part) ? spellCondition(part) : `(${spellCondition(part)})`)
  if ('all' in condition) return condition.all.map(inner).join(' and ')
  if ('any' in condition) return condition.any.map(inner).join(' or ')
  const { of, fact, is, n, withinMs } = condition
  return `${of === 'network' ? 'network ' : ''}${fact} ${is} ${n}${withinMs === undefined ? '' : ` within ${spellSpan(withinMs)}`}`
}

function isComparison(condition: Condition): condition is Comparison {
  return 'fact' in condition
}

function seenAfter(counts: Counts, fact: Parameters<Counts['get']>[0], from: Instant): readonly Bucket[] {
  return (counts.get(fact) ?? []).filter(({ last }) => last > from)
}

function totalOf(buckets: readonly Bucket[]): number {
  return buckets.reduce((sum, { count }) => sum + count, 0)
}

type Token = { readonly text: string; readonly at: number }

class Stumble extends Error {
  readonly slip: Slip
  constructor(slip: Slip) {
    super(slip.message)
    this.slip = slip
  }
}

const TOKEN = /\s+|[()]|[<>=!≥≤≠&|]+|[^\s()<>=!≥≤≠&|]+/gu

/** Reads from left to right, one token ahead. */
class Reader {
  readonly #text: string
  readonly #tokens: readonly Token[]
  #next = 0
  #comparisons = 0

  constructor(text: string) {
    this.#text = text
    this.#tokens = [...text.matchAll(TOKEN)]
      .filter(([token]) => token.trim() !== '')
      .map((match) => ({ text: match[0], at: match.index }))
  }

  whole(): Condition {
    const condition = this.#either(0)
    const rest = this.#peek()
    if (rest)
      this.#stop(
        rest,
        `expected "and", "or" or the end, got "${rest.text}"`,
        hintFor(rest.text, ['and', 'or', 'within']),
      )
    return condition
  }

  #either(depth: number): Condition {
    const any = [this.#every(depth)]
    while (this.#take('or')) any.push(this.#every(depth))
    return any.length === 1 ? (any[0] as Condition) : { any }
  }

  #every(depth: number): Condition {
    const all = [this.#part(depth)]
    while (this.#take('and')) all.push(this.#part(depth))
    return all.length === 1 ? (all[0] as Condition) : { all }
  }

  #part(depth: number): Condition {
    const open = this.#peek()
    if (!open || !this.#take('(')) return this.#comparison()
    if (depth === DEPTH_MAX) this.#stop(open, `at most ${DEPTH_MAX} brackets stand within each other`)
    const condition = this.#either(depth + 1)
    if (this.#take(')')) return condition
    return this.#stop(this.#peek() ?? open, 'this bracket is not closed: expected ")"')
  }

  #comparison(): Comparison {
    if (this.#comparisons++ === COMPARISONS_MAX)
      this.#stop(this.#peek(), `at most ${COMPARISONS_MAX} comparisons stand in one condition`)
    const of = this.#take('network') ? 'network' : 'client'
    const fact = this.#fact()
    const is = this.#operator(fact)
    const n = this.#number(is)
    return { of, fact, is, n, withinMs: this.#take('within') ? this.#span() : undefined }
  }

  #fact(): RuleFact {
    const token = this.#peek()
    if (!token || /^[()<>=!≥≤≠&|]/u.test(token.text) || token.text === 'and' || token.text === 'or')
      return this.#stop(
        token,
        `expected a fact, got ${token ? `"${token.text}"` : 'the end'}`,
        'a condition reads like backup.contact >= 3 within 24h',
      )
    if (!isRuleFact(token.text)) {
      const known = hintFor(token.text, RULE_FACTS)
      return this.#stop(
        token,
        `no such fact: "${token.text.slice(0, 60)}"`,
        known ?? 'facts are named like backup.early-talk, see docs/facts.md',
        'R001',
      )
    }
    this.#next++
    return token.text
  }

  #operator(fact: RuleFact): Operator {
    const token = this.#peek()
    const is = OPERATORS.find((each) => each === token?.text)
    if (!is)
      return this.#stop(
        token,
        `expected >=, >, ==, <= or < after ${fact}, got ${token ? `"${token.text}"` : 'the end'}`,
        NEAR[token?.text ?? ''] ?? (token ? undefined : `for "seen at all" write ${fact} >= 1`),
      )
    this.#next++
    return is
  }

  #number(is: Operator): number {
    const token = this.#peek()
    const n = /^\d{1,7}$/.test(token?.text ?? '') ? Number(token?.text) : Number.NaN
    if (!(n <= NUMBER_MAX))
      return this.#stop(
        token,
        `expected a whole number up to ${NUMBER_MAX} after ${is}, got ${token ? `"${token.text.slice(0, 60)}"` : 'the end'}`,
      )
    if (n === 0 && is === '<')
      return this.#stop(token, 'nothing is counted less than 0 times', 'for "never seen" write == 0')
    if (n === 0 && is === '>=') return this.#stop(token, '>= 0 is always so', 'for "seen at all" write >= 1')
    this.#next++
    return n
  }

  #span(): number {
    const token = this.#peek()
    const ms = token && parseSpan(token.text)
    if (!token || ms === undefined)
      return this.#stop(
        token,
        `expected a time span like 15m, 24h or 7d after within, got ${token ? `"${token.text.slice(0, 60)}"` : 'the end'}`,
      )
    if (ms <= 0 || ms > RETENTION_MS)
      return this.#stop(token, 'expected a span above 0 and at most 31d, for which facts are kept', undefined, 'R006')
    this.#next++
    return ms
  }

  #peek(): Token | undefined {
    return this.#tokens[this.#next]
  }

  #take(word: string): boolean {
    if (this.#peek()?.text !== word) return false
    this.#next++
    return true
  }

  #stop(token: Token | undefined, message: string, hint?: string, code: Slip['code'] = 'R002'): never {
    const end = this.#text.trimEnd().length
    throw new Stumble({ at: token?.at ?? end, width: token?.text.length ?? 1, code, message, hint })
  }
}

/** What people write elsewhere. */
const NEAR: Readonly<Record<string, string>> = {
  '=': 'equal is ==',
  '===': 'equal is ==',
  '=>': 'did you mean >=?',
  '=<': 'did you mean <=?',
  '≥': 'did you mean >=?',
  '≤': 'did you mean <=?',
  '!=': 'write == 0 for never, >= 1 for at least once',
  '<>': 'write == 0 for never, >= 1 for at least once',
  '≠': 'write == 0 for never, >= 1 for at least once',
}

function hintFor(word: string, known: readonly string[]): string | undefined {
  if (word === '&&' || word === '&') return 'did you mean and?'
  if (word === '||' || word === '|') return 'did you mean or?'
  // The plural, as people say it: backup.contacts.
  return known.includes(word.replace(/s$/, '')) ? `did you mean ${word.replace(/s$/, '')}?` : didYouMean(word, known)
}
