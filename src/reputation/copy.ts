/**
 * The rulings in a process that has no store: a copy of the copy, kept by news from the process that has one.
 *
 * `Announcer` stands beside the store's ledger and gives out all rulings once, in portions, then every change and, on
 * each beat, whether its own copy is fresh. `openCopy` takes that in and decides by the same `Ledger` and `decider` as
 * everywhere. Without a beat for PATIENCE_MS, or with one that says "not fresh", the copy ages as it would with a store
 * that does not answer, and in the end decides nothing. What only people read of a ruling stays where the store is.
 */
import type { Instant } from '../core/evidence.ts'
import type { Rules } from '../core/rules.ts'
import { type Decide, decider } from './decision.ts'
import { Ledger, type LedgerHappening, type RulingSource } from './ledger.ts'
import { ById, Unended } from './by-id.ts'
import { type Change, idOf, type Ruling, type Snapshot } from './store.ts'

export type News =
  /** All rulings follow, in portions, each with nothing left out; `last` ends them. */
  | { readonly what: 'all'; readonly first: boolean; readonly last: boolean; readonly rulings: readonly Ruling[] }
  | { readonly what: 'changes'; readonly steps: readonly Step[] }
  | { readonly what: 'beat'; readonly fresh: boolean }

export type Step = { readonly put: Ruling } | { readonly drop: string }

/** Rulings in one portion, so that a million of them do not hold up the sender for long. */
const PORTION = 2000
/** Without news for so long, the sender is as good as gone. */
const PATIENCE_MS = 3000

/** Gives out the news of one ledger to one listener. */
export class Announcer {
  readonly #ledger: Ledger
  readonly #send: (news: News) => void
  #steps: Step[] = []

  constructor(ledger: Ledger, send: (news: News) => void) {
    this.#ledger = ledger
    this.#send = send
    this.#all()
  }

  /** To be called with all that the ledger tells. */
  hear(it: LedgerHappening): void {
    if (it.what === 'loaded') this.#all()
    if (it.what !== 'changed') return
    const step: Step | undefined = it.ruling
      ? { put: lean(it.ruling) }
      : it.before
        ? { drop: idOf(it.before) }
        : undefined
    if (!step) return
    // Changes come in bursts: one message tells all of one turn of the loop.
    if (this.#steps.push(step) === 1) setImmediate(() => this.#flush())
  }

  beat(): void {
    this.#send({ what: 'beat', fresh: this.#ledger.state === 'fresh' })
  }

  #flush(): void {
    const steps = this.#steps
    this.#steps = []
    if (steps.length > 0) this.#send({ what: 'changes', steps })
  }

  #all(): void {
    this.#steps = []
    let [first, rulings] = [true, [] as Ruling[]]
    const send = (last: boolean) => {
      this.#send({ what: 'all', first, last, rulings })
      first = false
      rulings = []
    }
    for (const ruling of this.#ledger.all()) {
      if (rulings.length === PORTION) send(false)
      rulings.push(lean(ruling))
    }
    send(true)
    this.beat()
  }
}

export type Copy = {
  readonly decide: Decide
  readonly take: (news: News) => void
  readonly close: () => void
}

export type CopyOptions = {
  readonly rules: () => Rules
  readonly now: () => Instant
  /** Milliseconds that only go up. */
  readonly uptime: () => number
  readonly maxAgeMs: number
  /** Something stands otherwise than before. */
  readonly changed: () => void
}

/** Settles with the first whole copy; `begin` is called with what is to be given the news. */
export async function openCopy(
  { rules, now, uptime, maxAgeMs, changed }: CopyOptions,
  begin: (take: (news: News) => void) => void,
): Promise<Copy> {
  const mirror = new Mirror(uptime)
  begin((news) => mirror.take(news))
  await mirror.whole
  const tell = (it: LedgerHappening) => {
    if (it.what !== 'unreachable') changed()
  }
  const ledger = new Ledger(mirror, { now, uptime, maxAgeMs, tell })
  await ledger.start()
  return { decide: decider(ledger, rules, now), take: (news) => mirror.take(news), close: () => ledger.close() }
}

/** What a ledger needs of a store, made of the news. */
class Mirror implements RulingSource {
  readonly whole: Promise<void>
  readonly #uptime: () => number
  #rulings = new ById()
  #generation = 0
  #partial = true
  #heardAt = -Infinity
  #fresh = false
  #settle: () => void = () => {}
  #onChange: ((change: Change) => void) | undefined

  constructor(uptime: () => number) {
    this.#uptime = uptime
    this.whole = new Promise((resolve) => (this.#settle = resolve))
  }

  take(news: News): void {
    this.#heardAt = this.#uptime()
    if (news.what === 'beat') this.#fresh = news.fresh
    else if (news.what === 'changes') for (const step of news.steps) this.#step(step)
    else {
      if (news.first) this.#rulings = new ById()
      this.#partial = !news.last
      for (const ruling of news.rulings) this.#rulings.set(ruling)
      // A gap in the generations: the ledger takes all of them anew.
      this.#generation += 2
      if (news.last) this.#settle()
    }
  }

  async generation(): Promise<number> {
    this.#trusted()
    return this.#generation
  }

  async rulings(): Promise<Snapshot> {
    this.#trusted()
    return { generation: this.#generation, rulings: new Unended(this.#rulings, -Infinity) }
  }

  async watch(onChange: (change: Change) => void): Promise<void> {
    this.#onChange = onChange
  }

  #step(step: Step): void {
    this.#generation++
    if ('put' in step) this.#rulings.set(step.put)
    else this.#rulings.delete(step.drop)
    this.#onChange?.({ generation: this.#generation, ...step })
  }

  #trusted(): void {
    if (this.#partial) throw new Error('the rulings are still on their way')
    if (!this.#fresh) throw new Error('the store does not answer the appliance')
    if (this.#uptime() - this.#heardAt > PATIENCE_MS) throw new Error('the appliance is not heard of')
  }
}

function lean(ruling: Ruling): Ruling {
  return { ...ruling, because: '', author: undefined, score: undefined }
}
