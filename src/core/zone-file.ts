/**
 * A zone file in master format (RFC 1035, section 5) to records, each with its line; every mistake with its place.
 *
 * Read are the types that say something about mail; other types that there are (IANA, DNS Parameters) are passed over, and a
 * word that is no type is a mistake, for it may be a misspelt MX. $ORIGIN and $TTL
 * hold, `(` and `)` join lines, a blank first column repeats the owner, TTLs may have units as BIND writes them. $INCLUDE and
 * $GENERATE are refused, for they would make records that nobody sees in this file.
 *
 * Written here because the parsers to be had give a nameless record the last owner of its own type, join the strings of a TXT
 * with spaces, and know no places.
 */
import { parseClient } from './client.ts'
import type { Place } from './dangers.ts'
import type { Problem } from './document.ts'
import { didYouMean } from './likely.ts'

export const RECORD_TYPES = ['A', 'AAAA', 'CNAME', 'MX', 'PTR', 'TLSA', 'TXT'] as const
export type RecordType = (typeof RECORD_TYPES)[number]

/** IANA, "Resource Record (RR) TYPEs", those that stand in zone files; TYPE257 and the like are RFC 3597's. */
const OTHER_TYPES = new Set(
  (
    'NS SOA MB MG MR WKS HINFO MINFO RP AFSDB X25 ISDN RT NSAP NSAP-PTR SIG KEY PX GPOS LOC NXT EID NIMLOC SRV ATMA NAPTR KX CERT ' +
    'DNAME SINK APL DS SSHFP IPSECKEY RRSIG NSEC DNSKEY DHCID NSEC3 NSEC3PARAM SMIMEA HIP NINFO RKEY TALINK CDS CDNSKEY ' +
    'OPENPGPKEY CSYNC ZONEMD SVCB HTTPS DSYNC SPF NID L32 L64 LP EUI48 EUI64 URI CAA AVC DOA AMTRELAY RESINFO WALLET CLA IPN TA DLV'
  ).split(' '),
)

export type ZoneRecord = {
  /** Absolute, in small letters, without the last dot. */
  readonly name: string
  readonly type: RecordType
  readonly ttlSeconds: number
  /** `10 mx1.example.org` of an MX, an address, a name, the text of a TXT as one. Names as `name`; `.` is the root. */
  readonly data: string
  readonly place: Place
}

export type ZoneReading =
  | { readonly ok: true; readonly origin: string; readonly records: readonly ZoneRecord[] }
  | { readonly ok: false; readonly problems: readonly Problem[] }

/** Largest file in characters, most records, most problems told at once. */
const ZONE_MAX = 4_194_304
const RECORDS_MAX = 100_000
/** Most words of one record: the longest TXT that fits into an answer has 256 parts. */
const WORDS_MAX = 1000
const PROBLEMS_MAX = 50
/** Without $TTL and SOA there is no default; BIND would refuse. */
const TTL_MAX = 2 ** 31 - 1
const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 }

/** `origin`: what relative names are below until the file says $ORIGIN: the domain. */
export function readZoneFile(file: string, source: string, origin: string): ZoneReading {
  if (source.length > ZONE_MAX) {
    const message = `the file has ${source.length} characters; at most ${ZONE_MAX} are read`
    return { ok: false, problems: [{ file, line: 1, column: 1, message }] }
  }
  const problems: Problem[] = []
  const say: Say = (place, message, hint) => {
    if (problems.length < PROBLEMS_MAX) problems.push({ file, ...place, message, hint })
  }
  const state: State = { origin: origin.toLowerCase(), owner: undefined, ttl: undefined, soaTtl: undefined }
  const records: ZoneRecord[] = []
  /** A record that stands twice is one (RFC 2181, section 5). */
  const known = new Set<string>()
  for (const entry of entriesOf(source, say)) {
    const record = readEntry(entry, state, say)
    if (!record) continue
    const spelt = `${record.name} ${record.type} ${record.data}`
    if (known.has(spelt)) continue
    known.add(spelt)
    if (records.push(record) > RECORDS_MAX) {
      say(record.place, `more than ${RECORDS_MAX} records`)
      break
    }
  }
  if (problems.length > 0) return { ok: false, problems }
  return { ok: true, origin: origin.toLowerCase(), records }
}

type State = { origin: string; owner: string | undefined; ttl: number | undefined; soaTtl: number | undefined }
type Say = (place: Place, message: string, hint?: string) => void
type Word = { readonly text: string; readonly quoted: boolean; readonly place: Place }
/** One record or directive: its words, and whether it begins in the first column. */
type Entry = { readonly words: readonly Word[]; readonly named: boolean }

