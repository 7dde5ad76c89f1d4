/**
 * The web console: pages made here, kept live by the browser's half (pages/browser.js), log-in and log-out.
 *
 * It reads; what an operator says goes to the API like everybody's word. Each page is whole without scripts, and nothing in it is
 * inline, so that the policy sent with it (CSP level 3) lets no script in that is not ours.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Context, Hono } from 'hono'
import { getCookie } from 'hono/cookie'
import { html } from 'hono/html'
import { streamSSE } from 'hono/streaming'
import { type Client, clientOfKey, parseClient } from '../core/client.ts'
import type { Evidence, Instant } from '../core/evidence.ts'
import { parsePrefix } from '../core/prefixes.ts'
import type { Visitor } from '../core/rights.ts'
import type { Rules } from '../core/rules.ts'
import { span } from '../core/span.ts'
import type { Decision } from '../reputation/decision.ts'
import type { Reputation } from '../reputation/reputation.ts'
import { clientPage, type Met } from './pages/client.ts'
import { type Filter, type Html, page } from './pages/layout.ts'
import { decisionsPage, ROWS_MAX, searchFor } from './pages/decisions.ts'
import { type Health, healthPage, type Remark } from './pages/health.ts'
import type { Guest } from './pages/guest.ts'
import { livePage, type Tiles } from './pages/live.ts'
import { loginPage } from './pages/login.ts'
import { type RulesFile, rulesPage } from './pages/rules.ts'
import type { Sessions } from './sessions.ts'
import { Sparing } from './sparing.ts'
import { Visits } from './visits.ts'

export type ConsoleOptions = {
  readonly reputation: Pick<Reputation, 'explain' | 'newest' | 'reasons' | 'ofTicket' | 'waiting'>
  readonly decide: (client: Client) => Decision
  readonly rules: () => Rules
  /** The rules file as it is now, and whether it may be saved from here. */
  readonly editing: { readonly file: () => RulesFile }
  readonly status: () => Health
  readonly unready: () => string[]
  /** What is not well, the gravest first. */
  readonly remarks: () => readonly Remark[]
  /** Milliseconds that clients have spent at the decoys since the start. */
  readonly wastedMs: () => Promise<number>
  /** Some of those who are at the decoys now, how many these are in all, and those of one client. */
  readonly here: {
    readonly guests: () => readonly Guest[]
    readonly inAll: () => number
    readonly ofClient: (client: Client) => Promise<Met['here']>
  }
  readonly follow: (hear: (evidence: Evidence) => void) => () => void
  readonly now: () => Instant
}

type Entered = { Variables: { visitor: Visitor | undefined; scraper: boolean } }

const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'self'; frame-ancestors 'none'"
/** Pages that follow at once; how often they are told, at most, and at least. */
const WATCHERS_MAX = 64
const TICK_MS = 1000
const BEAT_TICKS = 10
/** What pages are sent beside their text; read once, when this file is. */
const ASSETS = new Map(
  Object.entries({
    'console.css': 'text/css',
    'browser.js': 'text/javascript',
    'editor.css': 'text/css',
    'editor.js': 'text/javascript',
    'elements.js': 'text/javascript',
    'replay-report.js': 'text/javascript',
  }).map(([name, type]) => [
    name,
    { type: `${type}; charset=utf-8`, text: readFileSync(join(import.meta.dirname, 'pages', name)) },
  ]),
)

/** What stands at `/`, and what a browser is told where there is nothing. */
export type Console = {
  readonly app: Hono<Entered>
  readonly lost: (c: Context<Entered>) => Response | Promise<Response>
}

