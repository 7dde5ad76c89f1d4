/** What was made once stands until its end; where the sum has faded below it, both `why` and the console say so; and which rule lacks its condition. */
import { expect, test } from 'vitest'
import type { ClientView } from '../../src/answer/views.ts'
import { page } from '../../src/command/why.ts'
import { outlasting, sumBeside } from '../../src/console/outlasting.ts'
import { clientPage } from '../../src/console/pages/client.ts'
import { screenOf } from '../../src/console/terminal.ts'
import { type Client, parseClient } from '../../src/core/client.ts'
import type { Explanation } from '../../src/reputation/reputation.ts'
import { NOBODY } from './nobody.ts'

const NOON = Date.parse('2026-11-24T12:00:00Z')
const BEGIN = '2026-11-22T12:00:00.000Z'
const END = '2026-11-24T18:00:00.000Z'

test.each([
  ['a block that is carried', { verdict: 'block', by: 'rules', score: 100, clears: NOON }, undefined],
  ['a block that has faded', { verdict: 'block', by: 'rules', score: 99.9, clears: NOON }, /new block now/],
  ['a deferral that is carried', { verdict: 'defer', by: 'rules', score: 60, clears: NOON }, undefined],
  ['a deferral that has faded', { verdict: 'defer', by: 'rules', score: 12, clears: null }, /new deferral now/],
  ["an operator's block", { verdict: 'block', by: 'operator', score: 0, clears: null }, undefined],
  ['nothing', { verdict: 'clean', by: null, score: 12, clears: null }, undefined],
])('%s', (_, stands, told) => {
  const said = outlasting({ ...stands, threshold: 100 })
  if (told) expect(said?.little).toMatch(told)
  else expect(said).toBeUndefined()
})

test.each([
  [61.96, 1, '62.0'],
  [99.4, 0, '99'],
  [99.6, 0, '99'],
  [99.96, 1, '99.9'],
  [100, 0, '100'],
  [100.6, 0, '101'],
])('the sum %d beside 100, with %d digits, is told as %s', (score, digits, told) => {
  expect(sumBeside(100, score, digits)).toBe(told)
})

test('a faded block, as `why` and the console show it', () => {
  const counts = { primary: 0, backup: 3, real: 0 }
  const reason = {
    rule: 'talks-first',
    weight: 62,
    count: 1,
    waived: 0,
    excuse: null,
    factor: 1,
    last: '2026-11-22T12:00:00.000Z',
    because: 'talked before being greeted',
    mode: 'enforce' as const,
    line: 61,
  }
  const unmet = {
    rule: 'ignores-replies',
    weight: 15,
    count: 1,
    lacks: 'backup.recipient >= 1',
    last: '2026-11-22T12:00:00.000Z',
    because: 'did not listen',
    mode: 'enforce' as const,
    line: 79,
  }
  const view: ClientView = {
    client: '203.0.113.9',
    network: '203.0.113.0/24',
    verdict: 'block',
    effect: 'block',
    mode: 'enforce',
    score: 62,
    enforcedScore: 62,
    threshold: 100,
    since: BEGIN,
    until: END,
    clears: '2026-11-24T15:00:00.000Z',
    ticket: '7K2M-Q4XD',
    by: 'rules',
    because: 'talked before being greeted',
    doubt: null,
    known: true,
    trustedUntil: null,
    standing: { allowed: null, never: null, credit: null, pool: null },
    reasons: [reason],
    unmet: [unmet],
    contacts: counts,
    networkContacts: counts,
    facts: {},
    waived: {},
    pending: {},
    waiting: null,
    here: { count: 0, some: [], silent: 0 },
    freeze: null,
    lost: null,
    rules: 'rules.yaml',
  }
  const text = page(view, screenOf({} as NodeJS.WriteStream, {}), NOON).join('\n')
  expect(text).toContain(
    '62.0  of the 100 that block: too little for a new block now. This one stands since 2026-11-22 12:00 UTC (2 d ago) and until 2026-11-24 18:00 UTC (in 6 h): then it was enough, and what the rules have made stands to its end (stands in the rules)',
  )
  expect(text).not.toContain('with nothing new')
  const carried = page({ ...view, score: 120 }, screenOf({} as NodeJS.WriteStream, {}), NOON).join('\n')
  expect(carried).toContain(
    'with nothing new below its threshold 2026-11-24 15:00 UTC (in 3 h), and what stands does so to its end\n',
  )
  expect(text).toMatch(
    /\+0\.0  ignores-replies  saw 1, would add 15\.0, last 2 d ago  rules\.yaml:79\n +not yet, for it weighs only with backup\.recipient >= 1\n +-+\n/,
  )

  const told = {
    decision: { verdict: 'block', by: 'rules', until: Date.parse(END), ticket: view.ticket, because: reason.because },
    since: Date.parse(BEGIN),
    verdict: { reasons: [], score: 62, threshold: 100, clearsAt: Date.parse(view.clears as string) },
    unmet: [{ ...unmet, last: Date.parse(unmet.last) }],
    facts: { own: new Map(), network: new Map() },
    contacts: counts,
    pending: [],
    journalTrouble: null,
  } as unknown as Explanation
  const html = clientPage(parseClient(view.client) as Client, told, NOBODY, 'rules.yaml', undefined, NOON)
    .map(String)
    .join('')
  expect(html.replaceAll(/<[^>]*>/g, '')).toContain(
    'That is too little for a new block now. This one stands since 2026-11-22 12:00 and until 2026-11-24 18:00 UTC (in 6 h): then it was enough',
  )
  expect(html.replaceAll(/\s+/g, ' ')).toContain(
    'did not listen <small>(not yet: it would add 15, only with backup.recipient &gt;= 1)</small>',
  )
})
