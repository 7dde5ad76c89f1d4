/**
 * Who is at a decoy now: how many of each client and of each network, and of those who are held, who goes first.
 *
 * When somebody has to go, it is the longest held of the largest network: a botnet's share is cut before anybody
 * else's, and it has paid most already. Where nobody is held it is the longest dialogue of the network that has most of
 * them, for a newcomer of whose network there are fewer, or once it has lasted longer than mail takes. Each step costs the same however many there are. A visit is the
 * one object that a connection costs us beside its line, so it has few fields, small integers where it can, and no closures;
 * the list of a network's held, and that of its dialogues, runs through the visits themselves.
 *
 * Values only: no clock, and nothing is done to a line here.
 */
import type { Socket } from 'node:net'
import type { Instant } from '../core/evidence.ts'
import { type Client, dottedOf, numberOfDotted, parseClient } from '../core/client.ts'
import type { Fd } from '../libc/bare.ts'

/** A client in as few bytes as will do: IPv4 as a signed number of 32 bits, IPv6 by its `Client.key`. */
export type Who = number | string

/**
 * How a connection ended: `reset` before the first byte; `dialogue`, which the client or SMTP ended; `cut`, a dialogue
 * that we ended; `held` in silence; `tarpit`; `shed`, let go to make room, from there or, where nobody is, from a dialogue; `released`, let go because we no
 * longer think ill of the client; `poured`, let go because it sent more than anybody who waits for us (when it is held, a
 * megabyte; in a dialogue, a line longer than any command); and `later`, sent home with 421 because the real MX is away.
 */
export const OUTCOMES = ['reset', 'dialogue', 'cut', 'held', 'tarpit', 'shed', 'released', 'poured', 'later'] as const
export type Outcome = (typeof OUTCOMES)[number]

/** A connection: a socket of Node's, or a bare one. */
export type Line = Socket | Fd

export type Visit = {
  /** Undefined once it is gone: a wheel of time finds out at its next turn, and need not keep the line until then. */
  line: Line | undefined
  readonly who: Who
  readonly network: Network
  /** Milliseconds on a clock that never jumps: when it came, and when a held one is let go. */
  readonly openedAt: number
  endsAt: number
  outcome: Outcome
  /** What came and what was said, of a bare line; of a socket when it is gone. */
  bytesIn: number
  bytesOut: number
  /** It counts among those who are here; and it is held, or in a dialogue. */
  here: boolean
  held: boolean
  talks: boolean
  /** What the tarpit remembers of it: which text it is told, how far, and the line that it is sending. */
  text: number
  turn: number
  verb: number
  column: number
  /** When its client was last thought about, as the tarpit counts. */
  epoch: number
  /** Of a dialogue, or of a 421: when we cut it. */
  deadline: NodeJS.Timeout | undefined
  older: Visit | undefined
  newer: Visit | undefined
}

/** All that are here from one network; and those of them who are held, or talk. */
export type Network = { readonly name: string; here: number; held: Queue | undefined; talking: Queue | undefined }

/** Visits of one network, the longest here first. */
type Queue = { many: number; oldest: Visit | undefined; newest: Visit | undefined }

export function whoOf(client: Client): Who {
  return client.family === 4 ? numberOfDotted(client.ip) | 0 : client.key
}

/** Of IPv6 the first address of its /64. */
export function clientOfWho(who: Who): Client {
  return parseClient(typeof who === 'number' ? dottedOf(who) : (who.split('/', 1)[0] as string)) as Client
}

/** Most networks that are looked at to tell who is held. */
const LOOKED_AT_MAX = 2000

/** Somebody who is here: since when, and what becomes of it. */
export type Guest = {
  readonly role: 'primary' | 'backup'
  readonly client: string
  readonly since: Instant
  readonly outcome: Outcome
}

/** `atZero`: what the wall's clock showed when the other, which never jumps, began. */
export function guestOf({ who, openedAt, outcome }: Visit, role: Guest['role'], atZero: Instant): Guest {
  return { role, client: clientOfWho(who).ip, since: Math.round(atZero + openedAt), outcome }
}

export class Crowd {
  readonly #networks = new Map<string, Network>()
  readonly #clients = new Map<Who, number>()
  readonly #held = new Ranks()
  readonly #talking = new Ranks()
  #size = 0
  /** When those who are here came, added up. */
  #opened = 0
  readonly #note: ((key: Who, here: number, isNetwork: boolean) => void) | undefined

  /** `note` hears of every count that has changed: of a client, or of a network by its name. */
  constructor(note?: (key: Who, here: number, isNetwork: boolean) => void) {
    this.#note = note
  }

  /** All that are here, and how many of them are held. */
  get size(): number {
    return this.#size
  }
  get held(): number {
    return this.#held.many
  }

