/**
 * The DNSBL: the same decisions, for whatever asks by DNS (RFC 5782), over UDP and TCP.
 *
 * `answer` is one packet in, one packet out; sockets are put around it below. Only the effect of a decision is told, so
 * in mode observe and in any doubt a client is not listed. Strangers are refused, and nothing of theirs beyond the
 * question is read. Answers stay small, so that we are no use as an amplifier.
 */
import type { Socket as UdpSocket } from 'node:dgram'
import type { Server, Socket } from 'node:net'
import type { Instant } from '../core/evidence.ts'
import type { Prefixes } from '../core/prefixes.ts'
import type { Decide, Decision } from '../reputation/decision.ts'
import { type Asker, Askers, type Measure } from './askers.ts'
import { Callers } from './callers.ts'
import { Datagrams } from './datagrams.ts'
import { reasonLine } from './policy.ts'
import { HEADER_BYTES, placeIn, readEdns, readQuestion, type Place, type Question, TYPE, wireName } from './question.ts'
import { type Rcode, type Rec, type Reply, writeReply } from './reply.ts'

export type Over = 'udp' | 'tcp'
type Listing = 'observe' | 'defer' | 'block'

export type DnsblHappening =
  | {
      readonly what: 'answered'
      readonly over: Over
      readonly type: 'A' | 'TXT' | 'other'
      readonly rcode: Rcode
      /** What the answer says; a test entry is listed without a decision. */
      readonly listed: Listing | undefined
      readonly decision: Decision | undefined
    }
  /** No query: too short to have flags, or itself an answer. */
  | { readonly what: 'ignored'; readonly over: Over }
  | { readonly what: 'closed'; readonly reason: 'bad-frame' | 'full' | 'idle' }
  /** More was asked, or came from a stranger, than is answered in full: see askers.ts. */
  | { readonly what: 'limited' }
  /** An answer that the network did not take. */
  | { readonly what: 'unsent' }
  /** A bug of ours; the asker was told SERVFAIL, which lists nobody. */
  | { readonly what: 'failed'; readonly error: string }

export type DnsblLimits = {
  /** TCP connections at once; resolvers come by UDP and need few. */
  readonly connections: number
  /** Of these, who may not ask: they are refused, and hold no more places than this. */
  readonly strangers: number
  /** Without a whole query in this time, a TCP connection is closed. */
  readonly idleMs: number
  /** Of answers that wait for the network card; more are dropped, as UDP may. */
  readonly unsentBytes: number
}

const DNSBL_LIMITS: DnsblLimits = { connections: 100, strangers: 10, idleMs: 10_000, unsentBytes: 1_048_576 }
const ASKER_LIMITS = { refusalsPerSecond: 20, networks: 10_000, askers: 10_000 }

export type DnsblOptions = {
  readonly zone: string
  readonly decide: Decide
  /** Who may ask. */
  readonly askers: Prefixes<true>
  /** By UDP to one /24 or /48; beyond it they are told to come by TCP. Loopback is not counted. */
  readonly answersPerSecond: number
  readonly ttlSeconds: number
  readonly negativeTtlSeconds: number
  /** The mailbox of the SOA record, in its form: dots for the @. */
  readonly contact: string
  /** The host named in SOA and NS; without it the zone's own name: enough where no parent zone delegates to us. */
  readonly nameServer?: string | undefined
  readonly observeCode: boolean
  /** Take and send many datagrams in one call of the kernel, where that can be had. */
  readonly bursts: boolean
  /** Other processes may answer at the same address by UDP, too. */
  readonly shared: boolean
  /** What a listing's TXT record says, with {because} and {ticket} to be filled in. */
  readonly text: () => string
  readonly now: () => Instant
  readonly tell: (happening: DnsblHappening) => void
  readonly limits?: Partial<DnsblLimits>
}

/** Largest query taken; an honest one is below 400 bytes. */
const QUERY_BYTES_MAX = 4096
const RESPONSE = 0x80
const OPCODE = 0x78
const CLASS_IN = 1
const FOUR_DIGITS_BYTES = 8

const CODES: Record<Listing, Buffer> = {
  block: Buffer.from([127, 0, 0, 2]),
  defer: Buffer.from([127, 0, 0, 3]),
  observe: Buffer.from([127, 0, 0, 4]),
}

/** RFC 5782, section 5: entries by which users of a DNSBL see that it lists, and that it does not list everything. */
const TEST_LISTED = '127.0.0.2'
const TEST_ABSENT = '127.0.0.1'

export class Dnsbl {
  readonly #options: DnsblOptions
  readonly #limits: DnsblLimits
  readonly #zone: Buffer
  readonly #soa: Buffer
  readonly #ns: Buffer
  readonly #negativeTtlSeconds: number
  readonly #askers: Askers
  readonly #callers: Callers
  #strangers = 0
  readonly #datagrams: Datagrams

