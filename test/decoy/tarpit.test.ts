import { once } from 'node:events'
import { Socket } from 'node:net'
import fc from 'fast-check'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { type Bare, bare } from '../../src/libc/bare.ts'
import { Crowd, type Visit, type Who } from '../../src/decoy/crowd.ts'
import { due, newWheel, put, setVisit, Tarpit, tickMsFor } from '../../src/decoy/tarpit.ts'
import { door, type Visitor } from './visitors.ts'

const TICK_MS = 50

describe('the wheel', () => {
  test('turns finer for who drips faster, within bounds', () => {
    expect([50, 500, 1000, 10_000].map(tickMsFor)).toEqual([10, 50, 100, 250])
  })

  test('gives everything back once, never early, at most a tick late', () => {
    const times = fc.array(fc.nat(20_000), { maxLength: 50 })
    const steps = fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 100, maxLength: 100 })
    fc.assert(
      fc.property(fc.nat(1_000_000), times, steps, (start, delays, turns) => {
        const wheel = newWheel<number>(start, TICK_MS)
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
    const wheel = newWheel<string>(1000, TICK_MS)
    put(wheel, 'past', 0)
    put(wheel, 'now', 1000)
    expect(due(wheel, 1000)).toEqual([])
    expect(due(wheel, 1000 + TICK_MS)).toEqual(['past', 'now'])
  })

  test('after a long pause everything comes at once, in order', () => {
    const wheel = newWheel<number>(0, TICK_MS)
    for (const at of [900, 100, 500]) put(wheel, at, at)
    expect(due(wheel, 3_600_000)).toEqual([100, 500, 900])
    expect(wheel.slots.size).toBe(0)
  })
})

describe.each([
  ['bare lines', true],
  ["sockets of Node's", false],
])('held, %s:', (_, isBare) => {
  const pit = (options: PitOptions = {}) => makePit(isBare, options)

  test('a dripped greeting never ends, and its life ends in a reset', async () => {
    const { hold } = await pit({ dripMs: TICK_MS })
    const held = await hold('drip', 1200)
    expect(await held.ended).toBe('reset')
    expect(held.heard).toMatch(/^220-mx9\.example\.test ESMTP/)
    expect(held.heard.length).toBeGreaterThan(20)
    expect(held.heard).not.toMatch(/^220 /m)
    const line = '220-mx9.example.test ESMTP Postfix'
    for (const heard of held.heard.split('\r\n')) expect(heard).toBe(line.slice(0, heard.length))
  })

  test('a silent one hears nothing before its reset', async () => {
    const { hold } = await pit()
    const began = performance.now()
    const held = await hold('silent', 120)
    held.send('EHLO mail.sender.example')
    expect(await held.ended).toBe('reset')
    expect(performance.now() - began).toBeGreaterThanOrEqual(120)
    expect(held.heard).toBe('')
  })

  test('each way of going is noticed, while others stay', async () => {
    const { hold, crowd, gone } = await pit()
    const ending = await hold('silent', 10_000)
    const resetting = await hold('drip', 10_000)
    const staying = await hold('silent', 10_000)
    expect(crowd.held).toBe(3)
    ending.socket.end()
    resetting.socket.resetAndDestroy()
    await Promise.all([gone(0), gone(1)])
    expect(crowd.held).toBe(1)
    staying.socket.end()
    await gone(2)
    expect(crowd.held).toBe(0)
  })

  test('what a client sends is thrown away; who pours is let go', async () => {
    const { hold, visits, crowd, outcomes, gone } = await pit({ dripMs: TICK_MS })
    const [talking, pouring] = [await hold('silent', 10_000), await hold('silent', 10_000)]
    const block = Buffer.alloc(1 << 18, 'x')
    const taken = new Promise((resolve) => talking.socket.write(block, resolve))
    for (let i = 0; i < 80; i++) pouring.socket.write(block)
    expect(await pouring.ended).toBe('reset')
    await Promise.all([taken, gone(1)])
    const poured = visits[1] as Visit
    expect(poured.bytesIn).toBeGreaterThan(1 << 20)
    expect(poured.bytesIn).toBeLessThan(2 << 20)
    expect(crowd.held).toBe(1)
    expect(outcomes()).toEqual(['reset', 'poured'])
    talking.socket.end()
    await gone(0)
    expect(visits[0]?.bytesIn).toBe(block.length)
  })

  test('the longest held of the largest network makes room', async () => {
    const { hold, tarpit, crowd, outcomes } = await pit()
    const lone = await hold('silent', 10_000, '198.51.100.0/24')
    const old = await hold('silent', 10_000)
    await hold('drip', 10_000)
    await hold('silent', 10_000, '203.0.113.0/24')
    expect(tarpit.shed()).toBe(true)
    expect(await old.ended).toBe('reset')
    expect(crowd.held).toBe(3)
    expect(tarpit.shed()).toBe(true)
    expect(await lone.ended).toBe('reset')
    expect(outcomes()).toEqual(['shed', 'shed', 'reset', 'reset'])
  })

  test('with nobody held there is nothing to shed', async () => {
    expect((await pit()).tarpit.shed()).toBe(false)
  })

  test('after reconsider each is thought about once, at its next turn, and let go if not to be kept', async () => {
    const asked: Who[] = []
    const { hold, tarpit, crowd, outcomes } = await pit({
      dripMs: TICK_MS,
      keeps: (who) => {
        asked.push(who)
        return who !== 2
      },
    })
    const [staying, going] = [await hold('drip', 10_000, 'a', 1), await hold('drip', 10_000, 'a', 2)]
    await staying.hears(12)
    expect(asked).toEqual([])
    tarpit.reconsider()
    expect(await going.ended).toBe('reset')
    await staying.hears(staying.heard.length + 12)
    expect(asked.toSorted((a, b) => Number(a) - Number(b))).toEqual([1, 2])
    expect(crowd.held).toBe(1)
    expect(outcomes()).toEqual(['reset', 'released'])
  })
})

/** When a held client is told something, of a real MX that takes so long to greet. */
function dripsOf(greetingMs?: number): number[] {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  onTestFinished(() => void vi.useRealTimers())
  let now = 0
  const crowd = new Crowd()
  const look = { banner: 'mx.example.test', ehlo: [], greetingMs }
  const tarpit = new Tarpit({
    name: 'mx9.example.test',
    dripMs: 10_000,
    jitter: 0.3,
    look: () => look,
    crowd,
    now: () => now,
    keeps: () => true,
    left() {},
  })
  const told: number[] = []
  const socket = new Socket()
  socket.write = () => told.push(now) > 0
  socket.resume = () => socket
  tarpit.hold(crowd.enter(socket, 1, 'a', now), 'drip', 3_600_000)
  for (; now < 1_000_000; now += TICK_MS) vi.advanceTimersByTime(TICK_MS)
  return told
}

test('the first drip comes at once, and pauses vary within the jitter', () => {
  const told = dripsOf()
  expect(told[0]).toBe(0)
  const pauses = told.slice(1).map((at, i) => at - (told[i] as number))
  for (const pause of pauses) {
    expect(pause).toBeGreaterThanOrEqual(7000)
    expect(pause).toBeLessThanOrEqual(13_000 + tickMsFor(10_000))
  }
  expect(pauses.length).toBeGreaterThan(70)
  expect(new Set(pauses).size).toBeGreaterThan(15)
})

test('no two tarpits have the same pauses, one after the other', () => {
  expect(dripsOf()).not.toEqual(dripsOf())
})

test('where the real MX takes its time to greet, so does the first drip', () => {
  const late = [6000, 60_000].map((greetingMs) => dripsOf(greetingMs)[0] as number)
  for (const [i, ms] of [6000, 10_000].entries()) {
    expect(late[i]).toBeGreaterThanOrEqual(ms)
    expect(late[i]).toBeLessThanOrEqual(ms + tickMsFor(10_000) + TICK_MS)
  }
})

test('of many whose turn it is some are dripped to, and others of the house have their turn before the rest', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  onTestFinished(() => void vi.useRealTimers())
  let [now, told] = [0, 0]
  const crowd = new Crowd()
  const tarpit = new Tarpit({ name: 'mx9', dripMs: 1000, crowd, now: () => now, keeps: () => true, left() {} })
  for (let who = 0; who < 200; who++) {
    const socket = new Socket()
    socket.write = () => ++told > 0
    socket.resume = () => socket
    tarpit.hold(crowd.enter(socket, who, 'a', now), 'drip', 3_600_000)
  }
  const turns = [told]
  now += 1000
  vi.advanceTimersByTime(tickMsFor(1000))
  for (turns.push(told); told < 400; turns.push(told)) await new Promise((resolve) => setImmediate(resolve))
  expect(turns).toEqual([200, 264, 328, 392, 400])
})

