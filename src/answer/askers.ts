/**
 * Who asks by DNS: may it, and is it asking more than anybody does?
 *
 * The address of a datagram can be forged, so what we answer can be aimed at somebody else. Answers are small; beyond so many
 * a second for one network an asker gets only the question back, cut, and comes by TCP, which nobody can forge: a real MX
 * still has its answer. A stranger is refused a few times a second, and then not answered. Loopback is not counted.
 *
 * What is kept is bounded in names and begins anew each second. With more networks in a second than are kept, askers are
 * answered as ever, and strangers not at all.
 */
import { type Client, isLoopback, parseClient } from '../core/client.ts'
import type { Instant } from '../core/evidence.ts'
import type { Prefixes } from '../core/prefixes.ts'

export type Asker = { readonly client: Client; readonly mayAsk: boolean; readonly isLocal: boolean }

/** What to send back. */
export type Measure = 'whole' | 'cut' | 'nothing'

export type AskerLimits = {
  /** Whole answers in a second to one /24 or /48 that may ask. */
  readonly answersPerSecond: number
  /** Refusals in a second to any other. */
  readonly refusalsPerSecond: number
  /** Networks counted in one second, of askers and of strangers each. */
  readonly networks: number
  /** Addresses remembered as those of askers. */
  readonly askers: number
}

export class Askers {
  readonly #allowed: Prefixes<true>
  readonly #limits: AskerLimits
  /** Only who may ask, so that strangers can push nobody out. */
  readonly #known = new Map<string, Asker>()
  readonly #counts = { asker: new Map<string, number>(), stranger: new Map<string, number>() }
  #second = Number.NaN

  constructor(allowed: Prefixes<true>, limits: AskerLimits) {
    this.#allowed = allowed
    this.#limits = limits
  }

  /** By the address as a socket spells it; undefined when it is none. */
  find(address: string): Asker | undefined {
    const known = this.#known.get(address)
    if (known) return known
    const client = parseClient(address)
    if (!client) return undefined
    const asker = {
      client,
      mayAsk: this.#allowed.find(client) === true,
      isLocal: isLoopback(client),
    }
    if (asker.mayAsk) {
      if (this.#known.size >= this.#limits.askers) this.#known.clear()
      this.#known.set(address, asker)
    }
    return asker
  }

  /** Counts one more question that came by UDP. */
  measure({ client, mayAsk, isLocal }: Asker, now: Instant): Measure {
    if (isLocal) return 'whole'
    const second = Math.floor(now / 1000)
    if (second !== this.#second) {
      this.#second = second
      this.#counts.asker.clear()
      this.#counts.stranger.clear()
    }
    const counts = mayAsk ? this.#counts.asker : this.#counts.stranger
    const count = (counts.get(client.network) ?? 0) + 1
    if (count === 1 && counts.size >= this.#limits.networks) return mayAsk ? 'whole' : 'nothing'
    counts.set(client.network, count)
    if (mayAsk) return count <= this.#limits.answersPerSecond ? 'whole' : 'cut'
    return count <= this.#limits.refusalsPerSecond ? 'whole' : 'nothing'
  }
}
