import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Client, parseClient } from '../../src/core/client.ts'
import { flatten, merge, networksOf } from '../../src/core/cover.ts'
import { covers, parsePrefix, type Prefix, prefixOf } from '../../src/core/prefixes.ts'
import { finish } from '../paced.ts'

const prefix = (text: string) => parsePrefix(text) as Prefix
const joinAll = (outer: string, inner: string) => outer + inner
const flat = (layers: Record<string, string>) =>
  finish(
    flatten(
      Object.entries(layers).map(([cidr, value]) => [prefix(cidr), value] as const),
      joinAll,
    ),
  ).map((stretch) => [
    [...networksOf(stretch)].map(({ address, length }) => `${address}/${length}`).join(' '),
    stretch.value,
  ])

test('what lies within a network cuts it into what is before, itself, and what is after', () => {
  expect(flat({ '192.0.2.0/30': 'a', '192.0.2.1': 'b' })).toEqual([
    ['192.0.2.0/32', 'a'],
    ['192.0.2.1/32', 'ab'],
    ['192.0.2.2/31', 'a'],
  ])
  expect(flat({ '2001:db8::/32': 'a', '2001:db8::/33': 'b', '203.0.113.0/24': 'c' })).toEqual([
    ['203.0.113.0/24', 'c'],
    ['2001:db8::/33', 'ab'],
    ['2001:db8:8000::/33', 'a'],
  ])
})

test('a network that ends where the one around it ends leaves nothing after it; all addresses are a network, too', () => {
  expect(flat({ '0.0.0.0/0': 'a', '255.255.255.252/30': 'b', '255.255.255.254/31': 'c' }).slice(1)).toEqual([
    ['255.255.255.252/31', 'ab'],
    ['255.255.255.254/31', 'abc'],
  ])
  expect(flat({ '0.0.0.0/0': 'a' })).toEqual([['0.0.0.0/0', 'a']])
  expect(flat({ '::/0': 'a' })).toEqual([['::/0', 'a']])
})

const near = fc.record({ base: fc.nat(63), length: fc.integer({ min: 24, max: 32 }) })

test('every address has the values of exactly the networks that hold it, the widest first; and networks are exactly their stretch', () => {
  fc.assert(
    fc.property(fc.array(near, { maxLength: 12 }), fc.boolean(), (wanted, joined) => {
      const layers = wanted.map(({ base, length }, i) => {
        const within = prefixOf(parseClient(`198.51.100.${base * 4}`) as Client, length)
        return [within, `${i};`] as const
      })
      const stretches = finish(flatten(layers, joinAll))
      const told = joined ? finish(merge(stretches, (a, b) => a.value === b.value)) : stretches
      const networks = told.flatMap((stretch) =>
        [...networksOf(stretch)].map(({ address, length }) => [prefix(`${address}/${length}`), stretch.value] as const),
      )
      for (let i = 0; i < 256; i++) {
        const client = parseClient(`198.51.100.${i}`) as Client
        const expected = layers
          .filter(([each]) => covers(each, client))
          .toSorted(([a], [b]) => a.length - b.length)
          .map(([, value]) => value)
          .join('')
        const found = networks.filter(([each]) => covers(each, client))
        expect(found.map(([, value]) => value)).toEqual(expected === '' ? [] : [expected])
      }
      for (const outside of ['198.51.99.255', '198.51.101.0'])
        expect(networks.some(([each]) => covers(each, parseClient(outside) as Client))).toBe(false)
    }),
  )
})

test('neighbours are joined, and become one network where they fill it', () => {
  const all = Array.from({ length: 256 }, (_, i) => [prefix(`192.0.2.${i}`), 'x'] as const)
  const [one, ...more] = finish(merge(finish(flatten([...all, [prefix('192.0.3.1'), 'x']], joinAll)), () => true))
  expect(more).toHaveLength(1)
  expect([...networksOf(one as NonNullable<typeof one>)]).toEqual([{ family: 4, address: '192.0.2.0', length: 24 }])
})
