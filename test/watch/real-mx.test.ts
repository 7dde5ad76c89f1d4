import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { Probe } from '../../src/core/evidence.ts'
import { RealMx } from '../../src/watch/real-mx.ts'

type Address = { readonly host: string; readonly port: number }

/** A server that greets as it is told. */
async function mx(greet: (socket: Socket) => void): Promise<Address> {
  const server = createServer((socket) => greet(socket.on('error', () => {})))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  return { host: '127.0.0.1', port: (server.address() as AddressInfo).port }
}

async function down(): Promise<Address> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return { host: '127.0.0.1', port }
}

/** What the witness reports, look by look. */
function watch(...addresses: Address[]) {
  const probes: Probe[] = []
  const changes: Probe['outcome'][] = []
  let heard = () => {}
  let now = 1000
  const witness = new RealMx({
    addresses,
    everyMs: 3_600_000,
    changed: (outcome) => changes.push(outcome),
    now: () => ++now,
    report: async (probe) => {
      probes.push(probe)
      heard()
    },
  })
  onTestFinished(() => witness.close())
  return { witness, probes, changes, next: () => new Promise<void>((resolve) => (heard = resolve)) }
}

describe('the witness', () => {
  test.each([
    ['up', '220 mx.example.test ESMTP\r\n'],
    ['up', '220-mx.example.test\r\n220 ESMTP\r\n'],
    ['later', '421 4.3.2 too busy\r\n'],
    ['unsure', '554 go away\r\n'],
    ['unsure', 'HTTP/1.1 200 OK\r\n'],
    ['unsure', `${'x'.repeat(5000)}`],
  ] as const)('says %s to a server that greets with %j', async (outcome, greeting) => {
    const { witness, probes } = watch(await mx((socket) => socket.write(greeting)))
    await witness.start()
    expect(probes).toMatchObject([{ type: 'probe', outcome }])
  })

  test('says down when nobody listens, or the server hangs up without a word', async () => {
    for (const address of [await down(), await mx((socket) => socket.end())]) {
      const { witness, probes } = watch(address)
      await witness.start()
      expect(probes).toMatchObject([{ outcome: 'down' }])
    }
  })

  test('is content with one of several that is up', async () => {
    const { witness, probes } = watch(await down(), await mx((socket) => socket.write('220 here\r\n')))
    await witness.start()
    expect(probes).toMatchObject([{ outcome: 'up' }])
  })

  test('a good probe vouches for the time before it began, a bad one counts from its end', async () => {
    const good = watch(await mx((socket) => socket.write('220 here\r\n')))
    await good.witness.start()
    const bad = watch(await down())
    await bad.witness.start()
    expect(good.probes[0]?.at).toBe(1001)
    expect(bad.probes[0]?.at).toBeGreaterThan(1001)
  })

  test('looks again soon when evidence waits for it', async () => {
    const watched = watch(await mx((socket) => socket.write('220 here\r\n')))
    const { witness, probes, next } = watched
    await witness.start()
    const second = next()
    witness.nudge()
    witness.nudge()
    await second
    expect(probes).toHaveLength(2)
    expect(watched.changes).toEqual(['up'])
    expect(watched.witness.found).toMatchObject({ outcome: 'up' })
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
      void greeted.then(() => socket.write('220 here\r\n'))
    })
    const { witness, probes, next } = watch(slow)
    const started = witness.start()
    await calling
    witness.nudge()
    greet()
    await started
    await next()
    expect([calls, probes.length]).toEqual([2, 2])
  })
})
