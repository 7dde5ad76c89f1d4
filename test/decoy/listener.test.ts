import { describe, expect, test } from 'vitest'
import { type Client, parseClient } from '../../src/core/client.ts'
import { whoOf } from '../../src/decoy/crowd.ts'
import type { Regard } from '../../src/decoy/happenings.ts'
import { BRISK, HONEST, type House, networks, openHouse, PROXIED, repliesIn, type Visitor } from './visitors.ts'

/** A greeting that nobody waits for here. */
const SLOW = { greetingMs: 60_000, replyMs: 60_000, byteMs: 1000, dripMs: 1000 }
const BLAST = 'EHLO mail.sender.example\r\nMAIL FROM:<a@sender.example>\r\nRCPT TO:<postbox@example.test>\r\nQUIT\r\n'

describe('while the real MX is away', () => {
  test.each<Regard>(['stranger', 'suspect'])(
    'a %s at the backup hears 421 at once, and a clean close',
    async (regard) => {
      const house = await openHouse({ outage: () => true, regard: () => regard, pace: SLOW })
      const visitor = house.call()
      visitor.send('EHLO mail.sender.example')
      expect(await visitor.ended).toBe('closed')
      expect(repliesIn(visitor.heard)).toEqual(['421 4.3.2 All server ports are busy\r\n'])
      await house.empty()
      expect(house.kinds).toEqual(['contact'])
      expect(house.told('closed')).toMatchObject([{ outcome: 'later' }])
      expect(house.told('closed')[0]?.heldMs).toBeLessThan(SLOW.greetingMs / 4)
    },
  )

  test('an offender is held all the same, and the primary never says a word', async () => {
    const held = await openHouse({ outage: () => true, regard: () => 'offender' })
    const bot = held.call()
    await bot.hears(4)
    expect(bot.heard).toMatch(/^220-/)
    const primary = await openHouse({ role: 'primary', outage: () => true })
    const visitor = primary.call()
    expect([await visitor.ended, visitor.heard]).toEqual(['reset', ''])
  })

  test('who does not hang up after it is let go all the same; and when the real MX is back there is a dialogue again', async () => {
    let away = true
    const house = await openHouse({ outage: () => away })
    const { socket } = house.call('proxy')
    socket.removeAllListeners('end')
    socket.write(PROXIED)
    await house.until(() => house.told('closed').length === 1)
    expect(house.decoy.counts().connections).toBe(0)
    away = false
    const honest = house.call()
    expect((await honest.walk(...HONEST)).at(-2)).toMatch(/^451 /)
  })
})

describe('at the primary', () => {
  test('a stranger is reset before the first byte', async () => {
    const house = await openHouse({ role: 'primary' })
    const visitor = house.call()
    expect(await visitor.ended).toBe('reset')
    expect(visitor.heard).toBe('')
    await house.empty()
    expect(house.kinds).toEqual(['contact'])
    expect(house.happenings).toEqual([
      { what: 'opened', role: 'primary', via: 'direct', regard: 'stranger' },
      { what: 'closed', role: 'primary', outcome: 'reset', heldMs: expect.any(Number), bytesIn: 0, bytesOut: 0 },
    ])
  })

  test('a suspect waits in silence, then is reset', async () => {
    const house = await openHouse({ role: 'primary', regard: () => 'suspect', limits: { suspectHoldMs: 500 } })
    const visitor = house.call()
    visitor.send('EHLO mail.sender.example')
    expect(await visitor.ended).toBe('reset')
    expect(visitor.heard).toBe('')
    await house.empty()
    expect(house.kinds).toEqual(['contact'])
    const [closed] = house.told('closed')
    expect(closed?.outcome).toBe('held')
    expect(closed?.heldMs).toBeGreaterThanOrEqual(500)
    expect(closed?.heldMs).toBeLessThan(10_000)
    expect(closed).toMatchObject({ bytesIn: 26, bytesOut: 0 })
  })

  test('an offender is dripped to', async () => {
    const house = await openHouse({ role: 'primary', regard: () => 'offender', limits: { tarpitMs: 400 } })
    const visitor = house.call()
    expect(await visitor.ended).toBe('reset')
    expect(visitor.heard).toMatch(/^220-/)
    await house.empty()
    expect(house.told('closed')[0]?.outcome).toBe('tarpit')
  })
})

