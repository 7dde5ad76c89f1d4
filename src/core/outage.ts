/**
 * The outage guard: does this evidence count?
 *
 * A sender that finds the real MX down, or is told "later" there, is right to try the backup MX (RFC 5321 section 5.1).
 * So the *order* of a client's visits counts only while the real MX is known to work: a polite hit at the backup waits
 * for the witness's next look, and counts if all real MXs were up before and after it, and for a while (`graceOf`).
 *
 * An outage excuses where a client comes, not how it behaves: what no mail server ever does (`INEXCUSABLE`) counts at once,
 * and so does what it says afterwards in the same session, for that client is no mail server that was sent on. So does
 * mail for others, for no outage of our real MX sends that here.
 *
 * Where nobody looks, the questions of the real MX are all that vouches for it: it lives, for it asks us. Two questions
 * near each other stand for two looks. Without either the guard is blind, and no order counts at all.
 *
 * Pure: the guard is a value and the caller keeps it. At most PENDING_MAX hits wait; the oldest is then waived, so that
 * under pressure we err towards the sender.
 */
import type { Event, Evidence, Instant, Kind, Probe } from './evidence.ts'
import { Queue, Recent } from './growing.ts'

/**
 * Who vouches for the real MX: a `witness` that looks at it, at best its own questions (`blind`), or nobody, because it is
 * `trusted` to be up, as in a story that tells of no outage.
 */
export type Watch = 'witness' | 'blind' | 'trusted'

export type Guard = {
  readonly watch: Watch
  readonly last: Probe | undefined
  /** Since when all probes were good, and near each other; likewise questions. What is told late may have been seen before the last. */
  readonly upSince: Instant | undefined
  readonly askedSince: Instant | undefined
  /** The last outage, or doubt: its first and its last bad probe. */
  readonly outage: { readonly since: Instant; readonly until: Instant } | undefined
  /** When the real MX last asked us about a client. */
  readonly askedAt: Instant | undefined
  /** Hits that wait for the next probe, the oldest first. */
  readonly pending: Queue<Numbered>
  /** Sessions in which something inexcusable was seen. */
  readonly rude: Recent
}

/** A piece of evidence with its journal number, which its tallies carry on; `waited`: for a probe. */
export type Numbered = { readonly seq: number; readonly evidence: Evidence; readonly waited?: true }

/**
 * Why a hit did not count: an outage before or after it; too soon after one; no look, or none near enough; nobody who
 * could look; too many that waited.
 */
export const WAIVED_WHYS = ['outage', 'grace', 'unwatched', 'blind', 'pressure'] as const

export type Waived = Numbered & { readonly why: (typeof WAIVED_WHYS)[number] }

export type Admission = {
  readonly guard: Guard
  readonly counted: readonly Numbered[]
  readonly waived: readonly Waived[]
}

/** What no mail server does, wherever it was sent. Kinds that a careless one may show are not here: doubt favours it. */
export const INEXCUSABLE: ReadonlySet<Kind> = new Set<Kind>([
  'early-talk',
  'foreign-protocol',
  'pipelining',
  'talk-over',
  'message',
  'auth',
])

export const PENDING_MAX = 10_000

/** Rude sessions that are remembered; in one that is forgotten, hits wait for the next probe as others do. */
export const RUDE_MAX = 1000

/** Two good probes further apart than this leave a gap in which the real MX may have been down. */
export const PROBE_GAP_MS = 5 * 60_000

/** Two questions of the real MX further apart than this do. It is less, for a question comes by chance, not by plan. */
export const QUESTION_GAP_MS = 60_000

/**
 * After an outage, senders' memory still brings them to the backup. Exim's stock retry rule skips a host that failed for
 * 15 minutes at first, later for half as long as it has been failing, and at most for 6 hours (Exim specification,
 * chapter 32: F,2h,15m; G,16h,1h,1.5; F,4d,6h). So does the grace.
 */
export const GRACE_MS = 15 * 60_000
export const GRACE_MAX_MS = 6 * 3_600_000

/**
 * What a client, or its network, does at the backup this long after a "later" of ours is the walk, or the retry, that we
 * caused: longer than the longest pause between two tries that Postfix makes (4000 s), and renewed by each try.
 */
export const DEFERRED_MS = 2 * 3_600_000

export function newGuard(watch: Watch): Guard {
  return {
    watch,
    last: undefined,
    upSince: undefined,
    askedSince: undefined,
    outage: undefined,
    askedAt: undefined,
    pending: Queue.of(),
    rude: Recent.none(),
  }
}

