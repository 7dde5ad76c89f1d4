/**
 * Is there room for one more? Every cap in one place: of one client, of one network, of one decoy, and of the process.
 *
 * Offenders have nine tenths of a decoy's room; whoever is unknown has the rest for itself, and takes the place of a held
 * one when even that is full. Where nobody is held, all are dialogues: then it takes the place of the longest of the network
 * that has most of them, if that has more than its own would have, or if it has lasted longer than any mail takes. So a flood
 * of strangers keeps nobody out for long, even from as many networks as there are places; and who is alone in its network is
 * not cut before it could have said all that it came for.
 *
 * A process has room for as many connections as it may open files, less those that it needs
 * for everything else, and for as much memory as it was given: nearer to either, the held go, in their order, so that no
 * client is ever lost to "too many open files". What other workers hold counts, too (shares.ts).
 */
import type { Client } from '../core/client.ts'
import { Crowd, type Visit, type Who } from './crowd.ts'
import { type Caps, type Key, type Report, Share } from './shares.ts'
import type { Tarpit } from './tarpit.ts'

/** Of all room, what offenders may have. */
const HELD_SHARE = 0.9
/** Of those who are held, how many go at one beat for want of memory: what they leave is given back slowly. */
const MEMORY_SHARE = 0.02

/** A dialogue takes seconds; where replies are paced slowly, half a minute. Whoever has had this may be asked to come again. */
const TALKED_MS = 60_000

/** For whom a dialogue may be cut: how many of its network are here, and when it came, on a clock that never jumps. */
type Newcomer = { readonly ofItsNetwork: number; readonly now: number }

export class Room {
  readonly crowd: Crowd
  readonly #caps: Caps
  readonly #share: Share
  readonly #berths: Berths
  #tarpit: Pick<Tarpit, 'shed' | 'shedOf'> | undefined
  #cut: ((visit: Visit) => void) | undefined
  /** Connections that are not in the crowd yet: their PROXY header is awaited. */
  waiting = 0

  constructor(caps: Caps, berths: Berths, workers = 1) {
    this.#caps = caps
    this.#share = new Share(workers, caps)
    this.#berths = berths
    this.crowd = new Crowd(workers > 1 ? (key, here, isNetwork) => this.#share.note(key, here, isNetwork) : undefined)
    berths.enrol(this)
  }

  /** Who can let a held one go; and what ends a dialogue, which counts no more from then on. */
  sheds(tarpit: Pick<Tarpit, 'shed' | 'shedOf'>, cut: (visit: Visit) => void): void {
    this.#tarpit = tarpit
    this.#cut = cut
  }

  get size(): number {
    return this.crowd.size + this.waiting
  }

  refusalOf(client: Client, who: Who, offends: boolean, now: number): 'client' | 'network' | 'total' | undefined {
    const { connections, perNetwork, perClient } = this.#caps
    const { network } = client
    if (this.crowd.ofClient(who) + this.#share.elsewhere(who) >= perClient) return 'client'
    if (this.crowd.ofNetwork(network) + this.#share.elsewhere(network) >= perNetwork) return 'network'
    if (offends && this.crowd.held + this.#share.connections >= Math.ceil(connections * HELD_SHARE) && !this.shed())
      return 'total'
    return this.hasRoom(offends ? undefined : { ofItsNetwork: this.crowd.ofNetwork(network), now })
      ? undefined
      : 'total'
  }

  /** Room for one more, if need be at the cost of one that is held; else, for a newcomer, of one that talks. */
  hasRoom(newcomer: Newcomer | undefined): boolean {
    const isFull = this.size + this.#share.connections >= this.#caps.connections
    if (isFull && !this.shed() && !this.cutDialogue(newcomer)) return false
    return this.#berths.hasRoom(newcomer)
  }

  /** One of whose network there are more than there would be of the newcomer's; or one that has had its time. */
  cutDialogue(newcomer: Newcomer | undefined): boolean {
    const visit = newcomer && this.crowd.firstToCut(newcomer.ofItsNetwork + 1, newcomer.now - TALKED_MS)
    if (visit) this.#cut?.(visit)
    return visit !== undefined
  }

  shed(): boolean {
    return this.#tarpit?.shed() ?? false
  }

  report(): Report {
    return this.#share.report(this.size)
  }

  /**
   * What the other workers have, or that it is what it was; our part of what is too many goes. `now` is of a clock that
   * never jumps. True while there may still be too many: to be called again soon.
   */
  hear(news: Report | undefined, now: number): boolean {
    const { crowd } = this
    const here = (key: Key) => crowd.ofClient(key) || crowd.ofNetwork(String(key))
    if (news) this.#share.hear(news, here)
    for (const key of new Set([...(news?.keys ?? []).map(([changed]) => changed), ...this.#share.excessive])) {
      const inNetwork = crowd.ofNetwork(String(key))
      const [count, cap] =
        inNetwork > 0 ? [inNetwork, this.#caps.perNetwork] : [crowd.ofClient(key), this.#caps.perClient]
      this.#tarpit?.shedOf(key, this.#share.excess(key, count, cap, now))
    }
    for (let go = this.#share.excessInAll(this.size, this.#caps.connections, now); go > 0 && this.shed();) go--
    return this.#share.excessive.length > 0 || this.size + this.#share.connections > this.#caps.connections
  }
}

export type BerthLimits = {
  /** Connections that the open-file limit allows. */
  readonly files: number
  readonly memoryBytes: number
  /** What the process has of memory now. */
  readonly rss: () => number
}

/** What one process can hold, whatever the settings ask for: for all its decoys together. */
export class Berths {
  readonly #limits: BerthLimits
  readonly #rooms: Room[] = []

  constructor(limits: BerthLimits) {
    this.#limits = limits
  }

  enrol(room: Room): void {
    this.#rooms.push(room)
  }

  hasRoom(newcomer: Newcomer | undefined): boolean {
    if (this.#rooms.reduce((sum, room) => sum + room.size, 0) < this.#limits.files) return true
    return this.#fullest().shed() || this.#rooms.some((room) => room.cutDialogue(newcomer))
  }

  /** To be called every second. Gives how many had to go for want of memory. */
  beat(): number {
    if (this.#limits.rss() <= this.#limits.memoryBytes) return 0
    const held = this.#rooms.reduce((sum, { crowd }) => sum + crowd.held, 0)
    let gone = 0
    for (const many = Math.ceil(held * MEMORY_SHARE); gone < many && this.#fullest().shed();) gone++
    return gone
  }

  #fullest(): Room {
    return this.#rooms.reduce((most, room) => (room.crowd.held > most.crowd.held ? room : most))
  }
}

/** No limit but the settings'. */
export function boundless(): Berths {
  return new Berths({ files: Infinity, memoryBytes: Infinity, rss: () => 0 })
}
