/**
 * Our one table in the kernel's packet filter, `inet decoymx`: what it says, how it is put there, and how it is read.
 *
 * A SYN to an address of the primary decoy is let in when its client is in a set of suspects, else remembered in another
 * set and answered with a true TCP reset, as a closed port does. Nothing else is looked at: not other ports, not other
 * addresses, not connections that stand. The chain comes after the host's own filter (priority filter + 10), so whoever
 * that drops is none of ours, and nothing that we accept was refused by it.
 *
 * Each change is one transaction of `nft -f`, which happens as a whole or not at all. No other table is ever named.
 *
 * A table that is left behind, by a crash or by an end in order, goes on refusing strangers: that costs honest mail nothing.
 * Its suspects run out by themselves, within the hour, and its memory of whom it refused is read by the next start. The networks
 * that the operator blocked stay and need no end: who is let in where no decoy listens meets the kernel's own reset, as a stranger does.
 */
import { execFile } from 'node:child_process'
import { delimiter } from 'node:path'
import { outermost, type Prefix } from '../core/prefixes.ts'

/** Addresses at which a decoy is called: one, or a whole prefix. Where prefixes lie within each other the longest counts. */
export type Called = { readonly role: 'primary' | 'backup'; readonly prefix: Prefix; readonly port: number }

/** Who is let in: one IPv4 client or IPv6 /64, by its address, for so long. */
export type Entry = { readonly address: string; readonly family: 4 | 6; readonly lifeMs: number }

/** Everyone who is let in. Networks are those of the operator's blocks; none lies within another. */
export type Guests = {
  readonly entries: readonly Entry[]
  readonly networks: readonly { readonly cidr: string; readonly family: 4 | 6 }[]
}

/** Whom the kernel refused since the set was emptied: IPv6 by the first address of its /64. */
export type Refused = {
  readonly address: string
  readonly family: 4 | 6
  readonly times: number
  /** Since the last time; up to a second more than it was. */
  readonly agoMs: number
}

/** Connections since the table was made. */
export type Tolls = Readonly<Record<'refused' | 'letIn', Readonly<Record<4 | 6, number>>>>

export type TableView = {
  /** The table without what changes by itself: two that are equal do the same. */
  readonly shape: string
  readonly tolls: Tolls
  /** Where it refuses strangers, each as `192.0.2.66:25` or `[2001:db8::/64]:25`. */
  readonly refusesAt: readonly string[]
}

/** Most that each set holds, of each family. */
export type Sizes = { readonly suspects: number; readonly networks: number; readonly refused: number }

/** Why nft did not do it. `denied`: we have not the right, and asking again does not help. */
export class NftFailed extends Error {
  readonly why: 'missing-program' | 'denied' | 'no-table' | 'failed'
  constructor(why: NftFailed['why'], message: string) {
    super(message)
    this.why = why
  }
}

/** How long the kernel remembers a refusal that nobody reads: an appliance that is away an hour misses no client. */
const REFUSED_MS = 3_600_000
/** A transaction takes milliseconds; the largest, half a second. */
const DEADLINE_MS = 10_000
/** The largest set that we make is a tenth of this as JSON. */
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024
const TABLE = 'inet decoymx'
const FAMILIES = [4, 6] as const

/** Puts our table in place of any that is there, with its guests, in one step. */
export async function putTable(called: readonly Called[], guests: Guests, sizes: Sizes): Promise<void> {
  // `delete` fails where there is none; adding it first makes it sure.
  await nft(`add table ${TABLE}\ndelete table ${TABLE}\n${tableText(called, sizes)}${letInText(guests)}`)
}

/** Exactly these guests, whoever was let in before. */
export async function putGuests(guests: Guests): Promise<void> {
  const sets = FAMILIES.flatMap((family) => [`suspects${family}`, `networks${family}`])
  await nft(`${sets.map((set) => `flush set ${TABLE} ${set}\n`).join('')}${letInText(guests)}`)
}

/** Some more guests, some less. Rejects when one that shall leave is not there. */
export async function changeGuests({ enter, leave }: Record<'enter' | 'leave', readonly Entry[]>): Promise<void> {
  const leaving = FAMILIES.map((family) =>
    elements('delete', `suspects${family}`, addressesOf(leave.filter((entry) => entry.family === family))),
  )
  await nft(leaving.join('') + letInText({ entries: enter, networks: [] }))
}

/** Undefined: there is no table of ours. */
export async function readTable(): Promise<TableView | undefined> {
  try {
    return tableIn(await nft(['--terse', 'list', 'table', ...TABLE.split(' ')]))
  } catch (error) {
    if (error instanceof NftFailed && error.why === 'no-table') return undefined
    throw error
  }
}

