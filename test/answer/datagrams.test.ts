import { spawnSync } from 'node:child_process'
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { type Answerer, Bursts, bursts, DATAGRAM_BYTES_MAX } from '../../src/libc/bursts.ts'
import { type Koffi, type Native, prove } from '../../src/libc/koffi.ts'
import { Datagrams, type DatagramsOptions } from '../../src/answer/datagrams.ts'
import { udpDescriptorAt } from '../../src/answer/open-sockets.ts'
import { HAS_IPV6 } from '../doors.ts'

const closers: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
  vi.restoreAllMocks()
})

/** Length and last byte: whoever asks can tell whose answer it is. */
const short: Answerer = (datagram) => Buffer.from([datagram.length >> 8, datagram.length & 255, datagram.at(-1) ?? 0])

async function serve(given: Partial<DatagramsOptions> = {}, host = '127.0.0.1') {
  const datagrams = new Datagrams({
    answer: short,
    unsent: () => {},
    unsentBytes: 1e6,
    inBursts: true,
    shared: false,
    ...given,
  })
  closers.push(() => datagrams.close())
  const socket = datagrams.socket(host.includes(':') ? 'udp6' : 'udp4')
  socket.bind(0, host)
  await once(socket, 'listening')
  return { datagrams, socket, host, port: (socket.address() as AddressInfo).port }
}

async function asker(family: 'udp4' | 'udp6' = 'udp4') {
  const socket = createSocket({ type: family, recvBufferSize: 4_000_000 })
  closers.push(() => new Promise((resolve) => socket.close(resolve)))
  socket.bind(0, family === 'udp4' ? '127.0.0.1' : '::1')
  await once(socket, 'listening')
  return socket
}

/**
 * So many lie there when the other side looks, and have room where a system grants no socket more than it has by default: 208 KiB,
 * of which the kernel counts the smallest datagram as 768 bytes. What finds no room is lost.
 */
const AT_ONCE = 200

/** The replies, as they come; to more than lie there at once, wave by wave. */
async function exchangeAll(socket: Socket, to: { port: number; host: string }, sent: readonly Buffer[]) {
  const waves = Array.from({ length: Math.ceil(sent.length / AT_ONCE) }, (_, n) =>
    sent.slice(n * AT_ONCE, (n + 1) * AT_ONCE),
  )
  const replies: Awaited<ReturnType<typeof exchange>> = []
  for (const wave of waves) replies.push(...(await exchange(socket, to, wave, wave.length)))
  return replies
}

/** All at once; gives the replies as they come. */
async function exchange(socket: Socket, to: { port: number; host: string }, sent: readonly Buffer[], expected: number) {
  const replies: { bytes: Buffer; from: string; port: number }[] = []
  const { promise, resolve } = Promise.withResolvers<void>()
  const take = (bytes: Buffer, { address, port }: { address: string; port: number }) => {
    replies.push({ bytes, from: address, port })
    if (replies.length === expected) resolve()
  }
  socket.on('message', take)
  for (const bytes of sent) socket.send(bytes, to.port, to.host)
  if (expected > 0) await promise
  socket.off('message', take)
  return replies
}

const numbered = (count: number) =>
  Array.from({ length: count }, (_, n) => Buffer.from([...Array(n % 100).fill(0), n & 255]))
const sorted = (all: readonly Buffer[]) => all.map((bytes) => bytes.toString('hex')).toSorted()
const answered = (all: readonly Buffer[]) => all.map((bytes) => short(bytes, '') as Buffer)

test('bursts can be had on the machines that we run our tests on', () => {
  expect(bursts()).toBeInstanceOf(Bursts)
})

