/**
 * Whose an address is, by its reverse name: the name must lead back to the address, and must belong to an organisation that
 * is known (a pool's). Anybody can write any name at the address's end; only the organisation can write the other.
 *
 * DNS is asked only about a client that is about to be listed, once, in the background; whoever wants to know is told when
 * the answer is there. Two tries that come to nothing are an answer, too: nobody knows whose it is. So what a name server
 * of a stranger can gain by being slow is half a minute.
 */
import type { Resolver } from 'node:dns/promises'
import ipaddr from 'ipaddr.js'
import { LRUCache } from 'lru-cache'
import { getDomain } from 'tldts'
import { type Client, parseClient } from '../core/client.ts'
import type { Instant } from '../core/evidence.ts'
import type { Member, Membership, Pool } from '../core/pools.ts'

/** Not `reverse`: it also reads the hosts file, and takes a server's failure for a name that does not exist. */
export type ReverseDns = Pick<Resolver, 'resolvePtr' | 'resolve4' | 'resolve6'>

export type ReverseOptions = {
  readonly dns: ReverseDns
  readonly pools: () => readonly Pool[]
  readonly now: () => Instant
  /** It is known now whose this client is, or that nobody knows. */
  readonly answered: (client: Client, outcome: 'member' | 'stranger' | 'failed') => void
  readonly retryMs?: number
}

/** Clients that are remembered, and for how long. */
const KNOWN_MAX = 100_000
const MEMBER_MS = 7 * 86_400_000
const STRANGER_MS = 86_400_000
const FAILED_MS = 3_600_000
/** Questions at once, and clients that wait for their turn or for their second try; others come again with their next evidence. */
const AT_ONCE = 16
export const WAITING_MAX = 2000
const TRIES = 2
const RETRY_MS = 20_000
/** Names of one address that are looked at, and addresses of one name. */
const NAMES_MAX = 8
const ADDRESSES_MAX = 64

type Known = { readonly member: Membership | undefined }

export class ReverseNames {
  readonly #options: ReverseOptions
  readonly #known = new LRUCache<string, Known>({ max: KNOWN_MAX })
  /** By `Client.key`: those that wait or are asked about, and how often they were. */
  readonly #open = new Map<string, number>()
  readonly #queue: Client[] = []
  readonly #timers = new Set<NodeJS.Timeout>()
  #asking = 0
  #closed = false

  constructor(options: ReverseOptions) {
    this.#options = options
  }

  memberOf(client: Client): Member {
    if (!this.#options.pools().some(({ names }) => names.length > 0)) return undefined
    const known = this.#known.get(client.key)
    return known ? known.member : 'unknown'
  }

  /** Asks DNS, unless that is under way, or too many wait. */
  ask(client: Client): void {
    if (this.#closed || this.#open.has(client.key) || this.#open.size >= WAITING_MAX) return
    this.#open.set(client.key, 0)
    this.#queue.push(client)
    this.#next()
  }

  /** The pools are others now: what was concluded from the old ones is void. */
  forget(): void {
    this.#known.clear()
  }

  close(): void {
    this.#closed = true
    for (const timer of this.#timers) clearTimeout(timer)
    this.#queue.length = 0
  }

  #next(): void {
    while (this.#asking < AT_ONCE && !this.#closed) {
      const client = this.#queue.shift()
      if (!client) return
      this.#asking++
      void this.#look(client).finally(() => {
        this.#asking--
        this.#next()
      })
    }
  }

  async #look(client: Client): Promise<void> {
    const found = await organisationOf(client, this.#options)
    if (this.#closed) return
    const tries = (this.#open.get(client.key) ?? 0) + 1
    if (found === 'failed' && tries < TRIES) {
      this.#open.set(client.key, tries)
      const timer = setTimeout(() => {
        this.#timers.delete(timer)
        this.#queue.push(client)
        this.#next()
      }, this.#options.retryMs ?? RETRY_MS)
      this.#timers.add(timer)
      return
    }
    this.#open.delete(client.key)
    const outcome = found === 'failed' ? 'failed' : found === undefined ? 'stranger' : 'member'
    const ttl = { member: MEMBER_MS, stranger: STRANGER_MS, failed: FAILED_MS }[outcome]
    this.#known.set(client.key, { member: typeof found === 'object' ? found : undefined }, { ttl })
    this.#options.answered(client, outcome)
  }
}

/** The pool to which a name of this client leads, and back; `failed`: DNS did not say. */
async function organisationOf(
  client: Client,
  { dns, pools, now }: ReverseOptions,
): Promise<Membership | 'failed' | undefined> {
  const names = await asked(dns.resolvePtr(pointerOf(client)))
  if (names === 'failed') return 'failed'
  let failed = false
  for (const name of names.slice(0, NAMES_MAX)) {
    const pool = poolOf(name, pools())
    if (!pool) continue
    const back = await asked(client.family === 4 ? dns.resolve4(name) : dns.resolve6(name))
    if (back === 'failed') failed = true
    else if (back.slice(0, ADDRESSES_MAX).some((address) => parseClient(address)?.key === client.key))
      return { pool: pool.name, found: 'fcrdns', at: now() }
  }
  return failed ? 'failed' : undefined
}

/**
 * The pool whose name this host has. A hoster gives names below its own domain to its customers' machines; such suffixes
 * (the private part of the public suffix list) are not the hoster's own name.
 */
export function poolOf(host: string, pools: readonly Pool[]): Pool | undefined {
  const name = host.toLowerCase().replace(/\.$/, '')
  const organisation = ownerOf(name)
  if (!organisation) return undefined
  return pools.find(({ names }) =>
    names.some((own) => (name === own || name.endsWith(`.${own}`)) && ownerOf(own) === organisation),
  )
}

/** The name at which the reverse names of an address are kept. */
function pointerOf({ ip, family }: Client): string {
  const bytes = ipaddr.parse(ip).toByteArray()
  if (family === 4) return `${bytes.toReversed().join('.')}.in-addr.arpa`
  const digits = bytes.flatMap((byte) => [byte >> 4, byte & 15]).map((digit) => digit.toString(16))
  return `${digits.toReversed().join('.')}.ip6.arpa`
}

function ownerOf(name: string): string | null {
  return getDomain(name, { allowPrivateDomains: true })
}

async function asked(asking: Promise<string[]>): Promise<string[] | 'failed'> {
  try {
    return await asking
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException
    return code === 'ENODATA' || code === 'ENOTFOUND' ? [] : 'failed'
  }
}
