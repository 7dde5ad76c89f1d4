/**
 * The HTTP API: what is known of a client, which decisions stand, the operator's word, health.
 *
 * One application, served twice: on the TCP address, where a visitor's rights are found out first (entry.ts), and on a socket
 * in the state directory, which the file system guards and where everybody is an operator. `why`, `list`, `allow`, ... use
 * the latter. What a route takes and answers stands in routes.ts.
 */
import { type Context, Hono, type MiddlewareHandler } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { secureHeaders } from 'hono/secure-headers'
import type { z } from 'zod'
import { type Client, clientOfKey, parseClient } from '../core/client.ts'
import type { Problem } from '../core/document.ts'
import { misread } from '../core/misread.ts'
import { EVERYTHING, type Instant } from '../core/evidence.ts'
import type { Rights } from '../core/rights.ts'
import { covers, parsePrefix, type Prefix, Prefixes } from '../core/prefixes.ts'
import { type Effect, isUntold, type Reputation, type Ruling } from '../reputation/reputation.ts'
import { type Entered, refusal } from './entry.ts'
import { CONTENT_TYPES, type Export } from './exports.ts'
import { type Format, FORMATS } from './formats.ts'
import { Following, type Follow } from './following.ts'
import { checkProposal, type Editing, replayProposal, saveProposal, tellFile } from './editing.ts'
import { mistakeOf, notJson } from './mistaken.ts'
import { openApiDocument } from './openapi.ts'
import { clientView, entryView, type Here, iso, rulingView, spokenView, waitingView } from './making-views.ts'
import { type Route, ROUTES } from './routes.ts'
import type { RulingView, TicketView } from './views.ts'
import { heedWord, unknownPool, type WordsOptions } from './words.ts'

export type ApiOptions = WordsOptions & {
  readonly version: string
  readonly reputation: Pick<
    Reputation,
    'decide' | 'explain' | 'rulings' | 'ofTicket' | 'say' | 'waiting' | 'words' | 'freshness'
  >
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
  readonly editing: Editing
  /** Has the kernel refuse strangers at the primary, or no more. Undefined: there are no decoys here. */
  readonly turnKernel: (on: boolean) => Promise<object> | undefined
  /** What is at the decoys of a client now. */
  readonly here: (client: Client) => Promise<Here>
  /** Plays the canary, and tells what came of it. */
  readonly playCanary: () => Promise<object>
  /** A code that logs in to the console once. */
  readonly link: (rights: Rights) => string
  /** Evidence as it comes. */
  readonly follow: Follow
  readonly now: () => Instant
}

/** What stands at `/`, and what a person's browser is told where there is nothing. */
type Front = { readonly app: Hono<Entered>; readonly lost: (c: Context<Entered>) => Response | Promise<Response> }

/** Largest body of a request; a word is a few hundred bytes. */
const BODY_BYTES_MAX = 16_384

