/**
 * Finds out what there is to know about a domain's mail: asks DNS, or a zone file, about its exchanges, and about what was
 * promised for them; and goes and knocks at port 25 where it is asked to.
 *
 * A zone is a stranger's text until it is looked at: it may name a thousand exchanges, loop, or say nothing. So all of it is
 * bounded, and what could not be known is told beside what is.
 */
import { parseClient, reversedLabels } from '../core/client.ts'
import { printable } from '../core/evidence.ts'
import type { MxRecord } from '../core/mx.ts'
import { readStsPolicy } from '../core/sts.ts'
import { type Host, type KnownDecoys, type Knock, rolesOf, type Survey } from '../core/survey.ts'
import { lookAt } from './greeting.ts'
import type { Found, Lookup } from './lookup.ts'
import { type Dns, readSpf } from './spf.ts'

export type SurveyOptions = {
  /** In small letters, without the last dot. */
  readonly domain: string
  readonly lookup: Lookup
  readonly known: KnownDecoys
  /** Decoys that a person named: each should be there. */
  readonly named?: readonly string[]
  /** Hosts that are looked at though no MX record names them (yet). */
  readonly beside?: readonly string[]
  /** The MTA-STS policy, where a person gives it. */
  readonly policy?: string | undefined
  /** Else asked for it where DNS shows that there is one; the text, or a sentence why not. */
  readonly fetchPolicy?: (domain: string) => Promise<{ readonly text: string } | { readonly failed: string }>
  /** Calls every address at this port. */
  readonly knockAt?: number | undefined
}

/** Most exchanges, and most addresses of each, that are looked at. */
const EXCHANGES_MAX = 20
const ADDRESSES_MAX = 8
/** A decoy at pace slow takes half a minute to say what it says. */
const KNOCK_MS = 90_000

export async function survey(options: SurveyOptions): Promise<Survey> {
  const { domain, lookup, known, beside = [] } = options
  const silences: { about: string; because: string }[] = []
  const cut: string[] = []
  let isCached = false
  const noting = (about: string, found: Found): Found => {
    isCached ||= found.isCached === true
    if (found.outcome === 'unknown') silences.push({ about, because: found.because })
    return found
  }
  const answer = noting(domain, await lookup(domain, 'MX'))
  const all = answer.records.map(({ data }) => mxOf(data))
  const names = [...new Set(all.map(({ exchange }) => exchange))].filter((name) => name !== '.')
  if (names.length > EXCHANGES_MAX) cut.push(`${names.length} exchanges; the first ${EXCHANGES_MAX} were looked at`)
  const exchanges = all.length === 0 && answer.outcome === 'none' ? [domain] : names.slice(0, EXCHANGES_MAX)
  const looked = [...new Set([...exchanges, ...beside])]
  const addresses = new Map<string, readonly string[]>()
  const hosts = new Map<string, Host>()
  await Promise.all(
    looked.map(async (name) => {
      const own = await hostOf(name, lookup, noting, cut)
      addresses.set(name, own.addresses)
      const place = answer.records.find(({ data }) => mxOf(data).exchange === name)?.place
      hosts.set(name, { ...own.host, place })
    }),
  )
  const mx = all.filter(({ exchange }) => exchange === '.' || hosts.has(exchange))
  const records = { domain, mx, addresses }
  const { roles, decoyAddresses } = rolesOf(records, known)
  const layout = { ...records, roles }
  const times = answer.records.map(({ ttlSeconds }) => ttlSeconds)
  const [spf, sts, knocks] = await Promise.all([
    spfOf(domain, lookup),
    stsOf(options),
    options.knockAt === undefined ? undefined : knockAll(layout, options),
  ])
  return {
    layout,
    decoyAddresses,
    ttlsFromCache: isCached,
    mxTtlSeconds: times.length > 0 ? Math.max(...times) : undefined,
    // In the order of the records, whatever the order of the answers.
    hosts: new Map(looked.map((name) => [name, hosts.get(name) as Host])),
    spf,
    sts,
    ...(knocks ? { knocks } : {}),
    absent: (options.named ?? []).filter((name) => !names.includes(name)),
    silences,
    cut,
  }
}

function mxOf(data: string): MxRecord {
  const [preference = '', exchange = '.'] = data.split(' ')
  return { preference: Number(preference), exchange: exchange === '.' ? '.' : printable(exchange) }
}

const NO_HOST: Omit<Host, 'place'> = {
  outcome: 'none',
  alias: undefined,
  ttlSeconds: undefined,
  tlsa: undefined,
  reverse: new Map(),
  addressPlaces: new Map(),
}

type Noting = (about: string, found: Found) => Found

