/**
 * Redis fails in every way that it can, under a whole reputation: journal, intake, store, ledger and decision, with the
 * rules that we ship. In each case answers stay as they were and come at once, nobody is listed who should not be, and
 * what was told meanwhile is counted once when it is over.
 */
import { once } from 'node:events'
import { Resolver } from 'node:dns/promises'
import { connect } from 'node:net'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { describe, expect, inject, onTestFinished, test } from 'vitest'
import { parseClient } from '../../src/core/client.ts'
import type { Evidence, Kind, Role } from '../../src/core/evidence.ts'
import { total } from '../../src/core/facts.ts'
import {
  openReputation,
  type RedisAccess,
  type Reputation,
  type ReputationHappening,
} from '../../src/reputation/reputation.ts'
import { folder } from '../folders.ts'
import { shippedRules } from '../rules.ts'
import { startAppliance, textAt } from './appliance.ts'
import { comesTrue, KEEPS, MASTER, startCluster, startRedis, startSentinel } from '../servers.ts'

const RULES = shippedRules()
/** Of whom is refused from memory: by whom, how long that goes on, and no count that nobody knows. */
const WHY_FROM_THE_COPY =
  /^203\.0\.113\.9 BLOCK .*ticket .* The operator: a bot .*The store did not answer in time: what was seen of it is not known now\. What stands is from our copy of the decisions, which is good until 20\S+ \S+ UTC \(in \d+ (?:min|s)\), .*Contacts: not known .*network 203\.0\.113\.0\/24: not known/
/** Long enough for a slow machine that is well, short beside what a hang would cost without a breaker. */
const COMMAND_TIMEOUT_MS = 400
/** No answer waits for a store that hangs; what a busy machine takes of the time is no fault of ours, and far below it. */
const ANSWERS_WITHIN_MS = COMMAND_TIMEOUT_MS / 2
/** What the settings of an appliance grant its store for a command. */
const STORE_TIMEOUT_MS = 500
const ASKS = 2000
const HONEST = ['192.0.2.1', '192.0.2.2', '2001:db8:1::1']
const LISTED = ['203.0.113.1', '203.0.114.1', '2001:db8:2::1']
const NEW = ['198.51.100.1', '198.51.101.1', '2001:db8:3::1']

