/**
 * Addresses as the kernel writes them (struct sockaddr_in of ip(7), sockaddr_in6 of ipv6(7)): family 0, port 2 (network
 * order), IPv4 address 4; IPv6 flow 4, address 8, scope 24.
 */
import { clientOfBytes, dottedOf, numberOfDotted } from '../core/client.ts'

export const FOURTH = { family: 2, bytes: 16 } as const
export const SIXTH = { family: 10, bytes: 28 } as const
/** Room for either. */
export const NAME_BYTES = 32

/** Addresses whose text is remembered. */
const TEXTS_MAX = 10_000
const fourthTexts = new Map<number, string>()
const sixthTexts = new Map<string, string>()

/** Where all is tried before it is trusted. */
export const OURSELVES = '127.0.0.1'

/** As Node spells it, but for the scope of a link-local address; undefined: none that can be answered. */
export function addressAt(bytes: Buffer, name: number, nameBytes: number): string | undefined {
  const family = bytes[name] as number
  if (bytes[name + 2] === 0 && bytes[name + 3] === 0) return undefined
  if (family === FOURTH.family && nameBytes === FOURTH.bytes) {
    const whole = bytes.readInt32BE(name + 4)
    return fourthTexts.get(whole) ?? remember(fourthTexts, whole, dottedOf(whole))
  }
  if (family !== SIXTH.family || nameBytes !== SIXTH.bytes) return undefined
  const key = bytes.toString('latin1', name + 8, name + 24)
  return sixthTexts.get(key) ?? remember(sixthTexts, key, clientOfBytes([...bytes.subarray(name + 8, name + 24)]).ip)
}

/** An IPv4 address. */
export function writeName(bytes: Buffer, name: number, address: string, port: number): void {
  bytes.writeUInt16LE(FOURTH.family, name)
  bytes.writeUInt16BE(port, name + 2)
  bytes.writeUInt32BE(numberOfDotted(address), name + 4)
}

function remember<Key>(texts: Map<Key, string>, key: Key, text: string): string {
  if (texts.size >= TEXTS_MAX) texts.clear()
  texts.set(key, text)
  return text
}