describe('at the backup', () => {
  test.each(['stranger', 'suspect'] as const)('a %s is talked to', async (regard) => {
    const house = await openHouse({ regard: () => regard })
    const replies = await house.call().walk(...HONEST)
    expect(replies.map((reply) => reply?.slice(0, 3))).toEqual(['220', '250', '250', '451', '221'])
    await house.empty()
    expect(house.told('opened')[0]?.regard).toBe(regard)
  })

  test('an offender never gets a dialogue, whatever it says', async () => {
    const house = await openHouse({ regard: () => 'offender', limits: { tarpitMs: 1000 } })
    const visitor = house.call()
    visitor.socket.write(BLAST)
    expect(await visitor.ended).toBe('reset')
    expect(visitor.heard).toMatch(/^220-mx9/)
    expect(repliesIn(visitor.heard)).toEqual([])
    await house.empty()
    const [closed] = house.told('closed')
    expect(closed).toMatchObject({ outcome: 'tarpit', bytesIn: BLAST.length, bytesOut: visitor.heard.length })
  })
})

test('who is here is told: in a dialogue or held, and since when', async () => {
  let regard: Regard = 'stranger'
  const house = await openHouse({ regard: () => regard })
  const talking = house.call()
  await talking.reply()
  regard = 'offender'
  const held = house.call()
  await house.until(() => house.decoy.counts().held === 1)
  const guests = house.decoy.guests(10)
  expect(guests.map(({ client, role, outcome }) => [client, role, outcome])).toEqual([
    ['127.0.0.1', 'backup', 'dialogue'],
    ['127.0.0.1', 'backup', 'tarpit'],
  ])
  // The house's clock stands at 1000; the one that measures spans goes on.
  for (const { since } of guests) expect(since).toBeLessThanOrEqual(1000)
  // Of one client all are found, and so many of them told.
  expect(house.decoy.ofClient(whoOf(parseClient('127.0.0.1') as Client), 1)).toMatchObject({
    count: 2,
    some: [{ client: '127.0.0.1', role: 'backup', outcome: 'tarpit' }],
  })
  expect(house.decoy.ofClient(whoOf(parseClient('127.0.0.2') as Client), 9)).toEqual({ count: 0, some: [] })
  for (const { socket } of [talking, held]) socket.destroy()
})

describe('a known offender', () => {
  test('comes again and again: one line tells of all its visits', async () => {
    const house = await openHouse({ regard: () => 'offender' })
    const visitors = Array.from({ length: 20 }, () => house.call())
    await house.until(() => house.decoy.counts().held === 20)
    expect(house.evidence).toEqual([])
    await house.decoy.close()
    await Promise.all(visitors.map(({ ended }) => ended))
    expect(house.evidence).toEqual([
      { type: 'evidence', at: 1000, client: '127.0.0.1', role: 'backup', kind: 'contact', times: 20 },
    ])
  })

  test('hears what the settings say, else what the real MX says, and may hear the replies of a slow server', async () => {
    const tarpit = { form: 'replies', jitter: 0.5, look: { banner: undefined, ehlo: ['SIZE 1000'] } } as const
    const looksLike = () => ({ banner: 'mx.example.org ESMTP Exim', ehlo: ['CHUNKING'] })
    const house = await openHouse({ regard: () => 'offender', tarpit, looksLike, pace: { ...BRISK, dripMs: 50 } })
    const visitor = house.call()
    expect(await visitor.reply()).toBe('220 mx9.example.test ESMTP Exim')
    expect(await visitor.ask('EHLO bot.example')).toBe('250-mx9.example.test\r\n250 SIZE 1000')
    expect(await visitor.ask('MAIL FROM:<a@bot.example>')).toBe('451 Temporary local problem - please try later')
    expect(await visitor.ask('QUIT')).toBe('221 mx9.example.test closing connection')
    expect(await visitor.ended).toBe('reset')
  })

  test('is let go at its next turn once we think better of it, and only then', async () => {
    let regard: Regard = 'offender'
    const house = await openHouse({ regard: () => regard })
    const visitor = house.call()
    await visitor.hears(8)
    regard = 'stranger'
    await visitor.hears(16)
    house.decoy.reconsider()
    expect(await visitor.ended).toBe('reset')
    await house.empty()
    expect(house.told('closed').map(({ outcome }) => outcome)).toEqual(['released'])
  })

  test('has nine tenths of the room: beyond that the longest held goes', async () => {
    const house = await openHouse({ regard: () => 'offender', limits: { connections: 10 } })
    const visitors: Visitor[] = []
    for (let come = 1; come <= 12; come++) {
      visitors.push(house.call())
      await house.until(() => house.told('opened').length === come)
    }
    expect(await Promise.all(visitors.slice(0, 3).map(({ ended }) => ended))).toEqual(['reset', 'reset', 'reset'])
    await house.until(() => house.told('closed').length === 3)
    expect(house.told('closed').map(({ outcome }) => outcome)).toEqual(['shed', 'shed', 'shed'])
    expect(house.decoy.counts()).toMatchObject({ held: 9, connections: 9 })
  })
})

