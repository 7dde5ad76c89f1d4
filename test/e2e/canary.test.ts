/** The canary in a whole appliance: what it proves at each door, what it leaves behind, and what it says when the chain is broken. */
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, inject, onTestFinished, test } from 'vitest'
import { ask } from '../../src/command/appliance.ts'
import type { CanaryView } from '../../src/daemon/canary.ts'
import { spellAddress } from '../../src/settings/places.ts'
import { SHUT } from '../doors.ts'
import { folder } from '../folders.ts'
import { Internet, noNamespaces } from '../namespaces.ts'
import { startRedis } from '../servers.ts'
import { type Appliance, type ApplianceOptions, startAppliance, statusOf, textAt } from './appliance.ts'

const ROOT = join(import.meta.dirname, '../..')
const ANY = ['127.0.0.1:0']
const missing = inject('missing')
const hindered = missing.includes('nft') || missing.includes('ip') ? 'ip or nft is missing' : noNamespaces()
if (hindered !== undefined && process.env['CI']) throw new Error(hindered)
if (hindered !== undefined) process.stderr.write(`\nSkipped, test/e2e/canary, kernel: ${hindered}\n`)

async function start(options: ApplianceOptions = {}): Promise<Appliance> {
  const appliance = await startAppliance({ ...options, settings: { milter: { listen: ANY }, ...options.settings } })
  onTestFinished(() => appliance.clear())
  return appliance
}

const stateOf = ({ folder: path }: Appliance) => join(path, 'state')
const play = async (appliance: Appliance) =>
  (await ask(stateOf(appliance), 'POST', '/api/v1/canary', undefined, 30_000)).body as CanaryView
const seen = ({ checks }: CanaryView) => checks.map(({ way, seen }) => `${way.split(' ')[0]}: ${seen}`)

/** What deploy/Dockerfile has asked; its exit code. */
function healthcheck(appliance: Appliance): number | null {
  const [, words = ''] =
    /^HEALTHCHECK .*CMD (\[.*\])$/m.exec(readFileSync(join(ROOT, 'deploy/Dockerfile'), 'utf8')) ?? []
  const [program, ...args] = JSON.parse(words) as [string, ...string[]]
  const env = { ...process.env, DECOYMX_STATE: stateOf(appliance) }
  return spawnSync(program, args, { env, timeout: 60_000 }).status
}

const EVERYWHERE = [
  'policy: the bot REJECT, the honest client DUNNO',
  'milter: the bot 550, the honest client continue',
  'DNSBL: the bot 127.0.0.2, the honest client NXDOMAIN',
  'HTTP: the bot block, the honest client clean',
  'export: the bot listed, the honest client absent',
]

