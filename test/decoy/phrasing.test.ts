import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { lookOf } from '../../src/decoy/look.ts'
import { type Phrases, phrase, phrasesLike, phrasesOf, salute } from '../../src/decoy/phrasing.ts'
import { guard } from '../../src/decoy/wire.ts'
import { BRISK, HONEST, openHouse } from './visitors.ts'

const NAME = 'mx9.example.org'
const POSTFIX = ['PIPELINING', 'SIZE 10240000', 'ENHANCEDSTATUSCODES', '8BITMIME', 'DSN', 'SMTPUTF8', 'CHUNKING']
const of = (banner: string, ehlo: readonly string[] = POSTFIX, auth = true, tls = false) =>
  phrasesOf(NAME, { banner, ehlo }, { auth, tls: tls || undefined })

const LIKE_POSTFIX = of(`${NAME} ESMTP Postfix`)
const LIKE_EXIM = of(`${NAME} ESMTP Exim 4.96`)
const WITHOUT_CODES = of(`${NAME} ESMTP`, ['8BITMIME'])

describe('like Postfix', () => {
  test.each([
    ['MAIL', '250 Accepted', '250 2.1.0 Ok'],
    ['NOOP', '250 OK', '250 2.0.0 Ok'],
    ['RSET', '250 Flushed', '250 2.0.0 Ok'],
    ['QUIT', '221 Bye', '221 2.0.0 Bye'],
    ['RCPT', '451 later', '451 4.7.1 Service unavailable - try again later'],
    ['AUTH', '334 VXNlcm5hbWU6', '334 VXNlcm5hbWU6'],
    ['AUTH', '334 ', '334 '],
    ['/*', '454 later', '454 4.7.0 Temporary authentication failure: Connection lost to authentication server'],
    [
      'AUTH',
      '504 Error: Unrecognized authentication type',
      '435 4.7.8 Error: authentication failed: Invalid authentication mechanism',
    ],
    ['AUTH', '500 Error: command not recognized', '403 4.5.1 Error: authentication not enabled'],
    ['MAIL', '503 Error: send HELO/EHLO first', '403 4.5.1 Error: send HELO/EHLO first'],
    ['MAIL', '503 Error: nested MAIL command', '403 4.5.1 Error: nested MAIL command'],
    ['MAIL', '501 Error: BODY parameter requires a value', '401 4.5.4 Syntax: MAIL FROM:<address>'],
    ['RCPT', '503 Error: need MAIL command', '403 4.5.1 Error: need MAIL command'],
    ['RCPT', '501 Error: Bad recipient address syntax', '401 4.1.3 Bad recipient address syntax'],
    ['DATA', '503 Error: need RCPT command', '454 4.5.1 Error: no valid recipients'],
    ['EHLO', '501 Error: syntax: EHLO hostname', '401 Syntax: EHLO hostname'],
    ['XYZZY', '500 Error: command not recognized', '400 4.5.2 Error: command not recognized'],
    ['STARTTLS', '500 Error: command not recognized', '402 4.5.1 Error: command not implemented'],
    ['', '500 Error: command not recognized', '400 4.5.2 Error: bad syntax'],
    ['J', '421 Error: too many unrecognized commands', '421 4.7.0 mx9.example.org Error: too many errors'],
    ['GET', '421 HTTP requests not allowed', '421 4.7.0 mx9.example.org Error: too many errors'],
  ])('%s, %j: %j', (command, reply, said) => {
    expect(phrase(`${reply}\r\n`, command, false, LIKE_POSTFIX)).toBe(`${said}\r\n`)
  })

  test('within a message nothing is taken: neither the message, nor a command that follows it', () => {
    for (const [command, reply] of [
      ['RSET', '250 Flushed'],
      ['.', '250 OK: message queued'],
      ['.', '500 Error'],
      ['DATA', '354 End'],
    ])
      expect(phrase(`${reply}\r\n`, command as string, true, LIKE_POSTFIX)).toBe(
        '451 4.3.0 Error: queue file write error\r\n',
      )
    const list = '250-mx9\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n'
    const line = '4.3.0 Error: queue file write error\r\n'
    expect(phrase(list, 'EHLO', true, LIKE_POSTFIX)).toBe(`451-${line}451-${line}451 ${line}`)
  })

  test('greets, and answers a name, with what can be offered', () => {
    expect(LIKE_POSTFIX.greeting).toBe('220 mx9.example.org ESMTP Postfix\r\n')
    expect(of('mx9.example.org 100% spam-free').greeting).toBe('220 mx9.example.org 100% spam-free\r\n')
    const list = (phrases: Phrases, withinTls = false) => salute('EHLO', withinTls, 'a.example', '192.0.2.7', phrases)
    expect(list(LIKE_POSTFIX).split(/\r\n250[ -]/)).toEqual([
      '250-mx9.example.org',
      'AUTH PLAIN LOGIN',
      'ENHANCEDSTATUSCODES',
      '8BITMIME',
      'DSN',
      'SMTPUTF8\r\n',
    ])
    const withTls = of('mx ESMTP', [], false, true)
    expect(list(withTls)).toBe('250-mx9.example.org\r\n250-STARTTLS\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n')
    expect(list(withTls, true)).toBe('250-mx9.example.org\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n')
    expect(salute('HELO', false, 'a.example', '192.0.2.7', LIKE_POSTFIX)).toBe('250 mx9.example.org\r\n')
  })

  test('has a code in every reply, for it was offered; and has none where it was not', () => {
    // RFC 2034, 4: not in the greeting, nor in what answers EHLO and HELO, nor in 3xx.
    const replies = (phrases: Phrases) => [
      ...['startTls', 'later', 'away', 'bye', 'ok', 'reset', 'sender', 'login', 'message', 'closing', 'unknown'].map(
        (key) => phrases[key as 'later'],
      ),
      ...[...phrases.complaints.values(), ...phrases.refusals.values()].filter(
        (said) => !/Syntax: (EHLO|HELO)/.test(said),
      ),
    ]
    for (const said of replies(LIKE_POSTFIX)) expect(said).toMatch(/^([24])\d\d \1\.\d\.\d /)
    for (const phrases of [WITHOUT_CODES, LIKE_EXIM]) {
      for (const said of replies(phrases)) expect(said).not.toMatch(/ \d\.\d\.\d/)
      expect(phrases.ehlo).not.toContain('ENHANCEDSTATUSCODES')
    }
    expect(WITHOUT_CODES.later).toBe('451 Service unavailable - try again later\r\n')
  })
})