/** What one exchange's name says. */
async function hostOf(
  name: string,
  lookup: Lookup,
  noting: Noting,
  cut: string[],
): Promise<{ readonly addresses: readonly string[]; readonly host: Omit<Host, 'place'> }> {
  // Whoever wrote an address for a name meant no name; nobody is asked for it.
  if (parseClient(name)) return { addresses: [], host: NO_HOST }
  const [four, six, tlsa] = await Promise.all([
    lookup(name, 'A'),
    lookup(name, 'AAAA'),
    lookup(`_25._tcp.${name}`, 'TLSA'),
  ])
  noting(name, four)
  if (six.because !== four.because) noting(name, six)
  const records = [...four.records, ...six.records]
  const addresses = records.map(({ data }) => data)
  if (addresses.length > ADDRESSES_MAX)
    cut.push(`${name} has ${addresses.length} addresses; the first ${ADDRESSES_MAX} were looked at`)
  const looked = addresses.slice(0, ADDRESSES_MAX)
  const reverse = new Map<string, string>()
  await Promise.all(
    looked.map(async (address) => {
      const seen = await reverseTrouble(address, name, lookup)
      if (seen !== undefined) reverse.set(address, seen)
    }),
  )
  const outcomes = [four.outcome, six.outcome]
  const outcome = (['found', 'unknown', 'outside', 'none'] as const).find((each) => outcomes.includes(each)) ?? 'none'
  return {
    addresses: looked,
    host: {
      outcome,
      alias: four.aliases.at(-1) ?? six.aliases.at(-1),
      ttlSeconds: records.length > 0 ? Math.max(...records.map(({ ttlSeconds }) => ttlSeconds)) : undefined,
      tlsa: tlsa.outcome === 'found' ? true : tlsa.outcome === 'none' ? false : undefined,
      reverse,
      addressPlaces: new Map(records.flatMap(({ data, place }) => (place ? [[data, place]] : []))),
    },
  }
}

/** What is wrong with the reverse name of an address; undefined where nothing is, or nobody says. */
async function reverseTrouble(address: string, host: string, lookup: Lookup): Promise<string | undefined> {
  const client = parseClient(address)
  if (!client) return undefined
  const zone = client.family === 4 ? 'in-addr.arpa' : 'ip6.arpa'
  const found = await lookup([...reversedLabels(client), zone].join('.'), 'PTR')
  if (found.outcome === 'none') return 'it has no reverse name'
  const [first] = found.records
  if (!first || found.records.some(({ data }) => data === host)) return undefined
  const back = await lookup(first.data, client.family === 4 ? 'A' : 'AAAA')
  if (back.outcome === 'unknown' || back.outcome === 'outside') return undefined
  if (back.records.some(({ data }) => data === address)) return undefined
  return `its reverse name ${printable(first.data)} does not lead back to it`
}

async function spfOf(domain: string, lookup: Lookup): Promise<Survey['spf']> {
  const found = await lookup(domain, 'TXT')
  const record = found.records.map(({ data }) => data).find((text) => /^v=spf1(?: |$)/i.test(text))
  if (record === undefined) return undefined
  const reading = await readSpf(domain, asResolver(lookup))
  return { record: printable(record), wrong: reading.outcome === 'wrong' ? reading.because : undefined }
}

/** The same answers as node:dns would give them; what is not known rejects. */
function asResolver(lookup: Lookup): Dns {
  const data = async (name: string, type: 'A' | 'AAAA' | 'MX' | 'TXT') => {
    const { outcome, because, records } = await lookup(name.toLowerCase(), type)
    if (outcome === 'unknown' || outcome === 'outside') throw new Error(because || 'outside the zone file')
    return records.map((record) => record.data)
  }
  return {
    resolve4: (async (name: string) => await data(name, 'A')) as Dns['resolve4'],
    resolve6: (async (name: string) => await data(name, 'AAAA')) as Dns['resolve6'],
    resolveTxt: async (name) => (await data(name, 'TXT')).map((text) => [text]),
    resolveMx: async (name) =>
      (await data(name, 'MX')).map(mxOf).map(({ preference, exchange }) => ({ priority: preference, exchange })),
  }
}

async function stsOf({ domain, lookup, policy: given, fetchPolicy }: SurveyOptions): Promise<Survey['sts']> {
  if (given !== undefined) return stsIn(given)
  const found = await lookup(`_mta-sts.${domain}`, 'TXT')
  const sign = found.records.some(({ data }) => /^v=STSv1\s*(?:;|$)/i.test(data))
  if (!sign) return undefined
  if (!fetchPolicy) return 'not looked at'
  const answer = await fetchPolicy(domain)
  return 'failed' in answer ? { unreadable: answer.failed } : stsIn(answer.text)
}

function stsIn(text: string): Survey['sts'] {
  const policy = readStsPolicy(text)
  return typeof policy === 'string' ? { unreadable: policy } : policy
}

async function knockAll(
  layout: Survey['layout'],
  { domain, knockAt: port = 25 }: SurveyOptions,
): Promise<ReadonlyMap<string, Knock>> {
  const all = layout.mx.flatMap(({ exchange }) =>
    (layout.addresses.get(exchange) ?? []).map((address) => ({ address, role: layout.roles.get(exchange) ?? 'real' })),
  )
  const knocks = await Promise.all(
    all.map(async ({ address, role }) => {
      const full = role !== 'primary'
      // Only a decoy of ours is told a recipient: it is to put it off.
      const recipient = role === 'backup' ? { recipient: `postmaster@${domain}` } : {}
      const look = await lookAt({ host: address, port }, { full, ...recipient, lookMs: KNOCK_MS })
      return [address, knockOf(look)] as const
    }),
  )
  return new Map(knocks)
}

function knockOf({ connected, reply, because }: Awaited<ReturnType<typeof lookAt>>): Knock {
  const outcome = (): Knock['outcome'] => {
    if (reply?.code.startsWith('4')) return 'put off'
    if (reply?.code.startsWith('5')) return 'turns away'
    if (reply?.step === 'MAIL' || reply?.step === 'RCPT') return 'takes mail'
    if (reply) return 'talks'
    if (because === 'ECONNREFUSED') return 'refused'
    if (because === 'ECONNRESET' || because === 'EPIPE') return 'reset'
    if (/ within \d+ ms$/.test(because)) return 'silent'
    return connected ? 'talks' : 'unreachable'
  }
  return { outcome: outcome(), because }
}
