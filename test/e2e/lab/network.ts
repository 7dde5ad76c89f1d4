/**
 * The lab's network: every host in a namespace of its own, all on one bridge, each with addresses of its own choice and a
 * route to everybody on the wire. So clients come from networks that the appliance judges, and from different ones.
 */
import { Internet, type Place } from '../../namespaces.ts'

export type Network = {
  /** A host with these addresses; the first of each family is the one it speaks from. */
  readonly host: (name: string, ...addresses: string[]) => Promise<Place>
  /** Removes every host, and ends what runs there. */
  readonly end: () => Promise<void>
}

export async function layNetwork(): Promise<Network> {
  const internet = new Internet()
  const hub = await internet.place('hub')
  await hub.run('ip', 'link', 'add', 'bridge', 'type', 'bridge')
  await hub.run('ip', 'link', 'set', 'bridge', 'up')
  return {
    async host(name, ...addresses) {
      const place = await internet.place(name)
      const prefixes = addresses.map((address) => `${address}/${address.includes(':') ? 128 : 32}`)
      const end = await internet.join(place, prefixes, hub, [])
      await hub.run('ip', 'link', 'set', end, 'master', 'bridge')
      await place.run('ip', 'route', 'add', 'default', 'dev', end)
      await place.run('ip', '-6', 'route', 'add', 'default', 'dev', end)
      return place
    },
    end: () => internet[Symbol.asyncDispose](),
  }
}
