import { expect, test } from 'vitest'
import { seldom } from '../../src/console/seldom.ts'

test('the first of each subject at once, then one a minute with the number of those left out', () => {
  let now = 0
  const ask = seldom(() => now)
  expect([ask('a'), ask('a'), ask('b'), ask('a')]).toEqual([0, undefined, 0, undefined])
  now = 59_999
  expect(ask('a')).toBeUndefined()
  now = 60_000
  expect([ask('a'), ask('a'), ask('b')]).toEqual([3, undefined, 0])
})

test('of a flood of subjects only the last hundred are remembered', () => {
  const ask = seldom(() => 0)
  for (let i = 0; i <= 100; i++) expect(ask(`peer ${i}`)).toBe(0)
  expect(ask('peer 100')).toBeUndefined()
  expect(ask('peer 0')).toBe(0)
})
