/**
 * What comes of the facts: the rules' word made to stand, if the governor lets it.
 *
 * Every change of what stands goes through here, the operator's word (operator-word.ts), too, and from here to the store, which
 * tells the ledger of every process.
 */
import { setImmediate } from 'node:timers/promises'
import { LRUCache } from 'lru-cache'
import { type Client, clientOfKey } from '../core/client.ts'
import { creditOf } from '../core/credit.ts'
import { EVERYTHING, type Instant, type Word } from '../core/evidence.ts'
import { countsSince, type Facts, lastAtDecoys } from '../core/facts.ts'
import { effectOf, endOf, isHeavier, type Listing, renew, type Stand, standOf } from '../core/listing.ts'
import type { Member } from '../core/pools.ts'
import { covers, parsePrefix } from '../core/prefixes.ts'
import type { Rules } from '../core/rules.ts'
import { judge, type Reason, type Verdict } from '../core/verdict.ts'
import { countEffect, type Effect, SLICE } from './effect.ts'
import { forgetWaiting, govern, isGood, noteGood, stillWaiting, takeWaiting, type Why } from './governor.ts'
import type { Ledger } from './ledger.ts'
import { ease, putIntoEffect, type Reach } from './operator-word.ts'
import { idOf, type Ruling, ticketOf } from './store.ts'

export type RulingsOptions = Reach & {
  /** The pool of senders that a client belongs to, from memory. */
  readonly memberOf: (client: Client) => Member
  /** Nobody knows yet whose this client is, and it would be listed: to be asked, and told by `identified`. */
  readonly identify: (client: Client) => void
  /** The governor holds a listing back, as one of so many. */
  readonly governed: (client: Client, why: Why, waiting: number) => void
}

export type Rejudged = {
  readonly kept: number
  readonly changed: number
  readonly released: number
  /** Listings that the governor holds back now. */
  readonly waiting: number
}

/** Clients without a listing that are remembered as judged lately. */
const LATELY_MAX = 10_000

/** A listing is written again only when its end moves by more than this. */
const UNTIL_STEP_MS = 60_000

/** Clients whose forgetting is remembered as done; doing it again does no harm. */
const FORGOTTEN_MAX = 100_000

export class Rulings {
  readonly #options: RulingsOptions
  /** Clients that have forgotten what came before a release, with its time. */
  readonly #forgotten = new Set<string>()

  /** Who was judged lately, the newest first: other rules may say otherwise of them. */
  readonly #lately = new LRUCache<string, Client>({ max: LATELY_MAX })

  constructor(options: RulingsOptions) {
    this.#options = options
  }

  /**
   * To be called before anything is added to the facts of a client: what was seen of it before an operator released it is
   * forgotten, also if nobody knew of the client when a whole network was released. Undefined: there is nothing to forget,
   * as for nearly everybody.
   */
  forgetReleased(client: Client): Promise<void> | undefined {
    const release = this.#options.ledger.releaseOf(client)
    if (!release) return undefined
    const mark = `${client.key} ${release.at}`
    return this.#forgotten.has(mark) ? undefined : this.#forget(client, release.at, mark)
  }

  async #forget(client: Client, at: Instant, mark: string): Promise<void> {
    await this.#options.store.forget(client.key, at)
    if (this.#forgotten.size >= FORGOTTEN_MAX) this.#forgotten.clear()
    this.#forgotten.add(mark)
  }

  /** A client was seen at the real MX: that alone lists nobody, but it may be one of those in good standing. */
  note(client: Client, facts: Facts): void {
    const { governor, rules, now } = this.#options
    if (isGood(facts, creditOf(facts, rules().credit, now()))) noteGood(governor, client, now())
  }

