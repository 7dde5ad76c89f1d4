/**
 * A client: the one IP address that connected, in one spelling.
 *
 * Every address that enters the house is read here, once, at the edge; raw strings stop there. IPv4 is known by its
 * address, IPv6 by its /64, because one host owns a whole /64 and changes the rest at will (RFC 8981). A mapped
 * address (`::ffff:192.0.2.1`) is the IPv4 client it stands for: two names for one client would miss allow-lists.
 */
import ipaddr from 'ipaddr.js'

export type Client = {
  /** The full address, canonical: dotted quad, or RFC 5952 for IPv6. */
  readonly ip: string
  readonly family: 4 | 6
  /** What facts and decisions are kept under: the IPv4 address, or the IPv6 /64 as `2001:db8:0:1::/64`. */
  readonly key: string
  /** The neighbourhood: the /24 or the /48, in CIDR form. */
  readonly network: string
}

/** Longest text that can be an address: a full IPv6 with an embedded IPv4 and a zone. Longer is refused unread. */
const ADDRESS_MAX = 64

/** The client that `text` names, or undefined when it is not one IP address. */
export function parseClient(text: string): Client | undefined {
  if (text.length > ADDRESS_MAX) return undefined
  // Nearly all are these, in a flood and in every question, and what is written so is canonical already.
  if (isDotted(text)) return ofDotted(text)
  if (!text.includes(':')) return undefined
  const known = LATELY.get(text)
  if (known) return known
  const client = readSixth(text)
  if (client) {
    if (LATELY.size >= LATELY_MAX) LATELY.clear()
    LATELY.set(text, client)
  }
  return client
}

/** IPv6 texts that were read lately: the same few come again and again, and reading one takes as long as judging it. */
const LATELY = new Map<string, Client>()
const LATELY_MAX = 4096

function readSixth(text: string): Client | undefined {
  const digits = withoutDots(text.split('%', 1)[0] as string)
  if (digits.includes('.') || !ipaddr.IPv6.isValid(digits)) return undefined
  return ofBytes(ipaddr.process(digits).toByteArray())
}

/** Four decimal numbers as everybody writes them: none above 255, none with a leading zero. */
function isDotted(text: string): boolean {
  if (text.length < 7 || text.length > 15) return false
  let [dots, value, digits] = [0, 0, 0]
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - ZERO
    if (digit >= 0 && digit <= 9) {
      if (digits > 0 && value === 0) return false
      value = value * 10 + digit
      if (value > 255) return false
      digits++
    } else {
      if (digit !== DOT || digits === 0) return false
      dots++
      value = digits = 0
    }
  }
  return dots === 3 && digits > 0
}

const ZERO = 48
const DOT = 46 - ZERO

function ofDotted(ip: string): Client {
  return { ip, family: 4, key: ip, network: `${ip.slice(0, ip.lastIndexOf('.'))}.0/24` }
}

/** A canonical IPv4 address as a number of 32 bits without a sign. */
export function numberOfDotted(ip: string): number {
  let [whole, value] = [0, 0]
  for (let i = 0; i < ip.length; i++) {
    const digit = ip.charCodeAt(i) - ZERO
    if (digit === DOT) {
      whole = whole * 256 + value
      value = 0
    } else value = value * 10 + digit
  }
  return whole * 256 + value
}

/** The reverse of `numberOfDotted`; the number may have a sign. */
export function dottedOf(whole: number): string {
  return `${whole >>> 24}.${(whole >> 16) & 255}.${(whole >> 8) & 255}.${whole & 255}`
}

/** A dotted tail in digits: ipaddr.js takes `::192.0.2.1` for a mapped address, and `::c000:201` for what both are. */
function withoutDots(text: string): string {
  const tail = text.slice(text.lastIndexOf(':') + 1)
  if (!ipaddr.IPv4.isValidFourPartDecimal(tail)) return text
  const [a = 0, b = 0, c = 0, d = 0] = ipaddr.IPv4.parse(tail).octets
  return `${text.slice(0, -tail.length)}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`
}

/** The client that a key stands for: the reverse of `Client.key`. */
export function clientOfKey(key: string): Client | undefined {
  return parseClient(key.split('/', 1)[0] as string)
}

/** The client of an IPv4 address that is a number of 32 bits. */
export function clientOfNumber(whole: number): Client {
  return ofDotted(dottedOf(whole))
}

/** The client of an IPv6 address of 16 bytes, or of the IPv4 address that it maps. */
export function clientOfBytes(bytes: readonly number[]): Client {
  const mapped = bytes[10] === 255 && bytes[11] === 255 && bytes.every((byte, i) => byte === 0 || i >= 10)
  return ofBytes(mapped ? bytes.slice(12) : bytes)
}

/** The labels under which a DNSBL knows this client, in the order they stand in the name (RFC 5782, 2.1 and 2.4). */
export function reversedLabels(client: Client): string[] {
  if (client.family === 4) return client.ip.split('.').toReversed()
  const bytes = ipaddr.IPv6.parse(client.ip).toByteArray()
  return bytes.flatMap((byte) => [byte >> 4, byte & 15].map((nibble) => nibble.toString(16))).toReversed()
}

/** Of this very host. */
export function isLoopback({ ip }: Client): boolean {
  return ip.startsWith('127.') || ip === '::1'
}

function ofBytes(bytes: readonly number[]): Client {
  if (bytes.length === 4) return ofDotted(bytes.join('.'))
  return { ip: spell(bytes, 16), family: 6, key: `${spell(bytes, 8)}/64`, network: `${spell(bytes, 6)}/48` }
}

/** IPv6 bytes with everything after the first `keep` zeroed, in RFC 5952 spelling. */
function spell(bytes: readonly number[], keep: number): string {
  const kept = bytes.map((byte, i) => (i < keep ? byte : 0))
  return new ipaddr.IPv6(kept).toRFC5952String()
}
