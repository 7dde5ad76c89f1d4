/**
 * What a schema finds wrong, in the words of a person: where, what was expected, what came, and a hint where one helps. All of it
 * in one go; of a key that is misspelt the right one is not told to be missing, too.
 *
 * It is the same for a file (document.ts) and for the body of a request, whose keys are called fields.
 */
import { z } from 'zod'
import { didYouMean, nearest } from './likely.ts'
import type { Code } from './problems.ts'
import { A_SPAN } from './span.ts'

export type Path = readonly PropertyKey[]

export type Complaint = {
  readonly path: Path
  readonly message: string
  readonly hint: string | undefined
  readonly code: Code
  /** It is the key that is wrong. */
  readonly atKey: boolean
  /** A place within the text that it is about. */
  readonly at?: number | undefined
  readonly width?: number | undefined
}

/** Most problems told at once, and most that are looked at for it. */
export const PROBLEMS_MAX = 50
const ISSUES_MAX = 500

/** Keys that had a meaning once, and what to write in their place. */
export type Replaced = Readonly<Record<string, string>>

/** @param error - of a value read with `reportInput` */
export function complaintsOf(
  error: z.ZodError,
  schema: z.ZodType,
  key: 'key' | 'field',
  replaced: Replaced = {},
): Complaint[] {
  let known: Set<string> | undefined
  const words = () => (known ??= schemaWords(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' })))
  const issues = error.issues.flatMap(flatten).slice(0, ISSUES_MAX)
  // Who misspells a key has not forgotten it.
  const meant = new Set<string>()
  for (const issue of issues)
    for (const name of issue.code === 'unrecognized_keys' ? issue.keys.slice(0, PROBLEMS_MAX) : [])
      meant.add(named([...issue.path, nearest(name, words()) ?? name]))
  return issues.flatMap((issue): Complaint[] => {
    if (issue.code === 'unrecognized_keys')
      return issue.keys.slice(0, PROBLEMS_MAX).map((name) => unknownKey([...issue.path, name], issue))
    if ('input' in issue && issue.input === undefined && meant.has(named(issue.path))) return []
    const said: Said = issue.code === 'custom' ? (issue.params ?? {}) : {}
    const { path } = issue
    const { at, width, hint = meantBy(issue), code = codeOf(issue) } = said
    return [{ path, message: sentence(issue, key), hint, code, atKey: false, at, width }]
  })

  function unknownKey(path: Path, { keys, input, path: parent }: Unknown): Complaint {
    const name = String(path.at(-1))
    const instead = replaced[name]
    if (instead) return { path, message: 'this has another name now', hint: instead, code: 'R008', atKey: true }
    const lone = keys.length === 1 ? wantedFor((input as Record<string, unknown>)[name], parent) : undefined
    const elsewhere = words().has(name) ? `there is a ${name} elsewhere: is this the right place?` : undefined
    const hint = lone ?? elsewhere ?? didYouMean(name, words())
    return { path, message: `no such ${key}`, hint, code: 'D010', atKey: true }
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
}

/** What was most likely meant by a value that is wrong. */
function meantBy(issue: Issue): string | undefined {
  if (typeof issue.input !== 'string') return unitless(issue)
  const values = issue.code === 'invalid_value' ? issue.values.map(String) : []
  return didYouMean(issue.input, values) ?? unquoted(issue) ?? bracketed(issue)
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
function sentence(issue: Issue, key: 'key' | 'field'): string {
  if (!/^(Invalid (input|option)|Too (small|big)):/.test(issue.message)) return issue.message
  switch (issue.code) {
    case 'invalid_type':
      return issue.input === undefined
        ? `missing; expected ${called(issue.expected, key)}`
        : `expected ${called(issue.expected, key)}, got ${show(issue.input)}`
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
function called(type: string, key: 'key' | 'field'): string {
  return type === 'object' && key === 'field' ? 'a JSON object' : (CALLED[type] ?? type)
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

/** A path as it is told. @param whole - what is told of all there is */
export function named(path: Path, whole = 'the document'): string {
  const words = path.map(String).map((word) => (/^[\p{L}\p{N}\p{P}\p{S} ]{1,60}$/u.test(word) ? word : show(word)))
  return words.length === 0 ? whole : words.join('.')
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
