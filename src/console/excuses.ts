/**
 * Why what was seen, or what a rule saw of it, does not count, in the words of `why` and of the console: one wording for both.
 */
import type { Waived } from '../core/outage.ts'
import type { Excuse } from '../core/verdict.ts'

/** `itself`: was the client at the real MX under its own address? If not, a neighbour was. */
export function spellExcuse(excuse: Excuse, itself: boolean): string {
  return excuse === 'real-mx' && !itself ? 'its network was seen at the real MX before' : EXCUSES[excuse]
}

/** What the guard held back, a sentence for each reason. @param waived - how often, by fact: `{ 'outage.contact': 4 }` */
export function spellWaived(waived: Readonly<Record<string, number>>): string[] {
  return Object.entries(WAIVED).flatMap(([why, sentence]) => {
    const kinds = Object.entries(waived).flatMap(([fact, n]) =>
      fact.startsWith(`${why}.`) ? [[fact.slice(why.length + 1), n] as const] : [],
    )
    return kinds.length > 0 ? [`Not counted: ${named(kinds)}: ${sentence}`] : []
  })
}

/** What waits for it to be known whether it counts. @param pending - how often, by kind */
export function spellWaiting(pending: Readonly<Record<string, number>>): string[] {
  const kinds = Object.entries(pending)
  return kinds.length > 0 ? [`Waiting for the next look at the real MX: ${named(kinds)}`] : []
}

function named(kinds: readonly (readonly [string, number])[]): string {
  return kinds.map(([kind, n]) => `${kind} ${n}`).join(', ')
}

const EXCUSES: Readonly<Record<Excuse, string>> = {
  release: 'released by an operator',
  credit: 'its credit is good',
  'real-mx': 'seen at the real MX before',
  primary: 'tried the primary before',
  pool: 'of a pool that sends from many addresses',
  identity: 'DNS has not yet said whose it is',
}

const WAIVED: Readonly<Record<Waived['why'], string>> = {
  outage: 'the real MX did not take mail, or one of them did not',
  grace: 'too soon after an outage of the real MX',
  unwatched: 'the real MX had not been looked at just before',
  blind: 'nobody knew whether the real MX took mail',
  pressure: 'too much waited at once',
}
