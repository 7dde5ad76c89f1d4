/**
 * One worker, as the appliance has it: its process started, told what it must know, heard, and another started in its place.
 *
 * One that is slow to begin is told. One that does not come to its doors for minutes is ended, and its successor may take twice as
 * long, and so on: on a slow machine another would be as slow, and one of them has the time that it needs.
 *
 * One that was at its doors and falls silent hangs (`crew-silence`). The kernel goes on giving it senders, who would wait for
 * minutes: so it is killed, for it hears nothing else, and those senders are reset and come again.
 */
import { type ChildProcess, fork, type StdioOptions } from 'node:child_process'
import { join } from 'node:path'
import type { Client } from '../core/client.ts'
import type { Witness } from '../core/evidence.ts'
import type { Never } from '../core/never.ts'
import type { Guest } from '../decoy/crowd.ts'
import type { Told } from '../decoy/gathering.ts'
import type { Look } from '../decoy/look.ts'
import { Census } from '../decoy/shares.ts'
import type { Reputation } from '../reputation/reputation.ts'
import type { RulesText } from '../settings/checked.ts'
import { Asking } from './crew-asking.ts'
import type { Counts, FromWorker, Shares, ToWorker } from './crew-channel.ts'
import { SharedDoors } from './crew-doors.ts'
import { Silence } from './crew-silence.ts'
import { decoyDoors, type Found } from './decoys.ts'
import { WORKER_FLAGS } from './heap.ts'
import type { Settings } from '../settings/settings.ts'
import type { DoorHappening } from './sockets.ts'

export type CrewHappening =
  | { readonly what: 'began'; readonly worker: number; readonly pid: number }
  /** It has not come to all of its doors yet, so long after it began; and when it has after all. */
  | { readonly what: 'late'; readonly worker: number; readonly afterMs: number }
  | { readonly what: 'ready late'; readonly worker: number; readonly afterMs: number }
  /** It has had its time, and is ended; `ended` follows. */
  | { readonly what: 'given up'; readonly worker: number; readonly afterMs: number }
  /** It was ready, has said nothing for so many beats of ours, and is killed; `ended` follows. */
  | { readonly what: 'silent'; readonly worker: number; readonly beats: number }
  | {
      readonly what: 'ended'
      readonly worker: number
      readonly how: string
      /** False: by us. */
      readonly itself: boolean
      readonly againMs: number
    }

export type CrewOptions = {
  readonly settings: Settings['decoys']
  readonly maxAgeMs: number
  readonly rules: () => RulesText
  readonly never: Never
  readonly reputation: Pick<Reputation, 'announce'>
  readonly witness: Witness
  readonly tell: (told: Told) => void
  readonly door: (happening: DoorHappening) => void
  readonly crew: (happening: CrewHappening) => void
  /** Events that a worker could not hand over. */
  readonly lost: (events: number) => void
  readonly pressed: (shed: number) => void
  readonly outage?: (() => boolean) | undefined
  readonly looksLike?: (() => Look | undefined) | undefined
  /** The state directory, where the canary comes in, if it does. */
  readonly canary: string | undefined
  readonly patience?: Patience
}

/**
 * After `lateMs` a worker is told to be late; after `readyMs` the appliance goes on without those that are; after `giveUpMs`
 * it is ended, and its successor has twice as long. Whoever is asked to end and has not after `endMs` is killed, and who is
 * ready and then says nothing for `silentBeats`.
 */
export type Patience = {
  readonly lateMs: number
  readonly readyMs: number
  readonly giveUpMs: number
  readonly endMs: number
  readonly silentBeats: number
}

/**
 * A worker takes half a second to open its doors; 20 s are enough on a machine 20 times slower. What it does longest at once, to
 * collect garbage, takes half a second with 100,000 held; and a sender that the kernel gave to one that hangs would wait five
 * minutes for its greeting (RFC 5321, section 4.5.3.2.1).
 */
export const PATIENCE: Patience = { lateMs: 5000, readyMs: 20_000, giveUpMs: 120_000, endMs: 3500, silentBeats: 10 }
/** The last of many successors has so many times as long as the first: half an hour. */
const PATIENCE_GROWTH_MAX = 16
/** From the end of a worker to the next one's start: doubled each time, and short again after a life so long. */
const AGAIN_MS = { first: 250, most: 10_000, long: 60_000 } as const

