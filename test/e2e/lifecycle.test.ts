/**
 * The appliance as a person runs it, over its whole life and with either store: a bot is listed within a second, poisoning
 * lists nobody, the primary blames nobody, a crash loses and doubles nothing; and what goes wrong is said.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from 'vitest'
import { spellAddress } from '../../src/settings/places.ts'
import { stringify } from 'yaml'
import type { ClientView, RulingView } from '../../src/answer/views.ts'
import type { StatusView } from '../../src/daemon/status-view.ts'
import { fromLine } from '../../src/core/evidence.ts'
import { TO_RCPT, Visitor } from '../decoy/visitors.ts'
import { SHUT } from '../doors.ts'
import { folder } from '../folders.ts'
import { KEEPS, type RedisServer, startRedis } from '../servers.ts'
import { type Appliance, askPolicy, isWell, runToEnd, SOON_MS, startAppliance, textAt } from './appliance.ts'

const ROOT = join(import.meta.dirname, '../..')
const START = join(ROOT, 'src/start.js')
const ANY_DECOY = { listen: ['127.0.0.1:0'], proxy: ['127.0.0.1:0'] }

/** A client at a door behind PROXY; `early` is sent with the header, before any greeting. */
function visit(appliance: Appliance, door: string, ip: string, early = ''): Visitor {
  const { host, port } = appliance.door(door)
  const visitor = new Visitor(connect({ host, port, allowHalfOpen: true }))
  visitor.socket.write(
    `PROXY TCP${ip.includes(':') ? 6 : 4} ${ip} ${ip.includes(':') ? '::1' : '127.0.0.1'} 40000 25\r\n${early}`,
  )
  return visitor
}

/** Everything a bot says: EHLO comes with the header. */
async function talkFirst(appliance: Appliance, ip: string): Promise<void> {
  const bot = visit(appliance, 'backup decoy, PROXY', ip, 'EHLO bot.example\r\n')
  const replies = [await bot.reply(), ...(await bot.walk('MAIL FROM:<x@bot.example>', 'RCPT TO:<a@example.test>'))]
  expect(replies.at(-1)).toMatch(/^451 /)
  bot.socket.end('QUIT\r\n')
  await bot.ended
}

async function askUntil(appliance: Appliance, ip: string, wanted: RegExp): Promise<string> {
  for (const since = performance.now(); ;) {
    const answer = await askPolicy(appliance, ip)
    if (wanted.test(answer) || performance.now() - since > SOON_MS) return answer
  }
}

async function view(appliance: Appliance, ip: string): Promise<ClientView> {
  return JSON.parse((await appliance.decoymx('why', ip, '--json')).stdout) as ClientView
}

function journalled(appliance: Appliance, ip: string, kind: string): number {
  const path = join(appliance.folder, 'state/journal')
  const lines = readdirSync(path)
    .filter((name) => name.endsWith('.jsonl'))
    .flatMap((name) => readFileSync(join(path, name), 'utf8').split('\n'))
  return lines
    .flatMap((line) => fromLine(line)?.event ?? [])
    .filter((event) => event.type === 'evidence' && event.client === ip && event.kind === kind).length
}

