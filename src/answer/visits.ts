/**
 * Who comes to the real MX, as its questions tell: evidence that excuses what a client does at the backup afterwards, and
 * vouches for the real MX itself.
 */
import { LRUCache } from 'lru-cache'
import type { Instant, Kind, Witness } from '../core/evidence.ts'
import type { Decision } from '../reputation/decision.ts'

export type VisitsOptions = {
  readonly witness: Witness
  readonly now: () => Instant
  /** A bug of ours. */
  readonly failed: (error: unknown) => void
  /** Clients remembered as told of. */
  readonly most: number
}

/** A client that comes again and again is told of once in this time: each telling is a line on disk. */
const NOTE_EVERY_MS = 600_000

/** Told by the word that stands, whatever the mode, so that a replay of an observing box tells the same. */
const KIND_OF: Partial<Record<Decision['verdict'], Kind>> = { block: 'refused', defer: 'deferred' }

export class Visits {
  readonly #options: VisitsOptions
  readonly #noted: LRUCache<string, Instant>

  constructor(options: VisitsOptions) {
    this.#options = options
    this.#noted = new LRUCache({ max: options.most })
  }

  /** `where`: the address of the MX that was called, if the asker says so. */
  note({ client, verdict }: Decision, where: string | undefined): void {
    const { witness, now, failed } = this.#options
    const kind = KIND_OF[verdict] ?? 'passed'
    const at = now()
    const last = this.#noted.get(`${kind} ${client.key}`)
    if (last !== undefined && Math.abs(at - last) < NOTE_EVERY_MS) return
    this.#noted.set(`${kind} ${client.key}`, at)
    try {
      witness({ type: 'evidence', at, client: client.ip, role: 'real', kind, where }).catch(failed)
    } catch (error) {
      failed(error)
    }
  }
}
