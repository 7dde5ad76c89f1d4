/**
 * A milter: what Sendmail and Postfix ask filters, as far as it takes to say a word about the client at RCPT.
 *
 * The protocol is libmilter's (version 6; its numbers stand in sendmail's include/libmilter/mfdef.h): packets of a length, a
 * command and its data, both ways. Told are the client (CONNECT), whether it has logged in (the macro {auth_authen}) and each
 * recipient; nothing else is asked for, and whatever comes all the same is answered "continue". There is no other answer but
 * to a recipient, after the MTA has accepted it itself: so nobody is refused who would relay, and who has logged in, or is
 * here without an address, never is. Headers and body are not even sent where the MTA can leave them out.
 *
 * What cannot be read is hung up on; then the MTA does what its administrator set for that case (deploy/postfix/milter.cf).
 * Each recipient also tells that the client came to the real MX.
 */
import type { Server } from 'node:net'
import { type Client, parseClient } from '../core/client.ts'
import type { Instant, Witness } from '../core/evidence.ts'
import type { Answers } from '../core/rules.ts'
import type { Decide, Decision } from '../reputation/decision.ts'
import { Connections, type ConnectionLimits, type HungUp, type Heard } from './connections.ts'
import { domainOf, reasonLine } from './policy.ts'
import { Visits } from './visits.ts'

type MilterTrouble = 'long-packet' | 'no-packet' | 'old-protocol' | 'no-greeting'

export type MilterHappening =
  | { readonly what: 'answered'; readonly decision: Decision }
  | ({ readonly what: 'closed' } & HungUp<MilterTrouble>)
  /** A bug of ours; the asker was told to continue. */
  | { readonly what: 'failed'; readonly error: string }

export type MilterLimits = ConnectionLimits & {
  readonly packetBytes: number
  /** Clients remembered as told of. */
  readonly notes: number
}

/** One connection for each SMTP session, idle as long as that is. Sendmail's largest packet has 65,535 bytes of data. */
const MILTER_LIMITS: MilterLimits = {
  connections: 2000,
  idleMs: 900_000,
  unreadMs: 10_000,
  packetBytes: 65_536,
  notes: 100_000,
}

export type MilterOptions = {
  readonly decide: Decide
  readonly answers: () => Answers
  readonly witness: Witness
  readonly now: () => Instant
  readonly tell: (happening: MilterHappening) => void
  readonly limits?: Partial<MilterLimits>
}

export class Milter {
  readonly #options: MilterOptions
  readonly #limits: MilterLimits
  readonly #visits: Visits
  readonly #connections: Connections<MilterTrouble>

  constructor(options: MilterOptions) {
    const { witness, now, tell } = options
    this.#options = options
    this.#limits = { ...MILTER_LIMITS, ...options.limits }
    const failed = (error: unknown) => tell({ what: 'failed', error: String(error) })
    this.#visits = new Visits({ witness, now, failed, most: this.#limits.notes })
    const closed = (it: HungUp<MilterTrouble>) => tell({ what: 'closed', ...it })
    this.#connections = new Connections(this.#limits, () => ({ hear: this.#listener() }), closed)
  }

  /** A server for the caller to listen with. */
  server(): Server {
    return this.#connections.server()
  }

  close(): Promise<void> {
    return this.#connections.close()
  }

  #listener(): (chunk: Buffer) => Heard<MilterTrouble> {
    const read = packetReader(this.#limits.packetBytes)
    const { decide, answers } = this.#options
    const talk = new Talk((client, domain) => decide(client, domain), answers)
    return (chunk) => {
      const { packets, rest, trouble } = read(chunk)
      const decisions: Decision[] = []
      const errors: string[] = []
      let replies = ''
      let end: MilterTrouble | 'quit' | undefined
      for (const packet of packets) {
        const said = talk.hear(packet)
        replies += said.reply
        if (said.decision) decisions.push(said.decision)
        if (said.error !== undefined) errors.push(said.error)
        end = said.end
        if (end !== undefined) break
      }
      return {
        replies,
        rest,
        trouble: end === 'quit' ? undefined : (end ?? trouble),
        done: end === 'quit',
        afterwards: () => this.#afterwards(decisions, errors),
      }
    }
  }

  #afterwards(decisions: readonly Decision[], errors: readonly string[]): void {
    const { tell } = this.#options
    for (const error of errors) tell({ what: 'failed', error })
    for (const decision of decisions) {
      tell({ what: 'answered', decision })
      this.#visits.note(decision)
    }
  }
}

type Packet = { readonly command: string; readonly data: Buffer }
type Said = {
  readonly reply: string
  readonly decision?: Decision
  readonly error?: string
  readonly end?: MilterTrouble | 'quit'
}

const CONTINUE: Said = { reply: packet('c') }
const SILENCE: Said = { reply: '' }

/** Steps of which we want to hear nothing (SMFIP_NO*), and those that we do not want to answer (SMFIP_NR_*). */
const UNWANTED = { helo: 0x2, body: 0x10, headers: 0x20, endOfHeaders: 0x40, unknown: 0x100, data: 0x200 } as const
const UNANSWERED = { connect: 0x1000, mail: 0x4000 } as const
const WANTED_BITS = [...Object.values(UNWANTED), ...Object.values(UNANSWERED)].reduce((all, bit) => all | bit, 0)
/** No older one can say what it leaves out, nor is any in use. */
const VERSION_MIN = 2
const VERSION = 6

