import { expect, test } from 'vitest'
import { Sparing } from '../../src/console/sparing.ts'

test('what took long is kept for twenty times as long, what took no time for none; who wants it anew gets it so', () => {
  let [now, made] = [0, 0]
  const sparing = new Sparing(() => now)
  const ask = (key: string, tookMs: number, anew = false) =>
    sparing.get(key, anew, () => {
      now += tookMs
      return ++made
    })
  expect(ask('long', 100)).toBe(1)
  now = 100 + 1999
  expect(ask('long', 100)).toBe(1)
  expect(ask('long', 100, true)).toBe(2)
  now += 2000
  expect(ask('long', 100)).toBe(3)
  expect(ask('short', 0)).toBe(4)
  expect(ask('short', 0)).toBe(5)
})

test('so many questions are kept', () => {
  let made = 0
  const sparing = new Sparing(() => made)
  const ask = (key: number) => sparing.get(String(key), false, () => ++made)
  for (let key = 0; key < 100; key++) ask(key)
  expect(ask(99)).toBe(100)
  expect(ask(0)).toBe(101)
})
