import { expect, test } from 'vitest'
import { type Event, type Kind, type Role } from '../../src/core/evidence.ts'
import { HOUR_MS } from '../../src/core/facts.ts'
import type { MemberOf } from '../../src/core/replay.ts'
import { prepareRetelling, type Side } from '../../src/core/retelling.ts'
import { shippedRules } from '../rules.ts'

const T0 = Date.UTC(2026, 0, 5)
const DAY_MS = 24 * HOUR_MS
/** As on a real network at first: nothing is enforced yet. */
const OBSERVING = shippedRules('deploy/rules.yaml')

const seen = (at: number, client: string, role: Role, ...kinds: Kind[]): Event[] =>
  kinds.map((kind) => ({ type: 'evidence', at, client, role, kind }))
const retold = (events: readonly Event[], sides: readonly Side[], from = T0 - 1) => {
  const retelling = prepareRetelling({ sides, watchAt: () => 'trusted', from })
  events.toSorted((a, b) => a.at - b.at).forEach((event, i) => retelling.add({ seq: i + 1, event }))
  return retelling.end()
}
/** Under one set of rules. */
function previewOf(events: readonly Event[], from: number, rules = OBSERVING, memberOf?: MemberOf) {
  const { clients, questions, answers } = retold(events, [{ rules, memberOf }], from)
  return { questions, ...answers[0], listed: clients.map(({ told: [told], ...client }) => ({ ...client, ...told })) }
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
  const told = (memberOf?: MemberOf) => previewOf(events, T0 - 1, OBSERVING, memberOf).listed.length
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
  for (const each of listed) expect(each.deferred && each.refused).toBeGreaterThan(0)
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

test('several rules are told beside each other, with what speaks for whom', () => {
  const harsh = { ...OBSERVING, thresholds: { observe: 1, defer: 2, block: 5 } }
  const lax = { ...OBSERVING, list: [] }
  const word = (word: 'allow' | 'release', target: string): Event => {
    return { type: 'word', at: T0 + 2 * HOUR_MS, word, target, because: 'a partner', author: 'me' }
  }
  const events = [
    ...seen(T0, '203.0.113.1', 'backup', 'early-talk', 'recipient'),
    ...seen(T0, '203.0.114.1', 'backup', 'recipient'),
    word('allow', '203.0.114.0/24'),
    word('release', '203.0.113.1/32'),
  ]
  const {
    clients,
    events: many,
    first,
    last,
  } = retold(events, [{ rules: lax }, { rules: OBSERVING }, { rules: harsh }])
  expect([many, first, last]).toEqual([events.length, T0, T0 + 2 * HOUR_MS])
  expect(clients).toMatchObject([
    { client: { ip: '203.0.113.1' }, told: [undefined, { word: 'block' }, { word: 'block' }], released: true },
    { client: { ip: '203.0.114.1' }, told: [undefined, undefined, { word: 'block' }], allowed: true, released: false },
  ])
})

test('an allow speaks for a client while it stands: not one that was taken back, undone, blocked over, or that ended', () => {
  const word = (hour: number, word: 'allow' | 'block' | 'release', client: string, forMs?: number): Event => {
    const at = T0 + hour * HOUR_MS
    const until = forMs === undefined ? {} : { until: at + forMs }
    return { type: 'word', at, word, target: `${client}/32`, because: 'a partner', author: 'me', ...until }
  }
  const lists = ['stands', 'released', 'undone', 'ended', 'blocked', 'again', 'freed']
  const ip = (name: string) => `203.0.${lists.indexOf(name)}.1`
  const events = [
    ...lists.flatMap((name) => seen(T0, ip(name), 'backup', 'early-talk', 'recipient')),
    ...lists.filter((name) => name !== 'freed').map((name) => word(1, 'allow', ip(name))),
    word(2, 'release', ip('released')),
    word(2, 'allow', ip('undone'), 1000),
    word(2, 'allow', ip('ended'), HOUR_MS),
    word(2, 'block', ip('blocked')),
    word(2, 'release', ip('again')),
    word(3, 'allow', ip('again'), DAY_MS),
    word(2, 'release', ip('freed')),
    ...seen(T0 + 5 * HOUR_MS, '198.51.100.9', 'real', 'passed'),
  ]
  const { clients } = retold(events, [{ rules: OBSERVING }])
  const having = (what: 'allowed' | 'released') =>
    clients.filter((each) => each[what]).map(({ client }) => lists[Number(client.ip.split('.')[2])] ?? '')
  expect(having('allowed').toSorted()).toEqual(['again', 'stands'])
  expect(having('released')).toEqual(['freed'])
})

test('how many were listed when: each word until its own end, a release at once', () => {
  const rules = { ...OBSERVING, standsMs: { observe: 1, defer: 3 * HOUR_MS, block: HOUR_MS } }
  const listed = (extra: Event[]) => {
    const bot = seen(T0, '203.0.113.1', 'backup', 'early-talk', 'recipient')
    const quick = rules.list.map((rule) => ({ ...rule, halfLifeMs: HOUR_MS }))
    const { courses } = retold([...bot, ...extra], [{ rules: { ...rules, list: quick } }])
    return courses[0]!.points(T0 + 1, T0 + 1 + 4 * HOUR_MS, 9).map(({ defer, block }) => `${defer}${block}`)
  }
  expect(listed([])).toEqual(['01', '01', '10', '10', '10', '10', '00', '00', '00'])
  const release: Event = {
    type: 'word',
    at: T0 + HOUR_MS / 4,
    word: 'release',
    target: '203.0.113.1/32',
    because: 'mine',
    author: 'me',
  }
  expect(listed([release])).toEqual(['01', ...Array.from({ length: 8 }, () => '00')])
})

test('outages of the real MX are told, from the first bad look to the next good one', () => {
  const probe = (minute: number, outcome: 'up' | 'down' | 'later'): Event => {
    return { type: 'probe', at: T0 + minute, mx: 'mx', outcome }
  }
  const events = [
    probe(0, 'up'),
    probe(1, 'down'),
    probe(2, 'later'),
    probe(3, 'up'),
    probe(4, 'down'),
    probe(5, 'down'),
  ]
  expect(retold(events, [{ rules: OBSERVING }]).outages).toEqual([
    { from: T0 + 1, to: T0 + 3 },
    { from: T0 + 4, to: T0 + 5 },
  ])
})
