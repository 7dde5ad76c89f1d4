/**
 * Who calls itself otherwise than at its last visit. It hears of finished dialogues, at whichever decoy and in whichever
 * process they were, for a client comes to another one each time.
 */
import { LRUCache } from 'lru-cache'
import { parseClient } from '../core/client.ts'
import { type Instant, printable, type Witness } from '../core/evidence.ts'
import type { Session } from '../core/session.ts'

/** So many clients' names are remembered; a restart forgets them. */
const NAMES_MAX = 10_000

export class Renames {
  readonly #names = new LRUCache<string, string>({ max: NAMES_MAX })
  readonly #witness: Witness
  readonly #now: () => Instant

  constructor(witness: Witness, now: () => Instant) {
    this.#witness = witness
    this.#now = now
  }

  hear({ client: ip, role, where, session, helo, seen }: Session): void {
    const key = parseClient(ip)?.key
    if (key === undefined || helo === '') return
    const before = this.#names.get(key)
    if (before === helo) return
    this.#names.set(key, helo)
    // Changed within the dialogue: told already.
    if (before === undefined || seen.some(({ kind }) => kind === 'changed-helo')) return
    const detail = printable(`${before} at its last visit, now ${helo}`)
    const at = this.#now()
    const what = { kind: 'changed-helo', stage: 'helo', detail } as const
    void this.#witness({ type: 'evidence', at, client: ip, role, where, session, ...what })
  }
}
