/**
 * The rulings that stand, the rules' and the operator's: a copy in every process, so that no answer waits.
 *
 * A snapshot first, then the store's changes; a generation that is skipped, or a lost watch, means a new snapshot. Each
 * beat asks the store for its generation, which proves that the copy is fresh: when the last proof is older than
 * `maxAgeMs`, the copy is stale, and answers made from it fall back to "not listed".
 */
import { setImmediate } from 'node:timers/promises'
import { type Client, clientOfKey } from '../core/client.ts'
import type { Instant } from '../core/evidence.ts'
import { Latest } from '../core/latest.ts'
import { standOf } from '../core/listing.ts'
import { parsePrefix, type Prefix, Prefixes } from '../core/prefixes.ts'
import { ById, Unended } from './by-id.ts'
import { Eased } from './eased.ts'
import type { Newest, Search } from './search.ts'
import { type Change, idOf, type Ruling, type Store } from './store.ts'

export type LedgerHappening =
  | { readonly what: 'loaded'; readonly rulings: number }
  | { readonly what: 'unreachable'; readonly error: string }
  | { readonly what: 'changed'; readonly ruling: Ruling | undefined; readonly before: Ruling | undefined }

/** A ruling by its ticket, and since when it has ended, if it has. */
export type Ticketed = { readonly ruling: Ruling; readonly endedAt: Instant | undefined }

export type RulingCounts = Record<'rules' | 'operator', Record<Ruling['word'], number>> & {
  /** Of the rules', those about clients that are allowed. */
  readonly overruled: number
}

export type LedgerOptions = {
  readonly now: () => Instant
  /** Milliseconds that only go up: the age of the copy is none of the clock that people set. */
  readonly uptime: () => number
  readonly maxAgeMs: number
  readonly tell: (happening: LedgerHappening) => void
}

/** A generation that no store has: the next beat loads anew. */
const LOST = -1
const ENDED_MAX = 10_000
/** Rulings taken over from a snapshot before answers have their turn: a million at once would keep them for seconds. */
const STEP = 500
/** How often the copy is proved fresh. */
const BEAT_MS = 1000

/** What a ledger needs of a store. */
export type RulingSource = Pick<Store, 'rulings' | 'generation' | 'watch'>

export class Ledger {
  readonly #store: RulingSource
  readonly #options: LedgerOptions
  #byId = new ById()
  /** Rulings that have ended, by ticket, for senders who ask late; at most ENDED_MAX, the oldest go first. */
  readonly #ended = new Latest<Ticketed>(ENDED_MAX)
  readonly #allows = new Prefixes<Ruling>()
  readonly #blocks = new Prefixes<Ruling>()
  readonly #releases = new Prefixes<Ruling>()
  /** What was said here and is not heard of yet. */
  readonly #eased = new Eased()
  #generation = LOST
  /** How often changes may have been missed: a snapshot that was on its way then is not enough. */
  #losses = 0
  #watching = false
  /** Changes heard while a snapshot is on its way: those that are newer than it are applied after it. */
  #heard: Change[] | undefined
  /** When it was last proved fresh, by `uptime`. */
  #freshAt: number | undefined
  #timer: NodeJS.Timeout | undefined
  #loading: Promise<void> | undefined
  #closed = false

  constructor(store: RulingSource, options: LedgerOptions) {
    this.#store = store
    this.#options = options
  }

