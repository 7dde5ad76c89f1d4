import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { DEFAULT_LAYOUT, type DomainRecords, type Layout, readLayout, roleAt, routeOf } from '../../src/core/mx.ts'

const records = (
  mx: readonly (readonly [number, string])[],
  addresses: Record<string, readonly string[]>,
): DomainRecords => ({
  domain: 'example.test',
  mx: mx.map(([preference, exchange]) => ({ preference, exchange })),
  addresses: new Map(Object.entries(addresses)),
})
const never = () => {
  throw new Error('nothing to draw')
}
const walk = (of: DomainRecords, random: () => number = () => 0) =>
  routeOf(of, random).stops.map(({ address }) => address)

describe('the route of a correct sender', () => {
  test('begins at the lowest preference, and takes the addresses of an exchange as DNS gave them', () => {
    const domain = records(
      [
        [30, 'c.test'],
        [10, 'a.test'],
        [20, 'b.test'],
      ],
      { 'a.test': ['192.0.2.2', '2001:db8::1', '192.0.2.1'], 'b.test': ['192.0.2.3'], 'c.test': ['192.0.2.4'] },
    )
    expect(walk(domain)).toEqual(['192.0.2.2', '2001:db8::1', '192.0.2.1', '192.0.2.3', '192.0.2.4'])
    expect(routeOf(domain, () => 0).by).toBe('mx')
  })

  test('draws lots among equals, each as often as the other', () => {
    const domain = records(
      [
        [10, 'a.test'],
        [10, 'b.test'],
      ],
      { 'a.test': ['192.0.2.1'], 'b.test': ['192.0.2.2'] },
    )
    const lots =
      (...numbers: number[]) =>
      () =>
        numbers.shift() as number
    expect(walk(domain, lots(0.1, 0.9))).toEqual(['192.0.2.1', '192.0.2.2'])
    expect(walk(domain, lots(0.9, 0.1))).toEqual(['192.0.2.2', '192.0.2.1'])
  })

  test('without MX leads to the address of the domain itself', () => {
    const domain = records([], { 'example.test': ['192.0.2.9', '2001:db8::9'] })
    expect(routeOf(domain, never)).toMatchObject({ by: 'address' })
    expect(walk(domain, never)).toEqual(['192.0.2.9', '2001:db8::9'])
    expect(routeOf(records([], {}), never)).toEqual({ by: 'none', stops: [] })
  })

  test('ends before it begins at a null MX (RFC 7505), even if the domain has an address', () => {
    expect(routeOf(records([[0, '.']], { 'example.test': ['192.0.2.9'] }), never)).toEqual({ by: 'null', stops: [] })
  })

  test('passes over a name without an address, and never falls back to the domain when there is an MX', () => {
    const domain = records(
      [
        [10, 'gone.test'],
        [20, 'b.test'],
      ],
      { 'b.test': ['192.0.2.3'], 'example.test': ['192.0.2.9'] },
    )
    expect(walk(domain)).toEqual(['192.0.2.3'])
    expect(walk(records([[10, 'gone.test']], { 'example.test': ['192.0.2.9'] }))).toEqual([])
  })

  test('visits every address once, in rising order of preference, whatever the lots', () => {
    const any = fc.array(fc.tuple(fc.nat(3), fc.integer({ min: 0, max: 3 })), { minLength: 1, maxLength: 8 })
    fc.assert(
      fc.property(any, fc.infiniteStream(fc.double({ min: 0, max: 0.999, noNaN: true })), (list, lots) => {
        const domain = records(
          list.map(([preference], i) => [preference, `mx${i}`] as const),
          Object.fromEntries(
            list.map(([, n], i) => [`mx${i}`, Array.from({ length: n }, (_, j) => `192.0.${i}.${j}`)]),
          ),
        )
        const { stops } = routeOf(domain, () => lots.next().value as number)
        expect(stops.map(({ address }) => address).toSorted()).toEqual([...domain.addresses.values()].flat().toSorted())
        const preferences = stops.map(({ preference }) => preference)
        expect(preferences).toEqual(preferences.toSorted((a, b) => a - b))
      }),
    )
  })
})

describe('a layout in short', () => {
  test('has records, addresses and the part that each exchange plays', () => {
    const layout = readLayout(DEFAULT_LAYOUT) as Layout
    const route = routeOf(layout, () => 0)
    expect(route.stops.map(({ exchange }) => roleAt(layout, exchange))).toEqual(['primary', 'real', 'backup'])
    expect(route.stops.map(({ preference }) => preference)).toEqual([5, 20, 90])
    expect(roleAt(layout, 'elsewhere.test')).toBe('real')
  })

  test.each([
    ['primary:5,backup:90', /real MX/],
    ['primary:5,real:twenty', /got "real:twenty"/],
    ['first:5,real:20', /got "first:5"/],
    ['real:65536', /got "real:65536"/],
    ['', /got ""/],
    [Array.from({ length: 21 }, () => 'real:1').join(), /at most 20 exchanges, got 21/],
  ])('%s is a mistake, and says which', (text, complaint) => {
    expect(readLayout(text)).toMatch(complaint)
  })
})
