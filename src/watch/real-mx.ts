/**
 * The witness: looks at every real MX, again and again, and reports a Probe about all of them.
 *
 * `up`: all of them would take mail. Honest senders come to the backup when all have failed for them; yet with one of
 * several away the others carry its load, and may say "later" to some. So with any of them away it is `partial`, and the
 * order of visits counts for nothing (outage.ts): doubt favours the sender. Only when none takes mail is it an outage, in
 * which the backup says 421 at once.
 *
 * The looks come at jittered times, full ones; a look out of turn, because evidence waits, is short where the last full one
 * was good. Looks out of turn are rationed, so that a flood at the decoy is none at the real MX.
 */
import type { Instant, Probe } from '../core/evidence.ts'
import { QUESTION_GAP_MS } from '../core/outage.ts'
import { spellPlace } from '../core/place.ts'
import type { Exchange } from './exchanges.ts'
import { type Look, lookAt, type Looks } from './greeting.ts'

export type RealMxOptions = {
  readonly exchanges: () => readonly Exchange[]
  readonly everyMs: number
  readonly now: () => Instant
  /** From 0 to below 1, as Math.random gives it. */
  readonly random: () => number
  /** When a real MX last asked us about a client: a sign of life. */
  readonly askedAt: () => Instant | undefined
  readonly report: (probe: Probe) => Promise<unknown>
  /** What is found of one MX, or of all, is not what was found before. */
  readonly changed: (what: {
    readonly mx: string | undefined
    readonly outcome: Probe['outcome']
    readonly because: string
  }) => void
  readonly lookMs?: number
}

/** What is known of one real MX. */
export type MxState = {
  readonly name: string
  readonly outcome: Look['outcome']
  readonly because: string
  readonly since: Instant
  readonly lookedAt: Instant
  /** How it spoke when it was last looked at in full. */
  readonly looks: Looks | undefined
}

export type Found = { readonly outcome: Probe['outcome']; readonly since: Instant; readonly lookedAt: Instant }

/** A look comes this much earlier or later than its time, as a part of it, so that no two watchers keep step. */
const JITTER = 0.2
/** A look out of turn is not taken sooner than this after the last. */
const SOONEST_MS = 500
/** So many looks out of turn at once, and then one more each time this has passed: less than any rate limit we know. */
const NUDGES_MAX = 6
const NUDGE_EVERY_MS = 5000

const NO_ADDRESS: Look = {
  outcome: 'down',
  because: 'has no address',
  looks: undefined,
  connected: false,
  reply: undefined,
}

export class RealMx {
  readonly #options: RealMxOptions
  readonly #states = new Map<string, MxState>()
  #timer: NodeJS.Timeout | undefined
  #looking: Promise<void> | undefined
  #lookedAt: Instant = 0
  #nudged = false
  #nudges = NUDGES_MAX
  #countedAt: Instant
  readonly #ending = new AbortController()
  #found: Found | undefined
  #looks: Looks | undefined

  constructor(options: RealMxOptions) {
    this.#options = options
    this.#countedAt = options.now()
  }

  /** What the last look found, and since when that is so. */
  get found(): Found | undefined {
    return this.#found
  }

  /** Each real MX, in the order of their names. */
  get states(): readonly MxState[] {
    return [...this.#states.values()].toSorted((a, b) => a.name.localeCompare(b.name))
  }

  /** No real MX takes mail now, as far as we can see. */
  get outage(): boolean {
    return this.#found?.outcome === 'later' || this.#found?.outcome === 'down'
  }

  /** How a real MX spoke when it was last seen, for a decoy that shall look like it. */
  get looks(): Looks | undefined {
    return this.#looks
  }

  start(): Promise<void> {
    return this.#look('full')
  }

  /** Evidence waits for the next probe: look soon. A look under way began before it, and proves nothing about it. */
  nudge(): void {
    this.#nudged = true
    if (!this.#looking) this.#schedule()
  }

  async close(): Promise<void> {
    this.#ending.abort()
    clearTimeout(this.#timer)
    await this.#looking
  }

  #look(kind: 'full' | 'short'): Promise<void> {
    this.#nudged = false
    return (this.#looking ??= this.#lookAtAll(kind).finally(() => {
      this.#looking = undefined
      this.#lookedAt = this.#options.now()
      this.#schedule()
    }))
  }

