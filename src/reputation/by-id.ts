/**
 * Rulings by their ids (`idOf`), in a form that a million of them can have.
 *
 * Nearly all are the rules' word about an IPv4 address, and nearly every question is about one. Such an address is a number
 * here: a look-up then makes no string and compares none, and no id is kept beside the ruling that it names.
 */
import { clientOfNumber, numberOfDotted } from '../core/client.ts'
import { idOf, type Ruling } from './store.ts'

export class ById {
  readonly #fourth = new Map<number, Ruling>()
  readonly #others = new Map<string, Ruling>()

  get size(): number {
    return this.#fourth.size + this.#others.size
  }

  get(id: string): Ruling | undefined {
    return id.startsWith(RULES) ? this.ofRules(id.slice(RULES.length)) : this.#others.get(id)
  }

  /** The rules' word about the client with this key. */
  ofRules(key: string): Ruling | undefined {
    return isFourth(key) ? this.#fourth.get(numberOf(key)) : this.#others.get(RULES + key)
  }

  set(ruling: Ruling): void {
    if (ruling.by === 'rules' && isFourth(ruling.target)) this.#fourth.set(numberOf(ruling.target), ruling)
    else this.#others.set(idOf(ruling), ruling)
  }

  delete(id: string): void {
    const key = id.startsWith(RULES) ? id.slice(RULES.length) : undefined
    if (key !== undefined && isFourth(key)) this.#fourth.delete(numberOf(key))
    else this.#others.delete(id)
  }

  *ids(): Generator<string> {
    for (const whole of this.#fourth.keys()) yield RULES + clientOfNumber(whole).key
    yield* this.#others.keys()
  }

  *values(): Generator<Ruling> {
    yield* this.#fourth.values()
    yield* this.#others.values()
  }
}

const RULES = 'rules '

/** The key of an IPv6 client is a network, with colons; the operator's targets never get here. */
function isFourth(key: string): boolean {
  return !key.includes(':')
}

/** With a sign: such numbers are kept without an object each. */
function numberOf(key: string): number {
  return numberOfDotted(key) | 0
}
