import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { KNOWN_MAX, LEARN_MS, Unlisting } from '../../src/answer/unlisting.ts'
import { type Client, parseClient } from '../../src/core/client.ts'
import type { Entry, Event, Kind, Role } from '../../src/core/evidence.ts'

const T0 = Date.UTC(2026, 0, 5)
const DAY_MS = 86_400_000
const NOW = T0 + LEARN_MS
const client = (ip: string) => parseClient(ip) as Client
const seen = (ip: string, role: Role, kind: Kind, at = NOW): Event => ({ type: 'evidence', at, client: ip, role, kind })

async function* entries(events: readonly Event[]): AsyncGenerator<Entry> {
  let seq = 0
  for (const event of events) yield { seq: ++seq, event }
}
/** A journal that begins a week before NOW. */
async function filled(...events: Event[]): Promise<Unlisting> {
  const unlisting = new Unlisting()
  await unlisting.fill(entries([seen('192.0.2.1', 'backup', 'contact', T0), ...events]))
  return unlisting
}

describe('unlisting', () => {
  test('a stranger is deferred once: for all recipients of that message, and for no other', async () => {
    const unlisting = await filled()
    expect(unlisting.defers(client('203.0.113.9'), 'a', NOW)).toBe(true)
    expect(unlisting.defers(client('203.0.113.9'), 'a', NOW + 1)).toBe(true)
    unlisting.hear(seen('203.0.113.9', 'real', 'deferred', NOW + 2))
    expect(unlisting.defers(client('203.0.113.9'), 'a', NOW + 3)).toBe(true)
    expect(unlisting.defers(client('203.0.113.9'), 'b', NOW + 300_000)).toBe(false)
    expect(unlisting.defers(client('203.0.113.77'), 'c', NOW + 300_000)).toBe(false)
  })

  test.each<[Role, Kind]>([
    ['primary', 'contact'],
    ['real', 'passed'],
    ['real', 'deferred'],
  ])('%s %s: no stranger, nor are its neighbours', async (role, kind) => {
    const [fromJournal, heard] = [await filled(seen('203.0.113.9', role, kind, T0 + 1)), await filled()]
    heard.hear(seen('203.0.113.9', role, kind))
    for (const unlisting of [fromJournal, heard])
      for (const ip of ['203.0.113.9', '203.0.113.200']) expect(unlisting.defers(client(ip), 'a', NOW)).toBe(false)
  })

  test('what was at the backup only, or refused at the real MX, is a stranger', async () => {
    const unlisting = await filled(seen('203.0.113.9', 'backup', 'contact'), seen('203.0.114.9', 'real', 'refused'))
    expect(unlisting.defers(client('203.0.113.9'), 'a', NOW)).toBe(true)
    expect(unlisting.defers(client('203.0.114.9'), 'a', NOW)).toBe(true)
  })

  test('nobody is deferred before the journal is read, nor while it is younger than a week', async () => {
    const unlisting = new Unlisting()
    unlisting.hear(seen('192.0.2.1', 'backup', 'contact', T0))
    expect(unlisting.defers(client('203.0.113.9'), 'a', NOW)).toBe(false)
    await unlisting.fill(entries([]))
    expect(unlisting.defers(client('203.0.113.9'), 'a', NOW - 1)).toBe(false)
    expect(unlisting.defers(client('203.0.113.9'), 'a', NOW)).toBe(true)
    const empty = new Unlisting()
    await empty.fill(entries([]))
    expect(empty.defers(client('203.0.113.9'), 'a', NOW)).toBe(false)
  })

  test('with more networks in a month than are remembered, nobody is', async () => {
    const unlisting = await filled()
    for (let i = 0; i < KNOWN_MAX; i++)
      unlisting.hear(seen(`${1 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}.1`, 'real', 'passed'))
    expect(unlisting.defers(client('203.0.113.9'), 'a', NOW)).toBe(false)
    expect(unlisting.defers(client('203.0.113.9'), 'a', NOW + 32 * DAY_MS)).toBe(true)
  })

  test('whoever comes, and whatever is heard, no network is deferred for a second message within a month', async () => {
    const step = fc.record({
      ip: fc.nat(6).map((i) => `203.0.${113 + (i % 3)}.${i}`),
      instance: fc.constantFrom('a', 'b', 'c', ''),
      laterMs: fc.nat(3_600_000),
      hear: fc.boolean(),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const unlisting = await filled()
        const deferred = new Map<string, string>()
        let now = NOW
        for (const { ip, instance, laterMs, hear } of steps) {
          now += laterMs
          const { network } = client(ip)
          if (hear) unlisting.hear(seen(ip, 'primary', 'contact', now))
          if (!unlisting.defers(client(ip), instance, now)) continue
          expect(hear && !deferred.has(network)).toBe(false)
          if (deferred.has(network)) expect(instance).toBe(deferred.get(network))
          deferred.set(network, instance)
        }
      }),
    )
  })
})
