import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type Client, parseClient } from '../../src/core/client.ts'
import { Announcer, type Copy, type News, openCopy } from '../../src/reputation/copy.ts'
import { openEmbedded } from '../../src/reputation/embedded.ts'
import { Ledger } from '../../src/reputation/ledger.ts'
import type { Ruling } from '../../src/reputation/store.ts'
import { folder } from '../folders.ts'
import { shippedRules } from '../rules.ts'

const NOON = Date.parse('2026-11-24T12:00:00Z')
const BOT = parseClient('203.0.113.9') as Client
const RULES = shippedRules()
const MAX_AGE_MS = 60_000

function ruling(ip: string, word: Ruling['word'] = 'block', by: Ruling['by'] = 'rules'): Ruling {
  const target = by === 'rules' ? ip : `${ip}/32`
  const until = by === 'rules' ? { until: NOON + 1e9 } : {}
  return { by, target, word, since: NOON, ...until, ticket: `T${ip}`, because: 'talked first' }
}

/** A store with its ledger, and a copy that hears of it as another process would: by values that were sent. */
async function pair(first: readonly Ruling[] = []) {
  const clock = { now: NOON }
  const now = () => clock.now
  const store = await openEmbedded(join(folder(), 'reputation.db'), { now, tell: () => {} })
  for (const each of first) await store.put(each)
  let announcer: Announcer | undefined
  const ledger = new Ledger(store, { now, uptime: now, maxAgeMs: MAX_AGE_MS, tell: (it) => announcer?.hear(it) })
  await ledger.start()
  const line = { cut: false }
  const sent: News[] = []
  let changes = 0
  let take: (news: News) => void = () => {}
  const copy: Copy = await openCopy(
    { rules: () => RULES, now, uptime: now, maxAgeMs: MAX_AGE_MS, changed: () => changes++ },
    (begin) => {
      take = begin
      announcer = new Announcer(ledger, (news) => {
        sent.push(news)
        if (!line.cut) take(structuredClone(news))
      })
    },
  )
  onTestFinished(async () => {
    copy.close()
    ledger.close()
    await store.close()
  })
  const settled = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
  return { store, clock, copy, line, sent, settled, announcer: () => announcer as Announcer, changes: () => changes }
}

describe('a copy of the rulings', () => {
  test('decides from the first moment as the ledger does, and follows every change', async () => {
    const { store, copy, settled, changes } = await pair([ruling('203.0.113.9')])
    expect(copy.decide(BOT)).toMatchObject({ verdict: 'block', ticket: 'T203.0.113.9', doubt: undefined })
    const before = changes()
    await store.put(ruling('203.0.113.9', 'allow', 'operator'))
    await settled()
    expect(copy.decide(BOT).verdict).toBe('allow')
    expect(changes()).toBeGreaterThan(before)
    await store.drop('operator 203.0.113.9/32')
    await store.drop('rules 203.0.113.9')
    await settled()
    expect(copy.decide(BOT).verdict).toBe('clean')
  })

  test('thousands come in portions, and many changes in one message', async () => {
    const { store, copy, sent, settled } = await pair(
      Array.from({ length: 5000 }, (_, i) => ruling(`203.${i >> 8}.${i & 255}.1`)),
    )
    expect(sent.filter(({ what }) => what === 'all').length).toBeGreaterThan(2)
    for (const ip of ['203.0.0.1', '203.19.135.1']) expect(copy.decide(parseClient(ip) as Client).verdict).toBe('block')
    const before = sent.length
    for (let i = 0; i < 100; i++) void store.put(ruling(`198.51.100.${i}`))
    await settled()
    expect(sent.slice(before)).toMatchObject([{ what: 'changes', steps: { length: 100 } }])
    expect(copy.decide(parseClient('198.51.100.99') as Client).verdict).toBe('block')
  })

  test('carries nothing that only people read', async () => {
    const { sent } = await pair([{ ...ruling('203.0.113.9', 'block', 'operator'), author: 'anna' }])
    expect(JSON.stringify(sent)).not.toMatch(/talked first|anna/)
  })

  test('of which nothing more is heard decides nothing in the end, and again when it is', async () => {
    const { clock, copy, line, announcer } = await pair([ruling('203.0.113.9')])
    line.cut = true
    clock.now += MAX_AGE_MS
    expect(copy.decide(BOT).doubt).toBeUndefined()
    clock.now += 1
    expect(copy.decide(BOT)).toMatchObject({ effect: 'pass', doubt: 'stale' })
    line.cut = false
    // Both ledgers prove themselves fresh on beats of their own; the announcer tells of its.
    await until(() => {
      announcer().beat()
      return copy.decide(BOT).doubt === undefined
    })
  })

  test('of a ledger that is stale itself is no fresher than that', async () => {
    const { clock, copy } = await pair([ruling('203.0.113.9')])
    copy.take({ what: 'beat', fresh: false })
    clock.now += MAX_AGE_MS + 1
    copy.take({ what: 'beat', fresh: false })
    expect(copy.decide(BOT)).toMatchObject({ effect: 'pass', doubt: 'stale' })
  })
})

/** Looks again at each turn of the loop; the test's own time limit ends it. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve))
}
