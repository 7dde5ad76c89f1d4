import { Socket } from 'node:net'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Crowd, type Visit } from '../../src/decoy/crowd.ts'
import { ALL_SAID, type Form, hearken, nextPiece, scriptOf } from '../../src/decoy/script.ts'

import { LATER } from './visitors.ts'

const LOOK = { banner: 'mx.example.org ESMTP Postfix', ehlo: ['SIZE 10240000', 'ENHANCEDSTATUSCODES'] }

const visitor = (): Visit => new Crowd().enter(new Socket(), 1, 'a', 0)

/** All that a client hears who sends these, one after the other, each when it hears nothing more. */
function told(form: Form, lines: readonly Buffer[], turns = 200, look = LOOK): string {
  const script = scriptOf('mx9.example.test', form, look)
  const visit = visitor()
  let heard = ''
  const waiting = [...lines]
  for (let turn = 0; turn < turns; turn++) {
    const piece = nextPiece(script, visit)
    if (piece === ALL_SAID) return `${heard}(bye)`
    if (piece) {
      expect(piece.length).toBeLessThanOrEqual(4)
      heard += piece
    } else {
      const next = waiting.shift()
      if (next) hearken(visit, next)
    }
  }
  return heard
}

const say = (...lines: string[]) => lines.map((line) => Buffer.from(`${line}\r\n`))

describe('what a held offender is told', () => {
  test('a greeting that never ends, and looks like the real MX', () => {
    const heard = told('greeting', say('EHLO a.example', 'QUIT'))
    expect(heard.startsWith('220-mx.example.org ESMTP Postfix\r\n220-mx.example.org')).toBe(true)
    expect(heard).not.toMatch(/^220 |^250|^221/m)
  })

  test('or the replies of a slow server: greeting, EHLO with its list, later, goodbye', () => {
    const heard = told('replies', say('EHLO a.example', 'MAIL FROM:<a@a.example>', 'helo a', 'DATA', 'quit'))
    expect(heard).toBe(
      '220 mx.example.org ESMTP Postfix\r\n' +
        '250-mx.example.org\r\n250-SIZE 10240000\r\n250 ENHANCEDSTATUSCODES\r\n' +
        `${LATER}\r\n` +
        '250 mx.example.org\r\n' +
        `${LATER}\r\n` +
        '221 2.0.0 Bye\r\n(bye)',
    )
  })

  test('by one name: that of its banner, or ours where that names nobody', () => {
    const helo = (banner: string) => told('replies', say('HELO a.example'), 99, { banner, ehlo: [] }).split('\r\n')[1]
    expect(helo('mx.example.org')).toBe('250 mx.example.org')
    for (const banner of ['ESMTP ready', 'mx ESMTP', '', '***** ESMTP', 'Hello, this is mx.example.org'])
      expect(helo(banner)).toBe('250 mx9.example.test')
  })

  test('a line in pieces is a line; what is said before the reply is whole is not answered by itself', () => {
    const pieces = Array.from(Buffer.from('EHLO a\r\n'), (byte) => Buffer.from([byte]))
    expect(told('replies', pieces)).toMatch(/^220 [^\n]*\n250-/)
    const script = scriptOf('mx9.example.test', 'replies', LOOK)
    const visit = visitor()
    for (let i = 0; i < 1000; i++) hearken(visit, Buffer.from('EHLO a\r\nMAIL FROM:<>\r\n'))
    let heard = ''
    for (let i = 0; i < 100; i++) {
      const piece = nextPiece(script, visit)
      if (typeof piece === 'string') heard += piece
    }
    expect(heard).toBe('220 mx.example.org ESMTP Postfix\r\n')
  })

  test('whatever it sends: no 5xx, no 354, and 2xx to nothing but a greeting, EHLO, HELO and QUIT', () => {
    const verbs = fc.constantFrom(
      'EHLO',
      'HELO',
      'MAIL',
      'RCPT',
      'DATA',
      'BDAT',
      'RSET',
      'NOOP',
      'AUTH',
      '.',
      '',
      'EHLOX',
    )
    const line = fc.oneof(
      verbs.map((verb) => Buffer.from(`${verb} x\r\n`)),
      verbs.map((verb) => Buffer.from(`${verb}\n`)),
      fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
    )
    fc.assert(
      fc.property(fc.array(line, { maxLength: 8 }), fc.constantFrom<Form>('greeting', 'replies'), (lines, form) => {
        const heard = told(form, lines)
        for (const reply of heard.split('\r\n').filter((each) => each.length >= 3))
          expect(reply).toMatch(
            form === 'greeting' ? /^220-/ : /^220 mx\.|^250[- ](mx9|SIZE|ENH)|^451 |^221 |^\(bye\)|^25$|^45$|^2/,
          )
        if (form === 'replies' && !lines.some((each) => /^(EHLO|HELO)/im.test(each.toString('latin1'))))
          expect(heard).not.toMatch(/^250/m)
      }),
    )
  })

  test('a look from the network cannot say more than one line', () => {
    const evil = { banner: 'mx\r\n250 OK\r\n' + 'x'.repeat(1000), ehlo: Array(100).fill('A\r\n354 go\r\n') as string[] }
    const heard = told('replies', say('EHLO a'), 2000, evil)
    expect(heard).not.toMatch(/^250 OK|^354/m)
    for (const line of heard.split('\r\n')) expect(line.length).toBeLessThan(510)
    expect(heard.length).toBeLessThan(3000)
  })
})
