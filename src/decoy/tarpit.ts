/**
 * Holds the bare sockets of known offenders as long as it is cheap to: no stream, no SMTP object and no timer for
 * each.
 *
 * One wheel of time turns for all of them. A held socket is either dripped to, a greeting that never ends, or kept in
 * silence; at its life's end it is reset. What the client sends is swallowed, up to SWALLOW_MAX.
 *
 * At most `capacity` are held. When one more comes, the longest held of the largest network is let go: a botnet's
 * share is cut before anybody else's, and it has paid most already.
 *
 * The schedule (`newWheel`, `put`, `due`) and the order of leaving (`Crowd`) are values that know no clock.
 */
import type { Socket } from 'node:net'

/** How a client is held. */
export type Form = 'drip' | 'silent'

export type Held = {
  /** Undefined once it is gone: the wheel finds out at the next turn and need not keep the socket until then. */
  socket: Socket | undefined
  readonly form: Form
  readonly endsAt: number
  /** Turns had: which piece of the line comes next. */
  turn: number
  readonly crowd: Network
  older: Held | undefined
  newer: Held | undefined
}

export type TarpitOptions = {
  /** Our host name, as the greeting has it. */
  readonly name: string
  readonly dripMs: number
  readonly capacity: number
  /** A clock that never jumps. */
  readonly now: () => number
  /** It was let go before its time, to make room. */
  readonly shed: (socket: Socket) => void
}

/** Bytes of the greeting in one drip. */
const DRIP_BYTES = 4
/** How finely the wheel divides time: a drip or an end comes at most this late. */
export const TICK_MS = 50
/**
 * Bytes of a held client that are read and thrown away. Who pours more is not waiting for us; a paused socket would
 * keep them.
 */
const SWALLOW_MAX = 1_048_576

export class Tarpit {
  readonly #options: TarpitOptions
  readonly #wheel: Wheel<Held>
  readonly #crowd = new Crowd()
  readonly #pieces: readonly Buffer[]
  #timer: NodeJS.Timeout | undefined

  constructor(options: TarpitOptions) {
    this.#options = options
    this.#wheel = newWheel(options.now())
    this.#pieces = piecesOf(`220-${options.name} ESMTP, one moment please\r\n`)
  }

  get size(): number {
    return this.#crowd.size
  }

