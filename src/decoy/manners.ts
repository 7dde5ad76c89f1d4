/**
 * Watches a client's bytes for what mail servers do not do: talking too early or too much at once, other protocols,
 * commands out of place, false names, lines that end wrongly, log-ins, a message after refusal; and for its dialect.
 *
 * The observer changes nothing but its own memory, which the caller keeps, one for each session. Each kind is reported
 * once. Everything is read as lines from their first byte on, whatever the chunks, so that nothing is seen or missed
 * by the accident of how TCP cut the bytes.
 *
 * What is quoted goes into a journal that people read. So no password and no part of a message is ever quoted: of AUTH
 * the mechanism alone, after AUTH nothing, of a line that is not SMTP only its first word, if it looks like a command,
 * and only of the first such line.
 */
import { type Kind, printable, type Stage } from '../core/evidence.ts'
import { addLine, type Content, keptOf, newContent } from './content.ts'
import { type Dialect, listen, newDialect, printOf } from './dialect.ts'
import { falseName, plainName } from './helo.ts'
import { advance, answered, beginTls, newProgress, type Progress } from './progress.ts'
import { isVerbal, OPENING_MAX, protocolOfLine, protocolOfOpening } from './protocols.ts'
import { readHello } from './tls-hello.ts'

export type Sighting = {
  readonly kind: Kind
  readonly stage: Stage
  readonly detail?: string | undefined
  readonly headers?: string | undefined
}

/**
 * When the bytes came: before the first byte of our greeting was written, or between the first and last of a reply.
 */
export type Moment = { readonly greeted: boolean; readonly replying: boolean }

export type Manners = {
  /** Our own name and address, lower case: whoever calls itself so lies. */
  readonly us: { readonly name: string; readonly address: string }
  readonly seen: Set<Kind>
  readonly progress: Progress
  readonly dialect: Dialect
  /** The first bytes of the session, at most OPENING_MAX. */
  opening: Buffer
  /** A TLS hello that has begun in plain, until it is read; readHello bounds it. */
  hello: Buffer | undefined
  /** How the client called itself first; empty until it does. */
  helo: string
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
  /** Of a message at most so many bytes are looked at; 0: none are kept. */
  readonly keepBytes: number
  kept: Content | undefined
}

/** Longest part of a line that is remembered (the library gives up at the same length). */
const LINE_MAX = 2048
/** Longest part of a name that is compared. */
const NAME_MAX = 64

export function newManners(name: string, address: string, keepBytes = 0): Manners {
  return {
    us: { name: name.toLowerCase(), address },
    seen: new Set(),
    progress: newProgress(),
    dialect: newDialect(),
    opening: NOTHING,
    hello: undefined,
    helo: '',
    line: '',
    last: 0,
    lines: 0,
    unanswered: 0,
    awaiting: '',
    foreign: false,
    authed: false,
    content: 'no',
    keepBytes,
    kept: undefined,
  }
}

const NOTHING = Buffer.alloc(0)
/** In place of an opening that is no other protocol's. */
const VERBAL = Buffer.alloc(OPENING_MAX)

/** What these bytes show for the first time. */
export function observe(manners: Manners, bytes: Buffer, moment: Moment): Sighting[] {
  const sightings: Sighting[] = []
  const { progress } = manners
  if (moment.greeted && progress.stage === 'connect') progress.stage = 'greeting'
  const see: See = (kind, detail, headers) => {
    if (manners.seen.has(kind)) return
    manners.seen.add(kind)
    const stage = moment.greeted ? progress.stage : 'connect'
    const what = { ...(detail === undefined ? {} : { detail: printable(detail) }), ...(headers ? { headers } : {}) }
    sightings.push({ kind, stage, ...what })
  }
  if (bytes.length === 0) return sightings
  if (!moment.greeted) see('early-talk', quote(manners, begun(manners, bytes)))
  else if (moment.replying) see('talk-over', quote(manners, begun(manners, bytes)))

  let start = 0
  while (start < bytes.length) {
    const feed = bytes.indexOf(LF, start)
    const end = feed < 0 ? bytes.length : feed
    const next = feed < 0 ? end : feed + 1
    if (manners.opening.length < OPENING_MAX || manners.hello) seeOpening(manners, bytes.subarray(start, next), see)
    if (end > start) {
      manners.line = grown(manners.line, bytes, start, end)
      manners.last = bytes[end - 1] as number
    }
    if (feed >= 0) endLine(manners, see)
    start = next
  }
  return sightings
}

