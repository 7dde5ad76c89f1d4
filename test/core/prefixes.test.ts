import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Client, parseClient } from '../../src/core/client.ts'
import { covers, outermost, parsePrefix, type Prefix, Prefixes, prefixOf } from '../../src/core/prefixes.ts'

/** Few different bits, so that prefixes meet clients often. */
const address4 = fc
  .tuple(fc.constantFrom(10, 192), fc.constantFrom(0, 255), fc.nat(3), fc.nat(3))
  .map((bytes) => bytes.join('.'))
const address6 = fc
  .tuple(fc.nat(1), fc.nat(1), fc.nat(1), fc.nat(3))
  .map(([a, b, c, d]) => `2001:db8:${a}:${b}::${c}:${d}`)
const anyClient = fc.oneof(address4, address6, fc.ipV4(), fc.ipV6()).map((text) => parseClient(text) as Client)
const anyPrefix = fc
  .tuple(anyClient, fc.nat(128))
  .map(([client, length]) => prefixOf(client, client.family === 4 ? length % 33 : length))

describe('longest prefix', () => {
  test('finds what a naive scan finds, also after deletions', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(anyPrefix, fc.nat()), { maxLength: 40 }),
        fc.array(fc.nat(), { maxLength: 10 }),
        fc.array(anyClient, { maxLength: 20 }),
        (entries, drops, clients) => {
          const table = Prefixes.of(entries)
          const naive = new Map(entries.map(([prefix, value]) => [prefix.cidr, { prefix, value }]))
          for (const drop of drops) {
            const prefix = entries[drop % Math.max(entries.length, 1)]?.[0]
            if (!prefix) continue
            table.delete(prefix)
            naive.delete(prefix.cidr)
          }
          expect(table.size).toBe(naive.size)
          for (const [prefix] of entries) expect(table.get(prefix)).toBe(naive.get(prefix.cidr)?.value)
          for (const client of [
            ...clients,
            ...entries.map(([prefix]) => parseClient(prefix.cidr.split('/')[0] as string) as Client),
          ]) {
            const inside = [...naive.values()].filter(({ prefix }) => contains(prefix, client))
            const longest = inside.toSorted((a, b) => b.prefix.length - a.prefix.length)[0]
            expect(table.find(client)).toBe(longest?.value)
            expect(table.findAll(client)).toEqual(
              inside.toSorted((a, b) => b.prefix.length - a.prefix.length).map(({ value }) => value),
            )
          }
        },
      ),
    )
  })

  /** Written out in bits, so that it shares nothing with what it proves. */
  function contains(prefix: Prefix, client: Client): boolean {
    const base = parseClient(prefix.cidr.split('/')[0] as string) as Client
    return base.family === client.family && bitsOf(client).startsWith(bitsOf(base).slice(0, prefix.length))
  }

  test('covers says the same', () => {
    fc.assert(
      fc.property(anyPrefix, anyClient, (prefix, client) => {
        expect(covers(prefix, client)).toBe(contains(prefix, client))
      }),
    )
  })
})

describe('reading a prefix', () => {
  test('its canonical form reads back as itself', () => {
    fc.assert(
      fc.property(anyPrefix, (prefix) => {
        expect(parsePrefix(prefix.cidr)).toEqual(prefix)
      }),
    )
  })

  test('a single address is its /32, a single IPv6 address its /64', () => {
    expect(parsePrefix('192.0.2.1')).toMatchObject({ cidr: '192.0.2.1/32' })
    expect(parsePrefix('2001:DB8::1')).toMatchObject({ cidr: '2001:db8::/64' })
    expect(parsePrefix('::ffff:192.0.2.1')).toMatchObject({ cidr: '192.0.2.1/32', family: 4 })
    expect(parsePrefix(' 2001:db8::1/128 ')).toMatchObject({ cidr: '2001:db8::1/128' })
    expect(parsePrefix('0.0.0.0/0')).toMatchObject({ cidr: '0.0.0.0/0', bits: 0n })
  })

  test.each([
    ['192.0.2.1/24', '"192.0.2.1/24" has host bits set: did you mean 192.0.2.0/24?'],
    ['2001:db8::1/64', '"2001:db8::1/64" has host bits set: did you mean 2001:db8::/64?'],
    ['203.0.113.0/4', '"203.0.113.0/4" has host bits set: is /4 what was meant?'],
    ['192.0.2.0/33', 'expected a prefix length from 0 to 32, got "/33"'],
    ['::ffff:0:0/96', 'expected a prefix length from 0 to 32, got "/96"'],
    ['192.0.2.0/', 'expected a prefix length from 0 to 32, got "/"'],
    ['192.0.2.0/-1', 'expected a prefix length from 0 to 32, got "/-1"'],
    ['192.0.2.0/24/8', 'expected an IP address or a CIDR like 192.0.2.0/24, got "192.0.2.0/24/8"'],
    [
      'mail.example.org',
      'expected an IP address or a CIDR like 192.0.2.0/24, got "mail.example.org": that is a host name, and clients are known by their addresses',
    ],
  ])('%s is told as a mistake', (text, sentence) => expect(parsePrefix(text)).toBe(sentence))

  test.each([
    ['300.1.2.3', '300 is above 255'],
    ['192.0.2.256/24', '256 is above 255'],
    ['192.0.2', 'an IPv4 address has four numbers, and this has 3'],
    ['192.0..1', 'one of its four numbers is missing'],
    ['192.0.02.1', 'some read 02 as octal; write it without the leading zero'],
    ['192.0.2.1:25', 'without the port it is 192.0.2.1'],
    ['[2001:db8::1]:25', 'without brackets and port it is 2001:db8::1'],
    ['192.0.2.0-192.0.2.255', 'a range is written as a CIDR here, or as several'],
    ['https://192.0.2.1/', 'that is a URL, and the address alone is wanted'],
    ['', 'that is empty'],
  ])('of %s it is told what is wrong with it', (text, clause) => {
    expect(parsePrefix(text, 'a network')).toBe(`expected a network, got "${text}": ${clause}`)
  })

  test('any text: a prefix or a sentence', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.tuple(fc.ipV4(), fc.integer()).map((parts) => parts.join('/')),
        ),
        (text) => {
          const read = parsePrefix(text)
          if (typeof read !== 'string') expect(parsePrefix(read.cidr)).toEqual(read)
        },
      ),
    )
  })
})

function bitsOf(client: Client): string {
  if (client.family === 4)
    return client.ip
      .split('.')
      .map((byte) => Number(byte).toString(2).padStart(8, '0'))
      .join('')
  const [head = '', tail = ''] = client.ip.split('::')
  const groups = (part: string) => part.split(':').filter((group) => group !== '')
  const zeros = Array.from({ length: 8 - groups(head).length - groups(tail).length }, () => '0')
  return [...groups(head), ...zeros, ...groups(tail)]
    .map((group) => Number.parseInt(group, 16).toString(2).padStart(16, '0'))
    .join('')
}

describe('the outermost of many', () => {
  test('cover exactly what all cover, and none lies within another', () => {
    fc.assert(
      fc.property(fc.array(anyPrefix, { maxLength: 30 }), fc.array(anyClient, { maxLength: 20 }), (all, clients) => {
        const kept = outermost(all)
        for (const client of clients)
          expect(kept.filter((prefix) => covers(prefix, client))).toHaveLength(
            all.some((prefix) => covers(prefix, client)) ? 1 : 0,
          )
        for (const prefix of kept) expect(all).toContain(prefix)
      }),
    )
  })
})
