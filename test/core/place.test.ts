import { expect, test } from 'vitest'
import { addressIn, spellPlace } from '../../src/core/place.ts'

test('places are spelled so that the port can be told apart', () => {
  expect(spellPlace('192.0.2.66', 25)).toBe('192.0.2.66:25')
  expect(spellPlace('2001:db8::66', 25)).toBe('[2001:db8::66]:25')
})

test('and the address is found in them again', () => {
  for (const ip of ['192.0.2.66', '2001:db8::66', '::']) expect(addressIn(spellPlace(ip, 25))).toBe(ip)
})