describe.skipIf(inject('missing').includes('redis-server'))('with Redis', () => {
  test('hung (SIGSTOP): one deadline for all calls, not one for each', async () => {
    const redis = await server()
    const house = await openHouse({ at: { path: redis.url } })
    await house.begin()
    redis.signal('SIGSTOP')
    await house.goesOn(/no answer within 400 ms/)
    const began = performance.now()
    const calls = 200
    for (let i = 0; i < calls; i++) await house.reputation.explain(clientOf(HONEST[0] as string))
    expect(performance.now() - began).toBeLessThan((calls / 4) * COMMAND_TIMEOUT_MS)
    redis.signal('SIGCONT')
    await house.recovers()
  })

  test('two boxes with different rules are told of by both', async () => {
    const redis = await server()
    const rules = join(folder(), 'rules.yaml')
    writeFileSync(rules, readFileSync('rules.yaml', 'utf8').replace('block: 100', 'block: 90'))
    const boxes = [await startAppliance({ redisUrl: redis.url }), await startAppliance({ redisUrl: redis.url, rules })]
    for (const box of boxes) onTestFinished(() => box.clear())
    for (const box of boxes) {
      const warned = async () => (await box.decoymx('status')).stdout.includes('runs other rules than we do')
      await comesTrue(warned)
      expect((await box.decoymx('status')).code).toBe(1)
    }
  })

  test('hung, then killed, seen from the doors of a whole appliance', async () => {
    const redis = await server()
    const appliance = await startAppliance({ redisUrl: redis.url })
    onTestFinished(() => appliance.clear())
    const [bot, honest, mistaken] = ['203.0.113.9', '192.0.2.9', '198.51.100.9']
    for (const ip of [bot, mistaken]) await appliance.decoymx('block', ip, '--because', 'a bot')
    const resolver = new Resolver({ timeout: 20_000, tries: 1 })
    const { host, port } = appliance.door('DNSBL, UDP')
    resolver.setServers([`${host}:${port}`])
    const listed = (ip: string) =>
      resolver.resolve4(`${ip.split('.').toReversed().join('.')}.bl.decoymx.test`).then(
        ([answer]) => answer,
        (error: NodeJS.ErrnoException) => error.code,
      )
    const asker = connect({ ...appliance.door('policy'), noDelay: true })
    onTestFinished(() => void asker.destroy())
    const policy = async (ip: string) => {
      asker.write(`request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address=${ip}\n\n`)
      const [chunk] = (await once(asker, 'data')) as [Buffer]
      return /^action=(\w+)/.exec(chunk.toString())?.[1]
    }
    /** So long took 99 of 100 answers, each of them the right one. */
    const answersTook = async () => {
      const tookMs: number[] = []
      for (let i = 0; i < 100; i++) {
        for (const [ask, expected] of [
          [() => policy(bot), 'REJECT'],
          [() => policy(honest), 'DUNNO'],
          [() => listed(bot), '127.0.0.2'],
          [() => listed(honest), 'ENOTFOUND'],
        ] as const) {
          const asked = performance.now()
          expect(await ask()).toBe(expected)
          tookMs.push(performance.now() - asked)
        }
      }
      return tookMs.toSorted((a, b) => a - b)[396] as number
    }
    // None waits for the store. What a busy machine takes from the whole appliance is told, and is no fault of ours.
    const tell = (when: string, ms: number) => {
      process.stderr.write(`answers, ${when}: p99 ${ms.toFixed(1)} ms\n`)
      expect(ms).toBeLessThan(STORE_TIMEOUT_MS / 2)
    }
    tell('the store well', await answersTook())
    redis.signal('SIGSTOP')
    tell('the store hung', await answersTook())
    const why = await appliance.decoymx('why', bot)
    expect([why.code, why.stdout.replaceAll(/\s+/g, ' ')]).toEqual([11, expect.stringMatching(WHY_FROM_THE_COPY)])
    expect((await appliance.decoymx('why', honest)).stdout).toContain('Nothing stands about it in our copy')
    const saying = appliance.decoymx('allow', mistaken, '--because', 'a mistake')
    await comesTrue(async () => (await policy(mistaken)) === 'DUNNO')
    expect((await saying).stdout).toContain('in effect here; elsewhere as soon as the store answers again')
    const { code, stdout } = await appliance.decoymx('status')
    expect(code).toBe(1)
    expect(stdout).toMatch(
      /the store (is away|hangs) since .*no answer within 500 ms; the last known decisions are used/,
    )
    expect(stdout).toMatch(/Copy +of the decisions: fresh/)
    const metrics = await textAt(appliance, '/metrics')
    expect(metrics).toMatch(/^decoymx_store_up 0$/m)
    expect(metrics).toMatch(/^decoymx_ledger_fresh 1$/m)
    await redis.kill()
    tell('the store killed', await answersTook())
  })

  test('slow: evidence takes its time, answers do not', async () => {
    const redis = await server()
    const admin = adminOf(redis.url)
    // Far longer than a pause, and what a busy machine adds to one: that the store is slow makes it no store that is away.
    const house = await openHouse({ at: { path: redis.url } }, 10_000)
    await house.begin()
    const slowing = setInterval(() => void admin.call('CLIENT', 'PAUSE', 150, 'ALL').catch(() => {}), 160)
    onTestFinished(() => clearInterval(slowing))
    await house.offends(NEW)
    await house.answersStay()
    await house.delivers()
    clearInterval(slowing)
    await house.recovers()
    expect(house.told.filter(({ from, it }) => from === 'store' && it.what === 'down')).toEqual([])
  })

  test('killed, and started again with what it had on disk', async () => {
    const redis = await server(KEEPS)
    const house = await openHouse({ at: { path: redis.url } })
    await house.begin()
    await redis.kill()
    await house.goesOn(/ENOENT|ECONNREFUSED|closed/)
    await redis.start()
    await house.recovers()
  })

  test('restarted empty: what stood is judged anew from the journal', async () => {
    const redis = await server()
    const house = await openHouse({ at: { path: redis.url } })
    await house.begin()
    await redis.kill()
    await house.goesOn(/ENOENT|ECONNREFUSED|closed/)
    await redis.start()
    await house.recovers()
    expect(house.told.filter(({ from, it }) => from === 'store' && it.what === 'rewound')).toHaveLength(1)
  })

  test('out of memory (maxmemory, noeviction)', async () => {
    const redis = await server()
    const admin = adminOf(redis.url)
    const house = await openHouse({ at: { path: redis.url } })
    await house.begin()
    await admin.config('SET', 'maxmemory', '1')
    await house.goesOn(/OOM/)
    expect(house.reputation.state(), 'what stands is known to be fresh').toMatchObject({ ledger: 'fresh' })
    await admin.config('SET', 'maxmemory', '0')
    await house.recovers()
  })

  test('that has another password than ours', async () => {
    const redis = await server(['--requirepass', 'right'])
    const admin = adminOf(redis.url, 'right')
    const house = await openHouse({ at: { path: redis.url }, password: 'right' })
    await house.begin()
    await admin.config('SET', 'requirepass', 'changed')
    await admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    await house.goesOn(/WRONGPASS/)
    await admin.config('SET', 'requirepass', 'right')
    await house.recovers()
  })

  test('that is a read-only replica now', async () => {
    const redis = await server()
    const admin = adminOf(redis.url)
    const house = await openHouse({ at: { path: redis.url } })
    await house.begin()
    await admin.call('REPLICAOF', '127.0.0.1', '1')
    await house.goesOn(/read-only replica: the store is at its master, 127\.0\.0\.1 port 1/)
    await admin.call('REPLICAOF', 'NO', 'ONE')
    await house.recovers()
  })

  test('killed in the middle of a delivery, again and again: each event is there, once', async () => {
    const redis = await server(KEEPS)
    const house = await openHouse({ at: { path: redis.url } })
    await house.begin()
    const bots = Array.from({ length: 40 }, (_, i) => `203.0.${i}.77`)
    let cut = 0
    for (let round = 0; round < 5; round++) {
      const before = house.counted()
      const writing = Promise.all(
        Array.from({ length: 1000 }, (_, i) => house.saw('contact', bots[(i + round) % bots.length] as string)),
      )
      // Some of it is in Redis, and some is on its way.
      while (house.counted() === before) await new Promise((resolve) => setImmediate(resolve))
      await redis.kill()
      cut += house.reputation.state().waiting
      await writing
      await redis.start()
    }
    await house.delivers()
    await house.countsOnce(bots)
    expect(cut, 'events were on their way when it was killed').toBeGreaterThan(0)
    expect(house.told.filter(({ from, it }) => from === 'store' && it.what === 'down').length).toBeGreaterThanOrEqual(5)
  })

  test('Cluster: slots moved to other nodes while we write', async () => {
    const { cluster, house } = await clusterHouse()
    const keys = ['{rulings}', ...[...LISTED, ...NEW].map((ip) => `{${clientOf(ip).key}}`), '{5}', '{77}']
    for (const key of keys) {
      const slot = Number(await cluster.nodes[0]?.admin.call('CLUSTER', 'KEYSLOT', key))
      const to = ((await cluster.ownerOf(slot)) + 1) % 3
      await cluster.move(slot, to, async () => {
        await Promise.all([...LISTED, ...NEW].map((ip) => house.saw('contact', ip)))
        await house.answersStay()
      })
    }
    await house.offends(NEW)
    await house.recovers()
  })

  test('Cluster: a node hangs, and the others serve on', async () => {
    const { cluster, house } = await clusterHouse()
    const rulings = await cluster.ownerOf(Number(await cluster.nodes[0]?.admin.call('CLUSTER', 'KEYSLOT', '{rulings}')))
    const hung = cluster.nodes[(rulings + 1) % 3]
    hung?.signal('SIGSTOP')
    await house.goesOn(/./)
    expect(house.reputation.state().ledger, 'the rulings are on another node').toBe('fresh')
    hung?.signal('SIGCONT')
    await house.recovers()
  })

  test('Cluster: a node comes back empty; what was there alone is counted again', async () => {
    const { cluster, house } = await clusterHouse()
    const [lost] = cluster.nodes
    await lost?.kill()
    await house.goesOn(/./)
    await lost?.start()
    await house.recovers()
    expect(house.told.some(({ from, it }) => from === 'store' && it.what === 'rewound')).toBe(true)
  })

  test('Sentinel: the master dies, and its replica takes over', async () => {
    const { sentinel, master, stop } = await startSentinel()
    onTestFinished(stop)
    const house = await openHouse({ at: { master: MASTER, sentinels: [sentinel] } })
    await house.begin()
    await master.kill()
    await house.goesOn(/ECONNREFUSED|closed/)
    await house.recovers()
  })
})

