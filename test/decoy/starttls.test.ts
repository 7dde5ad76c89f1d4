import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { describe, expect, inject, test } from 'vitest'
import { secureContext } from '../certificate.ts'
import { folder } from '../folders.ts'
import { BRISK, HONEST, type House, LATER, openHouse, type Options, TO_RCPT, Visitor } from './visitors.ts'

const EHLO = 'EHLO mail.sender.example'
const NO_OPENSSL = inject('missing').includes('openssl')

function openWithTls(options: Options = {}): Promise<House> {
  return openHouse({
    ...options,
    offers: { auth: true, tls: secureContext(), keepBytes: 1024, keepAddresses: 'whole' },
  })
}

/** The visitor goes on through TLS; it does not look at the certificate, as mail servers do not. */
async function encrypt(visitor: Visitor, options: ConnectionOptions = {}): Promise<{ inner: Visitor; tls: TLSSocket }> {
  visitor.socket.removeAllListeners('data')
  const tls = connectTls({ socket: visitor.socket, rejectUnauthorized: false, ...options })
  const inner = new Visitor(tls as Socket)
  await once(tls, 'secureConnect')
  return { inner, tls }
}

async function upTo220(house: House, via: 'direct' | 'proxy' = 'direct'): Promise<Visitor> {
  const visitor = house.call(via)
  if (via === 'proxy') visitor.send('PROXY TCP4 203.0.113.9 192.0.2.66 4711 25')
  expect((await visitor.walk(EHLO))[1]).toContain('250-STARTTLS\r\n')
  expect(await visitor.ask('STARTTLS')).toBe('220 2.0.0 Ready to start TLS')
  return visitor
}

