/**
 * Reads YAML that a person wrote against a schema. Every mistake is found in one go, and each has its line, its column, the
 * line itself, what was expected, what came, a hint where one helps, and a code (problems.ts).
 *
 * The file's size, nesting and aliases are bounded, because a rules file can come from anywhere (alias bombs, brackets).
 */
import { type Document, isMap, isNode, isScalar, type Node, parseDocument, visit } from 'yaml'
import { z } from 'zod'
import { didYouMean, nearest } from './likely.ts'
import type { Code } from './problems.ts'
import { slipsOf } from './slips.ts'
import { type Place, Places, stopIn } from './source.ts'

export type Problem = Place & {
  readonly file: string
  readonly message: string
  readonly hint?: string | undefined
  readonly code?: Code | undefined
  /** What is read all the same. */
  readonly warning?: true
}

export type Path = readonly PropertyKey[]

export type Reading<Value> =
  | { readonly ok: true; readonly value: Value; readonly lineOf: (path: Path) => number; readonly placeOf: PlaceOf }
  | { readonly ok: false; readonly problems: readonly Problem[] }

/** Where the deepest part of the path that exists stands: its value, or its key. */
export type PlaceOf = (path: Path, atKey?: boolean) => Place

/** Most problems told at once, and most that are looked at for it. */
const PROBLEMS_MAX = 50
const ISSUES_MAX = 500
const ALIASES_MAX = 20

/** Keys that had a meaning once, and what to write in their place. */
export type Replaced = Readonly<Record<string, string>>

