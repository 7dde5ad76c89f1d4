/**
 * Who comes to the real MX, as its questions tell: evidence that excuses what a client does at the backup afterwards, and
 * vouches for the real MX itself.
 */
import type { Instant, Witness } from '../core/evidence.ts'
import { Latest } from '../core/latest.ts'
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
const KIND_OF = { block: 'refused', defer: 'deferred', observe: 'passed', allow: 'passed', clean: 'passed' } as const

export class Visits {
  readonly #options: VisitsOptions
  /** When each client was last told of as what, the oldest first; at most `most` of each kind. */
  readonly #noted: Readonly<Record<(typeof KIND_OF)[keyof typeof KIND_OF], Latest<Instant>>>

  constructor(options: VisitsOptions) {
    this.#options = options
    const { most } = options
    this.#noted = { passed: new Latest(most), deferred: new Latest(most), refused: new Latest(most) }
  }

  /** `where`: the address of the MX that was called, if the asker says so; asked only where it is told. */
  note({ client, verdict }: Decision, where?: () => string | undefined): void {
    const { witness, now, failed } = this.#options
    const kind = KIND_OF[verdict]
    const at = now()
    const noted = this.#noted[kind]
    const last = noted.get(client.key)
    if (last !== undefined && Math.abs(at - last) < NOTE_EVERY_MS) return
    noted.renew(client.key, at)
    try {
      witness({ type: 'evidence', at, client: client.ip, role: 'real', kind, where: where?.() }).catch(failed)
    } catch (error) {
      failed(error)
    }
  }
}
