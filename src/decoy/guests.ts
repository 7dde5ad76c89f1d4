/**
 * Whom the kernel lets in to the primary: what it holds, what it should hold, and the steps from one to the other.
 *
 * Clients that something stands against are guests, one IPv4 address or one IPv6 /64 each; networks come from the operator's
 * blocks. Each has an end, at most GUEST_MS from now, so that nothing of ours stands for long without us. Changes are
 * followed one by one; everyone is looked at anew where that is simpler to say.
 */
import { setImmediate as breathe } from 'node:timers/promises'
import type { Instant } from '../core/evidence.ts'
import { outermost, parsePrefix, type Prefix } from '../core/prefixes.ts'
import type { Entry, Guests, Sizes } from './nftables.ts'

/** A client or a network that the decoy wants to see. */
export type Suspect = { readonly prefix: Prefix; readonly until: Instant | undefined }

export type GuestListOptions = {
  /** Everyone who is to be let in now. */
  readonly suspects: () => Iterable<Suspect>
  /** Is this one client to be let in now? */
  readonly suspect: (prefix: Prefix) => Suspect | undefined
  /** What those two depend on beside what `changed` tells: when it is another, everyone is looked at anew. */
  readonly basis: () => string
  readonly now: () => Instant
}

export type Steps = { readonly enter: readonly Entry[]; readonly leave: readonly Entry[] }

/** Longest that a guest stands without us. */
export const GUEST_MS = 3_600_000
/** Guests looked at before others get their turn. */
const SLICE = 1000

export class GuestList {
  readonly #options: GuestListOptions
  readonly #sizes: Sizes
  readonly #full: (set: 'suspects' | 'networks', full: boolean) => void
  /** Those in the kernel, by address, and when they run out there. */
  readonly #clients: Record<4 | 6, Map<string, Instant>> = { 4: new Map(), 6: new Map() }
  #networks: Guests['networks'] = []
  /** Who has changed since the last steps. */
  #changed: Map<string, Prefix> | 'all' = 'all'
  #basis = ''

  /** `full` is told at each look whether a set holds no more. */
  constructor(options: GuestListOptions, sizes: Sizes, full: (set: 'suspects' | 'networks', full: boolean) => void) {
    this.#options = options
    this.#sizes = sizes
    this.#full = full
  }

  get size(): number {
    return this.#clients[4].size + this.#clients[6].size + this.#networks.length
  }

  clients(family: 4 | 6): number {
    return this.#clients[family].size
  }

  networks(family: 4 | 6): number {
    return this.#networks.filter((network) => network.family === family).length
  }

  /** Something is said about this client or network. */
  changed(target: string): void {
    const prefix = parsePrefix(target)
    if (this.#changed === 'all' || typeof prefix === 'string') return
    if (!isOneClient(prefix) || this.#changed.size >= this.#sizes.suspects) this.#changed = 'all'
    else this.#changed.set(prefix.cidr, prefix)
  }

  /** Much has changed, or nobody knows what. */
  allChanged(): void {
    this.#changed = 'all'
  }

  /** What is to be done in the kernel for those who have changed; or `all`: put everyone anew. */
  steps(): Steps | 'all' {
    const changed = this.#changed
    if (changed === 'all' || this.#options.basis() !== this.#basis) return 'all'
    this.#changed = new Map()
    const enter: Entry[] = []
    const leave: Entry[] = []
    if (changed.size === 0) return { enter, leave }
    const now = this.#options.now()
    const room = { 4: this.#room(4, now), 6: this.#room(6, now) }
    for (const prefix of changed.values()) {
      const { family } = prefix
      const address = addressOf(prefix)
      const suspect = this.#options.suspect(prefix)
      const wanted = suspect ? endOf(suspect, now) : now
      const standing = this.#clients[family].get(address) ?? now
      // A later end is for the next renewal; only an earlier one is for now.
      if (wanted >= standing && standing > now) continue
      const entry = { address, family, lifeMs: wanted - now }
      if (standing > now) leave.push(entry)
      if (wanted > now && (standing > now || room[family]-- > 0)) enter.push(entry)
    }
    this.#full('suspects', room[4] < 0 || room[6] < 0)
    return { enter, leave }
  }

  /** The steps are done. */
  done({ enter, leave }: Steps): void {
    const now = this.#options.now()
    for (const { family, address } of leave) this.#clients[family].delete(address)
    for (const { family, address, lifeMs } of enter) this.#clients[family].set(address, now + lifeMs)
  }

  /** In slices: a million decisions must not keep an answer waiting. Who changes meanwhile has changed after it. */
  async everyone(): Promise<Guests> {
    this.#changed = new Map()
    this.#basis = this.#options.basis()
    const now = this.#options.now()
    const clients: Record<4 | 6, Entry[]> = { 4: [], 6: [] }
    const wide: Prefix[] = []
    let full = false
    let seen = 0
    for (const suspect of this.#options.suspects()) {
      if (++seen % SLICE === 0) await breathe()
      const { prefix } = suspect
      const { family } = prefix
      const lifeMs = endOf(suspect, now) - now
      if (lifeMs <= 0) continue
      if (!isOneClient(prefix)) wide.push(prefix)
      else if (clients[family].length < this.#sizes.suspects)
        clients[family].push({ address: addressOf(prefix), family, lifeMs })
      else full = true
    }
    const networks = outermost(wide)
    this.#full('suspects', full)
    this.#full('networks', networks.length > this.#sizes.networks)
    return { entries: [...clients[4], ...clients[6]], networks: networks.slice(0, this.#sizes.networks) }
  }

  /** The kernel holds exactly these. */
  holds({ entries, networks }: Guests): void {
    this.#clients[4].clear()
    this.#clients[6].clear()
    this.done({ enter: entries, leave: [] })
    this.#networks = networks
  }

  /** How many more the set holds. Who has run out in the kernel is forgotten here, too. */
  #room(family: 4 | 6, now: Instant): number {
    const clients = this.#clients[family]
    for (const [address, until] of clients) if (until <= now) clients.delete(address)
    return this.#sizes.suspects - clients.size
  }
}

/** One IPv4 client or one IPv6 /64. */
export function isOneClient({ family, length }: Prefix): boolean {
  return length === (family === 4 ? 32 : 64)
}

function addressOf({ cidr }: Prefix): string {
  return cidr.slice(0, cidr.indexOf('/'))
}

function endOf({ until }: Suspect, now: Instant): Instant {
  return Math.min(until ?? Infinity, now + GUEST_MS)
}
