import { execFile } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { Resolver } from 'node:dns/promises'
import { once } from 'node:events'
import { type AddressInfo, connect, type Server, type Socket } from 'node:net'
import { promisify } from 'node:util'
import { type Answer, AUTHORITATIVE_ANSWER, decode, encode, type OptAnswer } from 'dns-packet'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest'
import { Dnsbl, type DnsblHappening, type DnsblOptions } from '../../src/answer/dnsbl.ts'
import { type Client, parseClient, reversedLabels } from '../../src/core/client.ts'
import { type Prefix, parsePrefix, Prefixes } from '../../src/core/prefixes.ts'
import type { Decide } from '../../src/reputation/decision.ts'
import { HAS_IPV6 } from '../doors.ts'
import { ANSWERS } from '../rules.ts'
import { CLEAN, decideBy, readAll } from './ruled.ts'

const ZONE = 'bl.decoymx.test'
const NOW = 1_700_000_000_000

const RULED = { ...CLEAN, by: 'rules', ticket: 'ABCD-EFGH', because: 'came to the backup MX first' } as const
const TEXT = 'came to the backup MX first; to ask why, quote this code to the postmaster (ABCD-EFGH)'

/** What stands about the clients of these tests. */
const decide = decideBy({
  '192.0.2.1': { ...RULED, verdict: 'block', effect: 'block', until: NOW + 3_600_000 },
  '192.0.2.2': { ...RULED, verdict: 'defer', effect: 'defer', until: NOW + 17_500 },
  '192.0.2.3': { ...RULED, verdict: 'observe', effect: 'observe', until: NOW + 3_600_000 },
  '192.0.2.4': { ...RULED, verdict: 'allow', effect: 'pass' },
  '192.0.2.5': { ...RULED, verdict: 'block', effect: 'pass', mode: 'observe' },
  '192.0.2.6': { ...RULED, verdict: 'block', effect: 'pass', doubt: 'stale' },
  '192.0.2.7': { ...RULED, verdict: 'block', effect: 'block', by: 'operator' },
  '2001:db8:0:1::/64': { ...RULED, verdict: 'block', effect: 'block' },
})

const LOOPBACK = networks('127.0.0.0/8', '::1/128')
const ASKER = '127.0.0.1'

function networks(...cidrs: string[]): Prefixes<true> {
  return Prefixes.of(cidrs.map((cidr) => [parsePrefix(cidr) as Prefix, true as const]))
}

function clientAt(ip: string): Client {
  return parseClient(ip) as Client
}

function make(given: Partial<DnsblOptions> = {}) {
  const told: DnsblHappening[] = []
  const dnsbl = new Dnsbl({
    zone: ZONE,
    decide,
    askers: LOOPBACK,
    answersPerSecond: 1000,
    ttlSeconds: 60,
    negativeTtlSeconds: 10,
    contact: 'postmaster.decoymx.test',
    observeCode: false,
    bursts: true,
    shared: false,
    text: () => ANSWERS.text,
    now: () => NOW,
    tell: (happening) => void told.push(happening),
    ...given,
  })
  return { dnsbl, told }
}

const open: Dnsbl[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map((dnsbl) => dnsbl.close()))
})

/** On the same port over UDP and TCP, as resolvers want it. */
async function start(given: Partial<DnsblOptions> = {}, host = '127.0.0.1') {
  const { dnsbl, told } = make(given)
  open.push(dnsbl)
  for (;;) {
    const tcp: Server = dnsbl.tcp().listen(0, host)
    await once(tcp, 'listening')
    const { port } = tcp.address() as AddressInfo
    const udp = dnsbl.udp(host.includes(':') ? 'udp6' : 'udp4').bind(port, host)
    const taken = await once(udp, 'listening').catch((error: NodeJS.ErrnoException) => error)
    if (Array.isArray(taken)) return { dnsbl, told, tcp, port, host }
    // A port that is free for TCP may be somebody's for UDP.
    if (taken.code !== 'EADDRINUSE') throw taken
    tcp.close()
    udp.close()
  }
}

const LONG_NAME = `${'long-name.'.repeat(18)}test`
/** With these, the SOA record of a denial alone is larger than what is taken without EDNS. */
const WIDE = { zone: LONG_NAME, nameServer: LONG_NAME, contact: LONG_NAME }

type Asked = { port: number; host: string }

const run = promisify(execFile)

/** dig, as a person or a monitor would ask; over UDP unless told otherwise. */
async function dig({ port, host }: Asked, ...words: string[]) {
  const asking = run('dig', [`@${host}`, '-p', String(port), '+tries=1', '+time=20', ...words])
  const { stdout } = await asking.catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') throw new Error('these tests ask with dig: install the Debian package dnsutils')
    throw error
  })
  const section = (name: string) => {
    const body = stdout.split(`;; ${name} SECTION:\n`)[1]?.split('\n\n')[0] ?? ''
    return body === '' ? [] : body.split('\n').map((line) => line.replace(/\t+/g, ' '))
  }
  return {
    stdout,
    rcode: /status: (\w+)/.exec(stdout)?.[1],
    flags: /flags: ([a-z ]*);/.exec(stdout)?.[1],
    answer: section('ANSWER'),
    authority: section('AUTHORITY'),
    question: section('QUESTION'),
  }
}

