import { once } from 'node:events'
import { type AddressInfo, connect, type Socket } from 'node:net'
import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import {
  POLICY_LIMITS,
  type PolicyHappening,
  type PolicyLimits,
  policyLine,
  PolicyService,
  reasonLine,
  requestReader,
} from '../../src/answer/policy.ts'
import { type Client, parseClient } from '../../src/core/client.ts'
import type { Evidence, Witness } from '../../src/core/evidence.ts'
import type { Decide } from '../../src/reputation/decision.ts'
import { ANSWERS } from '../rules.ts'
import { CLEAN, decideBy, readText } from './ruled.ts'
import type { PolicyWord, Standing } from '../../src/core/rules.ts'

const BECAUSE = 'came to the backup MX first'
const RULED = { ...CLEAN, by: 'rules', ticket: 'ABCD-EFGH', because: BECAUSE, until: 2_000_000 } as const
const ASK = '; to ask why, quote this code to the postmaster (ABCD-EFGH)'

/** What stands about the clients of these tests. */
const decide = decideBy({
  '192.0.2.1': { ...RULED, verdict: 'block', effect: 'block' },
  '192.0.2.2': { ...RULED, verdict: 'defer', effect: 'defer' },
  '192.0.2.3': { ...RULED, verdict: 'observe', effect: 'observe' },
  '192.0.2.4': { ...RULED, verdict: 'allow', effect: 'pass' },
  '192.0.2.5': { ...RULED, verdict: 'block', effect: 'pass', mode: 'observe' },
  '192.0.2.6': { ...RULED, verdict: 'block', effect: 'pass', doubt: 'stale' },
  '2001:db8:0:1::/64': { ...RULED, verdict: 'block', effect: 'block' },
})

const REJECT = `action=REJECT 5.7.1 ${BECAUSE}${ASK}\n\n`
const DUNNO = 'action=DUNNO\n\n'

type Given = { decide?: Decide; witness?: Witness; limits?: Partial<PolicyLimits> }

const open: PolicyService[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map((service) => service.close()))
})

async function start(given: Given = {}) {
  const told: PolicyHappening[] = []
  const noted: Evidence[] = []
  const clock = { now: 1_000_000 }
  const waiting = new Map<string, () => void>()
  const service = new PolicyService({
    decide,
    answers: () => ANSWERS,
    witness: async (event) => void noted.push(event as Evidence),
    now: () => clock.now,
    tell: (happening) => {
      told.push(happening)
      waiting.get(happening.what)?.()
    },
    ...given,
  })
  open.push(service)
  const server = service.server().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  /** Settles at the next happening of this sort. */
  const happens = (what: PolicyHappening['what']) => new Promise<void>((resolve) => waiting.set(what, resolve))
  return { service, server, port, told, noted, clock, happens }
}

/** Postfix's own shape of a request, with more attributes than we use. */
function request(client: string | undefined, more: Record<string, string> = {}): string {
  const attributes = {
    request: 'smtpd_access_policy',
    protocol_state: 'RCPT',
    protocol_name: 'ESMTP',
    helo_name: 'mail.example.net',
    sender: 'a=b@example.net',
    recipient: 'c@example.test',
    ...(client === undefined ? {} : { client_address: client }),
    client_name: 'unknown',
    instance: '1f2.66a0.0',
    sasl_method: '',
    size: '12345',
    ...more,
  }
  return `${Object.entries(attributes)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('')}\n`
}

async function write(socket: Socket, piece: string | Buffer): Promise<void> {
  await new Promise((resolve) => socket.write(piece, resolve))
}

/** Sends the pieces one by one, shuts our side and reads to the end, as Exim's readsocket does. */
async function exchange(port: number, ...pieces: (string | Buffer)[]): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true })
  const all = readText(socket)
  for (const piece of pieces) await write(socket, piece)
  socket.end()
  return await all
}