  /**
   * New evidence at a decoy: what do the rules say now, and what stands after it? The governor counts by the time at which
   * it was seen, so that what is delivered late, all at once, is no flood.
   */
  async judge(client: Client, facts: Facts, seenAt: Instant): Promise<void> {
    const { governor, ledger, rules, now } = this.#options
    this.#lately.set(client.key, client)
    const verdict = this.#judge(client, released(facts, ledger, client), now())
    const good = isGood(facts, verdict.credit)
    if (good) noteGood(governor, client, now())
    await this.#rule(
      client,
      verdict,
      renew(listingOf(ledger.ofRules(client.key)), verdict, rules(), now()),
      good,
      seenAt,
    )
  }

  /** It is known now whose this client is, or that nobody knows. */
  async identified(client: Client): Promise<void> {
    const { ledger, now } = this.#options
    const { verdict, made, good } = await this.#again(client)
    const next = this.#asOfNow(verdict, made, ledger.ofRules(client.key))
    await this.#rule(client, verdict, next, good, now())
  }

  /**
   * After the rules have changed: what would they have said of every client that is listed, or waits to be, when it was
   * last seen, and of those judged lately? Here, and only here, a lesser verdict shortens a listing. What they newly say passes the governor.
   */
  async rejudge(): Promise<Rejudged> {
    const { ledger, governor, now } = this.#options
    const outcome = { kept: 0, changed: 0, released: 0 }
    let looked = 0
    for (const ruling of ledger.all()) {
      if (looked++ % SLICE === 0) await setImmediate()
      const client = ruling.by === 'rules' ? clientOfKey(ruling.target) : undefined
      if (!client) continue
      const { verdict, made, good } = await this.#again(client)
      const next = this.#asOfNow(verdict, made, ruling)
      outcome[!next ? 'released' : next.stands[0]?.word === ruling.word ? 'kept' : 'changed']++
      await this.#rule(client, verdict, next, good, now())
    }
    for (const client of this.#unlisted()) {
      const { verdict, made, good } = await this.#again(client)
      await this.#rule(client, verdict, this.#asOfNow(verdict, made, undefined), good, now())
    }
    return { ...outcome, waiting: governor.waiting.size }
  }

  /** The difference that these rules would make now, if they took the place of those that are in use. */
  effectOf(next: Rules): Promise<Effect> {
    const { ledger, rules, now } = this.#options
    const unlisted = this.#unlisted()
    const known = function* (): Generator<Client> {
      yield* ledger.listed()
      yield* unlisted
    }
    return countEffect(known(), async (client) => {
      const ruling = ledger.ofRules(client.key)
      const { verdict, made } = await this.#again(client, next)
      const [before, after] = [listingOf(ruling), this.#asOfNow(verdict, made, ruling, next)]
      return {
        was: standOf(before?.stands ?? [], now())?.word,
        will: after?.stands[0]?.word,
        told: before && effectOf(before, rules(), now()),
        tell: after && effectOf(after, next, now()),
      }
    })
  }

  /** Who waits to be listed, or was judged lately, and is not listed. */
  #unlisted(): Client[] {
    const { ledger, governor, now } = this.#options
    const known = new Map(this.#lately.entries())
    for (const { client } of stillWaiting(governor, now())) known.set(client.key, client)
    return [...known.values()].filter(({ key }) => !ledger.ofRules(key))
  }

  /** What rules say of a client as of the time when it was last seen at a decoy. */
  async #again(
    client: Client,
    rules = this.#options.rules(),
  ): Promise<{ verdict: Verdict; made: Listing | undefined; good: boolean }> {
    const { store } = this.#options
    const [own, network] = await Promise.all([store.counts(client.key), store.counts(client.network)])
    const facts = released({ own, network }, this.#options.ledger, client)
    const seenAt = lastAtDecoys(facts.own)
    const verdict = this.#judge(client, facts, seenAt, rules)
    const made = renew(undefined, verdict, rules, seenAt)
    return { verdict, made, good: isGood(facts, verdict.credit) }
  }

  /** What stands now of what the rules said when the client was last seen. */
  #asOfNow(
    verdict: Verdict,
    made: Listing | undefined,
    before: Ruling | undefined,
    rules = this.#options.rules(),
  ): Listing | undefined {
    const { now } = this.#options
    if (made && before) return stillStanding(made, before, now())
    return made && endOf(made) > now() ? renew(undefined, verdict, rules, now()) : undefined
  }

  #judge(client: Client, facts: Facts, at: Instant, rules = this.#options.rules()): Verdict {
    const { memberOf, identify, ledger } = this.#options
    const { verdict, unsure } = judgeKnown(client, facts, rules, at, memberOf, ledger)
    if (unsure) identify(client)
    return verdict
  }

  /** The operator's word, where it lets somebody pass, is in effect here at once, whether or not the store answers. */
  ease(word: Word): void {
    ease(word, this.#options.ledger)
  }

  /** The operator's word. Repeating one changes nothing. */
  async apply(word: Word): Promise<void> {
    if (word.word === 'enlist' || word.word === 'discard') await this.#settleWaiting(word)
    else await putIntoEffect(word, this.#options)
  }

  /** What the governor holds back is put into effect, or let go. */
  async #settleWaiting({ word, target }: Word): Promise<void> {
    const prefix = target === EVERYTHING ? undefined : parsePrefix(target)
    if (typeof prefix === 'string') return
    const taken = takeWaiting(this.#options.governor, (client) => !prefix || covers(prefix, client))
    if (word === 'discard') return taken.forEach(({ client }) => this.#lately.delete(client.key))
    for (const waiting of taken) await this.#write(waiting.client, waiting.listing, waiting)
  }

  /** What stands for a client now, once the governor has let it pass: written down, if it differs from what stood. */
  async #rule(
    client: Client,
    verdict: Verdict,
    wanted: Listing | undefined,
    good: boolean,
    at: Instant,
  ): Promise<void> {
    const { store, ledger } = this.#options
    const before = ledger.ofRules(client.key)
    const next = this.#governed(client, verdict, wanted, listingOf(before), good, at)
    if (next) await this.#write(client, next, { score: verdict.score, because: heaviestOf(verdict)?.because })
    else if (before) await store.drop(idOf(before))
  }

  /** A listing that is new, or grows heavier, needs the governor's leave; until then what stood stands on. */
  #governed(
    client: Client,
    verdict: Verdict,
    next: Listing | undefined,
    before: Listing | undefined,
    good: boolean,
    at: Instant,
  ): Listing | undefined {
    const { governor, now, governed } = this.#options
    const word = next?.stands[0]?.word
    const stood = standOf(before?.stands ?? [], now())?.word
    if (!next || !word || (stood && !isHeavier(word, stood))) {
      forgetWaiting(governor, client.key)
      return next
    }
    const { score } = verdict
    const candidate = { client, good, word, listing: next, score, because: heaviestOf(verdict)?.because ?? '' }
    const waited = governor.waiting.get(client.key)?.why
    const why = govern(governor, candidate, Math.min(at, now()))
    if (!why) return next
    if (why !== waited) governed(client, why, governor.waiting.size)
    if (!before || !stood) return undefined
    const upTo = (stands: readonly Stand[]) => stands.filter((stand) => !isHeavier(stand.word, stood))
    return { since: before.since, stands: upTo(next.stands), enforced: upTo(next.enforced) }
  }

  async #write(
    client: Client,
    next: Listing,
    { score, because }: { readonly score: number; readonly because: string | undefined },
  ): Promise<void> {
    const { store, ledger } = this.#options
    const before = ledger.ofRules(client.key)
    const [word] = next.stands
    if (!word || (before && alike(before.stands, next.stands) && alike(before.enforced, next.enforced))) return
    await store.put({
      by: 'rules',
      target: client.key,
      word: word.word,
      since: next.since,
      until: endOf(next),
      stands: next.stands,
      enforced: next.enforced,
      ticket: ticketOf(client.key, next.since),
      because: because ?? before?.because ?? '',
      score,
    })
  }
}

