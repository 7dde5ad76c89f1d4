import { expect, test } from 'vitest'
import { Visits } from '../../src/console/visits.ts'
import type { Evidence } from '../../src/core/evidence.ts'

const seen = (client: string, at: number, more: Partial<Evidence> = {}): Evidence => ({
  type: 'evidence',
  at,
  client,
  role: 'backup',
  kind: 'contact',
  ...more,
})

test('visits are gathered by session, else by client at each decoy; whoever did something last comes first', () => {
  const visits = new Visits()
  visits.hear(seen('192.0.2.1', 1, { session: 'a' }))
  visits.hear(seen('192.0.2.2', 2, { times: 40 }))
  visits.hear(seen('192.0.2.2', 3, { role: 'primary' }))
  visits.hear(seen('192.0.2.1', 4, { session: 'a', kind: 'recipient', detail: 'postbox@example.test' }))
  expect(visits.newest().map(({ id, times, first, last }) => [id, times, first, last])).toEqual([
    ['backup-a', 1, 1, 4],
    ['primary-192.0.2.2', 1, 3, 3],
    ['backup-192.0.2.2', 40, 2, 2],
  ])
  expect(visits.newest()[0]?.deeds).toEqual([{ kind: 'recipient', detail: 'postbox@example.test', at: 4 }])
})

test('at most five hundred are remembered, those of whom anything was seen last', () => {
  const visits = new Visits()
  for (let i = 0; i < 500; i++) visits.hear(seen('192.0.2.1', i, { session: `s${i}` }))
  visits.hear(seen('192.0.2.1', 500, { session: 's0', kind: 'dialect' }))
  visits.hear(seen('192.0.2.1', 501, { session: 'new' }))
  const ids = visits.newest().map(({ id }) => id)
  expect(ids).toHaveLength(500)
  expect(ids.slice(0, 3)).toEqual(['backup-new', 'backup-s0', 'backup-s499'])
  expect(ids).not.toContain('backup-s1')
})
