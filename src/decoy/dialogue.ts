/**
 * The dialogue: polite up to RCPT, and there "try again later", for every recipient and for ever.
 *
 * smtp-server's public hooks become Evidence and 4xx replies. One SMTPServer that never listens serves every listener;
 * it sees a Wire, never a socket. What a client is told about is on disk first: the reply to RCPT waits for the
 * witness, but never long, because a slow disk is no reason to keep mail waiting.
 *
 * 451 and not 5xx, because honest senders come here too while the real MX is away, and must try again. What is offered is
 * told in look.ts, with its reasons, and the words in which all this is said are those of phrasing.ts.
 */
import type { Socket } from 'node:net'
import type { SecureContext } from 'node:tls'
import { domainToASCII } from 'node:url'
import { SMTPServer, type SMTPServerSession } from 'smtp-server'
import type { Client } from '../core/client.ts'
import { type Kind, printable, type Stage } from '../core/evidence.ts'
import { type Talked, talked } from '../core/session.ts'
import { discreet, discreetAddress, type Keeping } from './discretion.ts'
import { userNameOf } from './login.ts'
import { COMMANDS, farewell, newManners, type Sighting } from './manners.ts'
import {
  beginTransaction,
  endTransaction,
  nameRecipient,
  type Naming,
  newNaming,
  noteManner,
  type Shown,
} from './recipients.ts'
import type { Phrases } from './phrasing.ts'
import { type Pace, Wire } from './wire.ts'

/** One connection's client, and where it came in. */
export type Party = {
  readonly client: Client
  /** Our own address that it called, and the same with its port. */
  readonly address: string
  readonly where: string
  /** One id for all evidence of the connection. */
  readonly session: string
}

/** What is offered beyond plain SMTP, and kept of what comes. */
export type Offers = {
  /** AUTH, as a bait for password guessers. It never succeeds. */
  readonly auth: boolean
  /** STARTTLS, with this certificate. */
  readonly tls: SecureContext | undefined
  /** Of a message that comes though refused: how many bytes are looked at. 0: nothing of it is kept. */
  readonly keepBytes: number
  /** Of the people whom it names. */
  readonly keepAddresses: Keeping
}

export type DialogueOptions = {
  readonly name: string
  readonly pace: Pace
  readonly phrases: () => Phrases
  readonly offers: Offers
  readonly protects: (domain: string) => boolean
  readonly isTrap: (address: string) => boolean
  /** Settled once the sighting is on disk. */
  readonly testify: (party: Party, sighting: Sighting) => Promise<unknown>
  /** It sends more than a client that waits for replies. */
  readonly poured: (raw: Socket) => void
  /** It is over, and all that it showed is told. */
  readonly ended: (raw: Socket, party: Party, talked: Talked) => void
  /** The library met trouble that it cannot name: its bug or ours, and worth a line in the log. */
  readonly fault: (error: Error) => void
}

/** Longest wait for the disk before a RCPT is answered. */
const WITNESS_MS = 250

/**
 * What the library is told to answer; the words are phrasing's. Made once: an error of its own for each reply would carry a stack
 * nobody reads.
 */
const NO_LOGIN = later(454)
const NO_RECIPIENT = later(451)
const NO_MESSAGE = later(451)

function later(responseCode: number): Error {
  return Object.assign(new Error('later'), { responseCode })
}

/**
 * Begins a dialogue on this socket, which is paused; `early` came from the client already. It ends with the socket.
 */
export type Converse = (raw: Socket, party: Party, early: Buffer) => void

export function dialogues(options: DialogueOptions): Converse {
  const open = new Map<string, { readonly talk: Talk; readonly wire: Wire }>()
  const smtp = new SMTPServer({
    name: options.name,
    heloResponse: '%s',
    hidePIPELINING: true,
    authOptional: true,
    lenientAddressParsing: true,
    disableReverseLookup: true,
    disabledCommands: [...NEVER, ...(options.offers.auth ? [] : ['AUTH'])],
    maxCommandLength: 2048,
    socketTimeout: 2 ** 31 - 1,
    logger: false,
    onAuth(login, session, answer) {
      const [talk, detail] = [open.get(session.id)?.talk, userNameOf(login)]
      if (talk && detail !== undefined) show(talk, [{ kind: 'auth-name', detail }], 'auth', options)
      answer(NO_LOGIN)
    },
    onMailFrom({ address }, session, answer) {
      const talk = open.get(session.id)?.talk
      if (talk) {
        talk.sender ??= address
        beginTransaction(talk.naming, address)
      }
      answer()
    },
    onRcptTo({ address }, session, answer) {
      const talk = open.get(session.id)?.talk
      if (talk) show(talk, nameRecipient(talk.naming, recipientOf(address, options)), 'rcpt', options)
      within(WITNESS_MS, talk && onDisk(talk), () => answer(NO_RECIPIENT))
    },
    // Never reached, for no recipient is ever accepted. Without it the library would accept.
    onData(stream, _session: SMTPServerSession, answer) {
      stream.resume()
      answer(NO_MESSAGE)
    },
  })
  // Given as an option it would be wrapped in a copy of every entry, eight for a dialogue.
  smtp.logger = commandLog((id, command) => {
    const visit = open.get(id)
    visit?.wire.answering(command)
    if (visit && ENDINGS.has(command)) show(visit.talk, endTransaction(visit.talk.naming), 'rcpt', options)
  })
  smtp.on('error', options.fault)

  return (raw, party, early) => {
    const talk: Talk = {
      party,
      naming: newNaming(),
      testified: new Map(),
      sender: undefined,
      unwritten: [],
    }
    const see = (sighting: Sighting) => testify(talk, sighting, options)
    const manners = newManners(options.name, party.address, options.offers.keepBytes)
    const poured = () => options.poured(raw)
    const { pace, phrases, offers } = options
    const ip = party.client.ip
    const wire = new Wire(raw, { manners, pace, phrases: phrases(), ip, early, tls: offers.tls, see, poured })
    open.set(party.session, { talk, wire })
    raw.once('close', () => {
      open.delete(party.session)
      const { stage } = manners.progress
      show(talk, endTransaction(talk.naming), stage, options)
      for (const sighting of farewell(manners)) see(sighting)
      if (wire.hungUp) see({ kind: 'hang-up', stage, detail: `after ${wire.lastCommand || 'the greeting'}` })
      const { recipients } = talk.naming
      const sender = talk.sender === undefined ? undefined : discreetAddress(talk.sender, options.offers.keepAddresses)
      const said = { helo: manners.helo, last: wire.lastCommand, recipients, sender }
      options.ended(raw, party, talked(said, talk.testified))
    })
    // Who it is and whom it called is nothing that the library could use.
    smtp.connect(wire as unknown as Socket, { id: party.session })
  }
}

