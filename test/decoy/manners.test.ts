import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { DETAIL_MAX, type Kind } from '../../src/core/evidence.ts'
import {
  farewell,
  type Moment,
  newManners,
  noteReply,
  noteTls,
  observe as observeAll,
} from '../../src/decoy/manners.ts'
import type { Manners, Sighting } from '../../src/decoy/manners.ts'

const CALM = { greeted: true, replying: false }
const OUR_NAME = 'mx9.example.test'
const OUR_ADDRESS = '192.0.2.66'

/** Without stages, which have tests of their own. */
type Seen = Omit<Sighting, 'stage'>
const withoutStage = ({ kind, detail }: Sighting): Seen => (detail === undefined ? { kind } : { kind, detail })
function observe(manners: Manners, bytes: Buffer, moment: Moment): Seen[] {
  return observeAll(manners, bytes, moment).map(withoutStage)
}

const fresh = () => newManners(OUR_NAME, OUR_ADDRESS)
const see = (text: string, moment = CALM) => observe(fresh(), Buffer.from(text, 'latin1'), moment)
const detailOf = (sightings: Seen[], kind: Kind) => sightings.find((sighting) => sighting.kind === kind)?.detail
const kindsOf = (sightings: Seen[]) => sightings.map(({ kind }) => kind)

/** The lines one by one, each answered before the next; with the reply where a test cares. */
function walk(manners: Manners, ...lines: (string | readonly [line: string, code: string])[]): Sighting[] {
  noteReply(manners, '220')
  return lines.flatMap((each) => {
    const [line, code] = typeof each === 'string' ? [each, '250'] : each
    const seen = observeAll(manners, Buffer.from(`${line}\r\n`, 'latin1'), CALM)
    noteReply(manners, code)
    return seen
  })
}
function inStep(...lines: (string | readonly [line: string, code: string])[]): Seen[] {
  return walk(fresh(), ...lines).map(withoutStage)
}
const MAIL = ['EHLO mail.sender.example', 'MAIL FROM:<a@b.example>'] as const
const TO_RCPT = [...MAIL, ['RCPT TO:<c@example.test>', '451']] as const

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
    const manners = fresh()
    walk(manners, ...TO_RCPT)
    const sent = observe(
      manners,
      Buffer.from('DATA\r\nSubject: x\r\n\r\nEHLO localhost\nAUTH PLAIN abc\r\n.\r\n'),
      CALM,
    )
    expect(sent).toEqual([{ kind: 'message', detail: 'DATA' }])
  })

  test('after a refused DATA its lines are not judged, but the next command is', () => {
    const lines = [...TO_RCPT, 'DATA', 'Subject: x', 'hello', 'RSET', 'EHLO localhost'] as const
    expect(kindsOf(inStep(...lines))).toEqual(['message', 'false-helo', 'changed-helo'])
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
    ['RTSP', 'OPTIONS rtsp://x RTSP/1.0\r\n\r\n', 'RTSP OPTIONS'],
    ['RDP', '\x03\x00\x00\x2f\x2a\xe0\x00\x00\x00\x00\x00Cookie: mstshash=adm\r\n', 'RDP'],
    ['memcached', 'stats\r\n', 'memcached'],
    ['memcached with a key', 'get secret\r\n', 'memcached'],
    ['memcached in binary', '\x80\x0b\x00\x00\x00\x00\x00\x00', 'memcached, binary'],
    ['Redis', '*1\r\n$4\r\nPING\r\n', 'Redis'],
    ['Redis by hand', 'INFO\r\n', 'Redis'],
    ['SSL 2.0', '\x80\x2e\x01\x03\x01\x00\x15\x00', 'TLS in the form of SSL 2.0'],
    ['SMB', '\x00\x00\x00\x54\xffSMBr\x00', 'SMB'],
    ['PostgreSQL', '\x00\x00\x00\x08\x04\xd2\x16\x2f', 'PostgreSQL'],
    ['SQL Server', '\x12\x01\x00\x2f\x00\x00\x01\x00', 'SQL Server'],
    ['LDAP', '0\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00', 'LDAP'],
    ['MQTT', '\x10\x0c\x00\x04MQTT\x04\x02', 'MQTT'],
    ['JSON', '{"id":1,"method":"login"}\n', 'JSON'],
  ])('%s is told, and its lines are not judged as ours', (_name, text, detail) => {
    expect(see(text)).toEqual([{ kind: 'foreign-protocol', detail }])
  })

  test('mail commands are no HTTP', () => {
    expect(inStep('HELO post.example', 'MAIL FROM:<a@b.example> BODY=8BITMIME', 'NOOP GET / HTTP/1.1')).toEqual([])
  })
})

