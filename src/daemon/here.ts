/**
 * Who is at the decoys now: some of them all, and those of one client. API and console ask, and are told the same.
 */
import { type Client, parseClient } from '../core/client.ts'
import type { Guest } from '../decoy/crowd.ts'
import type { DecoyCounts } from '../decoy/listener.ts'
import type { Decoys } from './decoys.ts'

export type Here = {
  /** Some of those who are here, the longest first. */
  readonly guests: () => readonly Guest[]
  /** How many are here in all. */
  readonly inAll: () => number
  /** How long they have been here, added up. */
  readonly hereMs: () => number
  /** Those of this client, among so many that were looked at. */
  readonly ofClient: (client: Client) => Found
}

export type Found = {
  readonly connections: readonly Guest[]
  readonly looked: number
  readonly inAll: number
}

/** `decoys`: undefined where there are none, or not yet. */
export function hereAt(decoys: () => Pick<Decoys, 'counts' | 'guests'> | undefined): Here {
  const sum = (what: keyof DecoyCounts) => {
    const counts = decoys()?.counts()
    return counts ? counts.primary[what] + counts.backup[what] : 0
  }
  const guests = () => decoys()?.guests() ?? []
  const inAll = () => sum('connections')
  return {
    guests,
    inAll,
    hereMs: () => sum('hereMs'),
    ofClient: (client) => {
      const looked = guests()
      // Of an IPv6 client the decoys keep the /64 alone.
      const connections = looked.filter((guest) => parseClient(guest.client)?.key === client.key)
      return { connections, looked: looked.length, inAll: inAll() }
    },
  }
}
