/**
 * What decoys tell, gathered: so many of each, for whoever counts in another process.
 *
 * A flood tells thousands of things a second, and nearly all of them only to be counted. Those that are alike become
 * one with a number; of those with a text for the log, TEXTS_MAX are kept until they are taken.
 */
import type { DecoyHappening } from './happenings.ts'

/** Alike in all but sums: of `closed` the milliseconds and bytes are those of all together. */
export type Told = { readonly it: DecoyHappening; readonly times: number }

const TEXTS_MAX = 100
/** Dialogues that are told each by itself, between two takings; metrics count them all. */
const SESSIONS_MAX = 1000

export class Gathering {
  #counted = new Map<string, { it: DecoyHappening; times: number }>()
  #texts: Told[] = []
  #sessions: Told[] = []

  tell(it: DecoyHappening): void {
    if (it.what === 'misread' || it.what === 'fault') {
      if (this.#texts.length < TEXTS_MAX) this.#texts.push({ it, times: 1 })
      return
    }
    if (it.what === 'ended') {
      if (this.#sessions.length < SESSIONS_MAX) this.#sessions.push({ it, times: 1 })
      return
    }
    const key = keyOf(it)
    const told = this.#counted.get(key)
    if (!told) this.#counted.set(key, { it, times: 1 })
    else {
      told.times++
      told.it = sum(told.it, it)
    }
  }

  get isEmpty(): boolean {
    return this.#counted.size === 0 && this.#texts.length === 0 && this.#sessions.length === 0
  }

  /** All since it was last asked. */
  take(): Told[] {
    const all = [...this.#counted.values(), ...this.#texts, ...this.#sessions]
    this.#counted = new Map()
    this.#texts = []
    this.#sessions = []
    return all
  }
}

function keyOf(it: Exclude<DecoyHappening, { what: 'misread' | 'fault' | 'ended' }>): string {
  switch (it.what) {
    case 'opened':
      return `opened ${it.role} ${it.via} ${it.regard}`
    case 'closed':
      return `closed ${it.role} ${it.outcome}`
    case 'refused':
      return `refused ${it.role} ${it.reason}`
  }
}

function sum(all: DecoyHappening, one: DecoyHappening): DecoyHappening {
  if (all.what !== 'closed' || one.what !== 'closed') return all
  return {
    ...all,
    heldMs: all.heldMs + one.heldMs,
    bytesIn: all.bytesIn + one.bytesIn,
    bytesOut: all.bytesOut + one.bytesOut,
  }
}