type House = {
  readonly reputation: Reputation
  readonly told: ReputationHappening[]
  /** How many pieces of evidence the store has taken. */
  readonly counted: () => number
  /** Settles once it is in the journal. */
  readonly saw: (kind: Kind, ip: string, role?: Role) => Promise<void>
  /** All that these clients must do to be blocked. */
  readonly offends: (ips: readonly string[]) => Promise<void>
  /** Listed ones are blocked, honest ones have been at the real MX. */
  readonly begin: () => Promise<void>
  /** Many questions, while the fault lasts: who was listed is, nobody else, and the answers come at once. */
  readonly answersStay: () => Promise<void>
  /** The fault is there and has been noticed for this reason; answers stay, and new evidence is taken. */
  readonly goesOn: (because: RegExp) => Promise<void>
  /** All that is in the journal is in the store. */
  readonly delivers: () => Promise<void>
  /** The facts of these clients are what was told of them. */
  readonly countsOnce: (ips: readonly string[]) => Promise<void>
  /** The fault is over: what came meanwhile is listed, for another box, too, and everything was counted once. */
  readonly recovers: () => Promise<void>
}

/** A house over a Cluster of its own, with somebody listed. */
async function clusterHouse() {
  const cluster = await startCluster()
  onTestFinished(() => cluster.stop())
  const house = await openHouse({ at: { cluster: cluster.nodes.map(({ host, port }) => ({ host, port })) } })
  await house.begin()
  return { cluster, house }
}

