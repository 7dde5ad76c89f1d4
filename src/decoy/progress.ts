/**
 * How far a dialogue has come, by what the client says, and which of its commands stand where SMTP has no place for them
 * (RFC 5321, 4.1.4).
 *
 * A value that the caller keeps; nothing here knows sockets or time. Doubt favours the sender: a MAIL that we refused
 * opens no transaction, so that the next MAIL is none within another; after DATA and a new name everything may begin
 * again; and who does not say its name again after STARTTLS is forgiven.
 */
import type { Stage } from '../core/evidence.ts'

export type Progress = {
  stage: Stage
  /** HELO or EHLO was said. */
  named: boolean
  /** MAIL was said in this transaction; and answered with 250. */
  mail: 'no' | 'said' | 'taken'
  /** RCPT was said in this transaction. */
  rcpt: boolean
}

export function newProgress(): Progress {
  return { stage: 'connect', named: false, mail: 'no', rcpt: false }
}

/** The client said this command. Why it is out of place, if so. */
export function advance(progress: Progress, verb: string): string | undefined {
  const misplaced = outOfPlace(progress, verb)
  const stage = misplaced === undefined ? STAGE_OF.get(verb) : undefined
  if (stage) progress.stage = stage
  if (verb === 'RSET' && progress.named) progress.stage = 'helo'
  if (BEGINNINGS.has(verb)) {
    progress.mail = 'no'
    progress.rcpt = false
  }
  if (verb === 'HELO' || verb === 'EHLO' || verb === 'LHLO') progress.named = true
  if (verb === 'MAIL') {
    progress.mail = 'said'
    progress.rcpt = false
  }
  if (verb === 'RCPT') progress.rcpt = true
  if ((verb === 'DATA' || verb === 'BDAT') && progress.mail === 'taken') progress.mail = 'said'
  return misplaced
}

/** A command of the client, the only one that waited, has this answer. */
export function answered(progress: Progress, verb: string, code: string): void {
  if (verb === 'MAIL' && progress.mail === 'said' && code === '250') progress.mail = 'taken'
}

/** TLS has begun: whatever was said before is forgotten (RFC 3207, 4.2), only not that it knows how to say its name. */
export function beginTls(progress: Progress): void {
  Object.assign(progress, { stage: 'starttls', mail: 'no', rcpt: false })
}

function outOfPlace({ named, mail, rcpt }: Progress, verb: string): string | undefined {
  if (verb === 'MAIL' && !named) return 'MAIL before HELO'
  if (verb === 'MAIL' && mail === 'taken') return 'MAIL within MAIL'
  if (verb === 'RCPT' && mail === 'no') return 'RCPT before MAIL'
  if ((verb === 'DATA' || verb === 'BDAT') && !rcpt) return `${verb} before RCPT`
  return undefined
}

const BEGINNINGS: ReadonlySet<string> = new Set(['HELO', 'EHLO', 'LHLO', 'RSET'])

const STAGE_OF: ReadonlyMap<string, Stage> = new Map([
  ['HELO', 'helo'],
  ['EHLO', 'helo'],
  ['LHLO', 'helo'],
  ['AUTH', 'auth'],
  ['MAIL', 'mail'],
  ['RCPT', 'rcpt'],
  ['DATA', 'data'],
  ['BDAT', 'data'],
  ['QUIT', 'quit'],
])
