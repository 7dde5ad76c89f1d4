/**
 * The HTTP API: what is known of a client, which decisions stand, the operator's word, health.
 *
 * One application, served twice: read-only on the TCP address, where any local program can come, and with the operator's
 * rights on a socket in the state directory, which the file system guards. `why`, `list`, `allow`, ... use the latter.
 */
import { Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { secureHeaders } from 'hono/secure-headers'
import { z } from 'zod'
import { type Client, clientOfKey, parseClient } from '../core/client.ts'
import type { Credit } from '../core/credit.ts'
import type { Problem } from '../core/document.ts'
import { EVERYTHING, type Instant, KIND_NAMES, type Role, type Word } from '../core/evidence.ts'
import { type Counts, FACT_NAMES, type FactName, total, WAIVED_FACTS } from '../core/facts.ts'
import type { Membership } from '../core/pools.ts'
import { covers, parsePrefix, type Prefix } from '../core/prefixes.ts'
import type { AllowEntry } from '../core/rules.ts'
import type { Excuse } from '../core/verdict.ts'
import type {
  Effect,
  Explanation,
  Reputation,
  ReputationState,
  Ruling,
  Waiting,
  Why,
} from '../reputation/reputation.ts'
import { CONTENT_TYPES, type Export, type Format, FORMATS } from './exports.ts'
import { heedWord, type WordsOptions } from './words.ts'

export type ApiOptions = WordsOptions & {
  readonly reputation: Pick<Reputation, 'explain' | 'rulings' | 'ofTicket' | 'say' | 'waiting' | 'words' | 'freshness'>
  readonly rulesFile: () => string
  readonly exported: (format: Format) => Promise<Export>
  readonly status: () => object
  /** Sentences that say why we are not ready; none when we are. */
  readonly unready: () => string[]
  readonly metrics: () => Promise<{ readonly text: string; readonly contentType: string }>
  /** Loads the rules anew. `force`: also when that changes more than the bound of the settings. */
  readonly reload: (
    force: boolean,
  ) => Promise<{ readonly problems: readonly Problem[]; readonly effect?: Effect | undefined }>
  /** Has the kernel refuse strangers at the primary, or no more. Undefined: there are no decoys here. */
  readonly turnKernel: (on: boolean) => Promise<object> | undefined
  /** Plays the canary, and tells what came of it. */
  readonly playCanary: () => Promise<object>
  readonly now: () => Instant
}

/** One client, as `GET /api/v1/clients/IP` and `why IP --json` tell it. Instants are ISO 8601, UTC; null: there is none. */
export type ClientView = {
  readonly client: string
  readonly network: string
  readonly verdict: string
  readonly effect: string
  readonly mode: string
  readonly score: number | null
  /** What the rules in mode enforce add up to alone: only this refuses anybody. */
  readonly enforcedScore: number | null
  readonly threshold: number | null
  readonly until: string | null
  /** When the sum falls below the threshold of its word, if nothing more is seen. */
  readonly clears: string | null
  readonly ticket: string | null
  readonly by: string | null
  readonly because: string | null
  readonly doubt: string | null
  readonly standing: {
    readonly allowed: { readonly by: string; readonly because: string } | null
    readonly never: string | null
    /** What it has earned by going on from the primary to the real MX; null when the facts are not known. */
    readonly credit: (Omit<Credit, 'last'> & { readonly last: string | null }) | null
    /** The pool of senders that it belongs to: what counts against it then weighs `factor` of what it would. */
    readonly pool: { readonly name: string; readonly found: Membership['found']; readonly at: string } | null
  }
  readonly reasons: readonly {
    readonly rule: string
    readonly weight: number
    readonly count: number
    readonly waived: number
    readonly excuse: Excuse | null
    /** Below 1 where it weighs only a part of what it would: it is of a pool. */
    readonly factor: number
    readonly last: string
    readonly because: string
    readonly mode: string
    readonly line: number
  }[]
  readonly contacts: Record<Role, number>
  readonly networkContacts: Record<Role, number>
  readonly facts: Record<string, number>
  /** What was seen at the backup and did not count, under the guard's reason, like `outage.recipient`. */
  readonly waived: Record<string, number>
  /** What was seen at the backup and waits for the next look at the real MX, by kind. */
  readonly pending: Record<string, number>
  /** The listing that the rules ask for and the governor holds back, until a person looks. */
  readonly waiting: WaitingView | null
  /** Why the order of visits counts for nothing now, and until when, if known; null while it counts. */
  readonly freeze: ReputationState['freeze']
  readonly rules: string
}

/** A decision that stands, as listed; `file`: an entry of the rules file, which has no ticket and no beginning. */
export type RulingView = Omit<Ruling, 'by' | 'since' | 'until' | 'grace' | 'stands' | 'enforced'> & {
  readonly by: Ruling['by'] | 'file'
  readonly since: string | null
  readonly until: string | null
}

/** The decision that a refused sender quotes; `ended`: it stands no more since then. */
export type TicketView = RulingView & { readonly ended: string | null }

/** What an operator said, and when. */
export type SpokenView = Omit<Word, 'type' | 'at' | 'until'> & { readonly at: string; readonly until: string | null }

/** A listing that the governor holds back. */
export type WaitingView = {
  readonly client: string
  readonly network: string
  readonly word: string
  readonly score: number
  /** The bound it met; see governor.ts. */
  readonly why: Why
  /** Has it walked the right way, or been at the real MX for hours? */
  readonly good: boolean
  readonly since: string
  readonly because: string
}

/** Largest body of a request; a word is a few hundred bytes. */
const BODY_BYTES_MAX = 16_384
export function api(options: ApiOptions, rights: 'viewer' | 'operator'): Hono {
  const app = new Hono()
  app.use(secureHeaders())
  app.use(
    bodyLimit({
      maxSize: BODY_BYTES_MAX,
      onError: (c) => c.json({ error: `the body is larger than ${BODY_BYTES_MAX} bytes` }, 413),
    }),
  )
  app.onError((error, c) => c.json({ error: error.message }, 500))
  app.notFound((c) =>
    c.json({ error: `there is no ${c.req.method} ${c.req.path} here`, hint: 'GET / lists what there is' }, 404),
  )

  app.get('/', (c) => c.text(INDEX))
  app.get('/healthz', (c) => c.json({ ok: true }))
  app.get('/readyz', (c) => {
    const because = options.unready()
    return c.json({ ok: because.length === 0, because }, because.length === 0 ? 200 : 503)
  })
  app.get('/metrics', async (c) => {
    const { text, contentType } = await options.metrics()
    return c.body(text, 200, { 'content-type': contentType })
  })
  app.get('/api/v1/status', (c) => c.json(options.status()))
  app.get('/api/v1/clients/:ip', async (c) => {
    const client = parseClient(c.req.param('ip'))
    if (!client) return c.json(notAnAddress(c.req.param('ip')), 400)
    return c.json(
      viewOf(client, await options.reputation.explain(client), options.rulesFile(), waitingFor(client, options)),
    )
  })
  app.get('/api/v1/tickets/:ticket', (c) => {
    const found = options.reputation.ofTicket(c.req.param('ticket'))
    if (!found)
      return c.json(
        {
          error: `there is no decision under ticket ${c.req.param('ticket')}`,
          hint: 'those that have ended are remembered until a restart',
        },
        404,
      )
    return c.json({ ...viewOfRuling(found.ruling), ended: iso(found.endedAt) } satisfies TicketView)
  })
  app.get('/api/v1/words', async (c) => {
    const within = c.req.query('within')
    const prefix = within === undefined ? undefined : parsePrefix(within)
    if (typeof prefix === 'string') return c.json({ error: prefix }, 400)
    const words = (await options.reputation.words()).filter(
      ({ target }) => !prefix || target === EVERYTHING || touches(target, prefix),
    )
    return c.json({ words: words.map(viewOfWord) })
  })
  app.get('/api/v1/decisions', (c) => {
    const within = c.req.query('within')
    const prefix = within === undefined ? undefined : parsePrefix(within)
    if (typeof prefix === 'string') return c.json({ error: prefix }, 400)
    const now = options.now()
    const reached = (target: string, whole: boolean) =>
      !prefix || (whole ? touches(target, prefix) : covers(prefix, clientOfKey(target) as Client))
    const rulings = options.reputation
      .rulings()
      .filter((ruling) => (ruling.grace ?? Infinity) > now && reached(ruling.target, ruling.by === 'operator'))
      .toSorted((a, b) => b.since - a.since)
    const entries = options
      .allowed()
      .filter((entry) => (entry.until ?? Infinity) > now && reached(entry.prefix.cidr, true))
    return c.json({
      decisions: [...rulings.map(viewOfRuling), ...entries.map((entry) => viewOfEntry(entry, options.rulesFile()))],
    })
  })
  app.get('/api/v1/exports/:format', async (c) => {
    const format = FORMATS.find((each) => each === c.req.param('format'))
    if (!format)
      return c.json(
        { error: 'there is no such format of an export', hint: `expected one of ${FORMATS.join(', ')}` },
        404,
      )
    const freshness = options.reputation.freshness()
    if (freshness !== 'fresh')
      return c.json({ error: `the copy of the decisions is ${freshness}: nothing is exported from it` }, 503)
    const { head, text } = await options.exported(format)
    // Weak: two of one digest may differ in the time that they name.
    const etag = `W/"${head.generation}-${head.rules}-${head.digest}"`
    const headers = { etag, 'cache-control': 'no-cache' }
    const known = (c.req.header('if-none-match') ?? '').split(',').map((each) => each.trim())
    if (known.includes(etag) || known.includes('*')) return c.body(null, 304, headers)
    return c.body(text, 200, { ...headers, 'content-type': CONTENT_TYPES[format] })
  })
  app.get('/api/v1/governor', (c) => c.json({ waiting: options.reputation.waiting().map(viewOfWaiting) }))
  if (rights === 'viewer') return app

  app.post('/api/v1/words', (c) => heedWord(c, options))
  app.post('/api/v1/kernel', async (c) => {
    const read = kernelSchema.safeParse(await c.req.json().catch(() => undefined))
    if (!read.success) return c.json({ error: 'expected {"on": true} or {"on": false}' }, 400)
    const state = await options.turnKernel(read.data.on)
    return state
      ? c.json(state)
      : c.json({ error: 'this appliance runs no decoys', hint: 'ask the one that does' }, 404)
  })
  app.post('/api/v1/canary', async (c) => c.json(await options.playCanary()))
  app.post('/api/v1/reload', async (c) => {
    const text = await c.req.text()
    const read = reloadSchema.safeParse(
      text === ''
        ? {}
        : await Promise.resolve(text)
            .then(JSON.parse)
            .catch(() => undefined),
    )
    if (!read.success) return c.json({ error: 'expected no body, or {"force": true}' }, 400)
    const { problems, effect = null } = await options.reload(read.data.force)
    return c.json({ ok: problems.length === 0, problems, effect }, problems.length === 0 ? 200 : 400)
  })
  return app
}

const reloadSchema = z.strictObject({ force: z.boolean().default(false) })
const kernelSchema = z.strictObject({ on: z.boolean() })

function viewOf(
  client: Client,
  { decision, verdict, facts, contacts, networkContacts, pending, freeze }: Explanation,
  rules: string,
  waiting: Waiting | undefined,
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
    until: iso(decision.until),
    clears: iso(verdict?.clearsAt),
    ticket: decision.ticket ?? null,
    by: decision.by ?? null,
    because: decision.because ?? null,
    doubt: decision.doubt ?? (verdict ? null : 'store'),
    standing: {
      allowed:
        decision.verdict === 'allow'
          ? {
              by: decision.by === 'operator' ? 'operator' : `${rules}:${byEntry?.line ?? 0}`,
              because: decision.because ?? '',
            }
          : null,
      never: verdict?.never ?? null,
      credit: verdict ? viewOfCredit(verdict.credit) : null,
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
    contacts,
    networkContacts,
    facts: totals(facts.own, FACT_NAMES),
    waived: totals(facts.own, WAIVED_FACTS),
    pending: Object.fromEntries(
      KIND_NAMES.map((kind) => [kind, pending.filter((each) => each.kind === kind).length] as const).filter(
        ([, n]) => n > 0,
      ),
    ),
    waiting: waiting ? viewOfWaiting(waiting) : null,
    freeze: freeze ? { why: freeze.why, until: iso(freeze.until) } : null,
    rules,
  }
}

function waitingFor({ key }: Client, { reputation }: ApiOptions): Waiting | undefined {
  return reputation.waiting().find(({ client }) => client.key === key)
}

function viewOfCredit(credit: Credit): ClientView['standing']['credit'] {
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

function viewOfWaiting({ client, word, score, why, good, since, because }: Waiting): WaitingView {
  return { client: client.ip, network: client.network, word, score, why, good, since: iso(since) as string, because }
}

function viewOfRuling(ruling: Ruling): RulingView {
  const { by, target, word, ticket, because, author, score } = ruling
  const until = iso(ruling.grace ?? ruling.until)
  return { by, target, word, since: iso(ruling.since), until, ticket, because, author, score }
}

function viewOfEntry({ prefix, because, until, line }: AllowEntry, file: string): RulingView {
  const author = `${file}:${line}`
  return { by: 'file', target: prefix.cidr, word: 'allow', since: null, until: iso(until), ticket: '', because, author }
}

function viewOfWord({ at, word, target, until, because, author }: Word): SpokenView {
  return { at: iso(at) as string, word, target, until: iso(until), because, author }
}

function iso(at: Instant | undefined): string | null {
  return at === undefined ? null : new Date(at).toISOString()
}

/** Do these two networks share any address? */
function touches(target: string, within: Prefix): boolean {
  const other = parsePrefix(target)
  if (typeof other === 'string') return false
  return covers(other, clientOfKey(within.cidr) as Client) || covers(within, clientOfKey(other.cidr) as Client)
}

function notAnAddress(text: string): { error: string; hint: string } {
  return { error: `expected an IP address, got "${text.slice(0, 64)}"`, hint: 'IPv4 as 192.0.2.1, IPv6 as 2001:db8::1' }
}

const INDEX = `decoymx

GET /api/v1/clients/IP    what is known of a client, and why
GET /api/v1/decisions     the decisions that stand; ?within=CIDR
GET /api/v1/words         what operators have said, and when; ?within=CIDR
GET /api/v1/tickets/CODE  the decision that a refused sender quotes
GET /api/v1/exports/F     who is refused; F is one of ${FORMATS.join(', ')}
GET /api/v1/governor      the listings that wait for a person
GET /api/v1/status        how the appliance is
GET /metrics              for Prometheus
GET /healthz, /readyz     for whoever watches over it
`