const SOA = `${ZONE}. 10 IN SOA ${ZONE}. postmaster.decoymx.test. ${NOW / 1000} 3600 600 86400 10`

/** A query of one question, with the bytes free to be spoiled afterwards. */
function query(name: string, type: keyof typeof TYPES = 'A', additionals: Answer[] = [], id = 4711): Buffer {
  const packet = encode({ type: 'query', id, flags: 0x0100, questions: [{ name, type: 'A' }], additionals })
  packet.writeUInt16BE(TYPES[type], 12 + name.length + 2)
  return packet
}

const TYPES = { A: 1, NS: 2, SOA: 6, MX: 15, TXT: 16, AAAA: 28, ANY: 255 }

function edns(more: Partial<OptAnswer> = {}): OptAnswer {
  return {
    type: 'OPT',
    name: '.',
    udpPayloadSize: 4096,
    extendedRcode: 0,
    ednsVersion: 0,
    flags: 0,
    flag_do: false,
    options: [],
    ...more,
  }
}

type Read = ReturnType<typeof decode> & { rcode: string; opcode: string }

function read(reply: Buffer | undefined): Read {
  return decode(reply as Buffer) as Read
}

/** One query, one answer, as if it came from loopback. */
function asked(dnsbl: Dnsbl, packet: Buffer, over: 'udp' | 'tcp' = 'udp'): Read {
  return read(dnsbl.answer(packet, ASKER, over))
}

/** The name under which a DNSBL knows an address. */
function nameOf(ip: string): string {
  return `${reversedLabels(clientAt(ip)).join('.')}.${ZONE}`
}

const LISTED = nameOf('192.0.2.1')

/** Said loudly, and a failure in CI: see setup.ts. */
const NO_DIG = inject('missing').includes('dig')

describe.each(['+notcp', '+tcp'])('asked by dig %s', (over) => {
  beforeEach(({ skip }) => skip(NO_DIG, 'dig is missing'))

  test('a blocked client: A and TXT, authoritative', async () => {
    const served = await start()
    const address = await dig(served, over, LISTED)
    expect(address).toMatchObject({ rcode: 'NOERROR', flags: 'qr aa rd', authority: [] })
    expect(address.answer).toEqual([`${LISTED}. 60 IN A 127.0.0.2`])
    const text = await dig(served, over, LISTED, 'TXT')
    expect(text.answer).toEqual([`${LISTED}. 60 IN TXT "${TEXT}"`])
    expect(served.told).toMatchObject([
      { what: 'answered', over: over === '+tcp' ? 'tcp' : 'udp', type: 'A', listed: 'block' },
      { what: 'answered', type: 'TXT', rcode: 'NOERROR', decision: { verdict: 'block' } },
    ])
  })

  test('a client that is not listed: NXDOMAIN, with the SOA for negative caching', async () => {
    const served = await start()
    expect(await dig(served, over, nameOf('192.0.2.99'))).toMatchObject({
      rcode: 'NXDOMAIN',
      flags: 'qr aa rd',
      answer: [],
      authority: [SOA],
    })
  })

  test('an IPv6 client, listed by its /64', async () => {
    const served = await start()
    const name = nameOf('2001:db8:0:1:2:3:4:5')
    expect(await dig(served, over, name)).toMatchObject({ answer: [`${name}. 60 IN A 127.0.0.2`] })
    expect(await dig(served, over, nameOf('2001:db8:0:2::5'))).toMatchObject({ rcode: 'NXDOMAIN', authority: [SOA] })
  })

  test('outside the zone, another class, a zone transfer: REFUSED', async () => {
    const served = await start()
    const refused = { rcode: 'REFUSED', flags: 'qr rd', answer: [], authority: [] }
    for (const words of [['example.com'], ['1.2.0.192.decoymx.test'], ['version.bind', 'CH', 'TXT'], [LISTED, 'CH']])
      expect(await dig(served, over, ...words)).toMatchObject(refused)
    expect((await dig(served, '+tcp', ZONE, 'AXFR')).stdout).toContain('Transfer failed')
  })

  test('strangers: REFUSED, with the question and no more', async () => {
    const served = await start({ askers: networks('192.0.2.0/24') })
    const { stdout, ...reply } = await dig(served, over, LISTED)
    expect(reply).toMatchObject({ rcode: 'REFUSED', answer: [], authority: [], question: [`;${LISTED}. IN A`] })
    expect(stdout).toContain('QUERY: 1, ANSWER: 0, AUTHORITY: 0, ADDITIONAL: 0')
  })

  test('another opcode: NOTIMP', async () => {
    const served = await start()
    expect(await dig(served, over, '+opcode=notify', ZONE, 'SOA')).toMatchObject({ rcode: 'NOTIMP', answer: [] })
  })

  test('EDNS: our size, the DO bit as it was; another version: BADVERS', async () => {
    const served = await start()
    const { stdout, answer } = await dig(served, over, '+dnssec', '+bufsize=4096', LISTED)
    expect(answer).toHaveLength(1)
    expect(stdout).toContain('EDNS: version: 0, flags: do; udp: 1232')
    expect((await dig(served, over, '+bufsize=4096', LISTED)).stdout).toContain('EDNS: version: 0, flags:; udp: 1232')
    expect((await dig(served, over, '+noedns', LISTED)).stdout).not.toContain('EDNS')
    const later = await dig(served, over, '+edns=1', '+noednsnegotiation', LISTED)
    expect(later).toMatchObject({ rcode: 'BADVERS', answer: [] })
  })
})

