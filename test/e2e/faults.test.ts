/**
 * What may go wrong around a whole appliance, without Redis' own troubles (redis-faults.test.ts): a full disk, addresses that
 * are taken, ten thousand idle askers, a flood at the DNSBL, any bytes at any door. Nobody is refused by mistake, and it is said.
 */
import { spawnSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { mkdirSync, rmSync, writeFileSync, writeSync, openSync, closeSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import dnsPacket from 'dns-packet'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { spellAddress } from '../../src/settings/places.ts'
import { folder } from '../folders.ts'
import { noNamespaces } from '../namespaces.ts'
import { comesTrue } from '../servers.ts'
import { type Appliance, askPolicy, runToEnd, startAppliance, statusOf, textAt } from './appliance.ts'

const START = join(import.meta.dirname, '../../src/start.js')
const unmountable = noNamespaces()
if (unmountable !== undefined && process.env['CI']) throw new Error(unmountable)
if (unmountable !== undefined) process.stderr.write(`\nSkipped, test/e2e/faults, full disk: ${unmountable}\n`)

const BLOCKED = '203.0.113.77'
const CLEAN = '203.0.113.78'

const firstWord = async (appliance: Appliance, ip: string) => (await askPolicy(appliance, ip)).split(' ', 1)[0]

/** A bot's whole visit; settles when it has heard the answer to its recipient. */
async function talkFirst(appliance: Appliance, ip: string): Promise<void> {
  const bot = connect(appliance.door('backup decoy, PROXY'))
  bot.write(
    `PROXY TCP4 ${ip} 127.0.0.1 40000 25\r\nHELO bot.example\r\nMAIL FROM:<x@bot.example>\r\nRCPT TO:<a@example.test>\r\n`,
  )
  let heard = ''
  for await (const chunk of bot) {
    heard += String(chunk)
    if (/^451 /m.test(heard)) break
  }
  bot.destroy()
}

/** The same of a policy service on a Unix socket. */
async function askAt(path: string, ip: string): Promise<string | undefined> {
  const asker = connect(path)
  asker.end(`request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address=${ip}\n\n`)
  let answer = ''
  for await (const chunk of asker) answer += String(chunk)
  return answer.trim().split(' ', 1)[0]
}

const block = async (appliance: Appliance) =>
  expect((await appliance.decoymx('block', BLOCKED, '--because', 'a test')).code).toBe(0)
const bothAnswers = async (appliance: Appliance) => [
  await firstWord(appliance, BLOCKED),
  await firstWord(appliance, CLEAN),
]
const RIGHT = ['action=REJECT', 'action=DUNNO']

describe('a disk that is full', () => {
  test.skipIf(unmountable !== undefined)(
    'under the journal: what stands stands, nobody new is listed, it is said, and evidence flows again when there is room',
    async () => {
      const place = folder()
      const state = join(place, 'state')
      mkdirSync(state)
      expect(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=6m', 'none', state]).status).toBe(0)
      onTestFinished(() => void spawnSync('umount', ['-l', state]))
      const appliance = await startAppliance({ folder: place })
      onTestFinished(async () => void (await appliance.end()))
      await block(appliance)
      await talkFirst(appliance, '198.51.100.1')
      await comesTrue(async () => (await firstWord(appliance, '198.51.100.1')) === 'action=REJECT')

      const filler = join(state, 'filler')
      fill(filler)
      // A few lines still fit into the last page of a file.
      for (let i = 100; i < 200 && !/journal: cannot be written/.test(appliance.said()); i++)
        await talkFirst(appliance, `198.51.100.${i}`)
      await talkFirst(appliance, '198.51.100.2')
      expect(appliance.said()).toMatch(/journal: cannot be written/)
      expect(await bothAnswers(appliance)).toEqual(RIGHT)
      expect(await firstWord(appliance, '198.51.100.1')).toBe('action=REJECT')
      expect(await firstWord(appliance, '198.51.100.2')).toBe('action=DUNNO')
      const { code, stdout } = await appliance.decoymx('status')
      expect([code, stdout]).toEqual([
        2,
        expect.stringMatching(/CRITICAL[^]*evidence is lost, \d+ events? since .*ENOSPC/),
      ])
      expect(stdout).not.toContain('none is lost')
      // Of a bot whose evidence was lost nothing is known, and that is said.
      expect((await appliance.decoymx('why', '198.51.100.2')).stdout).toMatch(
        /CLEAN[^]*In doubt: the journal cannot be written. \d+ events? (?:is|are) lost since/,
      )
      expect(await textAt(appliance, '/metrics')).toMatch(
        /decoymx_journal_lost_total [1-9][^]*decoymx_journal_failing 1/,
      )

      rmSync(filler)
      await talkFirst(appliance, '198.51.100.3')
      await comesTrue(async () => (await firstWord(appliance, '198.51.100.3')) === 'action=REJECT')
      expect((await statusOf(appliance)).reputation.journalTrouble).toBeNull()
      expect(await textAt(appliance, '/metrics')).toContain('decoymx_journal_failing 0')
      expect(appliance.said()).toMatch(/"lost":\d+,"msg":"journal: can be written again/)
      // Of many writes that failed, one line a minute.
      expect(appliance.said().match(/journal: cannot be written/g)).toHaveLength(1)
      expect((await appliance.decoymx('why', '198.51.100.3')).stdout).not.toContain('In doubt')
      expect(await firstWord(appliance, '198.51.100.2')).toBe('action=DUNNO')
    },
  )
})

/** Until not a byte more fits. */
function fill(path: string): void {
  const file = openSync(path, 'w')
  for (let size = 64 * 1024; size >= 1;) {
    try {
      writeSync(file, Buffer.alloc(size))
    } catch (error) {
      expect((error as NodeJS.ErrnoException).code).toBe('ENOSPC')
      size = Math.floor(size / 2)
    }
  }
  closeSync(file)
}

test('where every address is taken, run says so and ends: its supervisor can try again, and people see it', async () => {
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  onTestFinished(() => void taken.close())
  const { port } = taken.address() as AddressInfo
  const settings = join(folder(), 'decoymx.yaml')
  writeFileSync(settings, `policy: { listen: ["127.0.0.1:${port}"] }\n`)
  const words = [START, 'run', '--only', 'policy', '--settings', settings, '--state', folder()]
  const { code, stdout, stderr } = await runToEnd(process.execPath, words)
  expect([code, stderr]).toEqual([1, expect.stringContaining('none of the 1 addresses could be opened')])
  expect(stderr).toContain(`policy 127.0.0.1:${port}: another program listens there`)
  expect(stdout).not.toContain('ready, ')
})

describe('people and programs that mean no good, at an appliance that answers', () => {
  let appliance: Appliance
  beforeAll(async () => {
    appliance = await startAppliance({ settings: { dnsbl: { listen: ['127.0.0.1:0'], askers: ['127.0.0.1/32'] } } })
    await block(appliance)
  })
  afterAll(() => appliance?.clear())

  async function dnsbl(ip: string, from = '127.0.0.1'): Promise<string> {
    const { host, port } = appliance.door('DNSBL, UDP')
    const socket = createSocket('udp4')
    socket.bind(0, from)
    await once(socket, 'listening')
    const name = `${ip.split('.').toReversed().join('.')}.bl.decoymx.test`
    const query = dnsPacket.encode({ type: 'query', id: 7, questions: [{ type: 'A', name }] })
    // As every resolver does: what comes while the socket is full of others is lost before we could see it.
    const asking = setInterval(() => socket.send(query, port, host), 500)
    socket.send(query, port, host)
    const [packet] = (await once(socket, 'message')) as [Buffer]
    clearInterval(asking)
    socket.close()
    const { answers = [], ...rest } = dnsPacket.decode(packet)
    const [answer] = answers
    return answer?.type === 'A' ? answer.data : ((rest as { rcode?: string }).rcode ?? '')
  }

  test('ten thousand idle connections at the policy service: whoever asks is answered', async () => {
    const idle = new Set<Socket>()
    onTestFinished(() => idle.forEach((socket) => socket.destroy()))
    const { host, port } = appliance.door('policy')
    for (let opened = 0; opened < 10_000; opened += 500) {
      const some = Array.from({ length: 500 }, () => connect({ host, port }).on('error', () => {}))
      some.forEach((socket) => idle.add(socket))
      await Promise.all(
        some.map((socket) => new Promise((resolve) => socket.once('connect', resolve).once('close', resolve))),
      )
      expect(await bothAnswers(appliance)).toEqual(RIGHT)
    }
    expect(await textAt(appliance, '/metrics')).toMatch(/decoymx_policy_trouble_total\{reason="full"\} [1-9]/)
    // However often it happens, the log has a line a minute.
    expect(appliance.said().match(/policy: hung up on a connection: full/g)).toHaveLength(1)
  })

  test('a flood at the DNSBL from a stranger: REFUSED or nothing, and whoever may ask is answered', async () => {
    const { host, port } = appliance.door('DNSBL, UDP')
    const stranger = createSocket('udp4')
    stranger.bind(0, '127.0.0.9')
    await once(stranger, 'listening')
    onTestFinished(() => void stranger.close())
    const codes = new Set<string>()
    stranger.on('message', (packet: Buffer) => {
      codes.add((dnsPacket.decode(packet) as { rcode?: string }).rcode ?? '')
    })
    const packet = dnsPacket.encode({
      type: 'query',
      id: 9,
      questions: [{ type: 'A', name: `${BLOCKED.split('.').toReversed().join('.')}.bl.decoymx.test` }],
    })
    const send = () => new Promise<void>((resolve) => stranger.send(packet, port, host, () => resolve()))
    for (let sent = 0; sent < 20_000; sent += 200) {
      await Promise.all(Array.from({ length: 200 }, send))
      if (sent % 2000 === 0) expect([await dnsbl(BLOCKED), await dnsbl(CLEAN)]).toEqual(['127.0.0.2', 'NXDOMAIN'])
    }
    expect([...codes]).toEqual(['REFUSED'])
  })

  test('any bytes, and those that have broken others, at policy, DNSBL and HTTP: it lives, and answers right', async () => {
    const doors = ['policy', 'HTTP', 'DNSBL, TCP'] as const
    const throwAt = async (door: (typeof doors)[number], bytes: Uint8Array) => {
      const socket = connect(appliance.door(door)).on('error', () => {})
      socket.resume().end(bytes)
      // A half that is waited for ends with ours; nobody may keep it.
      await new Promise((resolve) => socket.setTimeout(2000, () => socket.destroy()).once('close', resolve))
    }
    const udp = createSocket('udp4')
    onTestFinished(() => void udp.close())
    const { host, port } = appliance.door('DNSBL, UDP')
    for (const bytes of CORPUS) {
      await Promise.all(doors.map((door) => throwAt(door, bytes)))
      udp.send(bytes.subarray(0, 60_000), port, host)
    }
    const anything = fc.uint8Array({ minLength: 1, maxLength: 400 })
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...doors),
        fc.constantFrom(...CORPUS),
        anything,
        fc.nat(200),
        async (door, base, noise, at) => {
          const bytes = Buffer.concat([base.subarray(0, at), noise, base.subarray(at, 4000)])
          udp.send(bytes, port, host)
          await throwAt(door, bytes)
        },
      ),
      { numRuns: 150 },
    )
    expect(await bothAnswers(appliance)).toEqual(RIGHT)
    expect([await dnsbl(BLOCKED), await dnsbl(CLEAN)]).toEqual(['127.0.0.2', 'NXDOMAIN'])
    expect((await fetch(`http://${spellAddress(appliance.door('HTTP'))}/healthz`)).status).toBe(200)
    expect(appliance.said()).not.toMatch(/a bug of ours/)
  })
})

test.skipIf(unmountable !== undefined)(
  'a name server to which no route leads: who is asked about is answered, it is said, and nothing ends',
  async () => {
    const place = folder()
    const rules = join(place, 'rules.yaml')
    writeFileSync(
      rules,
      'mode: enforce\ndomains: [example.org]\nthresholds: { observe: 20, defer: 70, block: 100 }\nstands: { observe: 6h, defer: 1h, block: 24h }\nrules: []\n',
    )
    const policy = join(place, 'policy')
    const resolver = ['10.255.255.53:53']
    const appliance = await startAppliance({
      folder: place,
      rules,
      launch: ['unshare', '--net', 'sh', '-c', 'ip link set lo up && exec "$@"', 'sh'],
      settings: {
        policy: { listen: [`unix:${policy}`] },
        'real-mx': { discover: true, resolver },
        pools: { dns: true, resolver },
      },
    })
    onTestFinished(() => appliance.clear())
    await appliance.heard(/the MX records of example\.org could not be read/)
    await appliance.heard(/SPF records could not be read/)
    await block(appliance)
    expect([await askAt(policy, BLOCKED), await askAt(policy, CLEAN)]).toEqual(RIGHT)
    expect(appliance.said()).not.toMatch(/a bug of ours/)
    expect(await appliance.end()).toBe(0)
  },
)

const text = (words: string) => Buffer.from(words, 'latin1')
const dns = (...bytes: number[]) => Buffer.from(bytes)
const HEAD = [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]
/** Shapes that parsers of these protocols have been broken by. */
const CORPUS: readonly Buffer[] = [
  text('request=smtpd_access_policy\nclient_address=203.0.113.77\n\n'),
  text('request=smtpd_access_policy\nclient_address=\0\n\n'),
  text('request=\n=\n==\nclient_address==203.0.113.77\n\n'),
  text(`client_address=${'9'.repeat(5000)}\n\n`),
  text('\n'.repeat(3000)),
  text('client_address=fe80::1%eth0\n__proto__=x\nconstructor=y\n\n'),
  text('GET / HTTP/1.1\r\nHost: a\r\n\r\n'),
  text('GET /api/v1/clients/%00 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'),
  text('GET /api/v1/clients/%E0%A4%A HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'),
  text(`GET /${'../'.repeat(500)}etc/passwd HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`),
  text(
    'POST /api/v1/words HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n',
  ),
  text('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n'),
  text('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n'),
  text(`GET / HTTP/1.1\r\n${'X: y\r\n'.repeat(4000)}\r\n`),
  text('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  text('GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n'),
  // A name that points at itself, one that points beyond the end, one without an end, a label of 64, an empty question.
  dns(...HEAD, 0xc0, 12, 0, 1, 0, 1),
  dns(...HEAD, 0xc0, 0xff, 0, 1, 0, 1),
  dns(...HEAD, 3, 97, 98, 99),
  dns(...HEAD, 64, ...Array.from({ length: 64 }, () => 97), 0, 0, 1, 0, 1),
  dns(0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0),
  dns(0, 1, 1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
  // As above over TCP: a length that never comes, one of nothing.
  dns(0xff, 0xff, ...HEAD),
  dns(0, 0, 0, 0, 0, 0),
  Buffer.alloc(70_000, 0xff),
  Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]),
]