/** Reads exactly so many bytes from a connection that stays open. */
async function take(socket: Socket, bytes: number): Promise<string> {
  for (;;) {
    const read: Buffer | null = socket.read(bytes)
    if (read) return read.toString()
    await once(socket, 'readable')
  }
}

describe('what is answered', () => {
  test.each([
    ['192.0.2.1', REJECT],
    ['192.0.2.2', `action=DEFER_IF_PERMIT 4.7.1 ${BECAUSE}${ASK}\n\n`],
    ['192.0.2.3', DUNNO],
    ['192.0.2.4', DUNNO],
    ['192.0.2.5', DUNNO],
    ['192.0.2.6', DUNNO],
    ['192.0.2.99', DUNNO],
    ['2001:db8:0:1::77', REJECT],
    ['::ffff:192.0.2.1', REJECT],
    ['127.0.0.1', DUNNO],
  ])('%s -> %j', async (client, answer) => {
    const { port } = await start()
    expect(await exchange(port, request(client))).toBe(answer)
  })

  test.each([undefined, '', 'unknown', '192.0.2', '192.0.2.1/32', 'x'.repeat(4000)])(
    'an address that cannot be read (%j) is DUNNO, told, and no evidence',
    async (client) => {
      const { port, told, noted } = await start()
      expect(await exchange(port, request(client))).toBe(DUNNO)
      expect(told.map(({ what }) => what)).toEqual(['unreadable'])
      expect(noted).toEqual([])
    },
  )

  test('the decision is told with the action taken on it', async () => {
    const { port, told } = await start()
    await exchange(port, request('192.0.2.5') + request('192.0.2.2'))
    expect(told).toMatchObject([
      { what: 'answered', action: 'DUNNO', decision: { verdict: 'block', mode: 'observe' } },
      { what: 'answered', action: 'DEFER_IF_PERMIT', decision: { verdict: 'defer' } },
    ])
  })

  test.each<[Standing, PolicyWord, string]>([
    ['observe', 'DUNNO', 'DUNNO'],
    ['observe', 'PREPEND', 'PREPEND X-DecoyMX: observe (ABCD-EFGH); talked first'],
    ['defer', 'PREPEND', 'PREPEND X-DecoyMX: defer (ABCD-EFGH); talked first'],
    ['defer', 'DEFER_IF_PERMIT', 'DEFER_IF_PERMIT 4.7.1 no (ABCD-EFGH)'],
    ['block', 'DEFER_IF_PERMIT', 'DEFER_IF_PERMIT 4.7.1 no (ABCD-EFGH)'],
    ['block', 'REJECT', 'REJECT 5.7.1 no (ABCD-EFGH)'],
  ])('%s may be told as %s', (effect, word, line) => {
    const decision = {
      ...CLEAN,
      client: parseClient('192.0.2.1') as Client,
      effect,
      ticket: 'ABCD-EFGH',
      because: 'talked first',
    }
    const answers = { policy: { ...ANSWERS.policy, [effect]: word }, text: 'no ({ticket})' }
    expect(policyLine(decision, answers)).toBe(line)
    expect(policyLine({ ...decision, effect: 'pass' }, answers)).toBe('DUNNO')
  })

  test('the domain of the recipient is handed to whoever decides; without one none is', async () => {
    const domains: (string | undefined)[] = []
    const { port } = await start({ decide: (client, domain) => (domains.push(domain), decide(client)) })
    const asked = (recipient: string) => request('192.0.2.1', { recipient })
    await exchange(port, asked('a@Lists.Example.org') + asked('"a@b"@example.org') + asked('') + asked('postmaster'))
    expect(domains).toEqual(['Lists.Example.org', 'example.org', undefined, undefined])
  })

  test('whatever the reason holds, the answer is one short line of printable ASCII', () => {
    const client = parseClient('192.0.2.1') as Client
    const reasons = fc.oneof(fc.string({ unit: 'binary' }), fc.string({ minLength: 300, maxLength: 2000 }))
    fc.assert(
      fc.property(reasons, fc.constantFrom('block' as const, 'defer' as const), (because, effect) => {
        const decision = { ...CLEAN, client, verdict: effect, effect, ticket: 'ABCD-EFGH', because }
        expect(policyLine(decision, ANSWERS)).toMatch(/^(REJECT 5|DEFER_IF_PERMIT 4)\.7\.1 [\x20-\x7e]+ \(ABCD-EFGH\)$/)
        expect(reasonLine(decision, ANSWERS.text).length).toBeLessThanOrEqual(255)
      }),
    )
  })

  test('a bug in the decision is DUNNO, and the connection lives on', async () => {
    const { port, told } = await start({
      decide: (client) => {
        if (client.ip === '192.0.2.13') throw new Error('no such luck')
        return decide(client)
      },
    })
    expect(await exchange(port, request('192.0.2.13') + request('192.0.2.1'))).toBe(DUNNO + REJECT)
    expect(told[0]).toEqual({ what: 'failed', error: 'Error: no such luck' })
  })
})