test('of the EDNS flags only DO comes back, and nothing of the options', () => {
  const options = [{ code: 10, data: Buffer.alloc(8, 1) }] as unknown as OptAnswer['options']
  const { additionals } = asked(make().dnsbl, query(LISTED, 'A', [{ ...edns({ flags: 0xffff }), options }]))
  expect(additionals).toMatchObject([{ type: 'OPT', flags: 0x8000, options: [], ednsVersion: 0, extendedRcode: 0 }])
})

describe('what is listed', () => {
  const codeOf = (ip: string, given: Partial<DnsblOptions> = {}) => {
    const { rcode, answers } = read(make(given).dnsbl.answer(query(nameOf(ip)), ASKER, 'udp'))
    return answers?.map((answer) => 'data' in answer && answer.data)[0] ?? rcode
  }

  test.each([
    ['192.0.2.1', '127.0.0.2', '127.0.0.2'],
    ['192.0.2.2', '127.0.0.3', '127.0.0.3'],
    ['192.0.2.3', 'NXDOMAIN', '127.0.0.4'],
    ['192.0.2.4', 'NXDOMAIN', 'NXDOMAIN'],
    ['192.0.2.5', 'NXDOMAIN', 'NXDOMAIN'],
    ['192.0.2.6', 'NXDOMAIN', 'NXDOMAIN'],
    ['192.0.2.99', 'NXDOMAIN', 'NXDOMAIN'],
    ['2001:db8:0:1::', '127.0.0.2', '127.0.0.2'],
  ])('%s: %s, and with the code for observed clients %s', (ip, code, observing) => {
    expect(codeOf(ip)).toBe(code)
    expect(codeOf(ip, { observeCode: true })).toBe(observing)
  })

  test.each([
    ['192.0.2.1', 60],
    ['192.0.2.2', 17],
    ['192.0.2.7', 60],
  ])('no resolver keeps a listing beyond its end: %s %i s', (ip, ttl) => {
    for (const type of ['A', 'TXT'] as const)
      expect(asked(make().dnsbl, query(nameOf(ip), type)).answers).toMatchObject([{ ttl }])
  })

  test.each([3, 0, -60_000])('a listing that ends in %i ms is kept by nobody', (leftMs) => {
    const ending: Decide = (client) => ({ ...decide(client), until: NOW + leftMs })
    expect(asked(make({ decide: ending }).dnsbl, query(LISTED)).answers).toMatchObject([{ ttl: 0 }])
  })

  test('the TTL of a denial is the smaller of SOA minimum and TTL', () => {
    const { dnsbl } = make({ ttlSeconds: 5, negativeTtlSeconds: 30 })
    const { authorities } = asked(dnsbl, query(nameOf('192.0.2.99')))
    expect(authorities).toMatchObject([{ ttl: 5, data: { minimum: 30 } }])
  })

  test('the test entries of RFC 5782 are there whatever is decided', () => {
    const never: Decide = (client) => ({ ...CLEAN, client, mode: 'observe' })
    const always: Decide = (client) => ({ ...RULED, client, verdict: 'block', effect: 'block' })
    const six = (digit: number) => `${digit}.0.0.0.0.0.f.7.f.f.f.f${'.0'.repeat(20)}.${ZONE}`
    for (const judge of [never, always]) {
      const { dnsbl, told } = make({ decide: judge })
      for (const name of [`2.0.0.127.${ZONE}`, six(2), six(2).toUpperCase()]) {
        expect(asked(dnsbl, query(name)).answers).toMatchObject([{ type: 'A', data: '127.0.0.2', ttl: 60 }])
        expect(asked(dnsbl, query(name, 'TXT')).answers).toHaveLength(1)
      }
      for (const name of [`1.0.0.127.${ZONE}`, six(1)])
        expect(asked(dnsbl, query(name))).toMatchObject({ rcode: 'NXDOMAIN', answers: [] })
      expect(told[0]).toMatchObject({ listed: 'block', decision: undefined })
    }
  })

  test('every client is found under its reversed name, in any case of letters', () => {
    const ips = fc.oneof(fc.ipV4(), fc.ipV6()).filter((ip) => !['127.0.0.1', '127.0.0.2'].includes(clientAt(ip).ip))
    fc.assert(
      fc.property(ips, fc.boolean(), (ip, upper) => {
        const judged: string[] = []
        const judge: Decide = (client) => {
          judged.push(client.ip)
          return { ...RULED, client, verdict: 'block', effect: 'block' }
        }
        const name = upper ? nameOf(ip).toUpperCase() : nameOf(ip)
        const reply = asked(make({ decide: judge }).dnsbl, query(name))
        expect(judged).toEqual([clientAt(ip).ip])
        expect(reply).toMatchObject({ questions: [{ name }], answers: [{ data: '127.0.0.2' }] })
        expect(reply.answers?.[0]?.name.toLowerCase()).toBe(name.toLowerCase())
      }),
    )
  })

  test('whatever the reason holds, TXT is one string of printable ASCII', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 2000 }), (because) => {
        const wordy: Decide = (client) => ({ ...decide(client), because })
        const { answers } = asked(make({ decide: wordy }).dnsbl, query(LISTED, 'TXT'))
        const strings = (answers as { data: Buffer[] }[])[0]?.data.map(String)
        expect(strings).toEqual([expect.stringMatching(/^[\x20-\x7e]+ \(ABCD-EFGH\)$/)])
      }),
    )
  })

  test('a bug in the decision lists nobody: SERVFAIL, and it is told', () => {
    const { dnsbl, told } = make({
      decide: () => {
        throw new Error('no such luck')
      },
    })
    expect(asked(dnsbl, query(LISTED))).toMatchObject({ rcode: 'SERVFAIL', answers: [], authorities: [] })
    expect(told[0]).toEqual({ what: 'failed', error: 'Error: no such luck' })
  })
})

