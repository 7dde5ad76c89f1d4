/**
 * lint: is this MX layout safe to have decoys in? What was found out comes in, findings come out, the gravest first.
 *
 * Each check is a small function that looks at one question and knows its codes (core/dangers.ts). What was not looked at is
 * not judged; what should have been, and could not be, is a finding of its own.
 */
import { DANGERS, type Code, type Finding, found, LEVELS } from './dangers.ts'
import { type MxRecord, roleAt } from './mx.ts'
import { parseClient } from './client.ts'
import { neverListed } from './never.ts'
import { parsePrefix, type Prefix, Prefixes } from './prefixes.ts'
import { promises } from './lint-promises.ts'
import { waitOf } from './span.ts'
import type { Survey } from './survey.ts'

/** What senders are known to take of a list of exchanges: the first so many addresses (Postfix, Exim). */
const ADDRESSES_TRIED = 5
const GAP_MIN = 5
const DAY_SECONDS = 86_400
const MINUTE_SECONDS = 60

type Check = (survey: Survey) => Finding[]

export function lint(survey: Survey): Finding[] {
  const all = CHECKS.flatMap((check) => check(survey))
  return all.toSorted((a, b) => LEVELS.indexOf(b.level) - LEVELS.indexOf(a.level) || rank(a.code) - rank(b.code))
}

const CHECKS: readonly Check[] = [
  silence,
  kind,
  inOrder,
  equals,
  budget,
  room,
  names,
  aliases,
  reach,
  shared,
  families,
  reverse,
  ttl,
  ...promises,
]

const CODES = Object.keys(DANGERS)

function rank(code: Code): number {
  return CODES.indexOf(code)
}

/** The exchanges of one part. */
export function exchangesOf({ layout }: Survey, role: 'primary' | 'real' | 'backup'): MxRecord[] {
  return layout.mx.filter(({ exchange }) => exchange !== '.' && roleAt(layout, exchange) === role)
}

function namesOf(records: readonly MxRecord[]): string[] {
  return [...new Set(records.map(({ exchange }) => exchange))]
}

function addressesOf({ layout }: Survey, exchange: string): readonly string[] {
  return layout.addresses.get(exchange) ?? []
}

function silence({ silences, cut }: Survey): Finding[] {
  return [
    ...silences.map(({ about, because }) => found('DN01', about, because)),
    ...cut.map((sentence) => found('DN02', '', sentence)),
  ]
}

/** Has the domain MX records at all, a real one, a decoy? */
function kind(survey: Survey): Finding[] {
  const { layout, silences } = survey
  const { domain, mx } = layout
  if (silences.some(({ about }) => about === domain)) return []
  if (mx.length === 0) {
    const own = addressesOf(survey, domain)
    const seen =
      own.length > 0
        ? `it has no MX record: mail goes to its own address, ${own.join(', ')}`
        : 'it has neither an MX record nor an address: is the name right?'
    return [found('MX01', domain, seen)]
  }
  if (mx.some(({ exchange }) => exchange === '.')) {
    const beside = mx.length > 1 ? `, beside ${mx.length - 1} others` : ''
    return [found('MX02', domain, `there is an MX of "."${beside}`)]
  }
  const all = namesOf(mx).join(', ')
  const absent = survey.absent.map((name) => found('MX15', name, `the MX records name ${all}`))
  const real = exchangesOf(survey, 'real')
  if (real.length === 0) return [...absent, found('MX03', domain, `all of ${all} are decoys`)]
  if (real.length === mx.length) return [...absent, found('MX13', domain, `${all}: none of them is known as a decoy`)]
  return absent
}

function inOrder(survey: Survey): Finding[] {
  const real = exchangesOf(survey, 'real').toSorted((a, b) => a.preference - b.preference)
  const [first, last] = [real[0], real.at(-1)]
  if (!first || !last) return []
  const late = exchangesOf(survey, 'primary').filter(({ preference }) => preference > first.preference)
  const early = exchangesOf(survey, 'backup').filter(({ preference }) => preference < last.preference)
  const told = (preference: number, other: MxRecord) =>
    `it has ${preference}, ${other.exchange} has ${other.preference}`
  return [
    ...late.map(({ exchange, preference }) => found('MX05', exchange, told(preference, first), at(survey, exchange))),
    ...early.map(({ exchange, preference }) => found('MX06', exchange, told(preference, last), at(survey, exchange))),
  ]
}

function equals(survey: Survey): Finding[] {
  const real = exchangesOf(survey, 'real')
  return [...exchangesOf(survey, 'primary'), ...exchangesOf(survey, 'backup')].flatMap(({ exchange, preference }) => {
    const twins = namesOf(real.filter((each) => each.preference === preference))
    if (twins.length === 0) return []
    const all = twins.length === 1 ? 'both' : 'all'
    return [found('MX04', exchange, `it and ${twins.join(', ')} ${all} have ${preference}`, at(survey, exchange))]
  })
}