export function readDocument<Schema extends z.ZodType>(
  file: string,
  source: string,
  schema: Schema,
  replaced: Replaced = {},
): Reading<z.output<Schema>> {
  const places = new Places(source)
  const place = (offset: number, width?: number): Place => places.place(offset, width)
  const stop = stopIn(source)
  if (stop) {
    const { at, ...rest } = stop
    return { ok: false, problems: [{ file, ...place(at), ...rest }] }
  }
  const doc = parseDocument(source, {
    uniqueKeys: false, // ours finds them faster, and says where the first stands
    strict: true,
    merge: false,
    prettyErrors: false,
    logLevel: 'error', // a list or map as a key would be warned of on stderr; the schema tells of it in its place
  })
  const problems = slipsOf(doc, source).map(({ at, width, ...said }): Problem => ({
    file,
    ...place(at, width),
    ...said,
  }))
  if (problems.length === 0)
    problems.push(
      ...keysTwice(doc).map(({ at, width, first, name }): Problem => {
        const message = `${name} stands here twice; the first is on line ${place(first).line}`
        return { file, ...place(at, width), code: 'D007', message }
      }),
    )
  if (problems.length > 0) return { ok: false, problems }

  let plain: unknown
  try {
    plain = doc.toJS({ maxAliasCount: ALIASES_MAX }) ?? {}
  } catch {
    const message = 'the aliases stand for more than is read, or for themselves'
    const hint = `write out what is meant; up to ${ALIASES_MAX} are followed`
    return { ok: false, problems: [{ file, ...place(...tooMuch(doc)), code: 'D009', message, hint }] }
  }
  const placeOf: PlaceOf = (path, atKey = false) => place(...spotOf(path, atKey))
  const read = schema.safeParse(plain, { reportInput: true })
  if (read.success) return { ok: true, value: read.data, lineOf: (path) => placeOf(path).line, placeOf }

  let known: Set<string> | undefined
  const words = () => (known ??= schemaWords(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' })))
  const issues = read.error.issues.flatMap(flatten).slice(0, ISSUES_MAX)
  // Who misspells a key has not forgotten it.
  const meant = new Set<string>()
  for (const issue of issues)
    for (const key of issue.code === 'unrecognized_keys' ? issue.keys.slice(0, PROBLEMS_MAX) : [])
      meant.add(named([...issue.path, nearest(key, words()) ?? key]))
  const found = issues.flatMap((issue): Problem[] => {
    if (issue.code === 'unrecognized_keys')
      return issue.keys.slice(0, PROBLEMS_MAX).map((key) => unknownKey([...issue.path, key], issue))
    if ('input' in issue && issue.input === undefined && meant.has(named(issue.path))) return []
    const values = issue.code === 'invalid_value' ? issue.values.map(String) : []
    const near =
      typeof issue.input === 'string'
        ? (didYouMean(issue.input, values) ?? unquoted(issue) ?? bracketed(issue))
        : unitless(issue)
    const said: Said = issue.code === 'custom' ? (issue.params ?? {}) : {}
    const within = said.at === undefined ? undefined : place(...spotWithin(issue.path, said.at, said.width ?? 1))
    const message = `${named(issue.path)}: ${sentence(issue)}`
    const code = said.code ?? codeOf(issue)
    return [{ file, ...(within ?? placeOf(issue.path)), message, hint: said.hint ?? near, code }]
  })
  return { ok: false, problems: found.sort((a, b) => a.line - b.line || a.column - b.column).slice(0, PROBLEMS_MAX) }

  function unknownKey(path: Path, { keys, input, path: parent }: Unknown): Problem {
    const key = String(path.at(-1))
    const at = { file, ...placeOf(path, true) }
    const instead = replaced[key]
    if (instead) return { ...at, message: `${named(path)}: this has another name now`, hint: instead, code: 'R008' }
    const lone = keys.length === 1 ? wantedFor((input as Record<string, unknown>)[key], parent) : undefined
    const elsewhere = words().has(key) ? `there is a ${key} elsewhere: is this the right place?` : undefined
    const hint = lone ?? elsewhere ?? didYouMean(key, words())
    return { ...at, message: `${named(path)}: no such key`, hint, code: 'D010' }
  }

  /** Where one key alone is missing beside one that is not known, and the value would do there, they are the same. */
  function wantedFor(value: unknown, parent: Path): string | undefined {
    const missing = issues.filter(
      (issue) =>
        'input' in issue &&
        issue.input === undefined &&
        issue.path.length === parent.length + 1 &&
        named(issue.path.slice(0, -1)) === named(parent),
    )
    const [only] = missing
    const fits =
      (only?.code === 'invalid_type' && only.expected === typeof value) ||
      (only?.code === 'invalid_value' && only.values.some((each) => each === value))
    return missing.length === 1 && fits ? `did you mean ${String(only.path.at(-1))}?` : undefined
  }

  /** Where the deepest part of `path` that exists stands, and how wide it is. */
  function spotOf(path: Path, atKey: boolean): [number, number] {
    for (let n = path.length; n > 0; n--) {
      const parent = n === 1 ? doc.contents : doc.getIn(path.slice(0, n - 1), true)
      let node: unknown
      if (isMap(parent)) {
        const pair = parent.items.find((item) => isScalar(item.key) && String(item.key.value) === String(path[n - 1]))
        node = atKey || !pair?.value ? pair?.key : pair.value
      } else node = doc.getIn(path.slice(0, n), true)
      if (isNode(node) && node.range) return [node.range[0], isScalar(node) ? node.range[1] - node.range[0] : 1]
    }
    return [isNode(doc.contents) ? (doc.contents.range?.[0] ?? 0) : 0, 1]
  }

  /** Where the character `at` of a text stands in the file, through quotes and folded lines. */
  function spotWithin(path: Path, at: number, width: number): [number, number] {
    const node = doc.getIn(path, true)
    if (!isScalar(node) || typeof node.value !== 'string' || !node.range) return spotOf(path, false)
    let [i, end] = [node.range[0], node.range[1]]
    if (node.type === 'QUOTE_DOUBLE' || node.type === 'QUOTE_SINGLE') i++
    if (node.type === 'BLOCK_FOLDED' || node.type === 'BLOCK_LITERAL') i = source.indexOf('\n', i) + 1
    for (const sign of node.value.slice(0, at)) {
      const blank = sign.trim() === ''
      while (i < end && (blank ? source[i]?.trim() !== '' : source[i] !== sign)) i++
      i += blank ? 0 : sign.length
      if (blank) while (i < end && source[i]?.trim() === '') i++
    }
    while (i < end && source[i]?.trim() === '' && at < node.value.length) i++
    return i < end || at >= node.value.length ? [Math.min(i, end), width] : spotOf(path, false)
  }
}

/** `file:line:col: message (hint)`: the form that editors and people jump by. */
export function spellProblem(problem: Problem): string {
  const hint = problem.hint ? ` (${problem.hint})` : ''
  return `${problem.file}:${problem.line}:${problem.column}: ${problem.message}${hint}`
}

/** What an issue of ours may carry: its code, a hint, and a place within the text it is about. */
type Said = { readonly code?: Code; readonly hint?: string | undefined; readonly at?: number; readonly width?: number }

function codeOf(issue: Issue): Code {
  switch (issue.code) {
    case 'invalid_type':
      return issue.input === undefined ? 'D011' : 'D012'
    case 'invalid_value':
      return issue.input === undefined ? 'D011' : 'D013'
    case 'too_small':
    case 'too_big':
      return 'D014'
    case 'custom':
      return issue.path.length === 0 ? 'D016' : 'D015'
    default:
      return 'D015'
  }
}

type Twice = { readonly at: number; readonly width: number; readonly first: number; readonly name: string }

function keysTwice(doc: Document.Parsed): Twice[] {
  const twice: Twice[] = []
  visit(doc, {
    Map(_, map) {
      const seen = new Map<string, number>()
      for (const { key } of map.items) {
        if (!isScalar(key) || !key.range) continue
        const name = String(key.value)
        const first = seen.get(name)
        if (first === undefined) seen.set(name, key.range[0])
        else if (twice.length < PROBLEMS_MAX)
          twice.push({ at: key.range[0], width: key.range[1] - key.range[0], first, name: named([name]) })
      }
    },
  })
  return twice
}

/** The alias with which it becomes too much: one that stands for others, or else the last that is allowed and one. */
function tooMuch(doc: Document.Parsed): [number, number] {
  const aliases: Node[] = []
  let multiplies: Node | undefined
  visit(doc, {
    Alias(_, alias) {
      aliases.push(alias)
      const target = alias.resolve(doc)
      let nested = false
      if (target) visit(target, { Alias: () => ((nested = true), visit.BREAK) })
      if (nested) multiplies ??= alias
      return aliases.length > ALIASES_MAX || multiplies ? visit.BREAK : undefined
    },
  })
  const range = (multiplies ?? aliases.at(-1))?.range
  return range ? [range[0], range[1] - range[0]] : [0, 1]
}

/** A time span as people write it, in milliseconds: `90s`, `15m`, `24h`, `7d`, `2w`. */
export const duration = () =>
  z
    .string({
      error: ({ input }) => (input === undefined ? `missing; ${A_SPAN}` : `${A_SPAN}, got ${show(input)}`),
    })
    .meta({ pattern: SPAN.source })
    .transform((text, ctx) => {
      const ms = parseDuration(text)
      if (ms !== undefined) return ms
      const message = `${A_SPAN}, got ${show(text)}`
      ctx.addIssue({ code: 'custom', message, params: { code: 'D015', hint: spanMeant(text) } })
      return z.NEVER
    })

export function parseDuration(text: string): number | undefined {
  const match = SPAN.exec(text.trim())
  return match ? Number(match[1]) * (UNIT_MS[match[2] as string] as number) : undefined
}

const A_SPAN = 'expected a time span like 15m, 24h or 7d'
const SPAN = /^(\d{1,6})(ms|s|m|h|d|w)$/
const UNIT_MS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 }

/** `7 days`, `1 H`: a span with its unit in other words, as a hint. */
function spanMeant(text: string): string | undefined {
  const match = /^(\d{1,6})\s*(ms|s|m|h|d|w|milliseconds?|sec(?:ond)?s?|min(?:ute)?s?|hours?|hrs?|days?|weeks?)$/i.exec(
    text.trim(),
  )
  const unit = match?.[2]?.toLowerCase()
  return unit && `did you mean ${match?.[1]}${/^(?:ms|milli)/.test(unit) ? 'ms' : unit[0]}?`
}

/** A span without its unit, as a hint; which unit was meant cannot be guessed. */
function unitless({ input, message }: Issue): string | undefined {
  if (!Number.isInteger(input) || !message.startsWith(A_SPAN)) return undefined
  const [first, ...others] = ['d', 'h', 'm', 's'].map((unit) => `${String(input)}${unit}`)
  return `did you mean ${others.toReversed().join(', ')} or ${first}?`
}

/** One entry where a list of them is expected, as a hint. */
function bracketed(issue: Issue): string | undefined {
  if (issue.code !== 'invalid_type' || issue.expected !== 'array' || typeof issue.input !== 'string') return undefined
  return `did you mean [${JSON.stringify(issue.input.slice(0, 100))}]?`
}

/** A number, or a yes or no, that was written as text, as a hint. */
function unquoted(issue: Issue): string | undefined {
  if (issue.code !== 'invalid_type' || typeof issue.input !== 'string') return undefined
  const text = issue.input.trim()
  if (issue.expected === 'number' && /^[+-]?\d+(?:\.\d+)?$/.test(text)) return `write it without quotes: ${text}`
  const truth = issue.expected === 'boolean' ? /^(?:(true|yes|on)|false|no|off)$/i.exec(text) : undefined
  return truth ? `did you mean ${truth[1] !== undefined}, without quotes?` : undefined
}

type Issue = z.core.$ZodIssue
type Unknown = z.core.$ZodIssueUnrecognizedKeys

/** The branch of a union that fits best says more than the union does. */
function flatten(issue: Issue): Issue[] {
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) return [issue]
  const best = issue.errors.reduce((a, b) => (b.length < a.length || depth(b) > depth(a) ? b : a))
  return best.map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] })).flatMap(flatten)
}

