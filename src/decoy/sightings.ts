/**
 * Contacts of clients that come again and again, told together: a line a minute, and not a line a connection.
 *
 * What a known offender does once more is worth a line (it is still at it), but no journal, store and rules at each of
 * ten thousand connections. So sightings of one client within WINDOW_MS are counted here, and told as one piece of
 * evidence when that time is over; some of them, the `allowance`, are told at once, each by itself. At most WINDOWS_MAX
 * clients are remembered: beyond it the one that came first is told before its time; and no more than DUE_MAX are told at
 * a time, so a line may come later than a minute, never sooner.
 *
 * Values only: the caller has the clock.
 */
import type { Client } from '../core/client.ts'
import type { Instant } from '../core/evidence.ts'
import { clientOfWho, type Who, whoOf } from './crowd.ts'

export const WINDOW_MS = 60_000
const WINDOWS_MAX = 65_536
/** Told at one asking: after a flood the lines of a minute are not one burst for journal, store and rules. */
const DUE_MAX = 200

/** Where there are too many, this part of all is told at once: to find the first takes a while. */
const ROOM_SHARE = 0.002

/** Seen so many times, the first time at `at`. */
export type Merged = { readonly client: Client; readonly at: Instant; readonly times: number }

type Window = { readonly opened: number; told: number; untold: number; at: Instant }

export class Sightings {
  /** In the order they were opened. */
  readonly #windows = new Map<Who, Window>()
  readonly #max: number

  constructor(max = WINDOWS_MAX) {
    this.#max = max
  }

  /** One more sighting. True: tell it by itself, now. Else it is counted. `now` is of a clock that never jumps. */
  note(client: Client, at: Instant, now: number, allowance: number): boolean {
    const who = whoOf(client)
    const window = this.#windows.get(who) ?? this.#open(who, now)
    if (window.told < allowance) {
      window.told++
      return true
    }
    if (window.untold++ === 0) window.at = at
    return false
  }

  /** Those whose time is over, or that must make room. */
  due(now: number): Merged[] {
    const merged: Merged[] = []
    const room = this.crowded ? this.#max - Math.floor(this.#max * ROOM_SHARE) : this.#max
    for (const [who, { opened, untold, at }] of this.#windows) {
      if (now - opened < WINDOW_MS && this.#windows.size <= room) break
      if (merged.length >= DUE_MAX && now < Infinity && this.#windows.size <= room) break
      this.#windows.delete(who)
      if (untold > 0) merged.push({ client: clientOfWho(who), at, times: untold })
    }
    return merged
  }

  /** All, whether their time is over or not: we are ending. */
  rest(): Merged[] {
    return this.due(Infinity)
  }

  /** More are remembered than may be: `due` is to be asked now. */
  get crowded(): boolean {
    return this.#windows.size > this.#max
  }

  #open(who: Who, now: number): Window {
    const window = { opened: now, told: 0, untold: 0, at: 0 }
    this.#windows.set(who, window)
    return window
  }
}