  /** Takes over a socket, paused or not. Whoever sees it close must say so with `gone`. */
  hold(socket: Socket, network: string, form: Form, lifeMs: number): Held {
    if (this.#crowd.size >= this.#options.capacity) this.shed()
    const now = this.#options.now()
    // A wheel that stood still has no turns to catch up with.
    if (!this.#timer) this.#wheel.turned = tickOf(now)
    this.#timer ??= setInterval(() => this.#turn(), TICK_MS).unref()
    const held = this.#crowd.enter(socket, network, form, now + lifeMs)
    socket.on('data', swallow)
    socket.on('end', letGo)
    socket.resume()
    put(this.#wheel, held, form === 'drip' ? now : held.endsAt)
    return held
  }

  gone(held: Held): void {
    if (!held.socket) return
    held.socket = undefined
    this.#crowd.leave(held)
    if (this.#crowd.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#wheel.slots.clear()
  }

  /** Lets one go to make room; false when none is held. */
  shed(): boolean {
    const held = this.#crowd.firstToGo()
    if (!held?.socket) return false
    const { socket } = held
    this.gone(held)
    this.#options.shed(socket)
    socket.resetAndDestroy()
    return true
  }

  #turn(): void {
    const now = this.#options.now()
    for (const held of due(this.#wheel, now)) {
      const { socket } = held
      if (!socket) continue
      if (now >= held.endsAt) {
        this.gone(held)
        socket.resetAndDestroy()
        continue
      }
      // Who does not read gets nothing more: its system's buffer is full, and ours shall not fill.
      if (socket.writableLength === 0) socket.write(this.#pieces[held.turn++ % this.#pieces.length] as Buffer)
      put(this.#wheel, held, Math.min(now + this.#options.dripMs, held.endsAt))
    }
  }
}

/** Things to be done at their times, in slots of TICK_MS. */
export type Wheel<Thing> = { turned: number; readonly slots: Map<number, Thing[]> }

export function newWheel<Thing>(now: number): Wheel<Thing> {
  return { turned: tickOf(now), slots: new Map() }
}

/**
 * Puts a thing where it comes up at `at` or within a tick after it, and never in a slot that has been turned already.
 */
export function put<Thing>(wheel: Wheel<Thing>, thing: Thing, at: number): void {
  const tick = Math.max(Math.ceil(at / TICK_MS), wheel.turned + 1)
  const slot = wheel.slots.get(tick)
  if (slot) slot.push(thing)
  else wheel.slots.set(tick, [thing])
}

/** Turns the wheel to `now`, and takes out all that is due, earliest first. */
export function due<Thing>(wheel: Wheel<Thing>, now: number): Thing[] {
  const things: Thing[] = []
  while (wheel.turned < tickOf(now)) {
    wheel.turned++
    const slot = wheel.slots.get(wheel.turned)
    if (!slot) continue
    wheel.slots.delete(wheel.turned)
    for (const thing of slot) things.push(thing)
  }
  return things
}

function tickOf(now: number): number {
  return Math.floor(now / TICK_MS)
}

/** All that are held from one network, longest first: a list through the held themselves. */
type Network = { readonly name: string; size: number; oldest: Held | undefined; newest: Held | undefined }

/** Who is held, by network, and who is to go first. Each step costs the same however many are held. */
export class Crowd {
  readonly #networks = new Map<string, Network>()
  /** Networks by how many are held of them; and the largest such number. */
  readonly #bySize: Set<Network>[] = []
  #largest = 0
  #size = 0

  get size(): number {
    return this.#size
  }

  enter(socket: Socket, name: string, form: Form, endsAt: number): Held {
    const network = this.#networks.get(name) ?? { name, size: 0, oldest: undefined, newest: undefined }
    const held: Held = { socket, form, endsAt, turn: 0, crowd: network, older: network.newest, newer: undefined }
    if (network.newest) network.newest.newer = held
    else network.oldest = held
    network.newest = held
    this.#resize(network, network.size + 1)
    return held
  }

  leave(held: Held): void {
    const network = held.crowd
    if (held.older) held.older.newer = held.newer
    else network.oldest = held.newer
    if (held.newer) held.newer.older = held.older
    else network.newest = held.older
    held.older = held.newer = undefined
    this.#resize(network, network.size - 1)
  }

  /** The longest held of the largest network. */
  firstToGo(): Held | undefined {
    for (const network of this.#bySize[this.#largest] ?? []) return network.oldest
    return undefined
  }

  #resize(network: Network, size: number): void {
    this.#size += size - network.size
    this.#bySize[network.size]?.delete(network)
    network.size = size
    if (size === 0) this.#networks.delete(network.name)
    else {
      this.#networks.set(network.name, network)
      const peers = (this.#bySize[size] ??= new Set())
      peers.add(network)
    }
    this.#largest = Math.max(this.#largest, size)
    while (this.#largest > 0 && !this.#bySize[this.#largest]?.size) this.#largest--
  }
}

function piecesOf(line: string): Buffer[] {
  const bytes = Buffer.from(line, 'latin1')
  const count = Math.ceil(bytes.length / DRIP_BYTES)
  return Array.from({ length: count }, (_, i) => bytes.subarray(i * DRIP_BYTES, (i + 1) * DRIP_BYTES))
}

/** One function for all sockets, so that a held one costs no closure. */
function swallow(this: Socket): void {
  if (this.bytesRead > SWALLOW_MAX) this.resetAndDestroy()
}

/** It has closed its side: it is not waiting for us any more. */
function letGo(this: Socket): void {
  this.resetAndDestroy()
}
