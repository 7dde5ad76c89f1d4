import { expect, test } from 'vitest'
import type { Event, Kind } from '../../src/core/evidence.ts'
import type { Session } from '../../src/core/session.ts'
import { Renames } from '../../src/decoy/renames.ts'

type Visit = {
  readonly client?: string
  readonly helo: string
  readonly role?: Session['role']
  readonly seen?: Kind[]
}

/** What is told when these visits end, one after the other. */
function told(...visits: Visit[]) {
  const events: Event[] = []
  const renames = new Renames(
    async (event) => void events.push(event),
    () => 5000,
  )
  for (const [n, { client = '203.0.113.9', helo, role = 'backup', seen = [] }] of visits.entries())
    renames.hear({
      role,
      client,
      where: '192.0.2.67:25',
      session: `s-${n + 1}`,
      outcome: 'dialogue',
      heldMs: 100,
      bytesIn: 10,
      bytesOut: 10,
      helo,
      last: 'QUIT',
      recipients: 0,
      sender: undefined,
      seen: seen.map((kind) => ({ kind, detail: undefined })),
    })
  return events
}

test('another name than at the last visit, at whichever decoy, is evidence of the later one', () => {
  expect(told({ helo: 'a.example' }, { helo: 'b.example', role: 'primary' })).toEqual([
    {
      type: 'evidence',
      at: 5000,
      client: '203.0.113.9',
      role: 'primary',
      where: '192.0.2.67:25',
      session: 's-2',
      kind: 'changed-helo',
      stage: 'helo',
      detail: 'a.example at its last visit, now b.example',
    },
  ])
})

test.each<[string, Visit[]]>([
  ['the same name', [{ helo: 'a.example' }, { helo: 'a.example' }]],
  ['a visit without a name between', [{ helo: 'a.example' }, { helo: '' }, { helo: 'a.example' }]],
  ['another client', [{ helo: 'a.example' }, { client: '203.0.113.10', helo: 'b.example' }]],
  ['what was told within the dialogue', [{ helo: 'a.example' }, { helo: 'b.example', seen: ['changed-helo'] }]],
])('%s is none', (_what, visits) => {
  expect(told(...visits)).toEqual([])
})

test('an IPv6 client is its /64', () => {
  expect(told({ client: '2001:db8::1', helo: 'a.example' }, { client: '2001:db8::2', helo: 'b.example' })).toHaveLength(
    1,
  )
})
