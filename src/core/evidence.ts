/**
 * What was seen once, at one moment; and its one-line JSON form, which is the journal's.
 *
 * Three kinds of event reach the house: Evidence (a client did something at an MX), a Probe (we looked whether the real
 * MX is up) and a Word (the operator's: `Word`). All are plain JSON and never changed afterwards.
 * A client's text is escaped and cut before it gets here (`printable`).
 */
import { z } from 'zod'
import { type Client, parseClient } from './client.ts'

/** Milliseconds since 1970, UTC. */
export type Instant = number

export const ROLES = ['primary', 'backup', 'real'] as const
/** At which of a domain's MXs: the decoy at the lowest preference, the decoy at the highest, or the one that takes mail. */
export type Role = (typeof ROLES)[number]

/** What a kind of evidence is, where it can be seen, why it counts, and who says so. The reference page is made of this. */
export type KindNote = {
  readonly roles: readonly Role[]
  readonly what: string
  readonly why: string
  readonly source: string
}

const DECOYS: readonly Role[] = ['primary', 'backup']

export const KINDS = {
  contact: {
    roles: DECOYS,
    what: 'connected to the decoy',
    why: 'by itself nothing: monitors, researchers and honest servers connect, too. The order of contacts is what tells',
    source: 'RFC 5321 section 5.1: lowest preference first, the next only when it fails',
  },
  recipient: {
    roles: DECOYS,
    what: 'named a recipient in a domain that we protect',
    why: 'a correct sender takes the backup MX only when the real MX fails; bots go there first to dodge its filters',
    source: 'RFC 5321 section 5.1; OpenBSD spamd(8), low-priority MX address (-M)',
  },
  'foreign-recipient': {
    roles: DECOYS,
    what: 'named a recipient in a domain that we do not protect',
    why: 'nothing: anybody can point a domain of theirs at our decoy and make honest servers call there (poisoning)',
    source: 'docs/architecture.md, what never counts',
  },
  'trap-recipient': {
    roles: DECOYS,
    what: 'named an address that exists only to be harvested',
    why: 'no person ever gave it out, so nobody can have asked for the mail',
    source: 'OpenBSD spamdb(8), spamtrap addresses',
  },
  'recipient-flood': {
    roles: DECOYS,
    what: 'named more recipients in one session than mail servers do',
    why: 'guessing addresses; RFC 5321 asks servers for room for 100, and senders stay below',
    source: 'RFC 5321 section 4.5.3.1.8',
  },
  dictionary: {
    roles: DECOYS,
    what: 'named ten recipients of ours in one session as only guessing makes them: role names by the dozen, aaa aab aac, or letters nobody can say',
    why: 'it harvests addresses. Many recipients, in the order of the alphabet, with numbers, are no sign: Postfix sorts a list, and schools number people',
    source: 'Postfix qmgr sorts recipients by address; docs/architecture.md, what never counts',
  },
  'null-sender-many': {
    roles: DECOYS,
    what: 'named more than five recipients in one transaction without a sender',
    why: 'a bounce goes to the one who sent; a verifier asks about one or two',
    source: 'RFC 5321 section 4.5.5 and 6.1',
  },
  callout: {
    roles: DECOYS,
    what: 'asked, with the null sender, postmaster or double-bounce, about one recipient, politely, and went',
    why: 'nothing: mail servers verify senders so, and bounces look the same. It is told in place of recipient and trap-recipient, for whoever forges our addresses makes honest servers ask',
    source: 'Postfix ADDRESS_VERIFICATION_README (double-bounce), Exim callout verification',
  },
  'early-talk': {
    roles: DECOYS,
    what: 'spoke before our greeting',
    why: 'the client must wait for the greeting; no mail server fails to, bots that blast a script do',
    source: 'RFC 5321 section 3.1; Postfix POSTSCREEN_README, pregreet test',
  },
  pipelining: {
    roles: DECOYS,
    what: 'sent several commands at once although we did not offer PIPELINING',
    why: 'a mail server pipelines only when told it may',
    source: 'RFC 2920 section 3.1; Postfix POSTSCREEN_README, command pipelining test',
  },
  'talk-over': {
    roles: DECOYS,
    what: 'spoke while a reply of ours was still on its way',
    why: 'the client does not read what it is told; a slow reply shows it',
    source: 'RFC 5321 section 4.1.4 and 4.2: one reply to each command, awaited before the next',
  },
  'bare-newline': {
    roles: DECOYS,
    what: 'ended a line with LF alone',
    why: 'lines end with CRLF; some home-made clients do not know, and smuggling lives on it',
    source: 'RFC 5321 section 2.3.8; Postfix POSTSCREEN_README, bare newline test',
  },
  'foreign-protocol': {
    roles: DECOYS,
    what: 'spoke another protocol: HTTP, TLS, SSH, SOCKS, RDP, Redis, memcached and others, which the detail names',
    why: 'a proxy or web client abused to send mail, or a scanner; never a mail server',
    source: 'Postfix POSTSCREEN_README, non-SMTP command test',
  },
  'tls-hello': {
    roles: DECOYS,
    what: 'began a TLS session, after STARTTLS or out of the blue; the detail is a print of its hello',
    why: 'nothing: it tells which TLS library speaks, so that one bot is known again behind many addresses',
    source: 'the idea of JA4, FoxIO (BSD 3-clause), github.com/FoxIO-LLC/ja4; ours is written from its description',
  },
  'unknown-command': {
    roles: DECOYS,
    what: 'sent a line that is no SMTP command',
    why: 'scripts that have lost step with the dialogue; weighs little alone',
    source: 'RFC 5321 section 4.1.1; OpenBSD spamd, bad command count',
  },
  'misplaced-command': {
    roles: DECOYS,
    what: 'sent a command where SMTP has no place for it: MAIL before HELO or within MAIL, RCPT before MAIL, DATA before RCPT',
    why: 'a script that does not follow the dialogue; weighs little alone',
    source: 'RFC 5321 section 4.1.4, order of commands',
  },
  'false-helo': {
    roles: DECOYS,
    what: 'called itself by our name or address, localhost, a bare address, or something that is no host name',
    why: 'a mail server knows its own name; misconfigured honest ones exist, so it weighs little alone',
    source: 'RFC 5321 sections 2.3.5 and 4.1.4',
  },
  'changed-helo': {
    roles: DECOYS,
    what: 'called itself otherwise than before, in one session or since its last one',
    why: 'nothing: several servers share an address behind NAT, and big pools have a name for each',
    source: 'RFC 5321 section 4.1.4; Spamhaus XBL/CBL: a HELO that changes is a sign, never a proof',
  },
  auth: {
    roles: DECOYS,
    what: 'tried to log in',
    why: 'nobody has an account on an MX; it is a password guesser',
    source: 'RFC 4954; RFC 6409: submission has a port of its own',
  },
  'auth-name': {
    roles: DECOYS,
    what: 'gave a user name with its log-in; the detail is that name, never a password',
    why: 'nothing by itself, `auth` counts; it tells an operator whose account is being tried',
    source: 'RFC 4616, RFC 4954',
  },
  message: {
    roles: DECOYS,
    what: 'went on to DATA although every recipient was refused',
    why: 'the client does not listen to replies; mail servers stop',
    source: 'RFC 5321 section 3.3',
  },
  content: {
    roles: DECOYS,
    what: 'sent a message after its refusal, and the operator asked to keep what it was: its size and the SHA-256 of its body',
    why: 'nothing by itself, `message` counts; the same body from many addresses is one campaign',
    source: 'settings, decoys.backup.keep-messages',
  },
  'hang-up': {
    roles: DECOYS,
    what: 'left without QUIT',
    why: 'nothing alone (callouts and networks do it, too); noted for those who study a client',
    source: 'RFC 5321 section 4.1.1.10; Postfix POSTSCREEN_README: HANGUP is logged, never punished',
  },
  dialect: {
    roles: DECOYS,
    what: 'spoke SMTP in its own way; told when the session ends, as a print like `EHLO:upper:name MAIL:upper:tight:SIZE RCPT:upper:tight CRLF`: case of the verbs, form of the name and of the path, parameters in their order, `trail` for blanks at the end, ends of lines',
    why: 'nothing: no dialect is guilty. It is the same for all copies of one program, so that they are known again',
    source: 'RFC 5321 sections 2.4, 3.3 and 4.1.1; Stringhini and others, B@bel, USENIX Security 2012',
  },
  passed: {
    roles: ['real'],
    what: 'came to the real MX, which asked us, and we did not object',
    why: 'what it does at the backup afterwards may be our own MX sending it on, so its order proves nothing for a while',
    source: 'RFC 5321 section 5.1; measured: five of eight mail servers go on to the backup after a 4xx',
  },
  deferred: {
    roles: ['real'],
    what: 'came to the real MX while it stood as defer: we said later, or would have, in mode observe',
    why: 'our own deferral sends honest mail on to the backup decoy: it must never feed our own evidence',
    source: 'as for passed',
  },
  refused: {
    roles: ['real'],
    what: 'came to the real MX while it stood as block: we refused it, or would have, in mode observe',
    why: 'nothing: a refusal of ours is no new guilt, and no excuse for the order either',
    source: 'docs/architecture.md, what never counts',
  },
} as const satisfies Record<string, KindNote>