/**
 * A whole reply is about to reach the client. To be called before its last byte is handed to the kernel: a fast client
 * answers before we hear that it was sent.
 */
export function noteReply(manners: Manners, code: string): void {
  const { progress } = manners
  if (progress.stage === 'connect') progress.stage = 'greeting'
  if (manners.unanswered === 1) answered(progress, manners.awaiting, code)
  manners.unanswered = 0
  if (manners.content === 'sent') manners.content = 'refused'
}

/** From now on the lines come through TLS. What is left of a line from before is none. */
export function noteTls(manners: Manners): void {
  beginTls(manners.progress)
  manners.line = ''
  manners.last = 0
  manners.hello = Buffer.alloc(0)
}

/** The client's first bytes within TLS, as they come, until its hello is read: then `hello` is undefined. */
export function observeHello(manners: Manners, bytes: Buffer): Sighting[] {
  const sightings: Sighting[] = []
  seeHello(manners, bytes, (kind, detail) => {
    if (manners.seen.has(kind)) return
    manners.seen.add(kind)
    sightings.push({ kind, stage: manners.progress.stage, detail })
  })
  return sightings
}

/** The client is gone: what is only known now. */
export function farewell(manners: Manners): Sighting[] {
  const { stage } = manners.progress
  const sightings: Sighting[] = []
  endContent(manners, (kind, detail, headers) => sightings.push({ kind, stage, detail, headers }))
  const detail = printOf(manners.dialect)
  if (detail !== undefined) sightings.push({ kind: 'dialect', stage, detail: printable(detail) })
  return sightings
}

type See = (kind: Kind, detail?: string, headers?: string) => void

const [LF, CR] = [10, 13]

function endLine(manners: Manners, see: See): void {
  const crlf = manners.last === CR
  const line = crlf && manners.line.endsWith('\r') ? manners.line.slice(0, -1) : manners.line
  manners.line = ''
  manners.last = LF
  manners.lines++
  const verb = verbOf(line)
  if (manners.content !== 'no' && isContent(manners, verb, line, see)) return
  const protocol = manners.authed ? undefined : protocolOfLine(line, COMMANDS.has(verb))
  if (protocol !== undefined) {
    see('foreign-protocol', protocol)
    manners.foreign = true
  }
  if (!crlf && !manners.foreign) see('bare-newline', quote(manners, line))
  // Neither an empty line, which some scripts end with, nor the dot of a message that we refused is a command.
  if (verb !== '' && line !== '.') judgeLine(manners, verb, line, crlf, see)
}

/**
 * Is this line of the message, which is nobody's business but where the operator asks? The dot ends it, and so does a
 * command after our refusal.
 */
function isContent(manners: Manners, verb: string, line: string, see: See): boolean {
  const resumes = manners.content === 'refused' && RESUMES.test(line)
  if (resumes || line === '.') {
    manners.content = 'no'
    endContent(manners, see)
  } else if (verb === 'AUTH') {
    // A script that goes on as if it were not in a message: what follows may be secrets.
    manners.authed = true
    manners.kept = undefined
  } else if (manners.kept) addLine(manners.kept, line)
  return !resumes
}

function endContent(manners: Manners, see: See): void {
  const kept = manners.kept && keptOf(manners.kept)
  manners.kept = undefined
  if (kept) see('content', kept.detail, kept.headers)
}

/** What no line of a message is likely to be: an `X-Mailer:` is none, and `Help is near` neither. */
const RESUMES = /^\s*((RSET|QUIT|NOOP|STARTTLS|DATA)\s*$|(EHLO|HELO|LHLO|AUTH|BDAT)(\s|$)|(MAIL\s+FROM|RCPT\s+TO)\s*:)/i

