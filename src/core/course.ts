/**
 * How many clients are listed at any time, as a recording is told: deferred and blocked, as finely as there is room for.
 *
 * A listing says until when it stands, so each change of one is a few steps up and down, now and at its ends; what it
 * renews is taken back from now on. Nothing is counted by going through all who are listed.
 */
import type { Instant } from './evidence.ts'
import type { Listing } from './listing.ts'

export type Point = { readonly at: Instant; readonly defer: number; readonly block: number }

/** Moments at which something changes: when there are more, those near each other are taken for one. */
const STEPS_MAX = 50_000
const FINEST_MS = 1000

export class Course {
  /** Steps by the number of their moment, each `#stepMs` long: a second, and coarser the longer the recording is. */
  #steps = new Map<number, { defer: number; block: number }>()
  #stepMs = FINEST_MS

  /** A listing has become another one, now. */
  change(before: Listing | undefined, after: Listing | undefined, now: Instant): void {
    this.#lay(before, -1, now)
    this.#lay(after, 1, now)
  }

  /** What stood from one moment to another, at `many` moments in between, both ends among them. */
  points(from: Instant, to: Instant, many: number): Point[] {
    const steps = [...this.#steps].toSorted(([a], [b]) => a - b)
    let [next, defer, block] = [0, 0, 0]
    return Array.from({ length: many }, (_, i) => {
      const at = from + ((to - from) * i) / Math.max(1, many - 1)
      for (let step = steps[next]; step && step[0] * this.#stepMs <= at; step = steps[++next]) {
        defer += step[1].defer
        block += step[1].block
      }
      return { at, defer, block }
    })
  }

  /** Each word stands from where the heavier one before it ends. */
  #lay(listing: Listing | undefined, by: 1 | -1, now: Instant): void {
    let from = now
    for (const { word, until } of listing?.enforced ?? []) {
      if (word === 'observe' || until <= from) continue
      this.#step(from, word, by)
      this.#step(until, word, -by)
      from = until
    }
  }

  #step(at: Instant, word: 'defer' | 'block', by: number): void {
    const number = Math.ceil(at / this.#stepMs)
    const step = this.#steps.get(number) ?? { defer: 0, block: 0 }
    this.#steps.set(number, step)
    step[word] += by
    if (this.#steps.size > STEPS_MAX) this.#coarsen()
  }

  /** Four times as coarse, until there is room again. */
  #coarsen(): void {
    const coarser = new Map<number, { defer: number; block: number }>()
    for (const [number, { defer, block }] of this.#steps) {
      const step = coarser.get(Math.ceil(number / 4)) ?? { defer: 0, block: 0 }
      coarser.set(Math.ceil(number / 4), { defer: step.defer + defer, block: step.block + block })
    }
    this.#steps = coarser
    this.#stepMs *= 4
  }
}
