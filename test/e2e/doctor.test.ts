/** The doctor, beside an appliance on loopback and beside none: what it sees, what it advises, and its exit code. */
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from 'vitest'
import type { Finding } from '../../src/command/health/finding.ts'
import { freePorts } from '../doors.ts'
import { folder } from '../folders.ts'
import { KEEPS, startRedis } from '../servers.ts'
import { type Appliance, runToEnd, startAppliance } from './appliance.ts'

const ROOT = join(import.meta.dirname, '../..')
const START = join(ROOT, 'src/start.js')
/** The doctor warns where the disk has less room than that. */
const SMALL_JOURNAL = { 'max-megabytes': 64 }
const SETTLED = ['primary', 'backup'] as const

type Told = { readonly level: string; readonly findings: Finding[] }

describe('beside an appliance', () => {
  let appliance: Appliance
  const examine = async (...words: string[]) => {
    const { stdout, code } = await appliance.decoymx('doctor', '--json', ...words)
    return { code, ...(JSON.parse(stdout) as Told) }
  }
  const own = () => ['--settings', join(appliance.folder, 'decoymx.yaml')]

  beforeAll(async () => {
    const ports = await freePorts(SETTLED.length)
    const decoys = Object.fromEntries(
      SETTLED.map((role, i) => [role, { listen: [`127.0.0.1:${ports[i]}`], proxy: [] }]),
    )
    appliance = await startAppliance({ settings: { decoys, journal: SMALL_JOURNAL } })
  })

  afterAll(() => appliance?.clear())

  test('each link of the chain is tried, and has its sentence', async () => {
    const { code, level, findings } = await examine(...own())
    const of = (check: string) => findings.filter((each) => each.check === check)
    expect(of('settings')).toMatchObject([{ level: 'ok' }])
    expect(of('appliance')).toMatchObject([
      { level: 'ok', seen: expect.stringContaining(`pid ${appliance.pid}`) as string },
    ])
    expect(of('listeners')).toMatchObject([{ level: 'ok' }])
    expect(of('primary')).toMatchObject([
      { level: 'ok', seen: expect.stringMatching(/^a stranger at 127\.0\.0\.1:\d+ is accepted and reset$/) as string },
    ])
    expect(of('kernel')).toMatchObject([{ level: 'ok', seen: expect.stringContaining('not asked to') as string }])
    expect(of('dnsbl')).toMatchObject([
      {
        level: 'ok',
        seen: expect.stringContaining('answers 127.0.0.2 for 127.0.0.2, ENOTFOUND for 127.0.0.1') as string,
      },
    ])
    expect(of('witness')).toMatchObject([{ level: 'ok', seen: expect.stringContaining('for trying out') as string }])
    expect([code, level]).toEqual([0, 'OK'])
  })

  test('settings of another zone, and more connections than files: each is said with what to do', async () => {
    const file = join(folder(), 'other.yaml')
    writeFileSync(file, 'dnsbl: { zone: bl.other.example }\ndecoys: { limits: { connections: 1000000 } }\n')
    const { code, findings } = await examine('--settings', file)
    expect(findings.filter(({ level }) => level !== 'ok')).toEqual(
      expect.arrayContaining([
        {
          check: 'settings',
          level: 'warn',
          seen: `the appliance runs with ${own()[1]}, and is examined by ${file}`,
          next: expect.stringContaining(`doctor --settings ${own()[1]}`) as string,
        },
        expect.objectContaining({ check: 'dnsbl', level: 'warn', next: expect.stringContaining('zone') as string }),
        expect.objectContaining({
          check: 'files',
          level: 'warn',
          next: expect.stringContaining('LimitNOFILE=2000256') as string,
        }),
      ]),
    )
    expect(code).toBe(1)
    const { stdout } = await appliance.decoymx('status')
    expect(stdout).toMatch(new RegExp(`^ {2}Settings {4}${own()[1]}$`, 'm'))
  })

  test('a pipe gets one line for each, with tabs', async () => {
    const { stdout } = await appliance.decoymx('doctor', ...own())
    const lines = stdout.replace(/\n$/, '').split('\n')
    expect(lines[0]).toBe('check\tlevel\tseen\tnext')
    for (const line of lines) expect(line.split('\t')).toHaveLength(4)
  })
})

