/**
 * How the house knows whose a client is: by the networks in SPF records, read ahead; and by its reverse name, asked when it is
 * about to be listed. Where DNS is not asked (`pools.dns` in the settings) only the networks that were saved are known.
 *
 * Until the records have been read once nobody is a stranger yet. What the records of our own domains name is never listed.
 */
import { Resolver } from 'node:dns/promises'
import { join } from 'node:path'
import type { Client } from '../core/client.ts'
import type { Never } from '../core/never.ts'
import { allPools, type Member, type Pool, type WellKnown } from '../core/pools.ts'
import type { Prefix } from '../core/prefixes.ts'
import type { Rules } from '../core/rules.ts'
import { BigSenders, type PoolTrouble } from '../watch/big-senders.ts'
import { ReverseNames, WAITING_MAX } from '../watch/reverse.ts'
import { spellAddress } from '../settings/places.ts'
import type { Settings } from '../settings/settings.ts'

export type PoolingOptions = {
  readonly settings: Settings['pools']
  /** The state directory. */
  readonly folder: string
  readonly rules: () => Rules
  readonly wellKnown: WellKnown
  readonly never: Never
  /** Who is listed by the rules now. */
  readonly listed: () => Iterable<Client>
  readonly now: () => number
  readonly tell: (it: PoolHappening) => void
}

export type PoolHappening =
  /** It is known now whose this client is, or that nobody knows: what stands about it may be another thing. */
  | { readonly what: 'identified'; readonly client: Client; readonly outcome: 'member' | 'stranger' | 'failed' }
  /** Other networks are those of the pools. */
  | { readonly what: 'changed'; readonly networks: number; readonly own: number }
  | { readonly what: 'trouble'; readonly it: PoolTrouble }

/** For the log: what it is about, and of several the first. */
export function troubleLine({ how, where, of }: PoolTrouble): [{ readonly because: string }, string] {
  const [first] = where
  if (first && where.length === 1) {
    const what = how === 'file' ? first.name : `the SPF record of ${first.name}`
    return [{ because: first.because }, `pools: ${what}`]
  }
  const named = where
    .slice(0, TOLD_MAX)
    .map(({ name, because }) => (because.startsWith(name) ? because : `${name}: ${because}`))
  const more = where.length > named.length ? `, and ${where.length - named.length} more` : ''
  const what =
    how === 'unread'
      ? `${where.length} of ${of} SPF records could not be read: is the resolver reachable? status says what is used instead`
      : `something is passed over in ${where.length} of ${of} SPF records`
  return [{ because: `${named.join('; ')}${more}` }, `pools: ${what}`]
}

const TOLD_MAX = 3

/** What `status` tells of the pools; instants are ISO 8601, UTC. */
export type PoolsView = {
  readonly dns: boolean
  readonly pools: number
  readonly networks: number
  /** How many SPF records there are to read. */
  readonly records: number
  /** The domains whose record could not be read the last time, with the day of what is used instead. */
  readonly unread: readonly { readonly domain: string; readonly error: string; readonly at: string | null }[]
  /** What was passed over in the others. */
  readonly notes: readonly string[]
  /** When the entry of the shipped list that was longest not looked at was. */
  readonly reviewed: string
}

/** One query, with its repetitions, takes at most about twice as long. */
const QUERY = { timeout: 2000, tries: 2 }
/** The file in the state directory. */
const SAVED_AS = 'big-senders.json'

export class Pooling {
  readonly #options: PoolingOptions
  readonly #senders: BigSenders
  readonly #names: ReverseNames
  readonly #dns: Resolver | undefined
  #pools: readonly Pool[]
  /** Who is to be asked about once the records have been read, by `Client.key`; at most WAITING_MAX. */
  readonly #early = new Map<string, Client>()
  #started = false
  #read = false

