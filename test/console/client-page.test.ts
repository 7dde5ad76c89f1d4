/** What a client's page says of what is easily missed: who only connected, and what does not count. */
import { expect, test } from 'vitest'
import { clientPage, type Met } from '../../src/console/pages/client.ts'
import type { Guest } from '../../src/console/pages/guest.ts'
import type { Visit } from '../../src/console/visits.ts'
import { type Client, parseClient } from '../../src/core/client.ts'
import { HOUR_MS } from '../../src/core/facts.ts'
import type { Explanation } from '../../src/reputation/reputation.ts'
import { NOBODY } from './nobody.ts'

const NOON = Date.parse('2026-11-24T12:00:00Z')
const CLIENT = parseClient('203.0.113.7') as Client

function told(own: Record<string, number> = {}, pending: object[] = []): Explanation {
  const bucket = (count: number) => [{ hour: NOON / HOUR_MS - 1, count, first: NOON - HOUR_MS, last: NOON - HOUR_MS }]
  return {
    decision: { verdict: 'block', by: 'operator' },
    verdict: { reasons: [], score: 0, threshold: 100 },
    unmet: [],
    facts: { own: new Map(Object.entries(own).map(([fact, count]) => [fact, bucket(count)])), network: new Map() },
    contacts: { primary: 0, backup: 0, real: 0 },
    pending,
    journalTrouble: null,
  } as unknown as Explanation
}

const pageOf = (about: Explanation, met: Partial<Met> = {}) =>
  clientPage(CLIENT, about, { ...NOBODY, ...met }, 'rules.yaml', undefined, NOON)
    .map(String)
    .join('')

const textOf = (html: string) => html.replaceAll(/<[^>]*>/g, ' ').replaceAll(/\s+/g, ' ')

test('what does not count, and what waits, is said below the picture and hollow in it', () => {
  const html = pageOf(told({ 'unwatched.contact': 4, 'outage.recipient': 1 }, [{ kind: 'contact', times: 3 }]))
  expect(html.match(/class="backup waived"/g)).toHaveLength(2)
  expect(html).toContain('<title>unwatched.contact × 4, not counted</title>')
  expect(textOf(html)).toContain('Not counted: contact 4: the real MX had not been looked at just before.')
  expect(textOf(html)).toContain('Not counted: recipient 1: the real MX did not take mail, or one of them did not.')
  expect(textOf(html)).toContain('Waiting for the next look at the real MX: contact 3.')
})

test('beside a verdict that askers are not told, as in mode observe, it is said', () => {
  const page = (effect: string) => {
    const about = told()
    return textOf(pageOf({ ...about, decision: { ...about.decision, effect } as Explanation['decision'] }))
  }
  expect(page('pass')).toContain('203.0.113.7 block told to nobody')
  expect(page('block')).not.toContain('told to nobody')
})

test('what counts is drawn full, and no word is lost about it', () => {
  const html = pageOf(told({ 'backup.contact': 4 }))
  expect(html).toContain('<title>backup.contact × 4</title>')
  expect(html).not.toMatch(/waived|Not counted|Waiting for/)
})

test.each([
  [{ times: 1 }, 'Only connected: not talked to, and what it sent was thrown away.'],
  [{ times: 1204, last: NOON }, 'Only connected, 1,204 times, last 2026-11-24 12:00 : not talked to, and what'],
  [{ times: 1, where: '192.0.2.25:25' }, 'Only connected.'],
])('who did nothing else leaves no empty box: %j', (more, sentence) => {
  const visit: Visit = {
    id: 'backup-203.0.113.7',
    client: CLIENT.ip,
    role: 'backup',
    where: undefined,
    first: NOON - HOUR_MS,
    last: NOON - HOUR_MS,
    deeds: [],
    ...more,
  }
  const html = pageOf(told(), { visits: [visit] })
  expect(textOf(html)).toContain(sentence)
  expect(html).not.toContain('<ol')
})

test('who is here is told of, though nothing that it does is told yet', () => {
  const guest = (role: Guest['role'], sinceMs: number, outcome = 'tarpit'): Guest => {
    return { role, client: CLIENT.ip, since: NOON - sinceMs, outcome }
  }
  const of = (some: Guest[], count = some.length, silent = 0) =>
    textOf(pageOf(told(), { here: { count, some, silent } }))
  const held = of([guest('primary', 65_000), guest('backup', 5000)])
  expect(held).toMatch(/Here now At the primary for 1:05 : held, a drop at a time\. At the backup for 0:05 : held/)
  expect(held).toContain('What a known offender does is told a minute after it came')
  expect(held).toContain('Nothing that is told yet; the journal has')
  expect(held).not.toContain('did not say')
  const talked = of([guest('backup', 5000, 'dialogue')])
  expect(talked).toContain('At the backup for 0:05 : talked to.')
  expect(talked).not.toContain('known offender')
  const some = Array.from({ length: 12 }, () => guest('backup', 5000))
  expect(of(some, 1205)).toContain('… and 1,200 more of it.')
  // Nobody is said to be away who may be here.
  expect(of([], 0, 1)).toContain('Here now 1 worker did not say in time whether it is there.')
  expect(of([])).not.toContain('Here now')
})
