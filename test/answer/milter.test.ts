import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import { Milter, type MilterHappening, type MilterLimits, packetReader } from '../../src/answer/milter.ts'
import type { Evidence } from '../../src/core/evidence.ts'
import type { Decide } from '../../src/reputation/decision.ts'
import { ANSWERS } from '../rules.ts'
import { decide } from './ruled.ts'

const WHY = 'talked 100%% first; to ask why, quote this code to the postmaster (ABCD-EFGH)'
/** What a current MTA offers to leave out. */
const ALL = 0x1fffff
const AGREED = 0x2 | 0x10 | 0x20 | 0x40 | 0x100 | 0x200 | 0x1000 | 0x4000

const open: Milter[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map((milter) => milter.close()))
})

async function start(given: { decide?: Decide; limits?: Partial<MilterLimits> } = {}) {
  const told: MilterHappening[] = []
  const noted: Evidence[] = []
  const milter = new Milter({
    decide,
    answers: () => ANSWERS,
    witness: async (event) => void noted.push(event as Evidence),
    now: () => 1_000_000,
    tell: (happening) => void told.push(happening),
    ...given,
  })
  open.push(milter)
  const server = milter.server().listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { told, noted, port: (server.address() as AddressInfo).port }
}

function packet(command: string, data: Buffer | string = ''): Buffer {
  const bytes = Buffer.from(data as string, 'latin1')
  const head = Buffer.alloc(5)
  head.writeUInt32BE(bytes.length + 1)
  head.write(command, 4, 'latin1')
  return Buffer.concat([head, bytes])
}

function numbers(...words: number[]): Buffer {
  const bytes = Buffer.alloc(words.length * 4)
  words.forEach((word, i) => bytes.writeUInt32BE(word, i * 4))
  return bytes
}

const hello = (offered = ALL, version = 6) => packet('O', numbers(version, 0x1ff, offered))
/** Port 80 has a zero byte. */
const from = (address: string, family = address.includes(':') ? '6' : '4') =>
  packet('C', `mail.example\0${family}\0\x50${address}\0`)
const mail = packet('M', '<someone@example.net>\0')
const rcpt = packet('R', '<postbox@example.test>\0')
const login = packet('D', 'Mi\0ABC\0{auth_authen}\0someone\0')
const quit = packet('Q')

/** What comes back after all of it, as command and data; the greeting's answer first. */
async function say(port: number, ...pieces: Buffer[]): Promise<string[]> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
  const chunks: Buffer[] = []
  socket.on('data', (chunk) => chunks.push(chunk))
  // Who is hung up on may hear of it as an error, and before it has said everything.
  socket.on('error', () => undefined)
  const closed = new Promise((resolve) => socket.once('close', resolve))
  for (const piece of pieces) await new Promise((resolve) => socket.write(piece, resolve))
  socket.end()
  await closed
  const { packets, rest } = packetReader(1e6)(Buffer.concat(chunks))
  expect(rest).toBe(0)
  return packets.map(({ command, data }) =>
    command === 'O' ? `O ${data.toString('hex')}` : `${command}${data.toString('latin1')}`,
  )
}

const GREETED = `O ${numbers(6, 0, AGREED).toString('hex')}`

describe('at RCPT', () => {
  test.each([
    ['192.0.2.1', `y550 5.7.1 ${WHY}\0`],
    ['192.0.2.2', `y451 4.7.1 ${WHY}\0`],
    ['192.0.2.3', 'c'],
    ['203.0.113.1', 'c'],
    ['2001:db8:0:1::7', `y550 5.7.1 ${WHY}\0`],
    ['IPv6:2001:db8:0:1::7', `y550 5.7.1 ${WHY}\0`],
    ['::ffff:192.0.2.1', `y550 5.7.1 ${WHY}\0`],
    ['no address', 'c'],
  ])('%s is answered %j, and nothing else is', async (address, answer) => {
    const { port } = await start()
    expect(await say(port, hello(), from(address), mail, rcpt, quit)).toEqual([GREETED, answer])
  })

  test('the domain of the recipient is handed to whoever decides', async () => {
    const domains: (string | undefined)[] = []
    const { port } = await start({ decide: (client, domain) => (domains.push(domain), decide(client)) })
    const to = (address: string) => packet('R', `${address}\0SIZE=9\0`)
    await say(
      port,
      hello(),
      from('192.0.2.3'),
      mail,
      to('<a@Lists.example.org>'),
      to('b@example.test'),
      to('<postmaster>'),
      quit,
    )
    expect(domains).toEqual(['Lists.example.org', 'example.test', undefined])
  })

  test('who has logged in is never refused; the next message without a login is', async () => {
    const { port } = await start()
    const abort = packet('A')
    const answers = await say(port, hello(), from('192.0.2.1'), login, mail, rcpt, rcpt, abort, mail, rcpt, quit)
    expect(answers.map((answer) => answer[0])).toEqual(['O', 'c', 'c', 'y'])
    const anonymous = packet('D', 'M{auth_authen}\0\0{mail_addr}\0x\0')
    expect((await say(port, hello(), from('192.0.2.1'), anonymous, mail, rcpt, quit)).at(-1)?.[0]).toBe('y')
  })

  test('who comes by a Unix socket, or unknown, continues', async () => {
    const { port, noted } = await start()
    const answers = await say(port, hello(), packet('C', 'localhost\0U'), mail, rcpt, packet('C', 'x'), rcpt, quit)
    expect(answers).toEqual([GREETED, 'c', 'c'])
    expect(noted).toEqual([])
  })

  test('tells once that the client came to the real MX', async () => {
    const { port, noted, told } = await start()
    await say(port, hello(), from('192.0.2.1'), mail, rcpt, rcpt, quit)
    expect(noted.map(({ client, role, kind }) => `${client} ${role} ${kind}`)).toEqual(['192.0.2.1 real refused'])
    expect(told.map(({ what }) => what)).toEqual(['answered', 'answered'])
  })

  test('a bug of ours lets mail pass', async () => {
    const broken: Decide = () => {
      throw new Error('oh')
    }
    const { port, told } = await start({ decide: broken })
    expect(await say(port, hello(), from('192.0.2.1'), rcpt, quit)).toEqual([GREETED, 'c'])
    expect(told).toEqual([{ what: 'failed', error: 'Error: oh' }])
  })
})