  /** `hereMs`: how long all who are here have been, added up. */
  counts(now: number): { readonly held: number; readonly dialogues: number; readonly hereMs: number } {
    const { held } = this
    return { held, dialogues: this.#size - held, hereMs: this.#size * now - this.#opened }
  }

  ofClient(who: Who): number {
    return this.#clients.get(who) ?? 0
  }

  ofNetwork(name: string): number {
    return this.#networks.get(name)?.here ?? 0
  }

  enter(line: Line, who: Who, name: string, now: number): Visit {
    let network = this.#networks.get(name)
    if (!network) {
      network = { name, here: 0, held: undefined, talking: undefined }
      this.#networks.set(name, network)
    }
    network.here++
    this.#size++
    this.#opened += now
    const ofClient = this.ofClient(who) + 1
    this.#clients.set(who, ofClient)
    this.#note?.(who, ofClient, false)
    this.#note?.(name, network.here, true)
    return {
      line,
      who,
      network,
      openedAt: now,
      endsAt: now,
      outcome: 'reset',
      bytesIn: 0,
      bytesOut: 0,
      here: true,
      held: false,
      talks: false,
      text: 0,
      turn: 0,
      verb: 0,
      column: 0,
      epoch: 0,
      deadline: undefined,
      older: undefined,
      newer: undefined,
    }
  }

  /** It is gone, or as good as gone: who is being reset takes no room any more. */
  leave(visit: Visit): void {
    if (!visit.here) return
    visit.here = false
    this.release(visit)
    const { network, who } = visit
    this.#size--
    this.#opened -= visit.openedAt
    if (--network.here === 0) this.#networks.delete(network.name)
    const others = this.ofClient(who) - 1
    if (others > 0) this.#clients.set(who, others)
    else this.#clients.delete(who)
    this.#note?.(who, others, false)
    this.#note?.(network.name, network.here, true)
  }

  /** From now on it may have to make room for others. */
  hold(visit: Visit): void {
    visit.held = true
    this.#held.add((visit.network.held ??= newQueue()), visit)
  }

  /** The same, where nobody is held. */
  talk(visit: Visit): void {
    visit.talks = true
    this.#talking.add((visit.network.talking ??= newQueue()), visit)
  }

  release(visit: Visit): void {
    const { held, talking } = visit.network
    if (visit.held && held) this.#held.remove(held, visit)
    if (visit.talks && talking) this.#talking.remove(talking, visit)
    visit.held = visit.talks = false
  }

  /** The longest held of the largest network. */
  firstToGo(): Visit | undefined {
    return this.#held.first()
  }

  /**
   * The longest here of the network with the most dialogues, where these are more than so many, or it came before then. Of
   * several networks that have as many it is the one that has had them longest.
   */
  firstToCut(more: number, cameBefore: number): Visit | undefined {
    const visit = this.#talking.first()
    return visit && (this.#talking.largest > more || visit.openedAt < cameBefore) ? visit : undefined
  }

  /** The longest held of this network, or of this client, whose network is searched. */
  firstToGoOf(key: Who): Visit | undefined {
    const network = this.#networks.get(String(key))
    if (network) return network.held?.oldest
    // A network by its name that nobody is here from is no client's key either.
    if (typeof key === 'string' && !key.endsWith('/64')) return undefined
    let visit = this.#networks.get(clientOfWho(key).network)?.held?.oldest
    while (visit && visit.who !== key) visit = visit.newer
    return visit
  }

  /** Those of this client who are held, and then those who talk, the longest first; as many are looked at as its network has. */
  *those(who: Who): Generator<Visit> {
    const network = this.#networks.get(clientOfWho(who).network)
    for (const queue of [network?.held, network?.talking])
      for (let visit = queue?.oldest; visit; visit = visit.newer) if (visit.who === who) yield visit
  }

  /** Some of those who are held, the longest held first: of each network its first, then its second, and so on. */
  longest(most: number): Visit[] {
    let row: Visit[] = []
    for (const { held } of this.#networks.values()) {
      if (held?.oldest) row.push(held.oldest)
      if (row.length >= LOOKED_AT_MAX) break
    }
    const found: Visit[] = []
    for (; found.length < most && row.length > 0; row = row.flatMap(({ newer }) => newer ?? []))
      found.push(...row.slice(0, most - found.length))
    return found.sort((a, b) => a.openedAt - b.openedAt)
  }
}

/** Networks by how many they have who are held, or who talk. */
class Ranks {
  readonly #bySize: Set<Queue>[] = []
  /** The most that any network has; and all together. */
  largest = 0
  many = 0

  first(): Visit | undefined {
    for (const queue of this.#bySize[this.largest] ?? []) return queue.oldest
    return undefined
  }

  add(queue: Queue, visit: Visit): void {
    visit.older = queue.newest
    if (queue.newest) queue.newest.newer = visit
    else queue.oldest = visit
    queue.newest = visit
    this.#resize(queue, queue.many + 1)
  }

  remove(queue: Queue, visit: Visit): void {
    const { older, newer } = visit
    if (older) older.newer = newer
    else queue.oldest = newer
    if (newer) newer.older = older
    else queue.newest = older
    visit.older = visit.newer = undefined
    this.#resize(queue, queue.many - 1)
  }

  #resize(queue: Queue, many: number): void {
    this.many += many - queue.many
    this.#bySize[queue.many]?.delete(queue)
    queue.many = many
    if (many > 0) (this.#bySize[many] ??= new Set()).add(queue)
    this.largest = Math.max(this.largest, many)
    while (this.largest > 0 && !this.#bySize[this.largest]?.size) this.largest--
  }
}

function newQueue(): Queue {
  return { many: 0, oldest: undefined, newest: undefined }
}
