/**
 * The operator's word put into effect: an allow or a block stands, and a release forgets what was seen up to then.
 *
 * It comes from the journal, perhaps more than once: repeating one changes nothing. What lets somebody pass does not wait for the
 * store (`ease`). What the governor holds back is settled in rulings.ts.
 */
import { clientOfKey, parseClient } from '../core/client.ts'
import type { Instant, Word } from '../core/evidence.ts'
import { RETENTION_MS } from '../core/facts.ts'
import { covers, parsePrefix, type Prefix } from '../core/prefixes.ts'
import type { Rules } from '../core/rules.ts'
import { type Governor, takeWaiting } from './governor.ts'
import type { Ledger } from './ledger.ts'
import { idOf, type Ruling, type Store, ticketOf } from './store.ts'

export type Reach = {
  readonly store: Store
  readonly ledger: Ledger
  readonly governor: Governor
  readonly rules: () => Rules
  readonly now: () => Instant
}

/** Settles when the store has done all that the word means. Rejects when it does not answer. */
export async function putIntoEffect(word: Word, reach: Reach): Promise<void> {
  const { store, now } = reach
  const prefix = parsePrefix(word.target)
  if (typeof prefix === 'string' || word.word === 'enlist' || word.word === 'discard') return
  if (word.word === 'release') await release(word, prefix, reach)
  else if ((word.until ?? Infinity) > now()) await store.put(rulingOf(word, word.word, prefix))
}

/** In effect in this process at once, whether or not the store answers, until that has done it; a block only ends an allow. */
export function ease(word: Word, ledger: Ledger): void {
  const prefix = parsePrefix(word.target)
  if (typeof prefix === 'string' || word.word === 'enlist' || word.word === 'discard') return
  ledger.ease(rulingOf(word, word.word, prefix))
}

async function release(word: Word, prefix: Prefix, { store, ledger, governor, rules, now }: Reach): Promise<void> {
  await store.drop(idOf({ by: 'operator', target: prefix.cidr }))
  const forgets = word.at + RETENTION_MS
  if (forgets > now())
    await store.put({
      ...rulingOf(word, 'release', prefix),
      until: forgets,
      grace: word.until ?? word.at + rules().releaseGraceMs,
    })
  const address = prefix.cidr.split('/')[0] as string
  const single = prefix.length === (prefix.family === 4 ? 32 : 64) ? parseClient(address) : undefined
  if (single) await store.forget(single.key, word.at)
  for (const { client } of takeWaiting(governor, (each) => covers(prefix, each)))
    await store.forget(client.key, word.at)
  for (const ruling of ledger.all()) {
    const client = ruling.by === 'rules' && ruling.since <= word.at ? clientOfKey(ruling.target) : undefined
    if (!client || !covers(prefix, client)) continue
    await store.forget(client.key, word.at)
    await store.drop(idOf(ruling))
  }
  ledger.settle(word.target, word.at)
}

function rulingOf(word: Word, says: 'allow' | 'block' | 'release', { cidr }: Prefix): Ruling {
  return {
    by: 'operator',
    target: cidr,
    word: says,
    since: word.at,
    until: word.until,
    ticket: ticketOf(cidr, word.at),
    because: word.because,
    author: word.author,
  }
}
