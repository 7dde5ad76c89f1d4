/**
 * What other rules would make of the clients that are known here, before they do: counted, and nothing changed.
 *
 * The process that counts is the one that answers the real MX. So it looks at slices, and lets whatever else waits go first
 * between them; and at no more than EFFECT_MAX clients.
 */
import { setImmediate } from 'node:timers/promises'
import type { Client } from '../core/client.ts'

export type Effect = {
  /** Clients that are listed, wait to be, or were judged lately; and how many of them were looked at. */
  readonly known: number
  readonly looked: number
  /** Newly deferred or blocked by the rules, no longer so, and from one of the two to the other; whatever the mode. */
  readonly listed: number
  readonly released: number
  readonly changed: number
  /** Who would newly be refused at the real MX, and who no more: what is enforced of it. */
  readonly refused: number
  readonly spared: number
}

/** The heaviest word that stands for a client, and what of it the real MX hears; under the rules in use, and under others. */
export type Comparison = {
  readonly was: string | undefined
  readonly will: string | undefined
  readonly told: string | undefined
  readonly tell: string | undefined
}

/** Most clients that are looked at; those beyond are only counted. */
export const EFFECT_MAX = 50_000
/** So many at once: some 2 ms of judging; and so many that are only counted. */
export const SLICE = 50
const COUNTED = 5000

export async function countEffect(
  clients: Iterable<Client>,
  compare: (client: Client) => Promise<Comparison>,
): Promise<Effect> {
  const effect = { known: 0, looked: 0, listed: 0, released: 0, changed: 0, refused: 0, spared: 0 }
  const lookAt = async (slice: readonly Client[]) => {
    for (const found of await Promise.all(slice.map(compare))) {
      const [was, will] = [refusalOf(found.was), refusalOf(found.will)]
      if (!was && will) effect.listed++
      if (was && !will) effect.released++
      if (was && will && was !== will) effect.changed++
      const [told, tell] = [refusalOf(found.told), refusalOf(found.tell)]
      if (!told && tell) effect.refused++
      if (told && !tell) effect.spared++
    }
    effect.looked += slice.length
    await setImmediate()
  }
  let slice: Client[] = []
  for (const client of clients) {
    effect.known++
    if (effect.known <= EFFECT_MAX) slice.push(client)
    else if (effect.known % COUNTED === 0) await setImmediate()
    if (slice.length === SLICE) {
      await lookAt(slice)
      slice = []
    }
  }
  await lookAt(slice)
  return effect
}

function refusalOf(word: string | undefined): 'defer' | 'block' | undefined {
  return word === 'defer' || word === 'block' ? word : undefined
}
