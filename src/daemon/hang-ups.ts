/**
 * An asker was hung up on: why, in words for whoever has to mend its side, and who it was.
 *
 * A program that speaks something else comes again and again, so of each door and reason it is said once a minute. That a
 * connection was idle is no trouble of anybody's.
 */
import type { LookupHappening } from '../answer/lookup.ts'
import type { MilterHappening } from '../answer/milter.ts'
import type { PolicyHappening } from '../answer/policy.ts'
import type { Log } from '../console/log.ts'
import { seldom } from '../console/seldom.ts'

export type HangUp = Extract<PolicyHappening | LookupHappening | MilterHappening, { what: 'closed' }>

export function tellingOfHangUps(log: Log, now: () => number) {
  const lines = seldom(now)
  return (asker: string, { reason, peer }: Pick<HangUp, 'reason' | 'peer'>): void => {
    if (reason === 'idle') return
    const leftOut = lines(`${asker} ${reason}`)
    if (leftOut === undefined) return
    log.warn(
      { ...(peer === undefined ? {} : { peer }), reason, ...(leftOut > 0 ? { leftOut } : {}) },
      `${asker}: hung up on a connection: ${WORDS[reason]}`,
    )
  }
}

const BY_HAND = 'docs/asking.md asks one by hand'
const SPEAKS_ELSE = 'does another program speak here?'

const WORDS: Readonly<Record<Exclude<HangUp['reason'], 'idle'>, string>> = {
  'cr-lf': `lines end in LF, not in CR LF; ${BY_HAND}`,
  'no-equals': `a line was no name=value; ${BY_HAND}`,
  'foreign-request': `the question had no line request=smtpd_access_policy; ${BY_HAND}`,
  'nul-byte': `a NUL byte is in no question; ${SPEAKS_ELSE}`,
  'long-line': `a line was longer than any is; ${SPEAKS_ELSE}`,
  'long-request': `a question was longer than any is; ${SPEAKS_ELSE}`,
  'long-packet': `a packet was longer than any is; ${SPEAKS_ELSE}`,
  'no-packet': `what came is no packet of a milter client; ${SPEAKS_ELSE}`,
  'old-protocol': 'its version of the milter protocol is older than any that we speak',
  'no-greeting': `it did not begin as a milter client does; ${SPEAKS_ELSE}`,
  'cut-short': 'it ended in the middle of a question; an empty line ends one',
  full: 'full: all connections that we keep are in use, and this one had asked nothing for longest',
  unread: 'it did not read its answers',
}
