/**
 * Who is logged in to the console: by a password, or by a link that whoever holds the socket in the state directory can have.
 *
 * A session is a random name in a cookie that no script reads and no other site's request carries; here stands only its
 * digest. Sessions end with the appliance, after a day without use, or after a week. A link works once, within minutes.
 * Passwords are kept as scrypt digests (RFC 7914) and compared in constant time, as long for a name that nobody has; each network has a few
 * tries, and few are computed at once, for each costs memory and time.
 */
import { createHash, randomBytes, scrypt, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import { LRUCache } from 'lru-cache'
import type { Instant } from '../core/evidence.ts'
import type { Rights, Visitor } from '../core/rights.ts'

/** `password`: in PHC form, `$scrypt$ln=15,r=8,p=1$SALT$HASH` with base64 without padding. */
export type Account = { readonly name: string; readonly rights: Rights; readonly password: string }

export type Session = Visitor & {
  readonly by: 'session'
  /** What its pages send along with each word, so that nothing but its pages can. */
  readonly proof: string
}

export type LogIn =
  | { readonly is: 'in'; readonly cookie: string }
  | { readonly is: 'wrong' }
  | { readonly is: 'later'; readonly seconds: number }

const COOKIE = 'decoymx_session'

const SESSIONS_MAX = 1000
const IDLE_MS = 24 * 3_600_000
const LIFE_MS = 7 * IDLE_MS
const LINKS_MAX = 100
const LINK_MS = 10 * 60_000
/** Wrong passwords of one network within TRIES_MS, after which it waits. */
const TRIES_MAX = 10
const TRIES_MS = 15 * 60_000
const TRIERS_MAX = 10_000
/** Passwords that are looked at, at once; each takes 32 MiB. */
const AT_ONCE_MAX = 2

const COST = { ln: 15, r: 8, p: 1 } as const
const KEY_BYTES = 32
const PHC = /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{11,64})\$([A-Za-z0-9+/]{22,128})$/

type Kept = { readonly session: Session; readonly since: Instant; used: Instant }
type Tried = { count: number; readonly since: Instant }

export class Sessions {
  readonly #accounts: () => readonly Account[]
  readonly #now: () => Instant
  readonly #sessions: LRUCache<string, Kept>
  readonly #links: LRUCache<string, { readonly rights: Rights; readonly at: Instant }>
  readonly #tries = new LRUCache<string, Tried>({ max: TRIERS_MAX })
  #atOnce = 0

  constructor(accounts: () => readonly Account[], now: () => Instant) {
    this.#accounts = accounts
    this.#now = now
    this.#sessions = new LRUCache({ max: SESSIONS_MAX })
    this.#links = new LRUCache({ max: LINKS_MAX })
  }

  /** The session that this cookie header names, if it has not ended. */
  of(cookies: string): Session | undefined {
    const id = cookieIn(cookies)
    const kept = id === undefined ? undefined : this.#sessions.get(digestOf(id))
    if (!kept) return undefined
    const now = this.#now()
    if (now - kept.since > LIFE_MS || now - kept.used > IDLE_MS || !this.#stillHas(kept.session)) {
      this.end(cookies)
      return undefined
    }
    kept.used = now
    return kept.session
  }

