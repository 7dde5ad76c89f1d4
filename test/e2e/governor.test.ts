/**
 * A rule that would list everybody, loaded on purpose into a running appliance: the governor stops it, says so in `status`
 * and as a metric, and the good rules, loaded again, undo what there was.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import type { WaitingView } from '../../src/answer/views.ts'
import { ask } from '../../src/command/appliance.ts'
import { Visitor } from '../decoy/visitors.ts'
import { comesTrue, KEEPS, type RedisServer, startRedis } from '../servers.ts'
import { type Appliance, isWell, startAppliance, statusOf, textAt } from './appliance.ts'

const SOUND = readFileSync(join(import.meta.dirname, '../../rules.yaml'), 'utf8')
/** The note that everybody leaves at the primary becomes a reason to block. */
const BAD = SOUND.replace(/(name: primary-touched\n\s+counts: primary\.contact\n\s+weight: )0/, '$1200')

describe.each(['embedded', 'redis'] as const)('with the %s store', (store) => {
  describe.skipIf(store === 'redis' && inject('missing').includes('redis-server'))('one bad rule', () => {
    let redis: RedisServer | undefined
    let appliance: Appliance
    let rules: string
    const state = () => join(appliance.folder, 'state')
    const load = async (source: string) => {
      writeFileSync(rules, source)
      expect((await ask(state(), 'POST', '/api/v1/reload')).status).toBe(200)
    }
    const waiting = async () =>
      ((await ask(state(), 'GET', '/api/v1/governor')).body as { waiting: WaitingView[] }).waiting
    const knock = async (ip: string) => {
      const visitor = new Visitor(connect({ ...appliance.door('primary decoy, PROXY'), allowHalfOpen: true }))
      visitor.socket.write(`PROXY TCP4 ${ip} 127.0.0.1 40000 25\r\n`)
      await visitor.ended
    }
    beforeAll(async () => {
      if (store === 'redis') redis = await startRedis(KEEPS)
      const first = await startAppliance({ redisUrl: redis?.url })
      rules = join(first.folder, 'rules.yaml')
      await first.end()
      writeFileSync(rules, SOUND)
      appliance = await startAppliance({
        redisUrl: redis?.url,
        folder: first.folder,
        rules,
        settings: { governor: { 'per-minute': 10 } },
      })
    })
    afterAll(async () => {
      await appliance?.clear()
      await redis?.stop()
    })

    test('lists a handful and no more; status and the metric say so', async () => {
      expect(BAD).not.toBe(SOUND)
      await load(BAD)
      await Promise.all(Array.from({ length: 60 }, (_, i) => knock(`198.51.${i}.7`)))
      await comesTrue(async () => (await waiting()).length === 50)
      expect((await statusOf(appliance)).reputation.rulings.rules).toMatchObject({ block: 10 })
      const told = await appliance.decoymx('status')
      expect(told.code).toBe(1)
      expect(told.stdout).toMatch(/governor: 50 new listings wait: too many in a minute.*see .+ governor/)
      expect(await textAt(appliance, '/metrics')).toContain('decoymx_listings_waiting{why="minute"} 50')
      expect(await textAt(appliance, '/metrics')).toContain('decoymx_listings_held_back_total{why="minute"} 50')
      await appliance.heard(/governor: a listing waits/)
    })

    test('an operator may enlist one of those that wait, or let one go', async () => {
      const [one, other] = (await waiting()).map(({ client }) => client) as [string, string]
      const { code, stdout } = await appliance.decoymx('why', one)
      expect(code).toBe(0)
      expect(stdout).toContain('The rules say block, and the governor holds it back (too many in a minute')
      const enlisted = await appliance.decoymx('governor', 'enlist', one, '--because', 'this one is a bot')
      expect(enlisted).toMatchObject({ code: 0, stdout: 'enlisted 1 waiting listings: in effect now\n' })
      expect((await appliance.decoymx('why', one)).code).toBe(11)
      expect((await appliance.decoymx('governor', 'discard', other, '--because', 'this one not')).code).toBe(0)
      expect((await appliance.decoymx('why', other)).code).toBe(0)
      expect((await appliance.decoymx('governor')).stdout.trim().split('\n')).toHaveLength(49)
      expect(await appliance.decoymx('governor', 'enlist', '192.0.2.1')).toMatchObject({
        code: 1,
        stderr: expect.stringContaining('no listing waits there'),
      })
    })

    test('the good rules release what was listed and discard what waits', async () => {
      await load(SOUND)
      expect(await waiting()).toEqual([])
      await comesTrue(async () => (await statusOf(appliance)).reputation.rulings.rules.block === 0)
      await isWell(appliance)
      expect(await textAt(appliance, '/metrics')).toContain('decoymx_listings_waiting{why="minute"} 0')
      expect((await appliance.decoymx('governor')).stdout).toBe('No listing waits.\n')
    })
  })
})
