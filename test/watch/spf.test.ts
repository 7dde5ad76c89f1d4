import fc from 'fast-check'
import { Resolver } from 'node:dns/promises'
import { describe, expect, test } from 'vitest'
import { parseClient } from '../../src/core/client.ts'
import { covers } from '../../src/core/prefixes.ts'
import { type Dns, NETWORKS_MAX, readSpf } from '../../src/watch/spf.ts'
import { nameServer, type Zone } from '../name-server.ts'

async function asking(zone: Zone | 'broken', silent?: (question: string) => boolean): Promise<Resolver> {
  const resolver = new Resolver({ timeout: silent ? 300 : 20_000, tries: 1 })
  resolver.setServers([await nameServer(() => zone, silent)])
  return resolver
}

async function read(zone: Zone | 'broken', silent?: (question: string) => boolean) {
  const reading = await readSpf('big.test', await asking(zone, silent))
  return reading.outcome === 'read'
    ? { networks: reading.networks.map(({ cidr }) => cidr).toSorted(), notes: reading.notes }
    : reading
}

describe('the networks in SPF records, from a real name server', () => {
  test('are those of ip4, ip6, a, mx, include and redirect, each once', async () => {
    const found = await read({
      'TXT big.test': [
        'another text',
        'v=spf1 ip4:192.0.2.0/25 include:_spf.big.test  a:out.big.test/29 redirect=_more.big.test',
      ],
      'TXT _spf.big.test': ['V=SPF1 ip6:2001:db8::/32 +ip4:192.0.2.8 ip6:2001:dba::1 mx -all'],
      'MX _spf.big.test': ['10 mx1.big.test', '20 mx2.big.test'],
      'A mx1.big.test': ['198.51.100.1'],
      'AAAA mx2.big.test': ['2001:db9::2'],
      'A out.big.test': ['203.0.113.77'],
      'TXT _more.big.test': ['v=spf1 ip4:198.51.100.130/26 ~all'],
    })
    expect(found).toEqual({
      networks: [
        '192.0.2.0/25',
        '198.51.100.1/32',
        '198.51.100.128/26',
        '2001:db8::/32',
        '2001:db9::/64',
        '2001:dba::/64',
        '203.0.113.72/29',
      ],
      notes: [],
    })
  })

  test('are what passes: not what is denied, nor what stands after "all", nor a redirect beside it', async () => {
    const found = await read({
      'TXT big.test': [
        'v=spf1 -ip4:192.0.2.66 ip4:192.0.2.0/24 ?ip4:198.51.100.0/24 ip4:203.0.113.1 -all ip4:203.0.113.2 redirect=gone.test',
      ],
    })
    expect(found).toEqual({
      networks: ['203.0.113.1/32'],
      notes: ['big.test: ip4:192.0.2.0/24 is denied before: passed over'],
    })
  })

  test.each([
    ['a record that lets everybody in', 'v=spf1 +all', [], 'big.test: +all lets everybody in: passed over'],
    [
      'the whole net',
      'v=spf1 ip4:0.0.0.0/0 ip4:192.0.2.1',
      ['192.0.2.1/32'],
      '0.0.0.0/0 is too wide for one sender: refused',
    ],
    ['half of IPv6', 'v=spf1 ip6:8000::/1 -all', [], '8000::/1 is too wide for one sender: refused'],
    [
      'a macro',
      'v=spf1 exists:%{i}.big.test ip4:192.0.2.1',
      ['192.0.2.1/32'],
      'big.test: exists:%{i}.big.test names no networks that could be listed: passed over',
    ],
    [
      'a macro in a redirect',
      'v=spf1 redirect=%{d}.test',
      [],
      'big.test: redirect=%{d}.test names no networks that could be listed: passed over',
    ],
    [
      'reverse names',
      'v=spf1 ptr ip4:192.0.2.1',
      ['192.0.2.1/32'],
      'big.test: ptr names no networks that could be listed: passed over',
    ],
  ])('poisoned: %s gives nothing, and is noted', async (_, record, networks, note) => {
    expect(await read({ 'TXT big.test': [record] })).toEqual({ networks, notes: [note] })
  })

  test('poisoned: the net in a hundred slices is more than one sender has', async () => {
    const slices = Array.from({ length: 100 }, (_, i) => `ip4:${100 + i}.0.0.0/12`)
    const [first, second] = [slices.slice(0, 50), slices.slice(50)]
    const found = await read({
      'TXT big.test': [`v=spf1 ${first.join(' ')} include:b.test -all`],
      'TXT b.test': [`v=spf1 ${second.join(' ')} -all`],
    })
    if (!('networks' in found)) throw new Error('not read')
    expect(found.networks).toHaveLength(2)
    expect(found.notes[0]).toContain('too many addresses for one sender')
  })

  const chain = (length: number): Zone =>
    Object.fromEntries(
      Array.from({ length: length + 1 }, (_, i) => [
        `TXT ${i === 0 ? 'big.test' : `s${i}.test`}`,
        [i === length ? 'v=spf1 ip4:192.0.2.1 -all' : `v=spf1 include:s${i + 1}.test -all`],
      ]),
    )
  test('end with the tenth question to DNS', async () => {
    expect(await read(chain(10))).toEqual({ networks: ['192.0.2.1/32'], notes: [] })
    expect(await read(chain(11))).toEqual({
      outcome: 'wrong',
      because: 's10.test: include:s11.test would be question 11 of 10 to DNS',
    })
  })

  test.each<[string, Zone, string]>([
    ['no record', { 'TXT big.test': ['a text'] }, 'big.test has no SPF record'],
    ['no name', {}, 'big.test is not in DNS (NXDOMAIN)'],
    ['two records', { 'TXT big.test': ['v=spf1 -all', 'v=spf1 +all'] }, 'big.test has 2 SPF records'],
    [
      'a circle of includes',
      { 'TXT big.test': ['v=spf1 include:b.test'], 'TXT b.test': ['v=spf1 include:big.test'] },
      'big.test > b.test > big.test goes in a circle',
    ],
    ['a redirect to itself', { 'TXT big.test': ['v=spf1 redirect=big.test'] }, 'big.test > big.test goes in a circle'],
    [
      'an include that leads nowhere',
      { 'TXT big.test': ['v=spf1 include:gone.test'] },
      'gone.test, which big.test includes, is not in DNS (NXDOMAIN)',
    ],
    [
      'three questions in vain',
      { 'TXT big.test': ['v=spf1 a:a.test a:b.test mx:c.test ip4:192.0.2.1'] },
      'big.test: mx:c.test: more than 2 questions to DNS find nothing',
    ],
    [
      'an mx of eleven names',
      { 'TXT big.test': ['v=spf1 mx'], 'MX big.test': Array.from({ length: 11 }, (_, i) => `10 m${i}.test`) },
      'big.test: mx names 11 hosts; at most 10 may be asked',
    ],
    [
      'what is no network',
      { 'TXT big.test': ['v=spf1 ip4:192.0.2.0/33'] },
      'big.test: ip4:192.0.2.0/33 is not a network',
    ],
    [
      'a name for another family',
      { 'TXT big.test': ['v=spf1 ip6:192.0.2.0/24'] },
      'big.test: ip6:192.0.2.0/24 is not a network',
    ],
    ['a term that does not exist', { 'TXT big.test': ['v=spf1 ip5:1 \u001b[2J'] }, 'big.test: ip5:1 is no term of SPF'],
  ])('are none where the record is wrong: %s', async (_, zone, because) => {
    expect(await read(zone)).toEqual({ outcome: 'wrong', because })
  })

  test('are not known while DNS does not answer, whole or in part', async () => {
    expect(await read('broken')).toMatchObject({
      outcome: 'unreachable',
      because: expect.stringMatching(/^big\.test: E[A-Z]+$/),
    })
    const zone = { 'TXT big.test': ['v=spf1 ip4:192.0.2.1 include:slow.test'], 'TXT slow.test': ['v=spf1 -all'] }
    expect(await read(zone, (question) => question === 'TXT slow.test')).toMatchObject({
      outcome: 'unreachable',
      because: expect.stringContaining('slow.test'),
    })
  })
})