describe.each([{ store: 'embedded' }, { store: 'redis' }] as const)('the main job, $store store', ({ store }) => {
  describe.skipIf(store === 'redis' && inject('missing').includes('redis-server'))('one life', () => {
    let redis: RedisServer | undefined
    let appliance: Appliance

    beforeAll(async () => {
      if (store === 'redis') redis = await startRedis(KEEPS)
      appliance = await startAppliance({ redisUrl: redis?.url })
    })
    afterAll(async () => {
      await appliance?.clear()
      await redis?.stop()
    })

    test('whoever talks first at the backup and names a recipient of ours is refused soon', async () => {
      expect(await askPolicy(appliance, '203.0.113.9')).toBe('action=DUNNO')
      await talkFirst(appliance, '203.0.113.9')
      expect(await askUntil(appliance, '203.0.113.9', /REJECT/)).toMatch(
        /^action=REJECT 5\.7\.1 .*\([0-9A-Z]{4}-[0-9A-Z]{4}\)$/,
      )
      const { code, stdout } = await appliance.decoymx('why', '203.0.113.9')
      expect(code).toBe(11)
      expect(stdout).toMatch(/BLOCK[\s\S]*\+110\.0 {2}talks-first[\s\S]*of the 100 that block/)
    })

    test('the same over IPv6, for the whole /64', async () => {
      await talkFirst(appliance, '2001:db8:9::1')
      expect(await askUntil(appliance, '2001:db8:9:0:aaaa::2', /REJECT/)).toMatch(/^action=REJECT /)
    })

    test('the ticket in the refusal finds the decision', async () => {
      const ticket = /\(([^)]+)\)/.exec(await askPolicy(appliance, '203.0.113.9'))?.[1] as string
      expect(await appliance.decoymx('why', ticket, '--json')).toMatchObject({
        code: 11,
        stdout: expect.stringContaining('"client": "203.0.113.9"'),
      })
    })

    test('fifty visits that name only foreign recipients list nobody, and why says so', async () => {
      await Promise.all(
        Array.from({ length: 50 }, async () => {
          const sender = visit(appliance, 'backup decoy, PROXY', '203.0.113.20')
          await sender.walk(...TO_RCPT.slice(0, 2), 'RCPT TO:<a@other.test>', 'QUIT')
          await sender.ended
        }),
      )
      const foreign = async () => (await view(appliance, '203.0.113.20')).facts?.['backup.foreign-recipient']
      await expect.poll(foreign).toBe(50)
      const { verdict, score, contacts, reasons, facts, waived, pending } = await view(appliance, '203.0.113.20')
      expect({ verdict, score, contacts }).toEqual({
        verdict: 'clean',
        score: 0,
        contacts: { primary: 0, backup: 50, real: 0 },
      })
      // Nobody looks at the real MX here: where it is that they came proves nothing, and is told apart.
      expect(facts).toEqual({ 'backup.foreign-recipient': 50 })
      expect((waived['blind.contact'] ?? 0) + (pending['contact'] ?? 0)).toBe(50)
      expect(reasons).toMatchObject([
        { rule: 'foreign-only', weight: 0, count: 50, because: expect.stringContaining('foreign') },
      ])
      expect(await askPolicy(appliance, '203.0.113.20')).toBe('action=DUNNO')
    })

    test('a client that touches the primary is reset without a word, and never blamed', async () => {
      const sender = visit(appliance, 'primary decoy, PROXY', '203.0.113.30')
      expect(await sender.ended).toBe('reset')
      expect(sender.heard).toBe('')
      expect(await askPolicy(appliance, '203.0.113.30')).toBe('action=DUNNO')
      await expect
        .poll(() => view(appliance, '203.0.113.30'))
        .toMatchObject({ verdict: 'clean', score: 0, contacts: { primary: 1, real: 1 } })
    })

    test('allow lets pass soon and beats a block; release forgets', async () => {
      expect(
        await appliance.decoymx('allow', '203.0.113.9', '--for', '7d', '--because', 'our newsletter'),
      ).toMatchObject({ code: 0 })
      expect(await askUntil(appliance, '203.0.113.9', /DUNNO/)).toBe('action=DUNNO')
      expect((await appliance.decoymx('block', '203.0.113.0/24', '--because', 'a test')).code).toBe(0)
      expect(await askPolicy(appliance, '203.0.113.9')).toBe('action=DUNNO')
      expect((await appliance.decoymx('why', '203.0.113.9')).code).toBe(12)
      expect(await askPolicy(appliance, '203.0.113.31')).toMatch(/^action=REJECT /)
      const rows = (await appliance.decoymx('list', '203.0.113.0/24')).stdout.trim().split('\n')
      expect(rows).toHaveLength(4)
      // What the rules go on saying of the one that is allowed is told to nobody.
      expect(rows.find((row) => row.startsWith('203.0.113.9\t'))).toMatch(/^203\.0\.113\.9\toverruled\trules\t/)
      for (const target of ['203.0.113.0/24', '203.0.113.9'])
        expect((await appliance.decoymx('release', target, '--because', 'done')).code).toBe(0)
      expect(await view(appliance, '203.0.113.9')).toMatchObject({ verdict: 'clean', score: 0, facts: {} })
    })

    test('a crash in the middle of a hundred visits loses nothing that was on disk, and doubles nothing', async () => {
      const ip = '198.51.100.77'
      let told = 0
      const visits = Array.from({ length: 100 }, async () => {
        const sender = visit(appliance, 'backup decoy, PROXY', ip)
        const replies = await sender.walk(...TO_RCPT.slice(0, 2), 'RCPT TO:<a@other.test>')
        if (replies.at(-1)?.startsWith('451') && ++told === 40) await appliance.crash()
        sender.socket.destroy()
      })
      await Promise.all(visits)
      const [contacts, recipients] = [
        journalled(appliance, ip, 'contact'),
        journalled(appliance, ip, 'foreign-recipient'),
      ]
      expect(recipients).toBeGreaterThanOrEqual(told)
      expect(told).toBeGreaterThanOrEqual(40)

      appliance = await startAppliance({ redisUrl: redis?.url, folder: appliance.folder })
      const now = await view(appliance, ip)
      expect(now.contacts!.backup).toBe(contacts)
      expect(now.facts).toMatchObject({ 'backup.foreign-recipient': recipients })
    })

    test('the end by SIGTERM is in order, and what it knew it still knows afterwards', async () => {
      await talkFirst(appliance, '198.51.100.5')
      expect(await appliance.end()).toBe(0)
      appliance = await startAppliance({ redisUrl: redis?.url, folder: appliance.folder })
      expect(await askPolicy(appliance, '198.51.100.5')).toMatch(/^action=REJECT /)
      expect((await view(appliance, '198.51.100.5')).contacts!.backup).toBe(1)
    })

    test('any bytes at any door end nothing', async () => {
      const { doors } = (await (
        await fetch(`http://${spellAddress(appliance.door('HTTP'))}/api/v1/status`)
      ).json()) as StatusView
      for (const door of doors.filter(({ name }) => !name.includes('UDP'))) {
        for (const bytes of [Buffer.alloc(70_000, 0xff), Buffer.from('\0\r\n\r\nGET / HTTP/1.1\r\n\r\n\x16\x03\x01')]) {
          const socket = connect(appliance.door(door.name))
          socket.on('error', () => {})
          socket.end(bytes)
          socket.resume()
          socket.setTimeout(2000, () => socket.destroy())
          await new Promise((resolve) => socket.once('close', resolve))
        }
      }
      await isWell(appliance)
    })
  })
})

