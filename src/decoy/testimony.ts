/**
 * What a decoy testifies of those who come: each sighting as one piece of evidence, with who, where, and in which session.
 *
 * A contact is told at once, so many a minute of one client; those beyond are told together, once a second for whose minute is
 * over (sightings.ts).
 */
import type { Client } from '../core/client.ts'
import type { Instant, Witness } from '../core/evidence.ts'
import type { Party } from './dialogue.ts'
import type { Sighting } from './manners.ts'
import { type Merged, Sightings } from './sightings.ts'

type TestimonyOptions = {
  readonly role: 'primary' | 'backup'
  readonly witness: Witness
  /** The wall's clock; and one that never jumps. */
  readonly now: () => Instant
  readonly monotonic: () => number
}

/** Whose sighting it is, and where and in which session it was seen, if that was worth finding out. */
type Testifying = Pick<Party, 'client'> & Partial<Party>

/** How often it is looked whose sightings are to be told. */
const BEAT_MS = 1000

export class Testimony {
  readonly #options: TestimonyOptions
  readonly #sightings = new Sightings()
  #beat: NodeJS.Timeout | undefined

  constructor(options: TestimonyOptions) {
    this.#options = options
  }

  /** Settled once it is on disk. */
  testify({ client, where, session }: Testifying, sighting: Sighting): Promise<unknown> {
    const { witness, role, now } = this.#options
    return witness({ type: 'evidence', at: now(), client: client.ip, role, where, session, ...sighting })
  }

  /** Told at once, so many a minute of one client; the others are told together. */
  contact(client: Client, allowance: number, party: Party | undefined): void {
    const { now, monotonic } = this.#options
    this.#beat ??= setInterval(() => void this.#tell(this.#sightings.due(monotonic())), BEAT_MS).unref()
    if (this.#sightings.note(client, now(), monotonic(), allowance))
      void this.testify(party ?? { client }, { kind: 'contact', stage: 'connect' })
    if (this.#sightings.crowded) void this.#tell(this.#sightings.due(monotonic()))
  }

  /** Tells what is still to be told together; settled once that is on disk. */
  async close(): Promise<void> {
    clearInterval(this.#beat)
    await this.#tell(this.#sightings.rest())
  }

  async #tell(merged: readonly Merged[]): Promise<void> {
    const { witness, role } = this.#options
    await Promise.all(
      merged.map(({ client, at, times }) =>
        witness({ type: 'evidence', at, client: client.ip, role, kind: 'contact', times }),
      ),
    )
  }
}
