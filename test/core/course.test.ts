import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Course } from '../../src/core/course.ts'
import type { Listing } from '../../src/core/listing.ts'

const T0 = Date.UTC(2026, 0, 5)
const listing = (until: number): Listing => {
  const stands = [{ word: 'block' as const, until }]
  return { stands, enforced: stands } as unknown as Listing
}

test('of a recording of some seconds it is told when in it somebody was listed', () => {
  const course = new Course()
  course.change(undefined, listing(T0 + 86_400_000), T0 + 7000)
  course.change(undefined, listing(T0 + 86_400_000), T0 + 13_000)
  const points = course.points(T0, T0 + 19_000, 20)
  expect(points.map(({ block }) => block)).toEqual([...Array(7).fill(0), ...Array(6).fill(1), ...Array(7).fill(2)])
})

test('of a long one with changes at every second the counts stay right, a little late at most', () => {
  const course = new Course()
  const changes = 120_000
  for (let i = 0; i < changes; i++) course.change(undefined, listing(T0 + 40 * 86_400_000), T0 + i * 1000)
  const points = course.points(T0, T0 + changes * 1000, 11)
  for (const [i, { block }] of points.entries()) {
    expect(block).toBeLessThanOrEqual((changes * i) / 10 + 1)
    expect(block).toBeGreaterThanOrEqual((changes * i) / 10 - 16)
  }
})

test('what was listed and let go is counted by nobody afterwards', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(3_600_000), fc.nat(3_600_000)), { maxLength: 50 }), (spans) => {
      const course = new Course()
      const all = spans.map(([from, length]) => ({ from: T0 + from, until: T0 + from + length }))
      for (const { from, until } of all) course.change(undefined, listing(until), from)
      const [begun] = course.points(T0 - 1000, T0 + 3 * 3_600_000, 2)
      const [, ended] = course.points(T0 - 1000, T0 + 3 * 3_600_000, 2)
      expect([begun?.block, ended?.block]).toEqual([0, 0])
    }),
  )
})
