import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { Bare, bare, descriptorOf, type Sign, type Watch } from '../../src/libc/bare.ts'
import { type Koffi, type Native, prove } from '../../src/libc/koffi.ts'
import { HAS_IPV6 } from '../doors.ts'

const koffi = createRequire(import.meta.url)('koffi') as Koffi
const lines = bare() as Bare
const descriptors = () => readdirSync('/proc/self/fd').length

/** A server of Node's, and somebody who has called it: both ends. */
async function call(host = '127.0.0.1') {
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }).listen(0, host)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const accepted = once(server, 'connection') as Promise<[Socket]>
  const caller = connect({ port, host, allowHalfOpen: true })
  const [[socket]] = await Promise.all([accepted, once(caller, 'connect')])
  onTestFinished(() => {
    server.close()
    for (const end of [socket, caller]) end.destroy()
  })
  return { server, port, socket, caller }
}

/** Looks until there is something to hear. */
async function sign(watch: Watch<string>, from: string): Promise<string> {
  let heard: string | undefined
  const tell = (thing: string, what: Sign) => {
    expect(thing).toBe(from)
    heard ??= what.toString('latin1')
  }
  for (; heard === undefined; await new Promise((resolve) => setImmediate(resolve))) watch.look(tell)
  return heard
}

test('bare lines can be had on the machines that we run our tests on', () => {
  expect(lines).toBeInstanceOf(Bare)
})

for (const host of ['127.0.0.1', '::1'])
  describe.skipIf(host === '::1' && !HAS_IPV6)(`a connection to ${host}`, () => {
    test('is taken from a socket of Node without a word to its peer, speaks, hears, and is reset', async () => {
      const { socket, caller, port } = await call(host)
      const fd = lines.undress(socket) as number
      await once(socket, 'close')
      expect(lines.placeOf(fd)).toEqual({ address: host, port })
      const watch = lines.watch<string>() as Watch<string>
      expect(watch.add(fd, 'it')).toBe(true)
      caller.write('EHLO mail.sender.example\r\n')
      expect(await sign(watch, 'it')).toBe('EHLO mail.sender.example\r\n')
      const heard = once(caller, 'data') as Promise<[Buffer]>
      expect(lines.say(fd, '220-mx9')).toBe(true)
      expect((await heard)[0].toString()).toBe('220-mx9')
      caller.end()
      expect(await sign(watch, 'it')).toBe('ended')
      const error = once(caller, 'error') as Promise<[NodeJS.ErrnoException]>
      watch.reset(fd)
      expect((await error)[0].code).toBe('ECONNRESET')
      watch.look(() => expect.unreachable('nothing more is told of it'))
      watch.close()
    })

    test('is made a socket of Node again, which hears what was sent meanwhile', async () => {
      const { socket, caller } = await call(host)
      const fd = lines.undress(socket) as number
      const sent = new Promise((resolve) => caller.write('early', resolve))
      await sent
      const dressed = lines.dress(fd) as Socket
      onTestFinished(() => void dressed.destroy())
      expect([dressed.remoteAddress, dressed.remotePort]).toEqual([host, (caller.address() as AddressInfo).port])
      const heard = once(dressed, 'data') as Promise<[Buffer]>
      dressed.resume()
      expect((await heard)[0].toString()).toBe('early')
      const answered = once(caller, 'data') as Promise<[Buffer]>
      dressed.write('220 late')
      expect((await answered)[0].toString()).toBe('220 late')
    })

    test('that its peer resets is gone', async () => {
      const { socket, caller } = await call(host)
      const fd = lines.undress(socket) as number
      const watch = lines.watch<string>() as Watch<string>
      watch.add(fd, 'it')
      caller.resetAndDestroy()
      expect(await sign(watch, 'it')).toBe('gone')
      expect(lines.say(fd, 'anybody?')).toBe(false)
      watch.reset(fd)
      watch.close()
    })
  })

test('who does not read is told no more than the kernel keeps', async () => {
  const { socket, caller } = await call()
  caller.pause()
  const fd = lines.undress(socket) as number
  const piece = 'x'.repeat(1024)
  let said = 0
  while (lines.say(fd, piece)) said += piece.length
  expect(said).toBeGreaterThan(0)
  expect(lines.say(fd, piece)).toBe(false)
  lines.reset(fd)
})