describe('bytes to requests', () => {
  const read = (...chunks: (string | Buffer)[]) => {
    const reader = requestReader(POLICY_LIMITS)
    const readings = chunks.map((chunk) => reader(Buffer.from(chunk)))
    return { requests: readings.flatMap(({ requests }) => requests), last: readings.at(-1) }
  }

  test('only the wanted attributes are kept, and of a value all behind the first =', () => {
    const more = { server_address: '192.0.2.25', server_port: '25', server_porta: '9' }
    const { requests, last } = read(request('192.0.2.1', more))
    expect(requests).toEqual([
      {
        instance: '1f2.66a0.0',
        recipient: 'c@example.test',
        clientAddress: '192.0.2.1',
        serverAddress: '192.0.2.25',
        serverPort: '25',
      },
    ])
    expect(last).toMatchObject({ rest: 0, trouble: undefined })
    const odd = read('request=smtpd_access_policy\nclient_address==1=2\n\n')
    expect(odd.requests).toMatchObject([{ clientAddress: '=1=2' }])
  })

  test('the instance of a message is read, for what is said of it must be said of all its recipients', () => {
    expect(read(request('192.0.2.1', { instance: '1.2.3' })).requests).toMatchObject([{ instance: '1.2.3' }])
  })

  test('nothing of one request is left for the next', () => {
    const bare = 'request=smtpd_access_policy\n\n'
    expect(read(request('192.0.2.1', { server_port: '25' }) + bare).requests[1]).toEqual({
      clientAddress: '',
      serverAddress: '',
      serverPort: '',
      instance: '',
      recipient: '',
    })
  })

  test('wherever the bytes are cut, the same requests come out', () => {
    const clients = fc.array(fc.oneof(fc.ipV4(), fc.ipV6(), fc.constant('unknown')), { minLength: 1, maxLength: 5 })
    fc.assert(
      fc.property(clients, fc.array(fc.nat()), (addresses, cuts) => {
        const bytes = Buffer.from(addresses.map((address) => request(address)).join(''))
        const places = [0, ...cuts.map((cut) => cut % bytes.length).toSorted((a, b) => a - b), bytes.length]
        const pieces = places.slice(1).map((end, i) => bytes.subarray(places[i], end))
        const { requests, last } = read(...pieces)
        expect(requests.map(({ clientAddress }) => clientAddress)).toEqual(addresses)
        expect(last).toMatchObject({ rest: 0, trouble: undefined })
      }),
    )
  })

  test.each([
    ['no-equals', 'request=smtpd_access_policy\nnonsense\n\n'],
    ['no-equals', 'GET / HTTP/1.1\r\nHost: a=b\r\n\r\n'],
    ['nul-byte', 'request=smtpd_access_policy\0\n\n'],
    ['nul-byte', 'request=smtpd_acc\0'],
    ['foreign-request', 'request=junk\nclient_address=192.0.2.1\n\n'],
    ['foreign-request', 'client_address=192.0.2.1\n\n'],
    ['cr-lf', 'request=smtpd_access_policy\r\n\n'],
    ['cr-lf', 'request=smtpd_access_policy\r\nclient_address=192.0.2.1\r\n\r\n'],
    ['foreign-request', '\n'],
    ['long-line', `a=${'b'.repeat(4095)}\n`],
    ['long-line', `a=${'b'.repeat(4095)}`],
    ['long-request', `a=${'b'.repeat(4000)}\n`.repeat(17)],
    ['long-request', `a=${'b'.repeat(4000)}\n`.repeat(16) + `a=${'b'.repeat(4000)}`],
  ])('%s: %j', (trouble, bytes) => {
    expect(read(bytes)).toMatchObject({ requests: [], last: { trouble } })
    const reader = requestReader(POLICY_LIMITS)
    const found = bytes
      .match(/[^]{1,7}/g)
      ?.map((piece) => reader(Buffer.from(piece)).trouble)
      .find((each) => each)
    expect(found).toBe(trouble)
  })

  test('a line and a request of exactly the bound are read', () => {
    const line = `a=${'b'.repeat(4094)}\n`
    const head = 'request=smtpd_access_policy\n'
    const filler = `c=${'d'.repeat(65_536 - 15 * line.length - head.length - 1 - 3)}\n`
    const { requests, last } = read(head + line.repeat(15) + filler + '\n')
    expect(last?.trouble).toBeUndefined()
    expect(requests).toHaveLength(1)
    expect(read(head + line.repeat(15) + `d${filler}\n`).last?.trouble).toBe('long-request')
  })

  test('any bytes, in any pieces: no crash, and never more kept than the bound', () => {
    const words = ['\n', '\n', '\n', '=', '=', '\0', 'a', 'b', request('192.0.2.1')]
    const letters = fc.constantFrom(...words.map((word) => Buffer.from(word)))
    const soup = fc.array(letters, { maxLength: 40 }).map((parts) => Buffer.concat(parts))
    const chunks = fc.array(
      fc.oneof(
        soup,
        fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
      ),
    )
    fc.assert(
      fc.property(chunks, (pieces) => {
        const reader = requestReader({ lineBytes: 64, requestBytes: 512 })
        for (const piece of pieces) {
          const { rest, trouble } = reader(piece)
          expect(rest).toBeLessThanOrEqual(512)
          if (trouble) break
        }
      }),
    )
  })
})