/** Is this one client let in now? */
export async function isGuest({ address, family }: Pick<Entry, 'address' | 'family'>): Promise<boolean> {
  try {
    await nft(['get', 'element', ...TABLE.split(' '), `suspects${family}`, `{ ${address} }`])
    return true
  } catch (error) {
    if (error instanceof NftFailed && error.why === 'no-table') return false
    throw error
  }
}

/** Whom it has refused and we have not read: at most `most` of each family are taken out and handed over. */
export async function takeRefused(most: number): Promise<{ refused: Refused[]; left: number }> {
  const found = []
  for (const family of FAMILIES)
    found.push(refusedIn(await nft(['list', 'set', ...TABLE.split(' '), `refused${family}`]), family))
  const refused = found.flatMap((all) => all.slice(0, most))
  const gone = FAMILIES.map((family) =>
    elements('delete', `refused${family}`, addressesOf(refused.filter((each) => each.family === family))),
  ).join('')
  // Out of the set first, so that a crash between the two loses a contact rather than count one twice.
  if (gone !== '') await nft(gone)
  return { refused, left: found.flat().length - refused.length }
}

/** Removes our table; false when there was none. */
export async function dropTable(): Promise<boolean> {
  if (!(await readTable())) return false
  await nft(`add table ${TABLE}\ndelete table ${TABLE}\n`)
  return true
}

function tableText(called: readonly Called[], sizes: Sizes): string {
  return `table ${TABLE} {
  comment "made by decoymx: strangers at the primary decoy are refused; remove it by: decoymx kernel off"
${FAMILIES.map((family) => setsText(family, sizes)).join('')}  chain arrivals {
    type filter hook input priority filter + 10; policy accept;
${FAMILIES.map((family) => arrivalsText(family, called)).join('')}  }
}
`
}

/** Longest prefixes first: what is the backup's within a prefix of the primary's is passed over, and the other way round. */
function arrivalsText(family: 4 | 6, called: readonly Called[]): string {
  const rows: { role: Called['role']; port: number; prefixes: Prefix[] }[] = []
  const own = called.filter(({ prefix }) => prefix.family === family)
  for (const { role, prefix, port } of own.toSorted((a, b) => b.prefix.length - a.prefix.length)) {
    const last = rows.at(-1)
    if (last?.role === role && last.port === port) last.prefixes.push(prefix)
    else rows.push({ role, port, prefixes: [prefix] })
  }
  return rows
    .map(({ role, port, prefixes }) => {
      const where = outermost(prefixes).map(({ cidr }) => cidr)
      const then = role === 'primary' ? `goto knock${family}` : 'accept'
      return `    ${WORD[family]} daddr { ${where.join(', ')} } tcp dport ${port} ${SYN} ${then}\n`
    })
    .join('')
}

const SYN = 'tcp flags & (fin | syn | rst | ack) == syn'

/** When the memory of refusals is full, `update` fails, and the next rule refuses all the same. */
function setsText(family: 4 | 6, { suspects, networks, refused }: Sizes): string {
  const type = `ipv${family}_addr`
  const source = `${WORD[family]} saddr`
  const client = family === 4 ? source : `${source} & ffff:ffff:ffff:ffff::`
  return `  set suspects${family} { type ${type}; size ${suspects}; flags timeout; }
  set networks${family} { type ${type}; size ${networks * 2}; flags interval; }
  set refused${family} { type ${type}; size ${refused}; flags dynamic, timeout; timeout ${REFUSED_MS / 1000}s; }
  counter let_in${family} { }
  counter refused${family} { }
  chain knock${family} {
    ${client} @suspects${family} counter name let_in${family} accept
    ${source} @networks${family} counter name let_in${family} accept
    update @refused${family} { ${client} counter }
    counter name refused${family} reject with tcp reset
  }
`
}

const WORD = { 4: 'ip', 6: 'ip6' } as const

function letInText({ entries, networks }: Guests): string {
  return FAMILIES.map((family) => {
    const singles = entries.filter((entry) => entry.family === family)
    const timed = singles.map(({ address, lifeMs }) => `${address} timeout ${Math.max(1, Math.ceil(lifeMs / 1000))}s`)
    const wide = networks.filter((network) => network.family === family).map(({ cidr }) => cidr)
    return elements('add', `suspects${family}`, timed) + elements('add', `networks${family}`, wide)
  }).join('')
}

function elements(verb: 'add' | 'delete', set: string, all: readonly string[]): string {
  return all.length === 0 ? '' : `${verb} element ${TABLE} ${set} { ${all.join(', ')} }\n`
}

function addressesOf(all: readonly { readonly address: string }[]): string[] {
  return all.map(({ address }) => address)
}

function listed(text: string): Listed {
  try {
    return JSON.parse(text) as Listed
  } catch {
    throw new NftFailed('failed', `nft said something that is no JSON: ${firstLine(text)}`)
  }
}

type Listed = { readonly nftables: readonly Record<string, Record<string, unknown>>[] }