export type Kind = keyof typeof KINDS
export const KIND_NAMES = Object.keys(KINDS) as Kind[]

export const STAGES = ['connect', 'greeting', 'starttls', 'helo', 'auth', 'mail', 'rcpt', 'data', 'quit'] as const
/**
 * How far the dialogue had come: before our greeting; after it; after STARTTLS; and from the command of that name on, as
 * long as it stood where SMTP has a place for it.
 */
export type Stage = (typeof STAGES)[number]

export type Evidence = {
  readonly type: 'evidence'
  readonly at: Instant
  /** Canonical IP of the client, as `Client.ip`. */
  readonly client: string
  readonly role: Role
  readonly kind: Kind
  /** Lines written before there were stages have none. */
  readonly stage?: Stage | undefined
  /** Which of our addresses it came to, `192.0.2.66:25`. */
  readonly where?: string | undefined
  /** One id for all that was seen in one connection. */
  readonly session?: string | undefined
  /** What was said or done, printable and at most DETAIL_MAX characters. */
  readonly detail?: string | undefined
  /** Of a refused message, where the operator asked to keep them; printable, with LF between. */
  readonly headers?: string | undefined
  /** How often it was seen, from `at` on, when one line tells of several sightings; without it once. */
  readonly times?: number | undefined
}

