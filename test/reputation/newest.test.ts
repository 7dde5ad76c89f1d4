/** The newest that are looked for, found among columns, are those that looking at each would have found. */
import { expect, test } from 'vitest'
import { searchFor } from '../../src/console/pages/decisions.ts'
import { type Client, clientOfKey, dottedOf } from '../../src/core/client.ts'
import { parsePrefix, type Prefix, Prefixes } from '../../src/core/prefixes.ts'
import { Ledger } from '../../src/reputation/ledger.ts'
import { type Ruling, ticketOf } from '../../src/reputation/store.ts'

const NOON = Date.UTC(2026, 10, 28, 12)
const REASONS = ['talked first', 'came to the backup MX first', 'guessed addresses', 'ended']
const RULES = new Map([['talked first', 'talks-first']])
const MOST = 25

/** Some of each kind, the same every time; a few have ended, and of others only a lesser word stands. */
function rulings(): Ruling[] {
  const listings = Array.from({ length: 3000 }, (_, i): Ruling => {
    const target = i % 40 === 0 ? `2001:db8:0:${i.toString(16)}::/64` : dottedOf((0x0b00_0000 + i * 7919 * 13) | 0)
    const since = NOON - ((i * 7_919_111) % 86_400_000)
    const ends = [NOON + (i % 7) * 1000 - 2000, NOON + (i % 5) * 1000 - 1000]
    const stands = [
      { word: 'block' as const, until: ends[0] as number },
      { word: 'defer' as const, until: ends[1] as number },
    ].slice(i % 3 === 0 ? 1 : 0)
    return {
      by: 'rules',
      target,
      word: (stands[0] as (typeof stands)[number]).word,
      since,
      until: Math.max(...stands.map(({ until }) => until)),
      stands,
      enforced: stands,
      ticket: ticketOf(target, since),
      because: REASONS[i % 3] as string,
      score: i,
    }
  })
  const words = (['allow', 'block', 'release'] as const).flatMap((word, n) =>
    Array.from({ length: 12 }, (_, i): Ruling => {
      const [target, since] = [`198.51.${n}.${i * 8}/29`, NOON - i * 60_000]
      const grace =
        word === 'release' ? { grace: NOON + (i - 3) * 1000, until: NOON + 86_400_000 } : { until: undefined }
      return {
        by: 'operator',
        target,
        word,
        since,
        ticket: ticketOf(target, since),
        because: 'a partner',
        author: 'ann',
        ...grace,
      }
    }),
  )
  return [...listings, ...words]
}

async function ledger(): Promise<Ledger> {
  const source = {
    rulings: async () => ({ generation: 1, rulings: rulings() }),
    generation: async () => 1,
    watch: async () => {},
  }
  const made = new Ledger(source, { now: () => NOON, uptime: () => 0, maxAgeMs: 1000, tell: () => {} })
  await made.start()
  made.close()
  return made
}

const known = await ledger()

test.each(
  ['', 'block', 'defer', 'observe', 'allow', 'release'].flatMap((choice) =>
    [
      '',
      '11.5',
      '11.0.0.0/9',
      '198.51.0.0/20',
      '2001:db8::/32',
      'first',
      'talks-',
      'ann',
      'rules',
      'a',
      'k-',
      '7f',
      'none at all',
    ].map((q) => [choice, q] as const),
  ),
)('word "%s", text "%s"', (choice, q) => {
  const search = searchFor({ q, choice }, RULES)
  const all = [...known.all()].filter(
    (ruling) =>
      (ruling.grace ?? Infinity) > NOON && (search.word ?? ruling.word) === ruling.word && search.ruling(ruling),
  )
  const { found, count } = known.newest(search, MOST)
  expect(count).toBe(all.length)
  const sinces = (some: readonly Ruling[]) => some.map(({ since }) => since)
  expect(sinces(found)).toEqual(sinces(all.toSorted((a, b) => b.since - a.since)).slice(0, MOST))
  for (const ruling of found) expect(all).toContainEqual(ruling)
})

test('for how many clients each reason decides: where an operator, or the allow-list, has spoken, none does', () => {
  const allow = Prefixes.of([[parsePrefix('11.0.0.0/9') as Prefix, 'listed'] as const])
  const spoken = new Prefixes<true>()
  for (const { by, word, target } of known.all())
    if (by === 'operator' && word !== 'release') spoken.set(parsePrefix(target) as Prefix, true)
  const counted = new Map<string, number>()
  for (const { by, target, because } of known.all()) {
    const client = clientOfKey(target) as Client
    if (by === 'rules' && !spoken.find(client) && allow.find(client) === undefined)
      counted.set(because, (counted.get(because) ?? 0) + 1)
  }
  expect(counted.size).toBe(3)
  expect(known.reasons(allow)).toEqual(counted)
})
