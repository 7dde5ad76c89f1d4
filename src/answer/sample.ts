/**
 * Does this list hold the world? A look at addresses all over it, before anybody is told that one is listed.
 *
 * A list that lists everything stops all mail. It has happened to DNSBLs that were given up, and a block of 0.0.0.0/0 is
 * typed in a second. No true list comes near: a million addresses are a four thousandth of IPv4. The addresses lie at
 * even distances, one in each /7 of IPv4 and each /10 of 2000::/3; those that can never be listed are passed over.
 */
import { type Client, clientOfBytes, clientOfNumber } from '../core/client.ts'
import { neverListed } from '../core/never.ts'
import type { Instant } from '../core/evidence.ts'
import type { Decide, Decision } from '../reputation/decision.ts'

export type SampleHappening = { readonly what: 'overfull' | 'sane'; readonly share: number }

/** A share of either family beyond which the list is not to be believed. */
const SHARE_MAX = 1 / 8
/** So long a look is good for. It takes some 250 decisions. */
const EVERY_MS = 1000

const REST_OF_IPV6 = Array.from({ length: 11 }, (_, i) => i + 1)
const probes: readonly (readonly Client[])[] = [
  Array.from({ length: 128 }, (_, n) => clientOfNumber(n * 0x0200_0000 + 0x0153_4d1b)),
  Array.from({ length: 128 }, (_, n) =>
    clientOfBytes([0x20 + (n >> 2), ((n & 3) << 6) + 0x13, 0x4d, 0x1b, 5, ...REST_OF_IPV6]),
  ),
].map((clients) => clients.filter((client) => neverListed(client) === undefined))

/** The same decisions, as long as they can be believed; while the list holds the world, all of them pass. */
export function believable(decide: Decide, now: () => Instant, tell: (it: SampleHappening) => void): Decide {
  let lookedAt = Number.NaN
  let overfull = false
  return (client) => {
    const at = now()
    // Also where the clock went back, and at first.
    if (!(Math.abs(at - lookedAt) < EVERY_MS)) {
      lookedAt = at
      const share = listedShare(decide)
      if (share > SHARE_MAX !== overfull) {
        overfull = !overfull
        tell({ what: overfull ? 'overfull' : 'sane', share })
      }
    }
    const decision = decide(client)
    return overfull ? passing(decision) : decision
  }
}

/** The greater of the shares of IPv4 and of IPv6. */
function listedShare(decide: Decide): number {
  const isListed = (client: Client) => decide(client).effect !== 'pass'
  return Math.max(...probes.map((clients) => clients.filter(isListed).length / clients.length))
}

function passing(decision: Decision): Decision {
  return { ...decision, effect: 'pass', doubt: 'overfull' }
}
