/**
 * The other boxes at a shared store, and which rules each has in force: two that judge by different rules list and free the
 * same clients in turn, and somebody should be told.
 *
 * Said and asked every few seconds; while the store is away, what was last heard stays until it is too old.
 */
import { hostname } from 'node:os'
import type { Instant } from '../core/evidence.ts'
import type { Neighbour, Store } from './store.ts'

const MEET_MS = 5000

export class Neighbours {
  readonly #timer: NodeJS.Timeout
  #all: readonly Neighbour[] = []

  /** `rules`: a digest of those in force here; undefined while there are none. */
  constructor(store: Pick<Store, 'meet'>, box: string, rules: () => string | undefined, now: () => Instant) {
    const meet = async () => {
      const digest = rules()
      if (digest === undefined) return
      const met = await store.meet({ box, host: hostname(), rules: digest }).catch(() => this.#all)
      this.#all = met.filter(({ box: other, at }) => other !== box && Math.abs(now() - at) < GONE_MS)
    }
    this.#timer = setInterval(() => void meet(), MEET_MS).unref()
  }

  get all(): readonly Neighbour[] {
    return this.#all
  }

  close(): void {
    clearInterval(this.#timer)
  }
}

/** Who has said nothing for so long is not here. */
const GONE_MS = 60_000
