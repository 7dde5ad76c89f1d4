import { once } from 'node:events'
import { Socket } from 'node:net'
import fc from 'fast-check'
import { describe, expect, onTestFinished, test } from 'vitest'
import { Crowd, due, newWheel, put, Tarpit, TICK_MS } from '../../src/decoy/tarpit.ts'
import { door, type Visitor } from './visitors.ts'

describe('the wheel', () => {
  test('gives everything back once, never early, at most a tick late', () => {
    const times = fc.array(fc.nat(20_000), { maxLength: 50 })
    const steps = fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 100, maxLength: 100 })
    fc.assert(
      fc.property(fc.nat(1_000_000), times, steps, (start, delays, turns) => {
        const wheel = newWheel<number>(start)
        for (const delay of delays) put(wheel, start + delay, start + delay)
        const given: number[] = []
        let [now, before] = [start, start]
        for (const step of turns) {
          now += step
          for (const at of due(wheel, now)) {
            expect(at).toBeLessThanOrEqual(now)
            // It was not due at the turn before, but for the length of a tick.
            expect(at).toBeGreaterThan(before - 2 * TICK_MS)
            given.push(at)
          }
          before = now
        }
        expect(given.length + [...wheel.slots.values()].flat().length).toBe(delays.length)
        expect(wheel.slots.size).toBeLessThanOrEqual(delays.length)
      }),
    )
  })

  test('a thing put for now or for the past comes at the next turn', () => {
    const wheel = newWheel<string>(1000)
    put(wheel, 'past', 0)
    put(wheel, 'now', 1000)
    expect(due(wheel, 1000)).toEqual([])
    expect(due(wheel, 1000 + TICK_MS)).toEqual(['past', 'now'])
  })

  test('after a long pause everything comes at once, in order', () => {
    const wheel = newWheel<number>(0)
    for (const at of [900, 100, 500]) put(wheel, at, at)
    expect(due(wheel, 3_600_000)).toEqual([100, 500, 900])
    expect(wheel.slots.size).toBe(0)
  })
})

describe('the crowd', () => {
  const enter = (crowd: Crowd, network: string) => crowd.enter(new Socket(), network, 'drip', 0)

  test('lets the longest held of the largest network go first', () => {
    const crowd = new Crowd()
    enter(crowd, 'a')
    const [first, second] = [enter(crowd, 'b'), enter(crowd, 'b')]
    expect(crowd.firstToGo()).toBe(first)
    crowd.leave(first)
    enter(crowd, 'b')
    expect(crowd.firstToGo()).toBe(second)
  })

  test('agrees with a list that is searched anew each time', () => {
    /** Somebody of this network comes, or the so-manieth of all leaves. */
    const step = fc.tuple(fc.constantFrom('a', 'b', 'c', 'd'), fc.integer({ min: -10, max: 30 }))
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const crowd = new Crowd()
        const list: ReturnType<typeof enter>[] = []
        for (const [network, leaves] of steps) {
          if (leaves < 0 || list.length === 0) list.push(enter(crowd, network))
          else for (const gone of list.splice(leaves % list.length, 1)) crowd.leave(gone)
          const size = (name: string) => list.filter((held) => held.crowd.name === name).length
          const most = Math.max(0, ...['a', 'b', 'c', 'd'].map(size))
          expect(crowd.size).toBe(list.length)
          const first = crowd.firstToGo()
          if (!first) expect(list).toEqual([])
          else {
            expect(size(first.crowd.name)).toBe(most)
            expect(list.find((held) => held.crowd === first.crowd)).toBe(first)
          }
        }
      }),
    )
  })
})

describe('held sockets', () => {
  test('a dripped greeting never ends, and its life ends in a reset', async () => {
    const { hold } = await pit({ dripMs: TICK_MS })
    const held = await hold('drip', 1200)
    expect(await held.ended).toBe('reset')
    expect(held.heard).toMatch(/^220-mx9\.example\.test ESMTP/)
    expect(held.heard.length).toBeGreaterThan(20)
    expect(held.heard).not.toMatch(/^220 /m)
    const line = '220-mx9.example.test ESMTP, one moment please'
    for (const heard of held.heard.split('\r\n')) expect(heard).toBe(line.slice(0, heard.length))
  })

  test('a silent one hears nothing before its reset', async () => {
    const { hold } = await pit()
    const held = await hold('silent', 120)
    held.send('EHLO mail.sender.example')
    const began = performance.now()
    expect(await held.ended).toBe('reset')
    expect(performance.now() - began).toBeGreaterThan(90)
    expect(held.heard).toBe('')
  })

  test('each way of going is noticed, while others stay', async () => {
    const { hold, tarpit, sockets } = await pit()
    const ending = await hold('silent', 10_000)
    const resetting = await hold('drip', 10_000)
    const staying = await hold('silent', 10_000)
    expect(tarpit.size).toBe(3)
    ending.socket.end()
    resetting.socket.resetAndDestroy()
    const gone = sockets.map((socket) => new Promise((resolve) => socket.on('close', resolve)))
    await Promise.all(gone.slice(0, 2))
    expect(tarpit.size).toBe(1)
    staying.socket.end()
    await gone[2]
    expect(tarpit.size).toBe(0)
  })

  test('what a client sends is thrown away; who pours is let go', async () => {
    const { hold, sockets, tarpit } = await pit()
    const [talking, pouring] = [await hold('silent', 10_000), await hold('silent', 10_000)]
    const block = Buffer.alloc(1 << 18, 'x')
    talking.socket.write(block)
    for (let i = 0; i < 80; i++) pouring.socket.write(block)
    expect(await pouring.ended).toBe('reset')
    const [kept, poured] = sockets as [Socket, Socket]
    expect(poured.bytesRead).toBeLessThan(2 << 20)
    expect(tarpit.size).toBe(1)
    expect(kept.readableLength).toBe(0)
  })

  test('when full, the longest held of the largest network makes room', async () => {
    const { hold, tarpit, shed } = await pit({ capacity: 3 })
    const lone = await hold('silent', 10_000, '198.51.100.0/24')
    const old = await hold('silent', 10_000)
    await hold('drip', 10_000)
    await hold('silent', 10_000, '203.0.113.0/24')
    expect(await old.ended).toBe('reset')
    expect(tarpit.size).toBe(3)
    expect(shed()).toBe(1)
    expect(tarpit.shed()).toBe(true)
    expect(await lone.ended).toBe('reset')
  })

  test('with nobody held there is nothing to shed', async () => {
    expect((await pit()).tarpit.shed()).toBe(false)
  })
})

/** A tarpit and a server whose connections go there. */
async function pit(options: { dripMs?: number; capacity?: number } = {}) {
  let shed = 0
  const sockets: Socket[] = []
  const { server, call } = await door()
  const tarpit = new Tarpit({
    name: 'mx9.example.test',
    dripMs: 1000,
    capacity: 100,
    ...options,
    now: () => performance.now(),
    shed: () => {
      shed++
    },
  })
  onTestFinished(() => {
    server.close()
    for (const socket of sockets) socket.resetAndDestroy()
  })
  const hold = async (form: 'drip' | 'silent', lifeMs: number, network = '192.0.2.0/24'): Promise<Visitor> => {
    const accepted = once(server, 'connection') as Promise<[Socket]>
    const visitor = call()
    const [[socket]] = await Promise.all([accepted, visitor.connected])
    sockets.push(socket)
    const held = tarpit.hold(socket, network, form, lifeMs)
    socket.on('error', () => {})
    socket.on('close', () => tarpit.gone(held))
    return visitor
  }
  return { hold, tarpit, sockets, shed: () => shed }
}