export class Worker {
  readonly ready: Promise<void>
  readonly number: number
  /** It runs, has not come to its doors, and ought to have. */
  isLate = false
  /** It has not yet heard what the others have. */
  isNew = true
  readonly census: Record<'primary' | 'backup', Census>
  readonly #workers: number
  readonly #options: CrewOptions
  readonly #patience: Patience
  readonly #asking = new Asking()
  readonly #doors: SharedDoors
  readonly #news: () => void
  /** What it was last told; the same is not told again. */
  #told: { shares: Shares; outage: boolean; look: Look | undefined } | undefined
  #child: ChildProcess | undefined
  #timer: NodeJS.Timeout | undefined
  #pauseMs: number = AGAIN_MS.first
  /** How many times as long as the first this one has until it is given up. */
  #growth = 1
  #ending = false
  /** Undefined: it is not at its doors yet, or on its way out. */
  #silence: Silence | undefined
  #hangs = () => {}
  #settle = () => {}
  #isReady = () => {}
  #ended = () => {}
  counts: Counts | undefined
  guests: readonly Guest[] = []

  constructor(
    number: number,
    workers: number,
    options: CrewOptions,
    doors: SharedDoors,
    census: Record<'primary' | 'backup', Census>,
    news: () => void,
  ) {
    this.#news = news
    this.number = number
    this.#workers = workers
    this.census = census
    this.#options = options
    this.#patience = options.patience ?? PATIENCE
    this.#doors = doors
    this.ready = new Promise((resolve) => (this.#settle = resolve))
  }

  /** Of its process, while it runs; one that hangs does not. */
  get pid(): number | undefined {
    return this.#child?.connected && !this.#child.killed ? this.#child.pid : undefined
  }

  start(): void {
    if (this.#ending) return
    const { settings, maxAgeMs, rules, never, reputation, crew } = this.#options
    const child = fork(join(import.meta.dirname, 'worker.ts'), [], {
      execArgv: WORKER_FLAGS,
      serialization: 'advanced',
      // In a group of its own: a signal to ours, as from a terminal, would end it before it can hear any.
      detached: true,
      stdio: stdioWith(decoyDoors(settings).flatMap(({ address }) => address.fds?.tcp ?? [])),
    })
    this.#child = child
    const began = performance.now()
    const { lateMs, giveUpMs, silentBeats } = this.#patience
    const tellLate = () => {
      this.isLate = true
      crew({ what: 'late', worker: this.number, afterMs: lateMs })
    }
    const timeMs = giveUpMs * this.#growth
    let byUs: string | undefined
    let killing: NodeJS.Timeout | undefined
    const giveUp = () => {
      byUs = `not ready after ${timeMs / 1000} s`
      this.#growth = Math.min(this.#growth * 2, PATIENCE_GROWTH_MAX)
      crew({ what: 'given up', worker: this.number, afterMs: timeMs })
      killing = this.#endSoon(child)
    }
    const timers = [setTimeout(tellLate, lateMs), setTimeout(giveUp, timeMs)]
    this.#isReady = () => {
      // Too late: it is on its way out.
      if (byUs !== undefined) return
      for (const timer of timers) clearTimeout(timer)
      if (this.isLate) crew({ what: 'ready late', worker: this.number, afterMs: performance.now() - began })
      this.isLate = false
      this.#growth = 1
      this.#silence = new Silence(silentBeats)
      this.#settle()
    }
    this.#hangs = () => {
      byUs = 'as it hung'
      this.#silence = undefined
      crew({ what: 'silent', worker: this.number, beats: silentBeats })
      child.kill('SIGKILL')
    }
    this.send({
      what: 'begin',
      settings: this.#doors.found(settings),
      workers: this.#workers,
      maxAgeMs,
      rules: rules(),
      outage: this.#options.outage?.() ?? false,
      look: this.#options.looksLike?.(),
      canary: this.number === 1 ? this.#options.canary : undefined,
    })
    this.send({ what: 'never', groups: never.groups })
    const silence = reputation.announce((news) => this.send({ what: 'news', news }))
    child.on('message', (message: FromWorker) => this.#hear(message))
    child.on('error', () => {})
    child.once('exit', (code, signal) => {
      silence()
      for (const timer of [...timers, killing]) clearTimeout(timer)
      this.isLate = false
      this.counts = undefined
      this.#silence = undefined
      this.#child = undefined
      this.isNew = true
      this.#told = undefined
      for (const census of [this.census.primary, this.census.backup]) census.gone(this.number)
      this.#doors.gone(this.number)
      if (this.#ending) return this.#ended()
      if (this.#growth === 1 && performance.now() - began > AGAIN_MS.long) this.#pauseMs = AGAIN_MS.first
      const itself = signal ? `by ${signal}` : `with exit code ${code}`
      const how = byUs === undefined ? itself : `by us, ${byUs}`
      crew({ what: 'ended', worker: this.number, how, itself: byUs === undefined, againMs: this.#pauseMs })
      this.#timer = setTimeout(() => this.start(), this.#pauseMs)
      this.#pauseMs = Math.min(this.#pauseMs * 2, AGAIN_MS.most)
    })
    if (child.pid !== undefined) crew({ what: 'began', worker: this.number, pid: child.pid })
  }

  /** A beat of the crew's, one a second. */
  beat(): void {
    if (this.#silence?.beat()) this.#hangs()
  }

  send(message: ToWorker): void {
    // A worker that is gone hears nothing more; its successor gets everything anew.
    if (this.pid !== undefined) this.#child?.send(message, () => {})
  }

  /** What the others have, if that is news. */
  hear(shares: Shares, outage: boolean, look: Look | undefined): void {
    const told = this.#told
    const same = (role: 'primary' | 'backup') =>
      shares[role].keys.length === 0 && shares[role].connections === told?.shares[role].connections
    if (same('primary') && same('backup') && told?.outage === outage && told.look === look) return
    this.#told = { shares, outage, look }
    this.send({ what: 'beat', shares, outage, look })
  }

  /** What it has of this client: nothing, where it is not at its doors. */
  async find({ ip }: Client): Promise<Found> {
    if (!this.#silence) return { count: 0, some: [], silent: 0 }
    const found = await this.#asking.ask((number) => this.send({ what: 'find', number, client: ip }))
    return found ?? { count: 0, some: [], silent: 1 }
  }

  /** In order, if it can; else at once. */
  async end(): Promise<void> {
    this.#ending = true
    this.#silence = undefined
    clearTimeout(this.#timer)
    const child = this.#child
    if (!child) return
    const gone = new Promise<void>((resolve) => (this.#ended = resolve))
    const killing = this.#endSoon(child)
    await gone.finally(() => clearTimeout(killing))
  }

  /** It is asked to end; signals that can be heeded it leaves to us (worker.ts), so what comes then is SIGKILL. */
  #endSoon(child: ChildProcess): NodeJS.Timeout {
    this.send({ what: 'end' })
    return setTimeout(() => child.kill('SIGKILL'), this.#patience.endMs)
  }

  #hear(message: FromWorker): void {
    const { witness, tell, lost, pressed } = this.#options
    this.#silence?.heard()
    switch (message.what) {
      case 'ready':
        return this.#isReady()
      case 'found':
        return this.#asking.hear(message.number, message.found)
      case 'door':
        return this.#doors.hear(this.number, message.it)
      case 'events': {
        const { batch, events } = message
        return void Promise.all(events.map(witness)).then(() => this.send({ what: 'written', batch }))
      }
      case 'report':
        this.counts = message.counts
        this.guests = message.guests ?? this.guests
        this.census.primary.hear(this.number, message.shares.primary)
        this.census.backup.hear(this.number, message.shares.backup)
        // A crew of one shares with nobody.
        if (this.#workers > 1) this.#news()
        if (message.lost > 0) lost(message.lost)
        if (message.pressed > 0) pressed(message.pressed)
        return message.told.forEach(tell)
      case 'ended':
        // Its exit follows; the channel is all that kept it.
        return void (this.#child?.connected && this.#child.disconnect())
    }
  }
}

/** Sockets of the init system's keep their numbers: all workers accept from the same ones. */
function stdioWith(given: readonly number[]): StdioOptions {
  const slots = Array.from({ length: Math.max(2, ...given) - 2 }, (_, i) => (given.includes(3 + i) ? 3 + i : 'ignore'))
  return ['ignore', 'inherit', 'inherit', ...slots, 'ipc']
}
