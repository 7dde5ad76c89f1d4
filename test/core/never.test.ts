import fc from 'fast-check'
import ipaddr from 'ipaddr.js'
import { describe, expect, test } from 'vitest'
import { type Client, dottedOf, numberOfDotted, parseClient } from '../../src/core/client.ts'
import type { Event } from '../../src/core/evidence.ts'
import { BUCKETS_MAX, type Counts, FACT_NAMES, type Facts, HOUR_MS } from '../../src/core/facts.ts'
import { Never, neverListed } from '../../src/core/never.ts'
import { parsePrefix, type Prefix, Prefixes } from '../../src/core/prefixes.ts'
import { newWorld, step, verdictOf } from '../../src/core/replay.ts'
import { readRules, withNever } from '../../src/core/rules.ts'
import { judge } from '../../src/core/verdict.ts'
import { shippedRules } from '../rules.ts'

const client = (ip: string): Client => parseClient(ip) as Client
const prefix = (text: string): Prefix => {
  const read = parsePrefix(text)
  if (typeof read === 'string') throw new Error(read)
  return read
}
const NOW = Date.UTC(2026, 10, 24)

const never = new Never()
never.put('a decoy of ours', [prefix('192.0.2.66'), prefix('2001:db8::66/128')])
never.put('a real MX', [prefix('192.0.2.25')])
never.put('a network of ours', [prefix('198.51.100.0/24'), prefix('2001:db8:5::/48')])
const rules = withNever(shippedRules(), never)

/** Each in what is never listed, with the range that it is in. */
const inside = fc.oneof(
  fc.constantFrom('192.0.2.66', '192.0.2.25', '2001:db8::1', '2001:db8::66', '::ffff:192.0.2.66'),
  fc.nat(255).map((n) => `198.51.100.${n}`),
  fc.nat(0xffff).map((n) => `2001:db8:5:${n.toString(16)}::9`),
  fc.tuple(fc.constantFrom('10', '127', '224'), fc.nat(255)).map(([a, b]) => `${a}.${b}.3.4`),
  fc.constantFrom(
    '192.168.7.7',
    '172.16.0.1',
    '169.254.1.1',
    '100.64.0.1',
    '0.0.0.0',
    'fe80::1',
    'fd00::1',
    '::1',
    '::',
  ),
)

test('whatever is seen of them, and whatever the operator says, they are not listed', () => {
  const bucket = fc.record({ hour: fc.nat(24), count: fc.integer({ min: 1, max: 1000 }) }).map(({ hour, count }) => {
    const first = NOW - hour * HOUR_MS
    return { hour: Math.floor(first / HOUR_MS), count, first, last: first }
  })
  const counts = fc
    .array(fc.tuple(fc.constantFrom(...FACT_NAMES), fc.array(bucket, { minLength: 1, maxLength: 3 })), {
      maxLength: 12,
    })
    .map((rows): Counts => new Map(rows))
  expect(BUCKETS_MAX).toBeGreaterThan(0)
  fc.assert(
    fc.property(inside, counts, counts, (ip, own, network) => {
      const facts: Facts = { own, network }
      const { word, never: why } = judge(client(ip), facts, rules, NOW)
      expect([word, why === undefined]).toEqual(['clean', false])
    }),
  )
  fc.assert(
    fc.property(inside, (ip) => {
      const events: Event[] = [
        { type: 'evidence', at: NOW, client: client(ip).ip, role: 'backup', kind: 'early-talk' },
        { type: 'evidence', at: NOW, client: client(ip).ip, role: 'backup', kind: 'recipient' },
        { type: 'word', at: NOW, word: 'block', target: '0.0.0.0/0', because: 'a slip', author: 'eve' },
        { type: 'word', at: NOW, word: 'block', target: '::/0', because: 'a slip', author: 'eve' },
      ]
      const world = events.reduce((now, event, i) => step(now, { seq: i + 1, event }), newWorld(rules, 'trusted'))
      expect(verdictOf(world, client(ip), NOW + 1).word).toBe('clean')
      expect(verdictOf(world, client('203.0.113.200'), NOW + 1).word).toBe('block')
    }),
  )
})

