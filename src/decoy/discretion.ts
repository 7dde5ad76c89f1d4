/**
 * What is kept of the people whom a client names: their addresses whole, their domains alone, or nothing of them.
 *
 * Who is guessed at, or harvested, at a decoy is often a real person, and a journal of it is personal data. What is left out
 * here is left out before anything is written, logged or sent to another process, so it can be found nowhere. Judgement
 * needs none of it: it counts kinds. Traps are addresses of the operator's own and nobody's, so they stay whole. Headers
 * of messages are asked for by themselves (`keep-messages`). Pure.
 */
import type { Kind } from '../core/evidence.ts'
import type { Sighting } from './manners.ts'

export const KEEPINGS = ['whole', 'domain', 'none'] as const
export type Keeping = (typeof KEEPINGS)[number]

/** The sighting as it may be kept. */
export function discreet(sighting: Sighting, keeping: Keeping): Sighting {
  const { kind, detail } = sighting
  if (keeping === 'whole' || detail === undefined) return sighting
  const kept = WAYS[kind](detail, keeping)
  if (kept === detail) return sighting
  const { detail: _, ...rest } = sighting
  return kept === undefined ? rest : { ...rest, detail: kept }
}

/** An address as it may be kept: `*@example.org`, or `*`. The null sender is nobody's. */
export function discreetAddress(address: string, keeping: Keeping): string {
  if (keeping === 'whole' || address === '') return address
  const at = address.lastIndexOf('@')
  return keeping === 'none' || at < 0 ? '*' : `*${address.slice(at)}`
}

type Way = (detail: string, keeping: Keeping) => string | undefined

const whole: Way = (detail) => detail
const address: Way = (detail, keeping) => {
  const kept = discreetAddress(detail, keeping)
  return kept === '*' ? undefined : kept
}
/** Of a line that is quoted only its verb. */
const verb: Way = (detail) => /^[A-Za-z]+/.exec(detail)?.[0]
/** What was guessed is a name; how many there were, and of which sort, is not. */
const guess: Way = (detail) => detail.replace(/, the last .*$/s, '')

/** Every kind decides; a new one must. */
const WAYS: Readonly<Record<Kind, Way>> = {
  recipient: address,
  'foreign-recipient': address,
  callout: address,
  'auth-name': address,
  'trap-recipient': whole,
  dictionary: guess,
  'early-talk': verb,
  'talk-over': verb,
  'bare-newline': verb,
  'unknown-command': whole,
  'misplaced-command': whole,
  contact: whole,
  'recipient-flood': whole,
  'null-sender-many': whole,
  pipelining: whole,
  'foreign-protocol': whole,
  'tls-hello': whole,
  'false-helo': whole,
  'changed-helo': whole,
  auth: whole,
  message: whole,
  content: whole,
  'hang-up': whole,
  dialect: whole,
  passed: whole,
  deferred: whole,
  refused: whole,
}
