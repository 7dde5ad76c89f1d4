/**
 * Which clients of good standing were listed in the last day, kept in a file of the state folder: a restart does not begin that
 * count anew, so that nobody is listed by it for whom a person is asked.
 *
 * Without the file, or with one that cannot be read, it begins anew. All else of the governor does at every start: what waits
 * is found again by the clients' next evidence, and a minute or an hour is soon over.
 */
import { readFileSync } from 'node:fs'
import { rename, writeFile } from 'node:fs/promises'
import { z } from 'zod'
import type { Governor } from './governor.ts'

/** Changes of so long are written together. */
const SOON_MS = 1000

const FORM = z.array(z.tuple([z.string(), z.number()]))

export class GoodListed {
  readonly #file: string
  readonly #listed: Governor['goodListed']
  #written: string
  #soon: NodeJS.Timeout | undefined
  #writing: Promise<unknown> = Promise.resolve()

  /** Puts into the governor what the file has. */
  constructor(file: string, { goodListed }: Pick<Governor, 'goodListed'>) {
    this.#file = file
    this.#listed = goodListed
    for (const [key, at] of entriesIn(file)) goodListed.renew(key, at)
    this.#written = this.#text()
  }

  /** To be called when somebody was listed. */
  changed(): void {
    this.#soon ??= setTimeout(() => this.#write(), SOON_MS).unref()
  }

  async close(): Promise<void> {
    this.#write()
    await this.#writing
  }

  /** What cannot be written now is tried again with the next change. */
  #write(): void {
    clearTimeout(this.#soon)
    this.#soon = undefined
    const text = this.#text()
    if (text === this.#written) return
    this.#written = text
    const put = async () => {
      await writeFile(`${this.#file}.new`, text)
      await rename(`${this.#file}.new`, this.#file)
    }
    this.#writing = this.#writing.then(put).catch(() => (this.#written = ''))
  }

  #text(): string {
    return JSON.stringify([...this.#listed])
  }
}

function entriesIn(file: string): z.infer<typeof FORM> {
  try {
    return FORM.parse(JSON.parse(readFileSync(file, 'utf8')))
  } catch {
    return []
  }
}
