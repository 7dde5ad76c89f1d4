import { spawnSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { beside, type DoorHappening, openDoor, tcp, udp } from '../../src/daemon/sockets.ts'
import { folder } from '../folders.ts'

/** Tells, and lets a test wait for what it wants to hear. */
function ear() {
  const told: DoorHappening[] = []
  const waiting = new Map<string, () => void>()
  const tell = (happening: DoorHappening) => {
    told.push(happening)
    waiting.get(happening.what)?.()
  }
  return {
    told,
    tell,
    heard: (what: DoorHappening['what']) => new Promise<void>((resolve) => waiting.set(what, resolve)),
  }
}

describe('a door', () => {
  test('that is taken is said once, tried again, and open as soon as it can be (TCP)', async () => {
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    const { port } = other.address() as AddressInfo
    const { told, tell, heard } = ear()
    const server = createServer()
    onTestFinished(() => void server.close())
    const door = await openDoor('policy', { host: '127.0.0.1', port }, tcp(server), tell, 10)
    const address = `127.0.0.1:${port}`
    expect(door.bound).toBeUndefined()
    const open = heard('open')
    other.close()
    await open
    expect(door.bound).toBe(address)
    expect(server.listenerCount('listening')).toBe(0)
    expect(told).toEqual([
      { what: 'shut', door: 'policy', address, error: 'another program listens there' },
      { what: 'open', door: 'policy', address },
    ])
  })

  test('the same by UDP, with a new socket for each try and none left over', async () => {
    const other = createSocket('udp4').bind(0, '127.0.0.1')
    await once(other, 'listening')
    const { port } = other.address()
    const { told, tell, heard } = ear()
    const made: ReturnType<typeof createSocket>[] = []
    const closed: unknown[] = []
    const make = () => {
      const socket = createSocket('udp4').once('close', () => closed.push(socket))
      made.push(socket)
      return socket
    }
    const door = await openDoor('DNSBL', { host: '127.0.0.1', port }, udp(make), tell, 10)
    expect(door.error).toBe('another program listens there')
    const open = heard('open')
    other.close()
    await open
    expect(door).toMatchObject({ bound: `127.0.0.1:${port}`, error: undefined })
    expect(told.map(({ what }) => what)).toEqual(['shut', 'open'])
    expect(closed).toEqual(made.slice(0, -1))
    made.at(-1)?.close()
  })

  test('that this host does not have, or may not open, is told in words; a door given up is not tried again', async () => {
    const { told, tell } = ear()
    const server = createServer()
    const door = await openDoor('backup decoy', { host: '192.0.2.67', port: 2590 }, tcp(server), tell, 10)
    door.giveUp()
    expect(told).toEqual([
      { what: 'shut', door: 'backup decoy', address: '192.0.2.67:2590', error: 'this host has no such address (yet)' },
    ])
    expect(server.listening).toBe(false)
  })

  test('that can be shared says how, where another program has it, and only there', async () => {
    const other = createSocket('udp4').bind(0, '127.0.0.1')
    onTestFinished(() => void other.close())
    await once(other, 'listening')
    const listener = beside(
      udp(() => createSocket('udp4')),
      'each says so',
    )
    const open = async (host: string) => {
      const door = await openDoor('DNSBL', { host, port: other.address().port }, listener, ear().tell, 10)
      door.giveUp()
      return door.error
    }
    expect(await open('127.0.0.1')).toBe('another program listens there; each says so')
    expect(await open('192.0.2.67')).toBe('this host has no such address (yet)')
  })

  test('any port means the one that was given', async () => {
    const { tell } = ear()
    const server = createServer()
    const door = await openDoor('HTTP', { host: '127.0.0.1', port: 0 }, tcp(server), tell)
    expect(door.bound).toBe(`127.0.0.1:${(server.address() as AddressInfo).port}`)
    server.close()
  })

  test('at a path is for every user of the host; one left behind by a crash is taken, one in use or a file is not', async () => {
    const path = join(folder(), 'policy.sock')
    const place = { host: 'unix', port: 0, path }
    // What a killed process leaves: libuv would clear away its own.
    const words = [
      '-e',
      'require("net").createServer().listen(process.argv[1], () => process.kill(process.pid, 9))',
      path,
    ]
    spawnSync(process.execPath, words)
    expect(statSync(path).isSocket()).toBe(true)
    const { told, tell } = ear()
    const server = createServer((socket) => socket.on('error', () => undefined).end('hello'))
    onTestFinished(() => void server.close())
    const door = await openDoor('policy', place, tcp(server), tell)
    expect(door.bound).toBe(`unix:${path}`)
    expect(statSync(path).mode & 0o777).toBe(0o666)
    const [heard] = (await once(connect({ path }), 'data')) as [Buffer]
    expect(heard.toString()).toBe('hello')

    const second = await openDoor('policy', place, tcp(createServer()), tell, 60_000)
    second.giveUp()
    writeFileSync(`${path}.txt`, 'precious')
    const onFile = await openDoor('policy', { ...place, path: `${path}.txt` }, tcp(createServer()), tell, 60_000)
    onFile.giveUp()
    expect(told.map(({ what }) => what)).toEqual(['open', 'shut', 'shut'])
    expect(second.error).toBe('another program listens there')
    expect(readFileSync(`${path}.txt`, 'utf8')).toBe('precious')
    expect(server.listening).toBe(true)
  })
})
