/**
 * Who may come in over HTTP: tokens, sessions, near addresses; and no other site's page.
 *
 * A request is somebody's by its token or its session. Without either it is a reader's if it comes straight from an address
 * in `readers`: loopback, by default, so that `curl` on the host itself needs nothing. Straight means not through a proxy (a
 * proxy on this host would make the whole world near), and by an address or localhost, so that a web page cannot reach us by a
 * name of its own that resolves to loopback. Nobody writes without a token or a session. A bad token is refused even where
 * none would be needed: whoever sends one wants to know.
 *
 * What a page of another site sends is refused by what browsers say of it (Sec-Fetch-Site, else Origin): a link to a page is
 * all that another site may give. W3C Fetch Metadata; OWASP CSRF prevention.
 */
import { createHash } from 'node:crypto'
import { isIP } from 'node:net'
import { getConnInfo } from '@hono/node-server/conninfo'
import type { Context, MiddlewareHandler } from 'hono'
import { parseClient } from '../core/client.ts'
import type { Instant } from '../core/evidence.ts'
import type { Prefixes } from '../core/prefixes.ts'
import type { Rights, Visitor } from '../core/rights.ts'

export type Token = {
  readonly name: string
  readonly rights: Rights
  /** SHA-256 of the token in hexadecimal: tokens are made by us and long, so that a plain digest keeps them. */
  readonly sha256: string
  readonly until: Instant | undefined
}

export type EntryOptions = {
  readonly tokens: () => readonly Token[]
  /** The visitor of this cookie header. */
  readonly session: (cookies: string) => Visitor | undefined
  /** Who may read without a token; and who may see how we are (/metrics, /healthz, /readyz). */
  readonly readers: Prefixes<true>
  readonly scrapers: Prefixes<true>
  readonly now: () => Instant
}

/** What the handlers behind it find in their context. */
export type Entered = { Variables: { visitor: Visitor | undefined; scraper: boolean } }

/** Finds out who it is, and turns away what another site's page sends and who has a token that is none. */
export function entry(options: EntryOptions): MiddlewareHandler<Entered> {
  return async (c, next) => {
    if (isFromElsewhere(c))
      return c.json(
        {
          error: 'a page of another site sent this',
          hint: 'open the console itself, or use a token outside a browser',
        },
        403,
      )
    const authorization = c.req.header('authorization')
    if (authorization !== undefined) {
      const visitor = ofToken(authorization, options)
      if (!visitor) {
        c.header('www-authenticate', 'Bearer error="invalid_token"')
        return c.json({ error: 'this token is not known here, or has ended', hint: 'expected: Bearer TOKEN' }, 401)
      }
      c.set('visitor', visitor)
    } else c.set('visitor', options.session(c.req.header('cookie') ?? '') ?? nearby(c, options))
    c.set('scraper', isIn(options.scrapers, c))
    await next()
    return undefined
  }
}

/** Everybody who comes is this one: the socket's folder says who can. */
export function entryOf(visitor: Visitor): MiddlewareHandler<Entered> {
  return async (c, next) => {
    c.set('visitor', visitor)
    c.set('scraper', true)
    await next()
  }
}

/** Why this visitor may not, as an answer; undefined when it may. */
export function refusal(c: Context<Entered>, rights: 'scraper' | Rights): Response | undefined {
  const visitor = c.get('visitor')
  if (visitor?.by === 'session' && rights === 'operator' && c.req.header('x-decoymx-proof') !== visitor.proof)
    return c.json({ error: 'this was not sent by a page of the console', hint: 'load the page anew' }, 403)
  if (visitor && (visitor.rights === 'operator' || rights !== 'operator')) return undefined
  if (rights === 'scraper' && c.get('scraper')) return undefined
  if (visitor && visitor.by !== 'nearby')
    return c.json({ error: `${visitor.name} may read, and this wants an operator` }, 403)
  c.header('www-authenticate', 'Bearer')
  return c.json({ error: visitor ? 'reading needs no token here, this does' : 'who are you?', hint: TOKEN_HINT }, 401)
}

const TOKEN_HINT = 'send Authorization: Bearer TOKEN (decoymx token makes one), or log in to the console'

function ofToken(authorization: string, { tokens, now }: EntryOptions): Visitor | undefined {
  const given = /^Bearer +([\x21-\x7e]{1,200})$/i.exec(authorization)?.[1]
  if (given === undefined) return undefined
  const digest = createHash('sha256').update(given).digest('hex')
  const found = tokens().find(({ sha256, until }) => sha256 === digest && (until ?? Infinity) > now())
  return found && { name: found.name, rights: found.rights, by: 'token' }
}

function nearby(c: Context, { readers }: EntryOptions): Visitor | undefined {
  if (!isIn(readers, c) || !isNamedPlainly(c.req.header('host') ?? '')) return undefined
  return { name: 'somebody near', rights: 'viewer', by: 'nearby' }
}

function isIn(prefixes: Prefixes<true>, c: Context): boolean {
  if (PROXIED.some((name) => c.req.header(name) !== undefined)) return false
  const client = parseClient(addressOf(c) ?? '')
  return client !== undefined && prefixes.find(client) === true
}

const PROXIED = ['forwarded', 'via', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'x-real-ip']

/** Of whoever holds the other end of the connection; undefined where there is none, as on a Unix socket. */
export function addressOf(c: Context): string | undefined {
  return (c.env as { incoming?: unknown } | undefined)?.incoming ? getConnInfo(c).remote.address : undefined
}

/** By an address, or as localhost: names of others can be made to lead here. */
function isNamedPlainly(host: string): boolean {
  const name = host.replace(/:\d+$/, '').replace(/^\[|\]$/g, '')
  return isIP(name) !== 0 || name === 'localhost' || name.endsWith('.localhost')
}

function isFromElsewhere(c: Context): boolean {
  const site = c.req.header('sec-fetch-site')
  const reads = c.req.method === 'GET' || c.req.method === 'HEAD'
  if (site !== undefined)
    return (
      site !== 'same-origin' &&
      site !== 'none' &&
      !(reads && c.req.header('sec-fetch-mode') === 'navigate' && !c.req.path.startsWith('/api/'))
    )
  const origin = c.req.header('origin')
  if (origin === undefined) return false
  return !URL.canParse(origin) || new URL(origin).host !== c.req.header('host')
}
