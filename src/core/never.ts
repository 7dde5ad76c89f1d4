/**
 * Who can never be listed, whatever it does, whoever says so: the one list that judge and every answer ask.
 *
 * Some ranges never reach a real MX from outside (`neverListed`). Others are ours: the decoys, the real MXs, the relays and
 * networks that our own mail comes from. To list one of them would stop our mail, so it is not left to rules, nor to the
 * operator's care. Each group is known by whoever keeps it up to date, and replaced as a whole.
 */
import { type Client, NEVER_NETWORKS, neverListed } from './client.ts'
import { overlap, parsePrefix, type Prefix, Prefixes, prefixOfAddress } from './prefixes.ts'

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
    const ranges = NEVER_NETWORKS.map((cidr) => parsePrefix(cidr) as Prefix)
    return [...ranges, ...[...this.#groups.values()].flatMap(({ entries }) => entries)]
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