describe('behind a proxy', () => {
  test('header and blast in one packet: the client is known, its early talk is seen, its RCPT gets 451', async () => {
    const house = await openHouse()
    const visitor = house.call('proxy')
    visitor.socket.write(PROXIED + BLAST)
    expect(await visitor.ended).toBe('closed')
    expect(repliesIn(visitor.heard).map((reply) => reply.slice(0, 3))).toEqual(['220', '250', '250', '451', '221'])
    await house.empty()
    expect(house.kinds).toEqual(['contact', 'early-talk', 'pipelining', 'recipient'])
    expect(house.detailOf('recipient')).toBe('postbox@example.test')
    for (const evidence of house.evidence)
      expect(evidence).toMatchObject({ client: '192.0.2.7', where: '203.0.113.25:25' })
    expect(new Set(house.evidence.map(({ session }) => session)).size).toBe(1)
    expect(house.told('opened')[0]?.via).toBe('proxy')
  })

  test('a header in pieces of one byte, version 2 and IPv6, and an honest client after it', async () => {
    const house = await openHouse()
    const visitor = house.call('proxy')
    const signature = '0d0a0d0a000d0a515549540a'
    const addresses = '20010db8000000010000000000000007' + '20010db8000000000000000000000025'
    const header = Buffer.from(`${signature}21210024${addresses}c0010019`, 'hex')
    for (const byte of header) {
      visitor.socket.write(Buffer.from([byte]))
      await new Promise((resolve) => setImmediate(resolve))
    }
    await visitor.walk(...HONEST)
    await house.empty()
    expect(house.kinds).toEqual(['contact', 'recipient'])
    expect(house.evidence[1]).toMatchObject({ client: '2001:db8:0:1::7', where: '[2001:db8::25]:25' })
  })

  test('our own address, in a HELO, is the one that the header names', async () => {
    const house = await openHouse()
    const visitor = house.call('proxy')
    visitor.socket.write(PROXIED)
    await visitor.walk('EHLO [203.0.113.25]', 'QUIT')
    await house.empty()
    expect(house.detailOf('false-helo')).toBe('our own address: [203.0.113.25]')
  })

  test.each([
    ['UNKNOWN', Buffer.from('PROXY UNKNOWN\r\n')],
    ['LOCAL', Buffer.from('0d0a0d0a000d0a515549540a20000000', 'hex')],
  ])('%s is the proxy itself', async (_name, header) => {
    const house = await openHouse()
    const visitor = house.call('proxy')
    visitor.socket.write(header)
    await visitor.walk('QUIT')
    await house.empty()
    const where = `127.0.0.1:${house.port('proxy')}`
    expect(house.evidence).toMatchObject([{ kind: 'contact', client: '127.0.0.1', where }])
  })

  test.each([
    ['a peer that is no proxy of ours', PROXIED, { proxyFrom: networks('192.0.2.0/24') }, 'peer', undefined],
    ['a bad header', 'EHLO mail.sender.example\r\n', {}, 'proxy-header', 'it does not begin with a PROXY header'],
  ] as const)('%s is reset, and is no evidence about anybody', async (_name, text, options, reason, because) => {
    const house = await openHouse(options)
    const visitor = house.call('proxy')
    visitor.socket.write(text)
    expect(await visitor.ended).toBe('reset')
    expect(house.told('refused')).toEqual([{ what: 'refused', role: 'backup', reason }])
    const misread = { what: 'misread', role: 'backup', peer: '127.0.0.1', where: `127.0.0.1:${house.port('proxy')}` }
    expect(house.told('misread')).toEqual(because === undefined ? [] : [{ ...misread, because }])
    expect(house.evidence).toEqual([])
    expect(house.decoy.counts().connections).toBe(0)
  })

  test('a header is awaited as long as the settings say; a proxy that hangs up before is no trouble', async () => {
    const houses = [await openHouse(), await openHouse({ limits: { headerMs: 300 } })]
    const [leaving, silent] = houses.map((house) => house.call('proxy')) as [Visitor, Visitor]
    leaving.socket.end('PRO')
    await leaving.ended
    expect(await silent.ended).toBe('reset')
    const told = houses.map((house) => [...house.told('misread'), ...house.told('refused')])
    expect(told).toMatchObject([
      [{ reason: 'gone' }],
      [{ because: 'no header within 300 ms' }, { reason: 'proxy-silence' }],
    ])
    for (const house of houses) {
      expect(house.evidence).toEqual([])
      expect(house.decoy.counts()).toMatchObject({ connections: 0, waiting: 0 })
    }
  })
})

