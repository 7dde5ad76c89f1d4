/**
 * SPF read backwards: not whether one address may send for a domain, but which networks may (RFC 7208).
 *
 * Who writes such a record is not always careful, nor always a friend: a record that lets everybody in, or half of the net,
 * would make bots members of a pool. So what cannot be listed (macros, `exists`, `ptr`) is passed over with a note, a network
 * that is too wide is refused, and a record with a mistake that the RFC calls permanent gives nothing at all. The RFC's limits
 * hold: ten terms that ask DNS, two of them in vain, ten names of an `mx`; so a look ends, whatever DNS answers.
 */
import type { Resolver } from 'node:dns/promises'
import { parseClient } from '../core/client.ts'
import { outermost, overlap, type Prefix, prefixOf } from '../core/prefixes.ts'

export type Dns = Pick<Resolver, 'resolveTxt' | 'resolve4' | 'resolve6' | 'resolveMx'>

export type SpfReading =
  | { readonly outcome: 'read'; readonly networks: readonly Prefix[]; readonly notes: readonly string[] }
  /** The record is wrong, or there is none. */
  | { readonly outcome: 'wrong'; readonly because: string }
  /** DNS did not answer. */
  | { readonly outcome: 'unreachable'; readonly because: string }

/** RFC 7208, section 4.6.4. */
const LOOKUPS_MAX = 10
const VOID_MAX = 2
const MX_MAX = 10
/** Of one record; real ones stay far below. */
const RECORD_MAX = 8192
const TERMS_MAX = 500
/** Networks of one domain, and notes about it. */
export const NETWORKS_MAX = 1000
const NOTES_MAX = 20
/** The widest network of a sender that is believed; the widest seen of any is a /14. */
const WIDEST = { 4: 12, 6: 28 } as const
/** All of one domain together: so many IPv4 addresses, and so many IPv6 networks /48. */
const ALL_MAX = { 4: 2 ** 21, 6: 2 ** 22 } as const

export async function readSpf(domain: string, dns: Dns): Promise<SpfReading> {
  const walk: Walk = { dns, lookups: 0, voids: 0, found: [], notes: new Set() }
  try {
    await follow(domain.toLowerCase(), [], walk)
    return { outcome: 'read', networks: believable(walk), notes: [...walk.notes].slice(0, NOTES_MAX) }
  } catch (error) {
    if (error instanceof Wrong) return { outcome: 'wrong', because: error.message }
    if (error instanceof Unreachable) return { outcome: 'unreachable', because: error.message }
    throw error
  }
}

class Wrong extends Error {}
class Unreachable extends Error {}

type Walk = {
  readonly dns: Dns
  lookups: number
  voids: number
  found: Prefix[]
  readonly notes: Set<string>
}

/** Adds the networks that the record of a domain names. `chain`: the records that led here. */
async function follow(domain: string, chain: readonly string[], walk: Walk): Promise<void> {
  if (chain.includes(domain)) throw new Wrong(`${[...chain, domain].join(' > ')} goes in a circle`)
  const { directives, redirect } = parseSpf(domain, await recordOf(domain, chain.at(-1), walk))
  const here = [...chain, domain]
  const barred: Prefix[] = []
  let all = false
  for (const { passes, name, value, text } of directives) {
    const said = `${domain}: ${text}`
    if (name === 'all') {
      if (passes) note(walk, `${said} lets everybody in: passed over`)
      all = true
      break
    }
    if (name === 'ip4' || name === 'ip6') {
      const prefix = networkIn(value, name === 'ip4' ? 4 : 6)
      if (!prefix) throw new Wrong(`${said} is not a network`)
      if (!passes) barred.push(prefix)
      else if (barred.some((each) => overlap(each, prefix))) note(walk, `${said} is denied before: passed over`)
      else add(walk, prefix)
      continue
    }
    count(walk, said)
    if (name === 'exists' || name === 'ptr' || value.includes('%') || !passes) {
      note(walk, `${said} names no networks that could be listed: passed over`)
      continue
    }
    if (name === 'include') await follow(hostOf(value, said), here, walk)
    else await addHosts(name, value, domain, said, walk)
  }
  if (redirect === undefined || all) return
  const said = `${domain}: redirect=${printable(redirect)}`
  count(walk, said)
  if (redirect.includes('%')) return note(walk, `${said} names no networks that could be listed: passed over`)
  await follow(hostOf(redirect, said), here, walk)
}