describe('names and types', () => {
  const ask = (name: string, type: keyof typeof TYPES = 'A') => asked(make().dnsbl, query(name, type))
  const soa = [{ type: 'SOA', name: ZONE }]

  test.each(['AAAA', 'MX', 'NS', 'SOA'] as const)('%s of a listed client: no data', (type) => {
    expect(ask(LISTED, type)).toMatchObject({ rcode: 'NOERROR', answers: [], authorities: soa })
  })

  test('ANY is answered with the A record alone', () => {
    expect(ask(LISTED, 'ANY')).toMatchObject({ rcode: 'NOERROR', answers: [{ type: 'A' }], authorities: [] })
    expect(ask(nameOf('192.0.2.99'), 'ANY')).toMatchObject({ rcode: 'NXDOMAIN', answers: [] })
    expect(ask(ZONE, 'ANY').answers).toHaveLength(1)
  })

  test('the apex has SOA and NS, and nothing else', () => {
    const data = { mname: ZONE, rname: 'postmaster.decoymx.test', serial: NOW / 1000, minimum: 10 }
    expect(ask(ZONE, 'SOA')).toMatchObject({ answers: [{ type: 'SOA', ttl: 60, data }], authorities: [] })
    expect(ask(ZONE, 'NS')).toMatchObject({ answers: [{ type: 'NS', data: ZONE }] })
    expect(ask(ZONE, 'A')).toMatchObject({ rcode: 'NOERROR', answers: [], authorities: soa })
  })

  test('the name server is named where there is one', () => {
    const { dnsbl } = make({ nameServer: 'ns1.example.test', zone: `${ZONE.toUpperCase()}.` })
    const { answers } = asked(dnsbl, query(ZONE, 'NS'))
    expect(answers).toMatchObject([{ name: ZONE, data: 'ns1.example.test' }])
  })

  test.each([`192.${ZONE}`, `0.192.${ZONE}`, `2.0.192.${ZONE}`, `f.${ZONE}`, nameOf('2001:db8::').slice(2)])(
    'a name with names below it exists: %s',
    (name) => {
      expect(ask(name)).toMatchObject({ rcode: 'NOERROR', answers: [], authorities: soa })
    },
  )

  test('every step of a resolver that asks label by label (RFC 9156) leads on to an IPv6 listing', () => {
    const labels = nameOf('2001:db8:0:1::5').split('.')
    for (let n = labels.length - 1; n > 3; n--)
      expect(ask(labels.slice(labels.length - n).join('.'), 'NS').rcode, `${n} labels`).toBe('NOERROR')
  })

  test.each([
    `junk.${ZONE}`,
    `1.2.0.junk.${ZONE}`,
    `256.2.0.192.${ZONE}`,
    `01.2.0.192.${ZONE}`,
    `300.${ZONE}`,
    `-1.${ZONE}`,
    `9.${LISTED}`,
    `www.${LISTED}`,
    `0.${nameOf('2001:db8:0:1::')}`,
    `4.3.2.::ffff:1.${ZONE}`,
    `10.${nameOf('2001:db8:0:1::').slice(4)}`,
  ])('a name that can be nobody: NXDOMAIN: %s', (name) => {
    expect(ask(name)).toMatchObject({ rcode: 'NXDOMAIN', answers: [], authorities: soa })
  })

  test('dots inside a label separate nothing', () => {
    const oneLabel = query(`1_2_0_192.${ZONE}`)
    for (const at of [14, 16, 18]) oneLabel[at] = '.'.charCodeAt(0)
    expect(asked(make().dnsbl, oneLabel)).toMatchObject({ rcode: 'NXDOMAIN', answers: [] })
  })

  test('the question comes back byte by byte, in its own case', () => {
    const mixed = query(`1.2.0.192.bL.DeCoYmX.tEsT`)
    const reply = make().dnsbl.answer(mixed, ASKER, 'udp') as Buffer
    expect(reply.subarray(12, mixed.length)).toEqual(mixed.subarray(12))
    expect(read(reply)).toMatchObject({ id: 4711, flag_rd: true, flag_ra: false, answers: [{ data: '127.0.0.2' }] })
  })

  test.each(['', 'a..b', `${'a'.repeat(64)}.test`, `${'a.'.repeat(100)}test`, 'b\u00fccher.test'])(
    'a zone that is no DNS name is a bug of the caller: %j',
    (zone) => {
      expect(() => make({ zone })).toThrow(RangeError)
    },
  )
})