describe('caps', () => {
  test('too many from one client: reset, and still a contact', async () => {
    const house = await openHouse({ limits: { perClient: 2 } })
    const [one, two] = [house.call(), house.call()]
    await Promise.all([one.reply(), two.reply()])
    expect(await house.call().ended).toBe('reset')
    expect(house.told('refused')).toEqual([{ what: 'refused', role: 'backup', reason: 'client' }])
    await house.decoy.close()
    expect(contacts(house)).toBe(3)
  })

  test('too many from one network: reset, and still a contact', async () => {
    const house = await openHouse({ limits: { perNetwork: 2 } })
    const [one, two] = [house.call(), house.call()]
    await Promise.all([one.reply(), two.reply()])
    const three = house.call()
    expect(await three.ended).toBe('reset')
    expect(house.told('refused')).toEqual([{ what: 'refused', role: 'backup', reason: 'network' }])

    // Another network has room, and so has this one when somebody leaves.
    const elsewhere = house.call('proxy')
    elsewhere.socket.write(PROXIED)
    expect(await elsewhere.reply()).toMatch(/^220 /)
    await one.ask('QUIT')
    await house.until(() => house.told('closed').length === 1)
    expect(await house.call().reply()).toMatch(/^220 /)
    await house.decoy.close()
    expect(contacts(house)).toBe(5)
  })

  test('the first contact of a client that finds no room is told at once: the order of contacts is what tells', async () => {
    const house = await openHouse({ limits: { perNetwork: 1 } })
    for (const [host, ended] of [
      [1, undefined],
      [2, 'reset'],
      [2, 'reset'],
    ] as const) {
      const visitor = house.call('proxy')
      visitor.socket.write(`PROXY TCP4 192.0.2.${host} 203.0.113.25 49153 25\r\n`)
      if (ended) expect(await visitor.ended).toBe(ended)
      else expect(await visitor.reply()).toMatch(/^220 /)
    }
    expect(house.evidence.map(({ client, times }) => [client, times])).toEqual([
      ['192.0.2.1', undefined],
      ['192.0.2.2', undefined],
    ])
    await house.decoy.close()
    expect(contacts(house)).toBe(3)
  })

  test('too many in all: reset, when nobody can be let go', async () => {
    const house = await openHouse({ limits: { connections: 2 } })
    const [one, two] = [house.call(), house.call()]
    await Promise.all([one.reply(), two.reply()])
    expect(await house.call().ended).toBe('reset')
    expect(house.told('refused').map(({ reason }) => reason)).toEqual(['total'])
    await house.decoy.close()
    expect(contacts(house)).toBe(3)
  })

  test('full of dialogues of one network: who comes from another takes the place of the longest', async () => {
    const house = await openHouse({ limits: { connections: 3 } })
    const crowd = [house.call(), house.call(), house.call()] as const
    for (const one of crowd) await one.reply()
    const other = house.call('proxy')
    other.socket.write(PROXIED)
    expect(await other.reply()).toMatch(/^220 /)
    expect(await crowd[0].ended).toBe('reset')
    await house.until(() => house.told('closed').length === 1)
    expect(house.told('closed')).toMatchObject([{ outcome: 'shed' }])
    expect(house.told('ended')).toMatchObject([{ session: { outcome: 'shed' } }])
    expect(house.decoy.counts()).toMatchObject({ connections: 3, dialogues: 3 })
    // Two of the one, one of the other: a second of the other is not worth a third of the one.
    expect(await house.call().ended).toBe('reset')
    expect(house.told('refused').map(({ reason }) => reason)).toEqual(['total'])
    expect(house.kinds).not.toContain('hang-up')
  })

  test('those who owe us a header count, too', async () => {
    const house = await openHouse({ limits: { connections: 1 } })
    const one = house.call('proxy')
    await one.connected
    expect(await house.call('proxy').ended).toBe('reset')
    expect(house.told('refused')).toEqual([{ what: 'refused', role: 'backup', reason: 'total' }])
    one.socket.write(PROXIED)
    expect(await one.reply()).toMatch(/^220 /)
  })

  test('a stranger takes the place of a held offender', async () => {
    let regard: Regard = 'offender'
    const house = await openHouse({ regard: () => regard, limits: { connections: 2 } })
    const [one, two] = [house.call(), house.call()]
    await house.until(() => house.decoy.counts().held === 2)
    regard = 'stranger'
    const replies = await house.call().walk(...HONEST)
    expect(replies[3]).toMatch(/^451 /)
    await Promise.race([one.ended, two.ended])
    await house.until(() => house.told('closed').length === 2)
    expect(
      house
        .told('closed')
        .map(({ outcome }) => outcome)
        .toSorted(),
    ).toEqual(['dialogue', 'shed'])
    expect(house.told('refused')).toEqual([])
    expect(house.decoy.counts()).toMatchObject({ connections: 1, waiting: 0, held: 1, dialogues: 0 })
  })

  test('a dialogue ends at its deadline, for one that idles, one that trickles, and one that never reads', async () => {
    const house = await openHouse({ limits: { dialogueMs: 700 } })
    const [idle, slow, deaf] = [house.call(), house.call(), house.call()]
    await Promise.all([idle.reply(), slow.reply(), deaf.reply()])
    const trickle = setInterval(() => slow.socket.write('N'), 20)
    deaf.socket.pause()
    const flood = Buffer.from('NOOP\r\n'.repeat(100_000))
    for (let i = 0; i < 10; i++) deaf.socket.write(flood)
    expect(await idle.ended).toBe('reset')
    expect(await slow.ended).toBe('reset')
    clearInterval(trickle)
    await house.empty()
    deaf.socket.resume()
    expect(await deaf.ended).toBe('reset')
    expect(house.told('closed').map(({ outcome }) => outcome)).toEqual(['cut', 'cut', 'cut'])
    for (const { heldMs } of house.told('closed')) expect(heldMs).toBeLessThan(10_000)
    // Being cut is no hang-up of theirs.
    expect(house.kinds).not.toContain('hang-up')
  })
})