/** The words of each entry; comments, quotes, escapes and parentheses are dealt with here. */
function* entriesOf(source: string, say: Say): Generator<Entry> {
  const text = source.charCodeAt(0) === 0xfe_ff ? source.slice(1) : source
  let [line, lineAt, depth, named] = [1, 0, 0, false]
  let words: Word[] = []
  let opened: Place = { line: 1, column: 1 }
  for (let i = 0; i <= text.length; i++) {
    const letter = text[i] ?? '\n'
    const place = { line, column: i - lineAt + 1 }
    if (letter === '\n') {
      if (depth === 0 && words.length > 0) {
        yield { words, named }
        words = []
      }
      line++
      lineAt = i + 1
    } else if (letter === ';') i = (text.indexOf('\n', i) + 1 || text.length + 1) - 2
    else if (letter === '(') {
      if (depth++ === 0) opened = place
    } else if (letter === ')') {
      if (--depth < 0) {
        say(place, '")" without a "(" before it')
        depth = 0
      }
    } else if (!/\s/.test(letter)) {
      if (words.length === 0) named = i === lineAt
      if (words.length >= WORDS_MAX) {
        say(words[0]?.place ?? place, `a record of more than ${WORDS_MAX} words; is a ")" missing?`)
        return
      }
      const end = letter === '"' ? endOfQuoted(text, i) : endOfBare(text, i)
      if (end === undefined) {
        say(place, 'this quotation mark is not closed on its line')
        i = (text.indexOf('\n', i) + 1 || text.length + 1) - 2
        words = []
        continue
      }
      const quoted = letter === '"'
      words.push({ text: quoted ? text.slice(i + 1, end) : text.slice(i, end + 1), quoted, place })
      i = end
    }
  }
  if (depth > 0) say(opened, 'this "(" is never closed')
  if (words.length > 0) yield { words, named }
}

/** Index of the closing quotation mark. */
function endOfQuoted(text: string, from: number): number | undefined {
  for (let i = from + 1; i < text.length && text[i] !== '\n'; i++) {
    if (isEscape(text, i)) i++
    else if (text[i] === '"') return i
  }
  return undefined
}

