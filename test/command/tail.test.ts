/** A line of `tail`: hostile text reaches no terminal as it was. */
import picocolors from 'picocolors'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { spell } from '../../src/command/tail.ts'
import type { Screen } from '../../src/console/terminal.ts'
import { escaped, type Evidence } from '../../src/core/evidence.ts'

const screen = (person: boolean, width = 100): Screen => {
  return { colours: picocolors.createColors(false), person, width, height: 24, print: () => {} }
}
const said = (detail: string, more: Partial<Evidence> = {}): Evidence => {
  return {
    type: 'evidence',
    at: Date.UTC(2026, 0, 5, 14, 20, 1),
    client: '203.0.113.9',
    role: 'backup',
    kind: 'false-helo',
    detail,
    ...more,
  }
}

test('in columns for a person, tab-separated for a pipe', () => {
  expect(spell(said('localhost'), screen(true))).toBe(
    '14:20:01  203.0.113.9      backup   false-helo         localhost',
  )
  expect(spell(said('localhost', { times: 3 }), screen(false))).toBe(
    '2026-01-05T14:20:01.000Z\t203.0.113.9\tbackup\tfalse-helo\t3 times localhost',
  )
})

test.each([
  ['colours and titles', '\u001b[31mred\u001b]0;owned\u0007', '\\x1b[31mred\\x1b]0;owned\\x07'],
  ['a second line', 'a\r\nblocked 192.0.2.1', 'a\\x0d\\x0ablocked 192.0.2.1'],
  ['text that turns round', 'a\u202ec', 'a\\x202ec'],
  ['a tab', 'a\tb', 'a\\x09b'],
  ['C1 controls', 'a\u009b2J', 'a\\x9b2J'],
])('%s', (_, hostile, shown) => {
  expect(spell(said(hostile), screen(true, 200))).toContain(`  ${shown}`)
  expect(spell(said(hostile), screen(false))).toContain(`\t${shown}`)
})

test('whatever was said, a line is one line of printable ASCII that fits; and what is escaped stays as it is', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
      const line = spell(said(text), screen(true, 80))
      expect(line).toMatch(/^[\x20-\x7e]*$/)
      expect(line.length).toBeLessThanOrEqual(80)
      expect(escaped(escaped(text))).toBe(escaped(text))
    }),
  )
})

test('what is cut off ends in dots, and what just fits is whole', () => {
  const start = spell(said('x'), screen(true)).length - 1
  expect(spell(said('localhost.localdomain'), screen(true, start + 12))).toMatch(/ {2}localhost\.\.\.$/)
  expect(spell(said('localhost'), screen(true, start + 9))).toMatch(/ {2}localhost$/)
})
