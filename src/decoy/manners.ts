/**
 * Watches a client's bytes for what mail servers do not do: talking too early or too much at once, other protocols,
 * false names, lines that end wrongly, log-ins, a message after refusal.
 *
 * The observer changes nothing but its own memory, which the caller keeps, one for each session. Each kind is reported
 * once. Everything is read as lines from their first byte on, whatever the chunks, so that nothing is seen or missed
 * by the accident of how TCP cut the bytes.
 *
 * What is quoted goes into a journal that people read. So no password and no part of a message is ever quoted: of AUTH
 * the mechanism alone, after AUTH nothing, of a line that is not SMTP only its first word.
 */
import { parseClient } from '../core/client.ts'
import { type Kind, printable } from '../core/evidence.ts'

export type Sighting = { readonly kind: Kind; readonly detail?: string | undefined }

/**
 * When the bytes came: before the first byte of our greeting was written, or between the first and last of a reply.
 */
export type Moment = { readonly greeted: boolean; readonly replying: boolean }

export type Manners = {
  /** Our own name and address, lower case: whoever calls itself so lies. */
  readonly us: { readonly name: string; readonly address: string }
  readonly seen: Set<Kind>
  /** The line that has begun, at most LINE_MAX characters of it, and the last byte that came. */
  line: string
  last: number
  /** Lines ended so far, of any sort: the library answers each of them, except within a message. */
  lines: number
  /** Command lines since our last reply, and the first of them. */
  unanswered: number
  awaiting: string
  /** It speaks another protocol: its lines are none of ours to judge. */
  foreign: boolean
  /** A log-in was tried: lines may be secrets. */
  authed: boolean
  /** Between DATA and the dot. `refused` once we have answered: a command may follow instead of a message. */
  content: 'no' | 'sent' | 'refused'
}

/** Longest part of a line that is remembered (the library gives up at the same length). */
const LINE_MAX = 2048

export function newManners(name: string, address: string): Manners {
  return {
    us: { name: name.toLowerCase(), address },
    seen: new Set(),
    line: '',
    last: 0,
    lines: 0,
    unanswered: 0,
    awaiting: '',
    foreign: false,
    authed: false,
    content: 'no',
  }
}

/** What these bytes show for the first time. */
export function observe(manners: Manners, bytes: Buffer, moment: Moment): Sighting[] {
  const sightings: Sighting[] = []
  const see: See = (kind, detail) => {
    if (manners.seen.has(kind)) return
    manners.seen.add(kind)
    sightings.push({ kind, ...(detail === undefined ? {} : { detail: printable(detail) }) })
  }
  if (bytes.length === 0) return sightings
  if (!moment.greeted) see('early-talk', quote(manners, begun(manners, bytes)))
  else if (moment.replying) see('talk-over', quote(manners, begun(manners, bytes)))

  let start = 0
  while (start < bytes.length) {
    const feed = bytes.indexOf(LF, start)
    const end = feed < 0 ? bytes.length : feed
    if (end > start) {
      manners.line = grown(manners.line, bytes, start, end)
      manners.last = bytes[end - 1] as number
      if (manners.lines === 0) seeOpening(manners, see)
    }
    if (feed < 0) break
    endLine(manners, see)
    start = feed + 1
  }
  return sightings
}

/**
 * A whole reply is about to reach the client. To be called before its last byte is handed to the kernel: a fast client
 * answers before we hear that it was sent.
 */
export function noteReply(manners: Manners): void {
  manners.unanswered = 0
  if (manners.content === 'sent') manners.content = 'refused'
}

type See = (kind: Kind, detail?: string) => void

const [LF, CR] = [10, 13]

function endLine(manners: Manners, see: See): void {
  const crlf = manners.last === CR
  const line = crlf && manners.line.endsWith('\r') ? manners.line.slice(0, -1) : manners.line
  manners.line = ''
  manners.last = LF
  manners.lines++
  if (manners.content !== 'no' && isContent(manners, line)) return
  if (!crlf && !manners.foreign) see('bare-newline', quote(manners, line))
  // Neither an empty line, which some scripts end with, nor the dot of a message that we refused is a command.
  if (line.trim() !== '' && line !== '.') judgeLine(manners, line, see)
}

/**
 * Is this line of the message, which is nobody's business? The dot ends it, and so does a command after our refusal.
 */
function isContent(manners: Manners, line: string): boolean {
  if (manners.content === 'refused' && isCommand(verbOf(line))) {
    manners.content = 'no'
    return false
  }
  if (line === '.') manners.content = 'no'
  return true
}

function judgeLine(manners: Manners, line: string, see: See): void {
  const http = HTTP.exec(line)
  if (http || line.startsWith('SSH-')) {
    see('foreign-protocol', http ? `HTTP ${line.split(' ', 1)[0]}` : 'SSH')
    manners.foreign = true
  }
  const verb = verbOf(line)
  if (!manners.foreign) {
    manners.unanswered++
    if (manners.unanswered === 1) manners.awaiting = nameOf(verb)
    else see('pipelining', `${nameOf(verb)} before the reply to ${manners.awaiting}`)
  }
  if (verb === 'HELO' || verb === 'EHLO') {
    const lie = falseName(line.trim().split(/\s+/)[1] ?? '', manners.us)
    if (lie) see('false-helo', lie)
  } else if (verb === 'AUTH') {
    see('auth', mechanismOf(line))
    manners.authed = true
  } else if (verb === 'DATA' || verb === 'BDAT') {
    see('message', verb)
    manners.content = 'sent'
  } else if (!isCommand(verb) && !manners.foreign && !manners.authed) {
    see('unknown-command', firstWord(line))
  }
}

