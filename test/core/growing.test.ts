import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Queue, Recent } from '../../src/core/growing.ts'

/** Which of the values made so far is grown from, and by what. */
const deeds = <Item>(item: fc.Arbitrary<Item>) =>
  fc.array(fc.record({ from: fc.nat(30), drop: fc.boolean(), item }), { maxLength: 60 })

test('a queue is what an array would be, and all older ones stay as they were', () => {
  fc.assert(
    fc.property(deeds(fc.nat()), (all) => {
      const made: [Queue<number>, readonly number[]][] = [[Queue.of<number>(), []]]
      for (const { from, drop, item } of all) {
        const [queue, array] = made[made.length - 1 - (from % made.length)] as (typeof made)[number]
        made.push(drop ? [queue.withoutFirst(), array.slice(1)] : [queue.with(item), [...array, item]])
      }
      for (const [queue, array] of made) {
        expect([...queue]).toEqual(array)
        expect([queue.length, queue.first]).toEqual([array.length, array[0]])
      }
    }),
  )
})

test('recent texts are the newest so many, and all older ones stay as they were', () => {
  const most = 4
  const texts = ['a', 'b', 'c', 'd', 'e', 'f', 'g']
  fc.assert(
    fc.property(deeds(fc.constantFrom(...texts)), (all) => {
      const made: [Recent, readonly string[]][] = [[Recent.none(), []]]
      for (const { from, item } of all) {
        const [recent, array] = made[made.length - 1 - (from % made.length)] as (typeof made)[number]
        made.push([recent.with(item, most), array.includes(item) ? array : [...array, item].slice(-most)])
      }
      for (const [recent, array] of made) expect(texts.filter((text) => recent.has(text))).toEqual(array.toSorted())
    }),
  )
})
