/** Clients about whom something stands, one for each word, and the decisions about them: for every way of asking. */
import { once } from 'node:events'
import type { Socket } from 'node:net'
import type { Decide, Decision } from '../../src/reputation/decision.ts'

export const CLEAN: Omit<Decision, 'client'> = {
  verdict: 'clean',
  effect: 'pass',
  mode: 'enforce',
  by: undefined,
  until: undefined,
  ticket: undefined,
  because: undefined,
  doubt: undefined,
}

/** By the keys of clients, what their decisions have that a clean one has not. */
export function decideBy(rulings: Readonly<Record<string, Partial<Decision>>>): Decide {
  return (client) => ({ ...CLEAN, client, ...rulings[client.key] })
}

const RULED = { by: 'rules', ticket: 'ABCD-EFGH', because: 'talked 100% first' } as const

export const decide = decideBy({
  '192.0.2.1': { ...RULED, verdict: 'block', effect: 'block' },
  '192.0.2.2': { ...RULED, verdict: 'defer', effect: 'defer' },
  '192.0.2.3': { ...RULED, verdict: 'observe', effect: 'observe' },
  '192.0.2.4': { ...RULED, verdict: 'allow', effect: 'pass' },
  '192.0.2.5': { ...RULED, verdict: 'block', effect: 'pass', doubt: 'stale' },
  '2001:db8:0:1::/64': { ...RULED, verdict: 'block', effect: 'block' },
})

/** Everything that comes back until the other side is done. */
export async function readAll(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  socket.on('error', () => undefined)
  await once(socket, 'close')
  return Buffer.concat(chunks)
}

export async function readText(socket: Socket): Promise<string> {
  return (await readAll(socket)).toString('latin1')
}
