/**
 * Why what a rule saw does not count, in the words of `why` and of the console: one wording for both.
 */
import type { Excuse } from '../core/verdict.ts'

/** `itself`: was the client at the real MX under its own address? If not, a neighbour was. */
export function spellExcuse(excuse: Excuse, itself: boolean): string {
  return excuse === 'real-mx' && !itself ? 'its network was seen at the real MX before' : EXCUSES[excuse]
}

const EXCUSES: Readonly<Record<Excuse, string>> = {
  release: 'released by an operator',
  credit: 'its credit is good',
  'real-mx': 'seen at the real MX before',
  primary: 'tried the primary before',
  pool: 'of a pool that sends from many addresses',
  identity: 'DNS has not yet said whose it is',
}