describe('queries that are none, or not one', () => {
  const spoil = (change: (bytes: Buffer) => void, bytes = query(LISTED)) => {
    change(bytes)
    return bytes
  }

  test('an answer, or less than has flags: silence', () => {
    const { dnsbl, told } = make()
    const response = spoil((bytes) => bytes.writeUInt16BE(0x8000 | AUTHORITATIVE_ANSWER, 2))
    const stumps = [0, 1, 2, 3].map((length) => query(LISTED).subarray(0, length))
    for (const packet of [response, ...stumps]) expect(dnsbl.answer(packet, ASKER, 'udp')).toBeUndefined()
    expect(told).toEqual(Array.from({ length: 5 }, () => ({ what: 'ignored', over: 'udp' })))
  })

  const long = `${'a'.repeat(63)}.${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(63)}`
  /** The root name of the OPT record, the first byte behind the question, made a pointer to the question's name. */
  const behind = 12 + LISTED.length + 2 + 4
  const withOpt = query(LISTED, 'A', [edns()])
  const namedOpt = Buffer.concat([withOpt.subarray(0, behind), Buffer.from([0xc0, 12]), withOpt.subarray(behind + 1)])
  test.each<[string, Buffer]>([
    ['a torn header', query(LISTED).subarray(0, 11)],
    ['no question', spoil((bytes) => bytes.writeUInt16BE(0, 4))],
    ['two questions', spoil((bytes) => bytes.writeUInt16BE(2, 4))],
    ['an answer section', spoil((bytes) => bytes.writeUInt16BE(1, 6))],
    ['an authority section', spoil((bytes) => bytes.writeUInt16BE(1, 8))],
    ['more additional records than there are', spoil((bytes) => bytes.writeUInt16BE(1, 10))],
    ['a crowd of additional records', spoil((bytes) => bytes.writeUInt16BE(65_535, 10))],
    ['a torn question', query(LISTED).subarray(0, -1)],
    ['a torn name', query(LISTED).subarray(0, 20)],
    ['a compressed name', spoil((bytes) => bytes.writeUInt16BE(0xc000, 12))],
    ['a name that points at itself', spoil((bytes) => bytes.writeUInt16BE(0xc00c, 12))],
    ['a label type that was never assigned', spoil((bytes) => (bytes[12] = 0x41))],
    ['a name of more than 255 bytes', query(long)],
    ['two OPT records', query(LISTED, 'A', [edns(), edns()])],
    ['an OPT record with a name', namedOpt],
    ['more bytes than a query has', Buffer.concat([query(LISTED), Buffer.alloc(5000)])],
  ])('%s: FORMERR, and the id is ours to repeat', (_, bytes) => {
    const empty = { questions: [], answers: [], authorities: [], additionals: [] }
    expect(asked(make().dnsbl, bytes)).toMatchObject({ id: 4711, rcode: 'FORMERR', ...empty })
  })

  test('what does not fit is cut, and said so; over TCP it is whole', () => {
    const { dnsbl } = make(WIDE)
    const denied = (...additionals: Answer[]) => query(`99.2.0.192.${WIDE.zone}`, 'TXT', additionals)
    const cut = { rcode: 'NXDOMAIN', flag_tc: true, authorities: [], questions: [{ type: 'TXT' }] }
    const whole = { rcode: 'NXDOMAIN', flag_tc: false, authorities: [{ type: 'SOA' }] }
    expect(asked(dnsbl, denied())).toMatchObject(cut)
    expect(asked(dnsbl, denied(), 'tcp')).toMatchObject(whole)
    expect(asked(dnsbl, denied(edns({ udpPayloadSize: 1232 })))).toMatchObject(whole)
    expect(asked(dnsbl, denied(edns({ udpPayloadSize: 1 })))).toMatchObject({ ...cut, additionals: [{ type: 'OPT' }] })
  })

  test('the longest name and the longest reason fit into what everyone takes', () => {
    const zone = `${'long-name.'.repeat(18)}test.test`
    const wordy: Decide = (client) => ({ ...decide(client), because: 'x'.repeat(500) })
    const { dnsbl } = make({ zone, decide: wordy })
    const asking = query(`${reversedLabels(clientAt('2001:db8:0:1::5')).join('.')}.${zone}`, 'TXT')
    expect(asked(dnsbl, asking)).toMatchObject({ flag_tc: false, answers: [{ type: 'TXT' }] })
  })

  const bits = fc.record({ at: fc.nat(), byte: fc.nat({ max: 255 }) })
  const inZone = [LISTED, ZONE, `2.0.0.127.${ZONE}`, nameOf('2001:db8:0:1::5'), `junk.${ZONE}`]
  const names = fc.constantFrom(...inZone, 'example.com')
  const types = fc.constantFrom('A' as const, 'TXT' as const, 'ANY' as const, 'SOA' as const)
  const queries = fc.tuple(names, types, fc.boolean(), fc.array(bits, { maxLength: 4 }))
  const nearly = queries.map(([name, type, withEdns, changes]) => {
    const bytes = query(name, type, withEdns ? [edns()] : [])
    for (const { at, byte } of changes) bytes[at % bytes.length] = byte
    return bytes
  })

  test('any bytes: no crash, and only a small answer with the same id', () => {
    const { dnsbl } = make()
    const any = fc.oneof(
      nearly,
      fc.uint8Array({ maxLength: 600 }).map((bytes) => Buffer.from(bytes)),
    )
    fc.assert(
      fc.property(any, fc.constantFrom('udp' as const, 'tcp' as const), (bytes, over) => {
        const before = Buffer.from(bytes)
        const answered = dnsbl.answer(bytes, ASKER, over)
        expect(bytes).toEqual(before)
        const silent = bytes.length < 4 || bytes.readUInt16BE(2) >= 0x8000
        expect(answered === undefined).toBe(silent)
        if (!answered) return
        expect(answered.length).toBeLessThanOrEqual(1232)
        expect(read(answered)).toMatchObject({ flag_qr: true, id: bytes.readUInt16BE(0) })
      }),
      { numRuns: 1000 },
    )
  })

  test.each([true, false])(
    'any bytes from a socket have the answers that they have by themselves (bursts: %s)',
    async (bursts) => {
      const { port } = await start({ bursts })
      const { dnsbl } = make()
      const socket = createSocket('udp4').bind(0, '127.0.0.1')
      await once(socket, 'listening')
      await fc.assert(
        fc.asyncProperty(fc.array(nearly, { minLength: 1, maxLength: 80 }), async (packets) => {
          const expected = packets.flatMap((packet) => dnsbl.answer(packet, ASKER, 'udp') ?? [])
          const replies: Buffer[] = []
          const { promise, resolve } = Promise.withResolvers<void>()
          const take = (reply: Buffer) => replies.push(reply) === expected.length && resolve()
          socket.on('message', take)
          for (const packet of packets) socket.send(packet, port, '127.0.0.1')
          if (expected.length > 0) await promise
          socket.off('message', take)
          const spelled = (all: Buffer[]) => all.map((each) => each.toString('hex')).toSorted()
          expect(spelled(replies)).toEqual(spelled(expected))
        }),
        { numRuns: 30 },
      )
      socket.close()
    },
  )

  test('any bytes of a stranger: nothing is decided, and no answer is longer than what was sent', () => {
    const judged: Client[] = []
    const judge: Decide = (client) => {
      judged.push(client)
      return decide(client)
    }
    const { dnsbl } = make({ askers: networks('192.0.2.0/24'), decide: judge })
    fc.assert(
      fc.property(nearly, (bytes) => {
        const answered = dnsbl.answer(bytes, ASKER, 'udp')
        expect(answered?.length ?? 0).toBeLessThanOrEqual(bytes.length)
      }),
    )
    expect(judged).toEqual([])
  })
})

