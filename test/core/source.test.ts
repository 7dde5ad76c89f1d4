import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Lexer } from 'yaml'
import { FILE_BYTES_MAX, Places, readBytes, stopIn } from '../../src/core/source.ts'

const bytes = (...parts: (string | number[])[]): Uint8Array =>
  Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : Buffer.from(part))))
const stopOf = (file: Uint8Array) => {
  const read = readBytes(file)
  return read.ok ? undefined : { ...read.stop, ...new Places(read.text).place(read.stop.at), excerpt: undefined }
}

describe('bytes are text in UTF-8', () => {
  test('with or without its mark', () => {
    expect(readBytes(bytes('mode: é\r\n'))).toEqual({ ok: true, text: 'mode: é\r\n' })
    expect(readBytes(bytes([0xef, 0xbb, 0xbf], 'mode: x'))).toEqual({ ok: true, text: 'mode: x' })
    expect(readBytes(bytes())).toEqual({ ok: true, text: '' })
  })

  test.each<[string, Uint8Array, string]>([
    ['UTF-16 with its mark', bytes([0xff, 0xfe], Buffer.from('mode: x', 'utf16le').toString('latin1')), 'UTF-16'],
    ['the other UTF-16', bytes([0xfe, 0xff, 0, 0x6d]), 'UTF-16'],
    ['UTF-16 without a mark', bytes(Buffer.from('mode: x', 'utf16le').toString('latin1')), 'UTF-16'],
    ['UTF-32', bytes([0xff, 0xfe, 0, 0, 0x6d, 0, 0, 0]), 'UTF-32'],
  ])('%s is told', (_, file, encoding) =>
    expect(stopOf(file)).toMatchObject({
      code: 'D002',
      message: `the file is ${encoding}, and UTF-8 is expected`,
      line: 1,
      column: 1,
    }),
  )

  test('Latin-1: the byte, its place, and what it would be', () => {
    expect(stopOf(bytes('mode: observe\nbecause: caf', [0xe9], ' au lait\n'))).toMatchObject({
      code: 'D002',
      line: 2,
      column: 13,
      message: 'byte 0xe9 is no UTF-8 here; in Latin-1 it would be é',
    })
  })

  test('a character that the end of the file cuts', () => {
    expect(stopOf(bytes('a: ', [0xe2, 0x82]))).toMatchObject({ code: 'D002', line: 1, column: 4 })
  })

  test('more bytes than are read', () => {
    expect(stopOf(new Uint8Array(FILE_BYTES_MAX + 1))).toMatchObject({ code: 'D003', line: 1, column: 1 })
  })

  test('any bytes: text, or a place in what was text before', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (file) => {
        const read = readBytes(file)
        expect(read.ok ? 0 : read.stop.at).toBeLessThanOrEqual(read.text.length)
        if (!read.ok && read.text !== '')
          expect(Buffer.from(file).indexOf(Buffer.from(read.text))).toBeGreaterThanOrEqual(0)
      }),
      { numRuns: 2000 },
    )
  })
})

