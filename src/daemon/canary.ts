/**
 * The canary: now and then the appliance plays a bot and an honest client to itself, and looks whether the one is refused
 * wherever anybody asks, and the other nowhere.
 *
 * Both come through our own decoys, by doors that only we can open, under reserved addresses (core/canary.ts), and are
 * judged like anybody: what is asked afterwards is what the decision of that moment wants at each door. So in mode observe
 * it is proved that nobody is refused. Where this process has no decoys, the bot's evidence is written down instead, and
 * what is proved begins at the journal.
 *
 * What it leaves: a few lines in the journal, which count for nothing later; one connection at each decoy, in the figures of
 * connections under `via="canary"`; the DNSBL's count of queries; one new listing in the governor's counts of a minute, and
 * of an hour. Its questions do not vouch for the real MX. Listing and facts are dropped when it is over, and what a crash
 * left behind at the next play. One play at a time; each step has its deadline.
 */
import { randomInt } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { CANARIES, CANARY_MS, canaryBot, canaryHonest, isCanary } from '../core/canary.ts'
import { type Client, clientOfKey } from '../core/client.ts'
import type { Instant, Witness } from '../core/evidence.ts'
import type { Decision } from '../reputation/decision.ts'
import type { Reputation } from '../reputation/reputation.ts'
import { NOT_FOR_US, barge, callPrimary, type Visiting, type Way } from './canary-ways.ts'

/** Of one way out, or of a step before it: what was seen, and whether it is right. */
export type CanaryCheck = { readonly way: string; readonly ok: boolean; readonly seen: string }

export type CanaryView = {
  /** `paused`: it could not be played now, for a reason that is no fault of the chain. */
  readonly state: 'off' | 'unplayed' | 'sound' | 'paused' | 'failing'
  readonly at: string | null
  /** Why it is paused or failing, in a sentence. */
  readonly because: string | null
  /** From the bot's last word to the last right answer about it. */
  readonly shownMs: number | null
  readonly checks: readonly CanaryCheck[]
}

export type CanaryOptions = {
  readonly everyMs: number
  readonly enabled: boolean
  /** The state directory. */
  readonly folder: string
  /** Are there decoys in this process, or its workers? */
  readonly decoys: boolean
  /** A domain that we protect, if one is written out. */
  readonly domain: () => string | undefined
  readonly reputation: Pick<Reputation, 'box' | 'decide' | 'explain' | 'waiting' | 'rulings' | 'forget'>
  readonly witness: Witness
  readonly ways: () => readonly Way[]
  readonly tell: (view: CanaryView) => void
  readonly now: () => Instant
}

/** A slow pace takes half a minute up to the first recipient; as set by hand, longer. */
const VISIT_MS = 120_000
/** A stranger at the primary is turned away at once. */
const TURNED_AWAY_MS = 5000
/** From the bot's last word to a decision: the promise, and some room for a busy host. */
const DECISION_MS = 5000
const LOOK_MS = 10

/** Why it cannot be played now. */
class Paused extends Error {}
/** What is wrong with the chain. */
class Broken extends Error {}

