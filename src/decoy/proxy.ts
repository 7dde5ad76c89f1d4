/**
 * The PROXY protocol header, versions 1 and 2: which client stands behind a load balancer's connection, and which of
 * our addresses it called.
 *
 * `readProxyHeader` is pure and without memory: it is given everything that came so far and says whether that is a header, a bad one, or
 * not enough yet, which it never says of more than V2_HEAD + V2_BODY_MAX bytes. A header is short, so reading it again
 * for each chunk costs less than keeping a state, and the answer cannot depend on how the bytes were cut. The
 * specification is HAProxy's doc/proxy-protocol.txt.
 */
import type { Socket } from 'node:net'
import { type Client, parseClient } from '../core/client.ts'
import { spellPlace } from '../core/place.ts'

export type ProxyReading =
  | { readonly is: 'more' }
  | { readonly is: 'bad'; readonly because: string }
  | {
      readonly is: 'header'
      /** Undefined for LOCAL and UNKNOWN: the proxy speaks for itself (a health check), or will not say. */
      readonly source: Client | undefined
      readonly sourcePort: number
      /** Which address the client called, as `spellPlace` has it; empty where `source` is undefined. */
      readonly destination: string
      /** What the client itself sent in the same breath. */
      readonly rest: Buffer
    }

/** Longest header of version 1 with its CRLF (section 2.1). */
const V1_MAX = 107
/**
 * Longest version 2 body that we read: the addresses take 36 bytes (216 for UNIX), the rest are TLVs (a TLS
 * certificate's name, an id). They tell nothing that a decoy needs, and are skipped, the checksum with them: TCP has
 * one of its own, and who may send a header at all is settled before it is read.
 */
const V2_BODY_MAX = 2048
const V2_HEAD = 16

export function readProxyHeader(bytes: Buffer): ProxyReading {
  if (bytes.length === 0) return MORE
  // They differ in their first byte.
  if (bytes[0] === V1_SIGNATURE[0] && begins(bytes, V1_SIGNATURE)) return readV1(bytes)
  if (begins(bytes, V2_SIGNATURE)) return bytes.length < V2_HEAD ? MORE : readV2(bytes)
  return bad('it does not begin with a PROXY header')
}

export type ProxyHeader = Extract<ProxyReading, { is: 'header' }>

/** Why there is none: it cannot be read, it did not come in time, or the proxy only looked whether we are there. */
export type ProxyFailure = { readonly is: 'bad' | 'late'; readonly because: string } | { readonly is: 'gone' }

/**
 * Waits for the header on a paused socket, no longer than `limitMs`. Calls back once; from then on the socket flows, and whoever
 * takes it over listens before it returns.
 */
export function awaitProxyHeader(
  socket: Socket,
  limitMs: number,
  done: (outcome: ProxyHeader | ProxyFailure) => void,
): void {
  let seen = NOTHING
  const settle = (outcome: ProxyHeader | ProxyFailure) => {
    clearTimeout(timer)
    socket.off('data', hear).off('end', gone).off('close', gone)
    done(outcome)
  }
  const gone = () => settle({ is: 'gone' })
  const hear = (bytes: Buffer) => {
    seen = seen.length === 0 ? bytes : Buffer.concat([seen, bytes])
    const reading = readProxyHeader(seen)
    if (reading.is !== 'more') settle(reading)
  }
  const late = () => settle({ is: 'late', because: `no header within ${limitMs} ms` })
  const timer = setTimeout(late, limitMs).unref()
  socket.on('data', hear).on('end', gone).on('close', gone).resume()
}

const V1_SIGNATURE = Buffer.from('PROXY ')
const V2_SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
const NOTHING: Buffer = Buffer.alloc(0)
const MORE: ProxyReading = { is: 'more' }

/** Do the two agree as far as both go? */
function begins(bytes: Buffer, signature: Buffer): boolean {
  const both = Math.min(bytes.length, signature.length)
  return bytes.compare(signature, 0, both, 0, both) === 0
}

