/**
 * A verdict of the rules that stands though its sum would not reach it today, in the words of `why` and of the console. It
 * was made once and stands until its end (rulings.ts), so whoever adds the weights up must be told why they do not suffice.
 */

/** What stands, and the sum as it is now; `clears`: when that falls below the threshold of the word it reaches, if of any. */
type Stands = {
  readonly verdict: string
  readonly by: string | null | undefined
  readonly score: number
  readonly threshold: number
  readonly clears: unknown
}

/** What it is too little for, and why what stands does so all the same. */
type Outlasting = { readonly little: string; readonly kept: string }

/** Undefined where the sum carries what stands, or nothing of the rules' stands. */
export function outlasting({ verdict, by, score, threshold, clears }: Stands): Outlasting | undefined {
  const noun = NOUNS[verdict]
  if (by !== 'rules' || noun === undefined) return undefined
  // Of the lighter words no threshold is told; a sum that reaches any of them has an instant at which it clears.
  const carried = verdict === 'block' ? score >= threshold : Boolean(clears)
  return carried ? undefined : { little: `too little for a new ${noun} now`, kept: KEPT }
}

/** So nothing flaps while a sum fades. */
const KEPT = 'then it was enough, and what the rules have made stands to its end (stands in the rules)'

/** Rounded, but not up to a threshold that it does not reach. */
export function sumBeside(threshold: number, score: number, digits: number): string {
  const rounded = score.toFixed(digits)
  if (score >= threshold || Number(rounded) < threshold) return rounded
  return (threshold - 10 ** -digits).toFixed(digits)
}

const NOUNS: Readonly<Record<string, string>> = { block: 'block', defer: 'deferral', observe: 'observation' }