describe.each([
  ['in bursts', true],
  ['one by one', false],
])('%s', (_, inBursts) => {
  for (const host of ['127.0.0.1', '::1'])
    test.skipIf(host === '::1' && !HAS_IPV6)(
      `a thousand questions at ${host} have their answers, each from where it asked`,
      async () => {
        const drained = vi.spyOn(Bursts.prototype, 'drain')
        const addresses = new Set<string>()
        const answer: Answerer = (datagram, address) => (addresses.add(address), short(datagram, address))
        const served = await serve({ inBursts, answer }, host)
        const socket = await asker(host === '::1' ? 'udp6' : 'udp4')
        const sent = numbered(1000)
        const replies = await exchangeAll(socket, served, sent)
        expect(sorted(replies.map(({ bytes }) => bytes))).toEqual(sorted(answered(sent)))
        expect(new Set(replies.map(({ from, port }) => `${from} ${port}`))).toEqual(new Set([`${host} ${served.port}`]))
        expect([...addresses]).toEqual([host])
        const taken = drained.mock.results.reduce((sum, { value }) => sum + (value as { taken: number }).taken, 0)
        if (inBursts) expect(taken).toBeGreaterThan(500)
        else expect(drained).not.toHaveBeenCalled()
      },
    )

  test('several who ask at once have each its own', async () => {
    const served = await serve({ inBursts })
    const askers = await Promise.all(Array.from({ length: 5 }, () => asker()))
    const all = await Promise.all(
      askers.map((socket, n) => exchange(socket, served, Array(50).fill(Buffer.alloc(n + 1, n)) as Buffer[], 50)),
    )
    for (const [n, replies] of all.entries())
      expect(new Set(replies.map(({ bytes }) => bytes.toString('hex')))).toEqual(new Set([`000${n + 1}0${n}`]))
  })

  test('any datagrams: each is seen as it was sent; a longer one as one that is too long', async () => {
    const seen: Buffer[] = []
    const answer: Answerer = (datagram, address) => (seen.push(Buffer.from(datagram)), short(datagram, address))
    const served = await serve({ inBursts, answer })
    const socket = await asker()
    const lengths = fc.oneof(fc.nat(64), fc.integer({ min: DATAGRAM_BYTES_MAX - 2, max: DATAGRAM_BYTES_MAX + 500 }))
    const datagram = fc.tuple(lengths, fc.nat(255)).map(([length, byte]) => Buffer.alloc(length, byte))
    await fc.assert(
      fc.asyncProperty(fc.array(datagram, { minLength: 1, maxLength: 80 }), async (sent) => {
        seen.length = 0
        await exchange(socket, served, sent, sent.length)
        const whole = (bytes: Buffer) => bytes.length <= DATAGRAM_BYTES_MAX
        expect(sorted(seen.filter(whole))).toEqual(sorted(sent.filter(whole)))
        expect(seen).toHaveLength(sent.length)
      }),
      { numRuns: 30 },
    )
  })

  test('who is not answered hears nothing, and the others their own', async () => {
    const served = await serve({
      inBursts,
      answer: (bytes, from) => (bytes.length % 3 ? undefined : short(bytes, from)),
    })
    const sent = numbered(AT_ONCE)
    const wanted = sent.filter(({ length }) => length % 3 === 0)
    const replies = await exchange(await asker(), served, sent, wanted.length)
    expect(sorted(replies.map(({ bytes }) => bytes))).toEqual(sorted(answered(wanted)))
  })

  test('an answer that closes everything is the last', async () => {
    let seen = 0
    const { promise: closed, resolve } = Promise.withResolvers<void>()
    const served = await serve({
      inBursts,
      answer: () => (++seen === 20 && resolve(served.datagrams.close()), undefined),
    })
    const socket = await asker()
    for (const bytes of numbered(200)) socket.send(bytes, served.port, served.host)
    await closed
    expect(seen).toBeGreaterThanOrEqual(20)
    expect(seen).toBeLessThanOrEqual(20 + 64)
  })

  test('what is closed leaves no descriptor behind', async () => {
    const { datagrams } = await serve({ inBursts })
    await datagrams.close()
    const before = readdirSync('/proc/self/fd').length
    for (let n = 0; n < 20; n++) await (await serve({ inBursts })).datagrams.close()
    expect(readdirSync('/proc/self/fd').length).toBe(before)
  })
})

type Call = (fd: number, heads: number, count: number, ...more: number[]) => number

const koffi = createRequire(import.meta.url)('koffi') as Koffi

/** koffi, but for what one of its calls does. */
function butFor(name: string, instead: (real: Call) => Call): Koffi {
  const load = () => {
    const libc = koffi.load(null)
    const func = (definition: string) => {
      const call = libc.func(definition)
      return (definition.includes(` ${name}(`) ? instead(call) : call) as Native
    }
    return { func }
  }
  return { ...koffi, load }
}

