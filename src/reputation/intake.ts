/**
 * Evidence in: journal it, admit it, add its tallies, judge; and the operator's word on the same road.
 *
 * The journal is the queue. What it has on disk is delivered to the store in order, in batches, as often as it takes: the
 * store counts each event once, and its cursor says where to go on after a restart or an absence. So evidence that the
 * journal acknowledged is never lost and never doubled, whichever side dies.
 */
import { type Client, clientOfKey, parseClient } from '../core/client.ts'
import { clientOf, type Entry, type Evidence, type Instant, type Word } from '../core/evidence.ts'
import { lastAtDecoys, NO_COUNTS, tally } from '../core/facts.ts'
import { endOf, type Listing, renew, type Stand } from '../core/listing.ts'
import {
  admit,
  type Freeze,
  freezeOf,
  type Guard,
  newGuard,
  type Numbered,
  type Waived,
  type Watch,
} from '../core/outage.ts'
import { covers, parsePrefix } from '../core/prefixes.ts'
import type { Rules } from '../core/rules.ts'
import { judge, type Verdict } from '../core/verdict.ts'
import type { Journal } from './journal.ts'
import type { Ledger } from './ledger.ts'
import { idOf, Rewound, type Ruling, type Store, ticketOf } from './store.ts'

export type IntakeHappening =
  | { readonly what: 'counted'; readonly evidence: Evidence }
  | { readonly what: 'waived'; readonly evidence: Evidence; readonly why: Waived['why'] }
  /** Evidence waits for the witness's next look. */
  | { readonly what: 'pending' }
  | { readonly what: 'blocked'; readonly error: string }
  | { readonly what: 'flowing' }

export type IntakeOptions = {
  readonly journal: Journal
  readonly store: Store
  readonly ledger: Ledger
  readonly rules: () => Rules
  readonly watch: Watch
  readonly now: () => Instant
  readonly tell: (happening: IntakeHappening) => void
}

/** Events in one delivery: large enough for a flood, small enough to be repeated when the store fails. */
const BATCH_MAX = 500
/** Events kept in memory for delivery; beyond it they are read from the journal again when their turn comes. */
const QUEUE_MAX = 20_000
const WORDS_MAX = 1000
/** Entries before the cursor that are read at a start, so that the guard knows of the last outage. */
const RECALL_MAX = 50_000
/** Between two tries of a delivery that failed. */
const RETRY_MS = [50, 100, 200, 500, 1000]
/** A listing is written again only when its end moves by more than this. */
const UNTIL_STEP_MS = 60_000

export class Intake {
  readonly #options: IntakeOptions
  #guard: Guard
  #queue: Entry[] = []
  /** The last number taken from the journal for delivery, and the last one wholly delivered. */
  #taken = 0
  #delivered = 0
  /** Where the store would have us begin again. */
  #cursor = 0
  /** The last number known to be on disk; the journal may have given out more. */
  #onDisk: number
  /** Do we know where the store's cursor stands? */
  #placed = false
  /** Entries on disk have not gone through the queue: they are read from there. */
  #behind = false
  #pumping: Promise<void> | undefined
  /** Words that did not wait for their turn; at most WORDS_MAX are remembered, and repeating one does no harm. */
  readonly #applied = new Set<number>()
  #waiters: { seq: number; done: () => void }[] = []
  #closed = false
  #wake: (() => void) | undefined

  constructor(options: IntakeOptions) {
    this.#options = options
    this.#guard = newGuard(options.watch)
    this.#onDisk = options.journal.lastSeq
  }

  /** How many events are on disk and not yet in the store. */
  get waiting(): number {
    return this.#onDisk - this.#delivered
  }

  /** Why the order of visits counts for nothing now; undefined while it counts. */
  get freeze(): Freeze | undefined {
    return freezeOf(this.#guard, this.#options.now())
  }

  /** What was seen of this client and waits for the next probe. */
  pendingOf(client: Client): readonly Evidence[] {
    const evidence = this.#guard.pending.map((hit) => hit.evidence)
    return evidence.filter((each) => clientOf(each).key === client.key)
  }

  /** Goes on where the store's cursor stands. Settles when what was on disk is delivered, or after `withinMs`. */
  async start(withinMs: number): Promise<void> {
    this.#behind = true
    this.#kick()
    await this.settled(this.#options.journal.lastSeq, withinMs)
  }

  /** To be called, in order, with what the journal has written. */
  written(entries: readonly Entry[]): void {
    this.#onDisk = entries.at(-1)?.seq ?? this.#onDisk
    if (this.#behind || this.#queue.length + entries.length > QUEUE_MAX) this.#behind = true
    else this.#queue.push(...entries)
    this.#kick()
  }

  /** True once everything up to `seq` is in the store; false when that takes longer than `withinMs`. */
  settled(seq: number, withinMs: number): Promise<boolean> {
    if (this.#delivered >= seq) return Promise.resolve(true)
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), withinMs)
      this.#waiters.push({ seq, done: () => (clearTimeout(timer), resolve(true)) })
    })
  }