export function consoleOf(options: ConsoleOptions, sessions: Sessions, networkOf: (c: Context) => string): Console {
  const { reputation, now } = options
  const app = new Hono<Entered>()
  const visits = new Visits()
  options.follow((evidence) => visits.hear(evidence))
  const sparing = new Sparing(() => performance.now())
  let watchers = 0

  const show = (
    c: Context<Entered>,
    here: string,
    title: string,
    body: Html | Html[],
    status: 200 | 401 | 404 | 429 = 200,
  ) => {
    const visitor = c.get('visitor')
    const root = '../'.repeat(c.req.path.split('/').length - 2) || './'
    const theme =
      getCookie(c, 'decoymx_theme') === 'dark' ? 'dark' : getCookie(c, 'decoymx_theme') === 'light' ? 'light' : ''
    c.header('content-security-policy', POLICY)
    c.header('cache-control', 'no-store')
    return c.html(page({ title, root, here, visitor, proof: visitor?.proof, theme }, body), status)
  }
  /** A page for whoever may read; the others are led to the door. */
  const reader = (path: string, handle: (c: Context<Entered>) => Response | Promise<Response>) =>
    app.get(path, (c) => {
      if (c.get('visitor')) return handle(c)
      return c.redirect(path.split('/').length > 2 ? '../login' : './login')
    })

  reader('/', async (c) => {
    const filter = { ...asked(c, 'role'), verdict: (c.req.query('verdict') ?? '').slice(0, 10) }
    const verdictOf = (client: Client) => options.decide(client).verdict
    // Asked once: it counts what may be a million decisions.
    const health = options.status()
    const live = {
      visits: visits.newest(),
      guests: options.here.guests(),
      here: options.here.inAll(),
      tiles: tiles(health, await options.wastedMs()),
      now: now(),
    }
    return show(c, '', 'Live', livePage(live, filter, verdictOf, c.get('visitor')))
  })
  reader('/clients/:ip', async (c) => {
    const client = parseClient(c.req.param('ip') ?? '')
    if (!client) return nowhere(c, 'That is no IP address.')
    const known = await reputation.explain(client)
    const met = {
      visits: visits.newest().filter((visit) => visit.client === client.ip),
      here: await options.here.ofClient(client),
    }
    return show(
      c,
      `clients/${client.ip}`,
      client.ip,
      clientPage(client, known, met, options.rules().file, c.get('visitor'), now()),
    )
  })
  reader('/decisions', (c) => {
    const { decide } = options
    const filter = asked(c, 'word')
    const newest = sparing.get(`decisions ${filter.choice} ${filter.q}`, wantsAnew(c), () => {
      const ruleOf = new Map(options.rules().list.map(({ because, name }) => [because, name]))
      return reputation.newest(searchFor(filter, ruleOf), ROWS_MAX)
    })
    const waiting = reputation.waiting()
    const body = decisionsPage({ newest, waiting, decide, filter, visitor: c.get('visitor'), now: now() })
    return show(c, 'decisions', 'Decisions', body)
  })
  reader('/rules', (c) => {
    const { rules, editing } = options
    const file = editing.file()
    const standing = sparing.get(`rules ${file.inUse}`, wantsAnew(c), () => reputation.reasons(rules().allow))
    const body = rulesPage(rules(), standing, file, c.get('visitor'))
    return show(c, 'rules', 'Rules', body)
  })
  reader('/health', (c) =>
    show(c, 'health', 'Health', healthPage(options.status(), options.unready(), options.remarks())),
  )
  reader('/find', (c) => {
    const q = (c.req.query('q') ?? '').trim().slice(0, 64)
    const ruling = reputation.ofTicket(q)?.ruling
    const prefix = ruling && parsePrefix(ruling.target)
    const found = parseClient(q) ?? (prefix && typeof prefix !== 'string' ? clientOfKey(prefix.cidr) : undefined)
    return found
      ? c.redirect(`./clients/${found.ip}`)
      : nowhere(c, `Nothing is known by the name "${q}": an IP address or a ticket is.`)
  })
  const nowhere = (c: Context<Entered>, sentence: string) => show(c, 'none', 'Not found', notFound(sentence), 404)

  app.get('/assets/:name', (c) => {
    const asset = ASSETS.get(c.req.param('name'))
    if (!asset) return c.json({ error: 'there is no such file' }, 404)
    return c.body(asset.text, 200, { 'content-type': asset.type, 'cache-control': 'no-cache' })
  })
  app.get('/ticks', (c) => {
    if (!c.get('visitor')) return c.json({ error: 'who are you?' }, 401)
    if (watchers >= WATCHERS_MAX) return c.json({ error: `${WATCHERS_MAX} watch already` }, 503)
    watchers++
    return streamSSE(c, async (stream) => {
      try {
        let [seen, ruled] = [visits.heard, options.rules()]
        // At once, for something may have come since the page was made.
        for (let quiet = BEAT_TICKS; !stream.aborted && !stream.closed; quiet++) {
          if (visits.heard !== seen || options.rules() !== ruled || quiet >= BEAT_TICKS) {
            seen = visits.heard
            ruled = options.rules()
            quiet = 0
            await stream.writeSSE({ event: 'tick', data: String(seen) })
          }
          await stream.sleep(TICK_MS)
        }
      } finally {
        watchers--
      }
    })
  })

  app.get('/login', (c) => {
    const code = c.req.query('code')
    if (code === undefined) return show(c, 'login', 'Log in', loginPage(undefined))
    const cookie = sessions.redeem(code.slice(0, 100))
    if (!cookie)
      return show(c, 'login', 'Log in', loginPage('This link was used, or is too old: ask for another.'), 401)
    return enterWith(c, cookie)
  })
  app.post('/login', async (c) => {
    const form = await c.req.parseBody()
    const [name, password] = [form['name'], form['password']]
    if (typeof name !== 'string' || typeof password !== 'string' || password.length > 1000)
      return show(c, 'login', 'Log in', loginPage('A name and a password are wanted.'), 401)
    const outcome = await sessions.logIn(name, password, networkOf(c))
    if (outcome.is === 'in') return enterWith(c, outcome.cookie)
    if (outcome.is === 'wrong') return show(c, 'login', 'Log in', loginPage('Name or password is wrong.'), 401)
    c.header('retry-after', String(outcome.seconds))
    return show(c, 'login', 'Log in', loginPage(`Too many tries: again in ${outcome.seconds} s.`), 429)
  })
  app.post('/logout', (c) => {
    sessions.end(c.req.header('cookie') ?? '')
    return c.redirect('./login', 303)
  })
  return { app, lost: (c) => nowhere(c, `There is no page at ${c.req.path.slice(0, 100)}.`) }
}

