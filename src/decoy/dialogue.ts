/**
 * The dialogue: polite up to RCPT, and there "try again later", for every recipient and for ever.
 *
 * smtp-server's public hooks become Evidence and 4xx replies. One SMTPServer that never listens serves every listener;
 * it sees a Wire, never a socket. What a client is told about is on disk first: the reply to RCPT waits for the
 * witness, but never long, because a slow disk is no reason to keep mail waiting.
 *
 * 451 and not 5xx, because honest senders come here too while the real MX is away, and must try again. 8BITMIME and
 * SMTPUTF8 are offered, because senders bounce at once what needs them and is not offered them; no SIZE, for the same
 * reason.
 */
import type { Socket } from 'node:net'
import { domainToASCII } from 'node:url'
import { SMTPServer, type SMTPServerSession } from 'smtp-server'
import type { Client } from '../core/client.ts'
import { type Kind, printable } from '../core/evidence.ts'
import { newManners, type Sighting } from './manners.ts'
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

export type DialogueOptions = {
  readonly name: string
  readonly pace: Pace
  readonly protects: (domain: string) => boolean
  readonly isTrap: (address: string) => boolean
  /** Settled once the sighting is on disk. */
  readonly testify: (party: Party, sighting: Sighting) => Promise<void>
  /** The library met trouble that it cannot name: its bug or ours, and worth a line in the log. */
  readonly fault: (error: Error) => void
}

/**
 * RFC 5321, 4.5.3.1.8: every server takes 100 recipients, so no sender needs to name more here, where none is taken.
 */
const RECIPIENTS_MAX = 100
/** Longest wait for the disk before a RCPT is answered. */
const WITNESS_MS = 250

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
    disabledCommands: ['STARTTLS', 'WIZ', 'SHELL', 'KILL', 'XCLIENT', 'XFORWARD', 'HELP'],
    maxCommandLength: 2048,
    socketTimeout: 2 ** 31 - 1,
    logger: false,
    onAuth: (_auth, _session, answer) => answer(later(454, '4.7.0 Temporary authentication failure')),
    onRcptTo({ address }, session, answer) {
      const talk = open.get(session.id)?.talk
      if (talk) noteRecipient(talk, address, options)
      void within(WITNESS_MS, talk?.onDisk).then(() => answer(later(451, '4.7.1 Try again later')))
    },
    // Never reached, for no recipient is ever accepted. Without it the library would accept.
    onData(stream, _session: SMTPServerSession, answer) {
      stream.resume()
      answer(later(451, '4.3.0 Try again later'))
    },
  })
  // Given as an option it would be wrapped in a copy of every entry, eight for a dialogue.
  smtp.logger = commandLog((id, command) => open.get(id)?.wire.answering(command))
  smtp.on('error', options.fault)

  return (raw, party, early) => {
    const talk: Talk = { party, testified: new Set(), recipients: 0, onDisk: Promise.resolve() }
    const see = (sighting: Sighting) => testify(talk, sighting, options)
    const wire = new Wire(raw, { manners: newManners(options.name, party.address), pace: options.pace, early, see })
    open.set(party.session, { talk, wire })
    raw.once('close', () => {
      open.delete(party.session)
      if (wire.hungUp) see({ kind: 'hang-up', detail: `after ${wire.lastCommand || 'the greeting'}` })
    })
    const { session: id, client, address: localAddress } = party
    smtp.connect(wire as unknown as Socket, { id, remoteAddress: client.ip, localAddress })
  }
}

type Talk = {
  readonly party: Party
  readonly testified: Set<Kind>
  recipients: number
  /** Settled when all that was seen so far is on disk. */
  onDisk: Promise<unknown>
}

function noteRecipient(talk: Talk, address: string, options: DialogueOptions): void {
  const at = address.lastIndexOf('@')
  const domain = at < 0 ? '' : asciiOf(address.slice(at + 1))
  const said = at < 0 ? address.toLowerCase() : `${address.slice(0, at).toLowerCase()}@${domain}`
  talk.recipients++
  const note = (kind: Kind, detail: string) => testify(talk, { kind, detail: printable(detail) }, options)
  if (talk.recipients > RECIPIENTS_MAX) note('recipient-flood', `more than ${RECIPIENTS_MAX} in one session`)
  // RFC 5321, 4.5.1: a postmaster without a domain is every host's own, and proves nothing about a domain.
  if (domain === '') return
  note(options.protects(domain) ? 'recipient' : 'foreign-recipient', said)
  if (options.isTrap(said)) note('trap-recipient', said)
}

function testify(talk: Talk, sighting: Sighting, options: DialogueOptions): void {
  if (talk.testified.has(sighting.kind)) return
  talk.testified.add(sighting.kind)
  talk.onDisk = Promise.all([talk.onDisk, options.testify(talk.party, sighting)])
}

/** The library hands domains over in Unicode; rules are written in the form that DNS has. */
function asciiOf(domain: string): string {
  return domainToASCII(domain) || domain.toLowerCase()
}

function later(responseCode: number, text: string): Error {
  return Object.assign(new Error(text), { responseCode })
}

async function within(ms: number, wait: Promise<unknown> | undefined): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms)
  })
  await Promise.race([wait, limit])
  clearTimeout(timer)
}

/**
 * The library's log, of which one line matters: it names each command as it takes it up, which no hook does. Nothing
 * else is kept of it, and it blots out credentials itself.
 */
function commandLog(take: (id: string, command: string) => void) {
  const ignore = () => {}
  const debug = (entry: unknown, _format?: unknown, line?: unknown) => {
    const { tnx, cid } = entry as { tnx?: string; cid?: string }
    if (tnx === 'command' && cid !== undefined) take(cid, String(line).split(' ', 1)[0]?.toUpperCase() ?? '')
  }
  return { trace: ignore, debug, info: ignore, warn: ignore, error: ignore, fatal: ignore }
}