describe('connections', () => {
  test('one serves many requests, each answered before the next is asked', async () => {
    const { port } = await start()
    const socket = connect(port, '127.0.0.1')
    for (let i = 0; i < 20; i++) {
      socket.write(request('192.0.2.1'))
      expect(await take(socket, REJECT.length)).toBe(REJECT)
    }
    socket.destroy()
  })

  test('requests sent in one go are answered in order', async () => {
    const { port } = await start()
    const clients = Array.from({ length: 500 }, (_, i) => (i % 3 === 0 ? '192.0.2.1' : '192.0.2.99'))
    const answers = await exchange(port, clients.map((client) => request(client)).join(''))
    expect(answers).toBe(clients.map((client) => (client === '192.0.2.1' ? REJECT : DUNNO)).join(''))
  })

  test('more answers than the network takes wait for the asker to read, and then all come', async () => {
    const { server, port } = await start()
    const accepted = once(server, 'connection') as Promise<[Socket]>
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true }).pause()
    socket.end('request=smtpd_access_policy\nclient_address=192.0.2.1\n\n'.repeat(100_000))
    const [served] = await accepted
    await once(served, 'pause')
    const all = readText(socket)
    socket.resume()
    expect((await all).length).toBe(100_000 * REJECT.length)
  })

  test('a request that trickles in byte by byte is answered', async () => {
    const { port } = await start()
    expect(await exchange(port, ...request('192.0.2.1').split(''))).toBe(REJECT)
  })

  test('cut anywhere on the wire, the answers are the same', async () => {
    const { port } = await start()
    const bytes = Buffer.from(request('192.0.2.1') + request('192.0.2.99') + request('192.0.2.2'))
    const whole = await exchange(port, bytes)
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat({ max: bytes.length }), { maxLength: 6 }), async (cuts) => {
        const places = [0, ...cuts.toSorted((a, b) => a - b), bytes.length]
        const pieces = places.slice(1).map((end, i) => bytes.subarray(places[i], end))
        expect(await exchange(port, ...pieces)).toBe(whole)
      }),
      { numRuns: 30 },
    )
  })

  test('the asker that shuts its side in the middle of a request is let go', async () => {
    const { port, told } = await start()
    expect(await exchange(port, request('192.0.2.1') + 'request=smtpd_access_policy\n')).toBe(REJECT)
    expect(told.at(-1)).toMatchObject({ what: 'closed', reason: 'cut-short' })
  })

  test('junk gets no answer but a hang-up; what came before it was answered', async () => {
    const { port, told } = await start()
    const socket = connect(port, '127.0.0.1')
    const all = readText(socket)
    socket.write(request('192.0.2.1') + 'EHLO example.net\r\n' + request('192.0.2.1'))
    expect(await all).toBe(REJECT)
    expect(told).toMatchObject([{ what: 'closed', reason: 'no-equals', peer: '127.0.0.1' }, { what: 'answered' }])
  })

  test('beyond the bound whoever has asked nothing for longest is hung up on, and the newcomer is answered', async () => {
    const { port, told } = await start({ limits: { connections: 2 } })
    const [busy, silent] = [connect(port, '127.0.0.1'), connect(port, '127.0.0.1')]
    await Promise.all([once(busy, 'connect'), once(silent, 'connect')])
    busy.write(request('192.0.2.1'))
    await take(busy, REJECT.length)
    const left = readText(silent)
    expect(await exchange(port, request('192.0.2.1'))).toBe(REJECT)
    expect(await left).toBe('')
    expect(told.filter(({ what }) => what === 'closed')).toMatchObject([{ what: 'closed', reason: 'full' }])
    busy.write(request('192.0.2.1'))
    await take(busy, REJECT.length)
    busy.end()
    await readText(busy)
    expect(await exchange(port, request('192.0.2.1'))).toBe(REJECT)
  })

  test('an asker that says nothing whole for too long is hung up on', async () => {
    const { port, told } = await start({ limits: { idleMs: 30 } })
    const socket = connect(port, '127.0.0.1')
    const all = readText(socket)
    socket.write('request=')
    expect(await all).toBe('')
    expect(told).toMatchObject([{ what: 'closed', reason: 'idle' }])
  })

  test('an asker that goes on asking is not idle', async () => {
    const { port, told } = await start({ limits: { idleMs: 1000 } })
    const socket = connect(port, '127.0.0.1')
    for (const since = performance.now(); performance.now() - since < 1500;) {
      socket.write(request('192.0.2.1'))
      await take(socket, REJECT.length)
    }
    expect(told.map(({ what }) => what)).not.toContain('closed')
    socket.destroy()
  })

  test('an asker that never reads is hung up on', async () => {
    const { port, happens, told } = await start({ limits: { unreadMs: 50 } })
    const socket = connect(port, '127.0.0.1').on('error', () => undefined)
    socket.pause()
    const many = Buffer.from(request('192.0.2.1').repeat(200))
    const pour = () => {
      while (!socket.destroyed && socket.write(many));
    }
    socket.on('drain', pour)
    const closed = happens('closed')
    pour()
    await closed
    expect(told.at(-1)).toMatchObject({ what: 'closed', reason: 'unread' })
    socket.destroy()
  })

  test('close ends what is open, and needs nothing to be open', async () => {
    const { service, port } = await start()
    const socket = connect(port, '127.0.0.1')
    socket.write(request('192.0.2.1'))
    await take(socket, REJECT.length)
    const all = readText(socket)
    await service.close()
    expect(await all).toBe('')
    await service.close()
    const never = new PolicyService({
      decide,
      answers: () => ANSWERS,
      witness: async () => undefined,
      now: () => 0,
      tell: () => undefined,
    })
    never.server()
    await expect(never.close()).resolves.toBeUndefined()
  })
})