describe('like Exim', () => {
  test('it says hello, and speaks in its words', () => {
    const hello = (helo: string) => salute('EHLO', false, helo, '192.0.2.7', LIKE_EXIM).split('\r\n')[0]
    expect(hello('mail.sender.example')).toBe('250-mx9.example.org Hello mail.sender.example [192.0.2.7]')
    expect(salute('HELO', false, '[192.0.2.7]', '192.0.2.7', LIKE_EXIM)).toBe(
      '250 mx9.example.org Hello [192.0.2.7] [192.0.2.7]\r\n',
    )
    for (const odd of ['', 'a\r\n250 ok', 'é', 'x'.repeat(100)])
      expect(hello(odd)).toBe('250-mx9.example.org Hello [192.0.2.7]')
    expect(phrase('221 Bye\r\n', 'QUIT', false, LIKE_EXIM)).toBe('221 mx9.example.org closing connection\r\n')
    expect(phrase('250 Flushed\r\n', 'RSET', false, LIKE_EXIM)).toBe('250 Reset OK\r\n')
    expect(phrase('500 x\r\n', 'XYZZY', false, LIKE_EXIM)).toBe('451 Temporary local problem - please try later\r\n')
  })
})

describe('whatever the library says, and whatever the network taught us to look like', () => {
  const text = fc
    .oneof(fc.string({ maxLength: 600 }), fc.string({ unit: 'binary', maxLength: 80 }))
    .map((said) => said.replace(/[\r\n]/g, ' '))
  const code = fc.oneof(
    fc.constantFrom(
      '200',
      '214',
      '220',
      '221',
      '235',
      '250',
      '252',
      '354',
      '421',
      '450',
      '451',
      '452',
      '454',
      '500',
      '501',
      '503',
      '554',
    ),
    fc
      .integer({ min: 200, max: 599 })
      .filter((n) => n < 300 || n > 353)
      .map(String),
  )
  const command = fc.oneof(
    fc.constantFrom('MAIL', 'RCPT', 'DATA', 'RSET', 'AUTH', 'QUIT', 'EHLO', '.', '', '/*', 'VRFY'),
    fc.string(),
  )
  const look = fc.record({
    banner: fc.oneof(text, fc.constant('mx.example.org ESMTP Exim 4')),
    ehlo: fc.array(text, { maxLength: 30 }),
  })

  test('is said in lines of ASCII, as many and as long as may be, and takes no message and bounces none', () => {
    fc.assert(
      fc.property(
        code,
        fc.array(text, { minLength: 1, maxLength: 5 }),
        command,
        fc.boolean(),
        look,
        (digits, lines, verb, inMessage, real) => {
          const reply = lines.map((line, i) => `${digits}${i < lines.length - 1 ? '-' : ' '}${line}\r\n`).join('')
          const phrases = phrasesLike(
            lookOf(NAME, undefined, () => real),
            NAME,
            { auth: true, tls: true },
          )()
          const said = phrase(reply, verb, inMessage, phrases)
          // The guard has nothing left to do.
          expect(guard(said, inMessage)).toBe(said)
          const heard = said.split('\r\n').slice(0, -1)
          expect(heard).toHaveLength(lines.length)
          const kept =
            digits.startsWith('5') || (digits[0] as string) === '3' || (inMessage && !digits.startsWith('221'))
              ? '4'
              : digits[0]
          heard.forEach((line, i) => {
            expect(line).toMatch(/^[24]\d\d[ -][ -~]*$/)
            expect(line[0]).toBe(kept)
            expect(line[3]).toBe(i < heard.length - 1 ? '-' : ' ')
            expect(line.length).toBeLessThanOrEqual(510)
          })
          const greeted = [
            phrases.greeting,
            salute('EHLO', false, lines[0] as string, '192.0.2.7', phrases),
            salute('HELO', true, '', '::1', phrases),
          ]
          for (const line of greeted.flatMap((each) => each.split('\r\n').slice(0, -1))) {
            expect(line).toMatch(/^2[25]0[ -][ -~]*$/)
            expect(line.length).toBeLessThanOrEqual(510)
          }
        },
      ),
    )
  })
})

