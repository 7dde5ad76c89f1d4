/**
 * What was found out about a domain's mail, before anybody says whether it is good: the layout, what its names and
 * addresses say, and what was promised about them elsewhere (DANE, MTA-STS, SPF).
 *
 * What is absent was not looked at. It is filled by watch/surveyor.ts, from DNS or from a zone file, and read by lint and plan.
 */
import { parseClient } from './client.ts'
import type { Place } from './dangers.ts'
import type { Role } from './evidence.ts'
import type { DomainRecords, Layout } from './mx.ts'
import { covers, type Prefix } from './prefixes.ts'
import type { StsPolicy } from './sts.ts'

export type Survey = {
  readonly layout: Layout
  /** The part that an address plays, where the settings name it as a decoy's. */
  readonly decoyAddresses: ReadonlyMap<string, Role>
  readonly mxTtlSeconds: number | undefined
  /** The TTLs are what a resolver's cache has left of them; the zone's are as long or longer. */
  readonly ttlsFromCache?: boolean
  readonly hosts: ReadonlyMap<string, Host>
  /** The SPF record of the domain, and what is wrong with it; undefined: it has none. */
  readonly spf?: { readonly record: string; readonly wrong: string | undefined } | undefined
  /** undefined: no sign of one. */
  readonly sts?: StsPolicy | { readonly unreadable: string } | 'not looked at' | undefined
  readonly knocks?: ReadonlyMap<string, Knock>
  /** Decoys that a person named, and no MX record does. */
  readonly absent: readonly string[]
  /** What could not be looked at, and why. */
  readonly silences: readonly { readonly about: string; readonly because: string }[]
  /** What was left out, because there was too much of it. */
  readonly cut: readonly string[]
}

/** One exchange's host name. */
export type Host = {
  readonly outcome: 'found' | 'none' | 'outside' | 'unknown'
  /** The name that it is an alias of. */
  readonly alias: string | undefined
  /** The longest of its addresses'. */
  readonly ttlSeconds: number | undefined
  readonly tlsa: boolean | undefined
  /** Addresses whose reverse name is missing or leads elsewhere, with what was seen. */
  readonly reverse: ReadonlyMap<string, string>
  /** Of its MX record in a zone file. */
  readonly place: Place | undefined
  /** Of the records of its addresses there. */
  readonly addressPlaces: ReadonlyMap<string, Place>
}

/** What happened to a stranger who called an address at port 25. */
export type Knock = {
  readonly outcome: 'refused' | 'reset' | 'silent' | 'talks' | 'put off' | 'takes mail' | 'turns away' | 'unreachable'
  readonly because: string
}

/** How decoys are known: by what a person names, else by addresses that the settings listen on. */
export type KnownDecoy = { readonly names: readonly string[]; readonly networks: readonly Prefix[] }
export type KnownDecoys = Readonly<Record<'primary' | 'backup', KnownDecoy>>

/** The parts that exchanges play, and the decoys among the addresses. */
export function rolesOf(
  { mx, addresses }: DomainRecords,
  known: KnownDecoys,
): Pick<Survey, 'decoyAddresses'> & Pick<Layout, 'roles'> {
  const decoyAddresses = new Map<string, Role>()
  for (const address of [...addresses.values()].flat()) {
    const client = parseClient(address)
    const role = DECOYS.find((each) => client && known[each].networks.some((network) => covers(network, client)))
    if (role) decoyAddresses.set(address, role)
  }
  const roles = new Map<string, Role>()
  for (const { exchange } of mx) {
    const of = addresses.get(exchange) ?? []
    const [first] = of
    const named = DECOYS.find((each) => known[each].names.includes(exchange))
    const allOurs = first !== undefined && of.every((address) => decoyAddresses.has(address))
    const role = named ?? (allOurs ? decoyAddresses.get(first) : undefined)
    if (role) roles.set(exchange, role)
  }
  return { decoyAddresses, roles }
}

const DECOYS = ['primary', 'backup'] as const
