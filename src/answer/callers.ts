/**
 * Who has called over TCP, whatever is spoken then: how many at once, how long without a question, and the end of all.
 *
 * The rooms that answer put their own words on the sockets; the bounds are kept here, the same way for all of them.
 */
import { createServer, type Server, type Socket } from 'node:net'

export type CallersOptions = {
  /** Open at once; beyond it the one that has asked nothing for longest is hung up on. */
  readonly connections: number
  /** Without `served` for so long, hang up. */
  readonly idleMs: number
  readonly tell: (reason: 'full' | 'idle', socket: Socket) => void
  /** Speaks with one caller; `served` is to be called for each whole question. */
  readonly serve: (socket: Socket, served: () => void) => void
}

export class Callers {
  readonly #options: CallersOptions
  readonly #servers = new Set<Server>()
  readonly #sockets = new Set<Socket>()

  constructor(options: CallersOptions) {
    this.#options = options
  }

  /** A server for the caller to listen with. Half-open, because some askers shut their side once they have asked. */
  server(): Server {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#take(socket))
    this.#servers.add(server)
    return server.once('close', () => this.#servers.delete(server))
  }

  async close(): Promise<void> {
    const closed = [...this.#servers].map((server) => new Promise((resolve) => server.close(resolve)))
    for (const socket of this.#sockets) socket.destroy()
    await Promise.all(closed)
  }

  #take(socket: Socket): void {
    const { connections, idleMs, tell, serve } = this.#options
    socket.on('error', () => undefined) // the asker went away; 'close' follows
    // Whoever has asked nothing for longest makes room, so that idle ones never keep out a mail server that has a question.
    const [idlest] = this.#sockets
    if (idlest && this.#sockets.size >= connections) {
      tell('full', idlest)
      this.#sockets.delete(idlest)
      idlest.destroy()
    }
    this.#sockets.add(socket)
    const idle = setTimeout(() => {
      tell('idle', socket)
      socket.destroy()
    }, idleMs)
    socket.once('close', () => {
      clearTimeout(idle)
      this.#sockets.delete(socket)
    })
    serve(socket, () => {
      idle.refresh()
      // In the order of their last question.
      if (this.#sockets.delete(socket)) this.#sockets.add(socket)
    })
  }
}
