/**
 * The decoys in worker processes: to whoever comes, and to whoever asks, the same appliance; and a worker that dies is
 * replaced, a parent that dies leaves none behind.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ClientView } from '../../src/answer/views.ts'
import { type Evidence, fromLine } from '../../src/core/evidence.ts'
import { TO_RCPT, Visitor } from '../decoy/visitors.ts'
import { type Appliance, startAppliance, statusOf, textAt } from './appliance.ts'

const ANY = ['127.0.0.1:0']
const DECOYS = {
  workers: 2,
  limits: { 'per-client': 24 },
  pace: { greeting: '100ms', reply: '0ms', byte: '0ms', drip: '100ms' },
  primary: { listen: ANY, proxy: ANY },
  backup: { listen: ANY, proxy: ANY },
}

describe('two workers', () => {
  let appliance: Appliance
  let place: string
  let rules: string
  beforeAll(async () => {
    place = await mkdtemp(join(tmpdir(), 'dmx-rules-'))
    rules = join(place, 'rules.yaml')
    await writeFile(rules, readFileSync(join(import.meta.dirname, '../../rules.yaml'), 'utf8'))
    appliance = await startAppliance({ settings: { decoys: DECOYS }, rules })
  })
  afterAll(async () => {
    await appliance?.clear()
    await rm(place, { recursive: true, force: true })
  })

  function visit(door: string, ip: string, early = ''): Visitor {
    const { host, port } = appliance.door(door)
    const visitor = new Visitor(connect({ host, port, allowHalfOpen: true }))
    visitor.socket.write(`PROXY TCP4 ${ip} 127.0.0.1 40000 25\r\n${early}`)
    return visitor
  }
  const pids = async () => (await statusOf(appliance)).workers.pids

  test('both run, share each address, and status says so', async () => {
    expect((await statusOf(appliance)).workers.wanted).toBe(2)
    expect(new Set(await pids()).size).toBe(2)
    const metrics = await textAt(appliance, '/metrics')
    expect(metrics).toContain('decoymx_workers_missing 0')
  })

  test('a name that changes from one visit to the next is seen, whichever of them each visit comes to', async () => {
    const clients = Array.from({ length: 8 }, (_, n) => `203.0.113.${100 + n}`)
    for (const name of ['a.sender.example', 'b.sender.example']) {
      const visitors = clients.map((ip) => visit('backup decoy, PROXY', ip))
      await Promise.all(visitors.map((visitor) => visitor.walk(`EHLO ${name}`, 'QUIT')))
      await Promise.all(visitors.map(({ ended }) => ended))
    }
    const changed = () => evidenceOf(appliance).flatMap(({ kind, client }) => (kind === 'changed-helo' ? client : []))
    await until(async () => changed().length === clients.length)
    expect(changed().toSorted()).toEqual(clients.toSorted())
  })

  test('evidence from any of them is judged, and what stands is known to all of them', async () => {
    const bot = visit('backup decoy, PROXY', '203.0.113.9', 'EHLO bot.example\r\n')
    expect((await bot.walk('MAIL FROM:<x@bot.example>', TO_RCPT[2])).at(-1)).toMatch(/^(250|451) /)
    await bot.ask('RSET')
    bot.socket.destroy()
    await until(async () => /"verdict":"block"/.test(await textAt(appliance, '/api/v1/clients/203.0.113.9')))
    // Many connections, dealt out to both: none of them gets a dialogue, once both have heard of it.
    let visitors: Visitor[] = []
    await until(async () => {
      for (const { socket } of visitors) socket.destroy()
      visitors = Array.from({ length: 20 }, () => visit('backup decoy, PROXY', '203.0.113.9'))
      await Promise.all(visitors.map((visitor) => visitor.hears(8)))
      return visitors.every(({ heard }) => heard.startsWith('220-'))
    })
    await until(async () => (await statusOf(appliance)).held.backup === 20)
    // Whoever holds them, who asks is told of all; on a busy host one may not say so in time.
    const hereNow = async () => (JSON.parse(await textAt(appliance, '/api/v1/clients/203.0.113.9')) as ClientView).here
    let here = await hereNow()
    while (here.silent > 0) here = await hereNow()
    expect([here.count, here.some.length]).toEqual([20, 20])
    // The console tells who is here, whoever holds them.
    expect((await textAt(appliance, '/')).match(/held, a drop at a time/g)).toHaveLength(20)
    const offenders = /decoymx_connections_total\{role="backup",via="proxy",regard="offender"\} (\d+)/
    expect(Number(offenders.exec(await textAt(appliance, '/metrics'))?.[1])).toBeGreaterThanOrEqual(20)

    expect((await appliance.decoymx('allow', '203.0.113.9')).code).toBe(0)
    await Promise.all(visitors.map(({ ended }) => ended))
    await until(async () => (await statusOf(appliance)).held.backup === 0)
    await until(async () => /outcome="released"\} 20/.test(await textAt(appliance, '/metrics')))
    expect((await appliance.decoymx('release', '203.0.113.9')).code).toBe(0)
  })

  test('new rules reach them', async () => {
    const sound = readFileSync(rules, 'utf8')
    const outcome = async () => {
      const visitor = visit('primary decoy, PROXY', '198.51.100.9')
      return await Promise.race([visitor.ended, visitor.hears(1).then(() => 'held')])
    }
    expect((await appliance.decoymx('block', '198.51.100.9')).code).toBe(0)
    await until(async () => (await outcome()) === 'held')
    // In mode observe, nobody is held at the primary.
    await writeFile(rules, sound.replace('mode: enforce', 'mode: observe'))
    appliance.signal('SIGHUP')
    await until(async () => (await outcome()) === 'reset')
    await writeFile(rules, sound)
    appliance.signal('SIGHUP')
    await until(async () => (await outcome()) === 'held')
  })

  test('a cap is one cap for both', async () => {
    expect((await appliance.decoymx('block', '203.0.113.50')).code).toBe(0)
    const visitors = Array.from({ length: 80 }, () => visit('backup decoy, PROXY', '203.0.113.50'))
    const kept = () => visitors.filter(({ socket }) => !socket.destroyed)
    await until(() => Promise.resolve(kept().length <= 24))
    // What status tells is up to two beats old.
    await until(async () => (await statusOf(appliance)).held.backup === kept().length)
    // It is not overdone: each worker lets its part go, rounded up, and looks again.
    expect(kept().length).toBeGreaterThanOrEqual(20)
    for (const { socket } of visitors) socket.destroy()
    await until(async () => (await statusOf(appliance)).held.backup === 0)
  })

  test('one that dies is told and replaced; the other serves meanwhile', async () => {
    const before = await pids()
    const [victim = 0] = before
    process.kill(victim, 'SIGKILL')
    await until(() => Promise.resolve(/worker \d: ended by SIGKILL; it is started again/.test(appliance.said())))
    const sender = visit('backup decoy, PROXY', '203.0.113.40')
    expect(await sender.reply()).toMatch(/^220 /)
    sender.socket.destroy()
    await until(async () => (await pids()).length === 2)
    expect((await pids()).filter((pid) => before.includes(pid))).toEqual(before.slice(1))
    expect(await textAt(appliance, '/metrics')).toContain('decoymx_worker_ends_total 1')
    const { stdout } = await appliance.decoymx('status')
    expect(stdout).toMatch(
      /worker 1 ended \S+ \S+ ago \(by SIGKILL\), the first since the start; it runs again\. Next: the log/,
    )
    expect(stdout).toMatch(
      /Workers +2 of 2 run, pid \d+, \d+; ended and started again since the start: 1, the last worker 1 by/,
    )
    // All doors of the new one are open, at the same ports: whoever it is dealt to is served.
    const senders = Array.from({ length: 20 }, () => visit('backup decoy, PROXY', '203.0.113.41'))
    for (const each of senders) expect(await each.reply()).toMatch(/^220 /)
    for (const each of senders) each.socket.destroy()
  })

  test('an appliance that is stopped keeps no sender waiting, and finds its workers and what they saw when it goes on', async () => {
    const before = await pids()
    appliance.signal('SIGSTOP')
    // Enough of them for both workers.
    const clients = Array.from({ length: 8 }, (_, n) => `198.51.100.${200 + n}`)
    const senders = clients.map((ip) => visit('backup decoy, PROXY', ip))
    const walks = await Promise.all(senders.map((each) => each.walk(...TO_RCPT)))
    for (const replies of walks) expect(replies.at(-1)).toMatch(/^451 /)
    const seen = () => {
      const all = new Set(evidenceOf(appliance).flatMap(({ kind, client }) => (kind === 'recipient' ? client : [])))
      return clients.filter((client) => all.has(client))
    }
    expect(seen()).toEqual([])
    appliance.signal('SIGCONT')
    await until(() => Promise.resolve(seen().length === clients.length))
    expect(await pids()).toEqual(before)
    expect(await textAt(appliance, '/metrics')).toContain('decoymx_workers_hung_total 0')
  })

  test('the end is in order: what was seen last is in the journal', async () => {
    const visitors = Array.from({ length: 5 }, () => visit('backup decoy, PROXY', '198.51.100.9'))
    await Promise.all(visitors.map((visitor) => visitor.hears(4)))
    const running = await pids()
    expect(running.length).toBe(2)
    expect(await appliance.end()).toBe(0)
    expect(running.filter(isRunning)).toEqual([])
    const again = await startAppliance({ settings: { decoys: DECOYS }, rules, folder: appliance.folder })
    appliance = again
    const { stdout } = await again.decoymx('why', '198.51.100.9', '--json')
    expect((JSON.parse(stdout) as { contacts: { backup: number } }).contacts.backup).toBe(5)
  })

  test('workers end with a parent that is killed', async () => {
    const running = (await pids()).filter(isRunning)
    expect(running.length).toBe(2)
    await appliance.crash()
    await until(() => Promise.resolve(!running.some(isRunning)))
  })
})

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** Asks again until it holds; the test's own time limit ends it. */
/** What is in the journal so far. */
function evidenceOf({ folder }: Appliance): Evidence[] {
  const path = join(folder, 'state/journal')
  return readdirSync(path)
    .filter((name) => name.endsWith('.jsonl'))
    .flatMap((name) => readFileSync(join(path, name), 'utf8').split('\n'))
    .flatMap((line) => fromLine(line)?.event ?? [])
    .filter((event) => event.type === 'evidence')
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setImmediate(resolve))
}
