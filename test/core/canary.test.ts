import { expect, test } from 'vitest'
import { CANARIES, CANARY_MS, canaryBot, canaryHonest, isCanary, isStaleCanary } from '../../src/core/canary.ts'
import { parseClient } from '../../src/core/client.ts'
import type { Evidence } from '../../src/core/evidence.ts'
import { neverListed } from '../../src/core/never.ts'

const NOON = Date.parse('2026-11-24T12:00:00Z')

test('each number is a client of its own, that is judged like any other', () => {
  const all = [0, 1, 255, 256, CANARIES - 1].flatMap((n) => [canaryBot(n), canaryHonest(n)])
  expect(new Set(all.map(({ key }) => key)).size).toBe(all.length)
  expect(all.filter(({ ip }) => !isCanary(ip))).toEqual([])
  expect(all.filter((client) => neverListed(client) !== undefined)).toEqual([])
  expect(canaryBot(258).ip).toBe('240.0.1.2')
})

test.each(['239.0.0.1', '240.2.0.1', '24.0.1.1', '203.0.113.9', '2001:db8::1', '::ffff:24.0.1.1'])(
  '%s is no canary',
  (ip) => expect(isCanary(parseClient(ip)!.ip)).toBe(false),
)

test('what a canary did is nothing later; what anybody else did stays', () => {
  const seen = { type: 'evidence', at: NOON, role: 'backup', kind: 'recipient' } as const
  const canary: Evidence = { ...seen, client: canaryBot(7).ip }
  expect(isStaleCanary(canary, NOON + CANARY_MS)).toBe(false)
  expect(isStaleCanary(canary, NOON + CANARY_MS + 1)).toBe(true)
  expect(isStaleCanary(canary, NOON - CANARY_MS - 1)).toBe(true)
  expect(isStaleCanary({ ...seen, client: '203.0.113.9' }, NOON + 10 * CANARY_MS)).toBe(false)
})
