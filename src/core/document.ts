/**
 * Reads YAML that a person wrote against a schema. Every mistake is found in one go, and each has its line, its column,
 * what was expected, what came, and a hint where one helps.
 *
 * The file's size and its aliases are bounded, because a rules file can come from anywhere (alias bombs, deep nesting).
 */
import { isMap, isNode, isScalar, LineCounter, type Node, parseDocument } from 'yaml'
import { z } from 'zod'

export type Problem = {
  readonly file: string
  readonly line: number
  readonly column: number
  readonly message: string
  readonly hint?: string | undefined
}

export type Path = readonly PropertyKey[]

export type Reading<Value> =
  | { readonly ok: true; readonly value: Value; readonly lineOf: (path: Path) => number }
  | { readonly ok: false; readonly problems: readonly Problem[] }

/** Largest document in characters, and most problems told at once. */
export const DOCUMENT_MAX = 262_144
const PROBLEMS_MAX = 50
const ALIASES_MAX = 20

export function readDocument<Schema extends z.ZodType>(
  file: string,
  source: string,
  schema: Schema,
): Reading<z.output<Schema>> {
  if (source.length > DOCUMENT_MAX)
    return sayAt(file, 1, 1, `the file has ${source.length} characters; at most ${DOCUMENT_MAX} are read`)
  const counter = new LineCounter()
  const doc = parseDocument(source, {
    lineCounter: counter,
    uniqueKeys: true,
    strict: true,
    merge: false,
    prettyErrors: false,
    logLevel: 'error', // a list or map as a key would be warned of on stderr; the schema tells of it in its place
  })
  const place = (offset: number) => {
    const { line, col } = counter.linePos(offset)
    return { file, line: Math.max(line, 1), column: Math.max(col, 1) }
  }
  const slips = [...doc.errors, ...doc.warnings]
  if (slips.length > 0)
    return {
      ok: false,
      problems: slips.slice(0, PROBLEMS_MAX).map((slip) => ({ ...place(slip.pos[0]), message: yamlSlip(slip) })),
    }

  let plain: unknown
  try {
    plain = doc.toJS({ maxAliasCount: ALIASES_MAX }) ?? {}
  } catch (error) {
    return sayAt(file, 1, 1, `not readable as plain data: ${(error as Error).message}`)
  }
  const lineOf = (path: Path): number => place(offsetOf(path)).line
  const read = schema.safeParse(plain, { reportInput: true })
  if (read.success) return { ok: true, value: read.data, lineOf }

  const words = () => schemaWords(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }))
  const problems = read.error.issues.flatMap(flatten).flatMap((issue): Problem[] => {
    if (issue.code === 'unrecognized_keys')
      return issue.keys.map((key) => ({
        ...place(offsetOf([...issue.path, key], true)),
        message: `${named([...issue.path, key])}: no such key`,
        hint: words().has(key) ? `there is a ${key} elsewhere: is this the right place?` : didYouMean(key, words()),
      }))
    const values = issue.code === 'invalid_value' ? issue.values.map(String) : []
    const hint = typeof issue.input === 'string' ? didYouMean(issue.input, values) : undefined
    return [{ ...place(offsetOf(issue.path)), message: `${named(issue.path)}: ${sentence(issue)}`, hint }]
  })
  return { ok: false, problems: problems.sort((a, b) => a.line - b.line || a.column - b.column).slice(0, PROBLEMS_MAX) }

  /** Where the deepest part of `path` that exists stands. */
  function offsetOf(path: Path, atKey = false): number {
    for (let n = path.length; n > 0; n--) {
      const parent = n === 1 ? doc.contents : doc.getIn(path.slice(0, n - 1), true)
      if (isMap(parent)) {
        const pair = parent.items.find((item) => isScalar(item.key) && String(item.key.value) === String(path[n - 1]))
        const node = (atKey || !pair?.value ? pair?.key : pair.value) as Node | undefined
        if (node?.range) return node.range[0]
        continue
      }
      const node = doc.getIn(path.slice(0, n), true)
      if (isNode(node) && node.range) return node.range[0]
    }
    return isNode(doc.contents) ? (doc.contents.range?.[0] ?? 0) : 0
  }
}

/** `file:line:col: message (hint)`: the form that editors and people jump by. */
export function spellProblem(problem: Problem): string {
  const hint = problem.hint ? ` (${problem.hint})` : ''
  return `${problem.file}:${problem.line}:${problem.column}: ${problem.message}${hint}`
}

/** A time span as people write it, in milliseconds: `90s`, `15m`, `24h`, `7d`, `2w`. */
export const duration = () =>
  z
    .string({ error: (issue) => `expected a time span like 15m, 24h or 7d, got ${show(issue.input)}` })
    .meta({ pattern: SPAN.source })
    .transform((text, ctx) => {
      const ms = parseDuration(text)
      if (ms !== undefined) return ms
      ctx.addIssue({ code: 'custom', message: `expected a time span like 15m, 24h or 7d, got ${show(text)}` })
      return z.NEVER
    })

export function parseDuration(text: string): number | undefined {
  const match = SPAN.exec(text.trim())
  return match ? Number(match[1]) * (UNIT_MS[match[2] as string] as number) : undefined
}

const SPAN = /^(\d{1,6})(ms|s|m|h|d|w)$/
const UNIT_MS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 }

/** The closest of the known words, as a hint; at most a third of the letters may differ. */
export function didYouMean(word: string, known: Iterable<string>): string | undefined {
  let best: string | undefined
  let least = Math.max(1, Math.floor(word.length / 3)) + 1
  for (const each of known) {
    const steps = distance(word.toLowerCase(), each.toLowerCase())
    if (steps < least) [best, least] = [each, steps]
  }
  return best === undefined ? undefined : `did you mean ${best}?`
}

/** Edits between two words (Levenshtein, row by row), where two letters that changed places are one slip. */
function distance(a: string, b: string): number {
  if (Math.max(a.length, b.length) > 64) return Infinity
  let [before, row]: [number[], number[]] = [[], Array.from({ length: b.length + 1 }, (_, j) => j)]
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const swapped = a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? (before[j - 2] ?? Infinity) + 1 : Infinity
      const changed = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min((row[j] as number) + 1, (next[j - 1] as number) + 1, changed, swapped))
    }
    ;[before, row] = [row, next]
  }
  return row[b.length] as number
}

type Issue = z.core.$ZodIssue

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
        ? `missing; expected ${issue.expected}`
        : `expected ${issue.expected}, got ${show(issue.input)}`
    case 'invalid_value':
      return `expected ${issue.values.map(String).join(' or ')}, got ${show(issue.input)}`
    case 'too_small':
      return `expected ${issue.origin === 'number' || issue.origin === 'int' ? 'a number' : 'a length'} of at least ${issue.minimum}, got ${show(issue.input)}`
    case 'too_big':
      return `expected ${issue.origin === 'number' || issue.origin === 'int' ? 'a number' : 'a length'} of at most ${issue.maximum}, got ${show(issue.input)}`
    default:
      return issue.message
  }
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

function yamlSlip(slip: { code: string; message: string }): string {
  return slip.code === 'DUPLICATE_KEY' ? 'this key stands here twice' : (slip.message.split('\n', 1)[0] as string)
}

function sayAt(file: string, line: number, column: number, message: string): { ok: false; problems: Problem[] } {
  return { ok: false, problems: [{ file, line, column, message }] }
}