/** DNS of any content: what a resolver would hand over, without the wire between. */
function hostileDns(texts: readonly string[][]): Dns & { asked: () => number } {
  let asked = 0
  const some = <Item>(items: Item[]) => (asked++, Promise.resolve(items))
  const dns = {
    resolveTxt: (name: string) => some([texts[(name.length + asked) % texts.length] ?? []]),
    resolve4: () => some(['192.0.2.1', 'not an address']),
    resolve6: () => some(['2001:db8::1', '::ffff:192.0.2.9']),
    resolveMx: () => some([{ exchange: 'mx.test', priority: 1 }]),
    asked: () => asked,
  }
  return dns as unknown as Dns & { asked: () => number }
}

test('any text: an answer, never a throw; few questions, few networks, none of them wide', async () => {
  const term = fc.oneof(
    fc.constantFrom(
      'all',
      '+all',
      '-all',
      'a',
      'mx',
      'ptr',
      'redirect=r.test',
      'exists:x.test',
      'include:%{d}',
      'exp=a',
      '=',
    ),
    fc.tuple(fc.ipV4(), fc.integer({ min: -1, max: 40 })).map(([ip, bits]) => `ip4:${ip}/${bits}`),
    fc.tuple(fc.ipV6(), fc.integer({ min: -1, max: 140 })).map(([ip, bits]) => `ip6:${ip}/${bits}`),
    fc.domain().map((name) => `include:${name}`),
    fc.domain().map((name) => `a:${name}/8//9`),
    fc.string(),
    fc.string({ unit: 'binary' }),
  )
  const record = fc.array(term, { maxLength: 40 }).map((terms) => ['v=spf1 ', terms.join(' ')])
  await fc.assert(
    fc.asyncProperty(fc.array(record, { minLength: 1, maxLength: 5 }), async (texts) => {
      const dns = hostileDns(texts)
      const reading = await readSpf('big.test', dns)
      expect(dns.asked()).toBeLessThanOrEqual(1 + 10 * (1 + 2 * 10))
      if (reading.outcome !== 'read') return
      expect(reading.networks.length).toBeLessThanOrEqual(NETWORKS_MAX)
      expect(reading.notes.length).toBeLessThanOrEqual(20)
      for (const { family, length } of reading.networks) expect(length).toBeGreaterThanOrEqual(family === 4 ? 12 : 28)
      const v4 = reading.networks.filter(({ family }) => family === 4)
      expect(v4.reduce((sum, { length }) => sum + 2 ** (32 - length), 0)).toBeLessThanOrEqual(2 ** 21)
    }),
    { numRuns: 300 },
  )
})

