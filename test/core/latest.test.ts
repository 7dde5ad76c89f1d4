/** A map with room for so many is as one that looks for its oldest key from the beginning each time, and never has to. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Latest } from '../../src/core/latest.ts'

const KEYS = ['a', 'b', 'c', 'd', 'e', 'f', 'g']

/** The plain way. */
class Plain {
  readonly map = new Map<string, number>()
  readonly most: number

  constructor(most: number) {
    this.most = most
  }

  oldest(): string | undefined {
    return this.map.keys().next().value
  }

  put(key: string, value: number, moves: boolean): void {
    if (moves) this.map.delete(key)
    this.map.set(key, value)
    if (this.map.size > this.most) this.map.delete(this.oldest() as string)
  }
}

test('whatever is done to it, it holds what the plain one holds, in its order', () => {
  const key = fc.constantFrom(...KEYS)
  const deed = fc.oneof(
    fc.record({ does: fc.constantFrom('renew' as const, 'keep' as const, 'set' as const, 'delete' as const), key }),
    fc.record({ does: fc.constantFrom('oldest' as const, 'clear' as const), key }),
  )
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5 }), fc.array(deed, { maxLength: 200 }), (most, deeds) => {
      const [latest, plain] = [new Latest<number>(most), new Plain(most)]
      for (const [i, { does, key }] of deeds.entries()) {
        if (does === 'renew') {
          latest.renew(key, i)
          plain.put(key, i, true)
        } else if (does === 'keep') {
          const moves = plain.map.size > most / 2
          latest.keep(key, i)
          plain.put(key, i, moves)
        } else if (does === 'set') {
          // As a Map does it, of a key that is there.
          if (!plain.map.has(key)) continue
          latest.set(key, i)
          plain.map.set(key, i)
        } else if (does === 'delete') expect(latest.delete(key)).toBe(plain.map.delete(key))
        else if (does === 'clear') {
          latest.clear()
          plain.map.clear()
        }
        // Only now and then, for to ask moves its place.
        if (does === 'oldest' || i % 7 === 0) expect(latest.oldest()).toBe(plain.oldest())
        expect([...latest]).toEqual([...plain.map])
      }
    }),
    { numRuns: 500 },
  )
})