function readV1(bytes: Buffer): ProxyReading {
  const text = bytes.toString('latin1', 0, V1_MAX)
  const end = text.indexOf('\r\n')
  if (end < 0) return bytes.length < V1_MAX ? MORE : bad(`no end of line within ${V1_MAX} bytes`)
  const rest = end + 2 === bytes.length ? NOTHING : bytes.subarray(end + 2)
  const [, family, from, to, fromPort, toPort, ...more] = text.slice(0, end).split(' ')
  if (family === 'UNKNOWN') return { is: 'header', ...NOBODY, rest }
  if (family !== 'TCP4' && family !== 'TCP6') return bad('neither TCP4, TCP6 nor UNKNOWN')
  if (more.length > 0) return bad('more words than a header has')
  return header(addressOf(from, family), portOf(fromPort), addressOf(to, family), portOf(toPort), rest)
}

function readV2(bytes: Buffer): ProxyReading {
  const [version, command] = nibbles(bytes[12])
  const [family, transport] = nibbles(bytes[13])
  const length = bytes.readUInt16BE(14)
  if (version !== 2) return bad('the signature of version 2, but another version')
  if (command > 1) return bad('neither LOCAL nor PROXY')
  if (length > V2_BODY_MAX) return bad(`a body of ${length} bytes; at most ${V2_BODY_MAX} are read`)
  if (bytes.length < V2_HEAD + length) return MORE
  const body = bytes.subarray(V2_HEAD, V2_HEAD + length)
  const rest = bytes.subarray(V2_HEAD + length)

  // Section 2.2: whatever a LOCAL header holds is to be ignored, even a family that does not exist. In a PROXY header
  // only those that exist may stand; UNSPEC and UNIX name no client that we could know.
  if (command === 0) return { is: 'header', ...NOBODY, rest }
  if (family > 3 || transport > 2) return bad('a family or a transport that version 2 does not have')
  if (family === 0 || family === 3 || transport === 0) return { is: 'header', ...NOBODY, rest }
  if (transport === 2) return bad('neither TCP over IPv4 nor over IPv6')
  const width = family === 1 ? 4 : 16
  if (length < 2 * width + 4) return bad('too short for its addresses')
  return header(
    spellBytes(body.subarray(0, width)),
    body.readUInt16BE(2 * width),
    spellBytes(body.subarray(width, 2 * width)),
    body.readUInt16BE(2 * width + 2),
    rest,
  )
}

const NOBODY = { source: undefined, sourcePort: 0, destination: '' } as const

function header(from: string, fromPort: number, to: string, toPort: number, rest: Buffer): ProxyReading {
  const source = parseClient(from)
  const destination = parseClient(to)
  if (!source || !destination) return bad('an address that is none')
  if (!(fromPort <= 65535 && toPort <= 65535)) return bad('a port that is none')
  return { is: 'header', source, sourcePort: fromPort, destination: spellPlace(destination.ip, toPort), rest }
}

/** The word, if it is written as this family writes addresses. */
function addressOf(word: string | undefined, family: 'TCP4' | 'TCP6'): string {
  const written = family === 'TCP4' ? /^[0-9.]+$/ : /^[0-9a-f:.]*:[0-9a-f:.]*$/i
  return word !== undefined && written.test(word) ? word : ''
}

/** NaN for what is no port: no comparison with it holds. */
function portOf(word: string | undefined): number {
  return word !== undefined && /^(0|[1-9]\d{0,4})$/.test(word) ? Number(word) : Number.NaN
}

function spellBytes(bytes: Buffer): string {
  return bytes.length === 4 ? bytes.join('.') : (bytes.toString('hex').match(/.{4}/g) as string[]).join(':')
}

function nibbles(byte: number | undefined): [number, number] {
  return [(byte ?? 0) >> 4, (byte ?? 0) & 15]
}

function bad(because: string): ProxyReading {
  return { is: 'bad', because }
}