test('an MTA that can leave nothing out is told to continue at every step', async () => {
  const { port } = await start()
  const steps = [
    mail,
    packet('L', 'Subject\0x\0'),
    packet('N'),
    packet('B', 'text'),
    packet('E'),
    packet('T'),
    packet('U', 'x\0'),
  ]
  const answers = await say(port, hello(0, 2), from('203.0.113.1'), packet('H', 'x\0'), ...steps, quit)
  expect(answers).toEqual([`O ${numbers(2, 0, 0).toString('hex')}`, ...Array.from({ length: 9 }, () => 'c')])
})

test('a connection is used again for the next client (QUIT_NC)', async () => {
  const { port } = await start()
  const next = packet('K')
  const answers = await say(port, hello(), from('192.0.2.1'), rcpt, next, rcpt, from('192.0.2.2'), rcpt, quit)
  expect(answers.map((answer) => answer.slice(0, 4))).toEqual([GREETED.slice(0, 4), 'y550', 'c', 'y451'])
})

describe('is hung up on', () => {
  test.each([
    ['without a greeting', [rcpt], 'no-greeting'],
    ['with an old protocol', [hello(ALL, 1)], 'old-protocol'],
    ['with half a greeting', [packet('O', numbers(6))], 'old-protocol'],
    ['with a packet of nothing', [hello(), numbers(0)], 'no-packet'],
    ['with a packet too long', [hello(), numbers(65_537)], 'long-packet'],
    ['in the middle of a packet', [hello(), numbers(9)], 'cut-short'],
  ])('%s', async (_how, pieces, reason) => {
    const { port, told } = await start()
    await say(port, ...pieces)
    expect(told).toMatchObject([{ what: 'closed', reason }])
  })

  test('where there is no more room, if it has asked nothing for longest; the newcomer is answered', async () => {
    const { port, told } = await start({ limits: { connections: 1 } })
    const silent = connect({ port, host: '127.0.0.1' })
    await once(silent, 'connect')
    const left = once(silent, 'close')
    silent.resume()
    expect(await say(port, hello(), quit)).toEqual([GREETED])
    await left
    expect(told).toMatchObject([{ what: 'closed', reason: 'full' }])
  })
})

test('packets are the same however the bytes are cut', () => {
  const talk = fc.array(fc.tuple(fc.constantFrom(...'CDHMRTLNBEAKU'.split('')), fc.uint8Array({ maxLength: 40 })), {
    maxLength: 20,
  })
  fc.assert(
    fc.property(talk, fc.array(fc.nat(60)), (packets, cuts) => {
      const bytes = Buffer.concat(packets.map(([command, data]) => packet(command, Buffer.from(data))))
      const read = packetReader(65_536)
      const got: string[] = []
      let at = 0
      for (const cut of [...cuts, bytes.length]) {
        const { packets: some } = read(bytes.subarray(at, at + cut))
        got.push(...some.map(({ command, data }) => command + data.toString('hex')))
        at = Math.min(bytes.length, at + cut)
      }
      expect(got).toEqual(packets.map(([command, data]) => command + Buffer.from(data).toString('hex')))
    }),
  )
})

test('any bytes get known answers only, no bug, and never an acceptance', async () => {
  const { port, told } = await start()
  const step = fc.oneof(
    fc
      .tuple(fc.constantFrom(...'OCDHMRTLNBEAKU'.split('')), fc.uint8Array({ maxLength: 60 }))
      .map(([c, d]) => packet(c, Buffer.from(d))),
    fc.constantFrom(hello(), from('192.0.2.1'), login, mail, rcpt),
    fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
      for (const answer of await say(port, hello(), ...steps))
        expect(answer).toMatch(/^(O [0-9a-f]{24}|c|y(550|451) .*\0)$/)
    }),
    { numRuns: 60 },
  )
  expect(told.filter(({ what }) => what === 'failed')).toEqual([])
})
