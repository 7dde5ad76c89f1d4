import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { SMTPServer } from 'smtp-server'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { Probe } from '../../src/core/evidence.ts'
import { QUESTION_GAP_MS } from '../../src/core/outage.ts'
import { type Address, lookAt } from '../../src/watch/greeting.ts'
import type { Exchange } from '../../src/watch/exchanges.ts'
import { RealMx, type RealMxOptions } from '../../src/watch/real-mx.ts'
import { SHUT } from '../doors.ts'

/** A server that greets as it is told. */
async function mx(greet: (socket: Socket) => void): Promise<Address> {
  const server = createServer((socket) => greet(socket.on('error', () => {})))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  return { host: '127.0.0.1', port: (server.address() as AddressInfo).port }
}

/** One that answers each line in turn, and keeps what it heard. */
async function script(
  ...replies: string[]
): Promise<Address & { readonly heard: string[]; readonly left: Promise<void> }> {
  const heard: string[] = []
  const left = Promise.withResolvers<void>()
  const address = await mx((socket) => {
    const unsaid = [...replies]
    socket.on('close', () => left.resolve())
    const next = () => {
      const reply = unsaid.shift()
      if (reply !== undefined) socket.write(`${reply}\r\n`)
    }
    socket.on('data', (bytes) => {
      for (const line of bytes.toString().split('\r\n').slice(0, -1)) {
        heard.push(line)
        next()
      }
    })
    next()
  })
  return { ...address, heard, left: left.promise }
}

const down = async (): Promise<Address> => SHUT
const up = () => script('220 mx.example.test', '250 mx.example.test', '250 ok')
const one = (address: Address, name = 'mx.example.test'): Exchange => ({ name, addresses: [address] })
const FULL = { full: true, lookMs: 20_000 }

describe('one look', () => {
  test.each([
    ['up', '220 mx.example.test ESMTP'],
    ['up', '220-mx.example.test'],
    ['later', '421 4.3.2 too busy'],
    ['later', '450-not\r\n450 now'],
    ['unsure', '554 go away'],
    ['unsure', 'HTTP/1.1 200 OK'],
    ['unsure', '220'.repeat(500)],
  ] as const)('says %s to a greeting of %j', async (outcome, greeting) => {
    expect((await lookAt(await script(greeting), { full: false })).outcome).toBe(outcome)
  })

  test.each<[string, string[], string[]]>([
    ['up', ['220 mx', '250 mx', '250 ok'], ['EHLO [127.0.0.1]', 'MAIL FROM:<>', 'QUIT']],
    ['later', ['220 mx', '250 mx', '452 4.3.1 disk full'], ['EHLO [127.0.0.1]', 'MAIL FROM:<>']],
    ['later', ['220 mx', '421 too many'], ['EHLO [127.0.0.1]']],
    ['later', ['220-mx\r\n421 too many'], []],
    [
      'up',
      ['220 mx', '250 mx', '530 5.7.0 Must issue a STARTTLS command first'],
      ['EHLO [127.0.0.1]', 'MAIL FROM:<>', 'QUIT'],
    ],
    ['up', ['220 mx', '554 not you'], ['EHLO [127.0.0.1]', 'QUIT']],
    ['unsure', ['220 mx', '250'.repeat(400)], ['EHLO [127.0.0.1]']],
    ['unsure', ['220 mx', Array.from({ length: 70 }, () => '250-X').join('\r\n')], ['EHLO [127.0.0.1]']],
  ])('in full: %s after %j', async (outcome, replies, said) => {
    const server = await script(...replies)
    const look = await lookAt(server, FULL)
    expect(look.outcome, look.because).toBe(outcome)
    await server.left
    expect(server.heard).toEqual(said)
  })

  test('tells the silence of an open connection from nobody there', async () => {
    const silent = await mx(() => {})
    expect(await lookAt(silent, { full: false, lookMs: 300 })).toMatchObject({
      outcome: 'unsure',
      because: 'no greeting within 300 ms',
    })
    expect(await lookAt(await down(), FULL)).toMatchObject({ outcome: 'down', because: 'ECONNREFUSED' })
    expect(await lookAt(await mx((socket) => socket.end()), FULL)).toMatchObject({ outcome: 'down' })
    expect(await lookAt(await mx((socket) => socket.resetAndDestroy()), FULL)).toMatchObject({ outcome: 'down' })
    const halfway = await mx((socket) => socket.end('220 mx\r\n'))
    expect(await lookAt(halfway, FULL)).toMatchObject({ outcome: 'unsure' })
    const stuck = await script('220 mx')
    expect(await lookAt(stuck, { full: true, lookMs: 100 })).toMatchObject({ outcome: 'unsure' })
  })

  test('knows a server that greets in pieces by the first one, and keeps how it spoke', async () => {
    const pieces = await mx((socket) => socket.write('220-mx.example.test\r\n'))
    expect((await lookAt(pieces, { full: false })).outcome).toBe('up')
    const { looks } = await lookAt(
      await script('220-mx one\r\n220 two', '250-mx\r\n250-SIZE 1000\r\n250 8BITMIME', '250 ok'),
      FULL,
    )
    expect(looks).toEqual({
      banner: 'mx one',
      ehlo: ['SIZE 1000', '8BITMIME'],
      greetingMs: expect.any(Number),
    })
  })

  test('of a real SMTP server: takes mail, names no recipient, leaves with QUIT', async () => {
    const named: string[] = []
    const left = Promise.withResolvers<void>()
    const server = new SMTPServer({
      banner: 'ready',
      disabledCommands: ['AUTH', 'STARTTLS'],
      onRcptTo: ({ address }, _session, answer) => (named.push(address), answer()),
      onClose: () => left.resolve(),
    })
    server.listen(0, '127.0.0.1')
    await once(server.server, 'listening')
    onTestFinished(() => new Promise<void>((resolve) => server.close(() => resolve())))
    const { port } = server.server.address() as AddressInfo
    expect(await lookAt({ host: '127.0.0.1', port }, FULL)).toMatchObject({
      outcome: 'up',
      because: 'takes mail',
      looks: { ehlo: expect.arrayContaining(['8BITMIME']) },
    })
    await left.promise
    expect(named).toEqual([])
  })
})

