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
    const current = rules()
    const exception = domain === undefined ? undefined : current.exceptionFor(domain)
    const { modes } = exception ?? current
    const mode = exception?.modes.defer ?? current.mode
    const operators = ledger.allowFor(client)
    if (operators) return allowed(client, mode, 'operator', operators)
    const entry = allowedBy(current, client, now())
    if (entry) return allowed(client, mode, 'rules', entry)

    const ruling = ledger.rulingFor(client)
    const doubt = doubtOf(ledger)
    if (!ruling || ruling.word === 'allow' || ruling.word === 'release' || current.never(client))
      return clean(client, mode, doubt)
    const {
      word,
      by,
      until,
      ticket,
      because,
      score = Infinity,
      enforced = [{ word, until: until ?? Infinity }],
    } = ruling
    // Higher thresholds than those it was made with: the sum when it was last judged must reach them, too.
    const reached =
      exception && by !== 'operator' ? enforced.filter((stand) => score >= exception.thresholds[stand.word]) : enforced
    return {
      client,
      verdict: word,
      effect: doubt ? 'pass' : effectOf({ enforced: reached }, { modes }, now()),
      mode: modes[word],
      by,
      until,
      ticket,
      because,
      doubt,
    }
  }
}

/** When what stands was made; undefined: nothing does, or an entry of the rules file. */
export function sinceOf({ client, verdict, by }: Decision, ledger: Ledger): Instant | undefined {
  if (verdict === 'allow') return by === 'operator' ? ledger.allowFor(client)?.since : undefined
  return verdict === 'clean' ? undefined : ledger.rulingFor(client)?.since
}

/** It stands that this client is refused, and nobody is told now: in mode observe, or in doubt. */
export function isUntold({ verdict, effect }: Decision): boolean {
  return (verdict === 'block' || verdict === 'defer') && effect === 'pass'
}

/** What allows: an operator's word has a ticket, an entry of the rules has none. */
type Allowing = { readonly until?: Instant | undefined; readonly ticket?: string; readonly because: string }

function allowed(client: Client, mode: Mode, by: 'operator' | 'rules', { until, ticket, because }: Allowing): Decision {
  return { client, verdict: 'allow', effect: 'pass', mode, by, until, ticket, because, doubt: undefined }
}

function clean(client: Client, mode: Mode, doubt: Decision['doubt']): Decision {
  const none = undefined
  return { client, verdict: 'clean', effect: 'pass', mode, by: none, until: none, ticket: none, because: none, doubt }
}

function doubtOf(ledger: Ledger): Decision['doubt'] {
  return ledger.state === 'fresh' ? undefined : ledger.state
}
