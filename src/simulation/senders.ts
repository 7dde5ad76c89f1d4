/**
 * How senders behave, as a table: which MX they try, what makes them go on to the next, when they come again.
 *
 * Honest are those whose mail arrives when they are left alone. Stranded are honest, too, but never try the real MX as long
 * as a decoy stands where it does: they lose by the layout, whatever the rules say, and are counted apart so that nobody
 * overlooks it. The rest are bots. Each line names where its behaviour is known from; `assumed` marks what nobody has
 * measured. How many there are of each is a guess of ours; catch rates are told by kind because of that.
 */
import type { Kind } from '../core/evidence.ts'

export type Behaviour = {
  readonly kind: string
  readonly of: 'honest' | 'stranded' | 'bot'
  readonly source: string
  /** How many of them come in a week, on the average. */
  readonly senders: number
  /** Messages a day: one sender's rate lies between these. */
  readonly daily: readonly [least: number, most: number]
  readonly order: Order
  /** Which failures make it try the next MX in the same attempt. */
  readonly walksOn: readonly Failure[]
  /** Its own pause before the next MX, in ms; where none is given, what a connection takes. */
  readonly pauseMs?: number
  /** At most so many addresses in one attempt. */
  readonly stops?: number
  /** Waits between attempts, in minutes; the last one repeats until it gives up. Without: one attempt only. */
  readonly retryMin?: readonly number[]
  readonly givesUpDays?: number
  /** Exim: a host that could not be reached is skipped by every message until its retry time. */
  readonly remembersHosts?: boolean
  /** The next attempt begins at the MX after the one that failed last. */
  readonly resumes?: boolean
  /** So many addresses in so many networks, another one for each attempt. */
  readonly pool?: {
    readonly addresses: number
    readonly networks: number
    /** DNS says whose they are. */
    readonly known?: true
  }
  /** Owns a /64 and changes its address in it. */
  readonly hops?: boolean
  /** Names no recipient of ours: it only looks. */
  readonly looks?: boolean
  /** What it does at a decoy that talks, and in which share of its sessions. */
  readonly manners?: readonly (readonly [Kind, share: number])[]
  /** Is active for so many days of the week; without, all along. */
  readonly activeDays?: readonly [least: number, most: number]
}

/**
 * rfc: lowest preference first. first: that one only. any: one at random. shuffled: as DNS answers, another order each
 * time. fixed: as DNS answers, the same each time. reversed: highest first. last: that one only. all: every one at once.
 * real: the real MX, which it knows from somewhere.
 */
export type Order = 'rfc' | 'first' | 'any' | 'shuffled' | 'fixed' | 'reversed' | 'last' | 'all' | 'real'

/** No connection; reset after it was accepted; 4xx at the greeting; 4xx later on. */
export type Failure = 'unreachable' | 'reset' | 'busy' | 'later'

export const ANY_FAILURE: readonly Failure[] = ['unreachable', 'reset', 'busy', 'later']

/** Postfix: queue run every 300 s, 300 s at first, doubled up to 4000 s (postconf(5)). */
export const POSTFIX_MIN = [5, 10, 20, 40, 66.7]
