/** What waits for a process that hangs: one message, however much there is to say. */
import { expect, test } from 'vitest'
import { oneAtATime } from '../../src/daemon/crew-channel.ts'

test('the next is sent when the one before was taken, and only then is it asked for what has come meanwhile', () => {
  const sent: (() => void)[] = []
  let asked = 0
  const say = oneAtATime(
    (taken) => sent.push(taken),
    () => asked++,
  )
  for (let n = 0; n < 100; n++) say()
  expect([sent.length, asked]).toEqual([1, 0])
  sent[0]?.()
  expect([sent.length, asked]).toEqual([1, 1])
  say()
  sent[1]?.()
  // Nothing more was to be said.
  expect([sent.length, asked]).toEqual([2, 1])
  say()
  expect(sent.length).toBe(3)
})
