/**
 * The packet that answers a question: its header and question come back as they came, with at most one record behind them.
 *
 * Each reply has bytes of its own (from Node's pool, which costs no more than a view of a buffer used again): the network
 * may take them later, and nothing overwrites them meanwhile. Of names only the record's own is compressed, to the
 * question's, so that the data of a record is the same in every reply.
 */
import { type Edns, HEADER_BYTES, type Question, TYPE } from './question.ts'

export const RCODE = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5, BADVERS: 16 } as const
export type Rcode = keyof typeof RCODE

export type Reply = {
  readonly rcode: Rcode
  /** To be repeated. */
  readonly question?: Question | undefined
  readonly edns?: Edns | undefined
  /** Of the zone: the answer is authoritative, with its record or none. */
  readonly record?: Rec | undefined
  readonly authoritative?: boolean
  /** What did not fit, or is not to be had so cheaply, is to be asked for over TCP. */
  readonly cut?: boolean
}

export type Rec = {
  readonly section: 'answer' | 'authority'
  readonly type: 'A' | 'NS' | 'SOA' | 'TXT'
  /** Where in the packet its name stands: that of the question, or the zone's, which is its end. */
  readonly nameAt: number
  readonly ttlSeconds: number
  readonly data: Buffer
}

/** Largest UDP answer: what passes without fragments nearly everywhere, and what everyone takes without EDNS. */
const UDP_BYTES_MAX = 1232
const PLAIN_UDP_BYTES_MAX = 512
const TCP_BYTES_MAX = 65_535
/** A pointer to the name, type, class, TTL, length of the data. */
const RECORD_HEAD_BYTES = 12
const OPT_BYTES = 11
const CLASS_IN = 1

/** RFC 1035, 4.1.1, and what of the flags is repeated: the opcode and RD in the first byte, CD in the second. */
const RESPONSE = 0x80
const REPEATED = 0x79
const AUTHORITATIVE = 0x04
const TRUNCATED = 0x02
const CHECKING_DISABLED = 0x10

export function writeReply(query: Buffer, reply: Reply, over: 'udp' | 'tcp'): Buffer {
  const { question, edns, record } = reply
  const head = question ? question.end : HEADER_BYTES
  const opt = head + (record ? RECORD_HEAD_BYTES + record.data.length : 0)
  const bytes = opt + (edns ? OPT_BYTES : 0)
  if (record && bytes > (over === 'tcp' ? TCP_BYTES_MAX : udpLimit(edns)))
    return writeReply(query, { ...reply, record: undefined, cut: true }, over)

  const out = Buffer.allocUnsafe(bytes)
  query.copy(out, 0, 0, head)
  const rcode = RCODE[reply.rcode]
  out[2] =
    RESPONSE |
    ((query[2] as number) & REPEATED) |
    (reply.authoritative ? AUTHORITATIVE : 0) |
    (reply.cut ? TRUNCATED : 0)
  out[3] = ((query[3] ?? 0) & CHECKING_DISABLED) | (rcode & 15)
  // One by one: a call of `fill` takes longer than all the rest of the header.
  for (let at = 4; at < HEADER_BYTES; at++) out[at] = 0
  out[5] = question ? 1 : 0
  if (record) {
    out[record.section === 'answer' ? 7 : 9] = 1
    writeRecord(out, head, record)
  }
  if (edns) {
    out[11] = 1
    writeOpt(out, opt, rcode >> 4, edns.dnssecOk)
  }
  return out
}

function udpLimit(edns: Edns | undefined): number {
  return edns ? Math.max(PLAIN_UDP_BYTES_MAX, Math.min(edns.udpBytes, UDP_BYTES_MAX)) : PLAIN_UDP_BYTES_MAX
}

function writeRecord(out: Buffer, at: number, { type, nameAt, ttlSeconds, data }: Rec): void {
  out[at] = 0xc0 | (nameAt >> 8)
  out[at + 1] = nameAt & 255
  out[at + 2] = 0
  out[at + 3] = TYPE[type]
  out[at + 4] = 0
  out[at + 5] = CLASS_IN
  out.writeUInt32BE(ttlSeconds, at + 6)
  out.writeUInt16BE(data.length, at + 10)
  data.copy(out, at + RECORD_HEAD_BYTES)
}

/** RFC 6891, 6.1: the root's name, our size, the high bits of the code, version 0, and of the flags DO as it came. */
function writeOpt(out: Buffer, at: number, codeHigh: number, dnssecOk: boolean): void {
  out.fill(0, at, at + OPT_BYTES)
  out[at + 2] = TYPE.OPT
  out.writeUInt16BE(UDP_BYTES_MAX, at + 3)
  out[at + 5] = codeHigh
  out[at + 7] = dnssecOk ? 0x80 : 0
}
