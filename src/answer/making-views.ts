/**
 * Views made of what the house knows, as the HTTP API says it (views.ts): instants in words, undefined as null, points rounded.
 */
import type { Client } from '../core/client.ts'
import type { Credit } from '../core/credit.ts'
import { type Instant, type Word } from '../core/evidence.ts'
import { countKinds, type Counts, FACT_NAMES, type FactName, total, WAIVED_FACTS } from '../core/facts.ts'
import type { AllowEntry } from '../core/rules.ts'
import type { Explanation, Ruling, Waiting } from '../reputation/reputation.ts'
import type { ClientView, RulingView, SpokenView, WaitingView } from './views.ts'

/** A client's connections to the decoys now: how many, and some of them. */
export type Here = {
  readonly count: number
  readonly some: readonly {
    readonly role: 'primary' | 'backup'
    readonly since: Instant
    readonly outcome: string
  }[]
  /** So many of our processes did not say in time. */
  readonly silent: number
}

export function clientView(
  client: Client,
  {
    decision,
    since,
    verdict,
    unmet,
    trustedUntil,
    facts,
    contacts,
    networkContacts,
    pending,
    freeze,
    journalTrouble,
  }: Explanation,
  rules: string,
  waiting: Waiting | undefined,
  here: Here,
): ClientView {
  const byEntry = verdict?.allowedBy
  return {
    client: client.ip,
    network: client.network,
    verdict: decision.verdict,
    effect: decision.effect,
    mode: decision.mode,
    score: verdict?.score ?? null,
    enforcedScore: verdict?.enforcedScore ?? null,
    threshold: verdict?.threshold ?? null,
    since: iso(since),
    until: iso(decision.until),
    clears: iso(verdict?.clearsAt),
    ticket: decision.ticket ?? null,
    by: decision.by ?? null,
    because: decision.because ?? null,
    doubt: decision.doubt ?? (verdict ? null : 'store'),
    known: verdict !== undefined,
    trustedUntil: iso(trustedUntil),
    standing: {
      allowed:
        decision.verdict === 'allow'
          ? {
              by: decision.by === 'operator' ? 'operator' : `${rules}:${byEntry?.line ?? 0}`,
              because: decision.because ?? '',
            }
          : null,
      never: verdict?.never ?? null,
      credit: verdict ? creditView(verdict.credit) : null,
      pool: verdict?.member
        ? { name: verdict.member.pool, found: verdict.member.found, at: iso(verdict.member.at) as string }
        : null,
    },
    reasons: (verdict?.reasons ?? []).map((reason) => ({
      ...reason,
      weight: Math.round(reason.weight * 100) / 100,
      excuse: reason.excuse ?? null,
      last: iso(reason.last) as string,
    })),
    unmet: unmet.map((each) => ({
      ...each,
      weight: Math.round(each.weight * 100) / 100,
      last: iso(each.last) as string,
    })),
    contacts: verdict ? contacts : null,
    networkContacts: verdict ? networkContacts : null,
    facts: totals(facts.own, FACT_NAMES),
    waived: totals(facts.own, WAIVED_FACTS),
    pending: countKinds(pending),
    waiting: waiting ? waitingView(waiting) : null,
    here: {
      ...here,
      some: here.some.map(({ role, since, outcome }) => ({ role, since: iso(since) as string, outcome })),
    },
    freeze: freeze ? { why: freeze.why, until: iso(freeze.until) } : null,
    lost: journalTrouble ? { events: journalTrouble.lost, since: iso(journalTrouble.since) as string } : null,
    rules,
  }
}

function creditView(credit: Credit): ClientView['standing']['credit'] {
  const rounded = (points: number) => Math.round(points * 100) / 100
  return {
    ...credit,
    own: rounded(credit.own),
    network: rounded(credit.network),
    last: credit.last > 0 ? iso(credit.last) : null,
  }
}

/** How often each of these facts was seen, of those that were. */
function totals(counts: Counts, names: readonly FactName[]): Record<string, number> {
  return Object.fromEntries(names.map((name) => [name, total(counts, name)] as const).filter(([, n]) => n > 0))
}

export function waitingView({ client, word, score, why, good, since, because }: Waiting): WaitingView {
  return { client: client.ip, network: client.network, word, score, why, good, since: iso(since) as string, because }
}

export function rulingView(ruling: Ruling): RulingView {
  const { by, target, word, ticket, because, author, score } = ruling
  const until = iso(ruling.grace ?? ruling.until)
  return { by, target, word, since: iso(ruling.since), until, ticket, because, author, score }
}

export function entryView({ prefix, because, until, line }: AllowEntry, file: string): RulingView {
  const author = `${file}:${line}`
  return { by: 'file', target: prefix.cidr, word: 'allow', since: null, until: iso(until), ticket: '', because, author }
}

export function spokenView({ at, word, target, until, because, author }: Word): SpokenView {
  return { at: iso(at) as string, word, target, until: iso(until), because, author }
}

export function iso(at: Instant | undefined): string | null {
  return at === undefined ? null : new Date(at).toISOString()
}
