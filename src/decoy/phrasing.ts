/**
 * In which words we say what smtp-server decided to say: in those of the mail server that we look like, so that no
 * regular expression knows a decoy, every decoy in the world, by its phrases.
 *
 * Ours is the wording, the library's the grammar: the first digit of a reply is never another, nor the number of its
 * lines, but for the list after EHLO, which is a list of its own (look.ts). Where the library says 5xx we say 4xx, in the very
 * words that Postfix has for it with `soft_bounce = yes` (`500 5.5.2 Error: command not recognized` becomes `400 4.5.2 ...`): a
 * setting that operators use, and the only voice of a real mail server that never bounces. The guard (wire.ts) comes after
 * this, and holds whatever stands here.
 *
 * Exim speaks without enhanced codes, and says hello. They are said of all replies where ENHANCEDSTATUSCODES is offered,
 * and of none where it is not (RFC 2034, section 4: a client that was offered them may insist on them).
 *
 * Pure. Each phrase is one string, made once for each look.
 */
import { printable } from '../core/evidence.ts'
import { followed, hostOf, type Look } from './look.ts'

export type Phrases = {
  readonly greeting: string
  /** In plain, and within TLS. After the host's name the client's belongs where `salutes`. */
  readonly ehlo: string
  readonly ehloWithinTls: string
  readonly helo: string
  readonly salutes: boolean
  readonly startTls: string
  /** To a recipient, and to a held offender; in place of a greeting while no real MX takes mail. */
  readonly later: string
  readonly away: string
  readonly bye: string
  readonly ok: string
  readonly reset: string
  readonly sender: string
  readonly login: string
  /** To what belongs to a message. */
  readonly message: string
  readonly closing: string
  /** By what the library says; else by the command; else the last. */
  readonly complaints: ReadonlyMap<string, string>
  readonly refusals: ReadonlyMap<string, string>
  readonly unknown: string
}

/** Of this reply, which answers this command, what is said. Neither a greeting nor an answer to EHLO or HELO. */
export function phrase(reply: string, command: string, inMessage: boolean, phrases: Phrases): string {
  const words = wordsFor(reply, command, inMessage, phrases)
  const lines = reply.indexOf('\n') === reply.length - 1 ? 1 : reply.split('\n').length - 1
  return lines > 1 ? `${words.slice(0, 3)}-${words.slice(4)}`.repeat(lines - 1) + words : words
}

/** What answers EHLO or HELO of this client. */
export function salute(command: string, withinTls: boolean, helo: string, ip: string, phrases: Phrases): string {
  const text = command === 'HELO' ? phrases.helo : withinTls ? phrases.ehloWithinTls : phrases.ehlo
  if (!phrases.salutes) return text
  const end = text.indexOf('\r')
  return `${text.slice(0, end)} Hello ${ECHOED.test(helo) ? `${helo} ` : ''}[${ip}]${text.slice(end)}`
}

/** Of a client's name: what may stand in a reply. */
const ECHOED = /^[\w.:[\]-]{1,64}$/

function wordsFor(reply: string, command: string, inMessage: boolean, phrases: Phrases): string {
  switch (reply.charCodeAt(0)) {
    case TWO:
      if (reply.startsWith('221')) return phrases.bye
      if (inMessage) return phrases.message
      return command === 'MAIL' ? phrases.sender : command === 'RSET' ? phrases.reset : phrases.ok
    case THREE:
      // A part of a log-in is asked for in the same words everywhere. A message is not asked for.
      return reply.startsWith('334') ? reply : phrases.message
    case FOUR:
      if (reply.startsWith('421')) return phrases.closing
      if (reply.startsWith('454')) return phrases.login
      return command === 'RCPT' ? phrases.later : phrases.message
    default:
      if (inMessage && command === '.') return phrases.message
      return phrases.complaints.get(reply.slice(4, -2)) ?? phrases.refusals.get(command) ?? phrases.unknown
  }
}

const [TWO, THREE, FOUR] = [50, 51, 52]

/** What we offer beyond what we look like: a bait, and a certificate where there is one. */
export type Extras = { readonly auth: boolean; readonly tls: unknown }

/** The phrases of this look, made anew when it is another. */
export function phrasesLike(look: () => Look, name: string, extras: Extras): () => Phrases {
  let [seen, phrases] = [look(), phrasesOf(name, look(), extras)]
  return () => {
    const now = look()
    if (now !== seen) [seen, phrases] = [now, phrasesOf(name, now, extras)]
    return phrases
  }
}

/** `name`: how we call ourselves where the banner does not begin with a host's name. */
export function phrasesOf(name: string, look: Look, { auth, tls }: Extras): Phrases {
  const banner = plain(look.banner, BANNER_MAX)
  const self = hostOf(banner, name)
  const exim = /\bExim\b/i.test(banner)
  const keywords = followed(look.ehlo).filter((word) => !exim || word !== CODED)
  const baits = auth ? ['AUTH PLAIN LOGIN'] : []
  const voice = exim ? EXIM : keywords.includes(CODED) ? POSTFIX : WITHOUT_CODES
  const said = (words: string) => `${words.replace('%', () => self)}\r\n`
  const { complaints, refusals, ...words } = mapped(voice, said)
  return {
    ...words,
    greeting: `220 ${banner}\r\n`,
    ehlo: listOf([self, ...(tls === undefined ? [] : ['STARTTLS']), ...baits, ...keywords]),
    ehloWithinTls: listOf([self, ...baits, ...keywords]),
    helo: `250 ${self}\r\n`,
    salutes: exim,
    complaints: new Map(Object.entries(complaints)),
    refusals: new Map(Object.entries(refusals)),
  }
}

