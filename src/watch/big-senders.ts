/**
 * Big senders, by the networks that their SPF records name; and our own networks, by the records of the domains we protect.
 *
 * Asked again and again, at jittered times. What DNS does not say for the moment stays as it was last said, with its date, also
 * over a restart (a file in the state directory): a name server that is away is no reason to take a sender for a stranger. A
 * record that was good and is wrong now is kept in the same way, until KEEP_MS is over.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { z } from 'zod'
import type { Client } from '../core/client.ts'
import type { Instant } from '../core/evidence.ts'
import type { Membership, Pool } from '../core/pools.ts'
import { outermost, parsePrefix, type Prefix, Prefixes } from '../core/prefixes.ts'
import { type Dns, isTooWide, NETWORKS_MAX, readSpf } from './spf.ts'

export type BigSendersOptions = {
  readonly pools: () => readonly Pool[]
  /** The domains we protect: what their records name is ours. */
  readonly own: () => readonly string[]
  /** Without, DNS is not asked, and what was saved is used. */
  readonly dns: Dns | undefined
  /** Where what was found is kept. */
  readonly file: string
  readonly everyMs: number
  readonly now: () => Instant
  /** From 0 to below 1, as Math.random gives it. */
  readonly random: () => number
  /** Networks are not what they were. */
  readonly changed: (own: readonly Prefix[], networks: number) => void
  readonly trouble: (trouble: PoolTrouble) => void
}

/**
 * What one round through DNS found wrong that was not so before: told once, for a resolver that is away is one trouble and no
 * hundred. `unread`: these records, `of` so many; `passed-over`: something in these; `file`: what is kept.
 */
export type PoolTrouble = {
  readonly how: 'unread' | 'passed-over' | 'file'
  readonly where: readonly { readonly name: string; readonly because: string }[]
  readonly of: number
}

/** What is known of one domain's record. */
export type SpfState = {
  readonly domain: string
  /** When its networks were last read; undefined: never. */
  readonly at: Instant | undefined
  readonly networks: readonly Prefix[]
  /** Why they were not the last time; undefined where they were. */
  readonly error: string | undefined
  readonly notes: readonly string[]
}

/** Most domains that are asked about; more are not. */
const DOMAINS_MAX = 1000
/** Domains asked about at the same time. */
const AT_ONCE = 4
/** Networks that nobody has confirmed for so long are let go. */
const KEEP_MS = 90 * 86_400_000
const JITTER = 0.2
/** Largest file that is read back. */
const FILE_MAX = 64 * 1024 * 1024

export class BigSenders {
  readonly #options: BigSendersOptions
  readonly #states = new Map<string, SpfState>()
  #members = new Prefixes<Membership>()
  #said = ''
  #timer: NodeJS.Timeout | undefined
  #asking: Promise<void> | undefined
  #again = false
  #closed = false

  constructor(options: BigSendersOptions) {
    this.#options = options
    this.#load()
    this.#settle()
  }

  memberOf(client: Client): Membership | undefined {
    return this.#members.find(client)
  }

