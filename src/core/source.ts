/**
 * What a file must be before it is worth reading as YAML: text in UTF-8, of a size and a nesting that a person writes.
 *
 * One pass over the characters, without a parser: a parser takes a second over a quarter of a megabyte of brackets, and a
 * file of rules can come from anywhere. Whatever is stopped here is stopped with its place; a slip of this pass (it knows
 * strings and comments only as well as it must) costs time, never safety, for the parser reads everything again.
 */
import type { Code } from './problems.ts'

/** Where reading ends, and why. */
export type Stop = {
  readonly code: Code
  /** In characters of the text, as far as there is one. */
  readonly at: number
  readonly message: string
  readonly hint?: string
}

/** Largest file in bytes, and most lines. */
export const FILE_BYTES_MAX = 262_144
const LINES_MAX = 20_000
/**
 * Lines that say something, and signs with a meaning of their own, in the whole file. The parser takes 2 to 10 us for each
 * (where it is wrong, the most): of more, a file would not be answered within a tenth of a second. It is twenty-five times the
 * rules that we ship.
 */
const PARTS_MAX = 8000
/** Brackets, or lists begun in one line, within each other. */
const DEPTH_MAX = 50
/** Signs with a meaning of their own on one line: a list of so many wants lines of its own. */
const SIGNS_MAX = 2000

export type Text =
  { readonly ok: true; readonly text: string } | { readonly ok: false; readonly text: string; readonly stop: Stop }

/** The bytes of a file as text. A byte order mark of UTF-8 is passed over. */
export function readBytes(bytes: Uint8Array): Text {
  const stop = (code: Code, message: string, hint: string, text = ''): Text => ({
    ok: false,
    text,
    stop: { code, at: text.length, message, hint },
  })
  if (bytes.length > FILE_BYTES_MAX)
    return stop(
      'D003',
      `the file has more than ${FILE_BYTES_MAX} bytes; no more are read`,
      'long lists of networks belong in a pool, or in decoymx allow',
    )
  const wide = wideEncoding(bytes)
  if (wide) return stop('D002', `the file is ${wide}, and UTF-8 is expected`, 'save it as UTF-8')
  const body = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? bytes.subarray(3) : bytes
  try {
    return { ok: true, text: new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body) }
  } catch {
    const wrong = firstWrong(body)
    const before = new TextDecoder().decode(body.subarray(0, wrong))
    const byte = body[wrong] as number
    const meant = byte >= 0xa0 ? `; in Latin-1 it would be ${String.fromCharCode(byte)}` : ''
    return stop('D002', `byte 0x${byte.toString(16)} is no UTF-8 here${meant}`, 'save the file as UTF-8', before)
  }
}

/** What stops this text from being read as YAML. */
export function stopIn(text: string): Stop | undefined {
  if (text.length > FILE_BYTES_MAX)
    return {
      code: 'D003',
      at: 0,
      message: `the file has ${text.length} characters; at most ${FILE_BYTES_MAX} are read`,
    }
  let [depth, lines, signs, begun, parts] = [0, 1, 0, 0, 0]
  let blank = true // so far on this line
  for (let i = 0; i < text.length; i++) {
    const sign = text.charCodeAt(i)
    if (sign === NEWLINE) {
      if (++lines > LINES_MAX) return { code: 'D003', at: i, message: `the file has more than ${LINES_MAX} lines` }
      blank = true
      signs = begun = 0
      continue
    }
    if (sign === SPACE || sign === RETURN) continue
    if (sign === TAB) {
      if (blank && depth === 0 && !onlyBlank(text, i))
        return { code: 'D006', at: i, message: 'a tab at the beginning of a line', hint: 'YAML indents with spaces' }
      continue
    }
    if (sign < SPACE || sign === 0x7f || sign === 0xfeff)
      return {
        code: 'D002',
        at: i,
        message: `a control character (U+${sign.toString(16).toUpperCase().padStart(4, '0')}) stands here`,
        hint: 'delete it',
      }
    if (blank && ++parts > PARTS_MAX) return tooMany(i)
    const apart = blank || APART.has(text.charCodeAt(i - 1))
    blank = false
    if (sign === HASH && apart) {
      const end = text.indexOf('\n', i)
      i = (end < 0 ? text.length : end) - 1
      continue
    }
    if (apart && (sign === QUOTE || sign === TWO_QUOTES)) {
      const end = text.indexOf(text[i] as string, i + 1)
      // Strings may go on over lines; where they do not end the parser says so.
      if (end > 0 && !text.slice(i, end).includes('\n')) i = end
      continue
    }
    if (sign === OPEN_LIST || sign === OPEN_MAP) {
      if (++depth > DEPTH_MAX) return { code: 'D004', at: i, message: `more than ${DEPTH_MAX} brackets are open here` }
    } else if (sign === CLOSE_LIST || sign === CLOSE_MAP) depth = Math.max(0, depth - 1)
    else if (apart && (sign === DASH || sign === QUESTION) && isBlank(text.charCodeAt(i + 1))) {
      if (++begun > DEPTH_MAX)
        return { code: 'D004', at: i, message: `more than ${DEPTH_MAX} lists begin on this line` }
    } else if (!SIGNS.has(sign)) continue
    if (++parts > PARTS_MAX) return tooMany(i)
    if (++signs > SIGNS_MAX)
      return {
        code: 'D004',
        at: i,
        message: `more than ${SIGNS_MAX} signs of YAML on one line`,
        hint: 'write a long list with one entry on each line',
      }
  }
  return undefined
}

