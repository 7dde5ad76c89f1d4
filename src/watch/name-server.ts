/**
 * Asks name servers over the wire, as a resolver does: UDP, then TCP where an answer is cut short.
 *
 * node:dns does not tell the TTL of an MX, nor aliases on the way, nor which of "no such name" and "no such record" it was. What
 * comes back is not believed because it came: it must be the answer to this question, and only records of the name that was
 * asked, or that it is an alias of, are taken. Every question has its deadline, and all of them together a bound.
 */
import { randomInt } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { connect } from 'node:net'
import packet from 'dns-packet'
import { parseClient } from '../core/client.ts'
import { printable } from '../core/evidence.ts'
import type { RecordType } from '../core/zone-file.ts'
import { ALIASES_MAX, type Found, type Lookup, NOTHING, roundabout, unknown } from './lookup.ts'

export type NameServerOptions = {
  /** Asked in turn. */
  readonly servers: readonly { readonly host: string; readonly port: number }[]
  /** For one question to one server. */
  readonly questionMs?: number
  readonly signal?: AbortSignal
}

const QUESTION_MS = 2000
const TRIES = 2
/** Most questions of one Lookup. A layout within its bounds needs about a hundred. */
const QUESTIONS_MAX = 500
/** RFC 9715: fits into every network whole. */
const UDP_BYTES = 1232
/** Most records of one answer that are read. */
const RECORDS_MAX = 200
const NO_SUCH_NAME = 3

export function lookupAt({ servers, questionMs = QUESTION_MS, signal }: NameServerOptions): Lookup {
  let left = QUESTIONS_MAX
  const ask = async (name: string, type: RecordType): Promise<packet.Packet | string> => {
    let because = 'no name server is known'
    for (let turn = 0; turn < TRIES; turn++)
      for (const server of servers) {
        if (--left < 0) return `more than ${QUESTIONS_MAX} questions`
        if (signal?.aborted) return 'it took too long in all'
        try {
          const reply = await exchange(server, name, type, questionMs)
          const code = rcodeOf(reply)
          if (code === 0 || code === NO_SUCH_NAME) return reply
          because = `the name server ${server.host} says ${spellRcode(code)}`
        } catch (error) {
          because = `the name server ${server.host} ${(error as Error).message}`
        }
      }
    return because
  }
  const look = async (name: string, type: RecordType, aliases: readonly string[]): Promise<Found> => {
    if (!isName(name)) return unknown(`${printable(name)} is no name that DNS could be asked for`, aliases)
    const reply = await ask(name, type)
    if (typeof reply === 'string') return unknown(reply, aliases)
    return await read(reply, name, type, aliases)
  }
  /** What an answer says of the name, along the aliases that it gives. */
  const read = async (
    reply: packet.Packet,
    asked: string,
    type: RecordType,
    before: readonly string[],
  ): Promise<Found> => {
    const answers = (reply.answers ?? []).slice(0, RECORDS_MAX)
    const aliases = [...before]
    const isCached = ((reply.flags ?? 0) & packet.AUTHORITATIVE_ANSWER) === 0
    for (let name = asked; ;) {
      const records = answers.flatMap((answer) => {
        const data = answer.type === type && plain(answer.name) === name ? dataOf(answer) : undefined
        return data === undefined ? [] : [{ data, ttlSeconds: ('ttl' in answer && answer.ttl) || 0 }]
      })
      if (records.length > 0) return { outcome: 'found', because: '', records, aliases, isCached }
      const alias = answers.find((answer) => answer.type === 'CNAME' && plain(answer.name) === name)
      if (!alias || type === 'CNAME') {
        // An alias that leads out of the server's zones is asked for by itself.
        return name === asked ? { ...NOTHING, aliases } : await look(name, type, aliases)
      }
      const next = plain((alias as packet.StringAnswer).data)
      if (aliases.length >= ALIASES_MAX || aliases.includes(next)) return unknown(roundabout(aliases, next), aliases)
      aliases.push(next)
      name = next
    }
  }
  return (name, type) => look(name.toLowerCase(), type, [])
}

/** One question to one server; rejects with what it did, as a sentence goes on. */
async function exchange(
  server: { readonly host: string; readonly port: number },
  name: string,
  type: RecordType,
  withinMs: number,
): Promise<packet.Packet> {
  const id = randomInt(65_536)
  const query: packet.Packet = {
    type: 'query',
    id,
    flags: packet.RECURSION_DESIRED,
    questions: [{ type, name, class: 'IN' }],
    additionals: [
      {
        type: 'OPT',
        name: '.',
        udpPayloadSize: UDP_BYTES,
        extendedRcode: 0,
        ednsVersion: 0,
        flags: 0,
        flag_do: false,
        options: [],
      },
    ],
  }
  const isOurs = (reply: packet.Packet) => {
    const [question] = reply.questions ?? []
    return reply.type === 'response' && reply.id === id && question?.type === type && plain(question.name) === name
  }
  const reply = await byUdp(server, packet.encode(query), isOurs, withinMs)
  return reply.flag_tc ? await byTcp(server, packet.streamEncode(query), isOurs, withinMs) : reply
}