  /** Settles when the first copy is there, or the store has failed to give one; it goes on trying. */
  async start(): Promise<void> {
    await this.#beat()
    const again = () => {
      this.#timer = setTimeout(() => void this.#beat().then(() => this.#closed || again()), BEAT_MS)
    }
    if (!this.#closed) again()
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
  }

  /** How far to trust this copy. */
  get state(): 'starting' | 'fresh' | 'stale' {
    if (this.#freshAt === undefined) return 'starting'
    return this.ageMs > this.#options.maxAgeMs ? 'stale' : 'fresh'
  }

  get ageMs(): number {
    return this.#freshAt === undefined ? Infinity : this.#options.uptime() - this.#freshAt
  }

  /** Of which generation this copy is; 0 while that is not known. */
  get generation(): number {
    return Math.max(0, this.#generation)
  }

  /** The operator's allow that covers this client, before all else. */
  allowFor(client: Client): Ruling | undefined {
    const now = this.#options.now()
    const allowed = standing(this.#allows.find(client), now)
    if (allowed || this.#eased.size === 0) return allowed
    return standing(this.#eased.over(client, 'allow')[0], now)
  }

  /**
   * An allow, or a release, that an operator has just said here: it lets pass at once, whatever the store is doing, until
   * the store has done it. A block ends that.
   */
  ease(ruling: Ruling): void {
    this.#eased.say(ruling)
  }

  /** The store has done all that the release of `since` means: what stood is gone from our copy, too, once that is proved fresh. */
  settle(target: string, since: Instant): void {
    this.#eased.settle(target, since)
  }

  /** The operator's block, else what the rules said. */
  rulingFor(client: Client): Ruling | undefined {
    const now = this.#options.now()
    const ruled = standing(this.ofRules(client.key), now)
    if (this.#eased.size === 0) return standing(this.#blocks.find(client), now) ?? ruled
    const released = this.#eased.over(client, 'release')
    // What the rules said of a client goes with any release around it, an operator's block only with that of its own target.
    const blocked = this.#blocks
      .findAll(client)
      .find((each) => standing(each, now) && !released.some((it) => it.target === each.target && it.since > each.since))
    return blocked ?? (released.some(({ since }) => ruled && since > ruled.since) ? undefined : ruled)
  }

  /** The operator's releases that cover this client: what was seen up to `at` is forgotten, and it is believed `until`. */
  releaseOf(client: Client): { readonly at: Instant; readonly until: Instant } | undefined {
    const releases = this.#releases.findAll(client)
    if (releases.length === 0) return undefined
    return {
      at: Math.max(...releases.map(({ since }) => since)),
      until: Math.max(...releases.map(({ since, grace = since }) => grace)),
    }
  }

  /** What the rules said, as it was written down: the words that stand have ends of their own. */
  ofRules(key: string): Ruling | undefined {
    return this.#byId.ofRules(key)
  }

  /** The ruling with this ticket, and since when it has ended, if it has. */
  ofTicket(ticket: string): Ticketed | undefined {
    const ruling = this.#byId.ofTicket(ticket.toUpperCase())
    if (!ruling) return this.#ended.get(ticket.toUpperCase())
    const now = standing(ruling, this.#options.now())
    return { ruling: now ?? ruling, endedAt: now ? undefined : ruling.until }
  }

  /** Each is made when its turn comes; whoever lets others change them meanwhile meets each that stays once. */
  *all(): Generator<Ruling> {
    const now = this.#options.now()
    for (const rulings of [this.#byId.values(), this.#allowedAhead()])
      for (const each of rulings) {
        const ruling = standing(each, now)
        if (ruling) yield ruling
      }
  }

  /**
   * How many stand of each word. What the rules said of a client that an operator, or one of these networks, allows counts as
   * `overruled`: nobody is told of it. In one pass over what may be a million, nearly all without an object for each.
   */
  counts(allow: Iterable<Prefix>): RulingCounts {
    const now = this.#options.now()
    const [none, allowed] = [{ allow: 0, release: 0, observe: 0, defer: 0, block: 0 }, new Prefixes<true>()]
    const counts = { rules: { ...none }, operator: { ...none }, overruled: 0 }
    for (const prefix of allow) allowed.set(prefix, true)
    for (const operators of [this.#allows, this.#eased])
      for (const { word, target, until = Infinity } of operators.values()) {
        const prefix = word === 'allow' && until > now ? parsePrefix(target) : ''
        if (typeof prefix !== 'string') allowed.set(prefix, true)
      }
    const overrules = allowed.size > 0 ? (whole: number) => allowed.findFourth(whole) === true : undefined
    const { except, ...words } = this.#byId.tally(now, overrules)
    Object.assign(counts.rules, words)
    counts.overruled = except
    for (const ruling of this.#byId.others()) {
      const { by, word } = standing(ruling, now) ?? {}
      if (by === undefined || word === undefined) continue
      if (by === 'rules' && allowed.size > 0 && holds(allowed, ruling.target)) counts.overruled++
      else counts[by][word]++
    }
    for (const each of this.#allowedAhead()) if (standing(each, now)) counts.operator.allow++
    return counts
  }

  /** Of those that stand and are looked for, the newest; a release for as long as it excuses. */
  newest(search: Search, most: number): Newest {
    const now = this.#options.now()
    const { found, count } = this.#byId.newest(now, search, most)
    const others = [...this.#byId.others(), ...this.#allowedAhead()].flatMap((each) => {
      const ruling = standing(each, now)
      if (!ruling || (ruling.grace ?? Infinity) <= now || (search.word ?? ruling.word) !== ruling.word) return []
      return search.ruling(ruling) ? [ruling] : []
    })
    const all = [...found.map((each) => standing(each, now) as Ruling), ...others].sort((a, b) => b.since - a.since)
    return { found: all.slice(0, most), count: count + others.length }
  }

  /** For how many clients each reason of the rules decides: where an operator, or one of these networks, has spoken, none does. */
  reasons(allow: Pick<Prefixes<unknown>, 'find' | 'findFourth'>): Map<string, number> {
    const now = this.#options.now()
    const spoken = new Prefixes<true>()
    const others = [...this.#byId.others(), ...this.#eased.values()].filter((each) => standing(each, now))
    for (const { by, word, target } of others) {
      const prefix = by === 'operator' && word !== 'release' ? parsePrefix(target) : ''
      if (typeof prefix !== 'string') spoken.set(prefix, true)
    }
    const reasons = this.#byId.reasons(
      now,
      (whole) => spoken.findFourth(whole) === true || allow.findFourth(whole) !== undefined,
    )
    for (const { by, because, target } of others) {
      const client = by === 'rules' ? clientOfKey(target) : undefined
      if (client && !spoken.find(client) && allow.find(client) === undefined)
        reasons.set(because, (reasons.get(because) ?? 0) + 1)
    }
    return reasons
  }

  /** Allowed here, and not heard of from the store. */
  #allowedAhead(): Ruling[] {
    return [...this.#eased.values()].filter((each) => each.word === 'allow' && !this.#byId.get(idOf(each)))
  }

  /** The clients that the rules list now. */
  *listed(): Generator<Client> {
    for (const { by, target } of this.all()) {
      const client = by === 'rules' ? clientOfKey(target) : undefined
      if (client) yield client
    }
  }

  /** Takes a new snapshot now, where the store is known to have lost what it had. Rejects when it does not give one. */
  async refresh(): Promise<void> {
    this.#lose()
    await this.#prove()
    // A snapshot may have been on its way already.
    if (this.#generation === LOST) await this.#prove()
  }

  async #beat(): Promise<void> {
    try {
      await this.#prove()
    } catch (error) {
      this.#options.tell({ what: 'unreachable', error: (error as Error).message })
    }
  }

  /** The copy is as fresh as the question, not as the answer. */
  async #prove(): Promise<void> {
    const askedAt = this.#options.uptime()
    const proved = this.#eased.proving()
    try {
      const generation = await this.#store.generation()
      if (this.#freshAt === undefined || generation !== this.#generation) await (this.#loading ??= this.#load())
      proved()
      this.#freshAt = Math.max(askedAt, this.#freshAt ?? -Infinity)
    } finally {
      this.#loading = undefined
    }
  }

  /** Watches first, then takes the snapshot, so that nothing falls between the two. */
  async #load(): Promise<void> {
    if (!this.#watching) {
      await this.#store.watch(
        (change) => this.#hear(change),
        () => this.#lose(),
      )
      this.#watching = true
    }
    this.#heard = []
    const losses = this.#losses
    try {
      const { generation, rulings } = await this.#store.rulings()
      // What is heard meanwhile waits for the end, so that nothing of it is undone by what is older.
      const older = this.#byId.puts
      let taken = 0
      if (older === 0 && rulings instanceof Unended) {
        this.#byId = rulings.all.copy()
        taken = this.#byId.size
        for (const other of this.#byId.others()) this.#mind(other)
      } else
        for (const ruling of rulings) {
          if (taken++ % STEP === STEP - 1) await setImmediate()
          this.#set(ruling)
        }
      let looked = 0
      for (const id of older === 0 ? [] : this.#byId.ids(older)) {
        if (looked++ % STEP === STEP - 1) await setImmediate()
        this.#remove(id)
      }
      this.#generation = losses === this.#losses ? generation : LOST
      this.#options.tell({ what: 'loaded', rulings: taken })
      for (const change of this.#heard) if (change.generation > generation) this.#apply(change)
    } finally {
      this.#heard = undefined
    }
  }

  #lose(): void {
    this.#losses++
    this.#generation = LOST
  }

  #hear(change: Change): void {
    if (this.#heard) this.#heard.push(change)
    else this.#apply(change)
  }

  #apply(change: Change): void {
    const before = this.#byId.get('put' in change ? idOf(change.put) : change.drop)
    if ('put' in change) this.#set(change.put)
    else this.#remove(change.drop)
    // A gap: the next beat sees that the generations differ and loads again.
    if (change.generation === this.#generation + 1) this.#generation = change.generation
    this.#options.tell({ what: 'changed', ruling: 'put' in change ? change.put : undefined, before })
  }

  #set(ruling: Ruling): void {
    // A million at the start are new, each by a number: no id is made for them.
    const isNew = ruling.by === 'rules' && !this.#byId.ofRules(ruling.target)
    if (!isNew) this.#remove(idOf(ruling))
    this.#byId.set(ruling)
    this.#ended.delete(ruling.ticket)
    this.#mind(ruling)
  }

  /** An operator's word is found by the network it is about, and is newer than what was said here before it. */
  #mind(ruling: Ruling): void {
    if (ruling.by === 'rules') return
    const prefix = parsePrefix(ruling.target)
    if (typeof prefix === 'string') return
    // The store may be behind: what it does only now can be older than what was said here.
    if (ruling.word !== 'release') this.#eased.heard(prefix, ruling.since)
    if (ruling.word === 'allow') this.#allows.set(prefix, ruling)
    if (ruling.word === 'block') this.#blocks.set(prefix, ruling)
    if (ruling.word === 'release') this.#releases.set(prefix, ruling)
  }

  #remove(id: string): void {
    const old = this.#byId.get(id)
    if (!old) return
    this.#byId.delete(id)
    this.#ended.renew(old.ticket, { ruling: old, endedAt: Math.min(this.#options.now(), old.until ?? Infinity) })
    if (old.by === 'rules') return
    const prefix = parsePrefix(old.target) as Prefix
    if (typeof prefix === 'string') return
    if (old.word === 'allow') this.#allows.delete(prefix)
    if (old.word === 'block') this.#blocks.delete(prefix)
    if (old.word === 'release') this.#releases.delete(prefix)
  }
}

/** Is the client with this key in one of these networks? */
function holds(networks: Prefixes<true>, key: string): boolean {
  return networks.find(clientOfKey(key) as Client) === true
}

/** The ruling as it stands now: under the heaviest of its words that has not ended. */
function standing(ruling: Ruling | undefined, now: Instant): Ruling | undefined {
  if (!ruling) return undefined
  const { stands, until = Infinity } = ruling
  if (!stands) return until > now ? ruling : undefined
  const stand = standOf(stands, now)
  if (!stand) return undefined
  return stand.word === ruling.word && stand.until === ruling.until ? ruling : { ...ruling, ...stand }
}
