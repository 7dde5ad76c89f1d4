/**
 * Reads YAML that a person wrote against a schema. Every mistake is found in one go, and each has its line, its column, the
 * line itself, what was expected, what came, a hint where one helps, and a code (problems.ts).
 *
 * The file's size, nesting and aliases are bounded, because a rules file can come from anywhere (alias bombs, brackets).
 */
import { type Document, isMap, isNode, isScalar, type Node, parseDocument, visit } from 'yaml'
import { z } from 'zod'
import { complaintsOf, named, type Path, PROBLEMS_MAX, type Replaced, show } from './complaints.ts'
import type { Code } from './problems.ts'
import { slipsOf } from './slips.ts'
import { type Place, Places, stopIn } from './source.ts'
import { A_SPAN, parseSpan, SPAN, spanMeant } from './span.ts'

export type Problem = Place & {
  readonly file: string
  readonly message: string
  readonly hint?: string | undefined
  readonly code?: Code | undefined
  /** What is read all the same. */
  readonly warning?: true
}

export type Reading<Value> =
  | { readonly ok: true; readonly value: Value; readonly lineOf: (path: Path) => number; readonly placeOf: PlaceOf }
  | { readonly ok: false; readonly problems: readonly Problem[] }

/** Where the deepest part of the path that exists stands: its value, or its key. */
export type PlaceOf = (path: Path, atKey?: boolean) => Place

const ALIASES_MAX = 20

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

  const found = complaintsOf(read.error, schema, 'key', replaced).map(
    ({ path, at, width, atKey, ...said }): Problem => {
      const within = at === undefined ? undefined : place(...spotWithin(path, at, width ?? 1))
      return { file, ...(within ?? placeOf(path, atKey)), ...said, message: `${named(path)}: ${said.message}` }
    },
  )
  return { ok: false, problems: found.sort((a, b) => a.line - b.line || a.column - b.column).slice(0, PROBLEMS_MAX) }

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
      const ms = parseSpan(text)
      if (ms !== undefined) return ms
      const message = `${A_SPAN}, got ${show(text)}`
      ctx.addIssue({ code: 'custom', message, params: { code: 'D015', hint: spanMeant(text) } })
      return z.NEVER
    })