/** Index of the last letter of a word. */
function endOfBare(text: string, from: number): number {
  let i = from
  for (; i < text.length && !/[\s;()"]/.test(text[i] as string); i++) if (isEscape(text, i)) i++
  return Math.min(i, text.length) - 1
}

/** What comes next is meant as it is; but the end of a line is none the less one. */
function isEscape(text: string, at: number): boolean {
  return text[at] === '\\' && text[at + 1] !== '\n'
}

function readEntry({ words, named }: Entry, state: State, say: Say): ZoneRecord | undefined {
  const [first] = words as [Word]
  if (first.text.startsWith('$') && !first.quoted) return readDirective(words, state, say)
  const rest = [...words]
  if (named) {
    const owner = absolute(rest.shift() as Word, state, say)
    if (owner === undefined) return undefined
    state.owner = owner
  }
  // TTL and class, in either order.
  let ttl: number | undefined
  for (let turn = 0; turn < 2; turn++) {
    const text = rest[0]?.text ?? ''
    const read = secondsIn(text)
    if (read !== undefined && ttl === undefined) {
      ttl = read
      rest.shift()
    } else if (/^(?:in|ch|hs|cs)$/i.test(text)) {
      if (text.toLowerCase() !== 'in') {
        say((rest[0] as Word).place, `expected the class IN, got ${quote(text)}`)
        return undefined
      }
      rest.shift()
    }
  }
  const typed = rest.shift()
  if (!typed || !/^[a-z][a-z0-9-]*$/i.test(typed.text)) {
    say(typed?.place ?? first.place, `expected a record type, like A or MX, got ${quote(typed?.text ?? 'nothing')}`)
    return undefined
  }
  const type = typed.text.toUpperCase()
  if (state.owner === undefined) {
    say(first.place, 'a record without a name, and no name before it')
    return undefined
  }
  if (type === 'SOA') {
    const least = secondsIn(rest.at(-1)?.text ?? '')
    if (rest.length !== 7 || least === undefined) say(typed.place, 'expected the seven fields of a SOA')
    else state.soaTtl = ttl ?? least
    return undefined
  }
  const known = RECORD_TYPES.find((each) => each === type)
  if (!known) {
    if (OTHER_TYPES.has(type) || /^TYPE\d{1,5}$/.test(type)) return undefined
    const hint = didYouMean(type, [...RECORD_TYPES, ...OTHER_TYPES])
    say(typed.place, `expected a record type, like A or MX, got ${quote(typed.text)}`, hint)
    return undefined
  }
  const data = dataOf(known, typed, rest, state, say)
  if (data === undefined) return undefined
  const ttlSeconds = ttl ?? state.ttl ?? state.soaTtl
  if (ttlSeconds === undefined) {
    say(first.place, 'no TTL: neither here, nor by $TTL, nor by a SOA before it')
    return undefined
  }
  return { name: state.owner, type: known, ttlSeconds, data, place: first.place }
}

function readDirective([first, value, ...more]: readonly Word[], state: State, say: Say): undefined {
  const { text, place } = first as Word
  const name = text.toUpperCase()
  if (name === '$ORIGIN' && value && more.length === 0) state.origin = absolute(value, state, say) ?? state.origin
  else if (name === '$TTL' && value && more.length === 0) {
    const read = secondsIn(value.text)
    if (read === undefined) say(value.place, `expected a TTL like 3600 or 1h, got ${quote(value.text)}`)
    else state.ttl = read
  } else if (name === '$INCLUDE' || name === '$GENERATE')
    say(place, `${name} is not followed: give the whole zone, as named-checkzone -D prints it`)
  else say(place, `expected $ORIGIN NAME or $TTL SECONDS, got ${quote(text)}`)
}

/** The data of a record in one spelling, or undefined with a complaint. */
function dataOf(type: RecordType, typed: Word, words: readonly Word[], state: State, say: Say): string | undefined {
  const wrong = (expected: string) => {
    const got = words.map(({ text }) => text).join(' ')
    say(words[0]?.place ?? typed.place, `${type}: expected ${expected}, got ${got === '' ? 'nothing' : quote(got)}`)
    return undefined
  }
  const [one, two] = words
  if (type === 'TXT') return words.length > 0 ? words.map(({ text }) => unescaped(text)).join('') : wrong('a text')
  if (type === 'TLSA') {
    // The last field may be written in parts.
    const [usage, selector, matching, ...parts] = words.map(({ text }) => text)
    return parts.length > 0 ? `${usage} ${selector} ${matching} ${parts.join('')}` : wrong('four fields')
  }
  if (type === 'A' || type === 'AAAA') {
    const client = one && words.length === 1 ? parseClient(one.text) : undefined
    if (client?.family === (type === 'A' ? 4 : 6)) return client.ip
    return wrong(type === 'A' ? 'an IPv4 address' : 'an IPv6 address')
  }
  if (type === 'MX') {
    if (!one || !two || words.length !== 2 || !/^\d{1,5}$/.test(one.text) || Number(one.text) > 65_535)
      return wrong('a preference from 0 to 65535 and a host name')
    const exchange = absolute(two, state, say)
    return exchange === undefined ? undefined : `${Number(one.text)} ${exchange}`
  }
  return one && words.length === 1 ? absolute(one, state, say) : wrong('a host name')
}

/** A name as the zone means it; `@` is the origin, and what does not end in a dot is below it. */
function absolute({ text, place }: Word, { origin }: State, say: Say): string | undefined {
  const name = text.toLowerCase()
  if (name === '@') return origin
  if (name === '.') return '.'
  const whole = name.endsWith('.') ? name.slice(0, -1) : origin === '.' ? name : `${name}.${origin}`
  const labels = whole.split('.')
  if (whole.length <= 253 && labels.every((label) => label.length > 0 && label.length <= 63)) return whole
  say(place, `expected a name of labels of 1 to 63 letters, at most 253 in all, got ${quote(text)}`)
  return undefined
}

/** `3600`, or `1h30m` as BIND writes it. */
function secondsIn(text: string): number | undefined {
  if (!/^(?:\d{1,10}|(?:\d{1,10}[smhdw])+)$/i.test(text)) return undefined
  const parts = [...text.matchAll(/(\d+)([smhdw]?)/gi)]
  const sum = parts.reduce((all, [, digits, unit = '']) => all + Number(digits) * (UNITS[unit.toLowerCase()] ?? 1), 0)
  return sum <= TTL_MAX ? sum : undefined
}

function unescaped(text: string): string {
  return text.replace(/\\(\d{3}|.)/g, (_, code: string) =>
    code.length === 3 ? String.fromCharCode(Number(code)) : code,
  )
}

function quote(text: string): string {
  const shown = text.replace(/[^\x20-\x7e]/g, '?')
  return `"${shown.length > 60 ? `${shown.slice(0, 59)}…` : shown}"`
}
