/**
 * Why a client is listed is said in the rules' words, which are few: each sentence is kept once, under a number, as long as
 * somebody needs it.
 */
export class Sentences {
  #numbers = new Map<string, number>()
  #texts: string[] = []
  #uses: number[] = []
  #unused: number[] = []

  copy(): Sentences {
    const made = new Sentences()
    made.#numbers = new Map(this.#numbers)
    made.#texts = [...this.#texts]
    made.#uses = [...this.#uses]
    made.#unused = [...this.#unused]
    return made
  }

  /** The sentence's number; undefined when there are too many. */
  keep(text: string): number | undefined {
    let number = this.#numbers.get(text)
    if (number === undefined) {
      if (this.#numbers.size >= SENTENCES_MAX) return undefined
      number = this.#unused.pop() ?? this.#texts.length
      this.#numbers.set(text, number)
      this.#texts[number] = text
      this.#uses[number] = 0
    }
    this.#uses[number] = (this.#uses[number] as number) + 1
    return number
  }

  drop(number: number): void {
    const left = (this.#uses[number] as number) - 1
    this.#uses[number] = left
    if (left > 0) return
    this.#numbers.delete(this.#texts[number] as string)
    this.#texts[number] = ''
    this.#unused.push(number)
  }

  text(number: number): string {
    return this.#texts[number] as string
  }
}

const SENTENCES_MAX = 10_000
