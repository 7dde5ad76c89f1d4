/** Who is at a decoy now, as `why` tells it. */
import { expect, test } from 'vitest'
import { hereNow } from '../../src/command/why.ts'

const NOON = Date.parse('2026-11-24T12:00:00Z')

function told(guests: readonly (readonly ['primary' | 'backup', string, number])[], inAll = guests.length): string[] {
  const connections = guests.map(([role, outcome, sinceMs]) => ({
    role,
    outcome,
    since: new Date(NOON - sinceMs).toISOString(),
  }))
  return hereNow({ connections, looked: guests.length, inAll }, NOON)
}

test('who is talked to, and who is held, by role, with the first of each', () => {
  expect(
    told([
      ['backup', 'tarpit', 720_000],
      ['backup', 'tarpit', 9000],
      ['primary', 'tarpit', 8000],
      ['backup', 'dialogue', 5000],
    ]),
  ).toEqual([
    'Here now: 2 connections at the backup decoy, held, a drop at a time, the first for 12 min',
    'Here now: at the primary decoy, held, a drop at a time, for 8 s',
    'Here now: at the backup decoy, talked to, for 5 s',
    'What a known offender does is told a minute after it came, and counts from then on',
  ])
  expect(told([['backup', 'dialogue', 5000]])).toEqual(['Here now: at the backup decoy, talked to, for 5 s'])
})

test('nothing of whom is not here; where only some were looked at nobody is said to be away', () => {
  expect(told([])).toEqual([])
  expect(told([], 1248)).toEqual(['Here now: looked at 0 of the 1,248 connections, and none is its'])
  expect(told([['backup', 'dialogue', 5000]], 1248).at(-1)).toBe(
    'There may be more of it: looked at 1 of the 1,248 connections',
  )
})
