import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type Client, parseClient } from '../../src/core/client.ts'
import { parsePrefix, type Prefix, Prefixes } from '../../src/core/prefixes.ts'
import type { Rules } from '../../src/core/rules.ts'
import { decider, sinceOf } from '../../src/reputation/decision.ts'
import { openEmbedded } from '../../src/reputation/embedded.ts'
import { Ledger } from '../../src/reputation/ledger.ts'
import { openRedis } from '../../src/reputation/redis.ts'
import { type Ruling, type Store, ticketOf } from '../../src/reputation/store.ts'
import { folder } from '../folders.ts'
import { shippedRules } from '../rules.ts'
import type { Exception, Mode } from '../../src/core/rules.ts'

const NOON = Date.parse('2026-11-24T12:00:00Z')
const MAX_AGE_MS = 60_000
const RULES = shippedRules()

function client(ip: string): Client {
  return parseClient(ip) as Client
}

function ruling(target: string, word: Ruling['word'], more: Partial<Ruling> = {}): Ruling {
  return {
    by: 'rules',
    target,
    word,
    since: NOON,
    until: NOON + 3_600_000,
    ticket: ticketOf(target, NOON),
    because: 'talked first',
    ...more,
  }
}

async function setUp(options: { rules?: Rules; now?: () => number } = {}) {
  const now = options.now ?? (() => NOON)
  const store = await openEmbedded(join(folder(), 'reputation.db'), { now, tell: () => {} })
  const ledger = new Ledger(store, { now, uptime: now, maxAgeMs: MAX_AGE_MS, tell: () => {} })
  onTestFinished(async () => {
    ledger.close()
    await store.close()
  })
  return { store, ledger, decide: decider(ledger, () => options.rules ?? RULES, now) }
}

describe('an exception for the domain of a recipient', () => {
  const alike = (mode: Mode) => ({ observe: mode, defer: mode, block: mode })
  const exceptionOf = (more: Partial<Exception>): Exception => ({
    domain: 'lists.example.org',
    modes: alike('enforce'),
    thresholds: RULES.thresholds,
    because: 'a mailing list',
    ...more,
  })
  const decided = async (rules: Partial<Rules>, exception: Exception, more: Partial<Ruling> = {}) => {
    const exceptionFor = (domain: string) => (domain === exception.domain ? exception : undefined)
    const { store, ledger, decide } = await setUp({ rules: { ...RULES, ...rules, exceptionFor } })
    await store.put(ruling('203.0.113.9', 'block', { score: 110, ...more }))
    await ledger.start()
    return (domain?: string) => decide(client('203.0.113.9'), domain).effect
  }

  test('is gentler: its mode, or higher thresholds than the sum reaches; for others, and without a domain, nothing changes', async () => {
    const higher = { ...RULES.thresholds, block: 200 }
    for (const exception of [exceptionOf({ modes: alike('observe') }), exceptionOf({ thresholds: higher })]) {
      const effect = await decided({}, exception)
      expect([effect('lists.example.org'), effect('example.org'), effect()]).toEqual(['pass', 'block', 'block'])
    }
  })

  test('leaves the lesser word that the sum does reach', async () => {
    const stands = (['block', 'defer'] as const).map((word) => ({ word, until: NOON + 3_600_000 }))
    const effect = await decided({}, exceptionOf({ thresholds: { ...RULES.thresholds, block: 200 } }), {
      stands,
      enforced: stands,
    })
    expect(effect('lists.example.org')).toBe('defer')
  })

  test('enforces for one domain what is observed for all others', async () => {
    const effect = await decided({ mode: 'observe', modes: alike('observe') }, exceptionOf({}))
    expect([effect('lists.example.org'), effect('example.org'), effect()]).toEqual(['block', 'pass', 'pass'])
  })

  test('leaves the word of an operator as it is', async () => {
    const { store, ledger, decide } = await setUp({
      rules: { ...RULES, exceptionFor: () => exceptionOf({ thresholds: { observe: 900, defer: 900, block: 900 } }) },
    })
    await store.put({ ...ruling('203.0.113.9/32', 'block'), by: 'operator' })
    await ledger.start()
    expect(decide(client('203.0.113.9'), 'example.org').effect).toBe('block')
  })
})