function tableIn(text: string): TableView {
  const count = { refused: { 4: 0, 6: 0 }, letIn: { 4: 0, 6: 0 } }
  const parts = listed(text).nftables.flatMap((part) => {
    const [kind, content] = Object.entries(part)[0] as [string, Record<string, unknown>]
    if (kind === 'metainfo') return []
    const { handle: _handle, packets, bytes: _bytes, ...rest } = content
    if (kind === 'counter') {
      const [, what, family] = /^(refused|let_in)([46])$/.exec(String(content['name'])) ?? []
      if (what) count[what === 'refused' ? 'refused' : 'letIn'][Number(family) as 4 | 6] = Number(packets)
    }
    return [JSON.stringify({ [kind]: rest })]
  })
  const rules = listed(text).nftables.flatMap(({ rule }) => (rule ? [rule as unknown as Rule] : []))
  return { shape: parts.join('\n'), tolls: count, refusesAt: rules.flatMap(refusedBy) }
}

/** The addresses of one of our rules that leads strangers to their reset. */
function refusedBy({ chain, expr }: Rule): string[] {
  if (chain !== 'arrivals' || !expr.some(({ goto }) => goto?.target.startsWith('knock'))) return []
  const right = (field: string) => expr.find(({ match }) => match?.left.payload?.field === field)?.match?.right
  const [where, port] = [right('daddr'), right('dport')]
  const all = typeof where === 'object' && 'set' in where ? where.set : [where]
  return all.flatMap((each) => {
    const at = typeof each === 'object' && 'prefix' in each ? `${each.prefix.addr}/${each.prefix.len}` : each
    if (typeof at !== 'string' || typeof port !== 'number') return []
    return [at.includes(':') ? `[${at}]:${port}` : `${at}:${port}`]
  })
}

/** What we read of a rule, as libnftables-json(5) has it. */
type Rule = {
  readonly chain: string
  readonly expr: readonly {
    readonly match?: { readonly left: { readonly payload?: { readonly field: string } }; readonly right: Where }
    readonly goto?: { readonly target: string }
  }[]
}

type Where =
  | string
  | number
  | { readonly prefix: { readonly addr: string; readonly len: number } }
  | { readonly set: readonly Where[] }

function refusedIn(text: string, family: 4 | 6): Refused[] {
  const set = listed(text).nftables.find((part) => 'set' in part)?.['set']
  const all = (set?.['elem'] ?? []) as readonly { elem: RefusedElement }[]
  return all.map(({ elem: { val, expires, counter } }) => ({
    address: val,
    family,
    times: counter?.packets ?? 1,
    agoMs: Math.max(0, REFUSED_MS - expires * 1000),
  }))
}

type RefusedElement = {
  readonly val: string
  readonly expires: number
  readonly counter?: { readonly packets: number }
}

/** What nft answers to these words, as JSON; or, given a text, has it done as one transaction. */
export function nft(order: string | readonly string[]): Promise<string> {
  const words = typeof order === 'string' ? ['--file', '-'] : ['--json', ...order]
  const folders = `${process.env['PATH'] ?? ''}${delimiter}/usr/sbin${delimiter}/sbin`
  return new Promise((resolve, reject) => {
    const child = execFile(
      'nft',
      words,
      { env: { PATH: folders, LC_ALL: 'C' }, timeout: DEADLINE_MS, maxBuffer: OUTPUT_BYTES_MAX, killSignal: 'SIGKILL' },
      (error, stdout, stderr) => {
        if (error) reject(failureOf(error, stderr))
        else resolve(stdout)
      },
    )
    // Where it ends before it has read everything, its exit code tells why.
    child.stdin?.on('error', () => {})
    child.stdin?.end(typeof order === 'string' ? order : '')
  })
}

function failureOf(error: Error & { code?: string | number | null; killed?: boolean }, stderr: string): NftFailed {
  if (error.code === 'ENOENT')
    return new NftFailed(
      'missing-program',
      'there is no program nft here: install nftables (Debian: apt-get install nftables)',
    )
  if (
    /Operation not permitted|Permission denied|must be root|Protocol not supported|Unable to initialize/i.test(stderr)
  )
    return new NftFailed(
      'denied',
      `the kernel's packet filter does not let us: that takes root, or CAP_NET_ADMIN and netlink sockets (${firstLine(stderr)})`,
    )
  if (/No such file or directory/.test(stderr)) return new NftFailed('no-table', `nft: ${firstLine(stderr)}`)
  if (error.killed) return new NftFailed('failed', `nft did not end within ${DEADLINE_MS / 1000} s`)
  return new NftFailed('failed', `nft: ${firstLine(stderr) || error.message}`)
}

function firstLine(text: string): string {
  return (text.split('\n').find((line) => line.trim() !== '') ?? '').trim().slice(0, 200)
}