  #schedule(): void {
    clearTimeout(this.#timer)
    if (this.#ending.signal.aborted) return
    const { now, everyMs, random } = this.#options
    const sinceMs = Math.max(0, now() - this.#lookedAt)
    const turnMs = Math.max(0, everyMs * (1 - JITTER + 2 * JITTER * random()) - sinceMs)
    const soonMs = this.#nudged ? Math.max(SOONEST_MS - sinceMs, this.#untilNudge(), 0) : Infinity
    if (soonMs >= turnMs) this.#timer = setTimeout(() => void this.#look('full'), turnMs)
    else
      this.#timer = setTimeout(() => {
        this.#nudges--
        void this.#look('short')
      }, soonMs)
  }

  /** How long until a look out of turn may be taken. */
  #untilNudge(): number {
    const at = this.#options.now()
    const earned = Math.floor(Math.max(0, at - this.#countedAt) / NUDGE_EVERY_MS)
    this.#nudges = Math.min(NUDGES_MAX, this.#nudges + earned)
    this.#countedAt = this.#nudges === NUDGES_MAX ? at : this.#countedAt + earned * NUDGE_EVERY_MS
    return this.#nudges > 0 ? 0 : Math.max(0, this.#countedAt + NUDGE_EVERY_MS - at)
  }

  async #lookAtAll(kind: 'full' | 'short'): Promise<void> {
    const { exchanges, now, report, changed } = this.#options
    const at = now()
    const all = exchanges()
    const looks = await Promise.all(all.map((exchange) => this.#lookAtOne(exchange, kind)))
    if (this.#ending.signal.aborted) return
    const found = all.map((exchange, i) => ({ exchange, look: this.#wellMeant(looks[i] as Look, all.length, at) }))
    for (const name of this.#states.keys()) if (!all.some((each) => each.name === name)) this.#states.delete(name)
    for (const { exchange, look } of found) this.#note(exchange.name, look)
    this.#looks = this.states.find(({ looks }) => looks)?.looks

    const outcome = together(found.map(({ look }) => look.outcome))
    const since = this.#found?.outcome === outcome ? this.#found.since : now()
    const isNew = this.#found?.outcome !== outcome
    this.#found = { outcome, since, lookedAt: now() }
    if (isNew) changed({ mx: undefined, outcome, because: all.length === 0 ? 'no real MX is known' : '' })
    const mx = all.map(({ name }) => name).join(' ')
    // A good probe vouches for the time up to its start, a bad one from its end on.
    await report({ type: 'probe', at: outcome === 'up' ? at : now(), mx: mx.slice(0, MX_TEXT_MAX), outcome })
  }

  /** An MX is up when one of its addresses is: senders try them in turn. */
  async #lookAtOne({ name, addresses }: Exchange, kind: 'full' | 'short'): Promise<Look> {
    if (addresses.length === 0) return NO_ADDRESS
    const full = kind === 'full' || this.#states.get(name)?.outcome !== 'up'
    const { lookMs } = this.#options
    const { signal } = this.#ending
    const looks = await Promise.all(
      addresses.map(async (address) => {
        const look = await lookAt(address, { full, signal, ...(lookMs === undefined ? {} : { lookMs }) })
        const place = spellPlace(address.host, address.port)
        // Where `greet` gives an address, that is its name already.
        return place === name ? look : { ...look, because: `${place} ${look.because}` }
      }),
    )
    return ORDER.flatMap((outcome) => looks.filter((look) => look.outcome === outcome))[0] as Look
  }

  /** A lone MX of which we cannot tell, and which asked us just now, lives: it is only us whom it does not greet. */
  #wellMeant(look: Look, howMany: number, at: Instant): Look {
    const askedAt = this.#options.askedAt()
    const asked = askedAt !== undefined && at - askedAt <= QUESTION_GAP_MS
    if (look.outcome !== 'unsure' || howMany !== 1 || !asked) return look
    return { ...look, outcome: 'up', because: `${look.because}; but it has just asked us about a client` }
  }

  #note(name: string, { outcome, because, looks }: Look): void {
    const before = this.#states.get(name)
    const at = this.#options.now()
    const same = before?.outcome === outcome
    this.#states.set(name, {
      name,
      outcome,
      because,
      since: same ? before.since : at,
      lookedAt: at,
      looks: looks ?? before?.looks,
    })
    if (!same) this.#options.changed({ mx: name, outcome, because })
  }
}

/** Of an MX's addresses the best counts. */
const ORDER = ['up', 'later', 'unsure', 'down'] as const

/** Longest list of names in a probe. */
const MX_TEXT_MAX = 900

/** All of them as one. */
function together(outcomes: readonly Look['outcome'][]): Probe['outcome'] {
  if (outcomes.length === 0) return 'unsure'
  if (outcomes.every((each) => each === 'up')) return 'up'
  if (outcomes.includes('up')) return 'partial'
  return (['unsure', 'later'] as const).find((each) => outcomes.includes(each)) ?? 'down'
}