function judgeLine(manners: Manners, verb: string, line: string, crlf: boolean, see: See): void {
  if (!manners.foreign) {
    manners.unanswered++
    if (manners.unanswered === 1) manners.awaiting = nameOf(verb)
    else see('pipelining', `${nameOf(verb)} before the reply to ${manners.awaiting}`)
  }
  const misplaced = advance(manners.progress, verb)
  if (misplaced !== undefined) see('misplaced-command', misplaced)
  if (COMMANDS.has(verb)) listen(manners.dialect, verb, line, crlf)
  if (verb === 'HELO' || verb === 'EHLO') {
    seeName(manners, argumentOf(line), see)
  } else if (verb === 'AUTH') {
    see('auth', mechanismOf(line))
    manners.authed = true
  } else if (verb === 'DATA' || verb === 'BDAT') {
    see('message', verb)
    manners.content = 'sent'
    // After a log-in a line may be a secret that lost its way.
    manners.kept = manners.keepBytes > 0 && !manners.authed ? newContent(manners.keepBytes) : undefined
  } else if (!isCommand(verb) && !manners.foreign && !manners.authed) {
    see('unknown-command', plainWord(line))
  }
}

function seeName(manners: Manners, said: string, see: See): void {
  const lie = falseName(said, manners.us)
  if (lie) see('false-helo', lie)
  const name = plainName(said).slice(0, NAME_MAX)
  if (name === '' || manners.authed) return
  if (manners.helo === '') manners.helo = name
  else if (name !== manners.helo) see('changed-helo', `${manners.helo}, then ${name}`)
}

/** What the first bytes of a session give away: a client that waits for a server's greeting never sends these. */
function seeOpening(manners: Manners, bytes: Buffer, see: See): void {
  const room = OPENING_MAX - manners.opening.length
  if (room === OPENING_MAX && isVerbal(bytes[0])) {
    // What follows changes nothing any more.
    manners.opening = VERBAL
  } else if (room > 0) {
    const before = manners.opening
    const more = bytes.subarray(0, room)
    // A copy: what is kept of a chunk would keep the whole.
    manners.opening = before.length === 0 ? Buffer.from(more) : Buffer.concat([before, more])
    const protocol = manners.foreign ? undefined : protocolOfOpening(manners.opening)
    if (protocol !== undefined) {
      see('foreign-protocol', protocol)
      manners.foreign = true
    }
    if (protocol === 'TLS') manners.hello = before
  }
  if (manners.hello) seeHello(manners, bytes, see)
}

function seeHello(manners: Manners, bytes: Buffer, see: See): void {
  manners.hello = Buffer.concat([manners.hello ?? Buffer.alloc(0), bytes])
  const reading = readHello(manners.hello)
  if (reading.is === 'more') return
  manners.hello = undefined
  if (reading.is === 'hello') see('tls-hello', reading.print)
}

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
  // As nearly everybody writes it.
  const blank = line.indexOf(' ')
  const word = blank < 0 ? line : line.slice(0, blank)
  return COMMANDS.has(word) ? word : firstWord(line).toUpperCase()
}

/** The second word; empty where there is none. */
function argumentOf(line: string): string {
  return /^\s*\S+\s+(\S+)/.exec(line)?.[1] ?? ''
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
  if (COMMANDS.has(verb)) return line.trim()
  // Of a terminal's log-in the first line is the name, and the next the password.
  return manners.seen.has('unknown-command') ? undefined : plainWord(line)
}

/** The first word, if it looks like a command's: letters of one case. Half a Base64 token, or a good password, does not. */
function plainWord(line: string): string | undefined {
  const word = firstWord(line)
  return /^([A-Z]{1,12}|[a-z]{1,12})$/.test(word) ? word : undefined
}

/** Only names are known to be no password: some scripts send the password where the mechanism belongs. */
function mechanismOf(line: string): string {
  const word = argumentOf(line).toUpperCase()
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
