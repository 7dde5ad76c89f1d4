/**
 * Doors for tests: ports that stay free until they are wanted, a place where nobody listens, and one way of calling that tells what
 * became of the call.
 */
import { randomInt } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { networkInterfaces } from 'node:os'

export type Door = { readonly host: string; readonly port: number }

/**
 * Nobody listens here (tcpmux), and nobody comes to by chance. A port that was free a moment ago may be somebody's a moment
 * later, and who calls one that the kernel hands out may even meet itself.
 */
export const SHUT: Door = { host: '127.0.0.1', port: 1 }

/** Many containers have no IPv6 at all: what is tried at ::1 is skipped there, and a sentence says so (test/setup.ts). */
export const HAS_IPV6 = Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === '::1'))

/**
 * Ports of loopback that nobody has, over TCP and UDP, and that the kernel gives to nobody: a server may take one later, or again
 * after its death, while other tests open connections by the thousand, each of which takes a port that the kernel hands out.
 */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>()
  while (ports.size < count) {
    const port = randomInt(...NOT_HANDED_OUT)
    if (!ports.has(port) && (await isFree(port))) ports.add(port)
  }
  return [...ports]
}

/** Where nobody uses known numbers, and beside what the kernel hands out, where that leaves enough. */
const NOT_HANDED_OUT = beside(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8'))

function beside(range: string): [from: number, to: number] {
  const [first = 0, last = 0] = range.trim().split(/\s+/).map(Number)
  return first < 21_000 && last < 64_000 ? [last + 1, 65_536] : [20_000, Math.max(21_000, Math.min(first, 32_768))]
}

async function isFree(port: number): Promise<boolean> {
  const { host } = SHUT
  const tcp = createServer().listen({ host, port, exclusive: true })
  const udp = createSocket('udp4').bind({ address: host, port, exclusive: true })
  const opens = [tcp, udp].map((door) => once(door, 'listening').then(Boolean, () => false))
  const [tcpIsFree, udpIsFree] = (await Promise.all(opens)) as [boolean, boolean]
  udp.close()
  await once(udp, 'close')
  if (tcpIsFree) await once(tcp.close(), 'close')
  return tcpIsFree && udpIsFree
}

/**
 * What became of a call: `open`, `reset`, or the code of its failure, like `ECONNREFUSED`. A door that resets at once may have done
 * so before we have looked: then connect(2) tells of the reset, and of nothing before it.
 */
export function callAt({ host, port }: Door): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host, port })
    socket.on('connect', () => (socket.destroy(), resolve('open')))
    socket.on('error', ({ code }: NodeJS.ErrnoException) => resolve(code === 'ECONNRESET' ? 'reset' : String(code)))
  })
}
