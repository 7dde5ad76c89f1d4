/**
 * One finished dialogue, for a line in a log: who it was with, how long it took, and all that it showed.
 *
 * It is told beside the evidence and judged by nobody. What a client said was made printable and cut when it was seen.
 */
import { printable, type Kind } from './evidence.ts'

export type Session = {
  readonly role: 'primary' | 'backup'
  readonly client: string
  /** Which of our addresses it called, `192.0.2.67:25`. */
  readonly where: string
  readonly session: string
  /** The client ended it, or we did. */
  readonly outcome: string
  readonly heldMs: number
  readonly bytesIn: number
  readonly bytesOut: number
  /** How it called itself; printable; '' where it did not. */
  readonly helo: string
  /** The last command that it gave; '' where it gave none. */
  readonly last: string
  /** How many recipients it named, and the first sender. */
  readonly recipients: number
  readonly sender: string | undefined
  readonly seen: readonly { readonly kind: Kind; readonly detail: string | undefined }[]
}

/** The parts that only the dialogue knows. */
export type Talked = Pick<Session, 'helo' | 'last' | 'recipients' | 'sender' | 'seen'>

/** @param helo, sender - as the client said them */
export function talked(
  { helo, last, recipients, sender }: Omit<Talked, 'seen'>,
  seen: ReadonlyMap<Kind, string | undefined>,
): Talked {
  return {
    helo: printable(helo),
    last,
    recipients,
    sender: sender === undefined ? undefined : printable(sender),
    seen: [...seen].map(([kind, detail]) => ({ kind, detail })),
  }
}
