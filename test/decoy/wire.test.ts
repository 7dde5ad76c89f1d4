import { once } from 'node:events'
import type { Socket } from 'node:net'
import { SMTPServer } from 'smtp-server'
import { describe, expect, test } from 'vitest'
import { newManners } from '../../src/decoy/manners.ts'
import { lookOf } from '../../src/decoy/look.ts'
import { phrasesOf } from '../../src/decoy/phrasing.ts'
import { guard, type Pace, Wire } from '../../src/decoy/wire.ts'
import { BRISK, door, HONEST, openHouse, PROXIED, TO_RCPT, type Visitor } from './visitors.ts'

/** A wire on a real socket, with no library behind it. */
async function wired(pace: Pace): Promise<{ wire: Wire; raw: Socket; visitor: Visitor }> {
  const { server, call } = await door()
  const visitor = call()
  const [[raw]] = (await Promise.all([once(server, 'connection'), visitor.connected])) as [[Socket], void]
  const manners = newManners('mx9.example.test', '127.0.0.1')
  const phrases = phrasesOf('mx9.example.test', lookOf('mx9.example.test')(), { auth: true, tls: undefined })
  const ignore = { see: () => {}, poured: () => {} }
  const wire = new Wire(raw, {
    manners,
    pace,
    phrases,
    ip: '192.0.2.7',
    early: Buffer.alloc(0),
    tls: undefined,
    ...ignore,
  })
  return { wire, raw, visitor }
}

describe('the guard', () => {
  test.each([
    ['250 Accepted\r\n', false, '250 Accepted\r\n'],
    ['451 4.7.1 Try again later\r\n', true, '451 4.7.1 Try again later\r\n'],
    ['334 VXNlcm5hbWU6\r\n', false, '334 VXNlcm5hbWU6\r\n'],
    ['250 OK: message queued\r\n', true, '451 4.3.0 Try again later\r\n'],
    ['221 Bye\r\n', true, '221 Bye\r\n'],
    ['354 End data with <CR><LF>.<CR><LF>\r\n', false, '451 4.3.0 Try again later\r\n'],
    ['500 Error: command not recognized\r\n', false, '451 4.3.0 Error: command not recognized\r\n'],
    ['550 5.1.1 No such user\r\n', true, '451 4.3.0 No such user\r\n'],
    ['554\r\n', false, '451 4.3.0\r\n'],
    ['550-5.7.1 No\r\n550 5.7.1 250 ever\r\n', false, '451-4.3.0 No\r\n451 4.3.0 250 ever\r\n'],
    ['250-mx9\r\n250 SIZE\r\n', true, '451-4.3.0 Try again later\r\n451 4.3.0 Try again later\r\n'],
  ])('%j, in a message: %j, becomes %j', (reply, inMessage, said) => {
    expect(guard(reply, inMessage)).toBe(said)
  })
})

describe('pace', () => {
  test('a whole dialogue up to RCPT is brisk with the brisk pace', async () => {
    const house = await openHouse({ pace: { greetingMs: 200, replyMs: 50, byteMs: 0, dripMs: 1000 } })
    const began = performance.now()
    const replies = await house.call().walk(...TO_RCPT)
    const took = performance.now() - began
    expect(replies[3]).toMatch(/^451 /)
    expect(took).toBeGreaterThan(345)
    expect(took).toBeLessThan(5000)
  })

  test('a dripped reply comes byte by byte, and arrives whole', async () => {
    const house = await openHouse({ pace: { ...BRISK, byteMs: 1 } })
    const visitor = house.call()
    let chunks = 0
    visitor.socket.on('data', () => chunks++)
    const replies = await visitor.walk('EHLO mail.sender.example', 'QUIT')
    expect(replies[0]).toBe('220 mx9.example.test ESMTP Postfix')
    expect(replies[1]).toMatch(/^250-mx9\.example\.test\r\n(250-.*\r\n)*250 .*$/)
    expect(replies[1]).not.toContain('PIPELINING')
    expect(replies[1]).not.toContain('SIZE')
    expect(replies[2]).toBe('221 2.0.0 Bye')
    expect(await visitor.ended).toBe('closed')
    expect(chunks).toBeGreaterThan(20)
  })

  test('a goodbye that drips longer than the library waits is still said to its end', async () => {
    const { wire, visitor } = await wired({ ...BRISK, byteMs: 2 })
    wire.answering('QUIT')
    wire.end('221 Bye\r\n')
    visitor.socket.once('data', () => wire.destroy())
    expect(await visitor.reply()).toBe('221 2.0.0 Bye')
    expect(await visitor.ended).toBe('closed')
    expect(wire.hungUp).toBe(false)
  })

  test('what is said without a QUIT before it ends in a reset', async () => {
    const { wire, visitor } = await wired(BRISK)
    wire.end('421 4.3.0 Not now\r\n')
    expect(await visitor.reply()).toBe('421 4.7.0 mx9.example.test Error: too many errors')
    expect(await visitor.ended).toBe('reset')
  })

  test('who stays after QUIT is reset in the end, and is not listened to', async () => {
    const { wire, raw, visitor } = await wired(BRISK)
    visitor.socket.removeAllListeners('end')
    wire.answering('QUIT')
    wire.end('221 Bye\r\n')
    expect(await visitor.reply()).toBe('221 2.0.0 Bye')
    visitor.send('NOOP')
    await once(raw, 'close')
    // A client whose peer has said goodbye learns of the reset when it writes.
    visitor.send('NOOP')
    expect(await visitor.ended).toBe('reset')
    expect(wire.readyState).toBe('closed')
  })
})