describe('more than anybody asks', () => {
  const MX = '192.0.2.7'
  const STRANGER = '203.0.113.7'
  const busy = (given: Partial<DnsblOptions> = {}) =>
    make({ askers: networks('192.0.2.0/24', '127.0.0.0/8'), answersPerSecond: 10, ...given })
  const flags = (reply: Buffer | undefined) => ({ cut: read(reply).flag_tc, answers: read(reply).answers?.length })

  test('beyond its bound an asker gets the question back, cut and undecided; by TCP it has its answer', () => {
    let judged = 0
    const { dnsbl, told } = busy({ decide: (client) => (judged++, decide(client)) })
    const ask = (over: 'udp' | 'tcp') => dnsbl.answer(query(LISTED, 'A', [edns()]), MX, over)
    for (let n = 0; n < 10; n++) expect(flags(ask('udp'))).toEqual({ cut: false, answers: 1 })
    for (let n = 0; n < 10; n++) {
      const reply = ask('udp') as Buffer
      expect(flags(reply)).toEqual({ cut: true, answers: 0 })
      expect(reply.length).toBe(query(LISTED, 'A', [edns()]).length)
    }
    expect(judged).toBe(10)
    expect(told.filter(({ what }) => what === 'limited')).toHaveLength(10)
    expect(flags(ask('tcp'))).toEqual({ cut: false, answers: 1 })
    expect(flags(dnsbl.answer(query(LISTED), '127.0.0.1', 'udp'))).toEqual({ cut: false, answers: 1 })
  })

  test('a flood from strangers: a few refusals, then silence, and who may ask has every answer', () => {
    const { dnsbl } = busy()
    let refusals = 0
    let [bytesIn, bytesOut] = [0, 0]
    for (let n = 0; n < 20_000; n++) {
      const packet = query(LISTED, 'ANY', [], n)
      const reply = dnsbl.answer(packet, n % 2 ? STRANGER : `203.0.${n % 256}.${n % 251}`, 'udp')
      bytesIn += packet.length
      bytesOut += reply?.length ?? 0
      if (reply) refusals++
      if (n % 2000 === 0) expect(flags(dnsbl.answer(query(LISTED), MX, 'udp'))).toEqual({ cut: false, answers: 1 })
    }
    expect(refusals).toBeLessThanOrEqual(256 * 20)
    expect(bytesOut).toBeLessThan(bytesIn / 3)
  })

  test('strangers hold only a few of the places there are for TCP', async () => {
    const { port, told, tcp } = await start({ askers: networks('192.0.2.0/24'), limits: { strangers: 2 } })
    const held = [connect(port, '127.0.0.1'), connect(port, '127.0.0.1')]
    await Promise.all(held.map((socket) => once(socket, 'connect')))
    const third = once(connect(port, '127.0.0.1'), 'close')
    await third
    expect(told).toEqual([{ what: 'closed', reason: 'full' }])
    for (const socket of held) {
      const gone = once(socket, 'close')
      socket.end()
      await gone
    }
    const again = connect(port, '127.0.0.1')
    again.write(Buffer.concat([Buffer.from([0, query(LISTED).length]), query(LISTED)]))
    const [reply] = (await once(again, 'data')) as [Buffer]
    expect(read(reply.subarray(2)).rcode).toBe('REFUSED')
    expect(tcp.listening).toBe(true)
  })

  test('of a list that is not to be believed the test entry is gone, too', () => {
    const doubted: Decide = (client) => ({ ...decide(client), effect: 'pass', doubt: 'overfull' })
    const { dnsbl } = make({ decide: doubted })
    for (const name of [LISTED, `2.0.0.127.${ZONE}`])
      expect(asked(dnsbl, query(name))).toMatchObject({ rcode: 'NXDOMAIN', answers: [] })
  })
})

