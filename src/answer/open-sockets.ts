/**
 * The sockets that this process has open, by their descriptors: proc(5).
 *
 * A descriptor is a link to a socket's number, and the tables of TCP and UDP say where each number listens. They are those
 * of this network namespace; what was opened in another one is not among them.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { parseClient } from '../core/client.ts'

type Place = { readonly host: string; readonly port: number }

/** A TCP socket that listens, or a UDP socket; with the address it is bound to. */
export type OpenSocket = { readonly over: 'tcp' | 'udp'; readonly address: Place }

/** What is behind a descriptor, or a sentence that says why it is of no use. */
export type LookUp = (fd: number) => OpenSocket | string

/** The tables are read once, when the first socket is met. */
export function openSockets(): LookUp {
  let sockets: ReadonlyMap<string, OpenSocket | string> | undefined
  return (fd) => {
    try {
      const number = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/self/fd/${fd}`))?.[1]
      if (number === undefined) return 'is no socket'
      sockets ??= new Map(TABLES.flatMap(readTable))
      return sockets.get(number) ?? 'is neither a TCP nor a UDP socket of this network namespace'
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'ENOENT'
        ? 'is not open'
        : `cannot be looked at: ${(error as Error).message}`
    }
  }
}

/** The one descriptor of ours with a UDP socket that is bound to this address; undefined where there is none, or another. */
export function udpDescriptorAt(place: Place): number | undefined {
  const lookUp = openSockets()
  const found = descriptors().filter((fd) => {
    const socket = lookUp(fd)
    return typeof socket !== 'string' && socket.over === 'udp' && isSame(socket.address, place)
  })
  return found.length === 1 ? found[0] : undefined
}

function descriptors(): number[] {
  try {
    return readdirSync('/proc/self/fd').map(Number)
  } catch {
    return []
  }
}

export function isSame(a: Place, b: Place): boolean {
  return a.port === b.port && parseClient(a.host)?.ip === parseClient(b.host)?.ip
}

const TABLES = [
  ['tcp', '/proc/self/net/tcp'],
  ['tcp', '/proc/self/net/tcp6'],
  ['udp', '/proc/self/net/udp'],
  ['udp', '/proc/self/net/udp6'],
] as const
const LISTENS = '0A'

/** A table is absent where the kernel has no such family. */
function readTable([over, file]: (typeof TABLES)[number]): [string, OpenSocket | string][] {
  let text = ''
  try {
    text = readFileSync(file, 'latin1')
  } catch {
    return []
  }
  return text
    .split('\n')
    .slice(1)
    .flatMap((line): [string, OpenSocket | string][] => {
      const [, local = '', , state, , , , , , number] = line.trim().split(/\s+/)
      const [host = '', port = ''] = local.split(':')
      if (number === undefined) return []
      if (over === 'tcp' && state !== LISTENS)
        return [[number, 'does not listen: a unit with Accept=yes is of no use here']]
      return [[number, { over, address: { host: spellHex(host), port: Number.parseInt(port, 16) } }]]
    })
}

/** Words of 32 bits as the processor has them; every one that Node runs on here is little-endian. */
function spellHex(hex: string): string {
  const bytes = (hex.match(/.{8}/g) ?? []).flatMap((word) => (word.match(/../g) ?? []).toReversed())
  if (bytes.length === 4) return bytes.map((byte) => Number.parseInt(byte, 16)).join('.')
  const groups = Array.from({ length: 8 }, (_, i) => `${bytes[2 * i]}${bytes[2 * i + 1]}`)
  const text = groups.join(':')
  return parseClient(text)?.ip ?? text
}
