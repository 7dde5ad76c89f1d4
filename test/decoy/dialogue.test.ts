import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { HONEST, LATER, openHouse, PROXIED, repliesIn, TO_RCPT } from './visitors.ts'

/** Sound and unsound, asked and unasked. */
const COMMANDS = [
  ['EHLO mail.sender.example', 'HELO x', 'EHLO', 'MAIL FROM:<a@b.example>', 'MAIL FROM:<a@b.example> SIZE=x'],
  ['RCPT TO:<a@example.test>', 'RCPT TO:<>', 'DATA', 'data ', 'BDAT 3 LAST', '.', 'NOOP', 'RSET', 'VRFY a', 'QUIT'],
  ['STARTTLS', 'XCLIENT ADDR=192.0.2.1', 'WIZ x', 'EXPN x', 'AUTH XOAUTH2', 'AUTH PLAIN x', 'GET / HTTP/1.1'],
  ['\x16\x03\x01', ''],
].flat()

describe('a careful sender', () => {
  test('leaves nothing but its contact and its recipient', async () => {
    const house = await openHouse()
    const visitor = house.call()
    const replies = await visitor.walk(...HONEST)
    expect(replies[3]).toBe(LATER)
    expect(await visitor.ended).toBe('closed')
    await house.empty()
    const port = house.port()
    const [contact, recipient, dialect] = house.evidence
    expect(house.evidence).toHaveLength(3)
    expect(contact).toEqual({
      type: 'evidence',
      at: 1000,
      client: '127.0.0.1',
      role: 'backup',
      kind: 'contact',
      stage: 'connect',
      where: `127.0.0.1:${port}`,
      session: contact?.session,
    })
    expect(recipient).toEqual({ ...contact, kind: 'recipient', stage: 'rcpt', detail: 'postbox@example.test' })
    const print = 'EHLO:upper:name MAIL:upper:tight RCPT:upper:tight CRLF'
    expect(dialect).toEqual({ ...contact, kind: 'dialect', stage: 'quit', detail: print })
    expect(contact?.session).toMatch(/^[0-9a-f]{8}-1$/)
    expect(house.happenings).toEqual([
      { what: 'opened', role: 'backup', via: 'direct', regard: 'stranger' },
      {
        what: 'closed',
        role: 'backup',
        outcome: 'dialogue',
        heldMs: expect.any(Number),
        bytesIn: HONEST.join('\r\n').length + 2,
        bytesOut: visitor.heard.length,
      },
      {
        what: 'ended',
        session: expect.objectContaining({
          client: '127.0.0.1',
          session: contact?.session,
          helo: 'mail.sender.example',
          sender: 'a@sender.example',
          recipients: 1,
          last: 'QUIT',
          seen: [
            { kind: 'recipient', detail: 'postbox@example.test' },
            { kind: 'dialect', detail: print },
          ],
        }) as object,
      },
    ])
  })

  test('that only looks in and says QUIT is no more than a contact', async () => {
    const house = await openHouse()
    await house.call().walk('QUIT')
    await house.empty()
    expect(house.kinds).toEqual(['contact'])
  })

  test('is told at RCPT only when what it did is on disk', async () => {
    let write = () => {}
    const disk = new Promise<void>((resolve) => {
      write = resolve
    })
    const house = await openHouse({
      witness: async (event) => {
        if (event.type === 'evidence' && event.kind === 'recipient') await disk
      },
    })
    const visitor = house.call()
    await visitor.walk(...TO_RCPT.slice(0, 2))
    visitor.send(TO_RCPT[2])
    await house.until(() => house.kinds.includes('recipient'))
    const before = visitor.heard.length
    write()
    expect(await visitor.reply()).toMatch(/^451 /)
    expect(visitor.heard.length).toBeGreaterThan(before)
  })

  test('does not wait longer than a quarter of a second for a disk that hangs', async () => {
    const house = await openHouse({ witness: () => new Promise(() => {}) })
    const visitor = house.call()
    await visitor.walk(...TO_RCPT.slice(0, 2))
    const began = performance.now()
    expect(await visitor.ask(TO_RCPT[2])).toMatch(/^451 /)
    expect(performance.now() - began).toBeGreaterThan(240)
    expect(performance.now() - began).toBeLessThan(5000)
  })
})

