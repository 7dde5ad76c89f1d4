import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type ProxyReading, readProxyHeader } from '../../src/decoy/proxy.ts'

const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')

/** A version 2 header; `kind` is family and transport, as the wire has them. */
function v2(command: number, kind: number, body: Buffer, version = 2): Buffer {
  const head = Buffer.from([(version << 4) | command, kind, body.length >> 8, body.length & 255])
  return Buffer.concat([SIGNATURE, head, body])
}

const FOUR = Buffer.from([192, 0, 2, 7, 203, 0, 113, 25, 0xc0, 0x01, 0, 25])
const SIX = Buffer.concat([
  Buffer.from('20010db8000000010000000000000007', 'hex'),
  Buffer.from('20010db8000000000000000000000025', 'hex'),
  Buffer.from([0xc0, 0x01, 0, 25]),
])

const told = (bytes: Buffer | string) => {
  const reading = readProxyHeader(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
  if (reading.is !== 'header') return reading
  const { source, sourcePort: port, destination, rest } = reading
  return { ip: source?.ip, port, destination, rest: rest.toString('latin1') }
}

describe('version 1', () => {
  test('names client and destination, and leaves the rest to the client', () => {
    expect(told('PROXY TCP4 192.0.2.7 203.0.113.25 49153 25\r\nEHLO x\r\n')).toEqual({
      ip: '192.0.2.7',
      port: 49153,
      destination: '203.0.113.25:25',
      rest: 'EHLO x\r\n',
    })
    expect(told('PROXY TCP6 2001:DB8:0:1::7 2001:db8::25 49153 25\r\n')).toEqual({
      ip: '2001:db8:0:1::7',
      port: 49153,
      destination: '[2001:db8::25]:25',
      rest: '',
    })
    expect(told('PROXY TCP6 ::ffff:192.0.2.7 ::ffff:203.0.113.25 1 25\r\n')).toMatchObject({
      ip: '192.0.2.7',
      destination: '203.0.113.25:25',
    })
  })

  test('UNKNOWN names nobody, whatever follows', () => {
    expect(told('PROXY UNKNOWN\r\nEHLO')).toEqual({ ip: undefined, port: 0, destination: '', rest: 'EHLO' })
    expect(told('PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n')).toEqual({ ip: undefined, port: 0, destination: '', rest: '' })
  })

  test('waits for its end, up to 107 bytes', () => {
    expect(told('PRO')).toEqual({ is: 'more' })
    expect(told('PROXY TCP4 192.0.2.7 203.0.113.25 49153 25\r')).toEqual({ is: 'more' })
    expect(told(`PROXY UNKNOWN ${'x'.repeat(91)}`)).toEqual({ is: 'more' })
    expect(told(`PROXY UNKNOWN ${'x'.repeat(91)}\r\n`)).toMatchObject({ ip: undefined, rest: '' })
    expect(told(`PROXY UNKNOWN ${'x'.repeat(92)}\r\n`)).toMatchObject({ is: 'bad' })
    expect(told(`PROXY UNKNOWN ${'x'.repeat(93)}`)).toEqual({ is: 'bad', because: 'no end of line within 107 bytes' })
  })

  test.each([
    ['EHLO mail.example\r\n', 'it does not begin with a PROXY header'],
    ['PROXY UDP4 192.0.2.7 203.0.113.25 1 25\r\n', 'neither TCP4, TCP6 nor UNKNOWN'],
    ['PROXY TCP4 192.0.2.7 203.0.113.25 1 25 more\r\n', 'more words than a header has'],
    ['PROXY TCP4 2001:db8::7 203.0.113.25 1 25\r\n', 'an address that is none'],
    ['PROXY TCP6 192.0.2.7 203.0.113.25 1 25\r\n', 'an address that is none'],
    ['PROXY TCP4 192.0.2.777 203.0.113.25 1 25\r\n', 'an address that is none'],
    ['PROXY TCP4 192.0.2.7  203.0.113.25 1 25\r\n', 'more words than a header has'],
    ['PROXY TCP4 192.0.02.7 203.0.113.25 1 25\r\n', 'an address that is none'],
    ['PROXY TCP6 fe80::1%eth0 2001:db8::25 1 25\r\n', 'an address that is none'],
    ['PROXY  TCP4 192.0.2.7 203.0.113.25 1 25\r\n', 'neither TCP4, TCP6 nor UNKNOWN'],
    ['proxy TCP4 192.0.2.7 203.0.113.25 1 25\r\n', 'it does not begin with a PROXY header'],
    ['PROXY TCP4\r\n', 'an address that is none'],
    ['PROXY TCP4 192.0.2.7 203.0.113.25 65536 25\r\n', 'a port that is none'],
    ['PROXY TCP4 192.0.2.7 203.0.113.25 -1 25\r\n', 'a port that is none'],
    ['PROXY TCP4 192.0.2.7 203.0.113.25 1 025\r\n', 'a port that is none'],
    ['PROXY TCP4 192.0.2.7 203.0.113.25 1\r\n', 'a port that is none'],
  ])('%j is bad', (text, because) => {
    expect(told(text)).toEqual({ is: 'bad', because })
  })
})

describe('version 2', () => {
  test('names client and destination over both families, and skips TLVs', () => {
    const tlv = Buffer.from([0x02, 0, 3, 1, 2, 3])
    expect(told(Buffer.concat([v2(1, 0x11, Buffer.concat([FOUR, tlv])), Buffer.from('EHLO x\r\n')]))).toEqual({
      ip: '192.0.2.7',
      port: 49153,
      destination: '203.0.113.25:25',
      rest: 'EHLO x\r\n',
    })
    const six = { ip: '2001:db8:0:1::7', port: 49153, destination: '[2001:db8::25]:25', rest: '' }
    expect(told(v2(1, 0x21, SIX))).toEqual(six)
  })

  const nobody = { ip: undefined, port: 0, destination: '', rest: 'EHLO x' }
  test.each([
    ['LOCAL, as it should be', v2(0, 0, Buffer.alloc(0))],
    ['LOCAL with addresses', v2(0, 0x11, FOUR)],
    ['LOCAL of a family that does not exist', v2(0, 0xf7, Buffer.alloc(3))],
    ['UNSPEC', v2(1, 0, Buffer.alloc(0))],
    ['UNSPEC with something in it', v2(1, 0, Buffer.alloc(4))],
    ['an unspecified transport over IPv4', v2(1, 0x10, FOUR)],
    ['a UNIX stream', v2(1, 0x31, Buffer.alloc(216))],
    ['a UNIX datagram', v2(1, 0x32, Buffer.alloc(216))],
  ])('%s names nobody, and is skipped to its last byte', (_name, header) => {
    expect(told(Buffer.concat([header, Buffer.from('EHLO x')]))).toEqual(nobody)
  })

  test('TLVs of any sort and length are skipped: a wrong checksum, a torn one, as many as may come', () => {
    const wrongChecksum = Buffer.from([0x03, 0, 4, 0xde, 0xad, 0xbe, 0xef])
    const torn = Buffer.from([0x20, 0xff, 0xff, 1])
    for (const tlvs of [wrongChecksum, torn, Buffer.alloc(2048 - FOUR.length, 0xe0)])
      expect(told(v2(1, 0x11, Buffer.concat([FOUR, tlvs])))).toMatchObject({ ip: '192.0.2.7', rest: '' })
    expect(told(v2(1, 0x11, Buffer.alloc(2049)))).toMatchObject({ is: 'bad' })
  })

  test.each([
    ['another version', v2(1, 0x11, FOUR, 3), 'the signature of version 2, but another version'],
    ['a command that is none', v2(2, 0x11, FOUR), 'neither LOCAL nor PROXY'],
    ['UDP', v2(1, 0x12, FOUR), 'neither TCP over IPv4 nor over IPv6'],
    ['UDP over IPv6', v2(1, 0x22, SIX), 'neither TCP over IPv4 nor over IPv6'],
    ['a family that does not exist', v2(1, 0x41, SIX), 'a family or a transport that version 2 does not have'],
    ['a transport that does not exist', v2(1, 0x13, FOUR), 'a family or a transport that version 2 does not have'],
    ['UNSPEC of such a transport', v2(1, 0x03, FOUR), 'a family or a transport that version 2 does not have'],
    ['too little for two addresses', v2(1, 0x21, FOUR), 'too short for its addresses'],
    ['a body without bound', v2(1, 0x11, FOUR).fill(0xff, 14, 16), 'a body of 65535 bytes; at most 2048 are read'],
  ])('%s is bad', (_name, bytes, because) => {
    expect(told(bytes)).toEqual({ is: 'bad', because })
  })
})

describe('whatever comes', () => {
  const header = fc.oneof(
    fc
      .tuple(fc.ipV4(), fc.ipV4(), fc.nat(65535), fc.nat(65535))
      .map(([from, to, fromPort, toPort]) => Buffer.from(`PROXY TCP4 ${from} ${to} ${fromPort} ${toPort}\r\n`)),
    fc.uint8Array({ minLength: 12, maxLength: 200 }).map((body) => v2(1, 0x11, Buffer.from(body))),
    fc.uint8Array({ minLength: 36, maxLength: 200 }).map((body) => v2(1, 0x21, Buffer.from(body))),
    fc.constant(v2(0, 0, Buffer.alloc(0))),
  )

  test('how the bytes are cut changes nothing', () => {
    fc.assert(
      fc.property(header, fc.uint8Array({ maxLength: 60 }), (head, rest) => {
        const all = Buffer.concat([head, rest])
        const whole = readProxyHeader(all)
        expect(whole.is).toBe('header')
        for (let end = 0; end < head.length; end++) expect(readProxyHeader(all.subarray(0, end)).is).toBe('more')
        for (let end = head.length; end <= all.length; end++) {
          const part = readProxyHeader(all.subarray(0, end)) as Extract<ProxyReading, { is: 'header' }>
          expect({ ...part, rest: all.length }).toEqual({ ...whole, rest: all.length })
          expect(part.rest).toEqual(all.subarray(head.length, end))
        }
      }),
      { numRuns: 50 },
    )
  })

  test('both versions say the same of the same connection, whatever TLVs follow', () => {
    const port = fc.nat(65535)
    const bytesOf = (ip: string) => Buffer.from(ip.split('.').map(Number))
    fc.assert(
      fc.property(
        fc.ipV4(),
        fc.ipV4(),
        port,
        port,
        fc.uint8Array({ maxLength: 300 }),
        (from, to, source, dest, tlvs) => {
          const ports = Buffer.alloc(4)
          ports.writeUInt16BE(source, 0)
          ports.writeUInt16BE(dest, 2)
          const first = told(`PROXY TCP4 ${from} ${to} ${source} ${dest}\r\nEHLO x`)
          const second = v2(1, 0x11, Buffer.concat([bytesOf(from), bytesOf(to), ports, tlvs]))
          expect(told(Buffer.concat([second, Buffer.from('EHLO x')]))).toEqual(first)
          expect(first).toEqual({ ip: from, port: source, destination: `${to}:${dest}`, rest: 'EHLO x' })
        },
      ),
    )
  })

  test('bytes at random never throw, and never wait for more than a header can have', () => {
    const noise = fc.oneof(
      fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
      fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.concat([SIGNATURE, bytes])),
      fc.string({ maxLength: 150 }).map((text) => Buffer.from(`PROXY ${text}`)),
    )
    fc.assert(
      fc.property(noise, (bytes) => {
        expect(['more', 'bad', 'header']).toContain(readProxyHeader(bytes).is)
        expect(readProxyHeader(Buffer.concat([bytes, Buffer.alloc(2100, 'x')])).is).not.toBe('more')
      }),
    )
  })
})
