/**
 * Networks to values by longest prefix: allow-lists, the operator's blocks, trusted peers.
 *
 * One hash for each prefix length in use, longest first: a look-up costs as many probes as there are different
 * lengths, whatever the number of entries (net.BlockList is linear on some Node versions, see docs/architecture.md).
 */
import ipaddr from 'ipaddr.js'
import { type Client, numberOfDotted, parseClient } from './client.ts'
import { misread } from './misread.ts'

export type Prefix = {
  /** CIDR form, canonical: `192.0.2.0/24`, `2001:db8::/64`. A single IPv4 address is its /32. */
  readonly cidr: string
  readonly family: 4 | 6
  readonly length: number
  /** The network part as a number, shifted right so that only `length` bits remain. */
  readonly bits: bigint
}

/**
 * Reads an address or a CIDR; `wanted` is what may stand there, for the sentence that says that it is none. A single IPv6 address stands for its /64, as clients do. Host bits that are set are a
 * mistake that could widen a block by accident: the answer is then the sentence that says so.
 */
export function parsePrefix(text: string, wanted = 'an IP address or a CIDR like 192.0.2.0/24'): Prefix | string {
  const [address = '', lengthText, ...more] = text.trim().split('/')
  const client = parseClient(address)
  if (!client || more.length > 0) return `expected ${wanted}, got "${text}"${misread(text)}`
  const widest = widthOf(client.family)
  if (lengthText === undefined) return client.family === 4 ? prefixOf(client, 32) : prefixOf(client, 64)
  const length = /^\d{1,3}$/.test(lengthText) ? Number(lengthText) : Number.NaN
  if (!(length >= 0 && length <= widest)) return `expected a prefix length from 0 to ${widest}, got "/${lengthText}"`
  const prefix = prefixOf(client, length)
  const whole = numberOf(client)
  const hostBits = BigInt(widest - length)
  if ((whole >> hostBits) << hostBits !== whole) {
    // Nobody means a share of the Internet who names one host.
    if (length < widest / 4) return `"${text}" has host bits set: is /${length} what was meant?`
    return `"${text}" has host bits set: did you mean ${prefix.cidr}?`
  }
  return prefix
}

/** The network of this length around a client. */
export function prefixOf(client: Client, length: number): Prefix {
  const width = widthOf(client.family)
  const bits = numberOf(client) >> BigInt(width - length)
  return {
    cidr: `${addressOf(bits << BigInt(width - length), client.family)}/${length}`,
    family: client.family,
    length,
    bits,
  }
}

/** Does the client lie inside this prefix? */
export function covers(prefix: Prefix, client: Client): boolean {
  if (prefix.family !== client.family) return false
  return numberOf(client) >> BigInt(widthOf(client.family) - prefix.length) === prefix.bits
}

/** Those that lie within no other of them, and each once. */
export function outermost(prefixes: readonly Prefix[]): Prefix[] {
  const kept = new Prefixes<true>()
  return prefixes
    .toSorted((a, b) => a.length - b.length)
    .filter((prefix) => {
      const first = parseClient(prefix.cidr.slice(0, prefix.cidr.indexOf('/'))) as Client
      if (kept.find(first)) return false
      kept.set(prefix, true)
      return true
    })
}

/** The client that this address, or the address of this CIDR, belongs to, as a prefix: the /32, or the /64. */
export function prefixOfAddress(text: string): Prefix | undefined {
  const client = parseClient(text.split('/', 1)[0] as string)
  return client && prefixOf(client, client.family === 4 ? 32 : 64)
}

/** Does one of the two hold the other? */
export function overlap(a: Prefix, b: Prefix): boolean {
  if (a.family !== b.family) return false
  const [wide, narrow] = a.length <= b.length ? [a, b] : [b, a]
  return narrow.bits >> BigInt(narrow.length - wide.length) === wide.bits
}