describe('what is never listed', () => {
  test('is told when it changes, and can be copied', () => {
    let changes = 0
    const first = new Never(() => changes++)
    first.put('a real MX', [prefix('192.0.2.25'), prefix('2001:db8::25/128')])
    first.put('a real MX', [prefix('192.0.2.25'), prefix('2001:db8::25/128')])
    expect(changes).toBe(1)
    expect(first.groups).toEqual([{ what: 'a real MX', cidrs: ['192.0.2.25/32', '2001:db8::/64'] }])
    first.put('a real MX', [prefix('192.0.2.26')])
    expect(changes).toBe(2)
    const copy = new Never()
    for (const { what, cidrs } of first.groups) copy.put(what, cidrs.map(prefix))
    expect(copy.find(client('192.0.2.26'))).toBe('a real MX')
    expect(copy.find(client('192.0.2.25'))).toBeUndefined()
  })

  test('is told with its reason; neighbours are judged as ever', () => {
    expect(never.find(client('192.0.2.66'))).toBe('a decoy of ours')
    expect(never.find(client('2001:db8::9'))).toBe('a decoy of ours')
    expect(never.find(client('10.1.2.3'))).toMatch(/private/)
    for (const ip of ['192.0.2.67', '198.51.101.1', '2001:db8:0:1::1']) expect(never.find(client(ip))).toBeUndefined()
  })

  test('a group is replaced as a whole', () => {
    const list = new Never()
    list.put('a real MX', [prefix('192.0.2.25')])
    list.put('a real MX', [prefix('192.0.2.26')])
    expect([list.find(client('192.0.2.25')), list.find(client('192.0.2.26'))]).toEqual([undefined, 'a real MX'])
  })

  test('inside a network, or around it, is found', () => {
    const within = (text: string) => never.within(prefix(text)).map(({ cidr }) => cidr)
    expect(within('192.0.2.0/24')).toEqual(['192.0.2.66/32', '192.0.2.25/32'])
    expect(within('198.51.100.128/25')).toEqual(['198.51.100.0/24'])
    expect(within('2001:db8::/32')).toEqual(['2001:db8::/64', '2001:db8:5::/48'])
    expect(within('203.0.113.0/24')).toEqual([])
  })

  test('the relays of the rules are among them, also after a reload without the others', () => {
    const source =
      'mode: enforce\ndomains: [example.test]\nthresholds: {observe: 1, defer: 2, block: 3}\nstands: {observe: 1h, defer: 1h, block: 1h}\nrules: []\n'
    const read = (text: string) => {
      const reading = readRules('r.yaml', text)
      if (!reading.ok) throw new Error(reading.problems.map(({ message }) => message).join())
      return reading.rules
    }
    const list = new Never()
    const first = withNever(read(`${source}relays: [203.0.113.0/28, "2001:db8:7::1"]\n`), list)
    expect(first.never(client('203.0.113.9'))).toMatch(/relay/)
    expect(first.never(client('2001:db8:7::2'))).toMatch(/relay/)
    expect(read(`${source}relays: [203.0.113.9]\n`).never(client('203.0.113.9'))).toMatch(/relay/)
    const second = withNever(read(source), list)
    expect(second.never(client('203.0.113.9'))).toBeUndefined()
    const bad = readRules('r.yaml', `${source}relays: [203.0.113.9/24]\n`)
    expect(bad.ok ? '' : bad.problems[0]?.message).toContain('host bits set')
  })
})

test('the ranges as networks hold exactly whom the ranges hold, as far as clients go', () => {
  const ranges = Prefixes.of(new Never().networks().map((each) => [each, true] as const))
  const same = (ip: string): void => {
    expect(`${ip} ${ranges.find(client(ip)) ?? false}`).toBe(`${ip} ${new Never().find(client(ip)) !== undefined}`)
  }
  for (const each of new Never().networks()) {
    const [first = ''] = each.cidr.split('/')
    same(first)
    if (each.family === 4) {
      const whole = numberOfDotted(first)
      for (const near of [whole - 1, whole + 2 ** (32 - each.length) - 1, whole + 2 ** (32 - each.length)])
        if (near >= 0 && near < 2 ** 32) same(dottedOf(near))
    }
  }
  for (const ip of [
    'fbff::1',
    'fdff:ffff::1',
    'fe00::1',
    'fe7f::1',
    'febf:ffff::1',
    'fec0::1',
    'feff::1',
    '::1',
    '0:0:0:1::1',
  ])
    same(ip)
  fc.assert(fc.property(fc.ipV4(), same))
  fc.assert(fc.property(fc.ipV6(), (ip) => void (client(ip).key === '::/64' || same(ip))))
})

describe('never listed', () => {
  test.each([
    '0.0.0.0',
    '127.0.0.1',
    '127.9.9.9',
    '10.1.2.3',
    '172.16.0.1',
    '192.168.1.1',
    '100.64.0.1',
    '169.254.1.1',
    '224.0.0.1',
    '255.255.255.255',
  ])('%s', (text) => expect(neverListed(client(text))).toMatch(/address/))
  test.each(['::', '::1', 'fe80::1%eth0', 'fd00::1', 'ff02::1', '::ffff:127.0.0.1', '::ffff:10.0.0.1'])('%s', (text) =>
    expect(neverListed(client(text))).toMatch(/address/),
  )
  test.each([
    '192.0.2.1',
    '198.51.100.1',
    '203.0.113.1',
    '2001:db8::1',
    '8.8.8.8',
    '2a00:1450::1',
    '172.32.0.1',
    '100.128.0.1',
    '198.18.0.1',
  ])('%s is judged like any other', (text) => expect(neverListed(client(text))).toBeUndefined())

  test('of IPv4 exactly what another reader of addresses calls so, at every edge', () => {
    const strange = ['unspecified', 'loopback', 'private', 'carrierGradeNat', 'linkLocal', 'multicast', 'broadcast']
    const edges = fc
      .tuple(fc.constantFrom(0, 10, 100, 127, 169, 172, 192, 223, 224, 239, 240, 255), fc.ipV4())
      .map(([first, ip]) => ip.replace(/^\d+/, String(first)))
    fc.assert(
      fc.property(
        fc.oneof(fc.ipV4(), edges, fc.constantFrom('255.255.255.254', '100.64.0.0', '100.127.255.255')),
        (ip) => {
          expect(neverListed(client(ip)) !== undefined, ip).toBe(strange.includes(ipaddr.parse(ip).range()))
        },
      ),
      { numRuns: 2000 },
    )
  })
})
