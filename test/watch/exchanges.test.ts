import { describe, expect, onTestFinished, test } from 'vitest'
import { type Exchange, Exchanges, EXCHANGES_MAX } from '../../src/watch/exchanges.ts'
import { nameServer, type Zone } from '../name-server.ts'

const OURS = new Set(['mx0.example.test', 'mx9.example.test', '192.0.2.66', '192.0.2.67'])

async function asked(zone: Zone | (() => Zone | 'broken'), domains = ['example.test']) {
  const told: { list: readonly Exchange[]; ofDecoys: readonly string[] }[] = []
  const trouble: string[] = []
  const exchanges = new Exchanges({
    domains: () => domains,
    servers: [await nameServer(typeof zone === 'function' ? zone : () => zone)],
    port: 2525,
    ours: (host) => OURS.has(host),
    everyMs: 3_600_000,
    found: (list, ofDecoys) => told.push({ list, ofDecoys }),
    trouble: (domain, error) => trouble.push(`${domain}: ${error}`),
  })
  onTestFinished(() => exchanges.close())
  await exchanges.start()
  return { exchanges, told, trouble }
}

const at = (name: string, ...hosts: string[]): Exchange => ({
  name,
  addresses: hosts.map((host) => ({ host, port: 2525 })),
})

describe('the real MXs in DNS', () => {
  test('are what a domain names and is none of our decoys, by name or by address', async () => {
    const { exchanges, told, trouble } = await asked({
      'MX example.test': [
        '5 mx0.example.test',
        '20 Real1.example.test',
        '20 real2.example.test',
        '90 other.example.test',
      ],
      'A mx0.example.test': ['192.0.2.66', '198.51.100.66'],
      'A real1.example.test': ['192.0.2.25'],
      'A real2.example.test': ['192.0.2.26'],
      'AAAA real2.example.test': ['2001:db8::26'],
      'A other.example.test': ['192.0.2.67'],
    })
    const found = [at('real1.example.test', '192.0.2.25'), at('real2.example.test', '192.0.2.26', '2001:db8::26')]
    expect(exchanges.list).toEqual(found)
    expect(exchanges.layouts).toEqual([
      {
        domain: 'example.test',
        mx: [
          { preference: 5, name: 'mx0.example.test', decoy: true },
          { preference: 20, name: 'real1.example.test', decoy: false },
          { preference: 20, name: 'real2.example.test', decoy: false },
          { preference: 90, name: 'other.example.test', decoy: true },
        ],
      },
    ])
    expect(told).toEqual([{ list: found, ofDecoys: ['192.0.2.66', '192.0.2.67', '198.51.100.66'] }])
    expect(trouble).toEqual([])
  })

  test('are the domain itself where it has no MX, nobody where a null MX says so, and each once', async () => {
    const { exchanges } = await asked(
      {
        'A plain.test': ['192.0.2.30'],
        'MX null.test': ['0 .'],
        'MX one.test': ['10 mx.shared.test'],
        'MX two.test': ['10 mx.shared.test', '20 gone.shared.test'],
        'A mx.shared.test': ['192.0.2.31'],
      },
      ['plain.test', 'null.test', 'one.test', 'two.test'],
    )
    expect(exchanges.list).toEqual([
      at('gone.shared.test'),
      at('mx.shared.test', '192.0.2.31'),
      at('plain.test', '192.0.2.30'),
    ])
  })

  test('stay as they were while DNS is broken, and follow it when it says something else', async () => {
    let zone: Zone | 'broken' = { 'MX example.test': ['20 real.example.test'], 'A real.example.test': ['192.0.2.25'] }
    const { exchanges, told, trouble } = await asked(() => zone)
    zone = 'broken'
    await exchanges.start()
    expect(exchanges.list).toEqual([at('real.example.test', '192.0.2.25')])
    expect(trouble).toEqual([expect.stringMatching(/^example\.test: .*SERVFAIL/)])
    zone = { 'MX example.test': ['20 real.example.test'], 'A real.example.test': ['192.0.2.99'] }
    await exchanges.start()
    expect(exchanges.list).toEqual([at('real.example.test', '192.0.2.99')])
    await exchanges.start()
    expect(told).toHaveLength(2)
  })

  test('are watched up to a bound, and more is said', async () => {
    // Two answers, for one of so many would not fit into a packet.
    const half = (domain: string) => Array.from({ length: EXCHANGES_MAX / 2 + 1 }, (_, i) => `mx${i}.${domain}`)
    const domains = ['a.test', 'b.test']
    const many = domains.flatMap(half)
    const { exchanges, trouble } = await asked(
      {
        ...Object.fromEntries(domains.map((domain) => [`MX ${domain}`, half(domain).map((name) => `20 ${name}`)])),
        ...Object.fromEntries(many.map((name, i) => [`A ${name}`, [`192.0.2.${100 + i}`]])),
      },
      domains,
    )
    expect(exchanges.list).toHaveLength(EXCHANGES_MAX)
    expect(trouble).toEqual([expect.stringContaining(`only ${EXCHANGES_MAX} of ${EXCHANGES_MAX + 2} MXs are watched`)])
  })
})
