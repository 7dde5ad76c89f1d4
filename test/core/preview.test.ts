import { expect, test } from 'vitest'
import { type Event, type Kind, type Role } from '../../src/core/evidence.ts'
import { HOUR_MS } from '../../src/core/facts.ts'
import { preparePreview } from '../../src/core/preview.ts'
import { shippedRules } from '../rules.ts'

const T0 = Date.UTC(2026, 0, 5)
const DAY_MS = 24 * HOUR_MS
/** As on a real network at first: nothing is enforced yet. */
const OBSERVING = shippedRules('deploy/rules.yaml')

const seen = (at: number, client: string, role: Role, ...kinds: Kind[]): Event[] =>
  kinds.map((kind) => ({ type: 'evidence', at, client, role, kind }))
function previewOf(events: readonly Event[], from: number, rules = OBSERVING) {
  const preparation = preparePreview(rules, 'trusted', from)
  events.toSorted((a, b) => a.at - b.at).forEach((event, i) => preparation.add({ seq: i + 1, event }))
  return preparation.end()
}
const hours = (n: number, of: (at: number) => Event[], from = T0) =>
  Array.from({ length: n }, (_, i) => of(from + i * HOUR_MS)).flat()

test('a bot would have been refused as often as the real MX asked afterwards; questions before are none', () => {
  const events = [
    ...hours(10, (at) => seen(at, '203.0.113.9', 'real', 'passed')),
    ...seen(T0 + 5.5 * HOUR_MS, '203.0.113.9', 'backup', 'early-talk', 'recipient'),
    ...hours(10, (at) => seen(at, '198.51.100.1', 'real', 'passed')),
  ]
  expect(previewOf(events, T0 - 1)).toMatchObject({
    questions: 20,
    refused: 4,
    deferred: 0,
    listed: [{ client: { ip: '203.0.113.9' }, word: 'block', refused: 4, walked: false, behaved: false }],
  })
})

test('of a pool that the appliance has saved, nobody would have been refused for the order of visits', () => {
  const events = hours(30, (at) => [
    ...seen(at, '203.0.113.9', 'backup', 'contact', 'recipient'),
    ...seen(at + 1, '203.0.113.9', 'real', 'refused'),
  ])
  const told = (memberOf?: Parameters<typeof preparePreview>[3]) => {
    const preparation = preparePreview(OBSERVING, 'trusted', T0 - 1, memberOf)
    events.forEach((event, i) => preparation.add({ seq: i + 1, event }))
    return preparation.end().listed.length
  }
  expect(told()).toBe(1)
  expect(told(() => ({ pool: 'big-mail', found: 'spf', at: T0 }))).toBe(0)
})

test('only the time after its beginning is told, with what is known from before', () => {
  const events = [
    ...seen(T0, '203.0.113.9', 'backup', 'early-talk', 'recipient'),
    ...seen(T0 + HOUR_MS, '203.0.113.9', 'real', 'refused'),
    ...seen(T0 + 5 * HOUR_MS, '203.0.113.9', 'real', 'refused'),
  ]
  expect(previewOf(events, T0 + 2 * HOUR_MS)).toMatchObject({ questions: 1, refused: 1, listed: [{ refused: 1 }] })
  expect(previewOf(events, T0 + DAY_MS)).toMatchObject({ questions: 0, refused: 0, listed: [] })
})

test('who walks the right way, and who only comes in the wrong order, is marked', () => {
  const polite = (client: string) =>
    hours(20, (at) => [...seen(at, client, 'backup', 'recipient'), ...seen(at + 1, client, 'real', 'refused')])
  const walks = [
    ...seen(T0 + 21 * HOUR_MS, '203.0.113.1', 'primary', 'contact'),
    ...seen(T0 + 21 * HOUR_MS + 500, '203.0.113.1', 'real', 'refused'),
  ]
  const { listed } = previewOf([...polite('203.0.113.1'), ...polite('203.0.114.1'), ...walks], T0 - 1)
  expect(listed).toMatchObject([
    { client: { ip: '203.0.113.1' }, word: 'block', walked: true, behaved: true },
    { client: { ip: '203.0.114.1' }, word: 'block', walked: false, behaved: true },
  ])
  expect(listed.every(({ deferred, refused }) => deferred > 0 && refused > 0)).toBe(true)
})

test('what only a rule in mode observe reaches is not enforced', () => {
  const list = OBSERVING.list.map((rule) =>
    rule.name === 'talks-first' ? { ...rule, mode: 'observe' as const } : rule,
  )
  const events = [
    ...seen(T0, '203.0.113.9', 'backup', 'early-talk', 'recipient'),
    ...seen(T0 + 1, '203.0.113.9', 'real', 'passed'),
  ]
  expect(previewOf(events, T0 - 1, { ...OBSERVING, list })).toMatchObject({ questions: 1, refused: 0, listed: [] })
})