describe('what stops a text', () => {
  const HUGE = 262_144
  test.each<[string, string, string, number]>([
    ['brackets', '['.repeat(HUGE), 'D004', 50],
    ['braces', '{'.repeat(HUGE), 'D004', 50],
    ['lists in lists', '- '.repeat(HUGE / 2), 'D004', 100],
    ['keys in keys', '? '.repeat(HUGE / 2), 'D004', 100],
    ['tags', '! '.repeat(HUGE / 2), 'D004', 4000],
    ['anchors', '&a '.repeat(HUGE / 3), 'D004', 6000],
    ['colons', ': '.repeat(HUGE / 2), 'D004', 4000],
    ['lines', '\n'.repeat(HUGE), 'D003', 19_999],
    ['keys that merge', '<<: 1\n'.repeat(HUGE / 6), 'D003', 24_000],
    ['entries', '- a\n'.repeat(HUGE / 4), 'D003', 16_000],
    ['comments', '#\n'.repeat(HUGE / 2), 'D003', 16_000],
    ['characters', '#'.repeat(HUGE + 1), 'D003', 0],
    ['a tab that indents', 'a:\n\t- b\n', 'D006', 3],
    ['a tab after blanks', 'a:\n  \t- b\n', 'D006', 5],
    ['a control character', 'a: \u0000\n', 'D002', 3],
    ['an escape sequence', 'a: \u001b[2J\n', 'D002', 3],
  ])('a quarter of a megabyte, or a little, of %s', (_, text, code, at) =>
    expect(stopIn(text)).toMatchObject({ code, at }),
  )

  test.each([
    ['brackets in a comment', `# ${'['.repeat(1000)}`],
    ['brackets in a string', `a: "${'['.repeat(1000)}"\nb: '${'{'.repeat(1000)}'`],
    ['brackets that are closed again', `a: [${'[x], '.repeat(200)}]`],
    ['a tab after text, on an empty line, before a comment', 'a: b\t# c\n\t\n\t# d\n'],
    ['an apostrophe in a word', "because: it doesn't matter"],
    [
      'four thousand entries',
      Array.from({ length: 4000 }, (_, i) => `- 10.0.${i >> 8}.${i & 255}`)
        .join('\n')
        .slice(0, FILE_BYTES_MAX),
    ],
  ])('but not %s', (_, text) => expect(stopIn(text)).toBeUndefined())
})

const PIECES = [
  '<<: 1',
  '- a',
  '- *a',
  '- &a b',
  '- !t a',
  '[',
  '{a: 1}, ',
  '? ',
  ': ',
  '#',
  '#x ',
  '%X a',
  '---',
  '"',
  "'",
  '|',
  '> x',
  ',',
  'a: b',
  'key: [1, 2]',
  '  - name: x',
  '\r',
  '\t',
  ' ',
  '',
  '\u2028',
  'x'.repeat(500),
  '- - - -',
  '*',
  '&',
  '@',
  '`',
]

/** What costs the parser time are its tokens: 5 us each where the machine is slow, 100 ms for so many. */
const TOKENS_MAX = 45_000

test('whatever of a quarter of a megabyte is not stopped has few tokens for the parser', () => {
  const piece = fc.constantFrom(...PIECES)
  const line = fc.array(piece, { minLength: 1, maxLength: 4 }).map((pieces) => pieces.join(''))
  const lines = fc.array(line, { minLength: 1, maxLength: 5 }).map((all) => `${all.join('\n')}\n`)
  let most = 0
  fc.assert(
    fc.property(lines, fc.integer({ min: 0, max: 700 }), (text, indent) => {
      const file = (text.repeat(Math.ceil(FILE_BYTES_MAX / text.length)) + ' '.repeat(indent)).slice(0, FILE_BYTES_MAX)
      if (stopIn(file)) return
      const tokens = [...new Lexer().lex(file)].length
      most = Math.max(most, tokens)
      expect(tokens).toBeLessThan(TOKENS_MAX)
    }),
    { numRuns: 1000 },
  )
  expect(most).toBeGreaterThan(0)
})

describe('places', () => {
  test('count from 1, and show the line', () => {
    const places = new Places('one\ntwo three\r\nfour')
    expect(places.place(0, 3)).toEqual({ line: 1, column: 1, excerpt: { text: 'one', column: 1, width: 3 } })
    expect(places.place(8, 5)).toEqual({ line: 2, column: 5, excerpt: { text: 'two three', column: 5, width: 5 } })
    expect(places.place(19)).toEqual({ line: 3, column: 5, excerpt: { text: 'four', column: 5, width: 1 } })
  })

  test('of a long line what is near; nothing that steers a terminal', () => {
    const { column, excerpt } = new Places(`${'x'.repeat(300)}HERE${'y'.repeat(300)}`).place(300, 4)
    expect(column).toBe(301)
    expect(excerpt?.text.slice((excerpt?.column ?? 0) - 1).slice(0, 4)).toBe('HERE')
    expect(excerpt?.text).toHaveLength(100)
    expect(new Places('a\u001b[31m\u202eb\tc').place(0).excerpt?.text).toBe('a?[31m?b c')
  })
})
