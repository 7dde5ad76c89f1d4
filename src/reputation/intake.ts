/**
 * Evidence in: journal it, admit it, add its tallies, judge; and the operator's word on the same road.
 *
 * The journal is the queue. What it has on disk is delivered to the store in order, in batches, as often as it takes: the
 * store counts each event once, and its cursor says where to go on after a restart or an absence. So evidence that the
 * journal acknowledged is never lost and never doubled, whichever side dies.
 */
import { isStaleCanary } from '../core/canary.ts'
import type { Client } from '../core/client.ts'
import { clientOf, type Entry, type Evidence, type Instant, type Word } from '../core/evidence.ts'
import { type Facts, NO_COUNTS, type Tally, tally } from '../core/facts.ts'
import { Queue } from '../core/growing.ts'
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
import type { Rules } from '../core/rules.ts'
import type { Effect } from './effect.ts'
import { forgetWaiting, type Governor, type Why } from './governor.ts'
import type { Journal } from './journal.ts'
import type { Ledger } from './ledger.ts'
import { type Rejudged, Rulings, type RulingsOptions } from './rulings.ts'
import { idOf, Rewound, type Store } from './store.ts'

export type IntakeHappening =
  | { readonly what: 'counted'; readonly evidence: Evidence }
  | { readonly what: 'waived'; readonly evidence: Evidence; readonly why: Waived['why'] }
  /** Evidence waits for the witness's next look. */
  | { readonly what: 'pending' }
  /** The governor holds a listing back, as one of so many. */
  | { readonly what: 'governed'; readonly client: string; readonly why: Why; readonly waiting: number }
  | { readonly what: 'blocked'; readonly error: string }
  | { readonly what: 'flowing' }

