/**
 * The outage guard: does this evidence count?
 *
 * A sender that finds the real MX down, or is told "later" there, is right to try the backup MX (RFC 5321 section 5.1).
 * So where a witness watches the real MX, a hit on the backup decoy waits for the next probe: it counts if the real MX
 * was up before and after it, and is waived otherwise. Without a witness every hit counts, and `status` says so.
 *
 * Pure: the guard is a value and the caller keeps it. At most PENDING_MAX hits wait; the oldest is then waived, so that
 * under pressure we err towards the sender.
 */
import type { Event, Evidence, Instant, Probe } from './evidence.ts'

export type Guard = {
  /** Is there a witness? Then backup hits wait for its word. */
  readonly watched: boolean
  readonly last: Probe | undefined
  /** When a probe last found anything but up. */
  readonly failedAt: Instant | undefined
  readonly pending: readonly Numbered[]
}

/** A piece of evidence with its journal number, which its tallies carry on. */
export type Numbered = { readonly seq: number; readonly evidence: Evidence }

export type Waived = Numbered & { readonly why: 'outage' | 'grace' | 'unwatched' | 'pressure' }

export type Admission = {
  readonly guard: Guard
  readonly counted: readonly Numbered[]
  readonly waived: readonly Waived[]
}

export const PENDING_MAX = 10_000

/** Two good probes further apart than this leave a gap in which the real MX may have been down. */
export const PROBE_GAP_MS = 5 * 60_000

/** After an outage, senders' retries and their queues still come by the backup for a while. */
export const GRACE_MS = 15 * 60_000

export function newGuard(watched: boolean): Guard {
  return { watched, last: undefined, failedAt: undefined, pending: [] }
}

export function admit(guard: Guard, seq: number, event: Event): Admission {
  if (event.type === 'probe') return settle(guard, event)
  if (event.type === 'word') return { guard, counted: [], waived: [] }
  const hit: Numbered = { seq, evidence: event }
  if (event.role !== 'backup' || !guard.watched) return { guard, counted: [hit], waived: [] }
  const pending = [...guard.pending, hit]
  const crowded = pending.length > PENDING_MAX ? pending.splice(0, 1) : []
  return { guard: { ...guard, pending }, counted: [], waived: crowded.map((each) => ({ ...each, why: 'pressure' })) }
}

/** A probe decides about all that was seen before it; what came while it was under way waits for the next one. */
function settle(guard: Guard, probe: Probe): Admission {
  const failedAt = probe.outcome === 'up' ? guard.failedAt : probe.at
  const pending = guard.pending.filter((hit) => hit.evidence.at > probe.at)
  const next: Guard = { ...guard, last: probe, failedAt, pending }
  const counted: Numbered[] = []
  const waived: Waived[] = []
  for (const hit of guard.pending) {
    if (hit.evidence.at > probe.at) continue
    const why = doubt(guard.last, probe, failedAt, hit.evidence.at)
    if (why) waived.push({ ...hit, why })
    else counted.push(hit)
  }
  return { guard: next, counted, waived }
}

function doubt(
  before: Probe | undefined,
  after: Probe,
  failedAt: Instant | undefined,
  at: Instant,
): Waived['why'] | undefined {
  if (after.outcome !== 'up') return 'outage'
  if (!before || before.at > at || after.at - before.at > PROBE_GAP_MS) return 'unwatched'
  if (before.outcome !== 'up') return 'outage'
  if (failedAt !== undefined && at - failedAt < GRACE_MS) return 'grace'
  return undefined
}
