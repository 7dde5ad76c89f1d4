import { describe, expect, test } from 'vitest'
import { rateOf } from '../../src/simulation/weeks.ts'

const rounded = (weekly: readonly (readonly [number, number])[]) => {
  const found = rateOf(weekly)
  return found && [found.rate, found.low, found.high].map((each) => Math.round(each * 1e4) / 1e4)
}

describe('a catch rate and its interval', () => {
  // Wilson's own interval, by hand: 5 of 10, 0 of 10, 10 of 10 at 95 %.
  test.each([
    [[[10, 5]], [0.5, 0.2366, 0.7634]],
    [[[10, 0]], [0, 0, 0.2775]],
    [[[10, 10]], [1, 0.7225, 1]],
  ] as const)('%j', (weekly, expected) => {
    expect(rounded(weekly)).toEqual(expected)
  })

  test('is as narrow as that of all senders together where weeks are alike', () => {
    expect(
      rounded([
        [5, 2],
        [5, 3],
      ]),
    ).toEqual(rounded([[10, 5]]))
  })

  test('is wider where weeks differ more than chance explains', () => {
    const [, low = 0, high = 0] =
      rounded([
        [10, 0],
        [10, 10],
        [10, 0],
        [10, 10],
      ]) ?? []
    const [, even = 0, most = 0] =
      rounded([
        [10, 5],
        [10, 5],
        [10, 5],
        [10, 5],
      ]) ?? []
    expect(high - low).toBeGreaterThan(2 * (most - even))
  })

  test('of nobody is none', () => {
    expect(rateOf([])).toBeUndefined()
    expect(rateOf([[0, 0]])).toBeUndefined()
  })
})
