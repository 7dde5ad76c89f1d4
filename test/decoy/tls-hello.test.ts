import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { connect as connectTls, type ConnectionOptions } from 'node:tls'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { HELLO_MAX, readHello } from '../../src/decoy/tls-hello.ts'

const two = (value: number) => Buffer.from([value >> 8, value & 255])
const sized = (bytes: 1 | 2, body: Buffer) =>
  Buffer.concat([bytes === 1 ? Buffer.from([body.length]) : two(body.length), body])
const numbers = (hex: string) => Buffer.concat(hex.split(',').map((each) => two(Number.parseInt(each, 16))))

type Wanted = { version?: number; ciphers: string; extensions?: readonly (readonly [type: number, body: Buffer])[] }

/** A hello as RFC 8446, 4.1.2 has it, in records of `record` bytes. */
function helloOf({ version = 0x0303, ciphers, extensions }: Wanted, record = 16_384): Buffer {
  const list = extensions?.map(([type, body]) => Buffer.concat([two(type), sized(2, body)])) ?? []
  const body = Buffer.concat([
    two(version),
    Buffer.alloc(32, 7),
    sized(1, Buffer.alloc(32, 8)),
    sized(2, numbers(ciphers)),
    sized(1, Buffer.from([0])),
    ...(extensions ? [sized(2, Buffer.concat(list))] : []),
  ])
  const message = Buffer.concat([Buffer.from([1, 0]), two(body.length), body])
  const records: Buffer[] = []
  for (let at = 0; at < message.length; at += record)
    records.push(Buffer.from([0x16, 3, 1]), sized(2, message.subarray(at, at + record)))
  return Buffer.concat(records)
}

const EMPTY = Buffer.alloc(0)
const alpn = (name: string | Buffer) => [0x10, sized(2, sized(1, Buffer.from(name)))] as const
const versions = (hex: string) => [0x2b, sized(1, numbers(hex))] as const
const signatures = (hex: string) => [0x0d, sized(2, numbers(hex))] as const

/** The browser that the description of JA4 takes for its example; its two hashes are published there. */
const EXAMPLE: Wanted = {
  ciphers: '5a5a,1301,1302,1303,c02b,c02f,c02c,c030,cca9,cca8,c013,c014,009c,009d,002f,0035',
  extensions: [
    [0x1a1a, EMPTY],
    [0x001b, EMPTY],
    [0x0000, Buffer.from('whatever')],
    [0x0033, EMPTY],
    alpn('h2'),
    [0x4469, EMPTY],
    [0x0017, EMPTY],
    [0x002d, EMPTY],
    signatures('0403,0804,0401,0503,0805,0501,0806,0601'),
    [0x0005, EMPTY],
    [0x0023, EMPTY],
    [0x0012, EMPTY],
    versions('eaea,0304,0303'),
    [0xff01, EMPTY],
    [0x000b, EMPTY],
    [0x000a, EMPTY],
    [0x0015, EMPTY],
    [0x2a2a, EMPTY],
  ],
}

const printOf = (bytes: Buffer) => {
  const reading = readHello(bytes)
  return reading.is === 'hello' ? reading.print : reading.is
}
const hash = (text: string) => createHash('sha256').update(text).digest('hex').slice(0, 12)

describe('the print', () => {
  test('of the published example is the published one', () => {
    expect(printOf(helloOf(EXAMPLE))).toBe('t13d1516h2_8daaf6152771_e5627efa2ab1')
  })

  test.each<[string, Wanted, string]>([
    ['no extensions at all', { version: 0x0301, ciphers: '0035,002f' }, `t10i020000_${hash('002f,0035')}_000000000000`],
    [
      'no signature algorithms',
      { ciphers: '002f', extensions: [[0xff01, EMPTY]] },
      `t12i010100_${hash('002f')}_${hash('ff01')}`,
    ],
    ['an unknown version', { version: 0x0399, ciphers: '002f' }, `t00i010000_${hash('002f')}_000000000000`],
    ['SSL 3.0', { version: 0x0300, ciphers: '002f' }, `ts3i010000_${hash('002f')}_000000000000`],
    ['GREASE alone', { ciphers: '0a0a,fafa' }, 't12i000000_000000000000_000000000000'],
    ['an ALPN of one letter', { ciphers: '002f', extensions: [alpn('x')] }, `t12i0101xx_${hash('002f')}_000000000000`],
    [
      'an ALPN that is no text',
      { ciphers: '002f', extensions: [alpn(Buffer.from([0xab, 0x31, 0xcd]))] },
      `t12i0101ad_${hash('002f')}_000000000000`,
    ],
    [
      'more than 99 ciphers',
      { ciphers: Array.from({ length: 120 }, (_, i) => (i + 0x100).toString(16)).join(',') },
      `t12i990000_${hash(Array.from({ length: 120 }, (_, i) => (i + 0x100).toString(16).padStart(4, '0')).join(','))}_000000000000`,
    ],
  ])('of one with %s', (_name, wanted, print) => {
    expect(printOf(helloOf(wanted))).toBe(print)
  })
})

