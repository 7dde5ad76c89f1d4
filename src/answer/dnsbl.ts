/**
 * The DNSBL: the same decisions, for whatever asks by DNS (RFC 5782), over UDP and TCP.
 *
 * `answer` is one packet in, one packet out; sockets are put around it below. Only the effect of a decision is told, so
 * in mode observe and in any doubt a client is not listed. Strangers are refused, and nothing of theirs beyond the
 * question is read. Answers stay small, so that we are no use as an amplifier.
 *
 * dns-packet reads and writes the records. The question is walked here and echoed byte by byte, because labels are
 * bytes and would not survive being text: `2.0.0.127` may be one label.
 */
import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { createServer, type Server, type Socket } from 'node:net'
import {
  type Answer,
  AUTHORITATIVE_ANSWER,
  decode,
  DNSSEC_OK,
  encode,
  type OptAnswer,
  TRUNCATED_RESPONSE,
} from 'dns-packet'
import { type Client, parseClient, parseReversed } from '../core/client.ts'
import type { Instant } from '../core/evidence.ts'
import type { Prefixes } from '../core/prefixes.ts'
import type { Decide, Decision } from '../reputation/decision.ts'
import { reasonLine } from './policy.ts'

export type Over = 'udp' | 'tcp'
type Listing = 'observe' | 'defer' | 'block'

export type DnsblHappening =
  | {
      readonly what: 'answered'
      readonly over: Over
      readonly type: 'A' | 'TXT' | 'other'
      readonly rcode: keyof typeof RCODE
      /** What the answer says; a test entry is listed without a decision. */
      readonly listed: Listing | undefined
      readonly decision: Decision | undefined
    }
  /** No query: too short to have flags, or itself an answer. */
  | { readonly what: 'ignored'; readonly over: Over }
  | { readonly what: 'closed'; readonly reason: 'bad-frame' | 'full' | 'idle' }
  /** An answer that the network did not take. */
  | { readonly what: 'unsent' }
  /** A bug of ours; the asker was told SERVFAIL, which lists nobody. */
  | { readonly what: 'failed'; readonly error: string }

export type DnsblLimits = {
  /** TCP connections at once; resolvers come by UDP and need few. */
  readonly connections: number
  /** Without a whole query in this time, a TCP connection is closed. */
  readonly idleMs: number
  /** Of answers that wait for the network card; more are dropped, as UDP may. */
  readonly unsentBytes: number
}

const DNSBL_LIMITS: DnsblLimits = { connections: 100, idleMs: 10_000, unsentBytes: 1_048_576 }

export type DnsblOptions = {
  readonly zone: string
  readonly decide: Decide
  /** Who may ask. */
  readonly askers: Prefixes<true>
  readonly ttlSeconds: number
  readonly negativeTtlSeconds: number
  /** The mailbox of the SOA record, in its form: dots for the @. */
  readonly contact: string
  /** The host named in SOA and NS; without it the zone's own name: enough where no parent zone delegates to us. */
  readonly nameServer?: string | undefined
  readonly observeCode: boolean
  readonly now: () => Instant
  readonly tell: (happening: DnsblHappening) => void
  readonly limits?: Partial<DnsblLimits>
}

/** Largest query taken; an honest one is below 400 bytes. */
const QUERY_BYTES_MAX = 4096
/** Largest UDP answer: what passes without fragments nearly everywhere, and what everyone takes without EDNS. */
const UDP_BYTES_MAX = 1232
const PLAIN_UDP_BYTES_MAX = 512
/** Records after the question: EDNS, a signature, and room for what may come. */
const ADDITIONALS_MAX = 4

const HEADER_BYTES = 12
const RCODE = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5, BADVERS: 16 } as const
const TYPE = { A: 1, NS: 2, SOA: 6, TXT: 16, IXFR: 251, AXFR: 252, ANY: 255 } as const
const CLASS_IN = 1

const CODES: Record<Listing, string> = { block: '127.0.0.2', defer: '127.0.0.3', observe: '127.0.0.4' }

/** RFC 5782, section 5: entries by which users of a DNSBL see that it lists, and that it does not list everything. */
const TEST_LISTED = ['2.0.0.127', `2.0.0.0.0.0.f.7.f.f.f.f${'.0'.repeat(20)}`]
const TEST_ABSENT = ['1.0.0.127', `1.0.0.0.0.0.f.7.f.f.f.f${'.0'.repeat(20)}`]

export class Dnsbl {
  readonly #options: DnsblOptions
  readonly #limits: DnsblLimits
  readonly #zone: readonly string[]
  readonly #servers = new Set<Server>()
  readonly #sockets = new Set<Socket>()
  readonly #udp = new Set<UdpSocket>()

