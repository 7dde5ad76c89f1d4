/**
 * What a message was that came after its refusal: kept only where the operator asks, and only so much that two of them can be
 * compared and one can be recognised: its headers, and a SHA-256 of its body.
 *
 * The body counts as lines joined by CRLF, each as far as the observer remembers it, so that the print does not depend on
 * how lines ended or TCP cut them. Beyond `most` bytes nothing is kept or counted. The caller keeps the value.
 */
import { createHash, type Hash } from 'node:crypto'
import { HEADERS_MAX } from '../core/evidence.ts'

export type Content = {
  readonly most: number
  bytes: number
  /** There was more than `most`. */
  cut: boolean
  headers: string[]
  /** Of the body; undefined before the empty line. */
  body: Hash | undefined
}

export type Kept = { readonly detail: string; readonly headers: string }

export function newContent(most: number): Content {
  return { most, bytes: 0, cut: false, headers: [], body: undefined }
}

export function addLine(content: Content, line: string): void {
  if (content.cut) return
  content.bytes += line.length + 2
  if (content.bytes > content.most) {
    content.bytes = content.most
    content.cut = true
  } else if (content.body) content.body.update(`${line}\r\n`, 'latin1')
  else if (line === '') content.body = createHash('sha256')
  else if (HEADER.test(line) && !SECRET.test(line)) content.headers.push(line)
  else content.body = createHash('sha256').update(`${line}\r\n`, 'latin1')
}

/** `Name: value`, or its continuation. The first line that is neither begins the body, with or without an empty line. */
const HEADER = /^([!-9;-~]+:|[ \t])/
/** Of a script that has lost step. */
const SECRET = /^\s*(AUTH|PASS|USER|LOGIN)\b/i

/** Undefined when nothing came. */
export function keptOf({ bytes, cut, headers, body }: Content): Kept | undefined {
  if (bytes === 0) return undefined
  const size = `${bytes} bytes${cut ? ' and more' : ''}`
  const text = headers.map((line) => line.replace(/[^\x20-\x7e]/g, '?')).join('\n')
  return {
    detail: body ? `${size}, body sha256 ${body.digest('hex')}` : `${size}, no body`,
    headers: text.slice(0, HEADERS_MAX),
  }
}