describe('the library', () => {
  test('asks nothing of its socket that the wire does not have', async () => {
    const { wire, raw, visitor } = await wired({ ...BRISK, byteMs: 1 })
    const [asked, missing] = [new Set<string>(), new Set<string>()]
    const watched = new Proxy(wire, {
      get(target, name) {
        const has = name in target
        if (typeof name === 'string') (has ? asked : missing).add(name)
        const value: unknown = Reflect.get(target, name, target)
        return typeof value === 'function' ? (value.bind(target) as unknown) : value
      },
    })
    const faults: Error[] = []
    const smtp = new SMTPServer({ disableReverseLookup: true, disabledCommands: ['STARTTLS'], authOptional: true })
    smtp.on('error', (error) => faults.push(error))
    const ports = { localPort: 25, remoteAddress: '192.0.2.1', localAddress: '192.0.2.66', remotePort: 40_000 }
    smtp.connect(watched as unknown as Socket, ports)

    const over = once(wire, 'close')
    await visitor.reply()
    const lines = ['EHLO a.example', 'AUTH PLAIN', '*', 'NOPE', `NOOP ${'x'.repeat(5000)}`, 'MAIL FROM:<a@b.example>']
    for (const line of [...lines, 'RCPT TO:<a@b.example>', 'RSET', 'HELO a.example']) await visitor.ask(line)
    visitor.send('QUIT')
    await Promise.all([over, once(raw, 'close')])

    const known = ['on', 'once', 'pipe', 'unpipe', 'setTimeout', 'write', 'end', 'resume']
    expect([...asked]).toEqual(expect.arrayContaining(known))
    // Looked for before it is used: Nagle's delay is off since the accept.
    expect([...missing]).toEqual(['setNoDelay'])
    expect(faults).toEqual([])
    expect(smtp.connections.size).toBe(0)
  })
})

describe('an honest client that answers as fast as it can', () => {
  test.each([0, 1])('is never accused, with %i ms between bytes', async (byteMs) => {
    const house = await openHouse({ pace: { ...BRISK, byteMs } })
    const visits = Array.from({ length: 40 }, async () => {
      const visitor = house.call()
      const replies = await visitor.walk(...HONEST)
      expect(replies.map((reply) => reply?.slice(0, 3))).toEqual(['220', '250', '250', '451', '221'])
      expect(await visitor.ended).toBe('closed')
    })
    await Promise.all(visits)
    await house.empty()
    expect(new Set(house.kinds)).toEqual(new Set(['contact', 'recipient']))
    expect(house.evidence).toHaveLength(120)
  })
})

describe('manners on the wire', () => {
  test('who talks within a reply is seen', async () => {
    const house = await openHouse({ pace: { ...BRISK, byteMs: 2 } })
    const visitor = house.call()
    await visitor.reply()
    visitor.send('EHLO mail.sender.example')
    visitor.socket.once('data', () => visitor.send('NOOP'))
    await house.until(() => house.kinds.includes('talk-over'))
    expect(house.detailOf('talk-over')).toBe('NOOP')
    expect(await visitor.reply()).toMatch(/^250-/)
    expect(await visitor.reply()).toBe('250 2.0.0 Ok')
    await visitor.ask('QUIT')
    await house.empty()
  })

  test('early talk is held back, seen, and answered after the greeting', async () => {
    const house = await openHouse({ pace: { ...BRISK, greetingMs: 150 } })
    const visitor = house.call('proxy')
    visitor.socket.write(`${PROXIED}EHLO mail.sender.example\r\n`)
    expect(await visitor.reply()).toBe('220 mx9.example.test ESMTP Postfix')
    expect(await visitor.reply()).toMatch(/^250-/)
    expect(await visitor.ask('QUIT')).toBe('221 2.0.0 Bye')
    await house.empty()
    expect(house.kinds).toEqual(['contact', 'early-talk'])
    expect(house.detailOf('early-talk')).toBe('EHLO mail.sender.example')
  })
})
