import { isIP } from 'node:net'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type Client,
  clientOfBytes,
  clientOfKey,
  clientOfNumber,
  dottedOf,
  numberOfDotted,
  parseClient,
  reversedLabels,
} from '../../src/core/client.ts'

const client = (text: string): Client => {
  const read = parseClient(text)
  if (!read) throw new Error(`${text} is no address`)
  return read
}

const bytes4 = fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255), fc.nat(255))
const hex = (value: number, digits = 1) => value.toString(16).padStart(digits, '0')

/** Eight groups with runs of zeros, none of them an address that stands for IPv4. */
const groups6 = fc
  .array(fc.oneof(fc.constant(0), fc.nat(0xffff)), { minLength: 8, maxLength: 8 })
  .filter((groups) => !(groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff))

/** One way to write these groups: case, padding, which run of zeros is cut, a dotted tail, a zone. */
const spelled6 = (groups: readonly number[]) =>
  fc
    .record({
      upper: fc.boolean(),
      padded: fc.boolean(),
      cutAt: fc.nat(7),
      cutLength: fc.nat(8),
      dotted: fc.boolean(),
      zone: fc.boolean(),
    })
    .map(({ upper, padded, cutAt, cutLength, dotted, zone }) => {
      const tail = groups
        .slice(6)
        .flatMap((group) => [group >> 8, group & 255])
        .join('.')
      const words = groups.map((group) => hex(group, padded ? 4 : 1))
      const parts = dotted ? [...words.slice(0, 6), tail] : words
      const end = Math.min(cutAt + cutLength, dotted ? 6 : 8)
      const zeros = end - cutAt >= 1 && groups.slice(cutAt, end).every((group) => group === 0)
      const text = zeros ? `${parts.slice(0, cutAt).join(':')}::${parts.slice(end).join(':')}` : parts.join(':')
      return `${upper ? text.toUpperCase() : text}${zone ? '%eth0' : ''}`
    })

describe('any spelling of an address gives one client', () => {
  test('IPv4: dotted, mapped into IPv6 in dots or digits, short or long', () => {
    fc.assert(
      fc.property(bytes4, (bytes) => {
        const [a, b, c, d] = bytes
        const dotted = bytes.join('.')
        const high = hex((a << 8) | b)
        const low = hex((c << 8) | d)
        const spellings = [
          `::ffff:${dotted}`,
          `::FFFF:${dotted}`,
          `::ffff:${high}:${low}`,
          `0:0:0:0:0:ffff:${high}:${low}`,
          `0000:0000:0000:0000:0000:ffff:${dotted}`,
          `::ffff:${dotted}%eth0`,
        ]
        const one = client(dotted)
        expect(one).toEqual({ ip: dotted, family: 4, key: dotted, network: `${a}.${b}.${c}.0/24` })
        for (const spelling of spellings) expect(parseClient(spelling), spelling).toEqual(one)
      }),
    )
  })

  test('IPv6: any case, padding, cut of zeros, dotted tail and zone', () => {
    fc.assert(
      fc.property(
        groups6.chain((groups) => fc.tuple(fc.constant(groups), spelled6(groups))),
        ([groups, text]) => {
          expect(parseClient(text), text).toEqual(client(groups.map((group) => hex(group)).join(':')))
        },
      ),
    )
  })

  test('canonical text reads back as itself, a key as a client with that key', () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (text) => {
        const one = client(text)
        expect(parseClient(one.ip)).toEqual(one)
        const ofKey = clientOfKey(one.key)
        expect(ofKey).toMatchObject({ family: one.family, key: one.key, network: one.network })
      }),
    )
  })

  test('an IPv4 address is a number of 32 bits, with or without a sign', () => {
    expect(numberOfDotted('192.0.2.1')).toBe(0xc0000201)
    fc.assert(
      fc.property(fc.ipV4(), (ip) => {
        expect(dottedOf(numberOfDotted(ip))).toBe(ip)
        expect(dottedOf(numberOfDotted(ip) | 0)).toBe(ip)
      }),
    )
  })

  test('all of a /64 is one client, all of a /48 one network', () => {
    expect(client('2001:db8:1:2:aaaa::1').key).toBe('2001:db8:1:2::/64')
    expect(client('2001:db8:1:2:bbbb::9').key).toBe('2001:db8:1:2::/64')
    expect(client('2001:db8:1:2::').network).toBe('2001:db8:1::/48')
    expect(client('2001:db8:1:3::').key).not.toBe(client('2001:db8:1:2::').key)
  })
})

describe('what is no address is no client', () => {
  const TAILS = ['1.2.3.4', '01.2.3.4', '0.0.0.0', '1:2:3:4:5:6', '1:2:3:4:5:6:7:', '10000']
  const nearly = fc.oneof(
    fc.string(),
    fc
      .array(fc.constantFrom('0', '1', '25', '256', 'f', 'ffff', '00', '.', ':', '::', 'x', ...TAILS), {
        maxLength: 18,
      })
      .map((parts) => parts.join('')),
  )

  test('we read what the operating system reads, and nothing else', () => {
    fc.assert(
      fc.property(nearly, (text) => {
        fc.pre(text.length <= 64 && !text.includes('%'))
        expect(parseClient(text) !== undefined, text).toBe(isIP(text) !== 0)
      }),
      { numRuns: 2000 },
    )
  })

  test.each([
    '',
    '1.2.3',
    '01.2.3.4',
    '1.2.3.4.5',
    '0x7f.0.0.1',
    '2130706433',
    '1.2.3.4%eth0',
    ' 1.2.3.4',
    '1.2.3.4/32',
    ':::',
    '1::2::3',
    '[::1]',
  ])('%j', (text) => expect(parseClient(text)).toBeUndefined())

  test('longer than any address: refused unread', () => {
    expect(parseClient(`::${'0'.repeat(100_000)}`)).toBeUndefined()
  })
})

describe('reversed names of a DNSBL', () => {
  test('an address is its labels backwards', () => {
    expect(reversedLabels(client('192.0.2.1')).join('.')).toBe('1.2.0.192')
    expect(reversedLabels(client('2001:db8::5')).join('.')).toBe(`5${'.0'.repeat(23)}.8.b.d.0.1.0.0.2`)
  })
})

describe('from numbers', () => {
  test('bytes and numbers make the client that the text makes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.constantFrom(0, 10, 12, 16), (bytes, zeros) => {
        bytes.fill(0, 0, zeros)
        if (zeros === 10) bytes.fill(255, 10, 12)
        const groups = Array.from({ length: 8 }, (_, i) =>
          Buffer.from(bytes)
            .readUInt16BE(2 * i)
            .toString(16),
        )
        expect(clientOfBytes([...bytes])).toEqual(client(groups.join(':')))
      }),
    )
    fc.assert(
      fc.property(fc.ipV4(), (ip) => {
        expect(clientOfNumber(numberOfDotted(ip))).toEqual(client(ip))
      }),
    )
  })
})
