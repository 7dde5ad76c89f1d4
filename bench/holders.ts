/**
 * The loader's work for the tarpit: clients that connect and stay, listen whether their bytes come, or come, hear one
 * byte and are gone.
 *
 * Where the loader owns the crowd's addresses (namespace.ts) each client calls from its own; else it says behind PROXY who
 * it is.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { addressOf, OFFENDERS } from './crowd.ts'
import { NOTHING, type Outcome } from './outcome.ts'

/** Opens connections, from the offender of this number on, until so many are held. */
export type HoldJob = Calling & { readonly what: 'hold'; readonly from: number; readonly upTo: number }
/** How many of those who are held hear something within this time, and how many pieces are it in all (`answers`)? */
export type ListenJob = { readonly what: 'listen'; readonly forMs: number }
/** So many at a time connect, wait for the first byte, and reset; `crowd` clients in turn. */
export type KnockJob = Calling & {
  readonly what: 'knock'
  readonly connections: number
  readonly crowd: number
  readonly forMs: number
}

type Calling = { readonly port: number; readonly proxied: boolean }

const HOST = '127.0.0.1'
/** Connections being opened at the same time. */
const OPENING = 64

const held = new Set<Socket>()
let opened = 0
/** Pieces that those who are held have heard: each is one drip. */
let pieces = 0
const hear = () => void pieces++

export async function hold({ port, proxied, from, upTo }: HoldJob): Promise<Outcome> {
  const start = performance.now()
  const open = async () => {
    while (opened < upTo) {
      const socket = call(from + opened++, port, proxied)
      held.add(socket)
      // What it is told is read, or the kernel would have to keep it.
      socket.on('data', hear)
      socket.on('close', () => held.delete(socket))
      await Promise.race([once(socket, 'connect'), once(socket, 'close')])
    }
  }
  await Promise.all(Array.from({ length: OPENING }, open))
  return { ...NOTHING, held: held.size, ms: performance.now() - start }
}

export async function listen({ forMs }: ListenJob): Promise<Outcome> {
  const before = [...held].map((socket) => [socket, socket.bytesRead] as const)
  const piecesBefore = pieces
  await new Promise((resolve) => setTimeout(resolve, forMs))
  const deaf = before.filter(([socket, bytes]) => socket.bytesRead === bytes || socket.destroyed)
  return { ...NOTHING, answers: pieces - piecesBefore, held: held.size, lost: deaf.length, ms: forMs }
}

export async function knock({ port, proxied, connections, crowd, forMs }: KnockJob): Promise<Outcome> {
  let [next, answers, lost] = [0, 0, 0]
  const start = performance.now()
  const cpu = process.cpuUsage()
  const ends = start + forMs
  await Promise.all(
    Array.from(
      { length: connections },
      () =>
        new Promise<void>((resolve) => {
          const again = () => {
            if (performance.now() >= ends) return resolve()
            const socket = call(next++ % crowd, port, proxied)
            let heard = false
            socket.once('data', () => {
              heard = true
              answers++
              socket.resetAndDestroy()
            })
            socket.once('close', () => {
              if (!heard) lost++
              again()
            })
          }
          again()
        }),
    ),
  )
  const ms = performance.now() - start
  const { user, system } = process.cpuUsage(cpu)
  return { ...NOTHING, answers, lost, ms, busy: (user + system) / 1000 / ms }
}

/** By reset, so that no port stays occupied in TIME_WAIT. */
export async function letGo(): Promise<Outcome> {
  const closing = [...held].map((socket) => once(socket, 'close'))
  for (const socket of held) socket.resetAndDestroy()
  await Promise.all(closing)
  opened = 0
  return NOTHING
}

/** May one more be opened, of so many? */
export function begin(upTo: number): boolean {
  return opened < upTo && ++opened > 0
}

/** Also other jobs may keep connections until `letGo`. */
export function keep(socket: Socket): void {
  held.add(socket)
  socket.on('close', () => held.delete(socket))
}

export function kept(): number {
  return held.size
}

/** Every second address is an offender's; 128 of them are in one /24, which the limits allow. */
function call(offender: number, port: number, proxied: boolean): Socket {
  const client = addressOf(2 * (offender % OFFENDERS))
  const socket = connect(proxied ? { host: HOST, port } : { host: HOST, port, localAddress: client })
  socket.on('error', () => undefined)
  if (proxied) socket.write(`PROXY TCP4 ${client} 192.0.2.66 40000 25\r\n`)
  return socket
}
