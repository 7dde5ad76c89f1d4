/**
 * Who comes to the decoys, as the console shows it: evidence gathered by session, the newest first.
 *
 * Contacts that were told without a session (a known offender's, a flood's) are gathered by client. At most VISITS_MAX are
 * told of, twice as many remembered, and of each DEEDS_MAX deeds. Values only: the caller has the clock.
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

/** `turn`: how much had been heard when it was heard of last. */
type Remembered = Visit & { turn: number }

export class Visits {
  readonly #visits = new Map<string, Remembered>()
  /** Rises with all that is heard. */
  heard = 0

  hear({ client, role, session, where, at, kind, detail, times = 1 }: Evidence): void {
    this.heard++
    // A session is of one decoy; who comes without may be met at both.
    const key = session ?? `${role} ${client}`
    let visit = this.#visits.get(key)
    if (!visit) {
      visit = {
        id: `${role}-${session ?? client}`,
        client,
        role,
        where,
        first: at,
        last: at,
        times: 0,
        turn: this.heard,
        deeds: [],
      }
      this.#visits.set(key, visit)
      if (this.#visits.size > 2 * VISITS_MAX) this.#forget()
    }
    visit.last = at
    visit.turn = this.heard
    if (kind === 'contact') visit.times += times
    else if (visit.deeds.length < DEEDS_MAX) visit.deeds.push({ kind, detail, at })
  }

  newest(): Visit[] {
    return this.#byTurn()
      .slice(0, VISITS_MAX)
      .map(([, visit]) => visit)
  }

  /** So many at a time: in a flood nobody is put in order at each piece of evidence. */
  #forget(): void {
    for (const [key] of this.#byTurn().slice(VISITS_MAX)) this.#visits.delete(key)
  }

  #byTurn(): [string, Remembered][] {
    return [...this.#visits].sort(([, a], [, b]) => b.turn - a.turn)
  }
}