describe.skipIf(NO_OPENSSL)('with a certificate', () => {
  test.each(['direct', 'proxy'] as const)('an honest client goes the whole way through TLS, %s', async (via) => {
    const house = await openWithTls()
    const { inner, tls } = await encrypt(await upTo220(house, via))
    expect(tls.getProtocol()).toBe('TLSv1.3')
    const replies = [await inner.ask(EHLO)]
    for (const line of HONEST.slice(1)) replies.push(await inner.ask(line))
    expect(replies[0]).toMatch(/^250-mx9\.example\.test\r\n/)
    expect(replies[0]).not.toContain('STARTTLS')
    expect(replies.slice(1)).toEqual(['250 2.1.0 Ok', LATER, '221 2.0.0 Bye'])
    expect(await inner.ended).toBe('closed')
    await house.empty()
    expect(house.kinds).toEqual(['contact', 'tls-hello', 'recipient'])
    const hello = house.evidence.find(({ kind }) => kind === 'tls-hello')
    expect(hello?.stage).toBe('starttls')
    expect(hello?.detail).toMatch(/^t13i\d{4}00_[0-9a-f]{12}_[0-9a-f]{12}$/)
    expect(house.evidence.at(-1)?.detail).toBe('EHLO:upper:name MAIL:upper:tight RCPT:upper:tight CRLF')
    expect(house.told('fault')).toEqual([])
  })

  test('openssl speaks to us as mail servers do', async () => {
    const house = await openWithTls()
    const said = await new Promise<string>((resolve, reject) => {
      const to = ['s_client', '-starttls', 'smtp', '-crlf', '-quiet', '-ign_eof', '-name', 'mail.sender.example']
      const child = execFile('openssl', [...to, '-connect', `127.0.0.1:${house.port()}`], (error, stdout) =>
        error ? reject(error) : resolve(stdout),
      )
      // In step: each line when its answer is here.
      const lines = [EHLO, ...HONEST.slice(1)]
      let heard = ''
      child.stdin?.write(`${lines.shift()}\n`)
      child.stdout?.on('data', (text: string) => {
        heard += text
        if (!/^\d{3} .*\r?\n$/m.test(heard)) return
        heard = ''
        const line = lines.shift()
        if (line !== undefined) child.stdin?.write(`${line}\n`)
      })
    })
    expect(said.replaceAll('\r', '')).toContain(`250 2.1.0 Ok\n${LATER}\n221 2.0.0 Bye`)
    await house.empty()
    expect(house.kinds).toEqual(['contact', 'tls-hello', 'recipient'])
  })

  test.skipIf(inject('missing').includes('postfix'))(
    "Postfix's own TLS client meets nothing that it minds",
    async () => {
      const house = await openWithTls()
      // A configuration of its own: that of this host, if it has one, is none of ours.
      const config = folder()
      writeFileSync(join(config, 'main.cf'), 'compatibility_level = 3.6\nmyhostname = mail.sender.example\n')
      const said = await new Promise<string>((resolve) => {
        const words = ['-c', '-L', 'summary', '-l', 'may', `[127.0.0.1]:${house.port()}`]
        execFile('posttls-finger', words, { env: { ...process.env, MAIL_CONFIG: config } }, (_error, out, err) =>
          resolve(out + err),
        )
      })
      expect(said).toContain('TLS connection established')
      expect(said).toContain('TLSv1.3')
      await house.empty()
      expect(house.kinds).toEqual(['contact', 'tls-hello'])
    },
  )

  test('what happens within TLS is seen and guarded as without it', async () => {
    const house = await openWithTls({ pace: { ...BRISK, byteMs: 1 } })
    const { inner } = await encrypt(await upTo220(house))
    const replies: (string | undefined)[] = []
    const lines = ['EHLO localhost', 'what', 'RCPT TO:<a@example.test>', ...TO_RCPT.slice(1), 'DATA', 'x', '.']
    for (const line of lines) replies.push(await inner.ask(line))
    for (const reply of replies) expect(reply).toMatch(/^(250|4\d\d)/)
    expect(replies.slice(-3).map((reply) => reply?.slice(0, 3))).toEqual(['454', '400', '451'])
    inner.socket.destroy()
    await house.until(() => house.kinds.includes('hang-up'))
    await house.empty()
    const seen = house.evidence.map(({ kind, stage }) => `${kind} ${stage}`)
    for (const each of ['false-helo helo', 'changed-helo helo', 'unknown-command helo', 'misplaced-command helo'])
      expect(seen).toContain(each)
    expect(seen).toContain('message data')
  })

  test('a log-in within TLS leaves a name, and no secret', async () => {
    const house = await openWithTls()
    const { inner } = await encrypt(await upTo220(house))
    expect(await inner.ask(EHLO)).toContain('AUTH PLAIN LOGIN')
    const token = Buffer.from('\0alice\0wonderland7').toString('base64')
    expect(await inner.ask(`AUTH PLAIN ${token}`)).toMatch(/^454 /)
    expect(await inner.ask('QUIT')).toBe('221 2.0.0 Bye')
    await house.empty()
    expect(house.detailOf('auth-name')).toBe('alice')
    expect(JSON.stringify(house.evidence)).not.toMatch(new RegExp(`wonderland|${token}`))
  })

  test('a hello in pieces of one byte is read', async () => {
    const house = await openWithTls()
    const visitor = await upTo220(house)
    const { socket } = visitor
    const write = socket.write.bind(socket)
    socket.write = ((bytes: Buffer | string, ...rest: unknown[]) => {
      const all = Buffer.from(bytes as Buffer)
      for (let at = 0; at < all.length - 1; at++) write(all.subarray(at, at + 1))
      const [encoding, done] = rest.length > 1 ? rest : [undefined, rest[0]]
      return write(all.subarray(all.length - 1), encoding as BufferEncoding, done as () => void)
    }) as typeof socket.write
    const { inner } = await encrypt(visitor, { servername: 'mx9.example.test', ALPNProtocols: ['smtp'] })
    expect(await inner.ask(EHLO)).toMatch(/^250-/)
    expect(await inner.ask('QUIT')).toBe('221 2.0.0 Bye')
    await house.empty()
    expect(house.detailOf('tls-hello')).toMatch(/^t13d\d{4}sp_/)
  })

  test('STARTTLS in a mail, before a name, in a message, or twice does no harm', async () => {
    const house = await openWithTls()
    const early = house.call()
    expect((await early.walk('STARTTLS'))[1]).toMatch(/^220 /)
    early.socket.destroy()
    const visitor = house.call()
    await visitor.walk(...TO_RCPT, 'DATA')
    expect(await visitor.ask('STARTTLS')).toMatch(/^402 /)
    visitor.socket.destroy()
    const { inner } = await encrypt(await upTo220(house))
    expect(await inner.ask('STARTTLS')).toMatch(/^402 /)
    expect(await inner.ask(EHLO)).toMatch(/^250-/)
    expect(await inner.ask('QUIT')).toBe('221 2.0.0 Bye')
    await house.empty()
  })
})