/** One SMTP session, or one after the other, as an MTA tells of it. */
class Talk {
  readonly #decide: Decide
  readonly #answers: () => Answers
  /** The bits that both sides have agreed on; undefined before that. */
  #agreed: number | undefined
  #client: Client | undefined
  #authenticated = false

  constructor(decide: Decide, answers: () => Answers) {
    this.#decide = decide
    this.#answers = answers
  }

  hear({ command, data }: Packet): Said {
    if (this.#agreed === undefined && command !== 'O') return { reply: '', end: 'no-greeting' }
    switch (command) {
      case 'O':
        return this.#negotiate(data)
      case 'C':
        this.#client = clientOf(data)
        this.#authenticated = false
        return this.#unless(UNANSWERED.connect)
      case 'D':
        // Macros come before the command that they are for.
        if (data[0] === MAIL) this.#authenticated = hasLoggedIn(data.toString('latin1', 1))
        return SILENCE
      case 'M':
        return this.#unless(UNANSWERED.mail)
      case 'R':
        return this.#recipient(data)
      case 'A':
        this.#authenticated = false
        return SILENCE
      case 'K':
        this.#client = undefined
        this.#authenticated = false
        return SILENCE
      case 'Q':
        return { reply: '', end: 'quit' }
      default:
        return CONTINUE
    }
  }

  #negotiate(data: Buffer): Said {
    if (data.length < 12 || data.readUInt32BE(0) < VERSION_MIN) return { reply: '', end: 'old-protocol' }
    const version = Math.min(VERSION, data.readUInt32BE(0))
    this.#agreed = data.readUInt32BE(8) & WANTED_BITS
    // No action is asked for: nothing of a message is ever changed.
    return { reply: packet('O', spell(version) + spell(0) + spell(this.#agreed)) }
  }

  #unless(bit: number): Said {
    return ((this.#agreed ?? 0) & bit) === 0 ? CONTINUE : SILENCE
  }

  #recipient(data: Buffer): Said {
    if (!this.#client || this.#authenticated) return CONTINUE
    try {
      // `<address>\0`, and what was said with it.
      const [address = ''] = data.toString('latin1').split('\0', 1)
      const decision = this.#decide(this.#client, domainOf(address.replace(/^<|>$/g, '')))
      return { reply: replyOf(decision, this.#answers()), decision }
    } catch (error) {
      return { ...CONTINUE, error: String(error) }
    }
  }
}

const MAIL = 'M'.charCodeAt(0)

/** As Postfix would be told. No message is ever changed, so what is only to be noted passes. A percent sign is doubled, as smfi_setreply wants it. */
function replyOf(decision: Decision, answers: Answers): string {
  const word = decision.effect === 'pass' ? 'DUNNO' : answers.policy[decision.effect]
  const text = reasonLine(decision, answers.text).replaceAll('%', '%%')
  if (word === 'REJECT') return packet('y', `550 5.7.1 ${text}\0`)
  if (word === 'DEFER_IF_PERMIT') return packet('y', `451 4.7.1 ${text}\0`)
  return packet('c')
}

/** `hostname\0`, a letter for the family, two bytes of port, `address\0`. Sendmail writes IPv6 with a prefix. */
function clientOf(data: Buffer): Client | undefined {
  const family = data.indexOf(0) + 1
  if (family === 0 || (data[family] !== IPV4 && data[family] !== IPV6)) return undefined
  const [address = ''] = data.toString('latin1', family + 3).split('\0', 1)
  return parseClient(address.replace(/^IPv6:/i, ''))
}

const IPV4 = '4'.charCodeAt(0)
const IPV6 = '6'.charCodeAt(0)

/** Names and values in turn, each with its zero byte. */
function hasLoggedIn(text: string): boolean {
  const words = text.split('\0')
  return words.some((word, i) => i % 2 === 0 && /^\{?auth_authen\}?$/.test(word) && (words[i + 1] ?? '') !== '')
}

function packet(command: string, data = ''): string {
  return spell(1 + data.length) + command + data
}

/** Four bytes, one character for each. */
function spell(n: number): string {
  return String.fromCharCode((n >>> 24) & 255, (n >>> 16) & 255, (n >>> 8) & 255, n & 255)
}

type Reading = {
  readonly packets: readonly Packet[]
  readonly rest: number
  readonly trouble: 'long-packet' | 'no-packet' | undefined
}

/** Bytes in, packets out, wherever the bytes were cut. Keeps no more than one packet that is still growing. */
export function packetReader(packetBytes: number): (chunk: Buffer) => Reading {
  let kept: Buffer = Buffer.alloc(0)
  return (chunk) => {
    const bytes = kept.length > 0 ? Buffer.concat([kept, chunk]) : chunk
    const packets: Packet[] = []
    let start = 0
    while (bytes.length - start >= 4) {
      const length = bytes.readUInt32BE(start)
      if (length === 0) return { packets, rest: 0, trouble: 'no-packet' }
      if (length > packetBytes) return { packets, rest: 0, trouble: 'long-packet' }
      if (bytes.length - start < 4 + length) break
      const command = String.fromCharCode(bytes[start + 4] as number)
      packets.push({ command, data: bytes.subarray(start + 5, start + 4 + length) })
      start += 4 + length
    }
    kept = Buffer.from(bytes.subarray(start))
    return { packets, rest: kept.length, trouble: undefined }
  }
}