describe('decision', () => {
  test('a stranger passes', async () => {
    const { ledger, decide } = await setUp()
    await ledger.start()
    expect(decide(client('203.0.113.9'))).toMatchObject({
      verdict: 'clean',
      effect: 'pass',
      doubt: undefined,
      ticket: undefined,
    })
  })

  test.each(['observe', 'defer', 'block'] as const)(
    '%s takes effect in mode enforce and passes in mode observe',
    async (word) => {
      for (const mode of ['enforce', 'observe'] as const) {
        const { store, ledger, decide } = await setUp({
          rules: { ...RULES, mode, modes: { observe: mode, defer: mode, block: mode } },
        })
        await store.put(ruling('203.0.113.9', word))
        await ledger.start()
        expect(decide(client('203.0.113.9'))).toMatchObject({
          verdict: word,
          effect: mode === 'enforce' ? word : 'pass',
          mode,
          ticket: ticketOf('203.0.113.9', NOON),
        })
      }
    },
  )

  test('a word in mode observe gives way to the next that is enforced, and a lighter word stands on when a heavier ends', async () => {
    let now = NOON
    const stands = [
      { word: 'block', until: NOON + 1000 },
      { word: 'defer', until: NOON + 2000 },
    ] as const
    const rules: Rules = { ...RULES, modes: { observe: 'enforce', defer: 'enforce', block: 'observe' } }
    const { store, ledger, decide } = await setUp({ rules, now: () => now })
    const more = { stands, enforced: stands, until: NOON + 2000 }
    await store.put(ruling('203.0.113.9', 'block', more))
    await store.put(ruling('203.0.113.10', 'block', { ...more, enforced: [] }))
    await ledger.start()
    const told = () => ['203.0.113.9', '203.0.113.10'].map((ip) => decide(client(ip)))
    const ticket = ticketOf('203.0.113.9', NOON)
    expect(told()).toMatchObject([
      { verdict: 'block', effect: 'defer', mode: 'observe', until: NOON + 1000, ticket },
      { verdict: 'block', effect: 'pass' },
    ])
    now = NOON + 1000
    expect(told()).toMatchObject([
      { verdict: 'defer', effect: 'defer', mode: 'enforce', until: NOON + 2000, ticket },
      { verdict: 'defer', effect: 'pass' },
    ])
    expect([...ledger.all()].map(({ word, until }) => ({ word, until }))).toEqual([
      { word: 'defer', until: NOON + 2000 },
      { word: 'defer', until: NOON + 2000 },
    ])
    now = NOON + 2000
    expect(told()).toMatchObject([{ verdict: 'clean' }, { verdict: 'clean' }])
    expect(ledger.ofTicket(ticket)).toMatchObject({ endedAt: NOON + 2000 })
  })

  test('the operator stands above the rules, and allow above block, whatever the length of the prefix', async () => {
    const { store, ledger, decide } = await setUp()
    await store.put(ruling('203.0.113.9', 'block'))
    await store.put(ruling('203.0.113.0/24', 'allow', { by: 'operator', author: 'eve' }))
    await store.put(ruling('203.0.113.9/32', 'block', { by: 'operator', author: 'eve' }))
    await store.put(ruling('198.51.100.0/24', 'block', { by: 'operator', until: undefined }))
    await ledger.start()
    expect(decide(client('203.0.113.9'))).toMatchObject({ verdict: 'allow', effect: 'pass', by: 'operator' })
    expect(decide(client('198.51.100.7'))).toMatchObject({
      verdict: 'block',
      effect: 'block',
      by: 'operator',
      until: undefined,
    })
  })

  test('an IPv6 client is known by its /64', async () => {
    const { store, ledger, decide } = await setUp()
    await store.put(ruling('2001:db8:0:1::/64', 'block'))
    await ledger.start()
    expect(decide(client('2001:db8:0:1:aaaa::1')).verdict).toBe('block')
    expect(decide(client('2001:db8:0:2::1')).verdict).toBe('clean')
  })

  test('the allow-list of the rules beats a block, until its entry ends', async () => {
    const prefix = parsePrefix('203.0.113.9/32') as Prefix
    const entry = { because: 'our relay', until: NOON + 1000, line: 7, index: 0, prefix }
    let now = NOON
    const { store, ledger, decide } = await setUp({
      now: () => now,
      rules: { ...RULES, allow: Prefixes.of([[prefix, entry]]) },
    })
    await store.put(ruling('203.0.113.9', 'block'))
    await ledger.start()
    expect(decide(client('203.0.113.9'))).toMatchObject({ verdict: 'allow', because: 'our relay' })
    now += 1001
    expect(decide(client('203.0.113.9')).verdict).toBe('block')
  })

  test('loopback, private and link-local clients are never refused, not even by the operator', async () => {
    const { store, ledger, decide } = await setUp()
    for (const [target, ip] of [
      ['10.0.0.0/8', '10.1.2.3'],
      ['127.0.0.0/8', '127.0.0.1'],
      ['fe80::/64', 'fe80::1'],
    ] as const) {
      await store.put(ruling(target, 'block', { by: 'operator' }))
      await ledger.start()
      expect(decide(client(ip))).toMatchObject({ verdict: 'clean', effect: 'pass' })
    }
  })

  test('what has ended does not stand, without anybody sweeping', async () => {
    let now = NOON
    const { store, ledger, decide } = await setUp({ now: () => now })
    await store.put(ruling('203.0.113.9', 'block'))
    await ledger.start()
    now = NOON + 3_600_000
    expect(decide(client('203.0.113.9')).verdict).toBe('clean')
  })

  test('before the first copy is there, everybody passes', async () => {
    const { store, decide } = await setUp()
    await store.put(ruling('203.0.113.9', 'block'))
    expect(decide(client('203.0.113.9'))).toMatchObject({ effect: 'pass', doubt: 'starting' })
  })

  test('a copy that is too old refuses nobody, and an allow still stands', async () => {
    let now = NOON
    const { store, ledger, decide } = await setUp({ now: () => now })
    await store.put(ruling('203.0.113.9', 'block', { until: NOON + 1e9 }))
    await store.put(ruling('198.51.100.7/32', 'allow', { by: 'operator', until: undefined }))
    await ledger.start()
    now += MAX_AGE_MS + 1
    expect(decide(client('203.0.113.9'))).toMatchObject({ verdict: 'block', effect: 'pass', doubt: 'stale' })
    expect(decide(client('198.51.100.7'))).toMatchObject({ verdict: 'allow', effect: 'pass' })
  })

  test('a store that was never reached leaves everybody free', async () => {
    const store: Store = await openRedis({ at: { path: '/nonexistent/socket' } }, { now: () => NOON, tell: () => {} })
    const ledger = new Ledger(store, { now: () => NOON, uptime: () => 0, maxAgeMs: MAX_AGE_MS, tell: () => {} })
    onTestFinished(async () => {
      ledger.close()
      await store.close()
    })
    await ledger.start()
    expect(
      decider(
        ledger,
        () => RULES,
        () => NOON,
      )(client('203.0.113.9')),
    ).toMatchObject({ effect: 'pass', doubt: 'starting' })
  })

  test('a ticket finds its decision, in any case of letters', async () => {
    const { store, ledger } = await setUp()
    await store.put(ruling('203.0.113.9', 'block'))
    await ledger.start()
    const { ticket } = ruling('203.0.113.9', 'block')
    expect(ledger.ofTicket(ticket.toLowerCase())).toMatchObject({
      ruling: { target: '203.0.113.9' },
      endedAt: undefined,
    })
    await store.drop('rules 203.0.113.9')
    expect(ledger.ofTicket(ticket)).toMatchObject({ ruling: { target: '203.0.113.9', word: 'block' }, endedAt: NOON })
    expect(ledger.ofTicket('0000-0000')).toBeUndefined()
  })
})

test('since when it stands: of the rules, of an operator, and of nothing', async () => {
  const { store, ledger, decide } = await setUp()
  await store.put(ruling('203.0.113.9', 'block'))
  await store.put(ruling('198.51.100.0/24', 'allow', { by: 'operator', since: NOON - 1, until: undefined }))
  await store.put(ruling('192.0.2.0/24', 'block', { by: 'operator', since: NOON - 2, until: undefined }))
  await ledger.start()
  const since = (ip: string) => sinceOf(decide(client(ip)), ledger)
  expect(['203.0.113.9', '198.51.100.1', '192.0.2.1', '203.0.113.10'].map(since)).toEqual([
    NOON,
    NOON - 1,
    NOON - 2,
    undefined,
  ])
})
