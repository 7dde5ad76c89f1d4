/**
 * What the appliance asks one of its workers, whose answer comes over their channel: by a number, and not waited for long.
 */
import type { Found } from './decoys.ts'

/** A worker that is well answers in a millisecond. */
const ANSWER_MS = 300
/** So many questions may be open; beyond it nobody is asked. */
const OPEN_MAX = 1000

export class Asking {
  readonly #open = new Map<number, (found: Found) => void>()
  #number = 0

  /** Undefined: there was no answer in time. */
  ask(send: (number: number) => void): Promise<Found | undefined> {
    if (this.#open.size >= OPEN_MAX) return Promise.resolve(undefined)
    const number = ++this.#number
    return new Promise<Found | undefined>((resolve) => {
      const late = setTimeout(resolve, ANSWER_MS, undefined)
      this.#open.set(number, (found) => (clearTimeout(late), resolve(found)))
      send(number)
    }).finally(() => this.#open.delete(number))
  }

  hear(number: number, found: Found): void {
    this.#open.get(number)?.(found)
  }
}