type PitOptions = { dripMs?: number; keeps?: (who: Who) => boolean }

/** A tarpit and a server whose connections go there. */
async function makePit(isBare: boolean, options: PitOptions) {
  const visits: Visit[] = []
  const goings = new Map<Visit, () => void>()
  const goneBy = new Map<Visit, Promise<void>>()
  const crowd = new Crowd()
  const { server, call } = await door()
  const lines = isBare ? (bare() as Bare) : undefined
  const tarpit = new Tarpit({
    name: 'mx9.example.test',
    dripMs: 1000,
    crowd,
    keeps: () => true,
    ...options,
    now: () => performance.now(),
    bare: lines,
    left: (visit) => goings.get(visit)?.(),
  })
  onTestFinished(() => {
    server.close()
    for (const visit of visits) tarpit.letGo(visit, visit.outcome)
    tarpit.close()
  })
  const hold = async (form: 'drip' | 'silent', lifeMs: number, network = '192.0.2.0/24', who = 1): Promise<Visitor> => {
    const accepted = once(server, 'connection') as Promise<[Socket]>
    const visitor = call()
    const [[socket]] = await Promise.all([accepted, visitor.connected])
    const line = lines ? lines.undress(socket) : socket
    if (line === undefined) throw new Error('no bare line')
    const visit = crowd.enter(line, who, network, performance.now())
    visits.push(visit)
    goneBy.set(visit, new Promise((resolve) => goings.set(visit, resolve)))
    if (!lines) {
      setVisit(socket, visit)
      socket.on('error', () => {})
      socket.on('close', () => {
        visit.bytesIn = socket.bytesRead
        tarpit.gone(visit)
        goings.get(visit)?.()
      })
    }
    tarpit.hold(visit, form, lifeMs)
    return visitor
  }
  const gone = (nth: number) => goneBy.get(visits[nth] as Visit)
  return { hold, tarpit, crowd, visits, gone, outcomes: () => visits.map(({ outcome }) => outcome) }
}