/** What the first two bytes of a session give away: a client that waits for a server's greeting never sends these. */
function seeOpening(manners: Manners, see: See): void {
  if (manners.line.length < 2 || manners.foreign) return
  const [first, second] = [manners.line.charCodeAt(0), manners.line.charCodeAt(1)]
  let protocol: string | undefined
  if (first === 0x16 && second === 0x03) protocol = 'TLS'
  else if (first === 0x04 && (second === 1 || second === 2)) protocol = 'SOCKS4'
  else if (first === 0x05 && second > 0 && second < 10) protocol = 'SOCKS5'
  if (!protocol) return
  see('foreign-protocol', protocol)
  manners.foreign = true
}

/** A request line of HTTP: any method with a version, or a method that no mail command shares a name with. */
const HTTP = /^([A-Z]{3,20} \S+ HTTP\/\d|(GET|HEAD|POST|PUT|DELETE|OPTIONS|TRACE|CONNECT|PATCH|PROPFIND) \S)/

/** RFC 5321 and its relatives; STARTTLS though not offered, because some ask anyway. */
export const COMMANDS: ReadonlySet<string> = new Set(
  [
    'HELO EHLO LHLO MAIL RCPT DATA BDAT RSET NOOP QUIT VRFY EXPN HELP',
    'AUTH STARTTLS ETRN ATRN TURN SEND SOML SAML BURL',
  ].flatMap((words) => words.split(' ')),
)

/** Names with X are private agreements (RFC 5321, 4.1.5), and what firewalls make of words that they blot out. */
function isCommand(verb: string): boolean {
  return COMMANDS.has(verb) || verb.startsWith('X')
}

function verbOf(line: string): string {
  return firstWord(line).toUpperCase()
}

function firstWord(line: string): string {
  return (/^\s*(\S*)/.exec(line) as RegExpExecArray)[1] as string
}

function nameOf(verb: string): string {
  return COMMANDS.has(verb) ? verb : 'a line'
}

/** What a line may be quoted as, or undefined. */
function quote(manners: Manners, line: string): string | undefined {
  if (manners.authed || manners.content !== 'no') return undefined
  const verb = verbOf(line)
  if (verb === 'AUTH') return `AUTH ${mechanismOf(line)}`
  return COMMANDS.has(verb) ? line.trim() : firstWord(line)
}

/** Only names are known to be no password: some scripts send the password where the mechanism belongs. */
function mechanismOf(line: string): string {
  const word = (line.trim().split(/\s+/)[1] ?? '').toUpperCase()
  return MECHANISMS.has(word) ? word : 'an unknown mechanism'
}

const MECHANISMS = new Set(
  [
    'PLAIN LOGIN CRAM-MD5 DIGEST-MD5 NTLM GSSAPI GSS-SPNEGO EXTERNAL ANONYMOUS XOAUTH2 OAUTHBEARER',
    'SCRAM-SHA-1 SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-256-PLUS',
  ].flatMap((words) => words.split(' ')),
)

/** The line that the first of these bytes belongs to, as far as it has come. */
function begun(manners: Manners, bytes: Buffer): string {
  const feed = bytes.indexOf(LF)
  return grown(manners.line, bytes, 0, feed < 0 ? bytes.length : feed)
}

function grown(line: string, bytes: Buffer, start: number, end: number): string {
  const room = LINE_MAX - line.length
  return room <= 0 ? line : line + bytes.toString('latin1', start, Math.min(end, start + room))
}

/** Why a mail server would not call itself so, with what was said; undefined for a name that may be its own. */
function falseName(said: string, us: Manners['us']): string | undefined {
  const name = said.toLowerCase().replace(/\.$/, '')
  if (name === '') return 'no name at all'
  if (name === us.name) return `our own name: ${said}`
  if (/^localhost(\.localdomain)?$/.test(name) || name.endsWith('.localhost')) return `localhost: ${said}`

  const literal = /^\[(ipv6:)?(.*)\]$/.exec(name)
  const address = parseClient(literal?.[2] ?? name)
  if (address && address.ip === us.address) return `our own address: ${said}`
  // RFC 5321, 4.1.3: a host without a name says its address in brackets; literals of other families have a tag.
  const legal = address !== undefined || /^\[[a-z0-9-]+:[!-~]+\]$/.test(name)
  if (literal) return legal ? undefined : `no address in the brackets: ${said}`
  if (address) return `a bare address: ${said}`

  const labels = name.split('.')
  if (name.length > 253 || !labels.every((label) => LABEL.test(label))) return `no host name: ${said}`
  return labels.length < 2 ? `a single label: ${said}` : undefined
}

/** The underscore is not allowed in host names, and yet in honest ones. */
const LABEL = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/
