/**
 * What the loader says of a job that is done.
 */
export type Outcome = {
  readonly answers: number
  /** Answers that say refuse or listed: of decoymx and rbldnsd it must be half. */
  readonly listed: number
  /** Answers that were not what the crowd deserves, and questions that were not answered. */
  readonly wrong: number
  readonly lost: number
  readonly ms: number
  readonly p99Ms: number
  readonly held: number
  /** The share of its core that the loader used: near 1 it is the limit. */
  readonly busy: number
}

export const NOTHING: Outcome = { answers: 0, listed: 0, wrong: 0, lost: 0, ms: 0, p99Ms: 0, held: 0, busy: 0 }
