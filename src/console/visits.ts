/**
 * Who comes to the decoys, as the console shows it: evidence gathered by session, the newest first.
 *
 * Contacts that were told without a session (a known offender's, a flood's) are gathered by client. At most VISITS_MAX are
 * remembered, and of each DEEDS_MAX deeds. Values only: the caller has the clock.
 */
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
  readonly #visits = new Map<string, Visit>()
  /** Rises with all that is heard. */
  heard = 0

  hear({ client, role, session, where, at, kind, detail, times = 1 }: Evidence): void {
    this.heard++
    const id = `${role}-${session ?? client}`
    const visit: Visit = this.#visits.get(id) ?? { id, client, role, where, first: at, last: at, times: 0, deeds: [] }
    this.#visits.delete(id)
    this.#visits.set(id, visit)
    visit.last = at
    if (kind === 'contact') visit.times += times
    else if (visit.deeds.length < DEEDS_MAX) visit.deeds.push({ kind, detail, at })
    if (this.#visits.size > VISITS_MAX) this.#visits.delete(this.#visits.keys().next().value as string)
  }

  newest(): Visit[] {
    return [...this.#visits.values()].toReversed()
  }
}
