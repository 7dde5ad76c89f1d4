/**
 * Chance, the same again for the same seed: sfc32, the 32-bit form of the Small Fast Counting generator by Chris
 * Doty-Humphrey (PractRand): a chaotic generator with a counter, so that no seed has a period below 2^32.
 *
 * Nothing secret hangs on it. A made-up week has to be told again from its seed on any machine, so that a listing can be
 * looked into; that is why Math.random will not do. `fork` gives each sender a stream of its own: what one does with its
 * chances changes nothing for the others.
 */

export class Chance {
  readonly #seed: string
  #a: number
  #b: number
  #c: number
  #counter = 1

  constructor(seed: string) {
    this.#seed = seed
    const words = digest(seed)
    this.#a = words[0]
    this.#b = words[1]
    this.#c = words[2]
    for (let i = 0; i < 15; i++) this.next()
  }

  /** From 0 to below 1. */
  next(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0
    return (sum >>> 0) / 2 ** 32
  }

  /** A stream of its own, the same for the same name. */
  fork(name: string): Chance {
    return new Chance(`${this.#seed}/${name}`)
  }

  /** True as often as `share` says, from 0 to 1. */
  happens(share: number): boolean {
    return this.next() < share
  }

  between(least: number, most: number): number {
    return least + this.next() * (most - least)
  }

  /** Between two bounds above 0, so that each doubling is as likely as the next: rates of senders lie so. */
  scaled(least: number, most: number): number {
    return least * (most / least) ** this.next()
  }

  /** A whole number from 0 to below `n`. */
  below(n: number): number {
    return Math.floor(this.next() * n)
  }

  /** How long until the next of what happens every `meanMs` on the average, at any moment as likely as at another. */
  waitMs(meanMs: number): number {
    return -Math.log(1 - this.next()) * meanMs
  }

  shuffled<Item>(items: readonly Item[]): Item[] {
    return items
      .map((item) => ({ item, lot: this.next() }))
      .toSorted((a, b) => a.lot - b.lot)
      .map(({ item }) => item)
  }
}

/** Three words of a seed: FNV-1a from three offsets, so that near seeds begin far apart. */
function digest(seed: string): [number, number, number] {
  const word = (offset: number): number => {
    let hash = offset
    for (let i = 0; i < seed.length; i++) hash = Math.imul(hash ^ seed.charCodeAt(i), 0x01000193)
    return hash | 0
  }
  return [word(0x811c9dc5), word(0x9e3779b9), word(0x85ebca6b)]
}