describe('what the kernel does not take', () => {
  /** The real calls, but for the ones of these numbers that send: nobody's card is full at will. */
  const failing = (...calls: number[]) => {
    let n = 0
    return new Bursts(
      butFor(
        'sendmmsg',
        (real) => (fd, heads, count, flags) => (calls.includes(n++) ? -1 : real(fd, heads, Math.min(count, 7), flags)),
      ),
    )
  }

  test('is counted, and what comes behind it goes out', async () => {
    const socket = await asker()
    const { port } = socket.address()
    const fd = udpDescriptorAt({ host: '127.0.0.1', port }) as number
    // Sent at once, before the loop turns and dgram takes them.
    const from = createSocket({ type: 'udp4', lookup: (address, _family, done) => done(null, address, 4) })
    closers.push(() => new Promise((resolve) => from.close(resolve)))
    const bound = once(from, 'listening')
    from.bind(0, '127.0.0.1')
    await bound
    const heard = once(from, 'message')
    for (const bytes of numbered(30)) from.send(bytes, port, '127.0.0.1')
    expect(failing(0, 2).drain(fd, 64, short, () => true)).toEqual({ taken: 30, unsent: 2 })
    await heard
  })

  test('a descriptor that is none gives nothing', () => {
    expect(failing().drain(-1, 64, short, () => true)).toEqual({ taken: 0, unsent: 0 })
  })
})

describe('before they are trusted, they are tried:', () => {
  const claims: (real: Call) => Call = () => (_fd, _heads, count) => count
  const moved = { ...koffi, address: (of: unknown) => koffi.address(of) + 64n }
  let memory = new Uint32Array()
  const seen = (block: unknown, bytes: number) => {
    const view = koffi.view(block, bytes)
    memory = new Uint32Array(view)
    return view
  }
  /** The length of the first datagram, 56 bytes from the first head on: as if the layout were another. */
  const otherLength: (real: Call) => Call =
    (real) =>
    (fd, heads, count, ...more) => {
      const came = real(fd, heads, count, ...more)
      memory[14] = (memory[14] as number) + 1
      return came
    }
  const notAsSent = 'what it sends to itself does not come as it was sent'

  test('these are', () => {
    const before = readdirSync('/proc/self/fd').length
    expect(prove(Bursts, koffi)).toBeInstanceOf(Bursts)
    expect(readdirSync('/proc/self/fd').length).toBe(before)
  })

  test.each([
    ['calls that claim to have taken', butFor('recvmmsg', claims), notAsSent],
    ['calls that claim to have sent', butFor('sendmmsg', claims), notAsSent],
    ['calls that fail', butFor('recvmmsg', () => () => -1), notAsSent],
    ['lengths that stand elsewhere', { ...butFor('recvmmsg', otherLength), view: seen }, notAsSent],
    ['memory that is elsewhere', moved, notAsSent],
    ['no loopback', butFor('bind', () => () => -1), 'no socket of its own on 127.0.0.1'],
  ])('%s are found out, and nothing stays open', (_, given, why) => {
    const before = readdirSync('/proc/self/fd').length
    expect(prove(Bursts, given)).toBe(why)
    expect(readdirSync('/proc/self/fd').length).toBe(before)
  })
})

test('where there are no bursts, it says why', async () => {
  expect((await serve({ inBursts: false })).datagrams.oneByOne).toBe('the settings say so')
  expect((await serve()).datagrams.oneByOne).toBeUndefined()
})

test.each([
  [true, 1],
  [false, 0],
])('inBursts %s: of native code %d is loaded', (inBursts, times) => {
  const script = `
    import { once } from 'node:events'
    import { readFileSync } from 'node:fs'
    import { Datagrams } from './src/answer/datagrams.ts'
    const datagrams = new Datagrams({ answer: () => undefined, unsent: () => {}, unsentBytes: 1e6, inBursts: ${inBursts} })
    const socket = datagrams.socket('udp4').bind(0, '127.0.0.1')
    await once(socket, 'listening')
    console.log(new Set(readFileSync('/proc/self/maps', 'utf8').match(/\\S+koffi\\.node$/gm)).size)
    await datagrams.close()`
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    cwd: join(import.meta.dirname, '../..'),
    encoding: 'utf8',
  })
  expect([stdout, stderr]).toEqual([`${times}\n`, ''])
})

test('of two sockets at one address neither is taken for the other', async () => {
  const sockets = [0, 1].map(() => createSocket({ type: 'udp4', reusePort: true }))
  for (const socket of sockets) closers.push(() => new Promise((resolve) => socket.close(resolve)))
  const [first, second] = sockets as [Socket, Socket]
  first.bind(0, '127.0.0.1')
  await once(first, 'listening')
  const place = { host: '127.0.0.1', port: first.address().port }
  expect(udpDescriptorAt(place)).toBeGreaterThan(2)
  second.bind(place.port, place.host)
  await once(second, 'listening')
  expect(udpDescriptorAt(place)).toBeUndefined()
})