/**
 * What we found when we looked at the real MXs: all would take mail; some of them would; none, but one says 4xx; none can be
 * reached; or we cannot tell.
 */
export const OUTCOMES = ['up', 'partial', 'later', 'down', 'unsure'] as const

/** One look at all the real MXs; `mx` names them. */
export type Probe = {
  readonly type: 'probe'
  readonly at: Instant
  readonly mx: string
  readonly outcome: (typeof OUTCOMES)[number]
}

export const WORDS = ['allow', 'block', 'release', 'enlist', 'discard'] as const

/** The target that means all that waits. */
export const EVERYTHING = 'all'

/**
 * The operator's word. Release takes back a block or an allow and forgets the evidence that led there; until `until` (by
 * default as long as the rules say) the client is believed about what may have honest reasons. Enlist and discard
 * are said of listings that the governor holds back: put them into effect, or let them go.
 */
export type Word = {
  readonly type: 'word'
  readonly at: Instant
  readonly word: (typeof WORDS)[number]
  /** A CIDR, canonical as `Prefix.cidr`; for enlist and discard also EVERYTHING. */
  readonly target: string
  /** When it ends; an allow or block without it stands until released. */
  readonly until?: Instant | undefined
  readonly because: string
  readonly author: string
}

/** What stands for a reason where nobody gave one. */
export const NO_REASON = 'no reason given'

export type Event = Evidence | Probe | Word

/** Where evidence flows: settled once the event is on disk, or given up on. Never rejects. */
export type Witness = (event: Event) => Promise<unknown>

/** Most sightings that one line may tell of: more is a damaged line. */
export const TIMES_MAX = 10_000_000

/** Longest headers of a message: who says it is from whom, and by which program, stands in the first 4 KiB. */
export const HEADERS_MAX = 4096

/** Longest detail kept of what a client said (postscreen cuts at 100, too). */
export const DETAIL_MAX = 100

/** A client's bytes as text that can stand in a log, a terminal or a page: printable ASCII, escaped and cut. */
export function printable(text: string): string {
  return escaped(text.length > DETAIL_MAX ? `${text.slice(0, DETAIL_MAX)}...` : text)
}

/** The same, uncut. What is printable already stays as it is. */
export function escaped(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`)
}

/** A person's text as one line: it stands in logs, tables and tab-separated lists. */
export function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\s]+/gu, ' ').trim()
}

/** The client of a piece of evidence. Evidence is only ever made of a Client, so anything else is a bug of ours. */
export function clientOf(evidence: Evidence): Client {
  const client = parseClient(evidence.client)
  if (!client) throw new Error(`evidence about "${evidence.client}", which is no address`)
  return client
}

/** An event with its place in one box's journal: numbers rise by one, and are never used twice. */
export type Entry = { readonly seq: number; readonly event: Event }

export function toLine(entry: Entry): string {
  return `{"seq":${entry.seq},${JSON.stringify(entry.event).slice(1)}\n`
}

/** Reads one journal line; undefined for a torn or foreign one. Fields of later versions are dropped. */
export function fromLine(line: string): Entry | undefined {
  let raw: unknown
  try {
    raw = JSON.parse(line)
  } catch {
    return undefined
  }
  const read = eventSchema.safeParse(raw)
  if (!read.success) return undefined
  const event = read.data
  const seq = (raw as { readonly seq?: unknown }).seq
  if (!Number.isSafeInteger(seq) || (seq as number) <= 0) return undefined
  if (event.type === 'evidence' && !parseClient(event.client)) return undefined
  return { seq: seq as number, event }
}

const instant = z.int().nonnegative()
const text = z.string().max(1000)
const eventSchema = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('evidence'),
    at: instant,
    client: text,
    role: z.enum(ROLES),
    kind: z.enum(KIND_NAMES as [Kind, ...Kind[]]),
    // A stage that a later version knows is no reason to lose the line.
    stage: z.enum(STAGES).optional().catch(undefined),
    where: text.optional(),
    session: text.optional(),
    detail: text.optional(),
    headers: z.string().max(HEADERS_MAX).optional(),
    times: z.int().positive().max(TIMES_MAX).optional(),
  }),
  z.object({
    type: z.literal('probe'),
    at: instant,
    mx: text,
    outcome: z.enum(OUTCOMES),
  }),
  z.object({
    type: z.literal('word'),
    at: instant,
    word: z.enum(WORDS),
    target: text,
    until: instant.optional(),
    because: text,
    author: text,
  }),
])