async function openHouse(access: RedisAccess, commandTimeoutMs = COMMAND_TIMEOUT_MS): Promise<House> {
  const told: ReputationHappening[] = []
  const open = async () => {
    const reputation = await openReputation({
      folder: folder(),
      redis: { ...access, commandTimeoutMs },
      keepMs: 1e9,
      journalBytesMax: 1e9,
      maxAgeMs: 60_000,
      watch: 'trusted',
      governor: { perMinute: 1000, perNetwork: 1000, goodShare: 1 },
      rules: () => RULES,
      memberOf: () => undefined,
      identify: () => {},
      now: Date.now,
      tell: (happening) => told.push(happening),
    })
    onTestFinished(() => reputation.close())
    return reputation
  }
  const reputation = await open()
  const seen: Evidence[] = []
  const saw = async (kind: Kind, ip: string, role: Role = 'backup') => {
    const evidence: Evidence = { type: 'evidence', at: Date.now(), client: ip, role, kind }
    seen.push(evidence)
    await reputation.witness(evidence)
  }
  const offends = async (ips: readonly string[]) => {
    await Promise.all(
      ips.flatMap((ip) => (['contact', 'early-talk', 'recipient'] as const).map((kind) => saw(kind, ip))),
    )
  }
  const delivers = () => comesTrue(() => reputation.state().waiting === 0, 60_000)
  const effectOf = (ip: string, at = reputation) => at.decide(clientOf(ip)).effect
  const listed = new Set<string>()
  const answersStay = async () => {
    const tookMs: number[] = []
    for (let i = 0; i < ASKS; i++) {
      const ip = [...LISTED, ...HONEST][i % 6] as string
      const asked = performance.now()
      await new Promise((resolve) => setImmediate(resolve))
      const effect = effectOf(ip)
      tookMs.push(performance.now() - asked)
      expect(effect, ip).toBe(listed.has(ip) ? 'block' : 'pass')
    }
    expect(tookMs.toSorted((a, b) => a - b)[ASKS * 0.99]).toBeLessThan(ANSWERS_WITHIN_MS)
  }
  const countsOnce = async (ips: readonly string[]) => {
    for (const ip of ips) {
      const own = (await reputation.explain(clientOf(ip))).facts.own
      const facts = new Set(seen.map(({ role, kind }) => `${role}.${kind}` as Parameters<typeof total>[1]))
      for (const fact of facts) {
        const times = seen.filter((it) => it.client === ip && `${it.role}.${it.kind}` === fact).length
        expect([ip, fact, total(own, fact)]).toEqual([ip, fact, times])
      }
    }
  }
  return {
    reputation,
    told,
    counted: () => told.filter(({ from, it }) => from === 'intake' && it.what === 'counted').length,
    saw,
    offends,
    delivers,
    answersStay,
    countsOnce,
    async begin() {
      await offends(LISTED)
      await Promise.all(HONEST.map((ip) => saw('passed', ip, 'real')))
      await delivers()
      for (const ip of LISTED) {
        await comesTrue(() => effectOf(ip) === 'block')
        listed.add(ip)
      }
      await answersStay()
    },
    async goesOn(because) {
      await Promise.all([offends(NEW), saw('contact', LISTED[0] as string), saw('passed', HONEST[0] as string, 'real')])
      await answersStay()
      const trouble = () => `${reputation.state().storeHealth.error} ${reputation.state().blocked}`
      await comesTrue(() => reputation.state().blocked !== null && because.test(trouble()))
      await answersStay()
      const [, freed, forgiven] = LISTED as [string, string, string]
      for (const [word, ip] of [
        ['allow', freed],
        ['release', forgiven],
      ] as const) {
        const at = Date.now()
        const saying = reputation.say({ type: 'word', at, word, target: ip, because: 'a mistake', author: 'ann' })
        await comesTrue(() => effectOf(ip) === 'pass', 1000)
        listed.delete(ip)
        expect(await saying, 'it is written down').not.toBe('lost')
        seen.splice(0, seen.length, ...seen.filter(({ client }) => word === 'allow' || client !== ip))
      }
      expect(NEW.map((ip) => effectOf(ip))).toEqual(NEW.map(() => 'pass'))
      expect(reputation.state().waiting).toBeGreaterThan(0)
    },
    async recovers() {
      await delivers()
      for (const ip of NEW) listed.add(ip)
      for (const ip of listed) await comesTrue(() => effectOf(ip) === 'block')
      await answersStay()
      await countsOnce([...LISTED, ...NEW, ...HONEST])
      expect(reputation.state()).toMatchObject({ ledger: 'fresh', blocked: null, storeHealth: { state: 'up' } })
      const other = await open()
      for (const ip of [...LISTED, ...NEW, ...HONEST])
        expect([ip, effectOf(ip, other)]).toEqual([ip, listed.has(ip) ? 'block' : 'pass'])
      const bots = [...LISTED, ...NEW].map((ip) => clientOf(ip).key)
      for (const { by, target } of other.rulings()) if (by === 'rules') expect(bots).toContain(target)
    },
  }
}

function clientOf(ip: string) {
  const client = parseClient(ip)
  if (!client) throw new Error(`no address: ${ip}`)
  return client
}

async function server(args: readonly string[] = []) {
  const redis = await startRedis(args)
  onTestFinished(() => redis.stop())
  return redis
}

/** Somebody who may do anything at a server that fails. */
function adminOf(path: string, password?: string): Redis {
  const admin = new Redis(password === undefined ? { path } : { path, password })
  admin.on('error', () => {})
  onTestFinished(() => admin.disconnect())
  return admin
}
