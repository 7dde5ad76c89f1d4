/**
 * Who is at the decoys now: some of them all, and those of one client. API and console ask, and are told the same.
 */
import type { Client } from '../core/client.ts'
import type { Guest } from '../decoy/crowd.ts'
import type { DecoyCounts } from '../decoy/listener.ts'
import type { Decoys, Found } from './decoys.ts'

export type Here = {
  /** Some of those who are here, the longest first. */
  readonly guests: () => readonly Guest[]
  /** How many are here in all. */
  readonly inAll: () => number
  /** How long they have been here, added up. */
  readonly hereMs: () => number
  readonly ofClient: (client: Client) => Promise<Found>
}

/** `decoys`: undefined where there are none, or not yet. */
export function hereAt(decoys: () => Pick<Decoys, 'counts' | 'guests' | 'ofClient'> | undefined): Here {
  const sum = (what: keyof DecoyCounts) => {
    const counts = decoys()?.counts()
    return counts ? counts.primary[what] + counts.backup[what] : 0
  }
  return {
    guests: () => decoys()?.guests() ?? [],
    inAll: () => sum('connections'),
    hereMs: () => sum('hereMs'),
    ofClient: async (client) => (await decoys()?.ofClient(client)) ?? { count: 0, some: [], silent: 0 },
  }
}
