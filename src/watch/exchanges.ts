/**
 * The real MXs that DNS names: of the domains we protect every exchange that is no decoy of ours, asked again and again.
 *
 * A decoy is known by its name or by its addresses; behind a load balancer only the name tells. What DNS does not say for
 * the moment stays as it was last said: a name server that is away is no reason to forget an MX.
 */
import { Resolver } from 'node:dns/promises'
import type { Address } from './greeting.ts'

/** One real MX: senders try its addresses in turn, so it is up when one of them is. */
export type Exchange = { readonly name: string; readonly addresses: readonly Address[] }

/** The MX records of one domain, as senders read them. */
export type DomainLayout = {
  readonly domain: string
  readonly mx: readonly { readonly preference: number; readonly name: string; readonly decoy: boolean }[]
}

export type ExchangesOptions = {
  readonly domains: () => readonly string[]
  /** Name servers, as `192.0.2.53:53`; none: those of the system. */
  readonly servers: readonly string[]
  readonly port: number
  /** Is this host name, or this address, one of our decoys? */
  readonly ours: (hostOrAddress: string) => boolean
  readonly everyMs: number
  /** What DNS says has changed, or could not be asked. */
  readonly found: (exchanges: readonly Exchange[], ofDecoys: readonly string[]) => void
  readonly trouble: (domain: string, error: string) => void
}

/** Most domains that are asked about, and most real MXs that are watched; more are few people's, and say so. */
const DOMAINS_MAX = 200
export const EXCHANGES_MAX = 32
/** One query, with its repetitions, takes at most about twice as long. */
const QUERY = { timeout: 2000, tries: 2 }
/** DNS says that there is no such record, rather than nothing. */
const NONE = new Set(['ENODATA', 'ENOTFOUND'])

export class Exchanges {
  readonly #options: ExchangesOptions
  readonly #resolver = new Resolver(QUERY)
  readonly #ofDomain = new Map<string, Answer>()
  #list: readonly Exchange[] = []
  #said = ''
  #timer: NodeJS.Timeout | undefined
  #asking: Promise<void> | undefined
  #closed = false

  constructor(options: ExchangesOptions) {
    this.#options = options
    if (options.servers.length > 0) this.#resolver.setServers(options.servers)
  }

  get list(): readonly Exchange[] {
    return this.#list
  }

  get layouts(): readonly DomainLayout[] {
    return [...this.#ofDomain].map(([domain, { mx }]) => ({ domain, mx }))
  }

  /** Asks now, and from then on every `everyMs`. */
  start(): Promise<void> {
    return (this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined
      if (!this.#closed) this.#timer = setTimeout(() => void this.start(), this.#options.everyMs)
    }))
  }

  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    this.#resolver.cancel()
    await this.#asking
  }

  async #ask(): Promise<void> {
    const { found, trouble, domains } = this.#options
    const all = domains()
    const asked = all.slice(0, DOMAINS_MAX)
    if (all.length > asked.length)
      trouble(asked.at(-1) as string, `only the first ${DOMAINS_MAX} domains are asked about`)
    for (const domain of this.#ofDomain.keys()) if (!asked.includes(domain)) this.#ofDomain.delete(domain)
    for (const domain of asked) {
      try {
        this.#ofDomain.set(domain, await this.#exchangesOf(domain))
      } catch (error) {
        if (this.#closed) return
        trouble(domain, (error as Error).message)
      }
    }
    const answers = [...this.#ofDomain.values()]
    const byName = new Map(answers.flatMap(({ exchanges }) => exchanges).map((each) => [each.name, each]))
    const list = [...byName.values()].toSorted((a, b) => a.name.localeCompare(b.name)).slice(0, EXCHANGES_MAX)
    if (byName.size > list.length)
      trouble(list.at(-1)?.name ?? '', `only ${EXCHANGES_MAX} of ${byName.size} MXs are watched`)
    const ofDecoys = [...new Set(answers.flatMap((answer) => answer.ofDecoys))].toSorted()
    const said = JSON.stringify([list, ofDecoys])
    const changed = said !== this.#said
    this.#said = said
    this.#list = list
    if (changed) found(list, ofDecoys)
  }

  async #exchangesOf(domain: string): Promise<Answer> {
    const records = await none(this.#resolver.resolveMx(domain))
    // Without an MX record the domain's own address takes its mail; a null MX (RFC 7505) says that nobody does.
    const named = (records.length > 0 ? records : [{ priority: 0, exchange: domain }])
      .map(({ priority, exchange }) => ({ preference: priority, name: exchange.toLowerCase().replace(/\.$/, '') }))
      .filter(({ name }) => name !== '')
    const hosts = new Set(named.map(({ name }) => name))
    const decoys = new Set<string>()
    const exchanges: Exchange[] = []
    const ofDecoys: string[] = []
    for (const name of hosts) {
      const [four, six] = await Promise.all([none(this.#resolver.resolve4(name)), none(this.#resolver.resolve6(name))])
      const all = [...four, ...six]
      const isDecoy = this.#options.ours(name)
      const addresses = isDecoy ? [] : all.filter((address) => !this.#options.ours(address))
      ofDecoys.push(...all.filter((address) => !addresses.includes(address)))
      if (isDecoy || (addresses.length === 0 && all.length > 0)) {
        decoys.add(name)
        continue
      }
      // A name without any address stays in the list: senders cannot reach it, and the operator shall see that.
      exchanges.push({ name, addresses: addresses.map((host) => ({ host, port: this.#options.port })) })
    }
    const mx = named
      .toSorted((a, b) => a.preference - b.preference)
      .map(({ preference, name }) => ({ preference, name, decoy: decoys.has(name) }))
    return { exchanges, ofDecoys, mx }
  }
}

/** What DNS said of one domain: its real MXs, and the addresses that its decoys have there. */
type Answer = {
  readonly exchanges: readonly Exchange[]
  readonly ofDecoys: readonly string[]
  readonly mx: DomainLayout['mx']
}

/** The records, or an empty list where DNS says that there are none. */
async function none<Item>(asking: Promise<Item[]>): Promise<Item[]> {
  try {
    return await asking
  } catch (error) {
    if (NONE.has((error as NodeJS.ErrnoException).code ?? '')) return []
    throw error
  }
}