  /** @param network - where the request comes from, as far as that is known; tries are counted by it */
  async logIn(name: string, password: string, network: string): Promise<LogIn> {
    const now = this.#now()
    const tried = this.#tries.get(network)
    if (tried && now - tried.since > TRIES_MS) this.#tries.delete(network)
    else if (tried && tried.count >= TRIES_MAX)
      return { is: 'later', seconds: Math.ceil((tried.since + TRIES_MS - now) / 1000) }
    if (this.#atOnce >= AT_ONCE_MAX) return { is: 'later', seconds: 1 }
    // Counted before it is looked at, so that many at once are not one.
    const mine = this.#tries.get(network) ?? { count: 0, since: now }
    mine.count++
    this.#tries.set(network, mine)
    this.#atOnce++
    try {
      const account = this.#accounts().find((each) => each.name === name)
      const right = await isPassword(password, account?.password ?? NOBODYS)
      if (!account || !right) return { is: 'wrong' }
      this.#tries.delete(network)
      return { is: 'in', cookie: this.#begin({ name: account.name, rights: account.rights }) }
    } finally {
      this.#atOnce--
    }
  }

  /** A code that logs in once, within LINK_MS. */
  link(rights: Rights): string {
    const code = randomBytes(18).toString('base64url')
    this.#links.set(digestOf(code), { rights, at: this.#now() })
    return code
  }

  /** The cookie of a new session; undefined when the code is used, too old, or none. */
  redeem(code: string): string | undefined {
    const link = this.#links.get(digestOf(code))
    this.#links.delete(digestOf(code))
    if (!link || this.#now() - link.at > LINK_MS) return undefined
    return this.#begin({ name: `console (${link.rights})`, rights: link.rights })
  }

  end(cookies: string): void {
    const id = cookieIn(cookies)
    if (id !== undefined) this.#sessions.delete(digestOf(id))
  }

  #begin({ name, rights }: { name: string; rights: Rights }): string {
    const id = randomBytes(32).toString('base64url')
    const session: Session = { name, rights, by: 'session', proof: randomBytes(18).toString('base64url') }
    this.#sessions.set(digestOf(id), { session, since: this.#now(), used: this.#now() })
    return `${COOKIE}=${id}`
  }

  /** An account that is gone, or has other rights now, has no session; whoever came by a link has none to lose. */
  #stillHas({ name, rights }: Session): boolean {
    if (name === `console (${rights})`) return true
    return this.#accounts().some((account) => account.name === name && account.rights === rights)
  }
}

/** A password as the access file keeps it. */
export async function digestOfPassword(password: string): Promise<string> {
  const salt = randomBytes(16)
  const key = await derive(password, salt, COST)
  const { ln, r, p } = COST
  return `$scrypt$ln=${ln},r=${r},p=${p}$${unpadded(salt)}$${unpadded(key)}`
}

export function isPasswordDigest(text: string): boolean {
  const [, ln, r, p] = PHC.exec(text) ?? []
  return ln !== undefined && Number(ln) >= 10 && Number(ln) <= 17 && Number(r) <= 16 && Number(p) >= 1 && Number(p) <= 4
}

/** Nobody's: compared with where there is no such account, so that it takes as long. */
const NOBODYS = `$scrypt$ln=${COST.ln},r=${COST.r},p=${COST.p}$${'A'.repeat(22)}$${'A'.repeat(43)}`

async function isPassword(password: string, digest: string): Promise<boolean> {
  const [, ln, r, p, salt = '', hash = ''] = PHC.exec(digest) ?? []
  const wanted = Buffer.from(hash, 'base64')
  const cost = { ln: Number(ln), r: Number(r), p: Number(p) }
  const key = await derive(password, Buffer.from(salt, 'base64'), cost, wanted.length)
  return timingSafeEqual(key, wanted)
}

const scryptAsync = promisify<string, Buffer, number, object, Buffer>(scrypt)

function derive(
  password: string,
  salt: Buffer,
  { ln, r, p }: { ln: number; r: number; p: number },
  bytes = KEY_BYTES,
): Promise<Buffer> {
  const N = 2 ** ln
  return scryptAsync(password.normalize('NFKC'), salt, bytes, { N, r, p, maxmem: 160 * N * r })
}

function unpadded(bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '')
}

function digestOf(secret: string): string {
  return createHash('sha256').update(secret).digest('base64')
}

function cookieIn(header: string): string | undefined {
  return new RegExp(`(?:^|;\\s*)${COOKIE}=([A-Za-z0-9_-]{43})(?:;|$)`).exec(header)?.[1]
}
