/**
 * For the kernel's half of the primary: where the decoys are called, and whom it lets in there.
 *
 * Whom it lets in is what stands against clients, as the decoy itself regards them; so the two cannot disagree for longer
 * than a beat, and where they do, the decoy has the last word.
 */
import { type Client, clientOfKey, parseClient } from '../core/client.ts'
import { parsePrefix, type Prefix, prefixOf } from '../core/prefixes.ts'
import type { Mode } from '../core/rules.ts'
import { isOneClient, type Suspect } from '../decoy/guests.ts'
import type { Regard } from '../decoy/happenings.ts'
import type { Called } from '../decoy/nftables.ts'
import type { Reputation } from '../reputation/reputation.ts'
import { isWildcard } from '../settings/places.ts'
import type { Settings } from '../settings/settings.ts'

/** Where the decoys are called. A door that hears every address of the host is the decoy's at its prefixes only. */
export function calledAt(decoys: Pick<Settings['decoys'], 'primary' | 'backup'>): Called[] {
  return (['primary', 'backup'] as const).flatMap((role) => {
    const { listen, prefixes } = decoys[role]
    return listen.flatMap((address) => {
      const { port } = address
      const client = parseClient(address.host)
      if (!client || port === 0) return []
      const own = isWildcard(address)
        ? prefixes.filter(({ family }) => family === client.family)
        : [prefixOf(client, client.family === 4 ? 32 : 128)]
      return own.map((prefix) => ({ role, prefix, port }))
    })
  })
}

/** The suspects at the primary, of all that stands. */
export function suspectsOf(
  { rulings, decide, freshness }: Pick<Reputation, 'rulings' | 'decide' | 'freshness'>,
  regard: (client: Client) => Regard,
  mode: () => Mode,
): { suspects: () => Iterable<Suspect>; suspect: (prefix: Prefix) => Suspect | undefined } {
  const suspect = (prefix: Prefix): Suspect | undefined => {
    const client = clientOfKey(prefix.cidr)
    if (!client || regard(client) === 'stranger') return undefined
    return { prefix, until: decide(client).until }
  }
  return {
    suspect,
    *suspects() {
      for (const { target, word, until } of rulings()) {
        const prefix = parsePrefix(target)
        if (typeof prefix === 'string') continue
        if (isOneClient(prefix)) {
          const one = suspect(prefix)
          if (one) yield one
          // A whole network is the operator's block. Who is allowed within it is let in, and reset by the decoy.
        } else if (word === 'block' && mode() === 'enforce' && freshness() === 'fresh') yield { prefix, until }
      }
    },
  }
}