  constructor(options: DnsblOptions) {
    const { zone, contact, nameServer = zone, ttlSeconds, negativeTtlSeconds } = options
    for (const name of [zone, contact, nameServer]) refuseUnwritable(name)
    this.#options = options
    this.#limits = { ...DNSBL_LIMITS, ...options.limits }
    this.#askers = new Askers(options.askers, { ...ASKER_LIMITS, answersPerSecond: options.answersPerSecond })
    this.#callers = new Callers({
      ...this.#limits,
      tell: (reason) => options.tell({ what: 'closed', reason }),
      serve: (socket, served) => this.#serve(socket, served),
    })
    this.#datagrams = new Datagrams({
      answer: (query, address) => this.answer(query, address, 'udp'),
      unsent: () => options.tell({ what: 'unsent' }),
      unsentBytes: this.#limits.unsentBytes,
      inBursts: options.bursts,
      shared: options.shared,
    })
    this.#zone = wireName(zone)
    this.#ns = wireName(nameServer)
    this.#soa = soaData(this.#ns, wireName(contact), negativeTtlSeconds)
    this.#negativeTtlSeconds = Math.min(negativeTtlSeconds, ttlSeconds)
  }

  /** The answer to one packet of an address. Undefined: silence, so that two servers never talk without end, and strangers get no more than they need. */
  answer(query: Buffer, address: string, over: Over): Buffer | undefined {
    const { tell, now } = this.#options
    const asker = this.#askers.find(address)
    if (!asker || query.length < 4 || ((query[2] as number) & RESPONSE) !== 0) {
      tell({ what: 'ignored', over })
      return undefined
    }
    const measure = over === 'udp' ? this.#askers.measure(asker, now()) : 'whole'
    if (measure !== 'whole') tell({ what: 'limited' })
    if (measure === 'nothing') return undefined
    const reply = this.#reply(query, asker, measure)
    const { rcode, question, found } = reply
    const type = question?.type === TYPE.A ? 'A' : question?.type === TYPE.TXT ? 'TXT' : 'other'
    tell({ what: 'answered', over, type, rcode, listed: found?.listed?.word, decision: found?.decision })
    return writeReply(query, reply, over)
  }

  #reply(query: Buffer, asker: Asker, measure: Measure): Reply & { readonly found?: Found } {
    if (query.length < HEADER_BYTES || query.length > QUERY_BYTES_MAX) return { rcode: 'FORMERR' }
    if (((query[2] as number) & OPCODE) !== 0) return { rcode: 'NOTIMP' }
    const question = readQuestion(query)
    if (!question) return { rcode: 'FORMERR' }
    if (!asker.mayAsk) return { rcode: 'REFUSED', question }
    const edns = readEdns(query, question.end)
    if (edns === 'malformed') return { rcode: 'FORMERR' }
    if (edns && edns.version !== 0) return { rcode: 'BADVERS', question, edns }
    if (measure === 'cut') return { rcode: 'NOERROR', question, edns, cut: true }
    const place = placeIn(this.#zone, query, question)
    if (!place || question.class !== CLASS_IN || question.type === TYPE.AXFR || question.type === TYPE.IXFR)
      return { rcode: 'REFUSED', question, edns }
    try {
      const found = this.#lookUp(place, question)
      const record = this.#recordOf(found, question) ?? this.#denial(question)
      const rcode = found.is === 'absent' ? 'NXDOMAIN' : 'NOERROR'
      return { rcode, question, edns, found, authoritative: true, record }
    } catch (error) {
      this.#options.tell({ what: 'failed', error: String(error) })
      return { rcode: 'SERVFAIL', question, edns }
    }
  }

  #lookUp(place: Place, { nameEnd }: Question): Found {
    if (place === 'apex') return APEX
    if (place === 'above') return EMPTY
    if (place === 'nobody') return ABSENT
    const { decide, ttlSeconds } = this.#options
    // Of a list that is not to be believed this entry, too, is gone: who tests us shall see it.
    if (place.ip === TEST_LISTED && decide(place).doubt !== 'overfull')
      return { is: 'listed', listed: { word: 'block', text: () => TEST_TEXT, ttlSeconds } }
    if (place.ip === TEST_ABSENT) return ABSENT
    const decision = decide(place)
    const listed = this.#listing(decision)
    // Four digits are an IPv4 address and a network of IPv6 in one.
    const isAbove = nameEnd - this.#zone.length === HEADER_BYTES + FOUR_DIGITS_BYTES
    return { is: listed ? 'listed' : isAbove ? 'empty' : 'absent', listed, decision }
  }

  #listing(decision: Decision): Listed | undefined {
    const { effect, until } = decision
    const { ttlSeconds, observeCode, now } = this.#options
    if (effect === 'pass' || (effect === 'observe' && !observeCode)) return undefined
    const leftSeconds = until === undefined ? ttlSeconds : Math.floor((until - now()) / 1000)
    return {
      word: effect,
      text: () => reasonLine(decision, this.#options.text()),
      ttlSeconds: Math.max(0, Math.min(ttlSeconds, leftSeconds)),
    }
  }

  /** The record of this type at a name that exists. ANY gets one of them (RFC 8482). */
  #recordOf({ is, listed }: Found, { type }: Question): Rec | undefined {
    const { ttlSeconds } = this.#options
    const any = type === TYPE.ANY
    const own = { section: 'answer', nameAt: HEADER_BYTES } as const
    if (is === 'apex' && (type === TYPE.SOA || any)) return { ...own, type: 'SOA', ttlSeconds, data: this.#soaNow() }
    if (is === 'apex' && type === TYPE.NS) return { ...own, type: 'NS', ttlSeconds, data: this.#ns }
    if (!listed) return undefined
    if (type === TYPE.A || any) return { ...own, type: 'A', ttlSeconds: listed.ttlSeconds, data: CODES[listed.word] }
    if (type !== TYPE.TXT) return undefined
    return { ...own, type: 'TXT', ttlSeconds: listed.ttlSeconds, data: textData(listed.text()) }
  }

  #denial({ nameEnd }: Question): Rec {
    return {
      section: 'authority',
      type: 'SOA',
      nameAt: nameEnd - this.#zone.length,
      ttlSeconds: this.#negativeTtlSeconds,
      data: this.#soaNow(),
    }
  }

  /** The serial is the time: the list changes all the time, and nobody transfers it. */
  #soaNow(): Buffer {
    this.#soa.writeUInt32BE(Math.floor(this.#options.now() / 1000) >>> 0, this.#soa.length - 20)
    return this.#soa
  }

  /** A socket for the caller to bind. */
  udp(family: 'udp4' | 'udp6'): UdpSocket {
    return this.#datagrams.socket(family)
  }

  /** Why each datagram is taken and sent for itself; undefined where many are, under load. */
  get oneByOne(): string | undefined {
    return this.#datagrams.oneByOne
  }

  /** A server for the caller to listen with: each message has its length before it (RFC 7766). */
  tcp(): Server {
    return this.#callers.server()
  }

  async close(): Promise<void> {
    await Promise.all([this.#callers.close(), this.#datagrams.close()])
  }

  #serve(socket: Socket, served: () => void): void {
    const { tell } = this.#options
    const address = socket.remoteAddress ?? ''
    const asker = this.#askers.find(address)
    if (!asker) return void socket.destroy()
    if (!asker.mayAsk) {
      if (this.#strangers >= this.#limits.strangers) {
        tell({ what: 'closed', reason: 'full' })
        socket.destroy()
        return
      }
      this.#strangers++
      socket.once('close', () => this.#strangers--)
    }
    let bytes: Buffer = Buffer.alloc(0)
    let ended = false
    /** Answers what is there, until it is cut, or until the asker has 64 KiB (Node's mark) to read first. */
    const serve = () => {
      while (bytes.length >= 2 && !socket.writableNeedDrain) {
        const length = bytes.readUInt16BE(0)
        if (length < HEADER_BYTES || length > QUERY_BYTES_MAX) return leave('bad-frame')
        if (bytes.length < 2 + length) break
        const reply = this.answer(bytes.subarray(2, 2 + length), address, 'tcp')
        if (!reply) return leave('bad-frame')
        bytes = bytes.subarray(2 + length)
        served()
        socket.write(framed(reply))
        // A stranger gets the one answer it needs, and no place among the few there are.
        if (!asker.mayAsk) return leave()
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
  }
}

/** RFC 1035, 2.3.4: 255 bytes in all. A zone leaves room before it for the 32 nibbles of an IPv6 name. */
const OWN_NAME_MAX = 189

function refuseUnwritable(name: string): void {
  const labels = name.replace(/\.$/, '').split('.')
  if (name.length > OWN_NAME_MAX || !labels.every((label) => /^[\x21-\x7e]{1,63}$/.test(label)))
    throw new RangeError(`expected a DNS name of at most ${OWN_NAME_MAX} letters, got "${name}"`)
}

const TEST_TEXT = 'test entry of this list (RFC 5782)'

type Listed = { readonly word: Listing; readonly text: () => string; readonly ttlSeconds: number }

/** What stands at a name of the zone. Empty: nothing itself, but names below it may. */
type Found = {
  readonly is: 'apex' | 'listed' | 'empty' | 'absent'
  readonly listed?: Listed | undefined
  readonly decision?: Decision | undefined
}

const APEX: Found = { is: 'apex' }
const EMPTY: Found = { is: 'empty' }
const ABSENT: Found = { is: 'absent' }

/** RFC 1035, 3.3.13: names, then serial, refresh, retry, expire and minimum. */
function soaData(nameServer: Buffer, contact: Buffer, minimum: number): Buffer {
  const times = Buffer.alloc(20)
  for (const [i, seconds] of [0, 3600, 600, 86_400, minimum].entries()) times.writeUInt32BE(seconds, 4 * i)
  return Buffer.concat([nameServer, contact, times])
}

/** One string: what a reason may be is at most 255 bytes of ASCII. */
function textData(text: string): Buffer {
  const data = Buffer.allocUnsafe(1 + text.length)
  data[0] = text.length
  data.write(text, 1, 'latin1')
  return data
}

function framed(message: Buffer): Buffer {
  const frame = Buffer.allocUnsafe(2 + message.length)
  frame.writeUInt16BE(message.length)
  message.copy(frame, 2)
  return frame
}
