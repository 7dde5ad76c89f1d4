/**
 * Decision out: what we tell an asker about a client, now.
 *
 * The verdict is the rules' word; the decision is ours: it knows the operator's word, the mode, and how fresh our copy of
 * the rulings is. It is taken from memory alone, so that no asker ever waits for a store, a disk or a network, and every
 * doubt ends in `pass`: mail lost by us is worse than spam let in.
 */
import type { Client } from '../core/client.ts'
import type { Instant } from '../core/evidence.ts'
import { effectOf } from '../core/listing.ts'
import { allowedBy, type Mode, type Rules, type Standing } from '../core/rules.ts'
import type { Ledger } from './ledger.ts'

export type Decision = {
  readonly client: Client
  /** The word that stands, whatever the mode. */
  readonly verdict: 'clean' | 'allow' | Standing
  /** What the asker shall do about it: the heaviest word that is enforced; in mode observe, and in any doubt, pass. */
  readonly effect: 'pass' | Standing
  /** The mode of this word. */
  readonly mode: Mode
  readonly by: 'rules' | 'operator' | undefined
  readonly until: Instant | undefined
  readonly ticket: string | undefined
  readonly because: string | undefined
  /** Why we did not dare to say more. */
  readonly doubt: 'starting' | 'stale' | 'overfull' | undefined
}

/** `domain`: of the recipient, where the asker knows it; for it the rules may have an exception. */
export type Decide = (client: Client, domain?: string) => Decision

export function decider(ledger: Ledger, rules: () => Rules, now: () => Instant): Decide {
  return (client, domain) => {
    const { mode, allow, never, exceptionFor, ...general } = rules()
    const exception = domain === undefined ? undefined : exceptionFor(domain)
    const { modes } = exception ?? general
    const none = {
      client,
      mode: exception?.modes.defer ?? mode,
      by: undefined,
      until: undefined,
      ticket: undefined,
      because: undefined,
      doubt: undefined,
    }
    const operators = ledger.allowFor(client)
    if (operators)
      return {
        ...none,
        verdict: 'allow',
        effect: 'pass',
        by: 'operator',
        until: operators.until,
        ticket: operators.ticket,
        because: operators.because,
      }
    const entry = allowedBy({ allow }, client, now())
    if (entry)
      return { ...none, verdict: 'allow', effect: 'pass', by: 'rules', until: entry.until, because: entry.because }

    const ruling = ledger.rulingFor(client)
    if (!ruling || ruling.word === 'allow' || ruling.word === 'release' || never(client))
      return { ...none, verdict: 'clean', effect: 'pass', doubt: doubtOf(ledger) }
    const { word, by, until, ticket, because, score = Infinity } = ruling
    const doubt = doubtOf(ledger)
    const alone = [{ word, until: until ?? Infinity }]
    // Higher thresholds than those it was made with: the sum when it was last judged must reach them, too.
    const reaches = (stand: Standing) => !exception || by === 'operator' || score >= exception.thresholds[stand]
    const enforced = (ruling.enforced ?? alone).filter((stand) => reaches(stand.word))
    return {
      ...none,
      verdict: word,
      effect: doubt ? 'pass' : effectOf({ enforced }, { modes }, now()),
      mode: modes[word],
      by,
      until,
      ticket,
      because,
      doubt,
    }
  }
}

function doubtOf(ledger: Ledger): Decision['doubt'] {
  return ledger.state === 'fresh' ? undefined : ledger.state
}