/** What answers EHLO, of these lines. */
export function listOf(lines: readonly string[]): string {
  return lines.map((line, i, { length }) => `250${i < length - 1 ? '-' : ' '}${line}\r\n`).join('')
}

/** Somebody else's text, which may have come from the network. */
export function plain(text: string, max: number): string {
  return printable(text.slice(0, max)).slice(0, max)
}

/** RFC 5321, 4.5.3.1.5: a reply line has at most 512 bytes, its code and end among them. */
export const BANNER_MAX = 200
const CODED = 'ENHANCEDSTATUSCODES'

type Words = Readonly<Record<string, string>>
type Voice = Readonly<
  Record<Exclude<keyof Phrases, 'greeting' | 'ehlo' | 'ehloWithinTls' | 'helo' | Tables>, string>
> & {
  readonly complaints: Words
  readonly refusals: Words
}
type Tables = 'salutes' | 'complaints' | 'refusals'

/** Postfix 3.7, as it was heard with `soft_bounce = yes`; `later` is its word where a mail filter does not answer. */
const POSTFIX: Voice = {
  startTls: '220 2.0.0 Ready to start TLS',
  later: '451 4.7.1 Service unavailable - try again later',
  away: '421 4.3.2 All server ports are busy',
  bye: '221 2.0.0 Bye',
  ok: '250 2.0.0 Ok',
  reset: '250 2.0.0 Ok',
  sender: '250 2.1.0 Ok',
  login: '454 4.7.0 Temporary authentication failure: Connection lost to authentication server',
  message: '451 4.3.0 Error: queue file write error',
  closing: '421 4.7.0 % Error: too many errors',
  complaints: {
    'Error: syntax: EHLO hostname': '401 Syntax: EHLO hostname',
    'Error: Syntax: HELO hostname': '401 Syntax: HELO hostname',
    'Error: send HELO/EHLO first': '403 4.5.1 Error: send HELO/EHLO first',
    'Error: nested MAIL command': '403 4.5.1 Error: nested MAIL command',
    'Error: need MAIL command': '403 4.5.1 Error: need MAIL command',
    // Whoever is here has been refused every recipient, as a rule.
    'Error: need RCPT command': '454 4.5.1 Error: no valid recipients',
    'Error: Bad sender address syntax': '401 4.1.7 Bad sender address syntax',
    'Error: Bad recipient address syntax': '401 4.1.3 Bad recipient address syntax',
    'Error: Unrecognized authentication type':
      '435 4.7.8 Error: authentication failed: Invalid authentication mechanism',
    'Error: invalid userdata': '435 4.7.8 Error: authentication failed: Invalid base64 data in initial response',
    'Error: missing username': '435 4.7.8 Error: authentication failed: Invalid base64 data in continued response',
    'Authentication aborted': '401 4.7.0 Authentication aborted',
  },
  refusals: {
    '': '400 4.5.2 Error: bad syntax',
    EHLO: '401 Syntax: EHLO hostname',
    HELO: '401 Syntax: HELO hostname',
    MAIL: '401 4.5.4 Syntax: MAIL FROM:<address>',
    RCPT: '401 4.5.4 Syntax: RCPT TO:<address>',
    AUTH: '403 4.5.1 Error: authentication not enabled',
    VRFY: '402 4.5.1 VRFY command is disabled',
    STARTTLS: '402 4.5.1 Error: command not implemented',
    BDAT: '402 4.5.1 Error: command not implemented',
    ETRN: '402 4.5.1 Error: command not implemented',
  },
  unknown: '400 4.5.2 Error: command not recognized',
}

/** The same of a server that offers no enhanced codes. */
const WITHOUT_CODES: Voice = mapped(POSTFIX, (words) => words.replace(/^(\d{3}) \d\.\d+\.\d+ /, '$1 '))

/** Exim 4.96, as it was heard; of what it cannot do now it says one thing to everybody. */
const EXIM: Voice = {
  startTls: '220 TLS go ahead',
  later: '451 Temporary local problem - please try later',
  away: '421 Too many concurrent SMTP connections; please try again later.',
  bye: '221 % closing connection',
  ok: '250 OK',
  reset: '250 Reset OK',
  sender: '250 OK',
  login: '435 Unable to authenticate at present',
  message: '451 Temporary local problem - please try later',
  closing: '421 % lost input connection',
  complaints: {},
  refusals: {},
  unknown: '451 Temporary local problem - please try later',
}

function mapped(voice: Voice, change: (words: string) => string): Voice {
  const changed = (words: Words) => Object.fromEntries(Object.entries(words).map(([key, each]) => [key, change(each)]))
  const { complaints, refusals, ...rest } = voice
  return { ...(changed(rest) as typeof rest), complaints: changed(complaints), refusals: changed(refusals) }
}