  /**
   * After the rules have changed: what would they have said of every client that is listed, when it was last seen? Here,
   * and only here, a lesser verdict shortens a listing.
   */
  async rejudge(): Promise<{ kept: number; changed: number; released: number }> {
    const { store, rules, ledger, now } = this.#options
    const outcome = { kept: 0, changed: 0, released: 0 }
    for (const ruling of ledger.all()) {
      const client = ruling.by === 'rules' ? clientOfKey(ruling.target) : undefined
      if (!client) continue
      const [own, network] = await Promise.all([store.counts(client.key), store.counts(client.network)])
      const seenAt = lastAtDecoys(own)
      const verdict = judge(client, { own, network }, rules(), seenAt)
      const made = renew(undefined, verdict, rules(), seenAt)
      const next = made && stillStanding(made, ruling, now())
      outcome[!next ? 'released' : next.stands[0]?.word === ruling.word ? 'kept' : 'changed']++
      await this.#rule(client, verdict, next)
    }
    return outcome
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#wake?.()
    await this.#pumping
    for (const { done } of this.#waiters.splice(0)) done()
  }

  #kick(): void {
    if (this.#closed) return
    this.#pumping ??= this.#pump().finally(() => {
      this.#pumping = undefined
      if (this.#queue.length > 0 || this.#behind) this.#kick()
    })
  }

  async #pump(): Promise<void> {
    while (!this.#closed) {
      if (this.#behind) await this.#catchUp()
      const batch = this.#queue.splice(0, BATCH_MAX)
      if (batch.length === 0) return
      await this.#deliver(batch)
    }
  }

