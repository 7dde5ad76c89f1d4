/**
 * Connections of askers that speak in lines: what each is told, and how it ends. How many there are, and how long
 * each may take, is in callers.ts.
 *
 * Every wait has an end: for a whole request, and for answers that nobody reads. Nothing is read from an asker that does not
 * read, so what waits for it is never more than one chunk of requests brings. Half-open, because some askers shut their
 * side once they have asked. What is told besides is told after the answers are on their way.
 */
import type { Server, Socket } from 'node:net'
import { Callers } from './callers.ts'

export type ConnectionLimits = {
  /** Open at once. */
  readonly connections: number
  /** Without a whole request in this time, hang up. */
  readonly idleMs: number
  /** Answers that the asker does not read are held this long. */
  readonly unreadMs: number
}

type Ended<Trouble extends string> = Trouble | 'cut-short' | 'full' | 'idle' | 'unread'

/** Why we ended a connection, and the address of the asker, if it has one. */
export type HungUp<Trouble extends string> = { readonly reason: Ended<Trouble>; readonly peer?: string }

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
  readonly #tell: (reason: Ended<Trouble>, socket: Socket) => void
  readonly #callers: Callers

  constructor(
    limits: ConnectionLimits,
    converse: () => Conversation<Trouble>,
    /** A connection was ended by us. */
    tell: (ended: HungUp<Trouble>) => void,
  ) {
    this.#limits = limits
    this.#converse = converse
    this.#tell = (reason, { remoteAddress }) =>
      tell({ reason, ...(remoteAddress === undefined ? {} : { peer: remoteAddress }) })
    this.#callers = new Callers({ ...limits, tell: this.#tell, serve: (socket, served) => this.#serve(socket, served) })
  }

  /** A server for the caller to listen with. */
  server(): Server {
    return this.#callers.server()
  }

  close(): Promise<void> {
    return this.#callers.close()
  }

  #serve(socket: Socket, served: () => void): void {
    const { hear, end } = this.#converse()
    let unread: NodeJS.Timeout | undefined
    let cutShort = false

    const giveUp = () => {
      this.#tell('unread', socket)
      socket.destroy()
    }
    const heed = ({ replies, rest, trouble, done, afterwards }: Heard<Trouble>) => {
      if (replies !== '') served()
      if (replies !== '' && !socket.write(replies, 'latin1')) {
        socket.pause()
        unread = setTimeout(giveUp, this.#limits.unreadMs)
      }
      if (trouble) this.#tell(trouble, socket)
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
      if (cutShort && !socket.writableEnded) this.#tell('cut-short', socket)
      socket.end()
    })
    socket.on('close', () => clearTimeout(unread))
  }
}