describe('evidence', () => {
  test('each request tells that the client came to the real MX, by the word that stands', async () => {
    const { port, noted } = await start()
    const ruled = ['192.0.2.1', '192.0.2.2', '192.0.2.3', '192.0.2.4', '192.0.2.5']
    const clients = [...ruled, '127.0.0.1', '10.0.0.1', '2001:db8:0:1::77']
    await exchange(port, clients.map((client) => request(client)).join(''))
    expect(noted.map(({ client, kind }) => `${client} ${kind}`)).toEqual([
      '192.0.2.1 refused',
      '192.0.2.2 deferred',
      '192.0.2.3 passed',
      '192.0.2.4 passed',
      '192.0.2.5 refused',
      '127.0.0.1 passed',
      '10.0.0.1 passed',
      '2001:db8:0:1::77 refused',
    ])
    const first = { type: 'evidence', at: 1_000_000, client: '192.0.2.1', role: 'real', kind: 'refused' }
    expect(noted[0]).toEqual({ ...first, where: undefined })
  })

  test('where is the address of the real MX, when it is given and readable', async () => {
    const { port, noted } = await start()
    const server = (server_address: string, server_port: string) => ({ server_address, server_port })
    await exchange(
      port,
      request('192.0.2.91', server('192.0.2.25', '25')),
      request('192.0.2.92', server('2001:DB8::25', '25')),
      request('192.0.2.93', server('unknown', '25')),
      request('192.0.2.94', server('192.0.2.25', 'smtp')),
    )
    expect(noted.map(({ where }) => where)).toEqual(['192.0.2.25:25', '[2001:db8::25]:25', undefined, undefined])
  })

  test('once in ten minutes for each client and kind; an IPv6 client is its /64', async () => {
    let word: 'block' | 'clean' = 'clean'
    const { port, noted, clock } = await start({ decide: (client) => ({ ...CLEAN, client, verdict: word }) })
    const twice = request('2001:db8::1') + request('2001:db8::2')
    await exchange(port, twice)
    expect(noted).toHaveLength(1)
    word = 'block'
    await exchange(port, twice)
    expect(noted.map(({ kind }) => kind)).toEqual(['passed', 'refused'])
    clock.now += 599_999
    await exchange(port, twice)
    expect(noted).toHaveLength(2)
    clock.now += 1
    await exchange(port, twice)
    expect(noted).toHaveLength(3)
  })

  test('the answer never waits for the note to be on disk', async () => {
    const { port } = await start({ witness: () => new Promise(() => undefined) })
    expect(await exchange(port, request('192.0.2.1'))).toBe(REJECT)
  })

  test.each<[string, Witness]>([
    [
      'throws',
      () => {
        throw new Error('disk on fire')
      },
    ],
    [
      'rejects',
      async () => {
        throw new Error('disk on fire')
      },
    ],
  ])('a witness that %s is told of and hurts nobody', async (_, witness) => {
    const { port, told } = await start({ witness })
    expect(await exchange(port, request('192.0.2.1') + request('192.0.2.2'))).toContain('DEFER_IF_PERMIT')
    expect(told).toContainEqual({ what: 'failed', error: 'Error: disk on fire' })
  })
})
