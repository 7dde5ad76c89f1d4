import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { DETAIL_MAX, type Kind } from '../../src/core/evidence.ts'
import { newManners, noteReply, observe, type Sighting } from '../../src/decoy/manners.ts'

const CALM = { greeted: true, replying: false }
const OUR_NAME = 'mx9.example.test'
const OUR_ADDRESS = '192.0.2.66'

const fresh = () => newManners(OUR_NAME, OUR_ADDRESS)
const see = (text: string, moment = CALM) => observe(fresh(), Buffer.from(text, 'latin1'), moment)
const detailOf = (sightings: Sighting[], kind: Kind) => sightings.find((sighting) => sighting.kind === kind)?.detail
const kindsOf = (sightings: Sighting[]) => sightings.map(({ kind }) => kind)

/** The lines one by one, each answered before the next. */
function inStep(...lines: string[]): Sighting[] {
  const manners = fresh()
  return lines.flatMap((line) => {
    const seen = observe(manners, Buffer.from(`${line}\r\n`, 'latin1'), CALM)
    noteReply(manners)
    return seen
  })
}

describe('a careful client', () => {
  test('shows nothing', () => {
    const mail = ['EHLO mail.sender.example', 'MAIL FROM:<> SIZE=100', 'RCPT TO:<a@example.test>']
    expect(inStep(...mail, 'RSET', 'NOOP', 'VRFY x', 'HELP', 'QUIT')).toEqual([])
  })

  test('is not judged by an empty line, private commands, or what a firewall made of a word', () => {
    expect(inStep('', 'XCLIENT NAME=x', 'X-EXPS GSSAPI', 'XXXX mail.sender.example', 'STARTTLS')).toEqual([])
  })
})

describe('timing', () => {
  test('early talk quotes the first line, and is told once', () => {
    const manners = fresh()
    const moment = { greeted: false, replying: false }
    expect(observe(manners, Buffer.from('EHLO spam'), moment)).toEqual([{ kind: 'early-talk', detail: 'EHLO spam' }])
    expect(observe(manners, Buffer.from('mer.example\r\n'), moment)).toEqual([])
  })

  test('talk-over is any byte within a reply', () => {
    expect(see('Q', { greeted: true, replying: true })).toEqual([{ kind: 'talk-over', detail: 'Q' }])
  })

  test('pipelining is a second command before the reply to the first, however it is cut', () => {
    const both = see('EHLO mail.sender.example\r\nMAIL FROM:<a@b.example>\r\n')
    expect(both).toEqual([{ kind: 'pipelining', detail: 'MAIL before the reply to EHLO' }])
    const manners = fresh()
    expect(observe(manners, Buffer.from('RSET\r\nNO'), CALM)).toEqual([])
    const seen = observe(manners, Buffer.from('OP\r\n'), CALM)
    expect(seen).toEqual([{ kind: 'pipelining', detail: 'NOOP before the reply to RSET' }])
  })

  test('a message sent without waiting is no pipelining, and is not read', () => {
    const sent = see('DATA\r\nSubject: x\r\n\r\nEHLO localhost\nAUTH PLAIN abc\r\n.\r\n')
    expect(sent).toEqual([{ kind: 'message', detail: 'DATA' }])
  })

  test('after a refused DATA its lines are not judged, but the next command is', () => {
    expect(kindsOf(inStep('DATA', 'Subject: x', 'hello', 'RSET', 'EHLO localhost'))).toEqual(['message', 'false-helo'])
  })
})

describe('bare newlines', () => {
  test('a line that ends with LF alone is told with what it was', () => {
    expect(see('NOOP\n')).toEqual([{ kind: 'bare-newline', detail: 'NOOP' }])
  })

  test('a CR that came in an earlier chunk is not forgotten', () => {
    const manners = fresh()
    const bytes = ['NOOP', '\r', '\n'].flatMap((text) => observe(manners, Buffer.from(text), CALM))
    expect(bytes).toEqual([])
  })

  test('a line longer than we remember still ends with its own CRLF', () => {
    expect(see(`NOOP ${'x'.repeat(5000)}\r\n`)).toEqual([])
    expect(kindsOf(see(`NOOP ${'x'.repeat(5000)}\n`))).toEqual(['bare-newline'])
  })
})