export class Prefixes<Value> {
  readonly #tables: Record<4 | 6, Table<Value>[]> = { 4: [], 6: [] }
  #size = 0

  static of<Value>(entries: Iterable<readonly [Prefix, Value]>): Prefixes<Value> {
    const made = new Prefixes<Value>()
    for (const [prefix, value] of entries) made.set(prefix, value)
    return made
  }

  get size(): number {
    return this.#size
  }

  set(prefix: Prefix, value: Value): void {
    const tables = this.#tables[prefix.family]
    let table = tables.find((each) => each.length === prefix.length)
    if (!table) {
      table = { length: prefix.length, values: new Map() }
      tables.push(table)
      tables.sort((a, b) => b.length - a.length)
    }
    const key = keyOf(prefix)
    if (!table.values.has(key)) this.#size++
    table.values.set(key, value)
  }

  /** The value of exactly this prefix. */
  get(prefix: Prefix): Value | undefined {
    return this.#tables[prefix.family].find((each) => each.length === prefix.length)?.values.get(keyOf(prefix))
  }

  delete(prefix: Prefix): void {
    const table = this.#tables[prefix.family].find((each) => each.length === prefix.length)
    if (table?.values.delete(keyOf(prefix))) this.#size--
  }

  /** The value of the longest prefix that holds this client. */
  find(client: Client): Value | undefined {
    const tables = this.#tables[client.family]
    if (tables.length === 0) return undefined
    if (client.family === 4) return this.findFourth(numberOfDotted(client.ip))
    const whole = numberOf(client)
    for (const { length, values } of tables) {
      const value = values.get(whole >> BigInt(128 - length))
      if (value !== undefined) return value
    }
    return undefined
  }

  /** The same of an IPv4 address that is a number (`numberOfDotted`), without an object on the way. */
  findFourth(whole: number): Value | undefined {
    for (const { length, values } of this.#tables[4]) {
      const value = values.get(fourthKey(whole, length))
      if (value !== undefined) return value
    }
    return undefined
  }

  /** The values of all prefixes that hold this client, the longest first. */
  findAll(client: Client): Value[] {
    const tables = this.#tables[client.family]
    if (tables.length === 0) return []
    if (client.family === 4) {
      const whole = numberOfDotted(client.ip)
      return tables.flatMap(({ length, values }) => values.get(fourthKey(whole, length)) ?? [])
    }
    const whole = numberOf(client)
    return tables.flatMap(({ length, values }) => values.get(whole >> BigInt(128 - length)) ?? [])
  }

  *values(): Generator<Value> {
    for (const family of [4, 6] as const) for (const { values } of this.#tables[family]) yield* values.values()
  }
}

function widthOf(family: 4 | 6): 32 | 128 {
  return family === 4 ? 32 : 128
}

type Table<Value> = { readonly length: number; readonly values: Map<bigint | number, Value> }

/** Of IPv4 a small integer, which is hashed and compared at once. */
function keyOf({ family, length, bits }: Prefix): bigint | number {
  return family === 4 ? fourthKey(Number(bits) * 2 ** (32 - length), length) : bits
}

function fourthKey(whole: number, length: number): number {
  return length === 0 ? 0 : (whole | 0) >> (32 - length)
}

function numberOf(client: Client): bigint {
  if (client.family === 4) return BigInt(numberOfDotted(client.ip))
  let whole = 0n
  for (const byte of ipaddr.parse(client.ip).toByteArray()) whole = (whole << 8n) | BigInt(byte)
  return whole
}

/** The address of this number. */
export function addressOf(whole: bigint, family: 4 | 6): string {
  const bytes = Array.from({ length: family === 4 ? 4 : 16 }, (_, i, width = family === 4 ? 4 : 16) =>
    Number((whole >> BigInt(8 * (width - 1 - i))) & 255n),
  )
  return family === 4 ? bytes.join('.') : new ipaddr.IPv6(bytes).toRFC5952String()
}
