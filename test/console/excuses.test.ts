import { expect, test } from 'vitest'
import { spellExcuse } from '../../src/console/excuses.ts'
import { clientPage } from '../../src/console/pages/client.ts'
import { type Client, parseClient } from '../../src/core/client.ts'
import type { Reason } from '../../src/core/verdict.ts'
import type { Explanation } from '../../src/reputation/reputation.ts'
import { NOBODY } from './nobody.ts'

const NOON = Date.parse('2026-11-24T12:00:00Z')
const CLIENT = parseClient('203.0.113.7') as Client

test.each([
  [0, 'its network was seen at the real MX before'],
  [2, 'seen at the real MX before'],
])('a client that was itself at the real MX %i times: %s', (real, said) => {
  const reason: Reason = {
    rule: 'backup-first',
    because: 'comes to the MX of last resort',
    mode: 'enforce',
    line: 142,
    weight: 0,
    count: 0,
    waived: 1,
    excuse: 'real-mx',
    factor: 1,
    last: NOON,
  }
  const told = {
    decision: { verdict: 'clean' },
    verdict: { reasons: [reason], score: 0, threshold: 100 },
    unmet: [],
    facts: { own: new Map(), network: new Map() },
    contacts: { primary: 0, backup: 1, real },
    pending: [],
    journalTrouble: null,
  } as unknown as Explanation
  expect(clientPage(CLIENT, told, NOBODY, 'rules.yaml', undefined, NOON).map(String).join('')).toContain(
    `(1 waived: ${said})`,
  )
})

test('an excuse that is its own is told the same, wherever it was', () => {
  for (const excuse of ['release', 'credit', 'primary', 'pool', 'identity'] as const)
    expect(spellExcuse(excuse, false)).toBe(spellExcuse(excuse, true))
})
