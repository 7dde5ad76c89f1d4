/**
 * Which of the words that are known was most likely meant by one that is not: a hint, and never more than that.
 *
 * It needs no library, so that a command line is read without opening what files are read with.
 */

/** The closest of the known words, as a hint. */
export function didYouMean(word: string, known: Iterable<string>): string | undefined {
  const best = nearest(word, known)
  return best === undefined ? undefined : `did you mean ${best}?`
}

/** More is no slip of the fingers, however long the word. */
const SLIPS_MAX = 4

/** The closest of the known words; at most a third of the letters of the longer may differ. */
export function nearest(word: string, known: Iterable<string>): string | undefined {
  let best: string | undefined
  let least = Infinity
  for (const each of known) {
    const most = Math.min(SLIPS_MAX, Math.max(1, Math.floor(Math.max(word.length, each.length) / 3)))
    const steps = distance(word.toLowerCase(), each.toLowerCase())
    if (steps <= most && steps < least) [best, least] = [each, steps]
  }
  return best
}

/** Edits between two words (Levenshtein, row by row), where two letters that changed places are one slip. */
function distance(a: string, b: string): number {
  if (Math.max(a.length, b.length) > 64) return Infinity
  let [before, row]: [number[], number[]] = [[], Array.from({ length: b.length + 1 }, (_, j) => j)]
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const swapped = a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? (before[j - 2] ?? Infinity) + 1 : Infinity
      const changed = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min((row[j] as number) + 1, (next[j - 1] as number) + 1, changed, swapped))
    }
    ;[before, row] = [row, next]
  }
  return row[b.length] as number
}
