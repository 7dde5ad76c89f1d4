/** When a worker is silent for too long: a count of our own beats, whatever a clock says. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Silence } from '../../src/daemon/crew-silence.ts'

test('it is silent for too long at the beat that is named, and not one before', () => {
  const silence = new Silence(3)
  expect([silence.beat(), silence.beat(), silence.beat()]).toEqual([false, false, true])
})

test('whoever says something, in time, begins anew: it is too much exactly when so many beats follow each other', () => {
  fc.assert(
    fc.property(fc.array(fc.boolean()), fc.integer({ min: 1, max: 12 }), (steps, most) => {
      const silence = new Silence(most)
      let inRow = 0
      for (const isWord of steps) {
        inRow = isWord ? 0 : inRow + 1
        if (isWord) silence.heard()
        else expect(silence.beat()).toBe(inRow >= most)
      }
    }),
  )
})
