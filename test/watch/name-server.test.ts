/** Questions over the wire, to servers that are slow, wrong, or talk nonsense. What a good one says is in test/e2e/lint.test.ts. */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:net'
import packet from 'dns-packet'
import fc from 'fast-check'
import { describe, expect, onTestFinished, test } from 'vitest'
import { lookupAt } from '../../src/watch/name-server.ts'

const NAME = 'example.test'

/** Where an answer is awaited, none is late because a machine is slow; where none comes, none is waited for long. */
const [ANSWERED_MS, UNANSWERED_MS] = [20_000, 250]

/** A UDP socket on a private port, and what asks it. */
async function server(
  hear: (this: Socket, bytes: Buffer, peer: RemoteInfo) => void,
  { host = '127.0.0.1', questionMs = ANSWERED_MS } = {},
) {
  const socket = createSocket('udp4')
  socket.on('message', (bytes, peer) => hear.call(socket, bytes, peer))
  socket.bind(0, host)
  await once(socket, 'listening')
  onTestFinished(() => void socket.close())
  const { port } = socket.address()
  return { port, ask: lookupAt({ servers: [{ host, port }], questionMs }) }
}

function reply(bytes: Buffer, change: Partial<packet.Packet> = {}): Buffer {
  const { id = 0, questions = [] } = packet.decode(bytes)
  const answers: packet.Answer[] = [{ name: NAME, type: 'A', ttl: 300, data: '192.0.2.1' }]
  return packet.encode({ type: 'response', id, questions, answers, ...change })
}