describe('what goes wrong is said', () => {
  test('commands say when no appliance runs, and where they looked', async () => {
    const state = folder()
    for (const words of [['why', '203.0.113.9'], ['list'], ['allow', '203.0.113.9']]) {
      const { code, stderr } = await runToEnd(process.execPath, [START, ...words, '--state', state])
      expect({ code, stderr }).toMatchObject({
        code: 1,
        stderr: expect.stringContaining(`no decoymx is running on ${state}`),
      })
    }
    expect(await runToEnd(process.execPath, [START, 'status', '--state', state])).toMatchObject({
      code: 2,
      stdout: expect.stringContaining('CRITICAL'),
    })
  })

  test('unsound settings and rules: all problems at once with their places, and nothing is started', async () => {
    const path = folder()
    writeFileSync(join(path, 'decoymx.yaml'), 'polcy: {}\nlog: loud\n')
    writeFileSync(
      join(path, 'rules.yaml'),
      'mode: enforce\ndomains: [example.test]\nthresholds: { observe: 20, defer: x, block: 100 }\nstands: { observe: 6h, defer: 1h, block: 1d }\nrules: []\n',
    )
    for (const command of ['run', 'check']) {
      const words = [
        START,
        command,
        '--settings',
        join(path, 'decoymx.yaml'),
        '--rules',
        join(path, 'rules.yaml'),
        ...(command === 'run' ? ['--state', join(path, 'state')] : []),
      ]
      const { code, stderr } = await runToEnd(process.execPath, words)
      expect(code).toBe(1)
      expect(stderr).toContain(
        'decoymx.yaml:1:1: polcy: no such key [D010]\n 1 | polcy: {}\n   | ^^^^^ did you mean policy?',
      )
      expect(stderr).toContain('decoymx.yaml:2:6: log: expected debug or info or warn or error, got "loud"')
      expect(stderr).toContain('rules.yaml:3:35: thresholds.defer: expected a number, got "x"')
      expect(stderr).toContain('3 problems')
    }
    expect(readdirSync(path).sort()).toEqual(['decoymx.yaml', 'rules.yaml'])
  })

  test('a slip on the command line is told as one, exit 64', async () => {
    expect(await runToEnd(process.execPath, [START, 'wyh'])).toMatchObject({
      code: 64,
      stderr: expect.stringContaining('Did you mean why?'),
    })
    expect(await runToEnd(process.execPath, [START, 'run', '--only', 'decoys,pollicy'])).toMatchObject({
      code: 64,
      stderr: expect.stringContaining('pollicy'),
    })
  })

  describe('with one appliance', () => {
    let appliance: Appliance
    let place: string
    let rules: string

    beforeAll(async () => {
      place = await mkdtemp(join(tmpdir(), 'dmx-rules-'))
      rules = join(place, 'rules.yaml')
      writeFileSync(rules, readFileSync(join(ROOT, 'rules.yaml')))
      appliance = await startAppliance({ rules })
    })
    afterAll(async () => {
      await appliance?.clear()
      await rm(place, { recursive: true, force: true })
    })

    test('a second one on the same state is refused in a sentence', async () => {
      const state = join(appliance.folder, 'state')
      const { code, stderr } = await runToEnd(process.execPath, [START, 'run', '--state', state])
      expect(code).toBe(1)
      expect(stderr).toContain(`another decoymx (pid ${appliance.pid}) is running on ${state}`)
    })

    test('SIGHUP loads sound rules; a bad file keeps the old ones and says where it is wrong', async () => {
      const sound = readFileSync(rules, 'utf8')
      const mode = async () => (await statusOf(appliance)).mode
      const blocked = '203.0.113.77'
      expect((await appliance.decoymx('block', blocked, '--because', 'a test')).code).toBe(0)
      const isUntold = async () => {
        const { decisions } = JSON.parse((await appliance.decoymx('list', blocked, '--json')).stdout) as {
          decisions: RulingView[]
        }
        return decisions.find(({ target }) => target.startsWith(blocked))?.untold ?? false
      }
      expect(await isUntold()).toBe(false)
      const observing = sound.replace('mode: enforce', 'mode: observe')
      const strict = 'exceptions: [{ domain: strict.example.test, mode: enforce, because: a test }]'
      writeFileSync(rules, observing.replace('exceptions: []', strict))
      await reloaded(appliance)
      expect(await mode()).toBe('observe')
      expect(await isUntold()).toBe(true)
      // Whoever says it now is told so, and so is a program that reads the list.
      const { stdout } = await appliance.decoymx('block', '203.0.113.78', '--because', 'a test')
      expect(stdout.replaceAll(/\s+/g, ' ')).toBe(
        'blocked 203.0.113.78/32 until released: it stands; mode observe: nobody is told ! told all the same of mail to strict.example.test: exceptions in the rules ',
      )
      expect(await askPolicy(appliance, '203.0.113.78')).toBe('action=DUNNO')
      const rows = (await appliance.decoymx('list', '203.0.113.78')).stdout.split('\n').map((row) => row.split('\t'))
      expect(rows.slice(0, 2).map((cells) => [cells[1], cells[7]])).toEqual([
        ['verdict', 'told'],
        ['block', 'nobody'],
      ])
      writeFileSync(rules, sound.replace('weight: 110', 'wieght: 110'))
      await reloaded(appliance)
      expect(await mode()).toBe('observe')
      expect((await statusOf(appliance)).rules.problems.join()).toMatch(
        /rules\.yaml:\d+:5: rules\.0\.wieght: no such key \(did you mean weight\?\)/,
      )
      expect((await appliance.decoymx('status')).code).toBe(1)
      writeFileSync(rules, sound)
      await reloaded(appliance)
      expect(await mode()).toBe('enforce')
    })

    test('an operator is told what was expected', async () => {
      expect(await appliance.decoymx('block', '203.0.113.9/24')).toMatchObject({
        code: 64,
        stderr: expect.stringContaining('did you mean 203.0.113.0/24?'),
      })
      expect(await appliance.decoymx('block', '0.0.0.0/0')).toMatchObject({
        code: 64,
        stderr: expect.stringContaining('--force'),
      })
      expect(await appliance.decoymx('allow', '203.0.113.9', '--for', 'ever')).toMatchObject({
        code: 64,
        stderr: expect.stringContaining('expected a time span'),
      })
      expect(await appliance.decoymx('why', 'mail.example.org')).toMatchObject({
        code: 64,
        stderr: expect.stringContaining('expected an IP address, a CIDR or a ticket'),
      })
    })

    test('what would undo or do too much is not done by a slip', async () => {
      expect(await appliance.decoymx('release', '0.0.0.0/0')).toMatchObject({
        code: 64,
        stderr: expect.stringContaining('--force'),
      })
      expect(await appliance.decoymx('block', '127.0.0.1')).toMatchObject({
        code: 64,
        stderr: expect.stringContaining('never listed: a loopback address'),
      })
    })

    test('over TCP the API reads only', async () => {
      const base = `http://${spellAddress(appliance.door('HTTP'))}`
      expect((await fetch(`${base}/api/v1/words`, { method: 'POST', body: '{}' })).status).toBe(401)
      expect((await fetch(`${base}/api/v1/clients/nonsense`)).status).toBe(400)
      expect((await fetch(`${base}/healthz`)).status).toBe(200)
      const metrics = await textAt(appliance, '/metrics')
      expect(metrics).toContain('decoymx_rulings{by="rules",word="block"} 0')
    })
  })

  test('an address that is taken is said, and readiness waits for it', async () => {
    const taken = createServer().listen(0, '127.0.0.1')
    await once(taken, 'listening')
    const { port } = taken.address() as { port: number }
    onTestFinished(() => void taken.close())
    await expect(startAppliance({ settings: { policy: { listen: [`127.0.0.1:${port}`] } } })).rejects.toThrow(
      new RegExp(`policy 127.0.0.1:${port}: another program listens there`),
    )
  })

  test('a real MX that the witness does not find is said, in the log, by status and as a metric', async () => {
    const appliance = await startAppliance({ settings: { 'real-mx': { greet: [spellAddress(SHUT)] } } })
    onTestFinished(() => appliance.clear())
    await appliance.heard(/witness: the real MX is down; the order of visits counts for nothing meanwhile/)
    expect(await appliance.decoymx('status')).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('Is real-mx in the settings right?'),
    })
    expect(await textAt(appliance, '/metrics')).toContain('decoymx_real_mx_up 0')
  })

  test.each([0, 1])('while no real MX takes mail the backup says 421 at once (%i workers)', async (workers) => {
    const replies: Record<string, string> = { EHLO: '250 mx', MAIL: '250 ok', QUIT: '221 bye' }
    let greeting = '220 mx.example.test ESMTP'
    const mx = createServer((socket) => {
      socket.on('error', () => {}).write(`${greeting}\r\n`)
      socket.on('data', (line) => socket.write(`${replies[line.toString().slice(0, 4)] ?? '500 what'}\r\n`))
    }).listen(0, '127.0.0.1')
    await once(mx, 'listening')
    onTestFinished(() => void mx.close())
    const { port } = mx.address() as { port: number }
    const appliance = await startAppliance({
      settings: {
        'real-mx': { greet: [`127.0.0.1:${port}`], every: '1s' },
        decoys: { primary: ANY_DECOY, backup: ANY_DECOY, workers },
      },
    })
    onTestFinished(() => appliance.clear())
    const greeted = async () => {
      const sender = visit(appliance, 'backup decoy, PROXY', '198.51.100.10')
      const said = await sender.reply()
      sender.socket.destroy()
      return said
    }
    expect(await greeted()).toMatch(/^220 /)
    // This MX offers no enhanced codes, so we say none.
    greeting = '421 4.3.2 too busy'
    while (!(await greeted())?.startsWith('421 All server ports are busy'))
      expect(appliance.said()).not.toContain('failed')
    const metrics = await textAt(appliance, '/metrics')
    expect(metrics).toContain('decoymx_real_mx_outage 1')
    expect(metrics).toContain(`decoymx_real_mx_state{mx="127.0.0.1:${port}",state="later"} 1`)
    expect((await appliance.decoymx('status')).stdout).toContain('no real MX takes mail')
    // What no mail server does is another matter, and so is what was said to be polite before.
    greeting = '220 mx.example.test ESMTP'
    while (!(await greeted())?.startsWith('220 ')) expect(appliance.said()).not.toContain('failed')
    expect((await appliance.decoymx('why', '198.51.100.10')).stdout).toMatch(/Not counted: .*contact \d+/)
    await talkFirst(appliance, '203.0.113.9')
    expect(await askUntil(appliance, '203.0.113.9', /REJECT/)).toMatch(/^action=REJECT/)
  })

  test('a block of what is never listed wants --force, and says what it spares', async () => {
    const appliance = await startAppliance({ settings: { 'real-mx': { greet: ['192.0.2.25:25'] } } })
    onTestFinished(() => appliance.clear())
    const block = (...words: string[]) => appliance.decoymx('block', '192.0.2.0/24', ...words)
    expect(await block('--because', 'spam')).toMatchObject({
      code: 64,
      stderr: expect.stringContaining('192.0.2.25/32 (a real MX)'),
    })
    expect(await block('--force')).toMatchObject({ code: 64, stderr: expect.stringContaining('wants a reason') })
    expect(await block('--force', '--because', 'a leased range')).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('never listed all the same: 192.0.2.25/32 (a real MX)'),
    })
    expect(await askPolicy(appliance, '192.0.2.25')).toBe('action=DUNNO')
    expect(await askPolicy(appliance, '192.0.2.26')).toMatch(/^action=REJECT /)
    expect((await appliance.decoymx('why', '192.0.2.25')).stdout).toContain('Never listed: it is a real MX.')
  })

  test('a bug of ours while it starts ends it, so that an init system starts it again', async () => {
    const state = folder()
    const file = join(state, 'decoymx.yaml')
    writeFileSync(file, stringify({ decoys: { primary: ANY_DECOY, backup: ANY_DECOY } }))
    // When this signal is listened for, the store is open and the witness at work.
    const bug =
      'const { on } = process; process.on = function (name, ...more) { if (name === "SIGHUP") throw new Error("a bug of ours"); return on.call(this, name, ...more) }'
    const words = [
      '--import',
      `data:text/javascript,${encodeURIComponent(bug)}`,
      START,
      'run',
      '--state',
      state,
      '--settings',
      file,
    ]
    const { code, stderr } = await runToEnd(process.execPath, words)
    expect(stderr).toContain('a bug of ours')
    expect(code).toBe(70)
  })

  test('a damaged database is set aside, said, and filled again from the journal', async () => {
    const first = await startAppliance({})
    await talkFirst(first, '203.0.113.9')
    expect(await first.end()).toBe(0)
    const file = join(first.folder, 'state/reputation.db')
    writeFileSync(file, Buffer.alloc(8192, 0x5a))
    const second = await startAppliance({ folder: first.folder })
    onTestFinished(() => second.clear())
    expect(second.said()).toContain('the database was damaged; it is set aside, and filled again from the journal')
    expect(readdirSync(join(first.folder, 'state'))).toContain('reputation.db.corrupt-1')
    expect(await askPolicy(second, '203.0.113.9')).toMatch(/^action=REJECT /)
    expect((await view(second, '203.0.113.9')).contacts!.backup).toBe(1)
  })
})

async function statusOf(appliance: Appliance): Promise<StatusView> {
  return JSON.parse((await appliance.decoymx('status', '--json')).stdout) as StatusView
}

/** Sends SIGHUP and reads the log until it tells the outcome. */
async function reloaded(appliance: Appliance): Promise<void> {
  const tells = () => appliance.said().match(/rules: \d+ (from|problems?)/g)?.length ?? 0
  const before = tells()
  appliance.signal('SIGHUP')
  for (const since = performance.now(); tells() === before;) {
    if (performance.now() - since > 30_000) throw new Error('no word of the reload within 30 s')
    await new Promise((resolve) => setImmediate(resolve))
  }
}
