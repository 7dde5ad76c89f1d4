import { Resolver } from 'node:dns/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type Client, parseClient } from '../../src/core/client.ts'
import type { Pool } from '../../src/core/pools.ts'
import { poolOf, ReverseNames, WAITING_MAX } from '../../src/watch/reverse.ts'
import { nameServer, type Zone } from '../name-server.ts'

const NOW = Date.UTC(2026, 10, 24)
const client = (ip: string) => parseClient(ip) as Client
const pool = (name: string, ...names: string[]): Pool => ({ name, spf: [], names, because: 'a test' })
const POOLS = [pool('big-mail', 'big-mail.com'), pool('hoster', 'mail.hoster.net'), pool('cloud', 'amazonaws.com')]

function ptr(ip: string): string {
  if (!ip.includes(':')) return `PTR ${ip.split('.').toReversed().join('.')}.in-addr.arpa`
  const [left = '', right = ''] = ip.split('::')
  const groups = [left, right].map((part) => part.split(':').map((group) => group.padStart(4, '0')))
  const middle = '0000'.repeat(8 - groups.flat().length)
  const digits = `${groups[0]?.join('')}${middle}${groups[1]?.join('')}`
  return `PTR ${digits.split('').toReversed().join('.')}.ip6.arpa`
}

async function names(zone: Zone | 'broken', silent?: (question: string) => boolean, pools = POOLS) {
  const dns = new Resolver({ timeout: silent ? 100 : 20_000, tries: 1 })
  const questions: string[] = []
  const server = await nameServer(
    () => zone,
    (question) => (questions.push(question), silent?.(question) ?? false),
  )
  dns.setServers([server])
  const waiting = new Map<string, (outcome: string) => void>()
  const reverse = new ReverseNames({
    dns,
    pools: () => pools,
    now: () => NOW,
    answered: ({ key }, outcome) => waiting.get(key)?.(outcome),
    retryMs: 1,
  })
  onTestFinished(() => reverse.close())
  const ask = (ip: string) =>
    new Promise<string>((resolve) => {
      waiting.set(client(ip).key, resolve)
      reverse.ask(client(ip))
    })
  return { reverse, ask, questions }
}

describe('a reverse name', () => {
  test('that leads back, below the domain of a pool, makes a member; also by IPv6', async () => {
    const { reverse, ask } = await names({
      [ptr('192.0.2.1')]: ['other.example', 'MX7.out.big-mail.com'],
      'A mx7.out.big-mail.com': ['192.0.2.9', '192.0.2.1'],
      [ptr('2001:db8::7')]: ['mx6.big-mail.com'],
      'AAAA mx6.big-mail.com': ['2001:db8::7'],
    })
    expect(reverse.memberOf(client('192.0.2.1'))).toBe('unknown')
    expect([await ask('192.0.2.1'), await ask('2001:db8::7')]).toEqual(['member', 'member'])
    const member = { pool: 'big-mail', found: 'fcrdns', at: NOW }
    expect(reverse.memberOf(client('192.0.2.1'))).toEqual(member)
    expect(reverse.memberOf(client('2001:db8::99'))).toEqual(member)
    expect(reverse.memberOf(client('192.0.2.2'))).toBe('unknown')
  })

  test.each<[string, Zone]>([
    ['leads elsewhere: anybody can write it', { 'A mx.big-mail.com': ['198.51.100.1'] }],
    ['leads nowhere', {}],
  ])('that %s makes none', async (_, zone) => {
    const { reverse, ask } = await names({ [ptr('192.0.2.1')]: ['mx.big-mail.com'], ...zone })
    expect(await ask('192.0.2.1')).toBe('stranger')
    expect(reverse.memberOf(client('192.0.2.1'))).toBeUndefined()
  })

  test('that is none, or of nobody who is known, makes none, and is not followed', async () => {
    const { ask, questions } = await names({
      [ptr('192.0.2.2')]: ['big-mail.com.bot.example'],
      'A big-mail.com.bot.example': ['192.0.2.2'],
    })
    expect([await ask('192.0.2.1'), await ask('192.0.2.2')]).toEqual(['stranger', 'stranger'])
    expect(questions.filter((question) => question.startsWith('A'))).toEqual([])
  })

  test.each([
    ['mx1.big-mail.com', 'big-mail'],
    ['BIG-MAIL.com.', 'big-mail'],
    ['not-big-mail.com', undefined],
    ['big-mail.com.evil.example', undefined],
    ['out3.mail.hoster.net', 'hoster'],
    // Machines of its customers.
    ['vm3.hoster.net', undefined],
    ['ec2-192-0-2-1.eu-west-1.compute.amazonaws.com', undefined],
    ['localhost', undefined],
    ['..', undefined],
    ['\u0000\u001b', undefined],
  ])('%j is of %s', (host, expected) => {
    expect(poolOf(host, POOLS)?.name).toBe(expected)
  })
})

test('two tries that come to nothing are an answer, and DNS is asked no more about it', async () => {
  for (const [zone, silent] of [
    ['broken', undefined],
    [{ [ptr('192.0.2.1')]: ['x.big-mail.com'] }, (question: string) => question.startsWith('A ')],
  ] as const) {
    const { reverse, ask, questions } = await names(zone, silent)
    expect(await ask('192.0.2.1')).toBe('failed')
    expect(reverse.memberOf(client('192.0.2.1'))).toBeUndefined()
    expect(questions.filter((question) => question.startsWith('PTR'))).toHaveLength(2)
  }
})

test('without names to compare with nobody is asked about', async () => {
  const { reverse } = await names({}, undefined, [{ ...pool('by-spf'), spf: ['spf.test'] }])
  expect(reverse.memberOf(client('192.0.2.1'))).toBeUndefined()
})

test('in a flood only so many wait, few are asked about at once, each once; the rest stays unknown', async () => {
  let [now, most, asked] = [0, 0, 0]
  const release: (() => void)[] = []
  const dns = {
    resolvePtr: () => {
      asked++
      most = Math.max(most, ++now)
      return new Promise<string[]>((resolve) => release.push(() => (now--, resolve([]))))
    },
    resolve4: () => Promise.resolve([]),
    resolve6: () => Promise.resolve([]),
  }
  const answered = new Set<string>()
  const reverse = new ReverseNames({ dns, pools: () => POOLS, now: () => NOW, answered: ({ ip }) => answered.add(ip) })
  onTestFinished(() => reverse.close())
  for (let i = 0; i < WAITING_MAX + 500; i++) reverse.ask(client(`198.18.${i >> 8}.${i & 255}`))
  for (let i = 0; i < 10; i++) reverse.ask(client('198.18.0.0'))
  while (release.length > 0) {
    release.shift()?.()
    await new Promise((resolve) => setImmediate(resolve))
  }
  expect([asked, answered.size, most]).toEqual([WAITING_MAX, WAITING_MAX, 16])
  expect(reverse.memberOf(client(`198.18.${(WAITING_MAX + 499) >> 8}.${(WAITING_MAX + 499) & 255}`))).toBe('unknown')
})