/** Senders' budgets: hosts and addresses that are tried before the first real MX, and after it. */
function budget(survey: Survey): Finding[] {
  const real = exchangesOf(survey, 'real').toSorted((a, b) => a.preference - b.preference)
  const [first] = real
  if (!first) return []
  const before = survey.layout.mx.filter(
    ({ preference, exchange }) => preference < first.preference && exchange !== '.',
  )
  const hosts = namesOf(before)
  // By record: the addresses of a name that stands there twice are tried twice.
  const addresses = before.flatMap(({ exchange }) => addressesOf(survey, exchange))
  const findings: Finding[] = []
  if (hosts.length > 1)
    findings.push(found('MX07', hosts.join(', '), `${hosts.length} names are tried before ${first.exchange}`))
  if (addresses.length >= ADDRESSES_TRIED)
    findings.push(found('MX08', hosts.join(', '), `${addresses.length} addresses are tried before ${first.exchange}`))
  for (const host of namesOf(exchangesOf(survey, 'primary'))) {
    const own = addressesOf(survey, host)
    if (own.length > 1) findings.push(found('MX09', host, `it has ${own.join(', ')}`, at(survey, host, own[1])))
  }
  for (const host of namesOf(exchangesOf(survey, 'backup'))) findings.push(...several(survey, host))
  const second = real.find(({ preference }) => preference > first.preference)
  if (hosts.length === 1 && second)
    findings.push(found('MX10', second.exchange, `after ${hosts[0]} and ${first.exchange} it is the third`))
  return findings
}

/** More addresses of the backup than one of a family: are all of them ours? */
function several(survey: Survey, host: string): Finding[] {
  const own = addressesOf(survey, host)
  const doubled = own.find((address, i) => own.findIndex((each) => familyOf(each) === familyOf(address)) < i)
  if (doubled === undefined) return []
  const strange = own.filter((address) => survey.decoyAddresses.get(address) !== 'backup')
  const isKnown = strange.length < own.length && strange.length > 0
  const seen = `it has ${own.join(', ')}${isKnown ? `; the settings do not listen on ${strange.join(', ')}` : ''}`
  const level = isKnown ? 'warning' : DANGERS.MX16.level
  return [found('MX16', host, seen, { level, ...at(survey, host, isKnown ? strange[0] : doubled) })]
}

function room(survey: Survey): Finding[] {
  const real = exchangesOf(survey, 'real').map(({ preference }) => preference)
  return [...exchangesOf(survey, 'primary'), ...exchangesOf(survey, 'backup')].flatMap(({ exchange, preference }) => {
    const gap = Math.min(...real.map((each) => Math.abs(each - preference)))
    if (gap === 0 || gap >= GAP_MIN) return []
    return [
      found(
        'MX11',
        exchange,
        `between its ${preference} and the next real MX is room for ${gap - 1} more`,
        at(survey, exchange),
      ),
    ]
  })
}

/** One name, one record, one part. */
function names(survey: Survey): Finding[] {
  const { mx } = survey.layout
  const findings = namesOf(mx).flatMap((name) => {
    const own = mx.filter(({ exchange }) => exchange === name)
    if (own.length < 2) return []
    return [
      found(
        'MX12',
        name,
        `it stands there with ${own.map(({ preference }) => preference).join(' and ')}`,
        at(survey, name),
      ),
    ]
  })
  const backups = new Map(
    namesOf(exchangesOf(survey, 'backup')).flatMap((name) =>
      addressesOf(survey, name).map((address) => [address, name]),
    ),
  )
  for (const name of namesOf(exchangesOf(survey, 'primary'))) {
    const both = addressesOf(survey, name).find((address) => backups.has(address))
    if (both !== undefined)
      findings.push(found('MX14', name, `${both} is ${backups.get(both)}’s, too`, at(survey, name, both)))
  }
  return findings
}

function aliases(survey: Survey): Finding[] {
  return namesOf(survey.layout.mx).flatMap((name) => {
    const host = survey.hosts.get(name)
    const address = parseClient(name)
    if (address) return [found('AD03', name, 'the MX record names an address', at(survey, name))]
    if (host?.alias !== undefined) return [found('AD02', name, `it is an alias of ${host.alias}`, at(survey, name))]
    if (host?.outcome === 'none') return [found('AD01', name, 'it has neither A nor AAAA', at(survey, name))]
    if (host?.outcome === 'outside') return [found('AD08', name, 'its addresses were not looked at', at(survey, name))]
    return []
  })
}

