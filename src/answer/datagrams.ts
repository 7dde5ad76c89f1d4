/**
 * Who asks by UDP, whatever is spoken then: each datagram is answered or not, to where it came from.
 *
 * dgram owns the sockets and hands us the first datagram of a turn. What has come besides is taken, answered and sent many at
 * a time where that can be had (libc/bursts.ts), so that under load an answer costs half; by dgram alone it is the same, slower.
 */
import { createSocket, type Socket } from 'node:dgram'
import { type Answerer, bursts } from '../libc/bursts.ts'
import { udpDescriptorAt } from './open-sockets.ts'

export type DatagramsOptions = {
  readonly answer: Answerer
  /** An answer that the network did not take. */
  readonly unsent: () => void
  /** Of answers that wait for the network card; more are dropped, as UDP may. */
  readonly unsentBytes: number
  /** Take and send many at a time, where that can be had. */
  readonly inBursts: boolean
  /** Other processes may answer at the same address: the kernel deals out who asks (SO_REUSEPORT of socket(7)). */
  readonly shared: boolean
}

/** Questions that the kernel keeps while we are at something else; it gives no more than net.core.rmem_max. */
const RECEIVE_BYTES = 1_048_576
/** In one turn of the event loop, so that others who ask have theirs: a millisecond or two. */
const TURN_MAX = 256

/** Takes and answers what has come besides, and sends the first answer with the others. False: that is still to be sent. */
type Drain = (first: Buffer | undefined, to: { readonly address: string; readonly port: number }) => boolean

export class Datagrams {
  readonly #options: DatagramsOptions
  readonly #sockets = new Set<Socket>()
  #closed = false
  #oneByOne: string | undefined

  constructor(options: DatagramsOptions) {
    this.#options = options
    const many = options.inBursts ? bursts() : 'the settings say so'
    if (typeof many === 'string') this.#oneByOne = many
  }

  /** Why each datagram is taken and sent for itself; undefined where many are. */
  get oneByOne(): string | undefined {
    return this.#oneByOne
  }

  /** A socket for the caller to bind. It is closed by `close` only. */
  socket(family: 'udp4' | 'udp6'): Socket {
    const { answer, unsent, unsentBytes, shared } = this.#options
    const socket = createSocket({ type: family, recvBufferSize: RECEIVE_BYTES, reusePort: shared })
    this.#sockets.add(socket)
    let drain: Drain = () => false
    socket.once('listening', () => (drain = this.#drainer(socket) ?? drain))
    const sent = (error: Error | null) => error && unsent()
    socket.on('message', (query, from) => {
      const reply = from.port === 0 ? undefined : answer(query, from.address)
      if (drain(reply, from) || !reply) return
      if (socket.getSendQueueSize() > unsentBytes) unsent()
      else socket.send(reply, from.port, from.address, sent)
    })
    return socket.once('close', () => this.#sockets.delete(socket))
  }

  #drainer(socket: Socket): Drain | undefined {
    const { answer, unsent } = this.#options
    // Where it is not wanted, no native code is loaded.
    const many = this.#oneByOne === undefined ? bursts() : this.#oneByOne
    if (typeof many === 'string') return undefined
    const { address: host, port } = socket.address()
    const fd = udpDescriptorAt({ host, port })
    if (fd === undefined) {
      this.#oneByOne = `the descriptor of ${host} port ${port} is not to be found in /proc`
      return undefined
    }
    const isOpen = () => !this.#closed
    let left = TURN_MAX
    const turn = () => (left = TURN_MAX)
    return (first, { address, port }) => {
      if (left === 0) return false
      const isLaid = first !== undefined && many.lay(first, address, port)
      const came = many.drain(fd, left, answer, isOpen, isLaid)
      for (let n = 0; n < came.unsent; n++) unsent()
      if (came.taken > 0 && left === TURN_MAX) setImmediate(turn)
      left -= came.taken
      return isLaid
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#sockets].map((socket) => new Promise<void>((resolve) => socket.close(resolve))))
  }
}
