/**
 * Before the files of the lab begin, side by side: all that they unpack is fetched, once and one after the other, for it
 * shares apt's lists.
 */
import { noNamespaces } from '../../namespaces.ts'
import { ASKERS } from './askers.ts'
import { MAKES } from './makes.ts'
import { installNodePackages, noPackages, unpackedDebian } from './packages.ts'
import { noRooms } from './room.ts'

export default async function setup(): Promise<void> {
  // The files say so themselves.
  if ((noNamespaces() ?? noRooms() ?? noPackages()) !== undefined) return
  await installNodePackages()
  const wanted = [...MAKES, ...ASKERS].flatMap(({ debian }) => debian ?? [])
  for (const name of new Set([...wanted, 'unbound'])) await unpackedDebian(name)
}