function tooMany(at: number): Stop {
  return {
    code: 'D003',
    at,
    message: `here the file has more than ${PARTS_MAX} keys, entries and comments; no more are read`,
    hint: 'long lists of networks belong in a pool, or in decoymx allow',
  }
}

/** Both count from 1. */
export type Place = { readonly line: number; readonly column: number; readonly excerpt?: Excerpt | undefined }

/** The line, or what of a long one is near, and from which of its columns on so many characters are meant. */
export type Excerpt = { readonly text: string; readonly column: number; readonly width: number }

/** Longest part of a line that is shown. */
const EXCERPT_MAX = 100

/** Where in a text something stands, for people. */
export class Places {
  readonly #text: string
  readonly #starts: number[] = [0]

  constructor(text: string) {
    this.#text = text
    for (let i = text.indexOf('\n'); i >= 0; i = text.indexOf('\n', i + 1)) this.#starts.push(i + 1)
  }

  place(offset: number, width = 1): Place {
    const starts = this.#starts
    let [low, high] = [0, starts.length]
    while (high - low > 1) {
      const middle = (low + high) >> 1
      if ((starts[middle] as number) <= offset) low = middle
      else high = middle
    }
    const start = starts[low] as number
    const text = this.#text.slice(start, (starts[low + 1] ?? this.#text.length + 1) - 1).replace(/\r$/, '')
    // What is missing at the end of a line stands just behind it.
    const column = Math.min(offset - start, text.length) + 1
    const from =
      text.length <= EXCERPT_MAX ? 0 : Math.max(0, Math.min(column - 1 - EXCERPT_MAX / 2, text.length - EXCERPT_MAX))
    const shown = seen(text.slice(from, from + EXCERPT_MAX))
    const at = column - from
    return {
      line: low + 1,
      column,
      excerpt: { text: shown, column: at, width: Math.max(1, Math.min(width, shown.length - at + 1)) },
    }
  }
}

/** One character for each, so that a caret stands where it should; none that could steer a terminal. */
function seen(text: string): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}\u00a0]/gu, (sign) => (sign === '\t' ? ' ' : '?'.repeat(sign.length)))
}

const [TAB, NEWLINE, RETURN, SPACE] = [9, 10, 13, 32]
const code = (sign: string) => sign.charCodeAt(0)
const [HASH, QUOTE, TWO_QUOTES, DASH, QUESTION] = [code('#'), code("'"), code('"'), code('-'), code('?')]
const [OPEN_LIST, CLOSE_LIST, OPEN_MAP, CLOSE_MAP] = [code('['), code(']'), code('{'), code('}')]
const APART = new Set(Array.from(' \t\n\r[{,:-?!', code))
const SIGNS = new Set(Array.from('!&*|>,:%', code))

function isBlank(sign: number): boolean {
  return sign === SPACE || sign === TAB || sign === NEWLINE || sign === RETURN || Number.isNaN(sign)
}

function onlyBlank(text: string, from: number): boolean {
  const end = text.indexOf('\n', from)
  const rest = text.slice(from, end < 0 ? undefined : end).trim()
  return rest === '' || rest.startsWith('#')
}

function wideEncoding(bytes: Uint8Array): string | undefined {
  const [a, b, c, d] = bytes
  if (a === 0xff && b === 0xfe) return c === 0 && d === 0 ? 'UTF-32' : 'UTF-16'
  if (a === 0xfe && b === 0xff) return 'UTF-16'
  if (a === 0 && b === 0 && c === 0xfe && d === 0xff) return 'UTF-32'
  // Without a mark: ASCII in two bytes has a zero in every other one.
  return bytes.length >= 4 && ((a === 0 && c === 0) || (b === 0 && d === 0)) ? 'UTF-16' : undefined
}

/** The first byte of which no UTF-8 can be made: halving finds it, for what comes before it is sound. */
function firstWrong(bytes: Uint8Array): number {
  const sound = (end: number, stream = true) => {
    try {
      // A sequence that is only cut is no mistake of what came before.
      new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(0, end), { stream })
      return true
    } catch {
      return false
    }
  }
  let [low, high] = [0, bytes.length]
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if (sound(middle)) low = middle
    else high = middle
  }
  const end = sound(high) ? high : low
  if (sound(end, false)) return end
  // It is the sequence that began last which does not go on as it must.
  let at = end - 1
  while (at > 0 && ((bytes[at] as number) & 0xc0) === 0x80) at--
  return at
}