describe('other protocols', () => {
  test.each([
    ['TLS', '\x16\x03\x01\x02\x00\x01\n\n\r\n', 'TLS'],
    ['SSH', 'SSH-2.0-Go\r\n\x00\x00\n', 'SSH'],
    ['SOCKS4', '\x04\x01\x00\x19\xc0\x00\x02\x01\x00', 'SOCKS4'],
    ['SOCKS5', '\x05\x01\x00', 'SOCKS5'],
    ['HTTP', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n', 'HTTP GET'],
    ['HTTP through a proxy', 'GET http://user:secret@host/ HTTP/1.0\r\n\r\n', 'HTTP GET'],
    ['HTTP CONNECT', 'CONNECT mail.example:25 HTTP/1.1\r\nHost: x\r\n\r\n', 'HTTP CONNECT'],
    ['HTTP of any method', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'HTTP PRI'],
    ['HTTP 0.9', 'GET /\r\n', 'HTTP GET'],
  ])('%s is told, and its lines are not judged as ours', (_name, text, detail) => {
    expect(see(text)).toEqual([{ kind: 'foreign-protocol', detail }])
  })

  test('mail commands are no HTTP', () => {
    expect(inStep('MAIL FROM:<a@b.example> BODY=8BITMIME', 'HELO post.example', 'NOOP GET / HTTP/1.1')).toEqual([])
  })
})

describe('names', () => {
  test.each([
    ['EHLO MX9.example.test', 'our own name: MX9.example.test'],
    ['EHLO mx9.example.test.', 'our own name: mx9.example.test.'],
    ['HELO 192.0.2.66', 'our own address: 192.0.2.66'],
    ['EHLO [192.0.2.66]', 'our own address: [192.0.2.66]'],
    ['EHLO localhost', 'localhost: localhost'],
    ['EHLO localhost.localdomain', 'localhost: localhost.localdomain'],
    ['EHLO 198.51.100.7', 'a bare address: 198.51.100.7'],
    ['EHLO 2001:db8::1', 'a bare address: 2001:db8::1'],
    ['EHLO win-9f3', 'a single label: win-9f3'],
    ['EHLO a..example', 'no host name: a..example'],
    ['EHLO -x.example', 'no host name: -x.example'],
    ['EHLO (who)', 'no host name: (who)'],
    ['EHLO [what]', 'no address in the brackets: [what]'],
    ['EHLO', 'no name at all'],
  ])('%s is false', (line, detail) => {
    expect(inStep(line)).toEqual([{ kind: 'false-helo', detail }])
  })

  test.each([
    'mail.sender.example',
    'mail.sender.example.',
    'under_score.sender.example',
    '[198.51.100.7]',
    '[IPv6:2001:db8::1]',
    'xn--bcher-kva.example',
  ])('%s may be its own', (name) => {
    expect(inStep(`EHLO ${name}`)).toEqual([])
  })
})

describe('secrets', () => {
  test.each([
    ['AUTH PLAIN AHVzZXIAc2VjcmV0', 'PLAIN'],
    ['auth login c2VjcmV0', 'LOGIN'],
    ['AUTH CRAM-MD5', 'CRAM-MD5'],
    ['AUTH c2VjcmV0', 'an unknown mechanism'],
    ['AUTH', 'an unknown mechanism'],
  ])('of %s only the mechanism is kept', (line, detail) => {
    expect(inStep(line)).toEqual([{ kind: 'auth', detail }])
  })

  test('nothing that follows AUTH is quoted or called unknown', () => {
    expect(inStep('AUTH LOGIN', 'dXNlcg==', 'c2VjcmV0')).toEqual([{ kind: 'auth', detail: 'LOGIN' }])
    const manners = fresh()
    observe(manners, Buffer.from('AUTH LOGIN\r\n'), CALM)
    expect(observe(manners, Buffer.from('c2VjcmV0\n'), { greeted: true, replying: true })).toEqual([
      { kind: 'talk-over' },
      { kind: 'bare-newline' },
      { kind: 'pipelining', detail: 'a line before the reply to AUTH' },
    ])
  })

  test('a log-in is known for one in the middle of its line, too', () => {
    const manners = fresh()
    observe(manners, Buffer.from('AU'), CALM)
    const seen = observe(manners, Buffer.from('TH PLAIN c2VjcmV0'), { greeted: true, replying: true })
    expect(seen).toEqual([{ kind: 'talk-over', detail: 'AUTH PLAIN' }])
  })

  test('of what is no command only the first word is kept', () => {
    expect(inStep('PASS secret')).toEqual([{ kind: 'unknown-command', detail: 'PASS' }])
    expect(see('USER secret', { greeted: false, replying: false })).toEqual([{ kind: 'early-talk', detail: 'USER' }])
  })
})

describe('whatever comes', () => {
  const words = [
    ...'EHLO x.example|HELO localhost|AUTH LOGIN|DATA|.|QUIT|GET / HTTP/1.1|SSH-2|what'.split('|'),
    ...'\x16\x03|\r\n|\n|\r'.split('|'),
  ]
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 40 }).map((raw) => Buffer.from(raw)),
    fc.constantFrom(...words).map((word) => Buffer.from(word, 'latin1')),
  )
  const input = fc.array(bytes, { maxLength: 12 }).map((parts) => Buffer.concat(parts))

  test('how the bytes are cut changes neither kinds nor details', () => {
    fc.assert(
      fc.property(input, (all) => {
        const one = fresh()
        const single = [...all].flatMap((byte) => observe(one, Buffer.from([byte]), CALM))
        expect(single).toEqual(observe(fresh(), all, CALM))
      }),
      { numRuns: 300 },
    )
  })

  test('each kind comes once, printable and cut; memory stays bounded', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(input, fc.boolean(), fc.boolean()), { maxLength: 20 }), (chunks) => {
        const manners = fresh()
        const seen = chunks.flatMap(([chunk, greeted, replying]) => observe(manners, chunk, { greeted, replying }))
        expect(new Set(kindsOf(seen)).size).toBe(seen.length)
        for (const { detail } of seen) expect(detail ?? '').toMatch(/^[\x20-\x7e]*$/)
        for (const { detail } of seen) expect((detail ?? '').length).toBeLessThanOrEqual(4 * DETAIL_MAX + 3)
      }),
    )
    const manners = fresh()
    for (let i = 0; i < 100; i++) observe(manners, Buffer.alloc(65_536, 'x'), CALM)
    expect(manners.line.length).toBe(2048)
  })

  test('no secret after AUTH is ever told', () => {
    fc.assert(
      fc.property(fc.array(bytes, { maxLength: 8 }), (before) => {
        const manners = fresh()
        const login = ['\r\nAUTH PLAIN c2VjcmV0\r\nc2VjcmV0\r\n', 'c2VjcmV0'].map((text) => Buffer.from(text))
        const moment = { greeted: true, replying: true }
        const seen = [...before, ...login].flatMap((chunk) => observe(manners, chunk, moment))
        expect(detailOf(seen, 'auth') ?? '').not.toMatch(/c2VjcmV0/i)
        for (const { detail } of seen) expect(detail ?? '').not.toMatch(/c2VjcmV0/i)
      }),
    )
  })
})
