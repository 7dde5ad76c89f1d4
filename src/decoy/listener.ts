/**
 * The sockets on the spare addresses: who is refused, turned away, held, or talked to, and how long at most. For how many
 * there is room is known to room.ts.
 *
 * At the primary only a reset before the first byte moves every mail server we measured on to the next MX (research on
 * mail servers at a decoy: any reply code strands or bounces mail of some, and a FIN hangs others). So a stranger
 * there is reset at once, a suspect is kept in silence for a while and then reset, and only at the backup, where
 * honest senders come when the real MX is away, is there a dialogue. Known offenders are dripped to at either. While the
 * real MX is known to be away, the backup says 421 at once and closes: that mail waits at its sender was measured for all
 * of them, and every second here would be one that it waits longer.
 *
 * A connection ends by our reset, or after QUIT by a clean close. Nothing a client does, or fails to do, keeps it
 * longer than the limits say. A flood of offenders costs little: no evidence of its own for each connection
 * (sightings.ts), nothing computed that is not needed to hold it, and a tenth of the room is never theirs, so that
 * whoever is unknown gets its dialogue.
 */
import { randomBytes } from 'node:crypto'
import { createServer, type Server, type Socket } from 'node:net'
import { type Client, parseClient } from '../core/client.ts'
import type { Instant, Witness } from '../core/evidence.ts'
import type { Prefixes } from '../core/prefixes.ts'
import type { Bare } from '../libc/bare.ts'
import { type Crowd, type Guest, guestOf, type Line, type Visit, type Who, clientOfWho, whoOf } from './crowd.ts'
import { type Converse, dialogues, type Offers, type Party } from './dialogue.ts'
import type { DecoyHappening, Refusal, Regard, Via } from './happenings.ts'
import { ignore, Lines, type Place } from './lines.ts'
import { type Look, lookOf, type Wish } from './look.ts'
import { type Phrases, phrasesLike } from './phrasing.ts'
import { awaitProxyHeader } from './proxy.ts'
import type { Form } from './script.ts'
import { type Berths, boundless, Room } from './room.ts'
import type { Report } from './shares.ts'
import { setVisit, Tarpit, visitOf } from './tarpit.ts'
import { Testimony } from './testimony.ts'
import type { Talked } from '../core/session.ts'
import { addressIn } from '../core/place.ts'
import type { Pace } from './wire.ts'