describe('asked by node:dns', () => {
  test('addresses with their TTL, texts, and both ways of not being listed', async () => {
    const { port } = await start()
    const resolver = new Resolver({ timeout: 20_000, tries: 1 })
    resolver.setServers([`127.0.0.1:${port}`])
    expect(await resolver.resolve4(LISTED, { ttl: true })).toEqual([{ address: '127.0.0.2', ttl: 60 }])
    expect(await resolver.resolveTxt(LISTED)).toEqual([[TEXT]])
    expect(await resolver.resolveSoa(ZONE)).toMatchObject({ nsname: ZONE, minttl: 10 })
    expect(await resolver.resolveNs(ZONE)).toEqual([ZONE])
    await expect(resolver.resolve4(nameOf('192.0.2.99'))).rejects.toMatchObject({ code: 'ENOTFOUND' })
    await expect(resolver.resolve6(LISTED)).rejects.toMatchObject({ code: 'ENODATA' })
    await expect(resolver.resolve4('example.com')).rejects.toMatchObject({ code: 'EREFUSED' })
  })
})

describe('UDP', () => {
  test.skipIf(NO_DIG || !HAS_IPV6)('over IPv6, too', async () => {
    const served = await start({}, '::1')
    expect((await dig(served, LISTED)).answer).toEqual([`${LISTED}. 60 IN A 127.0.0.2`])
    expect((await dig(served, '+tcp', LISTED)).answer).toEqual([`${LISTED}. 60 IN A 127.0.0.2`])
  })

  test.skipIf(NO_DIG)('dig follows a cut answer to TCP', async () => {
    const served = await start(WIDE)
    expect((await dig(served, '+noedns', `99.2.0.192.${WIDE.zone}`)).authority).toHaveLength(1)
    expect(served.told.map((happening) => 'over' in happening && happening.over)).toEqual(['udp', 'tcp'])
  })

  test('what is no query is passed over, and the next is answered', async () => {
    const { port, told } = await start()
    const socket = createSocket('udp4')
    const answered = once(socket, 'message') as Promise<[Buffer]>
    const packets = [Buffer.alloc(0), Buffer.from('x'), Buffer.alloc(12, 0xff), query(LISTED)]
    for (const packet of packets) socket.send(packet, port, '127.0.0.1')
    const [reply] = await answered
    expect(read(reply)).toMatchObject({ id: 4711, answers: [{ data: '127.0.0.2' }] })
    expect(told.map(({ what }) => what)).toEqual(['ignored', 'ignored', 'ignored', 'answered'])
    socket.close()
  })
})