describe('recipients', () => {
  test('each sort is told once, with the first address', async () => {
    const house = await openHouse()
    const visitor = house.call()
    const rcpt = 'A@Example.Test b@example.test x@elsewhere.example y@elsewhere.example Trap@example.test'
      .split(' ')
      .map((address) => `RCPT TO:<${address}>`)
    const replies = await visitor.walk('HELO mail.sender.example', 'MAIL FROM:<>', ...rcpt, 'QUIT')
    expect(replies.slice(3, -1)).toEqual(rcpt.map(() => LATER))
    await house.empty()
    expect(house.evidence.slice(0, -1).map(({ kind, detail }) => [kind, detail])).toEqual([
      ['contact', undefined],
      ['recipient', 'a@example.test'],
      ['foreign-recipient', 'x@elsewhere.example'],
      ['trap-recipient', 'trap@example.test'],
    ])
  })

  test('a domain in Unicode is known in the form that DNS has', async () => {
    const house = await openHouse({ protects: (domain) => domain === 'xn--bcher-kva.example' })
    const lines = [
      'EHLO mail.sender.example',
      'MAIL FROM:<a@b.example> SMTPUTF8',
      'RCPT TO:<leser@bücher.example>',
      'QUIT',
    ]
    await house.call().walk(...lines)
    await house.empty()
    expect(house.detailOf('recipient')).toBe('leser@xn--bcher-kva.example')
    expect(house.kinds).toEqual(['contact', 'recipient'])
  })

  test('a postmaster without a domain is nobody of ours and nobody else', async () => {
    const house = await openHouse()
    const replies = await house.call().walk('EHLO mail.sender.example', 'MAIL FROM:<>', 'RCPT TO:<postmaster>', 'QUIT')
    expect(replies[3]).toMatch(/^451 /)
    await house.empty()
    expect(house.kinds).toEqual(['contact'])
  })

  test('more than a hundred are a flood', async () => {
    const house = await openHouse()
    const visitor = house.call()
    await visitor.walk(...TO_RCPT.slice(0, 2))
    for (let i = 0; i < 100; i++) await visitor.ask(`RCPT TO:<user${i}@example.test>`)
    expect(house.kinds).toEqual(['contact', 'recipient'])
    await visitor.ask('RCPT TO:<one-more@example.test>')
    await visitor.ask('RCPT TO:<another@example.test>')
    expect(house.kinds).toEqual(['contact', 'recipient', 'recipient-flood'])
  })
})

describe('a message', () => {
  test('is never taken, asked for, or bounced: in step', async () => {
    const house = await openHouse()
    const visitor = house.call()
    const replies = await visitor.walk(...TO_RCPT, 'DATA', 'Subject: buy', 'NOOP', '.', 'QUIT')
    const codes = replies.slice(4).map((reply) => reply?.slice(0, 9))
    expect(codes).toEqual(['454 4.5.1', '400 4.5.2', '451 4.3.0', '451 4.3.0', '221 2.0.0'])
    await house.empty()
    expect(house.kinds).toEqual(['contact', 'recipient', 'message'])
    expect(house.detailOf('message')).toBe('DATA')
  })

  test('is never taken: all at once', async () => {
    const house = await openHouse()
    const visitor = house.call()
    await visitor.reply()
    const message = ['DATA', 'Subject: buy', 'RSET', 'EHLO again.example', 'NOOP', '', '.']
    visitor.send([...TO_RCPT, ...message, 'QUIT'].join('\r\n'))
    expect(await visitor.ended).toBe('closed')
    expect(repliesIn(visitor.heard).map((reply) => reply.slice(0, 3))).toEqual([
      '220',
      '250',
      '250',
      '451',
      '454',
      '400',
      '451',
      '451',
      '451',
      '400',
      '451',
      '221',
    ])
    await house.empty()
    expect(new Set(house.kinds)).toEqual(new Set(['contact', 'recipient', 'message', 'pipelining']))
  })

  test('BDAT is a message too', async () => {
    const house = await openHouse()
    const replies = await house.call().walk(...TO_RCPT, 'BDAT 5 LAST', 'QUIT')
    expect(replies[4]).toMatch(/^402 4\.5\.1 /)
    await house.empty()
    expect(house.detailOf('message')).toBe('BDAT')
  })

  test('after a refused one in step and its dot, the dialogue goes on', async () => {
    const house = await openHouse()
    const replies = await house.call().walk(...TO_RCPT, 'DATA', '.', 'RSET', 'QUIT')
    expect(replies.slice(4).map((reply) => reply?.slice(0, 3))).toEqual(['454', '451', '250', '221'])
  })
})