describe('a chain that works', () => {
  test.each([0, 2])(
    'with %i workers: the bot shows at every door, the honest client at none, and both are gone after it',
    async (workers) => {
      const decoys = { workers, primary: { listen: ANY, proxy: [] }, backup: { listen: ANY, proxy: [] } }
      const appliance = await start({ settings: { decoys } })
      expect((await statusOf(appliance)).canary).toMatchObject({ state: 'unplayed' })
      for (const plays of [1, 2]) {
        const view = await play(appliance)
        expect(view).toMatchObject({ state: 'sound', because: null })
        expect(seen(view)).toEqual(EVERYWHERE)
        expect(await textAt(appliance, '/metrics')).toContain(`decoymx_canary_plays_total{outcome="sound"} ${plays}`)
      }
      const { reputation, canary } = await statusOf(appliance)
      expect(canary.state).toBe('sound')
      expect(reputation.rulings.rules.block).toBe(0)
      // Its own questions are no sign of a real MX.
      expect(reputation.freeze).toMatchObject({ why: 'blind' })
      const metrics = await textAt(appliance, '/metrics')
      expect(metrics).toContain('decoymx_rulings_total{by="rules",word="block"} 0')
      expect(metrics).toContain('decoymx_evidence_total{role="backup",kind="recipient"} 0')
      expect(metrics).toContain('decoymx_answers_total{asker="policy",answer="block"} 0')
      expect(metrics).toContain('decoymx_canary_failing 0')
      expect(appliance.said()).not.toMatch(/"msg":"(seen|decision|policy):/)
      expect((await appliance.decoymx('status')).stdout).toMatch(
        /Canary +sound, .* were told right in 5 ways, after \d+ ms/,
      )
    },
  )

  test('where no decoys run, the evidence is written down; and in mode observe it proves that nobody is refused', async () => {
    const rules = join(folder(), 'rules.yaml')
    const enforce = readFileSync(join(ROOT, 'rules.yaml'), 'utf8')
    writeFileSync(rules, enforce.replace('mode: enforce', 'mode: observe'))
    const appliance = await start({ rules, only: 'policy,dnsbl,http' })
    const observing = await play(appliance)
    expect(observing.state).toBe('sound')
    expect(seen(observing)).toEqual([
      'policy: the bot DUNNO, the honest client DUNNO',
      'milter: the bot continue, the honest client continue',
      'DNSBL: the bot NXDOMAIN, the honest client NXDOMAIN',
      'HTTP: the bot block, the honest client clean',
      'export: the bot absent, the honest client absent',
    ])
    writeFileSync(rules, enforce)
    appliance.signal('SIGHUP')
    await appliance.heard(/mode enforce/)
    const enforcing = await play(appliance)
    expect(enforcing.state).toBe('sound')
    expect(seen(enforcing)).toEqual(EVERYWHERE)

    writeFileSync(rules, enforce.replace('block: REJECT }', 'block: DEFER_IF_PERMIT }'))
    const mark = appliance.mark()
    appliance.signal('SIGHUP')
    await appliance.heard(/mode enforce/, mark)
    const gentler = await play(appliance)
    expect(gentler.state).toBe('sound')
    expect(seen(gentler).slice(0, 2)).toEqual([
      'policy: the bot DEFER_IF_PERMIT, the honest client DUNNO',
      'milter: the bot 451, the honest client continue',
    ])
  })

  test.skipIf(hindered !== undefined)(
    "and in the kernel's sets, where the kernel refuses, and at the firewall",
    async () => {
      await using internet = new Internet()
      const host = await internet.place('host')
      await host.run('ip', 'address', 'add', '192.0.2.66/32', 'dev', 'lo')
      const appliance = await startAppliance({
        launch: ['ip', 'netns', 'exec', host.name],
        settings: {
          decoys: {
            primary: { listen: ['192.0.2.66:25'], proxy: [], kernel: true },
            backup: { listen: ANY, proxy: [] },
          },
          firewall: { nftables: true },
        },
      })
      try {
        const { stdout } = await appliance.decoymx('doctor', '--json')
        const { findings } = JSON.parse(stdout) as { findings: { check: string; level: string; seen: string }[] }
        const found = findings.filter(({ check }) => check === 'canary')
        expect(found.map(({ level }) => level)).toEqual(Array.from({ length: 7 }, () => 'ok'))
        expect(found.slice(-2).map(({ seen }) => seen)).toEqual([
          'kernel: the bot let in to be held, the honest client refused',
          'firewall: the bot refused, the honest client let in',
        ])
      } finally {
        await appliance.clear()
      }
    },
  )
})

describe('a chain that does not', () => {
  test('whoever looks after containers hears whether the process lives', async () => {
    const appliance = await start()
    expect(healthcheck(appliance)).toBe(0)
    await appliance.crash()
    expect(healthcheck(appliance)).toBe(1)
  })

  test.skipIf(missing.includes('redis-server'))(
    'a store that hangs is found out, told by status and as a metric, until it works again',
    async () => {
      const redis = await startRedis()
      onTestFinished(() => redis.stop())
      const appliance = await start({ redisUrl: redis.url })
      redis.signal('SIGSTOP')
      const view = await play(appliance)
      expect(view).toMatchObject({
        state: 'failing',
        because: expect.stringContaining('is not known 5 s later') as string,
      })
      expect(await textAt(appliance, '/metrics')).toContain('decoymx_canary_failing 1')
      await appliance.heard(/canary: a bot is not refused, or honest mail is/)
      const { code, stdout } = await appliance.decoymx('status')
      expect([code, stdout]).toEqual([
        1,
        expect.stringMatching(/WARNING[^]*the canary fails: [^]* doctor plays it again/),
      ])
      // What answers, if only DUNNO, is not to be ended by whoever looks after containers.
      expect(healthcheck(appliance)).toBe(0)
      redis.signal('SIGCONT')
      await appliance.heard(/evidence: flows again/)
      expect((await play(appliance)).state).toBe('sound')
      expect(await textAt(appliance, '/metrics')).toContain('decoymx_canary_failing 0')
    },
  )

  test('what is no fault of the chain is said, and no alarm: an operator who allowed it, a real MX that is away', async () => {
    const appliance = await start({ settings: { 'real-mx': { greet: [spellAddress(SHUT)] } } })
    expect(await play(appliance)).toMatchObject({
      state: 'paused',
      because: 'the real MX is away, so the backup turns everybody away at once',
    })
    expect((await appliance.decoymx('allow', '240.0.0.0/16', '--because', 'a test')).code).toBe(0)
    expect(await play(appliance)).toMatchObject({
      state: 'paused',
      because: expect.stringContaining('"allow"') as string,
    })
    expect(await textAt(appliance, '/metrics')).toContain('decoymx_canary_failing 0')
  })
})