  constructor(options: PoolingOptions) {
    this.#options = options
    const { settings, folder, rules, wellKnown, never, listed, now, tell } = options
    this.#pools = allPools(rules().pools, wellKnown)
    if (settings.dns) {
      this.#dns = new Resolver(QUERY)
      if (settings.resolver.length > 0) this.#dns.setServers(settings.resolver.map(spellAddress))
    }
    const pools = () => this.#pools
    this.#senders = new BigSenders({
      pools,
      own: () => rules().domains,
      dns: this.#dns,
      file: join(folder, SAVED_AS),
      everyMs: settings.every,
      now,
      random: Math.random,
      changed: (own, networks) => {
        never.put('of a network that our own SPF record names', own)
        tell({ what: 'changed', networks, own: own.length })
        // Who is listed, and turns out to be a big sender, need not wait until it comes again.
        if (!this.#started) return
        for (const client of listed())
          if (this.#senders.memberOf(client)) tell({ what: 'identified', client, outcome: 'member' })
      },
      trouble: (it) => tell({ what: 'trouble', it }),
    })
    this.#names = new ReverseNames({
      dns: this.#dns ?? new Resolver(QUERY),
      pools,
      now,
      answered: (client, outcome) => tell({ what: 'identified', client, outcome }),
    })
  }

  memberOf(client: Client): Member {
    const member = this.#senders.memberOf(client)
    if (member || !this.#dns) return member
    return this.#read ? this.#names.memberOf(client) : 'unknown'
  }

  /** To be asked about a client that is about to be listed; what comes of it is told. */
  identify(client: Client): void {
    if (!this.#dns) return
    if (this.#read) this.#names.ask(client)
    else if (this.#early.size < WAITING_MAX) this.#early.set(client.key, client)
  }

  networksOf(pool: string): readonly Prefix[] | undefined {
    return this.#senders.networksOf(pool)
  }

  /** Settles when all records have been asked for. */
  async start(): Promise<void> {
    this.#started = true
    await this.#senders.ask()
    this.#read = true
    for (const client of this.#early.values()) {
      const member = this.memberOf(client)
      if (member === 'unknown') this.#names.ask(client)
      else this.#options.tell({ what: 'identified', client, outcome: member ? 'member' : 'stranger' })
    }
    this.#early.clear()
  }

  /** The rules may name other pools, or protect other domains. */
  async rulesChanged(): Promise<void> {
    const { rules, wellKnown } = this.#options
    const pools = allPools(rules().pools, wellKnown)
    if (JSON.stringify(pools) !== JSON.stringify(this.#pools)) this.#names.forget()
    this.#pools = pools
    await this.#senders.ask()
  }

  view(): PoolsView {
    const { settings, wellKnown } = this.#options
    const states = this.#senders.states.filter(({ domain }) => this.#pools.some(({ spf }) => spf.includes(domain)))
    return {
      dns: settings.dns,
      pools: this.#pools.length,
      networks: states.reduce((sum, { networks }) => sum + networks.length, 0),
      records: states.length,
      unread: states.flatMap(({ domain, error, at }) =>
        error === undefined ? [] : [{ domain, error, at: at === undefined ? null : new Date(at).toISOString() }],
      ),
      notes: states.flatMap(({ notes }) => notes),
      reviewed: new Date(wellKnown.reviewedAt).toISOString().slice(0, 10),
    }
  }

  async close(): Promise<void> {
    this.#names.close()
    this.#dns?.cancel()
    await this.#senders.close()
  }
}

/** Who is of a pool as far as the appliance has saved it, for whoever tells a recording; DNS is not asked. */
export function savedMembers(
  folder: string,
  { rules, wellKnown }: { readonly rules: Rules; readonly wellKnown: WellKnown },
): (client: Client) => Member {
  const pools = allPools(rules.pools, wellKnown)
  const senders = new BigSenders({
    pools: () => pools,
    own: () => [],
    dns: undefined,
    file: join(folder, SAVED_AS),
    everyMs: 0,
    now: Date.now,
    random: Math.random,
    changed: () => {},
    trouble: () => {},
  })
  return (client) => senders.memberOf(client)
}