test('an address is in the networks exactly if SPF would pass it', async () => {
  const parts = fc.array(
    fc.record({
      sign: fc.constantFrom('', '+', '-', '~', '?'),
      host: fc.integer({ min: 0, max: 255 }),
      bits: fc.integer({ min: 26, max: 32 }),
    }),
    { minLength: 1, maxLength: 8 },
  )
  await fc.assert(
    fc.asyncProperty(parts, fc.integer({ min: 0, max: 255 }), async (terms, host) => {
      const record = terms.map(({ sign, host, bits }) => `${sign}ip4:192.0.2.${host}/${bits}`).join(' ')
      const reading = await readSpf('big.test', hostileDns([[`v=spf1 ${record}`]]))
      if (reading.outcome !== 'read') throw new Error(reading.because)
      const client = parseClient(`192.0.2.${host}`)
      if (!client) throw new Error('no client')
      const first = terms.find((term) => host >> (32 - term.bits) === term.host >> (32 - term.bits))
      const passes = first !== undefined && (first.sign === '' || first.sign === '+')
      const member = reading.networks.some((prefix) => covers(prefix, client))
      // A network of which a part is denied is left out whole: that errs towards a stranger.
      expect(member && !passes).toBe(false)
      if (terms.every(({ sign }) => sign === '' || sign === '+')) expect(member).toBe(passes)
    }),
  )
})