export class Canary {
  readonly #options: CanaryOptions
  readonly #honest: Client
  readonly #ending = new AbortController()
  #view: CanaryView
  #playing: Promise<CanaryView> | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(options: CanaryOptions) {
    this.#options = options
    // Always the same on one box, so that it is one client and no more.
    this.#honest = canaryHonest(Number.parseInt(options.reputation.box.slice(0, 8), 16) % CANARIES)
    this.#view = { state: options.enabled ? 'unplayed' : 'off', at: null, because: null, shownMs: null, checks: [] }
  }

  get view(): CanaryView {
    return this.#view
  }

  /** The first play is a whole interval away: a start is busy enough, and `doctor` need not wait. */
  start(): void {
    const { enabled, everyMs } = this.#options
    if (enabled) this.#timer = setInterval(() => void this.play(), everyMs).unref()
  }

  /** Now, or the one that is being played. Never rejects. */
  async play(): Promise<CanaryView> {
    if (!this.#options.enabled || this.#ending.signal.aborted) return this.#view
    this.#playing ??= this.#play().finally(() => (this.#playing = undefined))
    return await this.#playing
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    this.#ending.abort()
    await this.#playing
  }

  async #play(): Promise<CanaryView> {
    const bot = canaryBot(randomInt(CANARIES))
    const checks: CanaryCheck[] = []
    let outcome: Pick<CanaryView, 'state' | 'because' | 'shownMs'>
    try {
      await this.#sweep()
      const shownMs = await this.#prove(bot, checks)
      const wrong = checks.find(({ ok }) => !ok)
      outcome = { state: wrong ? 'failing' : 'sound', because: wrong ? `${wrong.way}: ${wrong.seen}` : null, shownMs }
    } catch (error) {
      const paused = error instanceof Paused || this.#ending.signal.aborted
      outcome = { state: paused ? 'paused' : 'failing', because: (error as Error).message, shownMs: null }
    }
    await this.#cleanUp(bot).catch((error: Error) => {
      if (outcome.state === 'sound') outcome = { ...outcome, state: 'failing', because: error.message }
    })
    this.#view = { ...outcome, at: new Date(this.#options.now()).toISOString(), checks }
    if (!this.#ending.signal.aborted) this.#options.tell(this.#view)
    return this.#view
  }

  /** Both walks, and every way out. Gives the time until the bot was known everywhere. */
  async #prove(bot: Client, checks: CanaryCheck[]): Promise<number> {
    const { decide } = this.#options.reputation
    for (const client of [bot, this.#honest]) {
      const { verdict, because } = decide(client)
      if (verdict !== 'clean')
        throw new Paused(`${client.ip}, an address of the canary's, is under "${verdict}" already: ${because ?? ''}`)
    }
    const ways = this.#options.ways()
    await this.#walk()
    const honest = await Promise.all(ways.map((way) => asked(way, this.#honest, decide(this.#honest))))
    await this.#misbehave(bot)
    const since = performance.now()
    const decision = await this.#decided(bot)
    const found = await Promise.all(ways.map((way) => asked(way, bot, decision)))
    const shownMs = Math.round(performance.now() - since)
    for (const [i, { name }] of ways.entries()) checks.push(checkOf(name, found[i] as Asked, honest[i] as Asked))
    const { verdict, because } = decide(this.#honest)
    if (verdict !== 'clean') throw new Broken(`the honest client is under "${verdict}": ${because ?? ''}`)
    return shownMs
  }

  /** The honest client begins where it should. */
  async #walk(): Promise<void> {
    if (!this.#options.decoys) return
    const said = await callPrimary(this.#honest, this.#visiting(TURNED_AWAY_MS))
    if (said !== '') throw new Broken(`the primary said "${said.trim()}" to a stranger, which loses honest mail`)
  }

  async #misbehave(bot: Client): Promise<void> {
    const domain = this.#options.domain()
    if (domain === undefined)
      throw new Paused('the rules name no protected domain in full, so there is nobody to write to')
    if (!this.#options.decoys) return this.#writeDown(bot)
    const reply = await barge(bot, domain, this.#visiting(VISIT_MS))
    if (reply.startsWith('421')) throw new Paused('the real MX is away, so the backup turns everybody away at once')
    if (reply.startsWith('2')) throw new Broken(`the backup accepted a recipient: ${reply}`)
    if (!reply.startsWith('4')) throw new Broken(`the backup did not come to an answer about a recipient: ${reply}`)
  }

  /** What a decoy elsewhere would have told of it. */
  async #writeDown(bot: Client): Promise<void> {
    const { witness, now } = this.#options
    const seen = { type: 'evidence', at: now(), client: bot.ip, role: 'backup', session: `canary-${bot.ip}` } as const
    await Promise.all([
      witness({ ...seen, kind: 'early-talk', stage: 'connect' }),
      witness({ ...seen, kind: 'recipient', stage: 'rcpt' }),
    ])
  }

  async #decided(bot: Client): Promise<Decision> {
    const { decide, waiting, explain } = this.#options.reputation
    for (const since = performance.now(); performance.now() - since < DECISION_MS; await pause(LOOK_MS)) {
      const decision = decide(bot)
      if (decision.doubt) throw new Broken(`nobody is refused now: the copy of the decisions is ${decision.doubt}`)
      if (decision.verdict !== 'clean') return decision
      if (waiting().some(({ client }) => client.key === bot.key))
        throw new Paused('the governor holds back every new listing: see "decoymx governor"')
      if (this.#ending.signal.aborted) throw new Paused('the appliance is ending')
    }
    const { verdict, contacts, facts } = await explain(bot)
    if (!facts.own.has('backup.recipient'))
      throw new Broken(
        `what a bot did at the backup is not known ${DECISION_MS / 1000} s later (${contacts.backup} contacts): is the journal written, and the store there?`,
      )
    throw new Paused(
      `the rules list nobody for talking first and naming a recipient of ours (${verdict?.score ?? 0} of ${verdict?.threshold ?? 'no'} points)`,
    )
  }

  async #cleanUp(bot: Client): Promise<void> {
    const { forget, decide } = this.#options.reputation
    for (const client of [bot, this.#honest]) await forget(client)
    for (const since = performance.now(); decide(bot).verdict !== 'clean'; await pause(LOOK_MS))
      if (performance.now() - since > DECISION_MS)
        throw new Broken(`the listing of the canary ${bot.ip} does not go away`)
  }

  /** What plays before this one left behind, here or on a box that shares the store. */
  async #sweep(): Promise<void> {
    const { rulings, forget } = this.#options.reputation
    for (const { by, target, since } of rulings()) {
      const left = by === 'rules' && isCanary(target) && this.#options.now() - since > CANARY_MS
      const client = left ? clientOfKey(target) : undefined
      if (client) await forget(client)
    }
  }

  #visiting(patienceMs: number): Visiting {
    return { folder: this.#options.folder, signal: this.#ending.signal, patienceMs }
  }
}

type Asked = { readonly answer: string; readonly wanted: string }

/** Asks until the answer is right, or its time is over. */
async function asked(way: Way, client: Client, decision: Decision): Promise<Asked> {
  const wanted = way.wants(decision)
  for (const since = performance.now(); ; await pause(LOOK_MS)) {
    const answer = await way.ask(client).catch((error: Error) => error.message)
    if (answer === wanted || answer === NOT_FOR_US || performance.now() - since > way.withinMs)
      return { answer, wanted }
  }
}

function checkOf(way: string, bot: Asked, honest: Asked): CanaryCheck {
  const wrong = [
    { who: 'the bot', ...bot },
    { who: 'the honest client', ...honest },
  ].filter(({ answer, wanted }) => answer !== wanted && answer !== NOT_FOR_US)
  if (wrong.length > 0) {
    const seen = wrong.map(({ who, answer, wanted }) => `${who}: ${answer}, expected ${wanted}`)
    return { way, ok: false, seen: seen.join('; ') }
  }
  return { way, ok: true, seen: `the bot ${bot.answer}, the honest client ${honest.answer}` }
}