test('without an appliance, and with unsound settings, both are told at once', async () => {
  const state = folder()
  writeFileSync(join(state, 'bad.yaml'), 'decoys: { primary: { kernel: true, listen: ["0.0.0.0:25"] } }\n')
  const words = ['doctor', '--json', '--state', state, '--settings', join(state, 'bad.yaml')]
  const { stdout, code } = await runToEnd(process.execPath, [START, ...words])
  const { level, findings } = JSON.parse(stdout) as Told
  expect([code, level]).toEqual([2, 'CRITICAL'])
  expect(findings.filter((each) => each.level === 'fail')).toMatchObject([
    {
      check: 'settings',
      seen: expect.stringContaining('would refuse strangers at every address') as string,
      next: 'decoymx check shows all of them',
    },
    {
      check: 'appliance',
      seen: `no decoymx is running on ${state}`,
      next: expect.stringContaining('Start it with') as string,
    },
  ])
})

describe.skipIf(inject('missing').includes('redis-server'))('status and doctor', () => {
  test('call the same box the same: sound; and with unsound rules, without its real MX and its Redis', async () => {
    const redis = await startRedis(KEEPS)
    onTestFinished(() => redis.stop())
    // Nobody else is there when it has gone.
    const [port] = await freePorts(1)
    const mx = createServer((socket) => {
      socket.on('error', () => {}).write('220 mx.example.test ESMTP\r\n')
      socket.on('data', (line) => socket.write(String(line).startsWith('QUIT') ? '221 bye\r\n' : '250 ok\r\n'))
    }).listen(port, '127.0.0.1')
    await once(mx, 'listening')
    onTestFinished(() => void mx.close())
    const rules = join(folder(), 'rules.yaml')
    const sound = readFileSync(join(ROOT, 'rules.yaml'), 'utf8')
    writeFileSync(rules, sound)
    const box = await startAppliance({
      redisUrl: redis.url,
      rules,
      settings: { journal: SMALL_JOURNAL, 'real-mx': { greet: [`127.0.0.1:${port}`], every: '1s' } },
    })
    onTestFinished(() => box.clear())
    const said = async (command: string) => {
      const words = [
        command,
        '--json',
        ...(command === 'doctor' ? ['--rules', rules, '--settings', join(box.folder, 'decoymx.yaml')] : []),
      ]
      return JSON.parse((await box.decoymx(...words)).stdout) as {
        level: string
        remarks: string[]
        findings: Finding[]
      }
    }
    const both = async () => {
      const told = await said('doctor')
      const { level, remarks } = await said('status')
      const wrong = told.findings.filter((each) => each.level !== 'ok').map(({ check }) => check)
      return { levels: [level, told.level], wrong: [...new Set(wrong)].toSorted(), remarks: remarks.join('\n') }
    }

    // On a busy machine the store may have hung for a moment, and both say that, too.
    await expect.poll(both).toEqual({ levels: ['OK', 'OK'], wrong: [], remarks: '' })
    mx.close()
    await box.heard(/witness: the real MX is down/)
    writeFileSync(rules, sound.replace('weight: 110', 'wieght: 110'))
    await box.heard(/the old rules stay/)
    await redis.kill()
    await box.heard(/the last known ones are used/)
    const { levels, wrong, remarks } = await both()
    expect(levels).toEqual(['WARNING', 'WARNING'])
    expect(wrong).toEqual(['canary', 'rules', 'settings', 'store', 'witness'])
    expect(remarks).toMatch(
      /the old rules stay: [^]*wieght[^]*the store is away since [^]*the real MX 127\.0\.0\.1:\d+ is down since/,
    )
  })
})