/**
 * STARTTLS is the wire's (see there); the others answer jokes, believe who the client says it is, or tell more than most mail
 * servers do.
 */
const NEVER = ['STARTTLS', 'WIZ', 'SHELL', 'KILL', 'XCLIENT', 'XFORWARD', 'HELP', 'VRFY']

/** What ends a transaction. */
const ENDINGS: ReadonlySet<string> = new Set(['HELO', 'EHLO', 'RSET', 'QUIT'])

type Talk = {
  readonly party: Party
  readonly naming: Naming
  /** Each kind that was seen, once, with its detail. */
  readonly testified: Map<Kind, string | undefined>
  /** The first that it named. */
  sender: string | undefined
  /** Settled when all that was seen so far is on disk; one for each kind at most. */
  unwritten: Promise<unknown>[]
}

/** Settled when all that was seen so far is on disk. */
function onDisk(talk: Talk): Promise<unknown> | undefined {
  if (talk.unwritten.length > 1) talk.unwritten = [Promise.all(talk.unwritten)]
  return talk.unwritten[0]
}

function recipientOf(address: string, { protects, isTrap }: DialogueOptions) {
  const at = address.lastIndexOf('@')
  const domain = at < 0 ? '' : asciiOf(address.slice(at + 1))
  const local = (at < 0 ? address : address.slice(0, at)).toLowerCase()
  return { local, domain, ours: domain !== '' && protects(domain), trap: isTrap(`${local}@${domain}`) }
}

function show(talk: Talk, shown: readonly Shown[], stage: Stage, options: DialogueOptions): void {
  for (const { kind, detail } of shown) testify(talk, { kind, stage, detail: printable(detail) }, options)
}

function testify(talk: Talk, seen: Sighting, options: DialogueOptions): void {
  if (talk.testified.has(seen.kind)) return
  const sighting = discreet(seen, options.offers.keepAddresses)
  talk.testified.set(sighting.kind, sighting.detail)
  const written = options.testify(talk.party, sighting)
  // What is written together has one promise.
  if (talk.unwritten.at(-1) !== written) talk.unwritten.push(written)
  show(talk, noteManner(talk.naming, sighting.kind), 'rcpt', options)
}

/** The library hands domains over in Unicode; rules are written in the form that DNS has. */
function asciiOf(domain: string): string {
  return PLAIN_DOMAIN.test(domain) ? domain.toLowerCase() : domainToASCII(domain) || domain.toLowerCase()
}

/** What stands in DNS as it is: no prefix of another script's, and no number, which is read as an address. */
const PLAIN_DOMAIN = /^(?!xn--)[a-z][a-z0-9-]*(\.(?!xn--)[a-z][a-z0-9-]*)+$/i

/** Calls back once: when what was waited for is settled, or when the time is up. */
function within(ms: number, wait: Promise<unknown> | undefined, then: () => void): void {
  if (!wait) return then()
  let over = false
  const once = () => {
    if (over) return
    over = true
    clearTimeout(timer)
    then()
  }
  const timer = setTimeout(once, ms)
  void wait.then(once, once)
}

/**
 * The library's log, of which one line matters: it names each command as it takes it up, which no hook does. Nothing
 * else is kept of it, and it blots out credentials itself.
 */
function commandLog(take: (id: string, command: string) => void) {
  const ignore = () => {}
  const debug = (entry: unknown, _format?: unknown, line?: unknown) => {
    const { tnx, cid } = entry as { tnx?: string; cid?: string }
    if (tnx !== 'command' || cid === undefined) return
    const said = String(line)
    const end = said.indexOf(' ')
    const word = end < 0 ? said : said.slice(0, end)
    take(cid, COMMANDS.has(word) ? word : word.toUpperCase())
  }
  return { trace: ignore, debug, info: ignore, warn: ignore, error: ignore, fatal: ignore }
}