function depth(issues: readonly Issue[]): number {
  return Math.max(0, ...issues.map((issue) => issue.path.length))
}

/** Ours in place of zod's own sentences; what a schema says by itself stays. */
function sentence(issue: Issue): string {
  if (!/^(Invalid (input|option)|Too (small|big)):/.test(issue.message)) return issue.message
  switch (issue.code) {
    case 'invalid_type':
      return issue.input === undefined
        ? `missing; expected ${called(issue.expected)}`
        : `expected ${called(issue.expected)}, got ${show(issue.input)}`
    case 'invalid_value':
      return issue.input === undefined
        ? `missing; expected ${issue.values.map(String).join(' or ')}`
        : `expected ${issue.values.map(String).join(' or ')}, got ${show(issue.input)}`
    case 'too_small':
      return `expected ${sized(issue, issue.inclusive === false ? 'more than' : 'at least', issue.minimum)}, got ${show(issue.input)}`
    case 'too_big':
      return `expected ${sized(issue, issue.inclusive === false ? 'less than' : 'at most', issue.maximum)}, got ${show(issue.input)}`
    default:
      return issue.message
  }
}

function sized({ origin }: { origin: string }, bound: string, size: number | bigint): string {
  if (origin === 'array') return `a list of ${bound} ${size} ${size === 1 ? 'entry' : 'entries'}`
  if (origin === 'string') return `a text of ${bound} ${size} ${size === 1 ? 'character' : 'characters'}`
  return `a number of ${bound} ${size}`
}

/** What zod expects, in the words of a person. */
function called(type: string): string {
  return CALLED[type] ?? type
}

const CALLED: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'keys with their values',
  record: 'keys with their values',
}

/** What came, short enough for one line. */
export function show(value: unknown): string {
  const text = value === undefined ? 'nothing' : spell(value)
  return text.length > 60 ? `${text.slice(0, 57)}...` : text
}

/** An anchor may stand inside what it names; such a value has no JSON. */
function spell(value: unknown): string {
  try {
    return JSON.stringify(value) ?? String(value)
  } catch {
    return 'a value that contains itself'
  }
}

function named(path: Path): string {
  const words = path.map(String).map((word) => (/^[\p{L}\p{N}\p{P}\p{S} ]{1,60}$/u.test(word) ? word : show(word)))
  return words.length === 0 ? 'the document' : words.join('.')
}

/** Every key the schema knows anywhere. */
function schemaWords(node: unknown, found = new Set<string>()): Set<string> {
  if (typeof node !== 'object' || node === null) return found
  for (const [key, value] of Object.entries(node)) {
    if (key === 'properties') for (const name of Object.keys(value as object)) found.add(name)
    schemaWords(value, found)
  }
  return found
}
