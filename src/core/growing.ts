/**
 * Values that grow by one without being copied: what waits for a probe, and which sessions were rude.
 *
 * The guard is a value, and each hit makes a new one. In a flood thousands of hits wait for the next look at the real MX, and
 * a copy of all of them at each hit would cost more than everything else. So all that grew out of one another share one
 * store, of which each sees its own stretch; only what grows from an older one, beside a younger, is copied.
 */

/** A queue, the oldest first. */
export class Queue<Item> implements Iterable<Item> {
  readonly #shared: Item[]
  readonly #from: number
  readonly #to: number

  private constructor(shared: Item[], from: number, to: number) {
    this.#shared = shared
    this.#from = from
    this.#to = to
  }

  static of<Item>(items: Iterable<Item> = []): Queue<Item> {
    const own = [...items]
    return new Queue(own, 0, own.length)
  }

  get length(): number {
    return this.#to - this.#from
  }

  get first(): Item | undefined {
    return this.length > 0 ? this.#shared[this.#from] : undefined
  }

  /** With one more at its end. */
  with(item: Item): Queue<Item> {
    const isNewest = this.#shared.length === this.#to
    // What has left is let go once it is more than half.
    const shared = isNewest && this.#from <= this.length ? this.#shared : [...this]
    shared.push(item)
    return new Queue(shared, shared.length - this.length - 1, shared.length)
  }

  withoutFirst(): Queue<Item> {
    return this.length > 0 ? new Queue(this.#shared, this.#from + 1, this.#to) : this
  }

  *[Symbol.iterator](): Iterator<Item> {
    for (let i = this.#from; i < this.#to; i++) yield this.#shared[i] as Item
  }
}

/** The newest so many of texts, each known once. */
export class Recent {
  readonly #shared: Places
  readonly #from: number
  readonly #to: number

  private constructor(shared: Places, from: number, to: number) {
    this.#shared = shared
    this.#from = from
    this.#to = to
  }

  static none(): Recent {
    return new Recent({ of: new Map(), next: 0 }, 0, 0)
  }

  get length(): number {
    return this.#to - this.#from
  }

  has(text: string): boolean {
    const place = this.#shared.of.get(text)
    return place !== undefined && place >= this.#from && place < this.#to
  }

  /** With one more, and without the oldest where there were `most` already. */
  with(text: string, most: number): Recent {
    if (this.has(text)) return this
    const from = Math.max(this.#from, this.#to + 1 - most)
    const { of, next } = this.#shared
    // A place that another one sees is not taken from it.
    const shared = next === this.#to && !of.has(text) && of.size < 2 * most ? this.#shared : this.#copied(from)
    shared.of.set(text, shared.next++)
    return new Recent(shared, from, shared.next)
  }

  #copied(from: number): Places {
    const seen = [...this.#shared.of].filter(([, place]) => place >= from && place < this.#to)
    return { of: new Map(seen), next: this.#to }
  }
}

type Places = { readonly of: Map<string, number>; next: number }