export type IntakeOptions = Pick<RulingsOptions, 'memberOf' | 'identify'> & {
  readonly journal: Journal
  readonly store: Store
  readonly ledger: Ledger
  readonly governor: Governor
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
/** Forgetting waits so long for what is still on its way. */
const SETTLE_MS = 2000
/** Entries before the cursor that are read at a start, so that the guard knows of the last outage. */
const RECALL_MAX = 50_000
/** Between two tries of a delivery that failed. */
const RETRY_MS = [50, 100, 200, 500, 1000]

/** What is delivered up to a word of the operator's, which must find it there: a release forgets what came before it. */
type Part = { readonly counted: Numbered[]; readonly waived: Waived[]; ends?: { seq: number; word: Word } }

export class Intake {
  readonly #options: IntakeOptions
  readonly #rulings: Rulings
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
  /** The store lost what it had, and our copy of the rulings may still have it. */
  #rewound = false
  /** Entries on disk have not gone through the queue: they are read from there. */
  #behind = false
  #pumping: Promise<void> | undefined
  /** Words that did not wait for their turn; at most WORDS_MAX are remembered, and repeating one does no harm. */
  readonly #applied = new Set<number>()
  /** Why the last attempt of a delivery failed. */
  #blocked: string | undefined
  #waiters: { seq: number; done: () => void }[] = []
  #closed = false
  #wake: (() => void) | undefined

  constructor(options: IntakeOptions) {
    this.#options = options
    this.#rulings = new Rulings({
      ...options,
      governed: (client, why, waiting) => options.tell({ what: 'governed', client: client.ip, why, waiting }),
    })
    this.#guard = newGuard(options.watch)
    this.#onDisk = options.journal.lastSeq
  }

  /** How many events are on disk and not yet in the store. */
  get waiting(): number {
    return this.#onDisk - this.#delivered
  }

  /** Why the store does not take what waits; undefined while it does. */
  get blocked(): string | undefined {
    return this.#blocked
  }

  /** Why the order of visits counts for nothing now; undefined while it counts. */
  get freeze(): Freeze | undefined {
    return freezeOf(this.#guard, this.#options.now())
  }

  /** What was seen of this client and waits for the next probe. */
  pendingOf(client: Client): readonly Evidence[] {
    const evidence = [...this.#guard.pending].map((hit) => hit.evidence)
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

  /** After the rules have changed: every listing is judged again. */
  rejudge(): Promise<Rejudged> {
    return this.#rulings.rejudge()
  }

  /** What these rules would change, if they were loaded. */
  effectOf(next: Rules): Promise<Effect> {
    return this.#rulings.effectOf(next)
  }

  /** It is known now whose this client is: what stands about it is judged again. */
  identified(client: Client): Promise<void> {
    return this.#rulings.identified(client)
  }

  /** As if this client had never come: what was seen of it, what the rules made of that, and what waits for a person. */
  async forget(client: Client): Promise<void> {
    const { journal, store, ledger, governor, now } = this.#options
    await this.settled(journal.lastSeq, SETTLE_MS)
    forgetWaiting(governor, client.key)
    for (const key of [client.key, client.network]) await store.forget(key, now())
    const ruling = ledger.ofRules(client.key)
    if (ruling) await store.drop(idOf(ruling))
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
      const cursor = await this.#persist(async () => {
        // What stood in our copy may be gone there: who is judged again must not be taken for listed.
        if (this.#rewound) await this.#options.ledger.refresh()
        this.#rewound = false
        return await store.cursor(journal.box)
      })
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
      this.#guard = { ...this.#guard, pending: Queue.of() }
      await this.#heedFirst(cursor)
    }
    this.#queue = []
    let [before, told] = [-1, -1]
    while ((before < this.#taken || told < this.#onDisk) && this.#placed && !this.#closed) {
      ;[before, told] = [this.#taken, this.#onDisk]
      let batch: Entry[] = []
      for await (const entry of journal.read(this.#taken)) {
        if (batch.push(entry) === BATCH_MAX) await this.#deliver(batch.splice(0))
        if (this.#closed || !this.#placed) return
      }
      if (batch.length > 0) await this.#deliver(batch)
    }
    if (this.#closed || !this.#placed) return
    // Nothing was told of during the last look, which might be younger than the end that it saw: from here on live entries queue in
    // memory again.
    this.#behind = false
    this.#advance(Math.max(this.#taken, this.#onDisk))
  }

  /**
   * The operator's words that the store has not: first of all, so that nobody who was allowed or released meanwhile is
   * listed by what was seen before, not even until the word's turn comes. What they did to listings that wait is done in turn.
   */
  async #heedFirst(after: number): Promise<void> {
    const { journal, ledger } = this.#options
    let heeded = false
    for await (const { seq, event } of journal.read(after, '"type":"word"')) {
      if (event.type !== 'word' || event.word === 'enlist' || event.word === 'discard') continue
      await this.#persist(() => this.apply(seq, event))
      heeded = true
    }
    if (heeded) await this.#persist(() => ledger.refresh())
  }

  async #deliver(batch: readonly Entry[]): Promise<void> {
    const parts: Part[] = [{ counted: [], waived: [] }]
    for (const { seq, event } of batch) {
      this.#taken = Math.max(this.#taken, seq)
      if (isStaleCanary(event, this.#options.now())) continue
      const admission = admit(this.#guard, seq, event)
      this.#guard = admission.guard
      const part = parts.at(-1) as Part
      part.counted.push(...admission.counted)
      part.waived.push(...admission.waived)
      if (event.type !== 'word') continue
      part.ends = { seq, word: event }
      parts.push({ counted: [], waived: [] })
    }
    if (this.#guard.pending.length > 0) this.#options.tell({ what: 'pending' })
    // Hits that wait for a probe keep the cursor before them, so that a restart finds them in the journal again.
    const upTo = Math.min(this.#taken, (this.#guard.pending.first?.seq ?? Infinity) - 1)
    const done = await this.#persist(async () => {
      try {
        for (const { counted, waived, ends } of parts) {
          await this.#count(counted, waived)
          if (ends && !this.#applied.delete(ends.seq)) await this.#rulings.apply(ends.word)
        }
      } catch (error) {
        if (error instanceof Rewound) return 'rewound'
        throw error
      }
      // Only now does the cursor move: what a crash leaves undone in between is done again.
      await this.#options.store.add(this.#options.journal.box, [], upTo)
      this.#cursor = upTo
      return 'done'
    })
    if (done === 'rewound') {
      // The store lost what it had: begin again at its cursor, from the files.
      this.#rewound = true
      this.#placed = false
      this.#behind = true
    }
    if (done !== 'done') return
    for (const { counted, waived } of parts) {
      for (const { evidence } of counted) this.#options.tell({ what: 'counted', evidence })
      for (const { evidence, why } of waived) this.#options.tell({ what: 'waived', evidence, why })
    }
    this.#advance(this.#taken)
  }

  /** What was waived is kept, too, under the reason: it weighs nothing, and can be told of. */
  async #count(counted: readonly Numbered[], waived: readonly Waived[]): Promise<void> {
    const { store, journal } = this.#options
    const tallies: Tally[] = []
    const clients = new Map<string, Client>()
    for (const hit of [...counted, ...waived]) {
      let client = clients.get(hit.evidence.client)
      if (!client) {
        clients.set(hit.evidence.client, (client = clientOf(hit.evidence)))
        const forgetting = this.#rulings.forgetReleased(client)
        if (forgetting) await forgetting
      }
      tallies.push(tally(hit, client))
    }
    const touched = await store.add(journal.box, tallies, this.#cursor)
    const factsOf = (client: Client): Facts => ({
      own: touched.get(client.key) ?? NO_COUNTS,
      network: touched.get(client.network) ?? NO_COUNTS,
    })
    const seen = (role: 'real' | 'decoy') => {
      const there = counted.filter(({ evidence }) => (evidence.role === 'real') === (role === 'real'))
      const last = there.map(({ evidence }) => ({ client: clientOf(evidence), at: evidence.at }))
      return new Map(last.map((each) => [each.client.key, each])).values()
    }
    for (const { client } of seen('real')) this.#rulings.note(client, factsOf(client))
    for (const { client, at } of seen('decoy')) await this.#rulings.judge(client, factsOf(client), at)
  }

  /** See `Rulings.ease`. */
  ease(word: Word): void {
    this.#rulings.ease(word)
  }

  /** The operator's word, put into effect ahead of all the evidence that may be waiting. Rejects when the store does. */
  async apply(seq: number, word: Word): Promise<void> {
    await this.#rulings.apply(word)
    if (this.#applied.size < WORDS_MAX && seq > this.#taken) this.#applied.add(seq)
  }

  /** Tries until it works; undefined when we are closed before. */
  async #persist<Value>(attempt: () => Promise<Value>): Promise<Value | undefined> {
    for (let tries = 0; !this.#closed; tries++) {
      try {
        const value = await attempt()
        if (tries > 0) this.#options.tell({ what: 'flowing' })
        this.#blocked = undefined
        return value
      } catch (error) {
        this.#blocked = (error as Error).message
        if (tries === 0) this.#options.tell({ what: 'blocked', error: this.#blocked })
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