/** What the witness reports, look by look. */
function watch(exchanges: readonly Exchange[], options: Partial<RealMxOptions> = {}) {
  const probes: Probe[] = []
  const changes: [string | undefined, Probe['outcome']][] = []
  let heard = () => {}
  let now = 1000
  const witness = new RealMx({
    exchanges: () => exchanges,
    everyMs: 3_600_000,
    random: () => 0.5,
    askedAt: () => undefined,
    lookMs: 20_000,
    changed: ({ mx, outcome }) => changes.push([mx, outcome]),
    now: () => ++now,
    report: async (probe) => {
      probes.push(probe)
      heard()
    },
    ...options,
  })
  onTestFinished(() => witness.close())
  return { witness, probes, changes, next: () => new Promise<void>((resolve) => (heard = resolve)) }
}

describe('the witness', () => {
  type Server = () => Promise<Address>
  const later: Server = () => script('421 4.3.2 too busy')
  const unsure: Server = () => script('554 go away')
  test.each<[Probe['outcome'], string, Server[]]>([
    ['up', 'all are up', [up, up]],
    ['partial', 'one is away', [down, up]],
    ['partial', 'one says "later"', [up, later]],
    ['partial', 'one cannot be told', [up, unsure]],
    ['later', 'none takes mail, one says so', [down, later]],
    ['unsure', 'one cannot be told and none is up', [down, unsure]],
    ['down', 'none is there', [down, down]],
    ['unsure', 'none is known', []],
  ])('says %s when %s', async (outcome, _, servers) => {
    const addresses = await Promise.all(servers.map((each) => each()))
    const { witness, probes } = watch(addresses.map((address, i) => one(address, `mx${i}`)))
    await witness.start()
    expect(probes).toMatchObject([{ type: 'probe', outcome, mx: servers.map((_each, i) => `mx${i}`).join(' ') }])
    expect(witness.outage).toBe(outcome === 'later' || outcome === 'down')
    expect(witness.states.map(({ name }) => name)).toEqual(servers.map((_each, i) => `mx${i}`))
  })

  test('takes an MX for up when one of its addresses is, and for down when it has none', async () => {
    const two = { name: 'mx', addresses: [await down(), await up()] }
    const both = watch([two])
    await both.witness.start()
    expect(both.probes).toMatchObject([{ outcome: 'up' }])
    const none = watch([{ name: 'mx', addresses: [] }])
    await none.witness.start()
    expect(none.witness.states).toMatchObject([{ outcome: 'down', because: 'has no address' }])
  })

  test('says which address it was, unless the MX is named by it', async () => {
    const { witness } = watch([one(SHUT, 'mx'), one(SHUT, '127.0.0.1:1')])
    await witness.start()
    expect(witness.states.map(({ name, because }) => `${name}: ${because}`)).toEqual([
      '127.0.0.1:1: ECONNREFUSED',
      'mx: 127.0.0.1:1 ECONNREFUSED',
    ])
  })

  test('a good probe vouches for the time before it began, a bad one counts from its end', async () => {
    const good = watch([one(await up())])
    await good.witness.start()
    const began = good.witness.found?.since as number
    expect(good.probes[0]?.at).toBeLessThan(began)
    const bad = watch([one(await down())])
    await bad.witness.start()
    expect(bad.probes[0]?.at).toBeGreaterThan(bad.witness.found?.since as number)
  })

  test('looks again soon when evidence waits for it, and tells only what is new', async () => {
    const { witness, probes, changes, next } = watch([one(await script('220 here', '250 here', '250 ok'))])
    await witness.start()
    const second = next()
    witness.nudge()
    witness.nudge()
    await second
    expect(probes.map(({ outcome }) => outcome)).toEqual(['up', 'up'])
    expect(changes).toEqual([
      ['mx.example.test', 'up'],
      [undefined, 'up'],
    ])
    expect(witness.found).toMatchObject({ outcome: 'up' })
    expect(witness.looks).toMatchObject({ banner: 'here' })
  })

  test('a look out of turn does not make up for what the last full one saw', async () => {
    const { witness, probes, next } = watch([one(await script('220 here', '250 here', '452 disk full'))])
    await witness.start()
    const second = next()
    witness.nudge()
    await second
    expect(probes.map(({ outcome }) => outcome)).toEqual(['later', 'later'])
  })

  test('is not deaf while it looks: what arrives then gets a look of its own', async () => {
    let greet = () => {}
    const greeted = new Promise<void>((resolve) => (greet = resolve))
    let calls = 0
    let called = () => {}
    const calling = new Promise<void>((resolve) => (called = resolve))
    const slow = await mx((socket) => {
      calls++
      called()
      void greeted.then(() => socket.write('554 here\r\n'))
    })
    const { witness, probes, next } = watch([one(slow)])
    const started = witness.start()
    await calling
    witness.nudge()
    greet()
    await started
    await next()
    expect([calls, probes.length]).toEqual([2, 2])
  })

  test('a lone MX that only we are not greeted by is up while it asks us about clients', async () => {
    const refusing = one(await unsure())
    const asked = watch([refusing], { askedAt: () => 900 })
    await asked.witness.start()
    expect(asked.probes).toMatchObject([{ outcome: 'up' }])
    const longAgo = watch([refusing], { now: () => 900 + QUESTION_GAP_MS + 1, askedAt: () => 900 })
    await longAgo.witness.start()
    expect(longAgo.probes).toMatchObject([{ outcome: 'unsure' }])
    const oneOfTwo = watch([refusing, one(await down(), 'other')], { askedAt: () => 900 })
    await oneOfTwo.witness.start()
    expect(oneOfTwo.probes).toMatchObject([{ outcome: 'unsure' }])
    const gone = watch([one(await down())], { askedAt: () => 900 })
    await gone.witness.start()
    expect(gone.probes).toMatchObject([{ outcome: 'down' }])
  })

  test('an MX that is not to be watched any more is forgotten', async () => {
    const servers = [one(await up(), 'a'), one(await down(), 'b')]
    let listed = servers
    const { witness, probes, next } = watch([], { exchanges: () => listed })
    await witness.start().then(() => undefined)
    listed = servers.slice(0, 1)
    const second = next()
    witness.nudge()
    await second.catch(() => undefined)
    expect(witness.states.map(({ name }) => name)).toEqual(['a'])
    expect(probes.map(({ outcome }) => outcome)).toEqual(['partial', 'up'])
  })
})