describe('on a real socket', () => {
  test('a dialogue is spoken as the real MX would speak it, by our name', async () => {
    const looksLike = () => ({
      banner: 'mx.example.org ESMTP Exim 4.96 Sat, 28 Nov 2026 22:54:41 +0000',
      ehlo: ['SIZE 52428800', '8BITMIME', 'HELP'],
    })
    const house = await openHouse({ looksLike, pace: BRISK })
    expect(await house.call().walk(...HONEST)).toEqual([
      '220 mx9.example.test ESMTP Exim 4.96',
      '250-mx9.example.test Hello mail.sender.example [127.0.0.1]\r\n250-AUTH PLAIN LOGIN\r\n250-8BITMIME\r\n250 SMTPUTF8',
      '250 OK',
      '451 Temporary local problem - please try later',
      '221 mx9.example.test closing connection',
    ])
    await house.empty()
  })

  test('no word of the library is heard, whatever is asked', async () => {
    const house = await openHouse()
    const asked = [
      'NOOP',
      'VRFY a',
      'HELP',
      'EXPN a',
      'EHLO',
      'EHLO a.example',
      'MAIL FROM:<>',
      'RCPT TO:<a@example.test>',
      'RSET',
      'AUTH PLAIN',
      '*',
    ]
    const more = ['AUTH LOGIN', 'YQ==', 'YQ==', 'AUTH x', 'MAIL x', 'DATA', 'RSET', '.', 'QUIT']
    const replies = await house.call().walk(...asked, ...more)
    for (const reply of replies)
      expect(reply).not.toMatch(/Accepted|Flushed|Error: [sS]yntax|Try something|250 OK|Bye$(?<!2\.0\.0 Bye)/)
    expect(replies.at(-1)).toBe('221 2.0.0 Bye')
    await house.empty()
  })

  test('in an outage, too', async () => {
    const house = await openHouse({ outage: () => true })
    expect(await house.call().reply()).toBe('421 4.3.2 All server ports are busy')
    await house.empty()
  })
})
