/**
 * The sockets on the spare addresses: who is refused, turned away, held, or talked to; and every cap and deadline.
 *
 * At the primary only a reset before the first byte moves every mail server we measured on to the next MX (research on
 * mail servers at a decoy: any reply code strands or bounces mail of some, and a FIN hangs others). So a stranger
 * there is reset at once, a suspect is kept in silence for a while and then reset, and only at the backup, where
 * honest senders come when the real MX is away, is there a dialogue. Known offenders are dripped to at either.
 *
 * A connection ends by our reset, or after QUIT by a clean close. Nothing a client does, or fails to do, keeps it
 * longer than the limits say.
 */
import { randomBytes } from 'node:crypto'
import { createServer, type Server, type Socket } from 'node:net'
import { type Client, parseClient } from '../core/client.ts'
import type { Instant, Witness } from '../core/evidence.ts'
import type { Prefixes } from '../core/prefixes.ts'
import { type Converse, dialogues, type Party } from './dialogue.ts'
import type { Sighting } from './manners.ts'
import { readProxyHeader, spellPlace } from './proxy.ts'
import { type Held, Tarpit } from './tarpit.ts'
import type { Pace } from './wire.ts'

/** What is thought of a client when it comes. */
export type Regard = 'stranger' | 'suspect' | 'offender'

export type Via = 'direct' | 'proxy'

/**
 * How a connection ended: `reset` before the first byte; `dialogue`, which the client or SMTP ended; `cut`, a dialogue
 * that we ended; `held` in silence; `tarpit`; and `shed`, let go from there to make room.
 */
type Outcome = 'reset' | 'dialogue' | 'cut' | 'held' | 'tarpit' | 'shed'

/**
 * Why a connection was not even regarded: too many in all, too many from its network, a peer that is no proxy of ours,
 * a bad PROXY header, none in time, or gone before we looked.
 */
export type Refusal = 'total' | 'network' | 'peer' | 'proxy-header' | 'proxy-silence' | 'gone'

export type DecoyHappening =
  | { readonly what: 'opened'; readonly role: 'primary' | 'backup'; readonly via: Via; readonly regard: Regard }
  | {
      readonly what: 'closed'
      readonly role: 'primary' | 'backup'
      readonly outcome: Outcome
      readonly heldMs: number
      readonly bytesIn: number
      readonly bytesOut: number
    }
  | { readonly what: 'refused'; readonly role: 'primary' | 'backup'; readonly reason: Refusal }
  /** A proxy of ours that says nothing we can read: its settings or ours are wrong, and somebody must be told. */
  | {
      readonly what: 'misread'
      readonly role: 'primary' | 'backup'
      readonly peer: string
      readonly where: string
      readonly because: string
    }
  /** The SMTP library met an error without a name. The text is for the log. */
  | { readonly what: 'fault'; readonly role: 'primary' | 'backup'; readonly error: string }

export type DecoyOptions = {
  readonly role: 'primary' | 'backup'
  /** Our host name, as greetings have it. */
  readonly name: string
  readonly pace: Pace
  readonly limits: {
    /** Connections in all, whatever becomes of them; and of these from one network. */
    readonly connections: number
    readonly perNetwork: number
    /** Longest dialogue, longest stay in the tarpit, and how long a suspect is kept at the primary. */
    readonly dialogueMs: number
    readonly tarpitMs: number
    readonly suspectHoldMs: number
    /** How long a proxy may take for its header. */
    readonly headerMs: number
  }
  /** Peers whose PROXY header is believed. */
  readonly proxyFrom: Prefixes<true>
  readonly regard: (client: Client) => Regard
  readonly protects: (domain: string) => boolean
  readonly isTrap: (address: string) => boolean
  readonly witness: Witness
  readonly tell: (happening: DecoyHappening) => void
  readonly now: () => Instant
}

export type DecoyCounts = {
  /** All there are, those whose PROXY header we still wait for included. */
  readonly connections: number
  readonly waiting: number
  readonly dialogues: number
  readonly held: number
}

