import { expect, test } from 'vitest'
import { type ZoneRecord, readZoneFile } from '../../src/core/zone-file.ts'
import { lookupInZone, type Lookup, NOTHING } from '../../src/watch/lookup.ts'

const ZONE = `$TTL 300
mx1   A     192.0.2.25
www   CNAME mx1
out   CNAME mx.provider.test.
*     A     192.0.2.80
*.sub MX    10 mx1
b.sub A     192.0.2.81
`

function zone(beyond?: Lookup) {
  const read = readZoneFile('z', ZONE, 'example.org')
  const records: readonly ZoneRecord[] = read.ok ? read.records : []
  const look = lookupInZone('example.org', records, beyond)
  return async (name: string, type: 'A' | 'MX') => {
    const { outcome, records: own, aliases } = await look(name, type)
    return [outcome, ...own.map(({ data }) => data), ...aliases.map((alias) => `> ${alias}`)].join(' ')
  }
}

test('what the file says: records, aliases, and what stands behind a star', async () => {
  const look = zone()
  expect(await look('mx1.example.org', 'A')).toBe('found 192.0.2.25')
  expect(await look('mx1.example.org', 'MX')).toBe('none')
  expect(await look('www.example.org', 'A')).toBe('found 192.0.2.25 > mx1.example.org')
  expect(await look('any.example.org', 'A')).toBe('found 192.0.2.80')
  // RFC 4592: the star is not for a name that is there, nor for what is below another star's name.
  expect(await look('a.sub.example.org', 'MX')).toBe('found 10 mx1.example.org')
  expect(await look('a.sub.example.org', 'A')).toBe('none')
  expect(await look('b.sub.example.org', 'MX')).toBe('none')
})

test('what it does not hold is outside, or asked of somebody else', async () => {
  expect(await zone()('mx.provider.test', 'A')).toBe('outside')
  expect(await zone()('out.example.org', 'A')).toBe('outside > mx.provider.test')
  const asked: string[] = []
  const beyond: Lookup = async (name) => {
    asked.push(name)
    return { ...NOTHING, outcome: 'found', records: [{ data: '198.51.100.1', ttlSeconds: 1 }] }
  }
  expect(await zone(beyond)('out.example.org', 'A')).toBe('found 198.51.100.1 > mx.provider.test')
  expect(asked).toEqual(['mx.provider.test'])
})