describe('a message that is kept', () => {
  const MESSAGE = [
    'From: a@b.example',
    'X-Mailer: Bulk 1.0',
    'Subject: Caf\xe9',
    '',
    'Help is near',
    'RSET your life',
    '.',
  ]
  const body = createHash('sha256').update('Help is near\r\nRSET your life\r\n').digest('hex')
  const KEEP = { offers: { auth: true, tls: undefined, keepBytes: 4096, keepAddresses: 'whole' as const } }

  test.each([
    ['in step', '\r\n', true],
    ['all at once', '\r\n', false],
    ['with bare newlines', '\n', false],
  ])('%s leaves its headers and the print of its body', async (_how, end, inStep) => {
    const house = await openHouse(KEEP)
    const visitor = house.call()
    await visitor.walk(...TO_RCPT, 'DATA')
    for (const line of inStep ? MESSAGE : [])
      expect(await visitor.send(Buffer.from(`${line}\r\n`, 'latin1')).reply()).toMatch(/^4\d\d /)
    if (!inStep) visitor.send(Buffer.from(MESSAGE.map((line) => line + end).join(''), 'latin1'))
    visitor.send('QUIT')
    await house.empty()
    const [content] = house.evidence.filter(({ kind }) => kind === 'content')
    expect(content?.headers).toBe('From: a@b.example\nX-Mailer: Bulk 1.0\nSubject: Caf?')
    expect(content?.detail).toMatch(new RegExp(`^\\d+ bytes, body sha256 ${body}$`))
    expect(content?.stage).toBe('data')
    expect(house.evidence.filter(({ kind }) => kind === 'unknown-command')).toEqual([])
  })

  test('longer than the operator wants is cut; one that never ends is told when its sender is gone', async () => {
    const house = await openHouse({ offers: { ...KEEP.offers, keepBytes: 300, keepAddresses: 'whole' } })
    const visitor = house.call()
    await visitor.walk(...TO_RCPT, 'DATA')
    for (let i = 0; i < 10; i++) await visitor.ask(i === 1 ? '' : 'x'.repeat(100))
    visitor.socket.destroy()
    await house.until(() => house.kinds.includes('content'))
    expect(house.detailOf('content')).toMatch(/^300 bytes and more, body sha256 [0-9a-f]{64}$/)
    await house.empty()
  })

  test('is never kept without being asked for, nor after a log-in', async () => {
    const plain = await openHouse()
    await plain.call().walk(...TO_RCPT, 'DATA', ...MESSAGE, 'QUIT')
    await plain.empty()
    expect(plain.kinds).not.toContain('content')
    expect(JSON.stringify(plain.evidence)).not.toMatch(/Mailer|near|b@b/)
    const house = await openHouse(KEEP)
    await house
      .call()
      .walk('EHLO mail.sender.example', 'AUTH LOGIN', '*', ...TO_RCPT.slice(1), 'DATA', ...MESSAGE, 'QUIT')
    await house.empty()
    expect(house.kinds).toContain('message')
    expect(house.kinds).not.toContain('content')
  })
})

describe('log-ins', () => {
  test('are offered, never succeed, and leave no secret behind', async () => {
    const house = await openHouse()
    const visitor = house.call()
    const logins = ['AUTH LOGIN', 'dXNlcg==', 'c2VjcmV0', 'AUTH PLAIN AHVzZXIAc2VjcmV0']
    const replies = await visitor.walk('EHLO mail.sender.example', ...logins)
    expect(replies[1]).toContain('AUTH PLAIN LOGIN')
    expect(replies.slice(2)).toEqual([
      '334 VXNlcm5hbWU6',
      '334 UGFzc3dvcmQ6',
      '454 4.7.0 Temporary authentication failure: Connection lost to authentication server',
      '454 4.7.0 Temporary authentication failure: Connection lost to authentication server',
    ])
    visitor.socket.end()
    await house.empty()
    await house.until(() => house.kinds.includes('hang-up'))
    expect(house.evidence.map(({ kind, detail }) => [kind, detail])).toEqual([
      ['contact', undefined],
      ['auth', 'LOGIN'],
      ['auth-name', 'user'],
      ['dialect', 'EHLO:upper:name CRLF'],
      ['hang-up', 'after AUTH'],
    ])
    expect(JSON.stringify([house.evidence, house.happenings])).not.toMatch(/c2VjcmV0|secret|dXNlcg/i)
  })
})