  /** The networks of the pool with this name; undefined: there is none. */
  networksOf(name: string): readonly Prefix[] | undefined {
    const pool = this.#options.pools().find((each) => each.name === name)
    return pool && outermost(pool.spf.flatMap((domain) => this.#states.get(domain)?.networks ?? []))
  }

  get states(): readonly SpfState[] {
    return this.#wanted().map(
      (domain) =>
        this.#states.get(domain) ?? { domain, at: undefined, networks: [], error: 'not asked yet', notes: [] },
    )
  }

  /** Asks about all domains now, and then again and again; also after the pools have changed. */
  ask(): Promise<void> {
    clearTimeout(this.#timer)
    this.#settle()
    if (!this.#options.dns) return Promise.resolve()
    // A round under way may not know of pools that are new.
    this.#again = this.#asking !== undefined
    return (this.#asking ??= this.#askAll(this.#options.dns).finally(() => {
      this.#asking = undefined
      if (this.#closed) return
      if (this.#again) return this.ask()
      const { everyMs, random } = this.#options
      this.#timer = setTimeout(() => void this.ask(), everyMs * (1 - JITTER + 2 * JITTER * random())).unref()
    }))
  }

  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    await this.#asking
  }

  #wanted(): string[] {
    const all = [...this.#options.own(), ...this.#options.pools().flatMap(({ spf }) => spf)]
    return [...new Set(all.map((domain) => domain.toLowerCase()))].slice(0, DOMAINS_MAX)
  }

  async #askAll(dns: Dns): Promise<void> {
    const { now, own, trouble } = this.#options
    const left = this.#wanted()
    const of = left.filter((domain) => !own().includes(domain)).length
    const unread: PoolTrouble['where'][number][] = []
    const passedOver: PoolTrouble['where'][number][] = []
    const work = async () => {
      for (let domain = left.shift(); domain !== undefined && !this.#closed; domain = left.shift()) {
        const before = this.#states.get(domain)
        const read = await readSpf(domain, dns)
        if (this.#closed) return
        if (read.outcome === 'read') {
          const { networks, notes } = read
          this.#states.set(domain, { domain, at: now(), networks, error: undefined, notes })
          if (notes.length > 0 && notes.join() !== before?.notes.join())
            passedOver.push({ name: domain, because: notes.join('; ') })
        } else {
          const { because: error } = read
          const kept = before?.at !== undefined && now() - before.at < KEEP_MS ? before : undefined
          const { at, networks = [], notes = [] } = kept ?? {}
          this.#states.set(domain, { domain, at, networks, error, notes })
          // A domain of ours without a record says nothing that anybody must know.
          if (error !== before?.error && !own().includes(domain)) unread.push({ name: domain, because: error })
        }
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, work))
    if (this.#closed) return
    if (unread.length > 0) trouble({ how: 'unread', where: unread, of })
    if (passedOver.length > 0) trouble({ how: 'passed-over', where: passedOver, of })
    this.#settle()
    this.#save()
  }

  /** From what is known of the domains: who is in which pool, and what is ours. */
  #settle(): void {
    const { pools, own, changed } = this.#options
    const wanted = new Set(this.#wanted())
    for (const domain of this.#states.keys()) if (!wanted.has(domain)) this.#states.delete(domain)
    const of = (domains: readonly string[]) => domains.flatMap((domain) => this.#states.get(domain.toLowerCase()) ?? [])
    // The pool that stands first in the list counts where two share a network.
    const entries = pools().flatMap(({ name, spf }) =>
      of(spf).flatMap(({ networks, at = 0 }) =>
        networks.map((prefix) => [prefix, { pool: name, found: 'spf', at }] as const),
      ),
    )
    this.#members = Prefixes.of(entries.toReversed())
    const ours = outermost(of(own()).flatMap(({ networks }) => networks))
    const said = JSON.stringify([entries.map(([{ cidr }, { pool }]) => [cidr, pool]), ours.map(({ cidr }) => cidr)])
    if (said === this.#said) return
    this.#said = said
    changed(ours, entries.length)
  }

  #load(): void {
    const { file, now } = this.#options
    let text
    try {
      text = readFileSync(file, 'utf8')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') this.#fileTrouble((error as Error).message)
      return
    }
    const read = savedIn(text)
    if (!read) return this.#fileTrouble('cannot be read, and is written anew')
    for (const [domain, { at, networks, notes }] of Object.entries(read)) {
      if (at > now() || now() - at >= KEEP_MS) continue
      const prefixes = networks
        .map((text) => parsePrefix(text))
        .filter((each) => typeof each !== 'string')
        .filter((each) => !isTooWide(each))
      this.#states.set(domain, { domain, at, networks: prefixes, error: undefined, notes })
    }
  }

  #save(): void {
    const { file } = this.#options
    const read = [...this.#states.values()].filter(({ at }) => at !== undefined)
    const saved: Saved = Object.fromEntries(
      read.map(({ domain, at = 0, networks, notes }) => [
        domain,
        { at, networks: networks.map(({ cidr }) => cidr), notes: [...notes] },
      ]),
    )
    try {
      writeFileSync(`${file}.new`, `${JSON.stringify(saved, null, 1)}\n`)
      renameSync(`${file}.new`, file)
    } catch (error) {
      this.#fileTrouble((error as Error).message)
    }
  }

  #fileTrouble(because: string): void {
    this.#options.trouble({ how: 'file', where: [{ name: this.#options.file, because }], of: 1 })
  }
}

const savedSchema = z.record(
  z.string().max(253),
  z.object({
    at: z.number(),
    networks: z.array(z.string().max(50)).max(NETWORKS_MAX),
    notes: z.array(z.string().max(1000)).max(50),
  }),
)
type Saved = z.output<typeof savedSchema>

function savedIn(text: string): Saved | undefined {
  if (text.length > FILE_MAX) return undefined
  try {
    return savedSchema.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}
