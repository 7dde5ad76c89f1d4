/**
 * Unlisting, joined to the house: it begins when the rules first ask for it, and defers nobody while it cannot be fair.
 */
import { Unlisting } from '../answer/unlisting.ts'
import type { Client } from '../core/client.ts'
import type { Entry, Event } from '../core/evidence.ts'
import type { Rules } from '../core/rules.ts'
import type { Door } from './sockets.ts'

export type StrangersOptions = {
  readonly rules: () => Rules
  /** Are both seen here, who tries the primary and who comes to the real MX? */
  readonly here: boolean
  readonly doors: readonly Door[]
  /** It may come again from another network, and would be told "later" again. */
  readonly isPooled: (client: Client) => boolean
  /** What the journal has: strangers are known from there on. */
  readonly recording: () => AsyncIterable<Entry>
  readonly failed: (error: Error) => void
  readonly now: () => number
}

export class Strangers {
  readonly #options: StrangersOptions
  #unlisting: Unlisting | undefined

  constructor(options: StrangersOptions) {
    this.#options = options
  }

  /** To be called when the rules have changed; it begins once. */
  begin(): void {
    const { rules, here, recording, failed } = this.#options
    if (this.#unlisting || !here || !rules().unlisting) return
    this.#unlisting = new Unlisting()
    this.#unlisting.fill(recording()).catch(failed)
  }

  hear(event: Event): void {
    this.#unlisting?.hear(event)
  }

  readonly defersOnce = (client: Client, instance: string): boolean => {
    const { rules, doors, isPooled, now } = this.#options
    if (!this.#unlisting || !rules().unlisting || rules().modes.defer !== 'enforce') return false
    // Nobody could have come to it.
    const blind = doors.some(({ name, bound }) => name.startsWith('primary') && bound === undefined)
    return !blind && !isPooled(client) && this.#unlisting.defers(client, instance, now())
  }
}
