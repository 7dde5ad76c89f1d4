import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseSpan, span, spellSpan, waitOf } from '../../src/core/span.ts'

test('what can be written is read, and nothing else', () => {
  expect(['0s', '500ms', '90s', '15m', '24h', '7d', '2w', ' 1h '].map(parseSpan)).toEqual([
    0, 500, 90_000, 900_000, 86_400_000, 604_800_000, 1_209_600_000, 3_600_000,
  ])
  for (const text of ['', '5', 'h', '-1h', '1.5h', '1 h', '1y', '1h30m', '9999999s'])
    expect(parseSpan(text), text).toBeUndefined()
})

test('it is told again as it could be written', () => {
  expect([0, 500, 1500, 60_000, 5_400_000, 86_400_000, 1_209_600_000].map(spellSpan)).toEqual([
    '0s',
    '500ms',
    '1500ms',
    '1m',
    '90m',
    '1d',
    '14d',
  ])
  fc.assert(
    fc.property(fc.nat(99_999), fc.constantFrom('ms', 's', 'm', 'h', 'd', 'w'), (n, unit) => {
      const ms = parseSpan(`${n}${unit}`) as number
      expect(parseSpan(spellSpan(ms))).toBe(ms)
    }),
  )
})

test('how long, in the one unit that tells enough', () => {
  expect([0, 1500, 90_000, 7_200_000, 86_400_000, 10 * 86_400_000].map(span)).toEqual([
    '0 s',
    '2 s',
    '90 s',
    '2 h',
    '24 h',
    '10 d',
  ])
})

test('of a wait no part is missing', () => {
  expect([7_200_000, 7_260_000, 1_200_001, 2 * 86_400_000].map(waitOf)).toEqual(['2 h', '3 h', '21 min', '2 d'])
})