/** `enter` puts the visitor into the context; `front` is what stands at `/`, behind the same entry. */
export function api(options: ApiOptions, enter: MiddlewareHandler<Entered>, front?: Front): Hono<Entered> {
  const app = new Hono<Entered>()
  // Whether a name is ever to be reached by TLS alone is its owner's to say, at the proxy.
  app.use(secureHeaders({ referrerPolicy: 'same-origin', strictTransportSecurity: false }))
  const small = limit(BODY_BYTES_MAX)
  // Where more may come, it is read only from those who may send it.
  app.use((c, next) => (LARGE.has(c.req.path) && c.req.method !== 'GET' ? next() : small(c, next)))
  app.use(enter)
  app.onError((error, c) => c.json({ error: error.message }, 500))
  app.notFound((c) => (front && wantsPage(c) ? front.lost(c) : nowhere(c)))
  if (front) app.route('/', front.app)
  else app.get('/', (c) => c.text(INDEX))

  on(app, ROUTES.health, (c) => c.json({ ok: true }))
  on(app, ROUTES.ready, (c) => {
    const because = options.unready()
    return c.json({ ok: because.length === 0, because }, because.length === 0 ? 200 : 503)
  })
  on(app, ROUTES.metrics, async (c) => {
    const { text, contentType } = await options.metrics()
    return c.body(text, 200, { 'content-type': contentType })
  })
  on(app, ROUTES.status, (c) => c.json(options.status()))
  on(app, ROUTES.client, async (c) => {
    const client = parseClient(c.req.param('ip') ?? '')
    if (!client) return c.json(notAnAddress(c.req.param('ip') ?? ''), 400)
    const waiting = options.reputation.waiting().find((each) => each.client.key === client.key)
    const explained = await options.reputation.explain(client)
    return c.json(clientView(client, explained, options.rulesFile(), waiting, await options.here(client)))
  })
  on(app, ROUTES.ticket, (c) => {
    const found = options.reputation.ofTicket(c.req.param('ticket') ?? '')
    if (!found)
      return c.json(
        {
          error: `there is no decision under ticket ${c.req.param('ticket')?.slice(0, 64)}`,
          hint: 'those that have ended are remembered until a restart; the log has who it was about, as `journalctl -u decoymx -g TICKET` finds it, and the address tells what is known now',
        },
        404,
      )
    return c.json({ ...rulingView(found.ruling), ended: iso(found.endedAt) } satisfies TicketView)
  })
  on(app, ROUTES.words, async (c, { within }) => {
    const words = (await options.reputation.words()).filter(
      ({ target }) => !within || target === EVERYTHING || touches(target, within),
    )
    return c.json({ words: words.map(spokenView) })
  })
  on(app, ROUTES.decisions, (c, { within }) => {
    const now = options.now()
    const reached = (target: string, whole: boolean) =>
      !within || (whole ? touches(target, within) : covers(within, clientOfKey(target) as Client))
    const rulings = [...options.reputation.rulings()]
      .filter((ruling) => (ruling.grace ?? Infinity) > now && reached(ruling.target, ruling.by === 'operator'))
      .toSorted((a, b) => b.since - a.since)
    const entries = options
      .allowed()
      .filter((entry) => (entry.until ?? Infinity) > now && reached(entry.prefix.cidr, true))
    const allows = Prefixes.of([
      ...rulings.filter(({ word }) => word === 'allow').flatMap(({ target }) => prefixIn(target)),
      ...options
        .allowed()
        .filter((entry) => (entry.until ?? Infinity) > now)
        .map(({ prefix }) => [prefix, true] as const),
    ])
    const untold = ({ word }: Ruling, client: Client) => {
      const decision = options.reputation.decide(client)
      return decision.verdict === word && isUntold(decision)
    }
    const view = (ruling: Ruling): RulingView => {
      const client = clientOfKey(ruling.target) as Client
      if (ruling.by === 'rules' && allows.size > 0 && allows.find(client))
        return { ...rulingView(ruling), overruled: true }
      return untold(ruling, client) ? { ...rulingView(ruling), untold: true } : rulingView(ruling)
    }
    return c.json({
      decisions: [...rulings.map(view), ...entries.map((entry) => entryView(entry, options.rulesFile()))],
    })
  })
  on(app, ROUTES.export, async (c) => {
    const format = FORMATS.find((each) => each === c.req.param('format'))
    if (!format)
      return c.json(
        {
          error: `there is no such format of an export: got ${JSON.stringify((c.req.param('format') ?? '').slice(0, 40))}`,
          hint: `expected one of ${FORMATS.join(', ')}`,
        },
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
  on(app, ROUTES.governor, (c) => c.json({ waiting: options.reputation.waiting().map(waitingView) }))
  const following = new Following(options.follow)
  on(app, ROUTES.events, (c, { within, role }) => following.stream(c, { within, role }))
  on(app, ROUTES.openapi, (c) => c.json(openApiDocument(options.version)))

  on(
    app,
    ROUTES.say,
    (c, _, said) => heedWord(c, said, c.get('visitor'), options),
    (said) => unknownPool(said, options),
  )
  on(app, ROUTES.kernel, async (c, _, { on }) => {
    const state = await options.turnKernel(on)
    return state
      ? c.json(state)
      : c.json({ error: 'this appliance runs no decoys', hint: 'ask the one that does' }, 404)
  })
  on(app, ROUTES.link, (c, _, { rights }) => c.json({ code: options.link(rights) }))
  on(app, ROUTES.canary, async (c) => c.json(await options.playCanary()))
  on(app, ROUTES.reload, async (c, _, { force }) => {
    const { problems, effect = null } = await options.reload(force)
    return c.json({ ok: problems.length === 0, problems, effect }, problems.length === 0 ? 200 : 400)
  })
  on(app, ROUTES.rules, (c) => tellFile(c, options.editing))
  on(app, ROUTES.check, (c, _, proposed) => checkProposal(c, proposed, options.editing))
  on(app, ROUTES.replay, (c, _, proposed) => replayProposal(c, proposed, c.get('visitor'), options.editing))
  on(app, ROUTES.save, (c, _, saved) => saveProposal(c, saved, c.get('visitor'), options.editing))
  return app
}

const LARGE = new Set(Object.values<Route>(ROUTES).flatMap(({ bodyBytesMax, path }) => (bodyBytesMax ? [path] : [])))

function limit(maxSize: number): MiddlewareHandler<Entered> {
  return bodyLimit({
    maxSize,
    onError: (c) => unread(c.json({ error: `the body is larger than ${maxSize} bytes` }, 413)),
  })
}

/** The rest of a body that nobody reads would be in the way of the next request. */
function unread(answer: Response): Response {
  answer.headers.set('connection', 'close')
  return answer
}

type Query<R> = R extends { query: infer Q extends z.ZodType } ? z.output<Q> : undefined
type Body<R> = R extends { body: infer B extends z.ZodType } ? z.output<B> : undefined
type Handler<R> = (c: Context<Entered>, query: Query<R>, body: Body<R>) => Response | Promise<Response>

/** What the handler would find wrong of a body that the schema has refused already: all mistakes are told in one go. */
type Beside = { readonly error: string; readonly hint?: string }

/** Opens a route: its visitor's rights, then what it takes, and then the handler. */
function on<R extends Route>(
  app: Hono<Entered>,
  route: R,
  handle: Handler<R>,
  beside: (body: unknown) => Beside | undefined = () => undefined,
): void {
  app[route.method](route.path, async (c, next) => {
    const refused = refusal(c, route.rights)
    return refused ? (route.bodyBytesMax ? unread(refused) : refused) : next()
  })
  if (route.bodyBytesMax) app[route.method](route.path, limit(route.bodyBytesMax))
  app[route.method](route.path, async (c) => {
    const query = route.query?.safeParse(c.req.query(), { reportInput: true })
    if (query && !query.success) return c.json(mistakeOf(query.error, route.query as z.ZodType, 'the query'), 400)
    const text = route.body ? await c.req.text() : ''
    if (text !== '' && !/^application\/json\b/i.test(c.req.header('content-type') ?? ''))
      return c.json({ error: 'the body must be application/json', hint: 'send a content-type header' }, 415)
    let sent: unknown
    try {
      sent = text === '' ? undefined : JSON.parse(text)
    } catch (error) {
      return c.json(notJson(text, error), 400)
    }
    const body = route.body?.safeParse(sent, { reportInput: true })
    if (body && !body.success)
      return c.json(mistakeOf(body.error, route.body as z.ZodType, 'the body', beside(sent)), 400)
    return handle(c, query?.data as Query<R>, body?.data as Body<R>)
  })
}

function wantsPage(c: Context): boolean {
  const { path, method } = c.req
  return method === 'GET' && !path.startsWith('/api/') && (c.req.header('accept') ?? '').includes('text/html')
}

/** Where who wants to allow or block may look first. */
const ASKED_TO_DECIDE = /^\/api\/v1\/(?:decisions|clients)\b/

/** Nothing there, or nothing of this method. */
function nowhere(c: Context): Response {
  const methods = Object.values(ROUTES)
    .filter(({ path }) => new RegExp(`^${path.replace(/:\w+/g, '[^/]+')}$`).test(c.req.path))
    .map(({ method }) => method.toUpperCase())
  if (methods.length === 0)
    return c.json(
      {
        error: `there is no ${c.req.method} ${c.req.path.slice(0, 200)} here`,
        hint: 'GET /api/v1/openapi.json tells all there is',
      },
      404,
    )
  c.header('allow', methods.join(', '))
  const error = `${c.req.path.slice(0, 200)} takes ${methods.join(', ')}, not ${c.req.method}`
  return c.json(
    ASKED_TO_DECIDE.test(c.req.path) ? { error, hint: 'words are said at POST /api/v1/words' } : { error },
    405,
  )
}

function prefixIn(target: string): (readonly [Prefix, true])[] {
  const read = parsePrefix(target)
  return typeof read === 'string' ? [] : [[read, true]]
}

/** Do these two networks share any address? */
function touches(target: string, within: Prefix): boolean {
  const other = parsePrefix(target)
  if (typeof other === 'string') return false
  return covers(other, clientOfKey(within.cidr) as Client) || covers(within, clientOfKey(other.cidr) as Client)
}

function notAnAddress(text: string): { error: string; hint: string } {
  const shown = text.slice(0, 64)
  return {
    error: `expected an IP address, got "${shown}"${misread(shown)}`,
    hint: 'IPv4 as 192.0.2.1, IPv6 as 2001:db8::1',
  }
}

const INDEX = `decoymx\n\n${Object.values<Route>(ROUTES)
  .map(({ method, path, summary }) => `${method.toUpperCase().padEnd(5)}${path.padEnd(28)}${summary}`)
  .join('\n')}\n`
