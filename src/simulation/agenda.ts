/**
 * What is still to happen in a made-up week, the soonest first; of the same moment, what was planned first. A binary heap.
 */
import type { Instant } from '../core/evidence.ts'

type Item = { readonly at: Instant; readonly turn: number; readonly happens: (now: Instant) => void }

export class Agenda {
  readonly #heap: Item[] = []
  readonly #end: Instant
  #turn = 0

  /** What is planned for the end or later does not happen. Instants are whole milliseconds. */
  constructor(end: Instant) {
    this.#end = end
  }

  plan(at: Instant, happens: (now: Instant) => void): void {
    if (!(at < this.#end)) return
    const heap = this.#heap
    const item: Item = { at: Math.floor(at), turn: this.#turn++, happens }
    let place = heap.length
    while (place > 0) {
      const above = (place - 1) >> 1
      if (!sooner(item, heap[above] as Item)) break
      heap[place] = heap[above] as Item
      place = above
    }
    heap[place] = item
  }

  /** Lets all of it happen, with what it brings about. */
  run(): void {
    for (let item = this.#take(); item; item = this.#take()) item.happens(item.at)
  }

  #take(): Item | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (!first || !last || heap.length === 0) return first
    let place = 0
    for (;;) {
      let below = 2 * place + 1
      if (below >= heap.length) break
      if (below + 1 < heap.length && sooner(heap[below + 1] as Item, heap[below] as Item)) below++
      if (!sooner(heap[below] as Item, last)) break
      heap[place] = heap[below] as Item
      place = below
    }
    heap[place] = last
    return first
  }
}

function sooner(a: Item, b: Item): boolean {
  return a.at < b.at || (a.at === b.at && a.turn < b.turn)
}
