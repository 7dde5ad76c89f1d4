/**
 * Reads a TLS ClientHello and gives its print: which TLS library speaks.
 *
 * The print is the one that JA4 describes (client TLS, BSD 3-clause, FoxIO, github.com/FoxIO-LLC/ja4,
 * technical_details/JA4.md), so that an operator can look it up; the reader is our own:
 *
 *     t 13 d 15 16 h2 _ 8daaf6152771 _ e5627efa2ab1
 *     | |  | |  |  |    |              sorted extensions but SNI and ALPN, `_`, signature algorithms as sent: SHA-256
 *     | |  | |  |  |    sorted ciphers: SHA-256, 12 digits
 *     | |  | |  |  first and last letter of the first ALPN protocol; 00 for none
 *     | |  | |  number of extensions
 *     | |  | number of ciphers
 *     | |  d: a server name is asked for; i: none
 *     | highest version
 *     over TCP
 *
 * GREASE values (RFC 8701) are ignored. Pure and without memory, like the PROXY reader: it is given all that came so far,
 * and never asks for more than HELLO_MAX bytes.
 */
import { createHash } from 'node:crypto'

export type HelloReading =
  { readonly is: 'more' } | { readonly is: 'bad' } | { readonly is: 'hello'; readonly print: string }

/** Longest hello that is read, its record headers included. With post-quantum keys they have about 2,000 bytes. */
export const HELLO_MAX = 8192

export function readHello(bytes: Buffer): HelloReading {
  const message = handshakeIn(bytes)
  if (message === 'more') return bytes.length >= HELLO_MAX ? BAD : MORE
  if (message === 'bad') return BAD
  const hello = parseHello(message)
  return hello ? { is: 'hello', print: printOf(hello) } : BAD
}

const MORE: HelloReading = { is: 'more' }
const BAD: HelloReading = { is: 'bad' }

const [HANDSHAKE, CLIENT_HELLO] = [0x16, 0x01]
/** RFC 8446, 5.1. */
const RECORD_MAX = 16_384
/** A hello comes in one record or two. More are somebody's game, and would make each further byte dearer. */
const RECORDS_MAX = 16

/** The body of the first handshake message, joined from the records it came in. */
function handshakeIn(bytes: Buffer): Buffer | 'more' | 'bad' {
  const parts: Buffer[] = []
  let have = 0
  for (let at = 0; ;) {
    if (at < bytes.length && bytes[at] !== HANDSHAKE) return 'bad'
    if (at + 1 < bytes.length && bytes[at + 1] !== 3) return 'bad'
    if (bytes.length < at + 5) return 'more'
    const length = bytes.readUInt16BE(at + 3)
    if (length === 0 || length > RECORD_MAX) return 'bad'
    const part = bytes.subarray(at + 5, at + 5 + length)
    if (parts.push(part) > RECORDS_MAX) return 'bad'
    have += part.length
    if (have >= 4) {
      const message = Buffer.concat(parts)
      if (message[0] !== CLIENT_HELLO) return 'bad'
      const size = message.readUIntBE(1, 3)
      if (size > HELLO_MAX) return 'bad'
      if (have >= 4 + size) return message.subarray(4, 4 + size)
    }
    if (part.length < length) return 'more'
    at += 5 + length
  }
}

type Hello = {
  readonly version: number
  readonly ciphers: readonly number[]
  /** Type and body, as sent; without GREASE. */
  readonly extensions: readonly (readonly [type: number, body: Buffer])[]
}

function parseHello(message: Buffer): Hello | undefined {
  const cursor = new Cursor(message)
  const version = cursor.number(2)
  cursor.take(32)
  cursor.take(cursor.number(1))
  const ciphers = numbersIn(cursor.take(cursor.number(2)))
  cursor.take(cursor.number(1))
  const extensions: [number, Buffer][] = []
  if (!cursor.atEnd) {
    const list = new Cursor(cursor.take(cursor.number(2)))
    while (!list.atEnd && !list.failed) {
      const type = list.number(2)
      const body = list.take(list.number(2))
      if (!isGrease(type)) extensions.push([type, body])
    }
    if (list.failed) return undefined
  }
  return cursor.failed ? undefined : { version, ciphers, extensions }
}

