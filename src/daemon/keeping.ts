/**
 * How a shared store keeps what it is given, asked now and then: it is set by others, and may be set anew. What was last told
 * is remembered; an answer that does not come is a sentence, and stops nothing.
 */
import { readKeeping, type RedisKeeping } from '../reputation/reputation.ts'

export type Keeping = { readonly servers: readonly RedisKeeping[] } | { readonly error: string }

const ASK_EVERY_MS = 600_000

export class StoreKeeping {
  readonly #timer: NodeJS.Timeout | undefined
  #last: Keeping | null = null

  /** Undefined: the store is our own. */
  constructor(redis: Parameters<typeof readKeeping>[0] | undefined) {
    if (!redis) return
    const look = async () => {
      this.#last = await readKeeping(redis).then(
        (servers) => ({ servers }),
        (error: Error) => ({ error: error.message }),
      )
    }
    void look()
    this.#timer = setInterval(() => void look(), ASK_EVERY_MS).unref()
  }

  /** Null: it is our own, or has not answered yet. */
  get last(): Keeping | null {
    return this.#last
  }

  close(): void {
    clearInterval(this.#timer)
  }
}
