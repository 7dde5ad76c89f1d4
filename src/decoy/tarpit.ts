/**
 * Holds known offenders as long as it is cheap to: no stream, no SMTP object and no timer for each. A line is a bare one
 * (libc/bare.ts) where that can be had, else a socket of Node's.
 *
 * One wheel of time turns for all of them. A held line is either dripped to (script.ts says what) or kept in silence;
 * at its life's end it is reset. The first drip comes when the real MX would greet, the others about `dripMs` apart, as the
 * jitter has it: a beat as regular as a clock's gives a tarpit away, and so does one that is the same at every start. What the client sends is swallowed, up to SWALLOW_MAX.
 *
 * Clients change their standing while they are held: after `reconsider`, each is thought about again at its next turn,
 * and let go when it is not to be kept any more.
 *
 * The schedule (`newWheel`, `put`, `due`) is a value that knows no clock.
 */
import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import type { Bare, Fd, Sign, Watch } from '../libc/bare.ts'
import type { Crowd, Line, Outcome, Visit, Who } from './crowd.ts'
import { type Look, lookOf } from './look.ts'
import { ALL_SAID, type Form, hearken, nextPiece, type Script, scriptOf } from './script.ts'

/** How a client is held. */
export type Manner = 'drip' | 'silent'

export type TarpitOptions = {
  /** Our host name, as the greeting has it. */
  readonly name: string
  readonly dripMs: number
  /** How far a pause between two drips may differ from `dripMs`, as a share of it. */
  readonly jitter?: number | undefined
  readonly form?: Form | undefined
  /** How the real MX looks, or what the settings say; asked for again each time somebody comes. */
  readonly look?: (() => Look) | undefined
  readonly crowd: Crowd
  /** A clock that never jumps. */
  readonly now: () => number
  /** Is this client still to be held? */
  readonly keeps: (who: Who) => boolean
  /** Without it all lines are sockets of Node's. */
  readonly bare?: Bare | undefined
  /** A bare line is gone, or was let go. Whoever sees a socket close says so itself, with `gone`. */
  readonly left: (visit: Visit) => void
}

/**
 * How finely the wheel divides time, by the pause between drips: a drip or an end comes at most this late. The coarser, the
 * more drips at each turn, and the cheaper each.
 */
export function tickMsFor(dripMs: number): number {
  return Math.min(Math.max(Math.floor(dripMs / 10), 10), 250)
}
/** Longest wait for the first drip, however long the real MX takes: postscreen takes 6 s. */
const GREETING_MS_MAX = 10_000
/** Dripped to in a millisecond or so: then others have their turn. */
const AT_ONCE_MAX = 64
/**
 * Bytes of a held client that are read and thrown away. Who pours more is not waiting for us; a paused socket would
 * keep them.
 */
const SWALLOW_MAX = 1_048_576

/** The visit of a socket. On the socket, for a map of a hundred thousand costs more than a field. */
const VISIT = Symbol('visit')
export type Visited = Socket & { [VISIT]?: Visit | undefined }

export function visitOf(socket: Socket): Visit | undefined {
  return (socket as Visited)[VISIT]
}

export function setVisit(socket: Socket, visit: Visit): void {
  ;(socket as Visited)[VISIT] = visit
}

export class Tarpit {
  readonly #options: TarpitOptions
  readonly #wheel: Wheel<Visit>
  #look: Look
  #script: Script
  #timer: NodeJS.Timeout | undefined
  #watch: Watch<Visit> | undefined
  /** A look has left some to the next turn of the loop. */
  #looksOn = false
  /** Those whose turn it is, and how many of them have had it. */
  #due: Visit[] = []
  #done = 0
  #epoch = 0
  #lot = randomBytes(4).readUInt32LE()

  constructor(options: TarpitOptions) {
    this.#options = options
    this.#wheel = newWheel(options.now(), tickMsFor(options.dripMs))
    this.#look = lookOf(options.name)()
    this.#script = scriptOf(options.name, options.form ?? 'greeting', this.#look)
  }

