/**
 * Whether a worker hangs: it reports once a second (worker.ts), so the absence of reports is the sign, and nobody has to ask it.
 *
 * What goes by is counted in beats of our own, one a second, and not by a clock. Whoever was stopped and goes on (SIGSTOP, a
 * suspended laptop, a paused VM), or was held up for long, beats once, and then hears what has come meanwhile.
 */
export class Silence {
  readonly #most: number
  #beats = 0

  /** @param most - beats without a word that are too many */
  constructor(most: number) {
    this.#most = most
  }

  /** One beat more: is it silent for too many now? */
  beat(): boolean {
    this.#beats++
    return this.#beats >= this.#most
  }

  /** It said something, whatever it was. */
  heard(): void {
    this.#beats = 0
  }
}