/** Our own page after a click, or a person who loads it anew. */
function wantsAnew(c: Context): boolean {
  return /no-cache|max-age=0/.test(c.req.header('cache-control') ?? '')
}

function asked(c: Context, choice: string): Filter {
  return { q: (c.req.query('q') ?? '').slice(0, 100), choice: (c.req.query(choice) ?? '').slice(0, 20) }
}

/** Without a path the cookie is for the folder of the page that set it: below a proxy's sub-path, for that alone. */
function enterWith(c: Context, cookie: string): Response {
  const secure = c.req.header('x-forwarded-proto') === 'https' ? '; Secure' : ''
  c.header('set-cookie', `${cookie}; HttpOnly; SameSite=Strict${secure}`)
  return c.redirect('./', 303)
}

function tiles({ held, mode, reputation }: Health, wastedMs: number): Tiles {
  const { rules, operator, overruled } = reputation.rulings
  return [
    {
      name: 'Held now',
      value: String(held.primary + held.backup),
      note: `${held.primary} primary, ${held.backup} backup`,
    },
    {
      name: 'Their time wasted',
      value: span(wastedMs),
      note: 'since the start',
    },
    {
      name: 'Blocked',
      value: String(rules.block + operator.block),
      note: mode === 'enforce' ? 'refused at the real MX' : 'observed, not refused',
    },
    { name: 'Deferred', value: String(rules.defer), note: 'told to come later' },
    {
      name: 'Allowed',
      value: String(operator.allow),
      note: overruled > 0 ? `${overruled} whom the rules would list` : "by an operator's word",
    },
  ]
}

function notFound(sentence: string): Html {
  return html`<h1>Not here</h1>
    <p>${sentence}</p>
    <p><a href="./">To who came lately</a></p>`
}