/**
 * What the rules say of a client, with what is known of its pool. Unsure: it would be listed, and nobody knows whose it is;
 * the order of its visits then counts for nothing meanwhile. But what stands was made when it was known (what DNS said of
 * clients is forgotten at a restart), and is not undone because nobody knows it any more.
 */
export function judgeKnown(
  client: Client,
  facts: Facts,
  rules: Rules,
  now: Instant,
  memberOf: RulingsOptions['memberOf'],
  ledger: Pick<Ledger, 'ofRules'>,
): { readonly verdict: Verdict; readonly unsure: boolean } {
  const member = memberOf(client)
  if (member !== 'unknown') return { verdict: judge(client, { ...facts, member }, rules, now), unsure: false }
  const verdict = judge(client, facts, rules, now)
  const heaviest = verdict.reached[0]?.word
  if (heaviest === undefined) return { verdict, unsure: false }
  const stood = standOf(listingOf(ledger.ofRules(client.key))?.stands ?? [], now)?.word
  if (stood && !isHeavier(heaviest, stood)) return { verdict, unsure: true }
  return { verdict: judge(client, { ...facts, member }, rules, now), unsure: true }
}

/** The facts as an operator's release leaves them. */
export function released(facts: Facts, ledger: Ledger, client: Client): Facts {
  const release = ledger.releaseOf(client)
  if (!release) return facts
  return { ...facts, own: countsSince(facts.own, release.at), releasedUntil: release.until }
}

function heaviestOf({ reasons }: Verdict): Reason | undefined {
  return reasons.toSorted((a, b) => b.weight - a.weight)[0]
}

function listingOf(ruling: Ruling | undefined): Listing | undefined {
  if (!ruling || ruling.word === 'allow' || ruling.word === 'release' || ruling.until === undefined) return undefined
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