test('many who wait are taken in at one stroke, and no more than are wanted; each is known by its address', async () => {
  const before = descriptors()
  const server = createServer().listen({ port: 0, host: '127.0.0.1', backlog: 64 })
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const callers = Array.from({ length: 20 }, (_, n) =>
    connect({ port, host: '127.0.0.1', localAddress: `127.0.5.${n + 1}` }).on('error', () => {}),
  )
  const closed = callers.map((caller) => new Promise((resolve) => caller.on('close', resolve)))
  const taken = new Map<number, string>()
  // They call at the next tick, and the kernel has them all before Node looks.
  await new Promise<void>((resolve) => process.nextTick(resolve))
  const [some, rest] = [5, 100].map((most) =>
    lines.accept(descriptorOf(server) as number, most, (fd, { ip }) => taken.set(fd, ip)),
  ) as [number, number]
  expect([some, rest]).toEqual([5, 15])
  expect([...taken.values()]).toEqual(callers.map((_, n) => `127.0.5.${n + 1}`))
  for (const fd of taken.keys()) lines.reset(fd)
  await Promise.all(closed)
  server.close()
  await once(server, 'close')
  expect(descriptors()).toBe(before)
})

test('what is told of may be reset by what is told of another', async () => {
  const [one, other] = [await call(), await call()]
  const fds = [one, other].map(({ socket }) => lines.undress(socket) as number)
  const watch = lines.watch<number>() as Watch<number>
  for (const fd of fds) watch.add(fd, fd)
  one.caller.write('x')
  other.caller.write('x')
  const told: number[] = []
  for (; told.length === 0; await new Promise((resolve) => setImmediate(resolve)))
    watch.look((fd) => {
      told.push(fd)
      for (const each of fds) watch.reset(each)
    })
  watch.look((fd) => told.push(fd))
  expect(told).toHaveLength(1)
  watch.close()
})

test('what is no connection of Node is not undressed: a server, one that is destroyed, one with words under way', async () => {
  const { socket, caller } = await call()
  caller.pause()
  while (socket.write(Buffer.alloc(1 << 20)));
  expect(lines.undress(socket)).toBeUndefined()
  expect(socket.destroyed).toBe(false)
  socket.destroy()
  expect(lines.undress(socket)).toBeUndefined()
})

type Call = (...args: number[]) => number

/** koffi, but for what one of its calls does. */
function butFor(name: string, instead: (real: Call) => Call): Koffi {
  const load = () => {
    const libc = koffi.load(null)
    const func = (definition: string) => {
      const real = libc.func(definition)
      return (definition.includes(` ${name}(`) ? instead(real as Call) : real) as Native
    }
    return { func }
  }
  return { ...koffi, load }
}

describe('before they are trusted, they are tried:', () => {
  const fails = () => () => -1
  const lies = () => () => 0
  const moved = { ...koffi, address: (of: unknown) => koffi.address(of) + 64n }

  test('these are', () => {
    const before = descriptors()
    expect(prove(Bare, koffi)).toBeInstanceOf(Bare)
    expect(descriptors()).toBe(before)
  })

  test.each([
    ['no loopback', butFor('bind', fails), 'no socket of its own on 127.0.0.1'],
    ['no epoll', butFor('epoll_create1', fails), 'no socket of its own on 127.0.0.1'],
    ['nobody taken in', butFor('accept4', fails), 'whoever calls it is not taken in'],
    ['calls that claim to have taken in', butFor('accept4', lies), 'whoever calls it is not taken in'],
    ['addresses that fail', butFor('getpeername', fails), 'it does not know who calls whom'],
    ['addresses that are not written', butFor('getpeername', lies), 'it does not know who calls whom'],
    [
      'calls that claim to have said',
      butFor('send', () => () => 4),
      'what it says to itself does not come as it was said',
    ],
    ['nothing heard', butFor('recv', fails), 'what it says to itself does not come as it was said'],
    ['no watching', butFor('epoll_ctl', lies), 'what it says to itself does not come as it was said'],
    ['no reset', butFor('setsockopt', lies), 'its reset is not noticed'],
    ['memory that is elsewhere', moved, 'whoever calls it is not taken in'],
  ])('%s: it is found out, and nothing stays open', (_, given, why) => {
    const before = descriptors()
    expect(prove(Bare, given)).toBe(why)
    expect(descriptors()).toBe(before)
  })
})
