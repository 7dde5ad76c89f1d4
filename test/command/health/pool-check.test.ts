import { describe, expect, test } from 'vitest'
import { examinePools } from '../../../src/command/health/pool-check.ts'
import { readWellKnownFile } from '../../../src/settings/checked.ts'
import { poolOf } from '../../../src/watch/reverse.ts'

const NOW = Date.UTC(2026, 10, 24)
const WELL = { dns: true, pools: 40, networks: 300, records: 42, unread: [], notes: [], reviewed: '2026-11-01' }

describe('what the doctor says of pools', () => {
  test('all is well', () => {
    expect(examinePools(WELL, NOW)).toEqual([
      { check: 'pools', level: 'ok', seen: '300 networks of 40 pools are known', next: null },
    ])
  })

  test('DNS is not asked; records that could not be read, with what is used instead; what was passed over', () => {
    expect(examinePools({ ...WELL, dns: false }, NOW)).toMatchObject(
      [{ level: 'warn', seen: /DNS is not asked/ }].map(({ level }) => ({ level })),
    )
    const unread = ['a.test', 'b.test', 'c.test', 'd.test'].map((domain, i) => ({
      domain,
      error: `${domain}: it failed`,
      at: i === 0 ? null : '2026-11-03T00:00:00.000Z',
    }))
    const [first, second] = examinePools({ ...WELL, unread, notes: ['one', 'two'] }, NOW)
    expect(first).toMatchObject({ level: 'warn' })
    expect(first?.seen).toContain(
      '4 of 42 SPF records could not be read: a.test (never read: it failed); b.test (as of 2026-11-03: it failed); c.test (as of 2026-11-03: it failed) and 1 more',
    )
    expect(second?.seen).toBe('passed over in SPF records: one; 1 more')
  })

  test('none could be read: it is the resolver, and said once', () => {
    const unread = Array.from({ length: 42 }, (_, n) => ({
      domain: `${n}.test`,
      error: `${n}.test: ECONNREFUSED`,
      at: null,
    }))
    expect(examinePools({ ...WELL, networks: 0, unread }, NOW)).toEqual([
      {
        check: 'pools',
        level: 'warn',
        seen: '0 networks of 40 pools are known; none of the 42 SPF records could be read (ECONNREFUSED)',
        next: 'does the resolver answer? It is the one in pools.resolver, else the host’s own (/etc/resolv.conf)',
      },
    ])
  })

  test('the list was not looked at for 180 days', () => {
    expect(examinePools({ ...WELL, reviewed: '2026-05-28' }, NOW)).toHaveLength(1)
    expect(examinePools({ ...WELL, reviewed: '2026-05-27' }, NOW)[1]).toMatchObject({
      level: 'warn',
      seen: 'the list of well-known senders was reviewed on 2026-05-27, 181 days ago',
    })
  })
})

describe('the list that ships', () => {
  const read = readWellKnownFile()
  const pools = read.ok ? read.wellKnown.pools : []

  test('is sound, and large enough to be of use', () => {
    expect(read.ok ? [] : read.problems).toEqual([])
    expect(pools.length).toBeGreaterThanOrEqual(40)
  })

  test('has no name that nobody could have: each is the own name of an organisation, or below one', () => {
    for (const pool of pools) for (const name of pool.names) expect(poolOf(`mx.${name}`, [pool])?.name).toBe(pool.name)
  })

  test('does not take customers of a provider for its mail servers', () => {
    for (const host of [
      'c-192-0-2-1.hsd1.ca.comcast.net',
      'vps-1234.vps.ovh.net',
      'p5089.dip0.t-ipconnect.de',
      'ip-192-0-2-1.ip.secureserver.net',
      '1.2.0.192.bc.googleusercontent.com',
      'ec2-192-0-2-1.compute-1.amazonaws.com',
      'lfbn-1-1.w90-1.abo.wanadoo.fr',
    ])
      expect([host, poolOf(host, pools)?.name]).toEqual([host, undefined])
  })
})