  constructor(options: DnsblOptions) {
    const zone = options.zone.toLowerCase().replace(/\.$/, '')
    for (const name of [zone, options.contact, options.nameServer ?? zone]) refuseUnwritable(name)
    this.#options = { ...options, zone }
    this.#limits = { ...DNSBL_LIMITS, ...options.limits }
    this.#zone = zone.split('.')
  }

  /** The answer to one packet. Undefined: it is no query, and silence keeps two servers from endless talk. */
  answer(query: Buffer, asker: Client, over: Over): Buffer | undefined {
    const { tell } = this.#options
    if (query.length < 4 || (query.readUInt16BE(2) & FLAG_RESPONSE) !== 0) {
      tell({ what: 'ignored', over })
      return undefined
    }
    const { rcode, question, node, ...reply } = this.#reply(query, asker)
    const type = question?.type === TYPE.A ? 'A' : question?.type === TYPE.TXT ? 'TXT' : 'other'
    tell({ what: 'answered', over, type, rcode, listed: node?.listed?.word, decision: node?.decision })
    const bytesMax = over === 'tcp' ? 65_535 : udpLimit(reply.edns)
    return encodeReply(query, { rcode, question, ...reply }, bytesMax)
  }

  #reply(query: Buffer, asker: Client): Reply {
    if (query.length < HEADER_BYTES || query.length > QUERY_BYTES_MAX) return { rcode: 'FORMERR' }
    if ((query.readUInt16BE(2) & FLAGS_OPCODE) !== 0) return { rcode: 'NOTIMP' }
    const question = readQuestion(query)
    if (!question) return { rcode: 'FORMERR' }
    const { askers, ttlSeconds, negativeTtlSeconds, tell } = this.#options
    if (!askers.find(asker)) return { rcode: 'REFUSED', question }
    const edns = readEdns(query)
    if (edns === 'malformed') return { rcode: 'FORMERR' }
    if (edns && edns.ednsVersion !== 0) return { rcode: 'BADVERS', question, edns }
    const labels = this.#labelsBeforeZone(question)
    if (!labels || question.class !== CLASS_IN || question.type === TYPE.AXFR || question.type === TYPE.IXFR)
      return { rcode: 'REFUSED', question, edns }
    try {
      const node = this.#lookUp(labels)
      const answers = this.#records(node, question)
      const authorities = answers.length > 0 ? [] : [this.#soa(Math.min(negativeTtlSeconds, ttlSeconds))]
      const rcode = node.is === 'absent' ? 'NXDOMAIN' : 'NOERROR'
      return { rcode, question, edns, node, authoritative: true, answers, authorities }
    } catch (error) {
      tell({ what: 'failed', error: String(error) })
      return { rcode: 'SERVFAIL', question, edns }
    }
  }

