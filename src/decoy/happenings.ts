/**
 * What decoys tell of connections, to be counted, logged and shown: each is a value, told when it happens.
 */
import type { Session } from '../core/session.ts'
import type { Outcome } from './crowd.ts'

/** What is thought of a client when it comes. */
export type Regard = 'stranger' | 'suspect' | 'offender'

/** `canary`: a door of our own, where we play senders to ourselves, each with a PROXY header that is believed. */
export type Via = 'direct' | 'proxy' | 'canary'

/**
 * Why a connection was not let in: too many in all, of its network or of its client, it called an address that is no
 * decoy's, a peer that is no proxy of ours, a bad PROXY header, none in time, or gone before we looked or knew who it was.
 */
export type Refusal = 'total' | 'network' | 'client' | 'address' | 'peer' | 'proxy-header' | 'proxy-silence' | 'gone'

export type DecoyHappening =
  | { readonly what: 'opened'; readonly role: 'primary' | 'backup'; readonly via: Via; readonly regard: Regard }
  | {
      readonly what: 'closed'
      readonly role: 'primary' | 'backup'
      readonly outcome: Outcome
      readonly heldMs: number
      readonly bytesIn: number
      readonly bytesOut: number
    }
  | { readonly what: 'refused'; readonly role: 'primary' | 'backup'; readonly reason: Refusal }
  /** A dialogue is over. */
  | { readonly what: 'ended'; readonly session: Session }
  /** A proxy of ours that says nothing we can read: its settings or ours are wrong, and somebody must be told. */
  | {
      readonly what: 'misread'
      readonly role: 'primary' | 'backup'
      readonly peer: string
      readonly where: string
      readonly because: string
    }
  /** The SMTP library met an error without a name. The text is for the log. */
  | { readonly what: 'fault'; readonly role: 'primary' | 'backup'; readonly error: string }
