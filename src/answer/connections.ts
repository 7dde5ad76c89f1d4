/**
 * Connections of askers that speak in lines: who comes in, how long each may take, and how it ends.
 *
 * Every wait has an end: for a whole request, and for answers that nobody reads. Nothing is read from an asker that does not
 * read, so what waits for it is never more than one chunk of requests brings. Half-open, because some askers shut their
 * side once they have asked. What is told besides is told after the answers are on their way.
 */
import { createServer, type Server, type Socket } from 'node:net'

export type ConnectionLimits = {
  /** Open at once. */
  readonly connections: number
  /** Without a whole request in this time, hang up. */
  readonly idleMs: number
  /** Answers that the asker does not read are held this long. */
  readonly unreadMs: number
}

export type Ended<Trouble extends string> = Trouble | 'cut-short' | 'full' | 'idle' | 'unread'

/** What became of a chunk. */
export type Heard<Trouble extends string> = {
  /** One character for each byte; empty while no request is whole. */
  readonly replies: string
  /** Bytes of a request that is not whole yet. */
  readonly rest: number
  /** Why nothing after these requests can be read. */
  readonly trouble?: Trouble | undefined
  /** Nothing more is to be said: hang up after the replies. */
  readonly done?: boolean
  readonly afterwards: () => void
}

export type Conversation<Trouble extends string> = {
  readonly hear: (chunk: Buffer) => Heard<Trouble>
  /** The asker has shut its side. Left out: what is not whole then is cut short. */
  readonly end?: () => Heard<Trouble>
}

export class Connections<Trouble extends string> {
  readonly #limits: ConnectionLimits
  readonly #converse: () => Conversation<Trouble>
  readonly #tell: (reason: Ended<Trouble>) => void
  readonly #servers = new Set<Server>()
  readonly #sockets = new Set<Socket>()

  constructor(
    limits: ConnectionLimits,
    converse: () => Conversation<Trouble>,
    /** A connection was ended by us, for this reason. */
    tell: (reason: Ended<Trouble>) => void,
  ) {
    this.#limits = limits
    this.#converse = converse
    this.#tell = tell
  }

  /** A server for the caller to listen with. */
  server(): Server {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#serve(socket))
    this.#servers.add(server)
    return server.once('close', () => this.#servers.delete(server))
  }

  async close(): Promise<void> {
    const closed = [...this.#servers].map((server) => new Promise((resolve) => server.close(resolve)))
    for (const socket of this.#sockets) socket.destroy()
    await Promise.all(closed)
  }

  #serve(socket: Socket): void {
    const { connections, idleMs, unreadMs } = this.#limits
    socket.on('error', () => undefined) // the asker went away; 'close' follows
    if (this.#sockets.size >= connections) {
      this.#tell('full')
      socket.destroy()
      return
    }
    this.#sockets.add(socket)
    const { hear, end } = this.#converse()
    const idle = setTimeout(() => giveUp('idle'), idleMs)
    let unread: NodeJS.Timeout | undefined
    let cutShort = false

    const giveUp = (reason: 'idle' | 'unread') => {
      this.#tell(reason)
      socket.destroy()
    }
    const heed = ({ replies, rest, trouble, done, afterwards }: Heard<Trouble>) => {
      if (replies !== '') idle.refresh()
      if (replies !== '' && !socket.write(replies, 'latin1')) {
        socket.pause()
        unread = setTimeout(() => giveUp('unread'), unreadMs)
      }
      if (trouble) this.#tell(trouble)
      if (trouble || done) socket.off('data', take).destroySoon()
      cutShort = rest > 0
      afterwards()
    }
    const take = (chunk: Buffer) => heed(hear(chunk))
    socket.on('data', take)
    socket.on('drain', () => {
      clearTimeout(unread)
      socket.resume()
    })
    socket.on('end', () => {
      if (end && !socket.writableEnded) heed(end())
      if (cutShort && !socket.writableEnded) this.#tell('cut-short')
      socket.end()
    })
    socket.on('close', () => {
      clearTimeout(idle)
      clearTimeout(unread)
      this.#sockets.delete(socket)
    })
  }
}
