import { describe, expect, test } from 'vitest'
import { Chance } from '../../src/simulation/chance.ts'

const draw = (seed: string, n: number) => {
  const chance = new Chance(seed)
  return Array.from({ length: n }, () => chance.next())
}

describe('chance', () => {
  test('is the same again for the same seed, and another for another', () => {
    expect(draw('1', 50)).toEqual(draw('1', 50))
    expect(draw('1', 5)).not.toEqual(draw('2', 5))
  })

  test('a fork is a stream of its own, whatever else was drawn', () => {
    const [fresh, used] = [new Chance('week'), new Chance('week')]
    for (let i = 0; i < 10; i++) used.next()
    const numbers = (chance: Chance) => Array.from({ length: 5 }, () => chance.next())
    expect(numbers(used.fork('a'))).toEqual(numbers(fresh.fork('a')))
    expect(numbers(fresh.fork('a'))).not.toEqual(numbers(fresh.fork('b')))
  })

  test('is even: each tenth gets its tenth, for near seeds as well', () => {
    // 100 streams of 100: a tenth holds 1000 +- 30; five of these are allowed.
    const tenths = Array.from({ length: 10 }, () => 0)
    for (let seed = 0; seed < 100; seed++)
      for (const number of draw(String(seed), 100)) tenths[Math.floor(number * 10)]!++
    for (const count of tenths) expect(Math.abs(count - 1000)).toBeLessThan(150)
    const firsts = Array.from({ length: 1000 }, (_, seed) => draw(String(seed), 1)[0] as number)
    const mean = firsts.reduce((a, b) => a + b, 0) / 1000
    expect(Math.abs(mean - 0.5)).toBeLessThan(0.05)
  })

  test('keeps to its bounds, and to its averages', () => {
    const chance = new Chance('bounds')
    const many = <Item>(make: () => Item) => Array.from({ length: 5000 }, make)
    const mean = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0) / numbers.length
    const between = many(() => chance.between(3, 7))
    expect(Math.min(...between)).toBeGreaterThanOrEqual(3)
    expect(Math.max(...between)).toBeLessThan(7)
    const scaled = many(() => chance.scaled(1, 100))
    expect(Math.abs(scaled.filter((n) => n < 10).length / 5000 - 0.5)).toBeLessThan(0.05)
    expect(Math.abs(mean(many(() => chance.waitMs(1000))) / 1000 - 1)).toBeLessThan(0.1)
    expect(new Set(many(() => chance.below(3)))).toEqual(new Set([0, 1, 2]))
    expect(new Set(chance.shuffled([1, 2, 3, 4]))).toEqual(new Set([1, 2, 3, 4]))
    expect(Math.abs(many(() => chance.happens(0.2)).filter(Boolean).length / 5000 - 0.2)).toBeLessThan(0.03)
  })
})
