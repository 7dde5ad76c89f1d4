/** Who is at a decoy now, as `why` tells it. */
import { expect, test } from 'vitest'
import { hereNow } from '../../src/command/why.ts'

const NOON = Date.parse('2026-11-24T12:00:00Z')

function told(guests: readonly (readonly ['primary' | 'backup', string, number])[], count = guests.length, silent = 0) {
  const some = guests.map(([role, outcome, sinceMs]) => ({
    role,
    outcome,
    since: new Date(NOON - sinceMs).toISOString(),
  }))
  return hereNow({ count, some, silent }, NOON)
}

test('who is talked to, and who is held, by role, with the first of each, and how many more', () => {
  expect(
    told(
      [
        ['backup', 'tarpit', 720_000],
        ['backup', 'tarpit', 9000],
        ['primary', 'tarpit', 8000],
        ['backup', 'dialogue', 5000],
      ],
      1204,
    ),
  ).toEqual([
    'Here now: 1,204 connections: 2 at the backup decoy, held, a drop at a time, the first for 12 min; at the primary decoy, held, a drop at a time, for 8 s; at the backup decoy, talked to, for 5 s; 1,200 more',
    'What a known offender does is told a minute after it came, and counts from then on',
  ])
  expect(told([['backup', 'dialogue', 5000]])).toEqual(['Here now: at the backup decoy, talked to, for 5 s'])
})

test('nothing of whom is not here; where a worker did not say nobody is said to be away', () => {
  expect(told([])).toEqual([])
  expect(told([], 0, 2)).toEqual(['Here now: 2 workers did not say in time whether it is there'])
})