export function admit(guard: Guard, seq: number, event: Event): Admission {
  if (event.type === 'probe') return settle(guard, event)
  if (event.type === 'word') return { guard, counted: [], waived: [] }
  const hit: Numbered = { seq, evidence: event }
  if (event.role === 'real') return asked(guard, hit)
  if (event.role !== 'backup' || guard.watch === 'trusted') return { guard, counted: [hit], waived: [] }

  const session = event.session ?? event.client
  if (guard.rude.has(session)) return { guard, counted: [hit], waived: [] }
  if (INEXCUSABLE.has(event.kind))
    return { guard: { ...guard, rude: guard.rude.with(session, RUDE_MAX) }, counted: [hit], waived: [] }
  if (event.kind === 'foreign-recipient') return { guard, counted: [hit], waived: [] }
  if (guard.watch === 'blind' && !vouchedFor(guard, event.at)) {
    // Was it told so late that the questions of now say nothing of it? Else the next will be too late for those that wait, too.
    const isOld = guard.askedSince !== undefined && event.at < guard.askedSince
    if (isOld || guard.pending.length === 0) return { guard, counted: [], waived: [blinded(hit)] }
    return { guard: { ...guard, pending: Queue.of() }, counted: [], waived: [...guard.pending, hit].map(blinded) }
  }
  const crowded = guard.pending.length >= PENDING_MAX ? guard.pending.first : undefined
  const pending = (crowded ? guard.pending.withoutFirst() : guard.pending).with(hit)
  return { guard: { ...guard, pending }, counted: [], waived: crowded ? [{ ...crowded, why: 'pressure' }] : [] }
}

export type Freeze = { readonly why: Exclude<Waived['why'], 'pressure'>; readonly until: Instant | undefined }

/** Why the order of visits counts for nothing now, and until when, where that is known; undefined while it counts. */
export function freezeOf({ watch, last, outage, askedAt }: Guard, now: Instant): Freeze | undefined {
  if (watch === 'trusted') return undefined
  if (watch === 'blind')
    return askedAt !== undefined && now - askedAt <= QUESTION_GAP_MS ? undefined : { why: 'blind', until: undefined }
  if (!last || now - last.at > PROBE_GAP_MS) return { why: 'unwatched', until: undefined }
  if (last.outcome !== 'up') return { why: 'outage', until: undefined }
  const until = outage ? outage.until + graceOf(outage) : 0
  return now < until ? { why: 'grace', until } : undefined
}

/** A probe decides about all that was seen before it; what came while it was under way waits for the next one. */
function settle(guard: Guard, probe: Probe): Admission {
  if (guard.watch !== 'witness') return { guard, counted: [], waived: [] }
  const isUp = probe.outcome === 'up'
  const outage = isUp ? guard.outage : lengthened(guard.outage, probe.at)
  const { last } = guard
  const goesOn = last && last.at <= probe.at && probe.at - last.at <= PROBE_GAP_MS
  const upSince = isUp ? ((goesOn ? guard.upSince : undefined) ?? probe.at) : undefined
  return decide({ ...guard, last: probe, upSince, outage }, probe.at, (at) => doubt(guard, probe, outage, at))
}

/** The real MX has asked about a client. That counts, and where nobody looks it is a sign of life. */
function asked(guard: Guard, question: Numbered): Admission {
  const { at } = question.evidence
  const near = guard.askedAt !== undefined && at - guard.askedAt <= QUESTION_GAP_MS
  const askedSince = (near ? guard.askedSince : undefined) ?? at
  const next = { ...guard, askedAt: Math.max(at, guard.askedAt ?? 0), askedSince }
  if (guard.watch !== 'blind') return { guard: next, counted: [question], waived: [] }
  const admission = decide(next, at, (seenAt) => (near && askedSince <= seenAt ? undefined : 'blind'))
  return { ...admission, counted: [...admission.counted, question] }
}

/** Ends the waiting of all that was seen up to then. */
function decide(guard: Guard, upTo: Instant, whyNot: (at: Instant) => Waived['why'] | undefined): Admission {
  if (guard.pending.length === 0) return { guard, counted: [], waived: [] }
  const pending: Numbered[] = []
  const counted: Numbered[] = []
  const waived: Waived[] = []
  for (const hit of guard.pending) {
    const { at } = hit.evidence
    const why = at > upTo ? undefined : whyNot(at)
    if (at > upTo) pending.push(hit)
    else if (why) waived.push({ ...hit, why })
    else counted.push({ ...hit, waited: true })
  }
  return { guard: { ...guard, pending: Queue.of(pending) }, counted, waived }
}

function doubt(
  { last, upSince }: Guard,
  after: Probe,
  outage: Guard['outage'],
  at: Instant,
): Waived['why'] | undefined {
  if (after.outcome !== 'up') return 'outage'
  if (!last || after.at - last.at > PROBE_GAP_MS) return 'unwatched'
  if (last.outcome !== 'up' || (outage && at <= outage.until)) return 'outage'
  // All looks since then were good, however many there were before this was told.
  if (upSince === undefined || upSince > at) return 'unwatched'
  if (outage && at - outage.until < graceOf(outage)) return 'grace'
  return undefined
}

/** One more bad probe: of the same outage, if it comes within its grace, else of a new one. */
function lengthened(outage: Guard['outage'], at: Instant): NonNullable<Guard['outage']> {
  if (!outage || at - outage.until >= graceOf(outage)) return { since: at, until: at }
  return { since: outage.since, until: Math.max(outage.until, at) }
}

function graceOf({ since, until }: NonNullable<Guard['outage']>): number {
  return Math.min(Math.max(GRACE_MS, (until - since) / 2), GRACE_MAX_MS)
}

function blinded({ seq, evidence }: Numbered): Waived {
  return { seq, evidence, why: 'blind' }
}

function vouchedFor({ askedAt, askedSince }: Guard, at: Instant): boolean {
  return askedAt !== undefined && askedSince !== undefined && askedSince <= at && at - askedAt <= QUESTION_GAP_MS
}