describe('TCP', () => {
  const framed = (message: Buffer) => {
    const length = Buffer.alloc(2)
    length.writeUInt16BE(message.length)
    return Buffer.concat([length, message])
  }
  const unframed = (bytes: Buffer): Buffer[] => {
    if (bytes.length === 0) return []
    const end = 2 + bytes.readUInt16BE(0)
    return [bytes.subarray(2, end), ...unframed(bytes.subarray(end))]
  }
  const readReplies = async (socket: Socket) => unframed(await readAll(socket)).map(read)
  const dial = (port: number) => connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true })
  const exchange = async (port: number, ...pieces: Buffer[]) => {
    const socket = dial(port)
    const all = readReplies(socket)
    for (const piece of pieces) await new Promise((resolve) => socket.write(piece, resolve))
    socket.end()
    return await all
  }

  test('many queries in one go are answered in order, also when the asker shuts its side at once', async () => {
    const { port } = await start()
    const queries = Array.from({ length: 1000 }, (_, id) => framed(query(LISTED, id % 2 ? 'TXT' : 'A', [], id)))
    const replies = await exchange(port, Buffer.concat(queries))
    expect(replies.map(({ id }) => id)).toEqual(queries.map((_, id) => id))
    expect(replies.every(({ answers }) => answers?.length === 1)).toBe(true)
  })

  test('more answers than the network takes wait for the asker to read, and then all come', async () => {
    const { tcp, port } = await start()
    const accepted = once(tcp, 'connection') as Promise<[Socket]>
    const socket = dial(port).pause()
    const packet = query(LISTED, 'TXT')
    const frames = framed(packet).toString('latin1').repeat(60_000)
    socket.end(frames, 'latin1')
    const [served] = await accepted
    await once(served, 'pause')
    let bytes = 0
    socket.on('data', (chunk) => (bytes += chunk.length)).resume()
    await once(socket, 'close')
    expect(bytes).toBe(60_000 * framed(make().dnsbl.answer(packet, ASKER, 'tcp') as Buffer).length)
  })

  test('cut anywhere on the wire, the answers are the same', async () => {
    const { port } = await start()
    const bytes = Buffer.concat([1, 2, 3].map((id) => framed(query(LISTED, 'A', [], id))))
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat({ max: bytes.length }), { maxLength: 6 }), async (cuts) => {
        const places = [0, ...cuts.toSorted((a, b) => a - b), bytes.length]
        const pieces = places.slice(1).map((end, i) => bytes.subarray(places[i], end))
        expect((await exchange(port, ...pieces)).map(({ id }) => id)).toEqual([1, 2, 3])
      }),
      { numRuns: 30 },
    )
  })

  test.each<[string, Buffer]>([
    ['less than a header', framed(Buffer.alloc(11))],
    ['nothing', Buffer.alloc(2)],
    ['more than a query has', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['an answer', framed(Buffer.alloc(12, 0xff))],
  ])('a frame that holds %s ends the connection; what came before was answered', async (_, junk) => {
    const { port, told } = await start()
    const socket = connect(port, '127.0.0.1')
    const all = readReplies(socket)
    socket.write(Buffer.concat([framed(query(LISTED)), junk, framed(query(LISTED))]))
    expect(await all).toMatchObject([{ answers: [{ data: '127.0.0.2' }] }])
    expect(told.at(-1)).toEqual({ what: 'closed', reason: 'bad-frame' })
  })

  test('a stranger gets one answer and is let go', async () => {
    const { port } = await start({ askers: networks('192.0.2.0/24') })
    const socket = connect(port, '127.0.0.1')
    const all = readReplies(socket)
    socket.write(Buffer.concat([framed(query(LISTED)), framed(query(LISTED))]))
    expect(await all).toMatchObject([{ rcode: 'REFUSED' }])
  })

  test('beyond the bound whoever has asked nothing for longest is hung up on', async () => {
    const { port, told } = await start({ limits: { connections: 1 } })
    const first = dial(port)
    first.write(framed(query(LISTED)))
    await once(first, 'data')
    const gone = once(first.resume(), 'end')
    const second = dial(port)
    second.write(framed(query(LISTED)))
    await once(second, 'data')
    await gone
    expect(told).toContainEqual({ what: 'closed', reason: 'full' })
    second.destroy()
  })

  test('who sends no whole query in time is hung up on', async () => {
    const { port, told } = await start({ limits: { idleMs: 30 } })
    const socket = connect(port, '127.0.0.1')
    const all = readReplies(socket)
    socket.write(framed(query(LISTED)).subarray(0, 20))
    expect(await all).toEqual([])
    expect(told).toEqual([{ what: 'closed', reason: 'idle' }])
  })

  test('who goes on asking is not idle', async () => {
    const { port, told } = await start({ limits: { idleMs: 1000 } })
    const socket = dial(port)
    for (const since = performance.now(); performance.now() - since < 1500;) {
      socket.write(framed(query(LISTED)))
      await once(socket, 'data')
    }
    expect(told.map(({ what }) => what)).not.toContain('closed')
    socket.destroy()
  })

  test('who never reads is not read from, and hung up on', async () => {
    let answered = 0
    const tell = ({ what }: DnsblHappening) => void (answered += what === 'answered' ? 1 : 0)
    const { port, tcp } = await start({ limits: { idleMs: 200 }, tell })
    const accepted = once(tcp, 'connection') as Promise<[Socket]>
    const socket = dial(port).on('error', () => undefined)
    socket.pause()
    const frame = framed(query(LISTED, 'TXT'))
    const many = Buffer.concat(Array.from({ length: 500 }, () => frame))
    const pour = () => {
      while (!socket.destroyed && socket.write(many));
    }
    socket.on('drain', pour)
    pour()
    const [served] = await accepted
    await once(served, 'close')
    expect(served.bytesRead - answered * frame.length).toBeLessThan(3 * 65_536)
    socket.destroy()
  })

  test('close ends what is open, and needs nothing to be open', async () => {
    const { dnsbl, port } = await start()
    const socket = dial(port)
    socket.write(framed(query(LISTED)))
    await once(socket, 'data')
    const all = readReplies(socket)
    await dnsbl.close()
    socket.end()
    expect(await all).toEqual([])
    const { dnsbl: never } = make()
    never.tcp()
    never.udp('udp4')
    await expect(never.close()).resolves.toBeUndefined()
  })
})
