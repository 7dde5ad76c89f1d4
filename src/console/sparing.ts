/**
 * What takes long to find out is not found out at every glance: it is kept for WORTH times as long as it took. What is made of a
 * million decisions stands for a second then, what is made of a few for no time that anybody notices; so pages that
 * follow take a twentieth of the process that answers the real MX, at most.
 */
import { Latest } from '../core/latest.ts'

const WORTH = 20
/** Questions whose answers are kept; the oldest goes first. */
const KEPT_MAX = 32

type Kept = { readonly value: unknown; readonly until: number }

export class Sparing {
  /** Milliseconds on a clock that never jumps. */
  readonly #clock: () => number
  readonly #kept = new Latest<Kept>(KEPT_MAX)

  constructor(clock: () => number) {
    this.#clock = clock
  }

  /** `anew`: whoever asks has just changed something, and wants to see it. One key has values of one kind. */
  get<Value>(key: string, anew: boolean, make: () => Value): Value {
    const began = this.#clock()
    const kept = this.#kept.get(key)
    if (kept && !anew && began < kept.until) return kept.value as Value
    const value = make()
    const ended = this.#clock()
    this.#kept.renew(key, { value, until: ended + WORTH * (ended - began) })
    return value
  }
}