describe('order', () => {
  test.each([
    [['MAIL FROM:<a@b.example>'], 'MAIL before HELO'],
    [['EHLO mail.sender.example', 'RCPT TO:<c@example.test>'], 'RCPT before MAIL'],
    [['EHLO mail.sender.example', 'DATA'], 'DATA before RCPT'],
    [[...MAIL, 'BDAT 3 LAST'], 'BDAT before RCPT'],
    [[...MAIL, 'MAIL FROM:<d@b.example>'], 'MAIL within MAIL'],
    [[...TO_RCPT, 'RSET', 'RCPT TO:<c@example.test>'], 'RCPT before MAIL'],
  ] as const)('%j is told', (lines, detail) => {
    expect(detailOf(inStep(...lines), 'misplaced-command')).toBe(detail)
  })

  test.each([
    [
      'a second mail in one session',
      [...TO_RCPT, 'RSET', 'MAIL FROM:<d@b.example>', 'RCPT TO:<e@example.test>', 'QUIT'],
    ],
    ['a second mail after a new name', [...TO_RCPT, 'EHLO mail.sender.example', 'MAIL FROM:<d@b.example>']],
    ['another sender when the first was refused', [MAIL[0], ['MAIL FROM:<"@b>', '451'], 'MAIL FROM:<d@b.example>']],
    ['HELO when EHLO was refused', [['EHLO mail.sender.example', '451'], 'HELO mail.sender.example', MAIL[1]]],
    ['a name again', [MAIL[0], ...TO_RCPT, 'RSET', 'RSET', 'QUIT']],
  ] as const)('%s is in its place', (_name, lines) => {
    expect(inStep(...lines)).toEqual([])
  })

  test('a MAIL after a refused message is in its place', () => {
    const seen = inStep(
      ...TO_RCPT,
      ['DATA', '451'],
      ['.', '451'],
      'MAIL FROM:<d@b.example>',
      'RCPT TO:<e@example.test>',
    )
    expect(kindsOf(seen)).toEqual(['message'])
  })
})

describe('stages', () => {
  test('each sighting says how far the dialogue had come', () => {
    const manners = fresh()
    const at = (line: string, moment: Moment) =>
      observeAll(manners, Buffer.from(`${line}\r\n`), moment).map(({ kind, stage }) => [kind, stage])
    expect(at('EHLO localhost', { greeted: false, replying: false })).toEqual([
      ['early-talk', 'connect'],
      ['false-helo', 'connect'],
    ])
    noteReply(manners, '220')
    expect(at('what', CALM)).toEqual([['unknown-command', 'helo']])
    noteReply(manners, '451')
    expect(at('EHLO mail.sender.example', CALM)).toEqual([['changed-helo', 'helo']])
    noteReply(manners, '250')
    at('MAIL FROM:<a@b.example>', CALM)
    noteReply(manners, '250')
    expect(at('RCPT TO:<c@example.test>', { greeted: true, replying: true })).toEqual([['talk-over', 'mail']])
    noteReply(manners, '451')
    expect(at('DATA', CALM)).toEqual([['message', 'data']])
    expect(farewell(manners).map(({ kind, stage }) => [kind, stage])).toEqual([['dialect', 'data']])
  })

  test('a command out of place moves nothing', () => {
    expect(walk(fresh(), 'RCPT TO:<c@example.test>')).toEqual([
      { kind: 'misplaced-command', stage: 'greeting', detail: 'RCPT before MAIL' },
    ])
  })

  test('RSET goes back to the name, TLS to before it', () => {
    const manners = fresh()
    walk(manners, ...TO_RCPT, 'RSET')
    expect(manners.progress.stage).toBe('helo')
    noteTls(manners)
    expect(manners.progress.stage).toBe('starttls')
    expect(walk(manners, ...TO_RCPT, 'QUIT')).toEqual([])
    expect(manners.progress.stage).toBe('quit')
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

  test('a second name in one session is told; another spelling of the first is none', () => {
    expect(inStep('EHLO mail.sender.example', 'HELO Mail.Sender.example.')).toEqual([])
    expect(inStep('EHLO mail.sender.example', 'EHLO other.example')).toEqual([
      { kind: 'changed-helo', detail: 'mail.sender.example, then other.example' },
    ])
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

  test('of a log-in as at a terminal only the first line is quoted', () => {
    const manners = fresh()
    observe(manners, Buffer.from('root\r\n'), CALM)
    noteReply(manners, '451')
    expect(observe(manners, Buffer.from('xc3511\n'), { greeted: true, replying: true })).toEqual([
      { kind: 'talk-over' },
      { kind: 'bare-newline' },
    ])
  })

  test('of what is no command only the first word is kept', () => {
    expect(inStep('PASS secret')).toEqual([{ kind: 'unknown-command', detail: 'PASS' }])
    expect(see('USER secret', { greeted: false, replying: false })).toEqual([{ kind: 'early-talk', detail: 'USER' }])
  })
})

describe('whatever comes', () => {
  const words = [
    ...'EHLO x.example|HELO localhost|AUTH LOGIN|DATA|From: x|.|QUIT|GET / HTTP/1.1|SSH-2|what'.split('|'),
    ...'\x16\x03|\x00\x00|SMB|\x80\x0b|\x01|*1|INFO|MAIL FROM:<>|RCPT TO:<a@b>|RSET|\r\n|\n|\r'.split('|'),
  ]
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 40 }).map((raw) => Buffer.from(raw)),
    fc.constantFrom(...words).map((word) => Buffer.from(word, 'latin1')),
  )
  const input = fc.array(bytes, { maxLength: 12 }).map((parts) => Buffer.concat(parts))

  test('how the bytes are cut changes neither kinds nor details', () => {
    const keeping = () => newManners(OUR_NAME, OUR_ADDRESS, 200)
    fc.assert(
      fc.property(input, (all) => {
        const [one, other] = [keeping(), keeping()]
        const single = [...all].flatMap((byte) => observeAll(one, Buffer.from([byte]), CALM))
        expect(single).toEqual(observeAll(other, all, CALM))
        expect(farewell(one)).toEqual(farewell(other))
      }),
      { numRuns: 1000 },
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
    expect(manners.opening.length).toBe(16)
    const hello = newManners(OUR_NAME, OUR_ADDRESS)
    for (let i = 0; i < 100; i++) observe(hello, Buffer.from('\x16\x03\x01\x40\x00\x01\x00\x20'), CALM)
    expect(hello.hello).toBeUndefined()
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
