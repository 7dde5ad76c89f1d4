/**
 * How the real MX fares in a made-up week: when it is down, says "later", or fails for some; and whether it greylists.
 *
 * What we can see of that and what we cannot are kept apart. The witness greets the real MX from where we stand: it finds
 * it down, or busy at the greeting. It cannot find a mail server that greets and then says 451 to every recipient before
 * it asks us, nor a network in between that is broken for others than us. Honest senders meet all four alike.
 */
import type { Instant } from '../core/evidence.ts'
import type { Chance } from './chance.ts'

/**
 * down: no connection. later: 4xx at the greeting. sick: greets, then 4xx to every recipient, before it asks us. path: a
 * part of the net cannot reach it.
 */
export const TROUBLES = ['down', 'later', 'sick', 'path'] as const
export type Trouble = {
  readonly what: (typeof TROUBLES)[number]
  readonly from: Instant
  readonly to: Instant
  /** The part of the net that meets it: from here on, and how much, both from 0 to 1. All of it is `0, 1`. */
  readonly begins: number
  readonly share: number
}

export type Weather = {
  readonly troubles: readonly Trouble[]
  /** Does it greylist, and is the greylist asked before us, so that we do not hear of whom it sends away? */
  readonly greylist: 'none' | 'before' | 'after'
}

export const FAIR: Weather = { troubles: [], greylist: 'none' }

const HOUR_MS = 3_600_000

/** How often in a week on the average, and how long: most troubles are short, a few last a day and longer. */
const CLIMATE: readonly (readonly [what: Trouble['what'], aWeek: number, leastMs: number, mostMs: number])[] = [
  ['down', 1.5, HOUR_MS / 60, 12 * HOUR_MS],
  ['later', 1, HOUR_MS / 60, 6 * HOUR_MS],
  ['sick', 0.7, HOUR_MS / 30, 12 * HOUR_MS],
  ['path', 0.7, HOUR_MS / 6, 48 * HOUR_MS],
]

export function weatherOf(chance: Chance, from: Instant, days: number): Weather {
  const lengthMs = days * 24 * HOUR_MS
  const troubles = CLIMATE.flatMap(([what, aWeek, leastMs, mostMs]): Trouble[] => {
    const found: Trouble[] = []
    const everyMs = (7 * 24 * HOUR_MS) / aWeek
    for (let at = chance.waitMs(everyMs); at < lengthMs; at += chance.waitMs(everyMs)) {
      const [begins, share] = what === 'path' ? [chance.next(), chance.between(0.05, 0.3)] : [0, 1]
      const to = from + Math.floor(at + chance.scaled(leastMs, mostMs))
      found.push({ what, from: from + Math.floor(at), to, begins, share })
    }
    return found
  })
  const draw = chance.next()
  return { troubles, greylist: draw < 0.5 ? 'none' : draw < 0.75 ? 'before' : 'after' }
}

/** The trouble that a sender meets: the worst, if there are several. `place` is where it is in the net, from 0 to 1. */
export function troubleFor({ troubles }: Weather, place: number, now: Instant): Trouble['what'] | undefined {
  const reaches = ({ begins, share }: Trouble) => (place - begins + 1) % 1 < share
  const met = troubles.filter((each) => each.from <= now && now < each.to && reaches(each))
  return TROUBLES.find((what) => met.some((each) => each.what === what))
}

/** What the witness finds. */
export function outcomeAt(weather: Weather, now: Instant): 'up' | 'later' | 'down' {
  const seen = weather.troubles.filter(({ from, to }) => from <= now && now < to).map(({ what }) => what)
  return seen.includes('down') ? 'down' : seen.includes('later') ? 'later' : 'up'
}