/** Ranges that no public host has, beside those that are never listed. */
const RESERVED = Prefixes.of<string>(
  [
    ['192.0.0.0/24', 'a protocol assignment (RFC 6890)'],
    ['198.18.0.0/15', 'for benchmarks (RFC 2544)'],
    ['240.0.0.0/4', 'reserved (RFC 1112)'],
    ['100::/64', 'discard-only (RFC 6666)'],
  ].map(([cidr, what]) => [parsePrefix(cidr as string) as Prefix, what as string] as const),
)
const DOCUMENTATION = Prefixes.of<true>(
  ['192.0.2.0/24', '198.51.100.0/24', '203.0.113.0/24', '2001:db8::/32', '3fff::/20'].map(
    (cidr) => [parsePrefix(cidr) as Prefix, true] as const,
  ),
)

function reach(survey: Survey): Finding[] {
  return namesOf(survey.layout.mx).flatMap((name) => {
    const own = addressesOf(survey, name)
    const bogus = own.flatMap((address) => {
      const client = parseClient(address)
      const what = client && (neverListed(client) ?? RESERVED.find(client))
      return what === undefined ? [] : [found('AD04', name, `${address} is ${what}`, at(survey, name, address))]
    })
    const example = own.find((address) => {
      const client = parseClient(address)
      return client && DOCUMENTATION.find(client)
    })
    return example === undefined
      ? bogus
      : [...bogus, found('AD06', name, `${example} is for examples`, at(survey, name, example))]
  })
}

function shared(survey: Survey): Finding[] {
  const decoys = new Map<string, string>()
  for (const { exchange } of [...exchangesOf(survey, 'primary'), ...exchangesOf(survey, 'backup')])
    for (const address of addressesOf(survey, exchange)) decoys.set(address, `${exchange}’s`)
  for (const [address, role] of survey.decoyAddresses)
    if (!decoys.has(address)) decoys.set(address, `the ${role} decoy’s by the settings`)
  return namesOf(exchangesOf(survey, 'real')).flatMap((name) => {
    const both = addressesOf(survey, name).filter((address) => decoys.has(address))
    return both.map((address) =>
      found('AD05', name, `${address} is ${decoys.get(address)}, too`, at(survey, name, address)),
    )
  })
}

function families(survey: Survey): Finding[] {
  const familiesIn = (hosts: readonly string[]) =>
    new Set(hosts.flatMap((host) => addressesOf(survey, host)).map(familyOf))
  const real = familiesIn(namesOf(exchangesOf(survey, 'real')))
  if (real.size === 0) return []
  return (['primary', 'backup'] as const).flatMap((role) =>
    namesOf(exchangesOf(survey, role)).flatMap((name) => {
      const own = familiesIn([name])
      if (own.size === 0) return []
      // One A is enough at the primary: a second address would cost honest senders time (MX09).
      const wanted = role === 'primary' ? [real.has('A') ? ('A' as const) : ('AAAA' as const)] : [...real]
      const absent = wanted.filter((family) => !own.has(family))
      return absent.map((family) =>
        found('AD07', name, `the real MX has ${family}, the ${role} decoy has none`, at(survey, name)),
      )
    }),
  )
}

function familyOf(address: string): 'A' | 'AAAA' {
  return address.includes(':') ? 'AAAA' : 'A'
}

function reverse(survey: Survey): Finding[] {
  return [...survey.hosts].flatMap(([name, host]) =>
    [...host.reverse].map(([address, seen]) => found('AD09', name, `${address}: ${seen}`, at(survey, name, address))),
  )
}

function ttl(survey: Survey): Finding[] {
  const { layout, mxTtlSeconds, hosts } = survey
  const all: [string, string, number][] = mxTtlSeconds === undefined ? [] : [['MX', layout.domain, mxTtlSeconds]]
  for (const [name, { ttlSeconds }] of hosts) if (ttlSeconds !== undefined) all.push(['address', name, ttlSeconds])
  const findings = all.flatMap(([what, name, seconds]) => {
    if (seconds > DAY_SECONDS) return [found('TT02', name, `the TTL of its ${what} is ${seconds} s`)]
    if (seconds < MINUTE_SECONDS) return [found('TT03', name, `the TTL of its ${what} is ${seconds} s`)]
    return []
  })
  const longest = Math.max(0, ...all.map(([, , seconds]) => seconds))
  if (longest === 0) return findings
  return [
    ...findings,
    found('TT01', layout.domain, `the longest TTL is ${longest} s: two of them are ${waitOf(2 * longest * 1000)}`),
  ]
}

/** Where it is put right: the record of the address, if one is named and the file holds it, else the MX record. */
function at({ hosts }: Survey, name: string, address?: string): Pick<Finding, 'place'> {
  const host = hosts.get(name)
  return { place: (address === undefined ? undefined : host?.addressPlaces.get(address)) ?? host?.place }
}