  /** In lower case; undefined outside the zone. */
  #labelsBeforeZone({ labels }: Question): string[] | undefined {
    const lower = labels.map((label) => label.toLowerCase())
    const before = lower.length - this.#zone.length
    const inside = before >= 0 && this.#zone.every((label, i) => lower[before + i] === label)
    return inside ? lower.slice(0, before) : undefined
  }

  #lookUp(labels: readonly string[]): Node {
    if (labels.length === 0) return { is: 'apex' }
    const name = labels.join('.')
    const { decide, ttlSeconds } = this.#options
    if (TEST_LISTED.includes(name)) return { is: 'listed', listed: { word: 'block', text: TEST_TEXT, ttlSeconds } }
    if (TEST_ABSENT.includes(name)) return { is: 'absent' }
    const octets = labels.every((label) => /^(0|[1-9]\d{0,2})$/.test(label) && Number(label) <= 255)
    const nibbles = labels.every((label) => /^[0-9a-f]$/.test(label))
    const whole = (octets && labels.length === 4) || (nibbles && labels.length === 32)
    const client = whole ? parseReversed(labels) : undefined
    const decision = client && decide(client)
    const listed = decision && this.#listing(decision)
    if (listed) return { is: 'listed', listed, decision }
    // Names with names below them exist (RFC 8020): were `8.b.d.0` denied, a resolver would deny all of 2001:db8::/32.
    const hasBelow = (octets && labels.length < 4) || (nibbles && labels.length < 32)
    return { is: hasBelow ? 'empty' : 'absent', decision }
  }

  #listing(decision: Decision): Listed | undefined {
    const { effect, until } = decision
    const { ttlSeconds, observeCode, now } = this.#options
    if (effect === 'pass' || (effect === 'observe' && !observeCode)) return undefined
    const leftSeconds = until === undefined ? ttlSeconds : Math.floor((until - now()) / 1000)
    return { word: effect, text: reasonLine(decision), ttlSeconds: Math.max(0, Math.min(ttlSeconds, leftSeconds)) }
  }

  /** The records of this type at a name that exists. ANY gets one of them (RFC 8482). */
  #records({ is, listed }: Node, { type, labels }: Question): Answer[] {
    const { zone, ttlSeconds } = this.#options
    const any = type === TYPE.ANY
    if (is === 'apex' && (type === TYPE.SOA || any)) return [this.#soa(ttlSeconds)]
    if (is === 'apex' && type === TYPE.NS) return [{ name: zone, type: 'NS', ttl: ttlSeconds, data: this.#nameServer }]
    if (!listed) return []
    const record = { name: labels.join('.'), ttl: listed.ttlSeconds }
    if (type === TYPE.A || any) return [{ ...record, type: 'A', data: CODES[listed.word] }]
    return type === TYPE.TXT ? [{ ...record, type: 'TXT', data: listed.text }] : []
  }

  #soa(ttl: number): Answer {
    const { zone, contact, negativeTtlSeconds, now } = this.#options
    const serial = Math.floor(now() / 1000) >>> 0
    const times = { serial, refresh: 3600, retry: 600, expire: 86_400, minimum: negativeTtlSeconds }
    return { name: zone, type: 'SOA', ttl, data: { mname: this.#nameServer, rname: contact, ...times } }
  }

  get #nameServer(): string {
    return this.#options.nameServer ?? this.#options.zone
  }

  /** A socket for the caller to bind. */
  udp(family: 'udp4' | 'udp6'): UdpSocket {
    const socket = createSocket(family)
    this.#udp.add(socket)
    socket.on('message', (query, from) => {
      const asker = parseClient(from.address)
      if (!asker || from.port === 0) return
      const reply = this.answer(query, asker, 'udp')
      if (!reply) return
      const unsent = () => this.#options.tell({ what: 'unsent' })
      if (socket.getSendQueueSize() > this.#limits.unsentBytes) return unsent()
      socket.send(reply, from.port, from.address, (error) => error && unsent())
    })
    return socket.once('close', () => this.#udp.delete(socket))
  }

  /** A server for the caller to listen with: each message has its length before it (RFC 7766). */
  tcp(): Server {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#serve(socket))
    this.#servers.add(server)
    return server.once('close', () => this.#servers.delete(server))
  }

  async close(): Promise<void> {
    const closed = [...this.#servers].map((server) => new Promise((resolve) => server.close(resolve)))
    for (const socket of this.#sockets) socket.destroy()
    for (const socket of this.#udp) closed.push(new Promise((resolve) => socket.close(() => resolve(undefined))))
    await Promise.all(closed)
  }

  #serve(socket: Socket): void {
    const { tell, askers } = this.#options
    const { connections, idleMs } = this.#limits
    socket.on('error', () => undefined) // the asker went away; 'close' follows
    const asker = parseClient(socket.remoteAddress ?? '')
    if (!asker) return void socket.destroy()
    if (this.#sockets.size >= connections) {
      tell({ what: 'closed', reason: 'full' })
      socket.destroy()
      return
    }
    this.#sockets.add(socket)
    const idle = setTimeout(() => {
      tell({ what: 'closed', reason: 'idle' })
      socket.destroy()
    }, idleMs)

    let bytes: Buffer = Buffer.alloc(0)
    let ended = false
    /** Answers what is there, until it is cut, or until the asker has 64 KiB (Node's mark) to read first. */
    const serve = () => {
      while (bytes.length >= 2 && !socket.writableNeedDrain) {
        const length = bytes.readUInt16BE(0)
        if (length < HEADER_BYTES || length > QUERY_BYTES_MAX) return leave('bad-frame')
        if (bytes.length < 2 + length) break
        const reply = this.answer(bytes.subarray(2, 2 + length), asker, 'tcp')
        if (!reply) return leave('bad-frame')
        bytes = bytes.subarray(2 + length)
        idle.refresh()
        socket.write(framed(reply))
        // A stranger gets the one answer it needs, and no place among the few there are.
        if (!askers.find(asker)) return leave()
      }
      if (socket.writableNeedDrain) socket.pause()
      else if (ended) socket.end()
      else socket.resume()
    }
    const leave = (reason?: 'bad-frame') => {
      if (reason) tell({ what: 'closed', reason })
      socket.removeAllListeners('data').removeAllListeners('drain').destroySoon()
    }
    socket.on('data', (chunk) => {
      bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk])
      serve()
    })
    socket.on('drain', serve)
    socket.on('end', () => {
      ended = true
      serve()
    })
    socket.on('close', () => {
      clearTimeout(idle)
      this.#sockets.delete(socket)
    })
  }
}

/** RFC 1035, 2.3.4: 255 bytes in all. A zone leaves room before it for the 32 nibbles of an IPv6 name. */
const OWN_NAME_MAX = 189

/** dns-packet would write a name that is none without a word. */
function refuseUnwritable(name: string): void {
  const labels = name.replace(/\.$/, '').split('.')
  if (name.length > OWN_NAME_MAX || !labels.every((label) => /^[\x21-\x7e]{1,63}$/.test(label)))
    throw new RangeError(`expected a DNS name of at most ${OWN_NAME_MAX} letters, got "${name}"`)
}

const TEST_TEXT = 'test entry of this list (RFC 5782)'

type Listed = { readonly word: Listing; readonly text: string; readonly ttlSeconds: number }

/** What stands at a name of the zone. Empty: nothing itself, but names below it may. */
type Node = {
  readonly is: 'apex' | 'listed' | 'empty' | 'absent'
  readonly listed?: Listed
  readonly decision?: Decision | undefined
}

type Reply = {
  readonly rcode: keyof typeof RCODE
  readonly question?: Question | undefined
  readonly edns?: OptAnswer | undefined
  readonly node?: Node
  readonly authoritative?: boolean
  readonly answers?: Answer[]
  readonly authorities?: Answer[]
}

type Question = {
  /** As it came, to be echoed. */
  readonly bytes: Buffer
  /** One character for each byte. */
  readonly labels: readonly string[]
  readonly type: number
  readonly class: number
}

/** RFC 1035, 4.1.1; of the flags, a reply repeats opcode, RD and CD. */
const FLAG_RESPONSE = 0x8000
const FLAGS_OPCODE = 0x7800
const FLAGS_REPEATED = FLAGS_OPCODE | 0x0100 | 0x0010
const LABEL_BYTES_MAX = 63
const NAME_BYTES_MAX = 255

/** The one question of a query with nothing but additional records behind it; undefined when there is anything else. */
function readQuestion(query: Buffer): Question | undefined {
  const additionals = query.readUInt16BE(10)
  if (query.readUInt16BE(4) !== 1 || query.readUInt32BE(6) !== 0 || additionals > ADDITIONALS_MAX) return undefined
  const labels: string[] = []
  let at = HEADER_BYTES
  for (;;) {
    const length = query[at++]
    // Nothing stands before the first name, so a compressed one points nowhere.
    if (length === undefined || length > LABEL_BYTES_MAX) return undefined
    if (length === 0) break
    labels.push(query.toString('latin1', at, at + length))
    at += length
    if (at - HEADER_BYTES >= NAME_BYTES_MAX) return undefined
  }
  if (at + 4 > query.length) return undefined
  const bytes = query.subarray(HEADER_BYTES, at + 4)
  return { bytes, labels, type: query.readUInt16BE(at), class: query.readUInt16BE(at + 2) }
}

function readEdns(query: Buffer): OptAnswer | undefined | 'malformed' {
  try {
    const { additionals = [] } = decode(query)
    const [opt, ...more] = additionals.filter((record) => record.type === 'OPT')
    return more.length > 0 || (opt && opt.name !== '.') ? 'malformed' : opt
  } catch {
    return 'malformed'
  }
}

function udpLimit(edns: OptAnswer | undefined): number {
  return edns ? Math.max(PLAIN_UDP_BYTES_MAX, Math.min(edns.udpPayloadSize, UDP_BYTES_MAX)) : PLAIN_UDP_BYTES_MAX
}

function encodeReply(query: Buffer, reply: Reply, bytesMax: number, cut = false): Buffer {
  const { question, edns, answers = [], authorities = [] } = reply
  const rcode = RCODE[reply.rcode]
  const flags =
    (query.readUInt16BE(2) & FLAGS_REPEATED) |
    (reply.authoritative ? AUTHORITATIVE_ANSWER : 0) |
    (cut ? TRUNCATED_RESPONSE : 0) |
    (rcode & 15)
  const opt: OptAnswer = {
    type: 'OPT',
    name: '.',
    udpPayloadSize: UDP_BYTES_MAX,
    extendedRcode: rcode >> 4,
    ednsVersion: 0,
    flags: (edns?.flags ?? 0) & DNSSEC_OK,
    flag_do: edns?.flag_do ?? false,
    options: [],
  }
  const sections = { ...(cut ? {} : { answers, authorities }), additionals: edns ? [opt] : [] }
  const records = encode({ type: 'response', id: query.readUInt16BE(0), flags, ...sections })
  if (!question) return records
  // dns-packet compresses no names, so nothing in the records minds being moved.
  const whole = Buffer.concat([records.subarray(0, HEADER_BYTES), question.bytes, records.subarray(HEADER_BYTES)])
  whole.writeUInt16BE(1, 4)
  return whole.length > bytesMax ? encodeReply(query, reply, bytesMax, true) : whole
}

function framed(message: Buffer): Buffer {
  const frame = Buffer.allocUnsafe(2 + message.length)
  frame.writeUInt16BE(message.length)
  message.copy(frame, 2)
  return frame
}