  /** Delivers from the files until nothing newer is on disk; what is written meanwhile is found there, too. */
  async #catchUp(): Promise<void> {
    const { journal, store } = this.#options
    if (!this.#placed) {
      const cursor = await this.#persist(() => store.cursor(journal.box))
      if (cursor === undefined) return
      journal.skipTo(cursor)
      this.#taken = this.#delivered = this.#cursor = cursor
      this.#placed = true
      this.#guard = newGuard(this.#options.watch)
      for await (const entry of journal.read(Math.max(0, cursor - RECALL_MAX))) {
        if (entry.seq > cursor) break
        this.#guard = admit(this.#guard, entry.seq, entry.event).guard
      }
      // What waited then is decided: the cursor stands before whatever still waits.
      this.#guard = { ...this.#guard, pending: [] }
    }
    this.#queue = []
    for (let before = -1; before < this.#taken && this.#placed && !this.#closed;) {
      before = this.#taken
      let batch: Entry[] = []
      for await (const entry of journal.read(this.#taken)) {
        if (batch.push(entry) === BATCH_MAX) await this.#deliver(batch.splice(0))
        if (this.#closed || !this.#placed) return
      }
      if (batch.length > 0) await this.#deliver(batch)
    }
    if (this.#closed || !this.#placed) return
    // No await between the last look and this line: from here on live entries queue in memory again.
    this.#behind = false
    this.#advance(Math.max(this.#taken, this.#onDisk))
  }

  async #deliver(batch: readonly Entry[]): Promise<void> {
    const counted: Numbered[] = []
    const waived: Waived[] = []
    const words: { seq: number; word: Word }[] = []
    for (const { seq, event } of batch) {
      this.#taken = Math.max(this.#taken, seq)
      if (event.type === 'word') words.push({ seq, word: event })
      const admission = admit(this.#guard, seq, event)
      this.#guard = admission.guard
      counted.push(...admission.counted)
      waived.push(...admission.waived)
    }
    if (this.#guard.pending.length > 0) this.#options.tell({ what: 'pending' })
    // Hits that wait for a probe keep the cursor before them, so that a restart finds them in the journal again.
    const upTo = Math.min(this.#taken, (this.#guard.pending[0]?.seq ?? Infinity) - 1)
    const done = await this.#persist(async () => {
      try {
        await this.#count(counted, waived)
      } catch (error) {
        if (error instanceof Rewound) return 'rewound'
        throw error
      }
      for (const { seq, word } of words) if (!this.#applied.delete(seq)) await this.#apply(word)
      // Only now does the cursor move: what a crash leaves undone in between is done again.
      await this.#options.store.add(this.#options.journal.box, [], upTo)
      this.#cursor = upTo
      return 'done'
    })
    if (done === 'rewound') {
      // The store lost what it had: begin again at its cursor, from the files.
      this.#placed = false
      this.#behind = true
    }
    if (done !== 'done') return
    for (const { evidence } of counted) this.#options.tell({ what: 'counted', evidence })
    for (const { evidence, why } of waived) this.#options.tell({ what: 'waived', evidence, why })
    this.#advance(this.#taken)
  }

  /** What was waived is kept, too, under the reason: it weighs nothing, and can be told of. */
  async #count(counted: readonly Numbered[], waived: readonly Waived[]): Promise<void> {
    const { store, journal, rules, now } = this.#options
    const tallies = [...counted, ...waived].map(tally)
    const touched = await store.add(journal.box, tallies, this.#cursor)
    const atDecoys = new Map(
      counted
        .filter(({ evidence }) => evidence.role !== 'real')
        .map(({ evidence }) => [clientOf(evidence).key, clientOf(evidence)]),
    )
    for (const client of atDecoys.values()) {
      const facts = { own: touched.get(client.key) ?? NO_COUNTS, network: touched.get(client.network) ?? NO_COUNTS }
      const verdict = judge(client, facts, rules(), now())
      await this.#rule(
        client,
        verdict,
        renew(listingOf(this.#options.ledger.ofRules(client.key)), verdict, rules(), now()),
      )
    }
  }

  /** Writes down what stands for a client now, if it differs from what stood. */
  async #rule(client: Client, verdict: Verdict, next: Listing | undefined): Promise<void> {
    const { store, ledger } = this.#options
    const before = ledger.ofRules(client.key)
    if (!next) {
      if (before) await store.drop(idOf(before))
      return
    }
    const [word] = next.stands
    if (!word || (before && alike(before.stands, next.stands) && alike(before.enforced, next.enforced))) return
    const heaviest = verdict.reasons.toSorted((a, b) => b.weight - a.weight)[0]
    await store.put({
      by: 'rules',
      target: client.key,
      word: word.word,
      since: next.since,
      until: endOf(next),
      stands: next.stands,
      enforced: next.enforced,
      ticket: ticketOf(client.key, next.since),
      because: heaviest?.because ?? before?.because ?? '',
      score: verdict.score,
    })
  }

  /** The operator's word, put into effect ahead of all the evidence that may be waiting. Rejects when the store does. */
  async apply(seq: number, word: Word): Promise<void> {
    await this.#apply(word)
    if (this.#applied.size < WORDS_MAX && seq > this.#taken) this.#applied.add(seq)
  }

  /** Repeating a word changes nothing. */
  async #apply(word: Word): Promise<void> {
    const { store, ledger } = this.#options
    const prefix = parsePrefix(word.target)
    if (typeof prefix === 'string') return
    if (word.word !== 'release') {
      const ruling: Ruling = {
        by: 'operator',
        target: prefix.cidr,
        word: word.word,
        since: word.at,
        until: word.until,
        ticket: ticketOf(prefix.cidr, word.at),
        because: word.because,
        author: word.author,
      }
      if ((word.until ?? Infinity) > this.#options.now()) await store.put(ruling)
      return
    }
    await store.drop(idOf({ by: 'operator', target: prefix.cidr }))
    const address = prefix.cidr.split('/')[0] as string
    const single = prefix.length === (prefix.family === 4 ? 32 : 64) ? parseClient(address) : undefined
    if (single) await store.forget(single.key, word.at)
    for (const ruling of ledger.all()) {
      const client = ruling.by === 'rules' && ruling.since <= word.at ? clientOfKey(ruling.target) : undefined
      if (!client || !covers(prefix, client)) continue
      await store.forget(client.key, word.at)
      await store.drop(idOf(ruling))
    }
  }

  /** Tries until it works; undefined when we are closed before. */
  async #persist<Value>(attempt: () => Promise<Value>): Promise<Value | undefined> {
    for (let tries = 0; !this.#closed; tries++) {
      try {
        const value = await attempt()
        if (tries > 0) this.#options.tell({ what: 'flowing' })
        return value
      } catch (error) {
        if (tries === 0) this.#options.tell({ what: 'blocked', error: (error as Error).message })
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, RETRY_MS[Math.min(tries, RETRY_MS.length - 1)])
          this.#wake = () => (clearTimeout(timer), resolve())
        })
      }
    }
    return undefined
  }

  #advance(seq: number): void {
    this.#delivered = seq
    const due = this.#waiters.filter((waiter) => waiter.seq <= seq)
    this.#waiters = this.#waiters.filter((waiter) => waiter.seq > seq)
    for (const { done } of due) done()
  }
}

function listingOf(ruling: Ruling | undefined): Listing | undefined {
  if (!ruling || ruling.word === 'allow' || ruling.until === undefined) return undefined
  const { word, since, until, stands = [{ word, until }], enforced = stands } = ruling
  return { since, stands, enforced }
}

/** The same words, and none of their ends has moved enough to be written down. */
function alike(before: readonly Stand[] | undefined, next: readonly Stand[]): boolean {
  return (
    before?.length === next.length &&
    next.every(({ word, until }, i) => before[i]?.word === word && Math.abs(before[i].until - until) < UNTIL_STEP_MS)
  )
}

/** What is left by now of a listing that was made for the day a client was last seen. */
function stillStanding(made: Listing, before: Ruling, now: Instant): Listing | undefined {
  const left = (stands: readonly Stand[]) => stands.filter(({ until }) => until > now)
  const stands = left(made.stands)
  const [heaviest] = stands
  if (!heaviest) return undefined
  return { since: heaviest.word === before.word ? before.since : now, stands, enforced: left(made.enforced) }
}
