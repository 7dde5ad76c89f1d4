/**
 * A question put to the DNSBL, read where it lies in its packet: nothing is copied, and a name becomes no text.
 *
 * Most questions are one name of ours, an A record, perhaps EDNS; reading them is a good part of what an answer costs, so
 * it is done by hand. Labels are bytes and would not survive being text: `2.0.0.127` may be one label. Bytes of the
 * packet that are not there read as undefined, so each step looks whether it is still inside.
 */
import { type Client, clientOfBytes, clientOfNumber } from '../core/client.ts'

export type Question = {
  /** Where the name ends in the packet, with its root label. */
  readonly nameEnd: number
  /** Where the question ends, and what comes behind it begins. */
  readonly end: number
  readonly type: number
  readonly class: number
}

export type Edns = { readonly version: number; readonly udpBytes: number; readonly dnssecOk: boolean }

/** What a name of ours stands for: a client; something below which there are clients; or nothing that ever is. */
export type Place = 'apex' | 'above' | 'nobody' | Client

/** RFC 1035, 4.1.1. */
export const HEADER_BYTES = 12
export const TYPE = { A: 1, NS: 2, SOA: 6, TXT: 16, OPT: 41, IXFR: 251, AXFR: 252, ANY: 255 } as const
const LABEL_BYTES_MAX = 63
const NAME_BYTES_MAX = 255
/** The two high bits of a length make it a pointer to a name. */
const POINTER = 0xc0
/** Type, class, TTL and the length of the data. */
const FIXED_BYTES = 10
/** Records after the question: EDNS, a signature, and room for what may come. */
const ADDITIONALS_MAX = 4

/** The one question of a query with nothing but additional records behind it; undefined when there is anything else. */
export function readQuestion(packet: Buffer): Question | undefined {
  const counts = [u16(packet, 4), u16(packet, 6), u16(packet, 8)]
  if (counts[0] !== 1 || counts[1] !== 0 || counts[2] !== 0 || u16(packet, 10) > ADDITIONALS_MAX) return undefined
  let at = HEADER_BYTES
  for (let length = packet[at++]; length !== 0; length = packet[at++]) {
    // Nothing stands before the first name, so a compressed one points nowhere.
    if (length === undefined || length > LABEL_BYTES_MAX) return undefined
    at += length
    if (at - HEADER_BYTES >= NAME_BYTES_MAX) return undefined
  }
  if (at + 4 > packet.length) return undefined
  return { nameEnd: at, end: at + 4, type: u16(packet, at), class: u16(packet, at + 2) }
}

/** Of the additional records the EDNS one (RFC 6891), if there is one; the others need only be whole. */
export function readEdns(packet: Buffer, from: number): Edns | undefined | 'malformed' {
  let edns: Edns | undefined
  let at = from
  for (let left = u16(packet, 10); left > 0; left--) {
    const fixed = endOfName(packet, at)
    const data = fixed + FIXED_BYTES
    const end = data + u16(packet, fixed + 8)
    if (!(end <= packet.length)) return 'malformed'
    if (u16(packet, fixed) === TYPE.OPT) {
      const isRoot = fixed === at + 1
      if (edns || !isRoot || !areWholeOptions(packet, data, end)) return 'malformed'
      const dnssecOk = (u16(packet, fixed + 6) & 0x8000) !== 0
      edns = { version: packet[fixed + 5] as number, udpBytes: u16(packet, fixed + 2), dnssecOk }
    }
    at = end
  }
  return edns
}

/** Not a number when the name is torn. */
function endOfName(packet: Buffer, from: number): number {
  let at = from
  for (let length = packet[at++]; length !== 0; length = packet[at++]) {
    if (length === undefined) return Number.NaN
    if (length >= POINTER) return at + 1
    if (length > LABEL_BYTES_MAX) return Number.NaN
    at += length
  }
  return at
}

/** Each with its code and its length; none of them changes the answer. */
function areWholeOptions(packet: Buffer, from: number, end: number): boolean {
  let at = from
  while (at + 4 <= end) at += 4 + u16(packet, at + 2)
  return at === end
}

/** A name as it is on the wire, in lower case, with its root label. */
export function wireName(name: string): Buffer {
  const labels = name.toLowerCase().replace(/\.$/, '').split('.')
  return Buffer.from(`${labels.map((label) => String.fromCharCode(label.length) + label).join('')}\0`, 'latin1')
}

/**
 * What the name of a question stands for in a zone; undefined outside it.
 *
 * Names with names below them exist (RFC 8020): were `8.b.d.0` denied, a resolver would deny all of 2001:db8::/32.
 */
export function placeIn(zone: Buffer, packet: Buffer, { nameEnd }: Question): Place | undefined {
  const zoneAt = nameEnd - zone.length
  if (zoneAt < HEADER_BYTES) return undefined
  for (let i = 0; i < zone.length; i++) if (lower(packet[zoneAt + i] as number) !== zone[i]) return undefined

  let [count, whole, unit] = [0, 0, 1]
  let [octets, nibbles] = [true, true]
  let at = HEADER_BYTES
  while (at < zoneAt) {
    const length = packet[at++] as number
    const value = octets ? octetOf(packet, at, length) : -1
    if (value < 0) octets = false
    nibbles &&= length === 1 && digitOf(packet[at] as number) >= 0
    whole += value * unit
    unit *= 256
    count++
    at += length
  }
  // What looked like the zone was the end of a longer label.
  if (at !== zoneAt) return undefined
  if (count === 0) return 'apex'
  if (octets && count === 4) return clientOfNumber(whole)
  if (nibbles && count === 32) return clientOfBytes(bytesBefore(packet, zoneAt))
  return (octets && count < 4) || (nibbles && count < 32) ? 'above' : 'nobody'
}

/** The 16 bytes of 32 labels of one digit each, the last one first. */
function bytesBefore(packet: Buffer, end: number): number[] {
  const digit = (nth: number) => digitOf(packet[end - 1 - 2 * nth] as number)
  return Array.from({ length: 16 }, (_, i) => (digit(2 * i) << 4) | digit(2 * i + 1))
}

/** A decimal number from 0 to 255 without a leading zero; else -1. */
function octetOf(packet: Buffer, at: number, length: number): number {
  if (length > 3 || (length > 1 && packet[at] === ZERO)) return -1
  let value = 0
  for (let i = at; i < at + length; i++) {
    const digit = (packet[i] as number) - ZERO
    if (digit < 0 || digit > 9) return -1
    value = value * 10 + digit
  }
  return value > 255 ? -1 : value
}

const ZERO = 48

/** The value of a hexadecimal digit; else -1. */
function digitOf(byte: number): number {
  if (byte >= ZERO && byte <= ZERO + 9) return byte - ZERO
  const letter = lower(byte) - 97
  return letter >= 0 && letter < 6 ? letter + 10 : -1
}

/** Lengths of labels are below the letters, and stay what they are. */
function lower(byte: number): number {
  return byte >= 65 && byte <= 90 ? byte + 32 : byte
}

function u16(packet: Buffer, at: number): number {
  return ((packet[at] as number) << 8) | (packet[at + 1] as number)
}