export type DecoyOptions = {
  readonly role: 'primary' | 'backup'
  /** Our host name, as greetings have it. */
  readonly name: string
  readonly pace: Pace
  readonly offers: Offers
  readonly limits: {
    /** Connections in all, whatever becomes of them; of these from one network, and from one client. */
    readonly connections: number
    readonly perNetwork: number
    readonly perClient: number
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
  /** Is the real MX known to take no mail now? Without it never. */
  readonly outage?: (() => boolean) | undefined
  /** What a held offender is told, and how we look; and how the real MX looks, as far as that is known. */
  readonly tarpit?: { readonly form: Form; readonly jitter: number; readonly look: Wish } | undefined
  readonly looksLike?: (() => Look | undefined) | undefined
  /** What the process can hold of all its decoys; and among how many processes this decoy is shared. */
  readonly berths?: Berths | undefined
  readonly workers?: number | undefined
  /** With it whoever is held is on a bare line, and many are taken in at once. */
  readonly bare?: Bare | undefined
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
  /** How long those who are here have been, added up. */
  readonly hereMs: number
}

/** Who was told 421 and does not close its side within this time is reset. */
const LATER_MS = 5000
/** Contacts of one client in a minute that are told each by itself. */
const CONTACTS_TOLD = 100

export class Decoy {
  readonly role: 'primary' | 'backup'
  readonly #options: DecoyOptions
  readonly #servers = new Set<Server>()
  readonly #waiting = new Set<Socket>()
  readonly #lines: Lines
  readonly #room: Room
  readonly #crowd: Crowd
  readonly #testimony: Testimony
  readonly #tarpit: Tarpit
  /** Those that no one holds: dialogues, mostly. */
  readonly #talking = new Set<Visit>()
  readonly #converse: Converse
  readonly #phrases: () => Phrases
  readonly #onClose: (this: Socket) => void
  /** Sessions are numbered, after a few letters that tell this run from others. */
  readonly #run = randomBytes(4).toString('hex')
  #session = 0
  #closed = false

  constructor(options: DecoyOptions) {
    this.role = options.role
    this.#options = options
    const { role, witness, now } = options
    this.#testimony = new Testimony({ role, witness, now, monotonic })
    this.#lines = new Lines(options.bare)
    this.#room = new Room(options.limits, options.berths ?? boundless(), options.workers)
    this.#crowd = this.#room.crowd
    const look = lookOf(options.name, options.tarpit?.look, options.looksLike)
    this.#phrases = phrasesLike(look, options.name, options.offers)
    this.#tarpit = new Tarpit({
      name: options.name,
      dripMs: options.pace.dripMs,
      jitter: options.tarpit?.jitter,
      form: options.tarpit?.form,
      look,
      crowd: this.#crowd,
      now: monotonic,
      keeps: (who: Who) => options.regard(clientOfWho(who)) !== 'stranger',
      bare: options.bare,
      left: (visit) => this.#left(visit),
    })
    this.#room.sheds(this.#tarpit, (visit) => this.#makeWay(visit))
    this.#converse = dialogues({
      name: options.name,
      pace: options.pace,
      phrases: this.#phrases,
      offers: options.offers,
      protects: options.protects,
      isTrap: options.isTrap,
      testify: (party, sighting) => this.#testimony.testify(party, sighting),
      poured: (socket) => {
        const visit = visitOf(socket)
        if (visit) visit.outcome = 'poured'
      },
      ended: (socket, party, talked) => this.#ended(socket, party, talked),
      fault: (error) => options.tell({ what: 'fault', role: options.role, error: error.message }),
    })
    const left = (visit: Visit) => this.#left(visit)
    this.#onClose = function () {
      const visit = visitOf(this)
      if (!visit) return
      visit.bytesIn = this.bytesRead
      visit.bytesOut = this.bytesWritten
      left(visit)
    }
  }

  /**
   * A server that is not listening yet: where and when is the caller's to say. Where it hears more addresses than its
   * own, `owners` tells whose each is: another decoy may share the door, and an address of nobody is none to talk at.
   */
  server(via: Via, owners?: Prefixes<Decoy>): Server {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (socket) => {
      socket.on('error', ignore)
      // The canary's door is a Unix socket, which knows no reset.
      if (via === 'canary') socket.resetAndDestroy = () => socket.destroy()
      // Who has gone makes room first.
      this.#tarpit.look()
      const owner = owners ? ownerOf(this.#lines.placeOf(socket), owners) : this
      if (owner) owner.#take(socket, via)
      else this.#refuse(socket, 'address')
      if (via === 'direct') this.#takeOthers(server, owners)
    })
    this.#servers.add(server)
    return server
  }

  counts(): DecoyCounts {
    const waiting = this.#waiting.size
    return { connections: this.#crowd.size + waiting, waiting, ...this.#crowd.counts(monotonic()) }
  }

  /** Some of those who are here, the longest first: so many in a dialogue, and so many held. */
  guests(most: number): Guest[] {
    const talking: Visit[] = []
    for (const visit of this.#talking) if (talking.push(visit) >= most) break
    const atZero = this.#options.now() - monotonic()
    return [...talking, ...this.#crowd.longest(most)].map((visit) => guestOf(visit, this.role, atZero))
  }

  /** How many connections this client has, and some of them. */
  ofClient(who: Who, most: number): { readonly count: number; readonly some: readonly Guest[] } {
    const atZero = this.#options.now() - monotonic()
    const some: Guest[] = []
    for (const visit of this.#crowd.those(who)) if (some.push(guestOf(visit, this.role, atZero)) >= most) break
    return { count: this.#crowd.ofClient(who), some }
  }

  /** What stands for clients has changed: whoever is held and no longer an offender is let go at its next turn. */
  reconsider(): void {
    this.#tarpit.reconsider()
  }

  /** To and from the other processes that share this decoy. */
  report(): Report {
    return this.#room.report()
  }
  hear(news: Report | undefined): boolean {
    return this.#room.hear(news, monotonic())
  }

  /** Takes nobody in any more and resets everyone; settled when all are gone. */
  async close(): Promise<void> {
    this.#closed = true
    const closing = [...this.#servers].map((server) => new Promise<void>((resolve) => server.close(() => resolve())))
    for (const socket of this.#waiting) socket.resetAndDestroy()
    for (const visit of this.#talking) this.#cut(visit)
    for (let visit = this.#crowd.firstToGo(); visit; visit = this.#crowd.firstToGo())
      this.#tarpit.letGo(visit, visit.outcome)
    this.#tarpit.close()
    await Promise.all([...closing, this.#testimony.close()])
  }

  #take(socket: Socket, via: Via): void {
    const peer = via === 'canary' ? OURSELVES : parseClient(socket.remoteAddress ?? '')
    if (this.#closed || !peer) return this.#refuse(socket, 'gone')
    if (via === 'direct') this.#admit(socket, via, peer, undefined, EMPTY)
    else this.#awaitHeader(socket, via, peer)
  }

  /** Who came at the same time. */
  #takeOthers(server: Server, owners: Prefixes<Decoy> | undefined): void {
    if (this.#closed) return
    this.#lines.accept(server, (line, client) => {
      const owner = owners ? ownerOf(this.#lines.placeOf(line), owners) : this
      if (owner && !owner.#closed) owner.#admit(line, 'direct', client, undefined, EMPTY)
      else this.#refuse(line, owner ? 'gone' : 'address')
    })
  }

  /** Behind a proxy: who the client is comes first. */
  #awaitHeader(socket: Socket, via: Via, proxy: Client): void {
    const { limits, proxyFrom, tell } = this.#options
    if (via === 'proxy' && !proxyFrom.find(proxy)) return this.#refuse(socket, 'peer')
    // It counts for no network until it is known.
    if (!this.#room.hasRoom({ ofItsNetwork: 0, now: monotonic() })) return this.#refuse(socket, 'total')
    this.#waiting.add(socket)
    this.#room.waiting++
    awaitProxyHeader(socket, limits.headerMs, (header) => {
      this.#waiting.delete(socket)
      this.#room.waiting--
      if (header.is === 'gone') return this.#refuse(socket, 'gone')
      if (header.is !== 'header') {
        const { where } = this.#lines.placeOf(socket)
        tell({ what: 'misread', role: this.role, peer: proxy.ip, where, because: header.because })
        return this.#refuse(socket, header.is === 'late' ? 'proxy-silence' : 'proxy-header')
      }
      const { source, destination, rest } = header
      const place = source ? { address: addressIn(destination), where: destination } : undefined
      this.#admit(socket, via, source ?? proxy, place, rest)
    })
  }

  /** Who comes through a proxy came to the place that the header names, else to the line's own. */
  #admit(came: Line, via: Via, client: Client, place: Place | undefined, early: Buffer): void {
    const { limits, regard, role, tell } = this.#options
    const regarded = regard(client)
    const who = whoOf(client)
    const offends = regarded === 'offender'
    const now = monotonic()
    const refusal = this.#room.refusalOf(client, who, offends, now)
    if (refusal) {
      this.#testimony.contact(client, offends ? 0 : 1, undefined)
      return this.#refuse(came, refusal)
    }
    const talks = role === 'backup' && !offends
    const line = talks ? this.#lines.toTalk(came) : regarded === 'stranger' ? came : this.#lines.toHold(came)
    if (line === undefined) return tell({ what: 'refused', role, reason: 'gone' })
    const visit = this.#crowd.enter(line, who, client.network, now)
    if (typeof line !== 'number') this.#follow(line, visit)
    else if (typeof came !== 'number') visit.bytesIn = came.bytesRead
    tell({ what: 'opened', role, via, regard: regarded })

    if (offends) {
      this.#testimony.contact(client, 0, undefined)
      visit.outcome = 'tarpit'
      return this.#tarpit.hold(visit, 'drip', limits.tarpitMs)
    }
    const party: Party = { client, ...(place ?? this.#lines.placeOf(line)), session: this.#nextSession() }
    this.#testimony.contact(client, CONTACTS_TOLD, party)
    if (talks && typeof line !== 'number') this.#talk(line, visit, party, early)
    else if (regarded === 'suspect') {
      visit.outcome = 'held'
      this.#tarpit.hold(visit, 'silent', limits.suspectHoldMs)
    } else {
      this.#lines.reset(line)
      if (typeof line === 'number') this.#left(visit)
    }
  }

  #follow(socket: Socket, visit: Visit): void {
    setVisit(socket, visit)
    socket.on('close', this.#onClose)
  }

  #talk(socket: Socket, visit: Visit, party: Party, early: Buffer): void {
    const { limits, outage } = this.#options
    const away = outage?.() ?? false
    visit.outcome = away ? 'later' : 'dialogue'
    visit.deadline = setTimeout(() => this.#cut(visit), away ? LATER_MS : limits.dialogueMs).unref()
    this.#crowd.talk(visit)
    // What it sends meanwhile is read and dropped: a close on unread bytes would be a reset, and could swallow the 421.
    if (away) return void socket.resume().end(this.#phrases().away)
    this.#talking.add(visit)
    this.#converse(socket, party, early)
  }

  #refuse(line: Line, reason: Refusal): void {
    this.#options.tell({ what: 'refused', role: this.role, reason })
    this.#lines.reset(line)
  }

  #cut(visit: Visit): void {
    if (visit.outcome === 'dialogue') visit.outcome = 'cut'
    if (visit.line !== undefined) this.#lines.reset(visit.line)
  }

  /** A dialogue ends for a newcomer's sake, and takes no room any more. */
  #makeWay(visit: Visit): void {
    if (visit.outcome === 'dialogue') visit.outcome = 'shed'
    this.#crowd.leave(visit)
    this.#cut(visit)
  }

  #left(visit: Visit): void {
    clearTimeout(visit.deadline)
    this.#talking.delete(visit)
    if (visit.held) this.#tarpit.gone(visit)
    visit.line = undefined
    this.#crowd.leave(visit)
    this.#options.tell({
      what: 'closed',
      role: this.role,
      outcome: visit.outcome,
      heldMs: monotonic() - visit.openedAt,
      bytesIn: visit.bytesIn,
      bytesOut: visit.bytesOut,
    })
  }

  #ended(socket: Socket, { client, where, session }: Party, talked: Talked): void {
    const visit = visitOf(socket)
    if (!visit) return
    this.#options.tell({
      what: 'ended',
      session: {
        role: this.role,
        client: client.ip,
        where,
        session,
        outcome: visit.outcome,
        heldMs: monotonic() - visit.openedAt,
        bytesIn: socket.bytesRead,
        bytesOut: socket.bytesWritten,
        ...talked,
      },
    })
  }

  #nextSession(): string {
    this.#session++
    return `${this.#run}-${this.#session.toString(36)}`
  }
}

function ownerOf({ address }: Place, owners: Prefixes<Decoy>): Decoy | undefined {
  const called = parseClient(address)
  return called && owners.find(called)
}

const EMPTY = Buffer.alloc(0)
const OURSELVES = parseClient('127.0.0.1') as Client

/**
 * Durations are measured on a clock that nobody sets; in whole milliseconds, which cost a held connection no object.
 */
function monotonic(): number {
  return Math.floor(performance.now())
}
