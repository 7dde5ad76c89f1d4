/**
 * Parts on hosts of their own: two hosts with decoys, two that answer, one Redis, each in a network namespace; what is seen
 * on one is the answer on the others.
 */
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { ask } from '../../src/command/appliance.ts'
import type { CanaryView } from '../../src/daemon/canary.ts'
import { type Plan, quantile } from '../evidence-to-answer.ts'
import { Internet, noNamespaces, type Place } from '../namespaces.ts'
import { type Appliance, SOON_MS, startAppliance } from './appliance.ts'

const missing = inject('missing')
const hindered = (['ip', 'redis-server'] as const).some((program) => missing.includes(program))
  ? 'ip or redis-server is missing'
  : noNamespaces()
if (hindered !== undefined && process.env['CI']) throw new Error(hindered)
if (hindered !== undefined) process.stderr.write(`\nSkipped, test/e2e/hosts: ${hindered}\n`)

const TRIES = 100
const HOSTS = ['decoy1', 'decoy2', 'answer1', 'answer2'] as const
/** Each host has a cable of its own to the middle, where Redis is. */
const near = (host: (typeof HOSTS)[number]) => `10.99.${HOSTS.indexOf(host) + 1}.2`
const middle = (host: (typeof HOSTS)[number]) => `10.99.${HOSTS.indexOf(host) + 1}.1`

describe.skipIf(hindered !== undefined)('two hosts with decoys, two that answer, one Redis', () => {
  const internet = new Internet()
  const hosts = new Map<string, Appliance>()
  let network: Place

  beforeAll(async () => {
    network = await internet.place('middle')
    const places = await Promise.all(HOSTS.map((host) => internet.place(host)))
    for (const [i, host] of HOSTS.entries())
      await internet.join(network, [`${middle(host)}/24`], places[i] as Place, [`${near(host)}/24`])
    const words = ['--port', '6379', '--bind', '0.0.0.0', '--protected-mode', 'no', '--save', '', '--dir', tmpdir()]
    const redis = network.spawn('redis-server', words, { stdio: ['ignore', 'pipe', 'inherit'] })
    for (let said = ''; !said.includes('eady to accept');)
      said += String(((await once(redis.stdout!, 'data')) as [Buffer])[0])
    const started = await Promise.allSettled(
      HOSTS.map(async (host, i) => {
        const settings = {
          decoys: {
            pace: { greeting: '20ms', reply: '0ms', byte: '0ms', drip: '1s' },
            'proxy-from': [`${middle(host)}/32`],
            primary: { listen: [`${near(host)}:25`], proxy: [] },
            backup: { listen: [`${near(host)}:2590`], proxy: [`${near(host)}:2591`] },
          },
          policy: { listen: [`${near(host)}:10040`] },
          dnsbl: { listen: [`${near(host)}:53`], askers: [`${near(host)}/32`] },
          http: { listen: [`${near(host)}:8025`] },
          governor: { 'per-minute': 1000, 'per-network': 1000 },
        }
        const only = host.startsWith('decoy') ? 'decoys,http' : 'policy,dnsbl,http'
        const launch = ['ip', 'netns', 'exec', (places[i] as Place).name]
        hosts.set(host, await startAppliance({ settings, only, launch, redisUrl: `redis://${middle(host)}:6379` }))
      }),
    )
    for (const each of started) if (each.status === 'rejected') throw each.reason
  })

  afterAll(async () => {
    await Promise.all([...hosts.values()].map((host) => host.clear()))
    await internet[Symbol.asyncDispose]()
  })

  test(`evidence at a decoy is the answer on every other host within ${SOON_MS} ms at p99`, async () => {
    const plan: Plan = {
      decoys: (['decoy1', 'decoy2'] as const).map((host) => ({ host: near(host), port: 2591 })),
      answers: (['answer1', 'answer2'] as const).map((host) => ({ host: near(host), port: 10_040 })),
      tries: TRIES,
    }
    const program = join(import.meta.dirname, '../evidence-to-answer.ts')
    const figures = JSON.parse(await network.run(process.execPath, program, JSON.stringify(plan))) as number[]
    expect(figures).toHaveLength(2 * TRIES)
    const [p50, p99] = [quantile(figures, 0.5), quantile(figures, 0.99)]
    process.stdout.write(
      `\nevidence to answer, 2 hosts with decoys to 2 that answer, ${figures.length} answers: p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms\n`,
    )
    expect(p99).toBeLessThan(SOON_MS)
  })

  test('each host knows what the others have seen, and its part of the chain is proved by a canary of its own', async () => {
    for (const host of hosts.values())
      expect((await host.decoymx('why', '198.18.100.0', '--json')).stdout).toContain('"verdict": "block"')
    for (const [name, host] of hosts) {
      const view = (await ask(join(host.folder, 'state'), 'POST', '/api/v1/canary', undefined, 30_000))
        .body as CanaryView
      expect([name, view.state, view.because]).toEqual([name, 'sound', null])
      const ways = view.checks.map(({ way }) => way.split(' ')[0])
      expect(ways).toEqual(name.startsWith('decoy') ? ['HTTP', 'export'] : ['policy', 'DNSBL', 'HTTP', 'export'])
    }
  })
})
