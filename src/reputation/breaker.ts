/**
 * The breaker: a store that hangs costs one deadline, and not one for each call.
 *
 * A call that failed only after waiting opens it; then every call is refused at once, and after each pause one is let
 * through to look again. A failure that came at once costs nobody anything and opens nothing. The clock is one that
 * nobody sets.
 */

export type BreakerOptions = {
  /** A failure that took so long has cost a wait. */
  readonly slowMs: number
  readonly pauseMs: number
  /** Milliseconds that only go up. */
  readonly clock: () => number
  /** It opened, with the error that opened it, or closed. */
  readonly turned: (error: string | undefined) => void
}

export class Breaker {
  readonly #options: BreakerOptions
  #error: string | undefined
  /** When the next call may look again. */
  #againAt = -Infinity

  constructor(options: BreakerOptions) {
    this.#options = options
  }

  /** Why calls are refused now; undefined while they are let through. */
  get error(): string | undefined {
    return this.#error
  }

  async through<Value>(call: () => Promise<Value>): Promise<Value> {
    const { slowMs, pauseMs, clock } = this.#options
    const began = clock()
    if (this.#error !== undefined) {
      if (began < this.#againAt) throw new Error(`not asked, it hung a moment ago: ${this.#error}`)
      this.#againAt = began + pauseMs
    }
    try {
      const value = await call()
      this.close()
      return value
    } catch (error) {
      if (clock() - began < slowMs) throw error
      this.#againAt = clock() + pauseMs
      const before = this.#error
      this.#error = (error as Error).message
      if (before === undefined) this.#options.turned(this.#error)
      throw error
    }
  }

  /** It is known otherwise that calls are answered again. */
  close(): void {
    if (this.#error === undefined) return
    this.#error = undefined
    this.#options.turned(undefined)
  }
}
