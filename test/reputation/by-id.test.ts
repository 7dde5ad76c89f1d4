import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ById } from '../../src/reputation/by-id.ts'
import { idOf, type Ruling } from '../../src/reputation/store.ts'

const octets = fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255), fc.nat(255)).map((each) => each.join('.'))
const sixth = fc.nat(0xffff).map((n) => `2001:db8:0:${n.toString(16)}::/64`.replace(':0:0::', '::'))
const ruling: fc.Arbitrary<Ruling> = fc
  .oneof(
    fc.record({
      by: fc.constant('rules' as const),
      target: fc.oneof(octets, sixth),
      word: fc.constant('block' as const),
    }),
    fc.record({
      by: fc.constant('operator' as const),
      target: octets.map((ip) => `${ip}/32`),
      word: fc.constantFrom('allow' as const, 'block' as const, 'release' as const),
    }),
  )
  .map((each) => ({ ...each, since: 1, ticket: 'T', because: 'b' }))

test('it keeps what a map from ids to rulings keeps', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(ruling, fc.boolean())), (steps) => {
      const [kept, plain] = [new ById(), new Map<string, Ruling>()]
      for (const [each, stays] of steps) {
        kept.set(each)
        plain.set(idOf(each), each)
        if (stays) continue
        kept.delete(idOf(each))
        plain.delete(idOf(each))
      }
      expect(kept.size).toBe(plain.size)
      expect([...kept.ids()].toSorted()).toEqual([...plain.keys()].toSorted())
      expect(new Set(kept.values())).toEqual(new Set(plain.values()))
      for (const [{ by, target, word }] of steps) {
        expect(kept.get(idOf({ by, target, word }))).toBe(plain.get(idOf({ by, target, word })))
        if (by === 'rules') expect(kept.ofRules(target)).toBe(plain.get(`rules ${target}`))
      }
    }),
  )
})