/** The one SPF record of a domain. */
async function recordOf(domain: string, from: string | undefined, walk: Walk): Promise<string> {
  const whose = from === undefined ? domain : `${domain}, which ${from} includes,`
  const texts = await asked(walk.dns.resolveTxt(domain), domain, () => {
    throw new Wrong(`${whose} is not in DNS (NXDOMAIN)`)
  })
  const records = texts.map((parts) => parts.join('')).filter((text) => /^v=spf1(?: |$)/i.test(text))
  const [record] = records
  if (record === undefined) throw new Wrong(`${whose} has no SPF record`)
  if (records.length > 1) throw new Wrong(`${whose} has ${records.length} SPF records`)
  return record
}

type Directive = {
  readonly passes: boolean
  readonly name: string
  /** What follows the name: after the colon, or from the slash on. */
  readonly value: string
  readonly text: string
}

/** A record's terms in order; throws for what RFC 7208 calls a syntax error. */
function parseSpf(domain: string, record: string): { directives: Directive[]; redirect: string | undefined } {
  if (record.length > RECORD_MAX) throw new Wrong(`the record of ${domain} has ${record.length} characters`)
  const terms = record.split(' ').slice(1).filter(Boolean)
  if (terms.length > TERMS_MAX) throw new Wrong(`the record of ${domain} has ${terms.length} terms`)
  const directives: Directive[] = []
  let redirect: string | undefined
  for (const term of terms) {
    const text = printable(term)
    const modifier = /^([a-z][a-z0-9._-]*)=(.*)$/i.exec(term)
    if (modifier) {
      if (modifier[1]?.toLowerCase() !== 'redirect') continue
      if (redirect !== undefined) throw new Wrong(`${domain}: redirect stands there twice`)
      redirect = (modifier[2] as string).toLowerCase()
      continue
    }
    const [, sign = '+', name = '', rest = ''] = DIRECTIVE.exec(term) ?? []
    const value = rest.startsWith(':') ? rest.slice(1) : rest
    const needs = name !== '' && !/^(?:all|a|mx|ptr)$/i.test(name)
    if (name === '' || (needs && value === '') || (/^all$/i.test(name) && rest !== ''))
      throw new Wrong(`${domain}: ${text} is no term of SPF`)
    directives.push({ passes: sign === '' || sign === '+', name: name.toLowerCase(), value: value.toLowerCase(), text })
  }
  return { directives, redirect }
}

const DIRECTIVE = /^([+?~-]?)(all|include|a|mx|ptr|ip4|ip6|exists)((?:[:/].*)?)$/i

/** What `a` and `mx` name: the addresses of hosts, each with the network around it. */
async function addHosts(name: string, value: string, domain: string, said: string, walk: Walk): Promise<void> {
  const read = /^([^/]*)(?:\/(\d{1,2}))?(?:\/\/(\d{1,3}))?$/.exec(value)
  const [, host = '', four = '32', six = '128'] = read ?? []
  if (!read || Number(four) > 32 || Number(six) > 128) throw new Wrong(`${said} is no term of SPF`)
  const target = host === '' ? domain : hostOf(host, said)
  const names = name === 'a' ? [target] : await exchangesOf(target, said, walk)
  const addresses = (await Promise.all(names.map((each) => addressesOf(each, walk)))).flat()
  if (addresses.length === 0) miss(walk, said)
  for (const address of addresses) {
    const client = parseClient(address)
    if (client) add(walk, prefixOf(client, client.family === 4 ? Number(four) : Math.min(64, Number(six))))
  }
}

