/**
 * Who comes to the decoys, as the console shows it: evidence gathered by session, the newest first.
 *
 * Contacts that were told without a session (a known offender's, a flood's) are gathered by client. At most VISITS_MAX are
 * remembered, and of each DEEDS_MAX deeds. Values only: the caller has the clock.
 */
import { LRUCache } from 'lru-cache'
import type { Evidence, Instant, Kind, Role } from '../core/evidence.ts'

export type Visit = {
  readonly id: string
  readonly client: string
  readonly role: Role
  readonly where: string | undefined
  readonly first: Instant
  last: Instant
  times: number
  readonly deeds: { readonly kind: Kind; readonly detail: string | undefined; readonly at: Instant }[]
}

const VISITS_MAX = 500
const DEEDS_MAX = 40

export class Visits {
  readonly #visits = new LRUCache<string, Visit>({ max: VISITS_MAX })
  /** Rises with all that is heard. */
  heard = 0

  hear({ client, role, session, where, at, kind, detail, times = 1 }: Evidence): void {
    this.heard++
    // A session is of one decoy; who comes without may be met at both.
    const key = session ?? `${role} ${client}`
    let visit = this.#visits.get(key)
    if (!visit) {
      visit = { id: `${role}-${session ?? client}`, client, role, where, first: at, last: at, times: 0, deeds: [] }
      this.#visits.set(key, visit)
    }
    visit.last = at
    if (kind === 'contact') visit.times += times
    else if (visit.deeds.length < DEEDS_MAX) visit.deeds.push({ kind, detail, at })
  }

  newest(): Visit[] {
    return [...this.#visits.values()]
  }
}