describe.skipIf(NO_OPENSSL)('who does not keep to it', () => {
  test.each([
    ['a command in the same breath', 'STARTTLS\r\nRSET\r\n'],
    ['half a command', 'STARTTLS\r\nRS'],
    ['another protocol in the same breath', 'STARTTLS\r\nGET / HTTP/1.1\r\n'],
    ['nothing but an empty line in the same breath', 'STARTTLS\r\n\r\n'],
  ])('%s: is cut off, and nothing of it runs within TLS', async (_name, text) => {
    const house = await openWithTls()
    const visitor = house.call()
    await visitor.walk(EHLO)
    visitor.send(Buffer.from(text))
    expect(await visitor.ended).toBe('reset')
    await house.empty()
    expect(visitor.heard).not.toContain('220 2.0.0')
  })

  test('a hello before the answer, dripped: is cut off', async () => {
    const house = await openWithTls({ pace: { ...BRISK, byteMs: 2 } })
    const visitor = house.call()
    await visitor.walk(EHLO)
    visitor.send('STARTTLS')
    visitor.socket.once('data', () => visitor.send(Buffer.from([0x16, 3, 1, 0, 5])))
    expect(await visitor.ended).toBe('reset')
    await house.empty()
    expect(house.kinds).toContain('talk-over')
  })

  test.each([
    ['plain text', Buffer.from('EHLO mail.sender.example\r\n')],
    ['an HTTP request', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['a broken hello', Buffer.concat([Buffer.from('160301002c0100002803030000', 'hex'), Buffer.alloc(64, 7)])],
    ['nothing, and the end', Buffer.alloc(0)],
  ])('%s in place of a hello: the connection ends, and nothing is left of it', async (_name, bytes) => {
    const house = await openWithTls()
    const visitor = await upTo220(house)
    visitor.socket.end(bytes)
    await visitor.ended
    await house.empty()
    expect(house.decoy.counts().connections).toBe(0)
    expect(house.told('fault')).toEqual([])
  })

  test('one that we share no version with: its hello is seen all the same', async () => {
    const house = await openWithTls()
    const visitor = await upTo220(house)
    visitor.socket.removeAllListeners('data')
    const tls = connectTls({
      socket: visitor.socket,
      rejectUnauthorized: false,
      minVersion: 'TLSv1',
      maxVersion: 'TLSv1.1',
      ciphers: 'DEFAULT@SECLEVEL=0',
    })
    tls.on('error', () => {})
    await visitor.ended
    await house.empty()
    expect(house.detailOf('tls-hello')).toMatch(/^t11i/)
  })

  test('20 MB without a newline, within TLS: the most of it is never read', async () => {
    const house = await openWithTls()
    const { inner } = await encrypt(await upTo220(house))
    const block = Buffer.alloc(1 << 20, 'x')
    for (let i = 0; i < 20; i++) inner.socket.write(block)
    await inner.ended
    await house.empty()
    expect(house.told('closed')[0]?.bytesIn).toBeLessThan(4 << 20)
    expect(house.told('fault')).toEqual([])
  })

  test('commands by the thousand to one that does not read: TLS waits as plain text does', async () => {
    const house = await openWithTls({ limits: { dialogueMs: 1500 } })
    const { inner } = await encrypt(await upTo220(house))
    inner.socket.pause()
    const block = Buffer.from('NOOP\r\n'.repeat(100_000))
    for (let i = 0; i < 10; i++) inner.socket.write(block)
    await house.empty()
    inner.socket.destroy()
    expect(house.told('closed').map(({ outcome }) => outcome)).toEqual(['cut'])
    expect(house.told('closed')[0]?.bytesIn).toBeLessThan(4 << 20)
  })

  test('one that never says hello is cut at the deadline', async () => {
    const house = await openWithTls({ limits: { dialogueMs: 1000 } })
    const visitor = await upTo220(house)
    expect(await visitor.ended).toBe('reset')
    await house.empty()
    expect(house.told('closed').map(({ outcome }) => outcome)).toEqual(['cut'])
  })
})

test('without a certificate STARTTLS is not offered, and is refused for now', async () => {
  const house = await openHouse()
  const visitor = house.call()
  const replies = await visitor.walk(EHLO, 'STARTTLS', 'QUIT')
  expect(replies[1]).not.toContain('STARTTLS')
  expect(replies[2]).toMatch(/^402 /)
})