  /** Takes over a line; a socket may be paused or not, and whoever sees it close must say so with `gone`. */
  hold(visit: Visit, manner: Manner, lifeMs: number): void {
    const { line } = visit
    if (line === undefined) return
    const now = this.#options.now()
    // A wheel that stood still has no turns to catch up with.
    if (!this.#timer) this.#wheel.turned = tickOf(this.#wheel, now)
    this.#timer ??= setInterval(() => this.#turn(), this.#wheel.tickMs).unref()
    visit.endsAt = now + lifeMs
    visit.epoch = this.#epoch
    this.#options.crowd.hold(visit)
    const { name, form = 'greeting', look } = this.#options
    const seen = look?.() ?? this.#look
    if (seen !== this.#look) this.#script = scriptOf(name, form, (this.#look = seen))
    if (typeof line !== 'number') {
      line.on('data', manner === 'drip' && form === 'replies' ? hear : swallow)
      line.on('end', letGo)
      line.resume()
    } else if (!this.#watches(line, visit)) return this.letGo(visit, 'shed')
    const greetingMs = Math.min(this.#look.greetingMs ?? 0, GREETING_MS_MAX)
    if (manner !== 'drip') put(this.#wheel, visit, visit.endsAt)
    else if (greetingMs >= this.#wheel.tickMs) put(this.#wheel, visit, Math.min(now + greetingMs, visit.endsAt))
    else this.#drip(visit, line, now)
  }

  /** It has closed, or is not ours to hold any more. */
  gone(visit: Visit): void {
    visit.line = undefined
    this.#options.crowd.release(visit)
    if (this.#options.crowd.held > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#wheel.slots.clear()
  }

  /** Lets one go to make room; false when none is held. */
  shed(): boolean {
    const visit = this.#options.crowd.firstToGo()
    if (!visit) return false
    this.letGo(visit, 'shed')
    return true
  }

  /** Lets so many of this client or network go, as far as there are. */
  shedOf(key: Who, many: number): void {
    for (let gone = 0; gone < many; gone++) {
      const visit = this.#options.crowd.firstToGoOf(key)
      if (!visit) return
      this.letGo(visit, 'shed')
    }
  }

  letGo(visit: Visit, outcome: Outcome): void {
    const { line } = visit
    this.gone(visit)
    this.#options.crowd.leave(visit)
    visit.outcome = outcome
    if (typeof line !== 'number') return void line?.resetAndDestroy()
    this.#watch?.reset(line)
    this.#options.left(visit)
  }

  /** Who of the bare lines has gone or spoken. It is looked at each turn; sooner, if there is to be room for a newcomer. */
  look(): void {
    if (!this.#watch?.look(this.#heard) || this.#looksOn) return
    this.#looksOn = true
    setImmediate(this.#lookAgain)
  }

  readonly #lookAgain = (): void => {
    this.#looksOn = false
    this.look()
  }

  /** What is thought of clients has changed. */
  reconsider(): void {
    this.#epoch++
  }

  /** When all are let go. */
  close(): void {
    this.#watch?.close()
    this.#watch = undefined
  }

  #watches(line: Fd, visit: Visit): boolean {
    this.#watch ??= this.#options.bare?.watch()
    return this.#watch?.add(line, visit) ?? false
  }

  readonly #heard = (visit: Visit, sign: Sign): void => {
    if (typeof sign === 'string') return this.letGo(visit, visit.outcome)
    visit.bytesIn += sign.length
    if (visit.bytesIn > SWALLOW_MAX) return this.letGo(visit, 'poured')
    if (this.#options.form === 'replies') hearken(visit, sign)
  }

  #turn(): void {
    this.look()
    const more = due(this.#wheel, this.#options.now())
    // Those of the turn before who still wait come first.
    if (this.#due.length > 0) for (const visit of more) this.#due.push(visit)
    else {
      this.#due = more
      this.#work()
    }
  }

  /** Some of those that are due; then others have their turn, and the rest follows. */
  readonly #work = (): void => {
    const now = this.#options.now()
    const due = this.#due
    for (const end = Math.min(this.#done + AT_ONCE_MAX, due.length); this.#done < end;) {
      const visit = due[this.#done++] as Visit
      const { line } = visit
      if (line === undefined) continue
      if (now >= visit.endsAt) this.letGo(visit, visit.outcome)
      else if (visit.epoch !== this.#epoch && !this.#keeps(visit)) this.letGo(visit, 'released')
      else this.#drip(visit, line, now)
    }
    if (this.#done < due.length) return void setImmediate(this.#work)
    this.#due = []
    this.#done = 0
  }

  #keeps(visit: Visit): boolean {
    visit.epoch = this.#epoch
    return this.#options.keeps(visit.who)
  }

  #drip(visit: Visit, line: Line, now: number): void {
    // Who does not read gets nothing more: its system's buffer is full, and ours shall not fill.
    if (typeof line === 'number' || line.writableLength === 0) {
      const { text, turn } = visit
      const piece = nextPiece(this.#script, visit)
      if (piece === ALL_SAID) return this.letGo(visit, visit.outcome)
      if (piece !== undefined && typeof line !== 'number') line.write(piece, 'latin1')
      else if (piece !== undefined && this.#options.bare?.say(line as Fd, piece)) visit.bytesOut += piece.length
      else [visit.text, visit.turn] = [text, turn]
    }
    put(this.#wheel, visit, Math.min(now + this.#pauseMs(), visit.endsAt))
  }

  /** A cheap lot (Numerical Recipes' generator) does: nobody gains by guessing it. */
  #pauseMs(): number {
    const { dripMs, jitter = 0 } = this.#options
    if (jitter === 0) return dripMs
    this.#lot = (Math.imul(this.#lot, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor(dripMs * (1 + jitter * (this.#lot / 2 ** 31 - 1)))
  }
}

/** Things to be done at their times, in slots of one tick each. */
export type Wheel<Thing> = { readonly tickMs: number; turned: number; readonly slots: Map<number, Thing[]> }

export function newWheel<Thing>(now: number, tickMs: number): Wheel<Thing> {
  return { tickMs, turned: Math.floor(now / tickMs), slots: new Map() }
}

/**
 * Puts a thing where it comes up at `at` or within a tick after it, and never in a slot that has been turned already.
 */
export function put<Thing>(wheel: Wheel<Thing>, thing: Thing, at: number): void {
  const tick = Math.max(Math.ceil(at / wheel.tickMs), wheel.turned + 1)
  const slot = wheel.slots.get(tick)
  if (slot) slot.push(thing)
  else wheel.slots.set(tick, [thing])
}

/** Turns the wheel to `now`, and takes out all that is due, earliest first. */
export function due<Thing>(wheel: Wheel<Thing>, now: number): Thing[] {
  let things: Thing[] | undefined
  for (const last = tickOf(wheel, now); wheel.turned < last;) {
    wheel.turned++
    const slot = wheel.slots.get(wheel.turned)
    if (!slot) continue
    wheel.slots.delete(wheel.turned)
    // As a rule there is one slot, and it is handed over as it is.
    if (things) for (const thing of slot) things.push(thing)
    else things = slot
  }
  return things ?? []
}

function tickOf({ tickMs }: Wheel<unknown>, now: number): number {
  return Math.floor(now / tickMs)
}

/** One function for all sockets, so that a held one costs no closure. */
function swallow(this: Socket): void {
  if (this.bytesRead <= SWALLOW_MAX) return
  const visit = visitOf(this)
  if (visit) visit.outcome = 'poured'
  this.resetAndDestroy()
}

function hear(this: Socket, bytes: Buffer): void {
  const visit = visitOf(this)
  if (visit) hearken(visit, bytes)
  swallow.call(this)
}

/** It has closed its side: it is not waiting for us any more. */
function letGo(this: Socket): void {
  this.resetAndDestroy()
}
