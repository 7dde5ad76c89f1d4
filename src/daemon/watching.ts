/**
 * How the house watches the real MXs: from the settings, or from DNS; what that is worth now, in words and for machines.
 *
 * Where the witness finds real MXs, and where DNS tells of our decoys' public addresses, those are never listed.
 */
import { networkInterfaces } from 'node:os'
import type { Probe, Witness } from '../core/evidence.ts'
import type { Never } from '../core/never.ts'
import { type Prefix, prefixOfAddress } from '../core/prefixes.ts'
import { type DomainLayout, type Exchange, Exchanges } from '../watch/exchanges.ts'
import type { Looks } from '../watch/greeting.ts'
import { RealMx } from '../watch/real-mx.ts'
import { type Address, spellAddress } from '../settings/places.ts'
import { type Settings } from '../settings/settings.ts'

export type WatchingOptions = {
  readonly settings: Settings
  readonly domains: () => readonly string[]
  readonly never: Never
  readonly report: Witness
  readonly now: () => number
  readonly tell: (it: WatchHappening) => void
}

export type WatchHappening =
  /** One real MX, or all of them taken together, is not as it was. */
  | {
      readonly what: 'changed'
      readonly mx: string | undefined
      readonly outcome: Probe['outcome']
      readonly because: string
    }
  | { readonly what: 'found'; readonly names: readonly string[] }
  | { readonly what: 'dns'; readonly domain: string; readonly error: string }

/** What `status` tells of the real MXs; instants are ISO 8601, UTC. */
export type RealMxView = {
  readonly outcome: Probe['outcome']
  readonly since: string
  readonly lookedAt: string
  /** None takes mail: the backup says 421 at once. */
  readonly outage: boolean
  readonly mxs: readonly {
    readonly name: string
    readonly outcome: Probe['outcome']
    readonly because: string
    readonly since: string
    readonly lookedAt: string
    readonly banner: string | null
  }[]
}

/** Doors do not wait longer for a name server, or a real MX, that is slow. */
const START_MS = 3000
/** DNS is asked this often for the real MXs: about as long as MX records are usually kept. */
const DNS_EVERY_MS = 5 * 60_000

/** What is known of the real MXs by greeting them; undefined where nobody is to be greeted. */
export function watchRealMx(options: WatchingOptions): RealMxWatch | undefined {
  const { greet, discover } = options.settings['real-mx']
  return greet.length > 0 || discover ? new RealMxWatch(options) : undefined
}

export class RealMxWatch {
  readonly #options: WatchingOptions
  readonly #realMx: RealMx
  readonly #exchanges: Exchanges | undefined
  #askedAt: number | undefined

  constructor(options: WatchingOptions) {
    this.#options = options
    const { settings, domains, report, now, tell } = options
    const { greet, discover, resolver, every } = settings['real-mx']
    const named = greet.map((address): Exchange => ({ name: spellAddress(address), addresses: [address] }))
    this.#protect(named, [])
    const names = new Set([settings.decoys.primary.name, settings.decoys.backup.name].map(lower))
    const decoys = decoyPrefixes(settings).map(({ cidr }) => cidr)
    this.#exchanges = discover
      ? new Exchanges({
          domains,
          servers: resolver.map(spellAddress),
          port: 25,
          ours: (host) => names.has(lower(host)) || decoys.includes(prefixOfAddress(host)?.cidr ?? ''),
          everyMs: DNS_EVERY_MS,
          found: (exchanges, ofDecoys) => {
            this.#protect([...named, ...exchanges], ofDecoys)
            tell({ what: 'found', names: exchanges.map(({ name }) => name) })
          },
          trouble: (domain, error) => tell({ what: 'dns', domain, error }),
        })
      : undefined
    this.#realMx = new RealMx({
      exchanges: () => [...named, ...(this.#exchanges?.list ?? [])],
      everyMs: every,
      now,
      random: Math.random,
      askedAt: () => this.#askedAt,
      report,
      changed: (it) => tell({ what: 'changed', ...it }),
    })
  }

  /** Whether no real MX takes mail now. */
  get outage(): boolean {
    return this.#realMx.outage
  }

  /** How a real MX speaks, for a tarpit that shall look like it. */
  get looks(): Looks | undefined {
    return this.#realMx.looks
  }

  /** Asks DNS, then looks once; settles when that is done, or goes on beside everything else after START_MS. */
  async start(): Promise<void> {
    const late = Promise.withResolvers<void>()
    const timer = setTimeout(late.resolve, START_MS)
    const first = async () => {
      await this.#exchanges?.start()
      await this.#realMx.start()
    }
    await Promise.race([first(), late.promise])
    clearTimeout(timer)
  }

  nudge(): void {
    this.#realMx.nudge()
  }

  /** The real MX has asked about a client. */
  asked(): void {
    this.#askedAt = this.#options.now()
  }

  view(): RealMxView | null {
    const { found, outage, states } = this.#realMx
    if (!found) return null
    const iso = (at: number) => new Date(at).toISOString()
    return {
      outcome: found.outcome,
      since: iso(found.since),
      lookedAt: iso(found.lookedAt),
      outage,
      mxs: states.map(({ name, outcome, because, since, lookedAt, looks }) => ({
        name,
        outcome,
        because,
        since: iso(since),
        lookedAt: iso(lookedAt),
        banner: looks?.banner ?? null,
      })),
    }
  }

  layouts(): readonly DomainLayout[] {
    return this.#exchanges?.layouts ?? []
  }

  sentence(): string {
    const { greet, discover } = this.#options.settings['real-mx']
    const found = this.#exchanges?.list.map(({ name }) => name) ?? []
    const parts = [
      ...(greet.length > 0 ? [`greets ${greet.map(spellAddress).join(', ')}`] : []),
      ...(discover ? [found.length > 0 ? `found in DNS ${found.join(', ')}` : 'found no real MX in DNS yet'] : []),
    ]
    return parts.join('; ')
  }

  async close(): Promise<void> {
    await this.#exchanges?.close()
    await this.#realMx.close()
  }

  #protect(exchanges: readonly Exchange[], ofDecoys: readonly string[]): void {
    const { never } = this.#options
    const hosts = exchanges.flatMap(({ addresses }) => addresses.map(({ host }) => host))
    never.put('a real MX', prefixesOf(hosts))
    never.put("an address of a decoy's name", prefixesOf(ofDecoys))
  }
}

export const NO_WITNESS =
  'none (real-mx in the settings): only the questions of the real MX vouch for it, and an outage is not noticed'

/** The addresses at which our decoys can be called, as far as the settings tell. */
export function decoyPrefixes({ decoys }: Settings): Prefix[] {
  return [decoys.primary, decoys.backup].flatMap(({ listen, proxy, prefixes }) =>
    prefixes.length > 0 ? prefixes : prefixesOf([...listen, ...proxy].flatMap(heardAt)),
  )
}

/** 0.0.0.0 and [::] are every address of this host. */
function heardAt({ host }: Address): string[] {
  if (host !== '0.0.0.0' && host !== '::') return [host]
  const all = Object.values(networkInterfaces()).flatMap((each) => each ?? [])
  return all.filter(({ family }) => host === '::' || family === 'IPv4').map(({ address }) => address)
}

function prefixesOf(hosts: readonly string[]): Prefix[] {
  return hosts.flatMap((host) => prefixOfAddress(host) ?? [])
}

function lower(name: string): string {
  return name.toLowerCase().replace(/\.$/, '')
}
