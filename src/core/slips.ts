/**
 * Slips of YAML itself, in the words of the person who made them: a bracket that is not closed is told where it opens, not
 * where the parser gave up; and what only follows from a slip is not told beside it.
 *
 * The parser (yaml) names a slip by code and offset. One that comes before the next line that stands no further in than the
 * slip is a consequence: the parser reads on in the wrong place until there.
 */
import { type Document, isCollection, type Node, visit } from 'yaml'
import type { Code } from './problems.ts'

/** From `at`, as an offset into the source, `width` characters are meant. */
export type Slip = {
  readonly at: number
  readonly width: number
  readonly code: Code
  readonly message: string
  readonly hint?: string | undefined
}

/** At most so many are told, in the order of their places. */
const SLIPS_MAX = 50

export function slipsOf(doc: Document.Parsed, source: string): Slip[] {
  const told: Slip[] = []
  /** What comes before is a consequence. */
  let soundFrom = 0
  const all = [...doc.errors, ...doc.warnings].sort((a, b) => a.pos[0] - b.pos[0])
  for (const found of all) {
    if (told.length >= SLIPS_MAX) break
    const [noticed] = found.pos
    if (noticed < soundFrom) continue
    const { lost, ...slip } = slipOf(found, doc, source)
    told.push(slip)
    soundFrom = lineNoFurtherIn(source, Math.max(noticed, slip.at), indentAt(source, slip.at) - (lost ? 1 : 0))
  }
  return told
}

/** `lost`: the parser is, in this whole list; what stands as far in follows from it, too. */
type Told = Slip & { readonly lost?: true }

type Found = { readonly code: string; readonly message: string; readonly pos: readonly [number, number] }

function slipOf({ code, message, pos }: Found, doc: Document.Parsed, source: string): Told {
  const [at, end] = pos
  const here = { at, width: 1, code: 'D005' as const }
  switch (code) {
    case 'MULTIPLE_DOCS':
      return {
        ...here,
        code: 'D008',
        message: 'a second document begins here; only one is read',
        hint: 'delete the ---',
      }
    case 'TAB_AS_INDENT':
      return { ...here, code: 'D006', message: 'a tab at the beginning of a line', hint: 'YAML indents with spaces' }
    case 'BLOCK_AS_IMPLICIT_KEY':
      return colonWithin(source.slice(at, endOfLine(source, at)))
        ? { ...here, message: 'a colon and a blank stand within this text', hint: QUOTE_IT }
        : {
            ...here,
            message: 'a value stands beside the key, and keys stand below it: only one can be',
            hint: 'delete this value, or the keys below it',
          }
    case 'BAD_SCALAR_START':
      return { ...here, message: `a text cannot begin with ${source[at] ?? 'this'}`, hint: QUOTE_IT }
    case 'BAD_ALIAS':
      return alias(at, end)
    case 'MULTILINE_IMPLICIT_KEY':
      return {
        ...here,
        message: 'there is no colon on this line: it and the next are read as one text',
        hint: 'write it as key: value',
      }
    case 'MISSING_CHAR':
    case 'BAD_INDENT':
      return unclosed(message, at, doc) ?? outOfLine(at, source)
    default: {
      const star = /(?:^|\s)(\*\S*\s+)$/.exec(source.slice(source.lastIndexOf('\n', at - 1) + 1, at))
      if (star?.[1]) return alias(at - star[1].length, at)
      const [first = 'this is no YAML'] = message.split('\n', 1)
      return { ...here, message: first.charAt(0).toLowerCase() + first.slice(1), hint: HINTS[code] }
    }
  }
}

const QUOTE_IT = 'put the text between double quotes'
const HINTS: Readonly<Record<string, string>> = {
  UNEXPECTED_TOKEN: 'is a quote or a bracket missing before it?',
}

/** Is it this line that is read as a key, or one below? */
function colonWithin(line: string): boolean {
  return /:(?:\s|$)/.test(line.replace(/\s#.*/, ''))
}

/** A text that begins with a star is an alias for what an anchor names; rarely was one meant. */
function alias(at: number, end: number): Slip {
  const message = 'a text that begins with * is an alias, and nothing has this name'
  return { at, width: Math.max(1, end - at), code: 'D005', message, hint: QUOTE_IT }
}

/** A quote or a bracket that does not end: it is told where it begins. */
function unclosed(message: string, noticed: number, doc: Document.Parsed): Slip | undefined {
  const quote = /quote/.test(message)
  if (!quote && !/flow (sequence|map)/i.test(message)) return undefined
  let start: number | undefined
  const look = (_: unknown, node: Node) => {
    const { range } = node
    if (range && range[0] < noticed && range[1] >= noticed) start = range[0]
  }
  visit(doc, {
    Scalar: (_, node) => (quote && node.type?.startsWith('QUOTE') ? look(_, node) : undefined),
    Collection: (_, node) => (!quote && isCollection(node) && node.flow ? look(_, node) : undefined),
  })
  const at = start ?? noticed
  const [open, close] = /map/i.test(message) ? ['{', '}'] : ['[', ']']
  return quote
    ? { at, width: 1, code: 'D005', message: 'this quote does not end', hint: 'is one missing at the end of the text?' }
    : {
        at,
        width: 1,
        code: 'D005',
        message: `this ${open} is not closed`,
        hint: `a ${close} is missing after its last entry`,
      }
}

/** A line that does not begin where its neighbours do. */
function outOfLine(noticed: number, source: string): Told {
  const at = firstSign(source, noticed)
  const line = source.slice(at, endOfLine(source, at))
  const here = { at, width: 1, code: 'D005' as const }
  if (/^-[^\s-]/.test(line))
    return {
      ...here,
      lost: true,
      message: 'a blank is missing after this dash',
      hint: `write - ${line.slice(1, 30).trim()}`,
    }
  return {
    ...here,
    message: 'this line does not begin in the same column as its neighbours',
    hint: 'line it up with the line above; a new entry of a list begins with a dash',
  }
}

function firstSign(source: string, from: number): number {
  let at = from
  while (at < source.length && /\s/.test(source[at] as string)) at++
  return at < source.length ? at : from
}

function endOfLine(source: string, from: number): number {
  const end = source.indexOf('\n', from)
  return end < 0 ? source.length : end
}

/** How far in the line of this character stands. */
function indentAt(source: string, at: number): number {
  const start = source.lastIndexOf('\n', at - 1) + 1
  return firstSign(source, start) - start
}

/** Where the next line begins that stands no further in; blank ones and comments are passed over. */
function lineNoFurtherIn(source: string, from: number, indent: number): number {
  for (let start = endOfLine(source, from) + 1; start < source.length; start = endOfLine(source, start) + 1) {
    const text = source.slice(start, endOfLine(source, start))
    const trimmed = text.trimStart()
    if (trimmed !== '' && !trimmed.startsWith('#') && text.length - trimmed.length <= indent) return start
  }
  return source.length
}