describe('passwords', () => {
  const secret = 'Wx7kPq93Zt'
  const base64 = (text: string) => Buffer.from(text).toString('base64')

  test.each([
    ['in PLAIN', [`AUTH PLAIN ${base64(`\0alice\0${secret}`)}`], 'alice'],
    ['in PLAIN, asked for', ['AUTH PLAIN', base64(`\0alice\0${secret}`)], 'alice'],
    ['in LOGIN', ['AUTH LOGIN', base64('alice@example.test'), base64(secret)], 'alice@example.test'],
    ['in LOGIN with the name at once', [`AUTH LOGIN ${base64('alice')}`, base64(secret)], 'alice'],
    ['in the place of the name', ['AUTH LOGIN', base64(secret), base64('alice')], undefined],
    ['not in Base64', ['AUTH LOGIN', 'alice', secret], undefined],
    ['in PLAIN, not in Base64', [`AUTH PLAIN ${secret}`, `AUTH PLAIN alice ${secret}`], undefined],
    ['in PLAIN, cut', [`AUTH PLAIN ${base64(`\0alice\0${secret}`).slice(0, -5)}`], 'alice'],
    ['in PLAIN, without its first NUL', [`AUTH PLAIN ${base64(`alice\0${secret}`)}`], undefined],
    ['in PLAIN, one place too early', [`AUTH PLAIN ${base64(`alice\0${secret}\0`)}`], undefined],
    ['as the mechanism', [`AUTH ${base64(secret)}`, `AUTH ${secret}`], undefined],
    ['without AUTH', [base64('alice'), base64(secret), secret], undefined],
    ['after a log-in was broken off', ['AUTH LOGIN', '*', secret, base64(secret)], undefined],
    [
      'in another mechanism',
      ['AUTH CRAM-MD5', secret, `AUTH XOAUTH2 ${base64(`user=a\x01auth=Bearer ${secret}`)}`],
      undefined,
    ],
  ])('sent %s are nowhere', async (_where, lines, name) => {
    const house = await openHouse({ offers: { auth: true, tls: undefined, keepBytes: 4096, keepAddresses: 'whole' } })
    const replies = await house.call().walk('EHLO mail.sender.example', ...lines, 'QUIT')
    for (const reply of replies.slice(2, -1)) expect(reply).toMatch(/^(334|4\d\d)/)
    await house.empty()
    expect(house.detailOf('auth-name')).toBe(name)
    const all = JSON.stringify([house.evidence, house.happenings])
    for (const form of [secret, base64(secret), base64(secret).slice(0, 8)]) expect(all).not.toContain(form)
  })
})

describe('leaving', () => {
  test.each([
    ['by FIN', (socket: import('node:net').Socket) => socket.end()],
    ['by RST', (socket: import('node:net').Socket) => socket.resetAndDestroy()],
  ])('without QUIT %s is told, with the last command', async (_how, leave) => {
    const house = await openHouse()
    const visitor = house.call()
    await visitor.walk(...TO_RCPT)
    leave(visitor.socket)
    await house.until(() => house.kinds.includes('hang-up'))
    expect(house.detailOf('hang-up')).toBe('after RCPT')
    await house.empty()
    expect(house.told('closed').map(({ outcome }) => outcome)).toEqual(['dialogue'])
  })

  test('before the greeting is no hang-up', async () => {
    const house = await openHouse({ pace: { greetingMs: 10_000, replyMs: 0, byteMs: 0, dripMs: 100 } })
    const visitor = house.call()
    visitor.socket.end()
    await house.until(() => house.told('closed').length === 1)
    await house.empty()
    expect(house.kinds).toEqual(['contact'])
  })

  test('a client that closes its side early hears the answers to all it asked', async () => {
    const house = await openHouse({ pace: { greetingMs: 0, replyMs: 10, byteMs: 0, dripMs: 100 } })
    const visitor = house.call('proxy')
    visitor.socket.end(`${PROXIED}${TO_RCPT.join('\r\n')}\r\nNOO`)
    expect(await visitor.ended).toBe('closed')
    expect(repliesIn(visitor.heard).map((reply) => reply.slice(0, 3))).toEqual(['220', '250', '250', '451'])
    await house.empty()
    expect(new Set(house.kinds)).toEqual(new Set(['contact', 'early-talk', 'pipelining', 'recipient', 'hang-up']))
  })
})