/** However many lines tell of them. */
function contacts({ evidence }: House): number {
  return evidence.reduce((sum, { kind, times = 1 }) => sum + (kind === 'contact' ? times : 0), 0)
}

test('close resets everyone and settles when they are gone', async () => {
  let regard: Regard = 'stranger'
  const house = await openHouse({ regard: () => regard })
  const talking = house.call()
  await talking.reply()
  regard = 'offender'
  const held = house.call()
  const waiting = house.call('proxy')
  waiting.socket.write('PROXY ')
  await house.until(() => house.decoy.counts().held === 1)
  await waiting.connected
  await house.decoy.close()
  expect(await Promise.all([talking.ended, held.ended, waiting.ended])).toEqual(['reset', 'reset', 'reset'])
  await house.empty()
  expect(
    house
      .told('closed')
      .map(({ outcome }) => outcome)
      .toSorted(),
  ).toEqual(['cut', 'tarpit'])
  expect(house.decoy.counts()).toEqual({ connections: 0, waiting: 0, held: 0, dialogues: 0, hereMs: 0 })
  expect(house.kinds).not.toContain('hang-up')
})

test('a decoy that never listened closes at once', async () => {
  const house = await openHouse()
  house.decoy.server('direct')
  await house.decoy.close()
  await house.decoy.close()
  expect(house.decoy.role).toBe('backup')
})
