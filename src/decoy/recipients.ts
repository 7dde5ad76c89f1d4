/**
 * Whom a client names in one session, and what that shows: recipients of ours and of others, traps, floods, guesses, and
 * callouts.
 *
 * A callout is how honest mail servers ask whether a sender exists: no sender of their own (or postmaster, or Postfix's
 * double-bounce), one recipient, and away. Whoever forges our addresses, traps among them, makes honest servers ask, and
 * makes them bounce, which looks the same. So what such a visit names is withheld until the visit shows another face: a
 * second recipient, or a violation, then it is told as for anybody. When it ends politely it is a `callout`, which weighs
 * nothing, and neither recipient nor trap was ever told. After CALLOUTS_MAX of them in one session it is no verifier.
 *
 * A value that the caller keeps; no socket, no time.
 */
import type { Kind } from '../core/evidence.ts'
import { INEXCUSABLE } from '../core/outage.ts'
import { guess, type Guessing, newGuessing } from './guessing.ts'

/** A recipient, and what the rules know of it. */
export type Recipient = {
  readonly local: string
  /** Lower case, as DNS has it; empty for a postmaster without a domain. */
  readonly domain: string
  readonly ours: boolean
  readonly trap: boolean
}

export type Shown = { readonly kind: Kind; readonly detail: string }

export type Naming = {
  /** Of this transaction; undefined before MAIL. */
  sender: string | undefined
  inTransaction: number
  recipients: number
  callouts: number
  /** A violation was seen: whatever it asks, it is no verifier. */
  impolite: boolean
  /** What would be told of the one recipient of what may be a callout. */
  withheld: Shown[]
  readonly guessing: Guessing
}

/** RFC 5321, 4.5.3.1.8: every server takes 100 recipients, so no sender needs to name more here, where none is taken. */
export const RECIPIENTS_MAX = 100
/** More recipients without a sender: no bounce, and no verifier. */
export const NULL_RECIPIENTS_MAX = 5
export const CALLOUTS_MAX = 5

export function newNaming(): Naming {
  return {
    sender: undefined,
    inTransaction: 0,
    recipients: 0,
    callouts: 0,
    impolite: false,
    withheld: [],
    guessing: newGuessing(),
  }
}

/** MAIL was taken. */
export function beginTransaction(naming: Naming, sender: string): void {
  naming.sender = sender
  naming.inTransaction = 0
}

export function nameRecipient(naming: Naming, { local, domain, ours, trap }: Recipient): Shown[] {
  naming.recipients++
  naming.inTransaction++
  const said = domain === '' ? local : `${local}@${domain}`
  const shown: Shown[] = []
  if (naming.recipients > RECIPIENTS_MAX)
    shown.push({ kind: 'recipient-flood', detail: `more than ${RECIPIENTS_MAX} in one session` })
  if (naming.sender === '' && naming.inTransaction > NULL_RECIPIENTS_MAX)
    shown.push({ kind: 'null-sender-many', detail: `more than ${NULL_RECIPIENTS_MAX} in one transaction` })
  // RFC 5321, 4.5.1: a postmaster without a domain is every host's own, and proves nothing about a domain.
  if (domain === '') return shown
  const guessed = ours ? guess(naming.guessing, local) : undefined
  if (guessed !== undefined) shown.push({ kind: 'dictionary', detail: guessed })
  const about: Shown[] = [{ kind: ours ? 'recipient' : 'foreign-recipient', detail: said }]
  if (trap) about.push({ kind: 'trap-recipient', detail: said })
  if (ours && mayBeCallout(naming)) {
    naming.withheld = about
    return shown
  }
  return [...release(naming), ...about, ...shown]
}

/** RSET, a new name, QUIT, or the client is gone. */
export function endTransaction(naming: Naming): Shown[] {
  naming.sender = undefined
  naming.inTransaction = 0
  const [first] = naming.withheld
  if (!first) return []
  naming.withheld = []
  naming.callouts++
  return [{ kind: 'callout', detail: first.detail }]
}

/** Something else was seen of this client: does it take away what a verifier has in its favour? */
export function noteManner(naming: Naming, kind: Kind): Shown[] {
  if (!VIOLATIONS.has(kind)) return []
  naming.impolite = true
  return release(naming)
}

function mayBeCallout({ sender, inTransaction, callouts, impolite }: Naming): boolean {
  return (
    !impolite && callouts < CALLOUTS_MAX && inTransaction === 1 && sender !== undefined && PROBE_SENDER.test(sender)
  )
}

function release(naming: Naming): Shown[] {
  const { withheld } = naming
  naming.withheld = []
  return withheld
}

const PROBE_SENDER = /^((postmaster|double-bounce)(@.*)?)?$/i

/** No verifier is so careless, as far as we know. A false name is not among them: honest servers have some. */
const CARELESS: readonly Kind[] = ['bare-newline', 'unknown-command', 'misplaced-command']
const VIOLATIONS: ReadonlySet<Kind> = new Set([...INEXCUSABLE, ...CARELESS])