/** Walks through bytes, and remembers whether it was asked for more than there are. */
class Cursor {
  failed = false
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get atEnd(): boolean {
    return this.#at >= this.#bytes.length
  }

  take(length: number): Buffer {
    if (this.#at + length > this.#bytes.length) this.failed = true
    const taken = this.#bytes.subarray(this.#at, this.#at + length)
    this.#at += length
    return taken
  }

  number(bytes: 1 | 2): number {
    const taken = this.take(bytes)
    return taken.length === bytes ? taken.readUIntBE(0, bytes) : 0
  }
}

const [SERVER_NAME, ALPN, SIGNATURES, VERSIONS] = [0x0000, 0x0010, 0x000d, 0x002b]

function printOf({ version, ciphers, extensions }: Hello): string {
  const types = extensions.map(([type]) => type)
  const body = (wanted: number) => extensions.find(([type]) => type === wanted)?.[1]
  const offered = numbersIn((body(VERSIONS) ?? Buffer.alloc(0)).subarray(1))
  const highest = VERSION_NAMES.get(offered.length > 0 ? Math.max(...offered) : version) ?? '00'
  const named = types.includes(SERVER_NAME) ? 'd' : 'i'
  const head = `t${highest}${named}${count(ciphers)}${count(types)}${alpnOf(body(ALPN))}`

  const sorted = hexOf(types.filter((type) => type !== SERVER_NAME && type !== ALPN)).toSorted()
  const signatures = hexOf(numbersIn((body(SIGNATURES) ?? Buffer.alloc(0)).subarray(2)))
  const tail = [sorted.join(','), ...(signatures.length > 0 ? [signatures.join(',')] : [])].join('_')
  return `${head}_${digest(hexOf(ciphers).toSorted().join(','))}_${types.length > 0 ? digest(tail) : NOTHING}`
}

const VERSION_NAMES: ReadonlyMap<number, string> = new Map([
  [0x0304, '13'],
  [0x0303, '12'],
  [0x0302, '11'],
  [0x0301, '10'],
  [0x0300, 's3'],
  [0x0002, 's2'],
])

/** Two digits; more than 99 are 99. */
function count(list: readonly number[]): string {
  return String(Math.min(99, list.length)).padStart(2, '0')
}

/** First and last letter of the first protocol; of its hexadecimal form where one of them is neither letter nor digit. */
function alpnOf(body: Buffer | undefined): string {
  const length = body?.[2] ?? 0
  const name = body?.subarray(3, 3 + length) ?? Buffer.alloc(0)
  if (name.length === 0) return '00'
  const text = name.toString('latin1')
  const plain = /^[a-z0-9]([\s\S]*[a-z0-9])?$/i.test(text) ? text : name.toString('hex')
  return `${plain[0]}${plain.at(-1)}`
}

/** Numbers of two bytes each, without GREASE: both bytes alike, and ending in A. */
function numbersIn(bytes: Buffer): number[] {
  const list: number[] = []
  for (let at = 0; at + 1 < bytes.length; at += 2) list.push(bytes.readUInt16BE(at))
  return list.filter((each) => !isGrease(each))
}

function isGrease(value: number): boolean {
  return (value & 0x0f0f) === 0x0a0a && value >> 8 === (value & 0xff)
}

function hexOf(list: readonly number[]): string[] {
  return list.map((each) => each.toString(16).padStart(4, '0'))
}

const NOTHING = '000000000000'

function digest(text: string): string {
  return text === '' ? NOTHING : createHash('sha256').update(text).digest('hex').slice(0, 12)
}
