/**
 * Clients that mean harm, on real sockets: each meets a bound, each is counted, and whoever is unknown is served meanwhile.
 */
import { describe, expect, test } from 'vitest'
import { type Bare, bare } from '../../src/libc/bare.ts'
import type { Regard } from '../../src/decoy/happenings.ts'
import { BRISK, HONEST, type House, openHouse, type Options, type Visitor } from './visitors.ts'

const MEGABYTE = 1 << 20

/** Held as an offender, until a stranger is wanted. */
async function makeTarpit(options: Options = {}) {
  let regard: Regard = 'offender'
  const house = await openHouse({ regard: () => regard, ...options })
  const hold = async () => {
    const visitor = house.call()
    await visitor.hears(4)
    return visitor
  }
  const stranger = async () => {
    regard = 'stranger'
    expect((await house.call().walk(...HONEST))[3]).toMatch(/^451 /)
  }
  return { house, hold, stranger }
}

const outcomes = (house: House) => house.told('closed').map(({ outcome }) => outcome)

describe.each([
  ['bare', bare() as Bare],
  ["on sockets of Node's", undefined],
])('in the tarpit, %s:', (_, lines) => {
  const tarpit = (options: Options = {}) => makeTarpit({ bare: lines, ...options })

  test('who never reads: what waits for it does not grow, and its time ends', async () => {
    const { house, hold } = await tarpit({ limits: { tarpitMs: 1500 }, pace: { ...BRISK, dripMs: 50 } })
    const visitor = await hold()
    visitor.socket.pause()
    await house.empty()
    const [closed] = house.told('closed')
    expect(closed).toMatchObject({ outcome: 'tarpit' })
    // Four bytes a drip, whatever the client does.
    expect(closed?.bytesOut).toBeLessThan(4 * (1500 / 50 + 2))
  })

  test('who closes its side, or resets, is gone at once', async () => {
    const { house, hold } = await tarpit()
    const [closing, resetting] = [await hold(), await hold()]
    closing.socket.end()
    resetting.socket.resetAndDestroy()
    await house.empty()
    expect(outcomes(house)).toEqual(['tarpit', 'tarpit'])
    expect(house.decoy.counts()).toMatchObject({ held: 0, connections: 0 })
  })

  test('who sends a byte now and then for ever is held no longer than anybody', async () => {
    const { house, hold } = await tarpit({ limits: { tarpitMs: 600 } })
    const visitor = await hold()
    const trickle = setInterval(() => visitor.socket.write('x'), 50)
    expect(await visitor.ended).toBe('reset')
    clearInterval(trickle)
    await house.empty()
    expect(house.told('closed')[0]).toMatchObject({ outcome: 'tarpit' })
    expect(house.told('closed')[0]?.heldMs).toBeLessThan(10_000)
  })

  test.each(['greeting', 'replies'] as const)(
    'who pours 20 MB without a line end is let go after one (%s)',
    async (form) => {
      const tarpitOptions = { form, jitter: 0, look: { banner: undefined, ehlo: undefined } }
      const { house, hold, stranger } = await tarpit({ tarpit: tarpitOptions })
      const visitor = await hold()
      const block = Buffer.alloc(MEGABYTE, 'x')
      for (let i = 0; i < 20; i++) visitor.socket.write(block)
      expect(await visitor.ended).toBe('reset')
      await house.empty()
      expect(outcomes(house)).toEqual(['poured'])
      expect(house.told('closed')[0]?.bytesIn).toBeLessThan(2 * MEGABYTE)
      await stranger()
    },
  )
})

describe('in a dialogue', () => {
  test.each([
    ['before the greeting', 300],
    ['after the greeting', 0],
  ])('20 MB without a line end, %s: nothing of it is kept, and it ends', async (_when, greetingMs) => {
    const house = await openHouse({ limits: { dialogueMs: 3000 }, pace: { ...BRISK, greetingMs } })
    const visitor = house.call()
    await (greetingMs > 0 ? visitor.connected : visitor.reply())
    const block = Buffer.alloc(MEGABYTE, 'x')
    for (let i = 0; i < 20; i++) visitor.socket.write(block)
    expect(await visitor.ended).toBe('reset')
    await house.empty()
    expect(outcomes(house)).toEqual(['poured'])
    expect(house.told('ended')[0]?.session.outcome).toBe('poured')
    expect(house.told('closed')[0]?.heldMs).toBeLessThan(10_000)
    expect(house.told('closed')[0]?.bytesIn).toBeLessThan(MEGABYTE)
    // No reply to it accepts anything.
    expect(visitor.heard).not.toMatch(/^(250|354|5\d\d)/m)
  })
})

test('ten thousand connections from one network: no more than its cap are held, and a stranger gets its dialogue', async () => {
  const { house, stranger } = await makeTarpit({ limits: { perNetwork: 50, connections: 100, tarpitMs: 120_000 } })
  const held: Visitor[] = []
  for (let come = 0; come < 10_000; come += 100) {
    const wave = Array.from({ length: 100 }, () => house.call())
    await Promise.all(
      wave.map(async (visitor) => {
        await Promise.race([visitor.hears(1), visitor.ended])
      }),
    )
    held.push(...wave.filter(({ socket }) => !socket.destroyed))
  }
  expect(held).toHaveLength(50)
  expect(house.decoy.counts()).toMatchObject({ held: 50, connections: 50 })
  expect(house.told('refused').filter(({ reason }) => reason === 'network')).toHaveLength(9950)
  // Ten thousand visits of one client are no ten thousand lines.
  expect(house.evidence).toEqual([])
  // All of them are here from one /24, the stranger's own: it has to wait until one of them is gone.
  held[0]?.socket.destroy()
  await house.until(() => house.decoy.counts().held === 49)
  await stranger()
  await house.decoy.close()
  expect(house.evidence.find(({ times }) => times !== undefined)).toMatchObject({ kind: 'contact', times: 10_000 })
})
