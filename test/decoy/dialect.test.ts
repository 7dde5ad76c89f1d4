import fc from 'fast-check'
import { expect, test } from 'vitest'
import { DETAIL_MAX } from '../../src/core/evidence.ts'
import { listen, newDialect, printOf } from '../../src/decoy/dialect.ts'

/** The dialect of one who says these lines, each ended by CRLF unless it brings its own LF. */
function speak(...lines: string[]): string | undefined {
  const dialect = newDialect()
  for (const said of lines) {
    const crlf = !said.endsWith('\n')
    const line = said.replace(/\n$/, '')
    listen(dialect, (line.trim().split(/\s+/)[0] ?? '').toUpperCase(), line, crlf)
  }
  return printOf(dialect)
}

test.each([
  // Postfix, Exim, Sendmail and their like, without PIPELINING.
  [
    ['EHLO mail.sender.example', 'MAIL FROM:<a@b.example>', 'RCPT TO:<c@example.test>', 'QUIT'],
    'EHLO:upper:name MAIL:upper:tight RCPT:upper:tight CRLF',
  ],
  [
    ['EHLO mail.sender.example', 'MAIL FROM:<a@b.example> SIZE=1200 BODY=8BITMIME', 'RCPT TO:<c@example.test> ORCPT=x'],
    'EHLO:upper:name MAIL:upper:tight:SIZE,BODY RCPT:upper:tight:ORCPT CRLF',
  ],
  [['MAIL FROM:<a@b.example> BODY=8BITMIME SIZE=1 X=secret'], 'MAIL:upper:tight:BODY,SIZE,other CRLF'],
  // Home-made ones.
  [
    ['helo spammer', 'mail from: <a@b.example>', 'rcpt to: <c@example.test>'],
    'HELO:lower:label MAIL:lower:spaced RCPT:lower:spaced CRLF',
  ],
  [['Helo 192.0.2.1\n', 'Mail From: a@b.example\n'], 'HELO:title:address MAIL:title:bare LF'],
  [['EHLO [192.0.2.1] ', 'MAIL From:<a@b.example>\n'], 'EHLO:upper:literal:trail MAIL:mixed:tight both'],
  [['EHLO mail.sender.example.'], 'EHLO:upper:dotted CRLF'],
  [['EHLO'], 'EHLO:upper:none CRLF'],
  [['EHLO one two'], 'EHLO:upper:label:more CRLF'],
  [['MAIL <a@b.example>'], 'MAIL:odd CRLF'],
])('%j', (lines, print) => {
  expect(speak(...lines)).toBe(print)
})

test('the first line of each sort tells; who says no name and no sender has no dialect', () => {
  expect(speak('EHLO a.example', 'helo b.example')).toBe('EHLO:upper:name CRLF')
  expect(speak('RCPT TO:<a@b.example>', 'QUIT')).toBeUndefined()
})

test('whatever is said, the print is short, and quotes nothing', () => {
  const said = fc.tuple(
    fc.constantFrom('EHLO ', 'MAIL FROM:', 'MAIL FROM:<', 'RCPT TO:<a> '),
    fc.string({ unit: 'binary' }),
  )
  fc.assert(
    fc.property(fc.array(said, { maxLength: 6 }), (lines) => {
      const print = speak(...lines.map(([verb, rest]) => `${verb}${rest.replace(/[\r\n]/g, '')}`))
      for (const word of print?.split(/[ :,]/) ?? []) expect(WORDS).toContain(word)
      expect((print ?? '').length).toBeLessThanOrEqual(2 * DETAIL_MAX)
    }),
    { numRuns: 1000 },
  )
})

const WORDS =
  'EHLO MAIL RCPT upper lower title mixed name dotted literal address label none more trail tight spaced bare odd other SIZE BODY SMTPUTF8 RET ENVID AUTH NOTIFY ORCPT REQUIRETLS BY MT-PRIORITY HOLDFOR HOLDUNTIL MTRK SOLICIT XVERP CRLF LF both'.split(
    ' ',
  )

test('what most say is known at a glance, and told as anything is that is taken apart: the same with a blank before it', () => {
  const word = fc.stringMatching(/^[a-zA-Z0-9_.<>[\]:= -]{0,20}$/)
  const verbs = fc.constantFrom('EHLO ', 'HELO ', 'LHLO ', 'Ehlo ', 'MAIL FROM:', 'RCPT TO:<', 'rcpt to:')
  const names = fc.constantFrom(
    '',
    'mail.sender.example',
    'localhost',
    '192.0.2.1',
    'a.b.1',
    'a-b.c_d.e9.',
    'x@sender.example>',
  )
  fc.assert(
    fc.property(verbs, names, word, (verb, name, more) => {
      const line = `${verb}${name}${more}`
      expect(speak('HELO a', line)).toBe(speak('HELO a', ` ${line}`))
      expect(speak(line, 'MAIL FROM:<>')).toBe(speak(` ${line}`, 'MAIL FROM:<>'))
    }),
  )
})