function byUdp(
  { host, port }: { readonly host: string; readonly port: number },
  query: Buffer,
  isOurs: (reply: packet.Packet) => boolean,
  withinMs: number,
): Promise<packet.DecodedPacket> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4')
    let strange = 0
    let ended = false
    const end = (error: Error | undefined, reply?: packet.DecodedPacket) => {
      if (ended) return
      ended = true
      clearTimeout(timer)
      socket.close()
      if (reply) resolve(reply)
      else reject(error as Error)
    }
    const failed = (error: Error | null | undefined) => error && end(new Error(unreachable(error, 'UDP')))
    const timer = setTimeout(() => {
      const beside = strange > 0 ? `; ${strange} packets came that answer something else` : ''
      end(new Error(`gave no answer within ${withinMs} ms${beside}`))
    }, withinMs)
    socket.on('error', failed)
    socket.on('message', (bytes) => {
      const reply = decoded(bytes)
      // Somebody else's packet, or a forged one: the true answer may still come.
      if (reply && isOurs(reply)) end(undefined, reply)
      else strange++
    })
    // Connected, so that only this server is heard, and a closed port is an error at once. Where no route leads there, dgram
    // tells it to the callback alone, as an argument that its types do not have.
    const connected = (error?: Error) => (error ? failed(error) : socket.send(query, failed))
    socket.connect(port, host, connected)
  })
}

function byTcp(
  { host, port }: { readonly host: string; readonly port: number },
  query: Buffer,
  isOurs: (reply: packet.Packet) => boolean,
  withinMs: number,
): Promise<packet.DecodedPacket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port })
    let heard = Buffer.alloc(0)
    const end = (error: Error | undefined, reply?: packet.DecodedPacket) => {
      clearTimeout(timer)
      socket.destroy()
      if (reply) resolve(reply)
      else reject(error as Error)
    }
    const timer = setTimeout(() => end(new Error(`gave no answer over TCP within ${withinMs} ms`)), withinMs)
    socket.on('error', (error: NodeJS.ErrnoException) => end(new Error(unreachable(error, 'TCP'))))
    socket.on('end', () => end(new Error('hung up over TCP without an answer')))
    socket.on('connect', () => socket.write(query))
    socket.on('data', (chunk: Buffer) => {
      // A length of two bytes comes first, so this is bounded.
      heard = Buffer.concat([heard, chunk])
      if (heard.length < 2 || heard.length < 2 + heard.readUInt16BE(0)) return
      const reply = decoded(heard.subarray(2, 2 + heard.readUInt16BE(0)))
      if (reply && isOurs(reply)) end(undefined, reply)
      else end(new Error('answers something else over TCP'))
    })
  })
}

/** The network's word, behind what it means where that is plain. */
function unreachable({ code = '', message }: NodeJS.ErrnoException, over: 'UDP' | 'TCP'): string {
  const means = MEANS[code]
  return `cannot be reached over ${over}: ${means ? `${means} (${code})` : code || message}`
}

const MEANS: Readonly<Record<string, string>> = {
  ENETUNREACH: 'this host has no route to it',
  EHOSTUNREACH: 'no host answers at this address',
  EADDRNOTAVAIL: 'this host has no address from which it could be asked',
  EAFNOSUPPORT: 'this host does not speak this kind of address',
  ECONNREFUSED: 'nobody listens there',
  EACCES: 'this host does not allow it',
  EPERM: 'this host does not allow it',
}

function decoded(bytes: Buffer): packet.DecodedPacket | undefined {
  try {
    return packet.decode(bytes)
  } catch {
    return undefined
  }
}

/** The low four bits of the flags; the library gives a word for them. */
function rcodeOf(reply: packet.Packet): number {
  return (reply.flags ?? 0) & 15
}

function spellRcode(code: number): string {
  return ({ 1: 'FORMERR', 2: 'SERVFAIL', 4: 'NOTIMP', 5: 'REFUSED' } as Record<number, string>)[code] ?? `RCODE ${code}`
}

function dataOf(answer: packet.Answer): string | undefined {
  if (answer.type === 'A' || answer.type === 'AAAA') return parseClient(answer.data)?.ip
  if (answer.type === 'MX') return `${answer.data.preference ?? 0} ${plain(answer.data.exchange)}`
  if (answer.type === 'CNAME' || answer.type === 'PTR') return plain(answer.data)
  if (answer.type === 'TXT')
    return [answer.data]
      .flat()
      .map((part) => Buffer.from(part as Buffer).toString('latin1'))
      .join('')
  // That there is one is all that is asked for.
  if (answer.type === 'TLSA') return 'TLSA'
  return undefined
}

/** In small letters, without the last dot; the root is `.`. What no host name has becomes `?`, so that data stays in words. */
function plain(name: string): string {
  const small = name
    .toLowerCase()
    .replace(/\.$/, '')
    .replace(/[^\x21-\x7e]/g, '?')
  return small === '' ? '.' : small
}

function isName(name: string): boolean {
  return name.length <= 253 && name.split('.').every((label) => /^[\x21-\x7e]{1,63}$/.test(label))
}