describe('real clients', () => {
  /** The first bytes that this client of Node's own OpenSSL sends. */
  async function capture(options: ConnectionOptions): Promise<Buffer> {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const client = connectTls({ host: '127.0.0.1', port: (server.address() as AddressInfo).port, ...options })
    client.on('error', () => {})
    const [socket] = (await once(server, 'connection')) as [import('node:net').Socket]
    const [bytes] = (await once(socket, 'data')) as [Buffer]
    client.destroy()
    socket.destroy()
    server.close()
    return bytes
  }

  test('one that offers a name, TLS 1.2 and one cipher', async () => {
    const bytes = await capture({
      servername: 'mx9.example.test',
      maxVersion: 'TLSv1.2',
      ciphers: 'ECDHE-RSA-AES128-GCM-SHA256',
      ALPNProtocols: ['smtp'],
    })
    expect(printOf(bytes)).toMatch(new RegExp(`^t12d01\\d\\dsp_${hash('c02f')}_[0-9a-f]{12}$`))
  })

  test('the same one twice, and another one', async () => {
    const once13 = printOf(await capture({ minVersion: 'TLSv1.3' }))
    expect(once13).toMatch(/^t13i\d{4}00_[0-9a-f]{12}_[0-9a-f]{12}$/)
    expect(printOf(await capture({ minVersion: 'TLSv1.3' }))).toBe(once13)
    expect(printOf(await capture({ minVersion: 'TLSv1.2' }))).not.toBe(once13)
  })
})

describe('whatever comes', () => {
  test('a hello that is cut is awaited, one that is split over records is joined', () => {
    const whole = helloOf(EXAMPLE)
    for (let cut = 0; cut < whole.length; cut++) expect(readHello(whole.subarray(0, cut)).is).toBe('more')
    for (const record of [30, 50, 200]) expect(printOf(helloOf(EXAMPLE, record))).toBe(printOf(whole))
    expect(printOf(Buffer.concat([whole, Buffer.alloc(100, 9)]))).toBe(printOf(whole))
  })

  test.each([
    ['no handshake', Buffer.from('1503010002', 'hex')],
    ['another version', Buffer.from('1604', 'hex')],
    ['an empty record', Buffer.from('1603010000', 'hex')],
    ['a record that is too long', Buffer.from('160301ffff', 'hex')],
    ['a server hello', Buffer.from('160301000402000000', 'hex')],
    ['a hello that is too long', Buffer.from('160301000401ffffff', 'hex')],
    ['a hello without a body', Buffer.from('160301000401000000', 'hex')],
    ['a second record of another type', Buffer.concat([helloOf(EXAMPLE, 50).subarray(0, 55), Buffer.from([0x17])])],
  ])('%s is none', (_name, bytes) => {
    expect(readHello(bytes)).toEqual({ is: 'bad' })
  })

  test('lengths that lie are none, and never throw', () => {
    const whole = helloOf(EXAMPLE)
    fc.assert(
      fc.property(fc.nat(whole.length - 10), fc.nat(255), (place, value) => {
        const bytes = Buffer.from(whole)
        bytes[9 + place] = value
        expect(['bad', 'hello']).toContain(readHello(bytes).is)
      }),
      { numRuns: 2000 },
    )
  })

  test('nobody is awaited for ever', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 0, maxLength: 64 }), (start) => {
        const bytes = Buffer.concat([Buffer.from([0x16, 3, 1]), Buffer.from(start), Buffer.alloc(HELLO_MAX, 0x16)])
        expect(readHello(bytes).is).not.toBe('more')
      }),
    )
    expect(readHello(helloOf(EXAMPLE, 10))).toEqual({ is: 'bad' })
    const crumbs = Buffer.concat(Array.from({ length: HELLO_MAX }, () => Buffer.from([0x16, 3, 1, 0, 1, 1])))
    expect(readHello(crumbs).is).not.toBe('more')
  })
})
