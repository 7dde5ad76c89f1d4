/**
 * By which rules the listings were last judged, all of them: a word in the state folder.
 *
 * Rules that were made milder while we were not running free at the next start whom a reload of theirs would have freed; nobody
 * stays listed by a rule that is no more until it happens to be seen again. A start under the same rules judges nobody.
 */
import { readFile, writeFile } from 'node:fs/promises'
import type { Rejudged } from './rulings.ts'

export class Judged {
  readonly #file: string
  readonly #digest: () => string | undefined
  readonly #rejudge: () => Promise<Rejudged>

  /** `digest`: of the rules in force. */
  constructor(file: string, digest: () => string | undefined, rejudge: () => Promise<Rejudged>) {
    this.#file = file
    this.#digest = digest
    this.#rejudge = rejudge
  }

  /** Rejects when the store does, or when the word cannot be written; then it is done again at the next start. */
  async again(): Promise<Rejudged> {
    const digest = this.#digest()
    const outcome = await this.#rejudge()
    if (digest !== undefined) await writeFile(this.#file, `${digest}\n`)
    return outcome
  }

  /** Undefined: they were judged by these very rules, or nobody was listed. */
  async againIfOld(): Promise<Rejudged | undefined> {
    const by = await readFile(this.#file, 'utf8').catch(() => '')
    if (by.trim() === this.#digest()) return undefined
    const outcome = await this.again()
    return outcome.kept + outcome.changed + outcome.released > 0 ? outcome : undefined
  }
}