describe('noise', () => {
  test('20 MB without a newline end in 421 and a reset', async () => {
    const house = await openHouse()
    const visitor = house.call()
    await visitor.reply()
    const block = Buffer.alloc(1 << 20, 'x')
    for (let i = 0; i < 20; i++) visitor.socket.write(block)
    expect(await visitor.ended).toBe('reset')
    await house.empty()
    expect(house.told('closed')[0]?.bytesIn).toBeLessThan(1 << 20)
    expect(house.told('fault')).toEqual([])
  })

  test('a web request is answered with 421 and told as such', async () => {
    const house = await openHouse()
    const visitor = house.call()
    await visitor.reply()
    visitor.send('POST /send HTTP/1.1\r\nHost: mail\r\n')
    expect(await visitor.reply()).toMatch(/^421 /)
    await visitor.ended
    await house.empty()
    expect(house.evidence.map(({ kind, detail }) => [kind, detail])).toEqual([
      ['contact', undefined],
      ['foreign-protocol', 'HTTP POST'],
    ])
  })

  test('any bytes, however cut: no crash, no 5xx, nothing taken, nobody left behind', async () => {
    const house = await openHouse({ limits: { dialogueMs: 10_000 } })
    const line = fc.oneof(
      fc.constantFrom(...COMMANDS),
      fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
      fc.integer({ min: 2000, max: 3000 }).map((length) => 'y'.repeat(length)),
    )
    const ending = fc.constantFrom('\r\n', '\r\n', '\r\n', '\n', '')
    const script = fc.record({
      text: fc.array(fc.tuple(line, ending), { maxLength: 14 }).map((lines) => lines.flat().join('')),
      cuts: fc.array(fc.nat(400), { maxLength: 6 }),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(script, { minLength: 30, maxLength: 30 }), async (scripts) => {
        const visits = scripts.map(async ({ text, cuts }) => {
          const visitor = house.call()
          const bytes = Buffer.from(text, 'latin1')
          const inside = cuts.filter((cut) => cut < bytes.length)
          const places = [...new Set([0, ...inside, bytes.length])].toSorted((a, b) => a - b)
          for (const [i, from] of places.entries()) {
            await new Promise((resolve) => setImmediate(resolve))
            visitor.socket.write(bytes.subarray(from, places[i + 1]))
          }
          visitor.socket.end()
          await visitor.ended
          const replies = repliesIn(visitor.heard)
          expect(replies.join('')).toBe(visitor.heard)
          for (const reply of replies) expect(reply).toMatch(/^(220|221|250|334|4\d\d)[- ]/)
          for (const reply of answersToMessages(text, replies)) expect(reply).toMatch(/^(221|4\d\d)[- ]/)
        })
        await Promise.all(visits)
        await house.empty()
      }),
      { numRuns: 8 },
    )
    expect(house.told('closed').filter(({ outcome }) => outcome === 'cut')).toEqual([])
    expect(house.told('fault')).toEqual([])
    expect(house.decoy.counts()).toEqual({ connections: 0, waiting: 0, held: 0, dialogues: 0, hereMs: 0 })
  })
})

/** The replies to DATA or BDAT, to each line of what followed, and to its dot: the library answers line by line. */
function answersToMessages(text: string, replies: readonly string[]): string[] {
  let inMessage = false
  return text.split('\n').flatMap((line, i) => {
    const said = line.replace(/\r$/, '')
    if (/^(DATA|BDAT)( |$)/i.test(said)) inMessage = true
    const answer = inMessage ? replies[i + 1] : undefined
    if (said === '.') inMessage = false
    return answer === undefined ? [] : [answer]
  })
}
