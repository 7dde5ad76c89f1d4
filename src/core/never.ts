/**
 * Who can never be listed, whatever it does, whoever says so: the one list that judge and every answer ask.
 *
 * Some ranges never reach a real MX from outside (`neverListed`). Others are ours: the decoys, the real MXs, the relays and
 * networks that our own mail comes from. To list one of them would stop our mail, so it is not left to rules, nor to the
 * operator's care. Each group is known by whoever keeps it up to date, and replaced as a whole.
 */
import type { Client } from './client.ts'
import { overlap, parsePrefix, type Prefix, Prefixes, prefixOfAddress } from './prefixes.ts'

/**
 * Loopback, private and link-local addresses never reach a real MX from outside: evidence about them is a test, a NAT that
 * hides the true client, or a mistake. Documentation ranges are judged like any other, so that people can try.
 */
const RANGES = [
  ['0.0.0.0/8', 'an unspecified address (RFC 1122)'],
  ['10.0.0.0/8', 'a private address (RFC 1918)'],
  ['100.64.0.0/10', 'a carrier-grade NAT address (RFC 6598)'],
  ['127.0.0.0/8', 'a loopback address'],
  ['169.254.0.0/16', 'a link-local address'],
  ['172.16.0.0/12', 'a private address (RFC 1918)'],
  ['192.168.0.0/16', 'a private address (RFC 1918)'],
  ['224.0.0.0/4', 'a multicast address'],
  ['255.255.255.255/32', 'the broadcast address'],
  ['::/64', 'a loopback or unspecified address'],
  ['fc00::/7', 'a private address (RFC 4193)'],
  ['fe80::/10', 'a link-local address'],
  ['ff00::/8', 'a multicast address'],
].map(([cidr, what]) => [parsePrefix(cidr as string) as Prefix, what as string] as const)

const BY_RANGE = Prefixes.of(RANGES)

/** Why a client can never be listed, whoever it is that asks; or undefined. */
export function neverListed(client: Client): string | undefined {
  return BY_RANGE.find(client)
}

/** Most entries of one group; a list that long is a mistake. */
const NEVER_MAX = 20_000

/** Plain data: networks, and what they are. */
export type Group = { readonly what: string; readonly cidrs: readonly string[] }

export class Never {
  readonly #groups = new Map<string, { readonly entries: readonly Prefix[]; readonly prefixes: Prefixes<true> }>()
  readonly #changed: () => void

  /** `changed` is called when a group is not what it was. */
  constructor(changed = () => {}) {
    this.#changed = changed
  }

  /** From now on these, and no others, are never listed because they are `what`, like "a real MX". */
  put(what: string, entries: readonly Prefix[]): void {
    const kept = entries.slice(0, NEVER_MAX).map(wholeClient)
    const before = this.#groups.get(what)?.entries ?? []
    if (kept.length === before.length && kept.every(({ cidr }, i) => cidr === before[i]?.cidr)) return
    this.#groups.set(what, { entries: kept, prefixes: Prefixes.of(kept.map((prefix) => [prefix, true])) })
    this.#changed()
  }

  /** Why this client is never listed, or undefined. */
  find(client: Client): string | undefined {
    const range = neverListed(client)
    if (range !== undefined) return range
    for (const [what, { prefixes }] of this.#groups) if (prefixes.find(client)) return what
    return undefined
  }

  /** Every group, for a copy in another process. */
  get groups(): readonly Group[] {
    return [...this.#groups].map(([what, { entries }]) => ({ what, cidrs: entries.map(({ cidr }) => cidr) }))
  }

  /** All that is never listed, as networks. */
  networks(): Prefix[] {
    return [...RANGES.map(([prefix]) => prefix), ...[...this.#groups.values()].flatMap(({ entries }) => entries)]
  }

  /** What in this network is never listed, or holds all of it. */
  within(prefix: Prefix): { readonly cidr: string; readonly what: string }[] {
    return [...this.#groups].flatMap(([what, { entries }]) =>
      entries.filter((entry) => overlap(entry, prefix)).map(({ cidr }) => ({ cidr, what })),
    )
  }
}

/** A client is a whole IPv6 /64: what is never listed is at least that. */
function wholeClient(prefix: Prefix): Prefix {
  return prefix.family === 6 && prefix.length > 64 ? (prefixOfAddress(prefix.cidr) ?? prefix) : prefix
}
