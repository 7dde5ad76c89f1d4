/** What a client's page says while the store does not answer: what stands, until when, and no zero that nobody has counted. */
import { expect, test } from 'vitest'
import { clientPage } from '../../src/console/pages/client.ts'
import { type Client, parseClient } from '../../src/core/client.ts'
import type { Explanation } from '../../src/reputation/reputation.ts'
import { NOBODY } from './nobody.ts'

const NOON = Date.parse('2026-11-24T12:00:00Z')

function shown(decision: object, trustedUntil: number | undefined): string {
  const told = {
    decision,
    verdict: undefined,
    unmet: [],
    trustedUntil,
    facts: { own: new Map(), network: new Map() },
    contacts: { primary: 0, backup: 0, real: 0 },
    pending: [],
    journalTrouble: null,
  } as unknown as Explanation
  const html = clientPage(parseClient('203.0.113.9') as Client, told, NOBODY, 'rules.yaml', undefined, NOON)
  return html
    .map(String)
    .join('')
    .replaceAll(/<[^>]*>/g, ' ')
    .replaceAll(/\s+/g, ' ')
}

test('a block that stands in the copy', () => {
  const text = shown({ verdict: 'block', by: 'rules', because: 'cannot wait', ticket: 'T' }, NOON + 240_000)
  expect(text).toContain('cannot wait by the rules')
  expect(text).toMatch(
    /was seen of this client is not known now\. What stands is from our copy of the decisions, which refuses until 2026-11-24 12:04 UTC \(in 4 min\) ?, and longer if the store answers before\./,
  )
  expect(text).toContain('not known, for the store did not answer What the rules saw of it is not known.')
  expect(text).not.toContain('No rule saw anything')
  expect(text).not.toContain('Nothing stands')
})

test('nothing stands, and no copy is trusted', () => {
  const text = shown({ verdict: 'clean' }, undefined)
  expect(text).toContain('Nothing stands about it in our copy of the decisions.')
  expect(text).not.toContain('What stands is from')
})