describe('an answer', () => {
  test('is the records of the name that was asked, with their TTL', async () => {
    const { ask } = await server(function (bytes, { port, address }) {
      const answers: packet.Answer[] = [
        { name: 'Example.TEST', type: 'A', ttl: 300, data: '192.0.2.1' },
        { name: 'other.test', type: 'A', ttl: 300, data: '192.0.2.2' },
      ]
      this.send(reply(bytes, { answers }), port, address)
    })
    expect(await ask('EXAMPLE.test', 'A')).toEqual({
      outcome: 'found',
      because: '',
      records: [{ data: '192.0.2.1', ttlSeconds: 300 }],
      aliases: [],
      // It does not say that it is the zone's own.
      isCached: true,
    })
  })

  test('with blanks in a name stays one name', async () => {
    const { ask } = await server(function (bytes, { port, address }) {
      const data = { preference: 5, exchange: 'mx 0.example.test' }
      this.send(reply(bytes, { answers: [{ name: NAME, type: 'MX', ttl: 1, data }] }), port, address)
    })
    expect((await ask(NAME, 'MX')).records.map(({ data }) => data)).toEqual(['5 mx?0.example.test'])
  })

  test('that does not come is waited for so long, twice; then it is said', async () => {
    let asked = 0
    const { ask } = await server(() => void asked++, { questionMs: UNANSWERED_MS })
    expect(await ask(NAME, 'A')).toMatchObject({
      outcome: 'unknown',
      because: `the name server 127.0.0.1 gave no answer within ${UNANSWERED_MS} ms`,
    })
    expect(asked).toBe(2)
  })

  test('to another question, with another number, or that is a question: not believed, and counted', async () => {
    const { ask } = await server(
      function (bytes, { port, address }) {
        const { id = 0 } = packet.decode(bytes)
        const other: packet.Question[] = [{ name: 'other.test', type: 'A', class: 'IN' }]
        for (const change of [{ id: id ^ 1 }, { questions: other }, { type: 'query' as const }])
          this.send(reply(bytes, change), port, address)
      },
      { questionMs: UNANSWERED_MS },
    )
    expect((await ask(NAME, 'A')).because).toBe(
      `the name server 127.0.0.1 gave no answer within ${UNANSWERED_MS} ms; 3 packets came that answer something else`,
    )
  })

  test('by somebody else is not even heard: the true one is', async () => {
    const stranger = createSocket('udp4')
    onTestFinished(() => void stranger.close())
    const { ask } = await server(function (bytes, { port, address }) {
      const forged = reply(bytes, { answers: [{ name: NAME, type: 'A', ttl: 1, data: '198.51.100.1' }] })
      stranger.send(forged, port, address, () => this.send(reply(bytes), port, address))
    })
    expect((await ask(NAME, 'A')).records.map(({ data }) => data)).toEqual(['192.0.2.1'])
  })

  test('cut short is asked for again by TCP; where nobody is, or hangs up, it is unknown', async () => {
    // An address that nobody else uses, so that the port is free for TCP, too.
    const host = `127.53.${process.pid & 255}.${1 + ((process.pid >> 8) % 254)}`
    const { ask, port } = await server(
      function (bytes, { port: to, address }) {
        this.send(reply(bytes, { flags: packet.TRUNCATED_RESPONSE, answers: [] }), to, address)
      },
      { host },
    )
    expect((await ask(NAME, 'A')).because).toBe(
      `the name server ${host} cannot be reached over TCP: nobody listens there (ECONNREFUSED)`,
    )
    const tcp = createServer((socket) => socket.on('error', () => {}).end()).listen(port, host)
    await once(tcp, 'listening')
    onTestFinished(() => void tcp.close())
    expect((await ask(NAME, 'A')).because).toMatch(/hung up over TCP without an answer|over TCP: (ECONNRESET|EPIPE)/)
  })

  test('cannot come from where no datagram can be sent: that is said at once, and the next server is asked', async () => {
    // To everybody: no socket may send there that has not asked for it.
    const nowhere = { host: '255.255.255.255', port: 53 }
    const because =
      /^the name server 255\.255\.255\.255 cannot be reached over UDP: this host .* \((EACCES|ENETUNREACH)\)$/
    expect(await lookupAt({ servers: [nowhere], questionMs: 60_000 })(NAME, 'A')).toMatchObject({
      outcome: 'unknown',
      because: expect.stringMatching(because),
    })
    const { port } = await server(function (bytes, { port: to, address }) {
      this.send(reply(bytes), to, address)
    })
    const two = lookupAt({ servers: [nowhere, { host: '127.0.0.1', port }], questionMs: 60_000 })
    expect(await two(NAME, 'A')).toMatchObject({ outcome: 'found' })
  })

  test('of any bytes is an answer or none, never a crash', async () => {
    let said: readonly Buffer[] = []
    const { ask } = await server(function (bytes, { port, address }) {
      const id = bytes.subarray(0, 2)
      // The right number and our own question in front let the nonsense further in.
      for (const each of said) this.send(Buffer.concat([id, each]), port, address)
      this.send(reply(bytes), port, address)
    })
    const question = packet.encode({ type: 'response', questions: [{ name: NAME, type: 'A' }] })
    const header = fc
      .uint8Array({ minLength: 6, maxLength: 6 })
      .map((counts) => Buffer.concat([Buffer.from([0x80, 0]), Buffer.from([0, 1]), counts, question.subarray(12)]))
    const nonsense = fc.tuple(fc.oneof(header, fc.constant(Buffer.alloc(0))), fc.uint8Array({ maxLength: 80 }))
    await fc.assert(
      fc.asyncProperty(fc.array(nonsense, { maxLength: 4 }), async (all) => {
        said = all.map(([front, rest]) => Buffer.concat([front, rest]))
        const { outcome, records } = await ask(NAME, 'A')
        expect(['found', 'none', 'unknown']).toContain(outcome)
        expect(records.length).toBeLessThanOrEqual(200)
      }),
      { numRuns: 200 },
    )
  })
})

describe('bounds', () => {
  test('aliases that lead on and on, each in an answer of its own, end', async () => {
    let asked = 0
    const { ask } = await server(function (bytes, { port, address }) {
      asked++
      const name = packet.decode(bytes).questions?.[0]?.name ?? ''
      this.send(reply(bytes, { answers: [{ name, type: 'CNAME', ttl: 1, data: `x${asked}.${NAME}` }] }), port, address)
    })
    expect(await ask(NAME, 'A')).toMatchObject({
      outcome: 'unknown',
      because: 'more than 8 aliases, one after the other',
    })
    expect(asked).toBe(9)
  })

  test('all questions together end at a number, and at a time', async () => {
    const { ask, port } = await server(function (bytes, { port: to, address }) {
      this.send(reply(bytes, { answers: [] }), to, address)
    })
    for (let n = 0; n < 500; n++) await ask(NAME, 'A')
    expect((await ask(NAME, 'A')).because).toBe('more than 500 questions')
    const late = lookupAt({ servers: [{ host: '127.0.0.1', port }], signal: AbortSignal.abort() })
    expect((await late(NAME, 'A')).because).toBe('it took too long in all')
  })

  test('what is no name is not asked for', async () => {
    const { ask } = await server(() => expect.unreachable())
    expect((await ask(`${'a'.repeat(64)}.test`, 'A')).because).toMatch(/is no name that DNS could be asked for/)
    expect((await ask('a b.test', 'MX')).because).toBe('a b.test is no name that DNS could be asked for')
  })
})