export class Decoy {
  readonly role: 'primary' | 'backup'
  readonly #options: DecoyOptions
  readonly #servers = new Set<Server>()
  readonly #waiting = new Set<Socket>()
  readonly #visits = new Map<Socket, Visit>()
  readonly #perNetwork = new Map<string, number>()
  readonly #tarpit: Tarpit
  readonly #converse: Converse
  readonly #onClose: (this: Socket) => void
  /** Sessions are numbered, after a few letters that tell this run from others. */
  readonly #run = randomBytes(4).toString('hex')
  #session = 0
  #closed = false

  constructor(options: DecoyOptions) {
    this.role = options.role
    this.#options = options
    this.#tarpit = new Tarpit({
      name: options.name,
      dripMs: options.pace.dripMs,
      capacity: options.limits.connections,
      now: monotonic,
      shed: (socket) => {
        const visit = this.#visits.get(socket)
        if (visit) visit.outcome = 'shed'
      },
    })
    this.#converse = dialogues({
      name: options.name,
      pace: options.pace,
      protects: options.protects,
      isTrap: options.isTrap,
      testify: (party, sighting) => this.#testify(party, sighting),
      fault: (error) => options.tell({ what: 'fault', role: options.role, error: error.message }),
    })
    const left = (socket: Socket) => this.#left(socket)
    this.#onClose = function () {
      left(this)
    }
  }

  /** A server that is not listening yet: where and when is the caller's to say. */
  server(via: Via): Server {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (socket) => {
      socket.on('error', ignore)
      const peer = parseClient(socket.remoteAddress ?? '')
      const own = parseClient(socket.localAddress ?? '')
      if (this.#closed || !peer || !own) return this.#refuse(socket, 'gone')
      const where = spellPlace(own.ip, socket.localPort ?? 0)
      const party = { client: peer, address: own.ip, where, session: this.#nextSession() }
      if (via === 'direct') this.#admit(socket, via, party, EMPTY)
      else this.#awaitHeader(socket, party)
    })
    this.#servers.add(server)
    return server
  }

  counts(): DecoyCounts {
    const waiting = this.#waiting.size
    const held = this.#tarpit.size
    return { connections: this.#visits.size + waiting, waiting, held, dialogues: this.#visits.size - held }
  }

  /** Takes nobody in any more and resets everyone; settled when all are gone. */
  async close(): Promise<void> {
    this.#closed = true
    const closing = [...this.#servers].map((server) => new Promise<void>((resolve) => server.close(() => resolve())))
    for (const socket of this.#waiting) socket.resetAndDestroy()
    for (const [socket, visit] of this.#visits) this.#cut(socket, visit)
    await Promise.all(closing)
  }

  /** Behind a proxy: who the client is comes first. */
  #awaitHeader(socket: Socket, proxy: Party): void {
    const { limits } = this.#options
    if (!this.#options.proxyFrom.find(proxy.client)) return this.#refuse(socket, 'peer')
    if (!this.#hasRoom()) return this.#refuse(socket, 'total')
    this.#waiting.add(socket)
    let seen: Buffer = EMPTY
    const settle = () => {
      clearTimeout(timer)
      this.#waiting.delete(socket)
      socket.off('data', hear).off('end', miss).off('close', miss).pause()
    }
    const misread = (reason: 'proxy-header' | 'proxy-silence', because: string) => {
      settle()
      this.#options.tell({ what: 'misread', role: this.role, peer: proxy.client.ip, where: proxy.where, because })
      this.#refuse(socket, reason)
    }
    // A proxy that looks whether we are there hangs up without a word, and is no trouble.
    const miss = () => {
      settle()
      this.#refuse(socket, 'proxy-silence')
    }
    const late = () => misread('proxy-silence', `no header within ${limits.headerMs} ms`)
    const hear = (bytes: Buffer) => {
      seen = seen.length === 0 ? bytes : Buffer.concat([seen, bytes])
      const reading = readProxyHeader(seen)
      if (reading.is === 'more') return
      if (reading.is === 'bad') return misread('proxy-header', reading.because)
      settle()
      const { source, destination, rest } = reading
      const party = source ? { ...proxy, client: source, address: addressIn(destination), where: destination } : proxy
      this.#admit(socket, 'proxy', party, rest)
    }
    const timer = setTimeout(late, limits.headerMs).unref()
    socket.on('data', hear).on('end', miss).on('close', miss).resume()
  }

  #admit(socket: Socket, via: Via, party: Party, early: Buffer): void {
    const { limits, regard, role, tell } = this.#options
    const { client } = party
    void this.#testify(party, { kind: 'contact' })
    const neighbours = this.#perNetwork.get(client.network) ?? 0
    if (neighbours >= limits.perNetwork) return this.#refuse(socket, 'network')
    if (!this.#hasRoom()) return this.#refuse(socket, 'total')

    const regarded = regard(client)
    const { network } = client
    const visit: Visit = { network, openedAt: monotonic(), outcome: 'reset', held: undefined, deadline: undefined }
    this.#visits.set(socket, visit)
    this.#perNetwork.set(network, neighbours + 1)
    socket.once('close', this.#onClose)
    tell({ what: 'opened', role, via, regard: regarded })

    if (regarded === 'offender') {
      visit.outcome = 'tarpit'
      visit.held = this.#tarpit.hold(socket, network, 'drip', limits.tarpitMs)
    } else if (role === 'backup') {
      visit.outcome = 'dialogue'
      visit.deadline = setTimeout(() => this.#cut(socket, visit), limits.dialogueMs).unref()
      this.#converse(socket, party, early)
    } else if (regarded === 'suspect') {
      visit.outcome = 'held'
      visit.held = this.#tarpit.hold(socket, network, 'silent', limits.suspectHoldMs)
    } else socket.resetAndDestroy()
  }

  /** Room for one more, if need be at the cost of one that is held. */
  #hasRoom(): boolean {
    return this.#visits.size + this.#waiting.size < this.#options.limits.connections || this.#tarpit.shed()
  }

  #refuse(socket: Socket, reason: Refusal): void {
    this.#options.tell({ what: 'refused', role: this.role, reason })
    socket.resetAndDestroy()
  }

  #cut(socket: Socket, visit: Visit): void {
    if (visit.outcome === 'dialogue') visit.outcome = 'cut'
    socket.resetAndDestroy()
  }

  #left(socket: Socket): void {
    const visit = this.#visits.get(socket)
    if (!visit) return
    this.#visits.delete(socket)
    clearTimeout(visit.deadline)
    if (visit.held) this.#tarpit.gone(visit.held)
    const neighbours = (this.#perNetwork.get(visit.network) ?? 1) - 1
    if (neighbours > 0) this.#perNetwork.set(visit.network, neighbours)
    else this.#perNetwork.delete(visit.network)
    this.#options.tell({
      what: 'closed',
      role: this.role,
      outcome: visit.outcome,
      heldMs: monotonic() - visit.openedAt,
      bytesIn: socket.bytesRead,
      bytesOut: socket.bytesWritten,
    })
  }

  #testify({ client, where, session }: Party, sighting: Sighting): Promise<void> {
    const { witness, role, now } = this.#options
    return witness({ type: 'evidence', at: now(), client: client.ip, role, where, session, ...sighting })
  }

  #nextSession(): string {
    this.#session++
    return `${this.#run}-${this.#session.toString(36)}`
  }
}

/** What is kept of a connection while it lasts. There may be a hundred thousand: few fields, and no closures. */
type Visit = {
  readonly network: string
  readonly openedAt: number
  outcome: Outcome
  held: Held | undefined
  deadline: NodeJS.Timeout | undefined
}

const EMPTY = Buffer.alloc(0)

/**
 * Durations are measured on a clock that nobody sets; in whole milliseconds, which cost a held connection no object.
 */
function monotonic(): number {
  return Math.floor(performance.now())
}

function addressIn(place: string): string {
  return place.slice(0, place.lastIndexOf(':')).replace(/^\[|\]$/g, '')
}

/** A client that goes away in the middle is no error of ours; its `close` follows and is what counts. */
function ignore(): void {}
