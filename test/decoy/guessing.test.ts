import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { guess, GUESSES_MIN, newGuessing } from '../../src/decoy/guessing.ts'

/** What all of these show together, in their order. */
function guessAll(locals: readonly string[]): string | undefined {
  const guessing = newGuessing()
  return locals.map((local) => guess(guessing, local)).findLast((found) => found !== undefined)
}

const numbered = (stem: string, count: number) => Array.from({ length: count }, (_, i) => `${stem}${1000 + i}`)

describe('guessed', () => {
  test.each([
    ['role names', 'admin info sales test root webmaster support billing jobs news'.split(' ')],
    ['a series of letters', 'aax aay aaz aba abb abc abd abe abf abg'.split(' ')],
    ['letters that nobody can say', Array.from('abcdefghij', (letter) => `xkqzvb${letter}`)],
  ])('%s, ten of them and not nine', (_name, locals) => {
    expect(locals).toHaveLength(GUESSES_MIN)
    expect(guessAll(locals)).toMatch(/^10 .*, the last /)
    expect(guessAll(locals.slice(0, -1))).toBeUndefined()
    expect(guessAll(locals.slice(0, -1).concat(locals.slice(0, -1)))).toBeUndefined()
  })
})

describe('people, who are not guessed', () => {
  const people = 'anna.schwartz b.angst bernd christoph d.knight ernst f.wright schmidt gschwandtner hjalmar xyz'.split(
    ' ',
  )

  test.each([
    ['a mailing list in the order of the alphabet', people.toSorted()],
    ['a class of students with numbers', numbered('s', 100)],
    ['staff with initials and numbers', numbered('jrs', 100)],
    ['a few role names among people', ['info', 'sales', 'office', 'support', ...people]],
    ['the same role name again and again', Array.from({ length: 100 }, () => 'info')],
    ['initials next to each other', 'ab ac ad ae bf bg bh ci cj ck cl cn'.split(' ')],
  ])('%s', (_name, locals) => {
    expect(guessAll(locals)).toBeUndefined()
  })

  test('one name, however often and whatever it is, is never a dictionary', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 80 }), (local) => {
        expect(guessAll(Array.from({ length: 50 }, () => local))).toBeUndefined()
      }),
    )
  })
})

test('the memory stays small', () => {
  const guessing = newGuessing()
  for (let i = 0; i < 10_000; i++) guess(guessing, `xkqzvb${String.fromCharCode(97 + (i % 26))}x`)
  guess(guessing, 'x'.repeat(100_000))
  expect(guessing.unsayable.size).toBe(GUESSES_MIN)
  expect(guessing.roles.size).toBe(0)
  expect(guessing.last.length).toBeLessThan(65)
})
