/**
 * A map with room for so many: of too many the one goes that was renewed longest ago.
 *
 * V8 leaves a hole where a key was, and passes all the holes before the first key each time it is asked for that anew: at the
 * bound, where each new key takes the place of the oldest, that costs more than all else. So one iterator goes on from where it
 * was. As it stands still it holds every table that the map has had since then; so it is let go when as many keys have come as
 * there is room for.
 */
export class Latest<Value> extends Map<string, Value> {
  readonly #most: number
  /** All keys before it are gone, but for #first. */
  #keys: MapIterator<string> | undefined
  #first: string | undefined
  /** Keys that came since the iterator went on. */
  #idle = 0

  /** @param most - above 0 */
  constructor(most: number) {
    super()
    this.#most = most
  }

  /** The one that was renewed longest ago; undefined of an empty map. */
  oldest(): string | undefined {
    if (this.#first !== undefined) return this.#first
    this.#idle = 0
    this.#first = this.#keys?.next().value
    if (this.#first === undefined) {
      this.#keys = this.keys()
      this.#first = this.#keys.next().value
    }
    return this.#first
  }

  /** Sets it as the newest of all. */
  renew(key: string, value: Value): void {
    this.delete(key)
    this.#add(key, value)
  }

  /** Sets it, as the newest only once half of the places are taken: to move everybody each time costs more than to judge them. */
  keep(key: string, value: Value): void {
    if (this.size > this.#most / 2) this.delete(key)
    this.#add(key, value)
  }

  override delete(key: string): boolean {
    if (key === this.#first) this.#first = undefined
    return super.delete(key)
  }

  override clear(): void {
    this.#keys = undefined
    this.#first = undefined
    super.clear()
  }

  #add(key: string, value: Value): void {
    this.set(key, value)
    if (this.size > this.#most) this.delete(this.oldest() as string)
    else if (++this.#idle > this.#most) this.#forgetPlace()
  }

  #forgetPlace(): void {
    this.#keys = undefined
    this.#first = undefined
    this.#idle = 0
  }
}
