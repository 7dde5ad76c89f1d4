/**
 * Unlisting, where an operator asks for it: a stranger that comes to the real MX without ever having tried the primary is
 * told "later", once.
 *
 * Nolisting turns away who tries the primary only; this turns away who never does. A mail server comes again and is let in.
 * It has a price, and is off unless asked for: Exim remembers for hours that the primary is dead and skips it (measured:
 * docs/architecture.md), so an honest newcomer may be deferred once, and its message is late by one retry. Whoever is known
 * never is: a network that was at the primary or at the real MX in the time that the journal reaches back. And nobody is
 * before that is a week.
 *
 * An answer never waits: networks are known from memory, which is filled from the journal first. In every doubt, when it is
 * not yet filled or is full, the answer is no.
 */
import type { Client } from '../core/client.ts'
import { clientOf, type Entry, type Event, type Instant } from '../core/evidence.ts'
import { Latest } from '../core/latest.ts'

/** Most networks that are known. With more in a month nobody can be told from a stranger, and nobody is deferred. */
export const KNOWN_MAX = 200_000
/** Before the journal reaches back so far, everybody would be a stranger. */
export const LEARN_MS = 7 * 24 * 3_600_000
/** A network is forgotten this long after it was last seen, as its facts are. */
const KNOWN_MS = 31 * 24 * 3_600_000

/** `instance` is of the message that was deferred: all its recipients are, and no other. */
type Known = { readonly at: Instant; readonly instance?: string | undefined }

export class Unlisting {
  readonly #known = new Latest<Known>(KNOWN_MAX)
  #since: Instant = Infinity
  #filled = false

  /** From the beginning of the journal to its end; only then is anybody deferred. */
  async fill(recording: AsyncIterable<Entry>): Promise<void> {
    for await (const { event } of recording) this.hear(event)
    this.#filled = true
  }

  /** Everything that is seen: who was at the primary or at the real MX is no stranger from then on. */
  hear(event: Event): void {
    this.#since = Math.min(this.#since, event.at)
    if (event.type !== 'evidence' || event.role === 'backup' || event.kind === 'refused') return
    this.#known.renew(clientOf(event).network, {
      at: event.at,
      instance: this.#known.get(clientOf(event).network)?.instance,
    })
  }

  /** Is this a stranger, to be told "later" this once? Asked again about another message it is none. */
  defers(client: Client, instance: string, now: Instant): boolean {
    const known = this.#known.get(client.network)
    if (known && now - known.at < KNOWN_MS) return instance !== '' && known.instance === instance
    if (!this.#filled || now - this.#since < LEARN_MS || this.#isFull(now)) return false
    this.#known.renew(client.network, { at: now, instance })
    return true
  }

  /** Would somebody have to be forgotten who was here lately? */
  #isFull(now: Instant): boolean {
    if (this.#known.size < KNOWN_MAX) return false
    const oldest = this.#known.get(this.#known.oldest() as string) as Known
    return now - oldest.at < KNOWN_MS
  }
}
