/**
 * What an operator has just said here and the store has not told us yet: it lets somebody pass at once, whatever the store is doing.
 *
 * An allow is kept until we hear of it, or of something newer, from the store; a release until the store has done all that it
 * means and our copy of the decisions is proved fresh after that. A block ends either.
 */
import type { Client } from '../core/client.ts'
import type { Instant } from '../core/evidence.ts'
import { parsePrefix, type Prefix, Prefixes } from '../core/prefixes.ts'
import type { Ruling } from './store.ts'

const EASED_MAX = 10_000

export class Eased {
  /** At most EASED_MAX. */
  readonly #words = new Prefixes<Ruling>()
  /** Releases of which the store has done all, since the copy was last proved fresh, and when they were said. */
  readonly #settled: { readonly prefix: Prefix; readonly since: Instant }[] = []

  get size(): number {
    return this.#words.size
  }

  /** The operator's allow, block or release, as it was said. */
  say(ruling: Ruling): void {
    const prefix = parsePrefix(ruling.target)
    if (typeof prefix === 'string') return
    if (ruling.word === 'block') this.#words.delete(prefix)
    else if (this.#words.size < EASED_MAX) this.#words.set(prefix, ruling)
  }

  /** The store tells of a word about this network: it ends what was said here before it. */
  heard(prefix: Prefix, since: Instant): void {
    this.#forget(prefix, (eased) => eased.since <= since)
  }

  /** The store has done all that the release of `since` means. What was said of the same target after it is not settled by that. */
  settle(target: string, since: Instant): void {
    const prefix = parsePrefix(target)
    if (typeof prefix !== 'string') this.#settled.push({ prefix, since })
  }

  /** To be called before the copy is proved; what it gives, after that: what had been settled by then is forgotten. */
  proving(): () => void {
    const settled = this.#settled.length
    return () => {
      for (const { prefix, since } of this.#settled.splice(0, settled))
        this.#forget(prefix, (eased) => eased.word === 'release' && eased.since <= since)
    }
  }

  over(client: Client, word: 'allow' | 'release'): Ruling[] {
    return this.#words.findAll(client).filter((each) => each.word === word)
  }

  values(): Iterable<Ruling> {
    return this.#words.values()
  }

  #forget(prefix: Prefix, done: (eased: Ruling) => boolean): void {
    const eased = this.#words.get(prefix)
    if (eased && done(eased)) this.#words.delete(prefix)
  }
}
