/**
 * Somebody who is at a decoy now, in words.
 */
import type { Instant } from '../../core/evidence.ts'

/** Somebody who is at a decoy now. */
export type Guest = {
  readonly role: 'primary' | 'backup'
  readonly client: string
  readonly since: Instant
  readonly outcome: string
}

/** What becomes of it, for a person. @param outcome - as the decoys have it */
export function stateOf(outcome: string): string {
  return STATES[outcome] ?? outcome
}

/** Where not all workers have said in time what they have of a client. */
export function unsaid(silent: number): string {
  return `${silent === 1 ? '1 worker' : `${silent} workers`} did not say in time whether it is there`
}

/** `1:04:09`, as the browser's half counts on. */
export function lasting(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000))
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60]
  const two = (n: number) => String(n).padStart(2, '0')
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`
}

const STATES: Readonly<Record<string, string>> = {
  dialogue: 'talked to',
  tarpit: 'held, a drop at a time',
  held: 'held in silence',
  later: 'sent home until later',
}