async function exchangesOf(domain: string, said: string, { dns }: Walk): Promise<string[]> {
  const records = await asked(dns.resolveMx(domain), domain)
  if (records.length > MX_MAX) throw new Wrong(`${said} names ${records.length} hosts; at most ${MX_MAX} may be asked`)
  return records.map(({ exchange }) => exchange).filter((exchange) => exchange !== '')
}

async function addressesOf(host: string, { dns }: Walk): Promise<string[]> {
  const [four, six] = await Promise.all([asked(dns.resolve4(host), host), asked(dns.resolve6(host), host)])
  return [...four, ...six]
}

function count(walk: Walk, said: string): void {
  if (++walk.lookups > LOOKUPS_MAX)
    throw new Wrong(`${said} would be question ${walk.lookups} of ${LOOKUPS_MAX} to DNS`)
}

function miss(walk: Walk, said: string): void {
  if (++walk.voids > VOID_MAX) throw new Wrong(`${said}: more than ${VOID_MAX} questions to DNS find nothing`)
}

function add(walk: Walk, prefix: Prefix): void {
  if (isTooWide(prefix)) note(walk, `${prefix.cidr} is too wide for one sender: refused`)
  else if (walk.found.length < NETWORKS_MAX) walk.found.push(prefix)
  else note(walk, `more than ${NETWORKS_MAX} networks: the rest is left out`)
}

/** No one sender has so wide a network. */
export function isTooWide({ family, length }: Prefix): boolean {
  return length < WIDEST[family]
}

function note(walk: Walk, sentence: string): void {
  if (walk.notes.size < NOTES_MAX) walk.notes.add(sentence)
}

/** Each network once, and no more of them than one sender could have. */
function believable(walk: Walk): Prefix[] {
  const room = { ...ALL_MAX } as Record<4 | 6, number>
  return outermost(walk.found)
    .toSorted((a, b) => b.length - a.length)
    .filter(({ family, length, cidr }) => {
      room[family] -= 2 ** ((family === 4 ? 32 : 48) - length)
      if (room[family] >= 0) return true
      note(walk, `${cidr}: with it they would be too many addresses for one sender: refused`)
      return false
    })
}

/** `192.0.2.0/24` or `2001:db8::/32`, in which host bits may be set; finer than a client it is the client. */
function networkIn(text: string, family: 4 | 6): Prefix | undefined {
  const [address = '', bits, ...more] = text.split('/')
  const client = parseClient(address)
  const widest = family === 4 ? 32 : 128
  const length = bits === undefined ? widest : /^\d{1,3}$/.test(bits) ? Number(bits) : Number.NaN
  if (client?.family !== family || more.length > 0 || !(length >= 0 && length <= widest)) return undefined
  return prefixOf(client, family === 6 ? Math.min(64, length) : length)
}

function hostOf(text: string, said: string): string {
  const host = text.replace(/\.$/, '')
  if (host.length > 253 || !/^(?:[a-z0-9_-]{1,63}\.)+[a-z0-9-]{2,63}$/.test(host))
    throw new Wrong(`${said} names no host`)
  return host
}

/** Records, or none where DNS says that there are none; `nameless`: not even the name is there. */
async function asked<Item>(asking: Promise<Item[]>, name: string, nameless: () => Item[] = () => []): Promise<Item[]> {
  try {
    return await asking
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException
    if (code === 'ENODATA') return []
    if (code === 'ENOTFOUND') return nameless()
    throw new Unreachable(`${name}: ${code || message}`)
  }
}

/** Records are strangers' text: shown short, without control characters. */
function printable(text: string): string {
  return text.replace(/[^\x21-\x7e]/g, '?').slice(0, 80)
}
