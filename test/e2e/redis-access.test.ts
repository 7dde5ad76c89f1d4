/** Redis as it is run: ACL users with the rights that docs/redis.md gives them and no others, TLS, Sentinels that are away. */
import { execFile } from 'node:child_process'
import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Redis } from 'ioredis'
import { describe, expect, inject, onTestFinished, test } from 'vitest'
import { parseClient } from '../../src/core/client.ts'
import type { RedisAccess } from '../../src/reputation/reputation.ts'
import { openRedis } from '../../src/reputation/redis.ts'
import type { Change, StoreHappening } from '../../src/reputation/store.ts'
import { type CertificateFiles, certificateFiles } from '../certificate.ts'
import { freePorts, SHUT } from '../doors.ts'
import { folder } from '../folders.ts'
import { openLife } from '../reputation/life.ts'
import { comesTrue, MASTER, type ServerTls, startCluster, startRedis, startRedisAt, startSentinel } from '../servers.ts'
import { startAppliance } from './appliance.ts'

const NOON = Date.parse('2026-11-24T12:00:00Z')
const ROOT = join(import.meta.dirname, '../..')
const PAGE = readFileSync(join(ROOT, 'docs/redis.md'), 'utf8')

/** The words of the page after `ACL SETUSER` for this user; of several lines the one that has `mark`. */
function rightsOf(user: string, mark: string): string[] {
  const lines = [...PAGE.matchAll(/^ {4}ACL SETUSER (\S+) (.*)$/gm)]
  const line = lines.find(([, name, rights]) => name === user && rights?.includes(mark))
  if (!line) throw new Error(`docs/redis.md gives no rights to ${user}`)
  return ['SETUSER', user, ...(line[2] as string).replace('>PASSWORD', '>secret').split(' ')]
}

const OURS = rightsOf('decoymx', '+evalsha')

/** All that a store is ever asked, once. */
async function wholeLife(access: RedisAccess, withinMs = 20_000): Promise<void> {
  let now = NOON
  const told: StoreHappening[] = []
  const store = await openRedis(access, {
    now: () => now,
    tell: (it) => told.push(it),
    sweepMs: 5,
    rulingsMax: 2,
    commandTimeoutMs: 2000,
  })
  try {
    const changes: Change[] = []
    await store.watch(
      (change) => changes.push(change),
      () => {},
    )
    const tally = { key: '203.0.113.9', network: '203.0.113.0/24', fact: 'backup.recipient', at: NOON, seq: 1 } as const
    const touched = await store.add('box', [tally], 1)
    expect([...touched.keys()].toSorted()).toEqual(['203.0.113.0/24', '203.0.113.9'])
    expect(await store.cursor('box')).toBe(1)
    await store.forget('203.0.113.9', NOON + 1)
    expect([...(await store.counts('203.0.113.9')).keys()]).toEqual([])
    const ruling = {
      by: 'rules',
      target: '203.0.113.9',
      word: 'block',
      since: NOON,
      ticket: 'T',
      because: 'b',
    } as const
    await store.put({ ...ruling, until: NOON + 1000 })
    await store.put({ ...ruling, by: 'operator', target: '198.51.100.0/24' })
    // One too many: the first goes.
    await store.put({ ...ruling, target: '203.0.113.10', until: NOON + 2000 })
    expect([...(await store.rulings()).rulings]).toHaveLength(2)
    await store.drop('operator 198.51.100.0/24')
    now += 2000
    await comesTrue(() => changes.length === 6, withinMs)
    expect(changes.map(({ generation }) => generation)).toEqual([1, 2, 3, 4, 5, 6])
    expect(await store.generation()).toBe(6)
    expect(told, 'nothing else was to be said').toEqual([{ what: 'up' }])
  } finally {
    await store.close()
  }
}

describe.skipIf(inject('missing').includes('redis-server'))('Redis as it is run', () => {
  test('our user needs the rights that docs/redis.md gives it, and no more', async () => {
    const redis = await started(await startRedis())
    const admin = client({ path: redis.url })
    await admin.call('ACL', ...OURS)
    const access = { at: { path: redis.url }, user: 'decoymx', password: 'secret' }
    await wholeLife({ ...access, database: 1 })
    expect(await admin.call('ACL', 'LOG')).toEqual([])

    const us = client({ path: redis.url, username: 'decoymx', password: 'secret' })
    for (const words of [['KEYS', '*'], ['FLUSHALL'], ['GET', 'other'], ['CONFIG', 'GET', '*'], ['SUBSCRIBE', 'other']])
      await expect(us.call(...(words as [string])), words.join(' ')).rejects.toThrow(/NOPERM/)

    // Each right is used: without it the life is not whole. Those of Clusters have their test below; INFO and EVAL are asked
    // for and done without, DEL is for what others left at our keys.
    const spare = new Set([
      '+select',
      '+cluster|slots',
      '+cluster|info',
      '+asking',
      '+client|setname',
      '+del',
      '+info',
      '+eval',
    ])
    for (const right of OURS.filter((word) => word.startsWith('+') && !spare.has(word))) {
      await admin.flushall()
      await admin.call('SCRIPT', 'FLUSH')
      await admin.call('ACL', ...OURS.filter((word) => word !== right))
      const outcome = await wholeLife(access, 500).then(
        () => 'whole',
        () => 'not whole',
      )
      expect([right, outcome]).toEqual([right, 'not whole'])
    }
  })

  test('the same user in a Cluster, and by way of a Sentinel that wants one', async () => {
    const cluster = await startCluster()
    onTestFinished(() => cluster.stop())
    const us = { user: 'decoymx', password: 'secret' }
    for (const { admin } of cluster.nodes) await admin.call('ACL', ...OURS)
    await wholeLife({ at: { cluster: cluster.nodes.map(({ host, port }) => ({ host, port })) }, ...us })
    for (const { admin } of cluster.nodes) expect(await admin.call('ACL', 'LOG')).toEqual([])

    const { sentinel, master, stop } = await startSentinel()
    onTestFinished(stop)
    const watcher = client(sentinel)
    await master.admin.call('ACL', ...OURS)
    await watcher.call('ACL', ...rightsOf('decoymx', '+sentinel'))
    await watcher.call('ACL', 'SETUSER', 'default', 'off')
    await wholeLife({ at: { master: MASTER, sentinels: [sentinel], ...us }, ...us })
    expect(await master.admin.call('ACL', 'LOG')).toEqual([])
  })

  test.skipIf(inject('missing').includes('openssl'))('by TLS, where both sides show certificates', async () => {
    const { certificate, key } = certificateFiles('redis.example.test')
    const [port] = (await freePorts(1)) as [number]
    const files = ['--tls-cert-file', certificate, '--tls-key-file', key, '--tls-ca-cert-file', certificate]
    await started(await startRedis(['--tls-port', String(port), '--bind', '127.0.0.1', ...files]))
    const [cert, privateKey] = [readFileSync(certificate, 'utf8'), readFileSync(key, 'utf8')]
    const at = { host: '127.0.0.1', port }
    const tls = { ca: cert, cert, key: privateKey, servername: 'redis.example.test' }
    await wholeLife({ at, tls })

    for (const [wrong, because] of [
      [{ ...tls, ca: undefined }, /self-signed|unable to verify/],
      [{ ...tls, servername: 'other.example.test' }, /does not match|Hostname\/IP/],
      [{ ca: cert, servername: 'redis.example.test' }, /certificate required|closed|ECONNRESET|alert/],
    ] as const) {
      const told: StoreHappening[] = []
      const store = await openRedis({ at, tls: wrong }, { now: () => NOON, tell: (it) => told.push(it) })
      await comesTrue(() => told.length > 0)
      expect(told).toEqual([{ what: 'down', error: expect.stringMatching(because) }])
      await store.close()
    }
  })

  describe.skipIf(inject('missing').includes('openssl'))('certificates that are renewed', () => {
    const NAME = 'redis.example.test'
    /** Ours and theirs are one, which believes in itself. */
    const shownBy = ({ certificate, key }: CertificateFiles): NonNullable<RedisAccess['tls']> => {
      const cert = readFileSync(certificate, 'utf8')
      return { ca: cert, cert, key: readFileSync(key, 'utf8'), servername: NAME }
    }

    test('in the running appliance: when their files change, for the next connection', async () => {
      const [old, now] = [certificateFiles(NAME), certificateFiles(NAME)]
      const [port] = (await freePorts(1)) as [number]
      const server = await startRedisAt(port, [], { ...old, ca: old.certificate })
      onTestFinished(() => server.stop())
      const [certificate, key] = [join(folder(), 'client.pem'), join(folder(), 'client.key')]
      const put = (from: CertificateFiles) => {
        copyFileSync(from.key, key)
        copyFileSync(from.certificate, certificate)
      }
      put(old)
      const tls = { ca: certificate, certificate, key, 'server-name': NAME }
      const appliance = await startAppliance({ settings: { store: { url: `rediss://127.0.0.1:${port}`, tls } } })
      onTestFinished(() => appliance.clear())
      await appliance.heard(/store: works/)
      const mark = appliance.mark()
      put(now)
      await appliance.heard(/secrets: password and certificate read anew/, mark)
      const files = [
        ['key-file', now.key],
        ['cert-file', now.certificate],
        ['ca-cert-file', now.certificate],
      ]
      await server.admin.call('CONFIG', 'SET', ...files.flatMap(([name, file]) => [`tls-${name}`, file as string]))
      const renewed = appliance.mark()
      for (const type of ['pubsub', 'normal']) await server.admin.call('CLIENT', 'KILL', 'TYPE', type, 'SKIPME', 'yes')
      await appliance.heard(/store: works/, renewed)
      expect((await appliance.decoymx('block', '203.0.113.9', '--because', 'a test')).stdout).toContain('in effect now')
    })

    test.each([
      [
        'one server',
        async (tls: ServerTls) => {
          const [port] = (await freePorts(1)) as [number]
          const { host, stop } = await startRedisAt(port, [], tls)
          return { at: { host, port }, stop }
        },
      ],
      [
        'Sentinels',
        async (tls: ServerTls) => {
          const { sentinel, stop } = await startSentinel(tls, false)
          return { at: { master: MASTER, sentinels: [sentinel] }, stop }
        },
      ],
      [
        'a Cluster',
        async (tls: ServerTls) => {
          const { nodes, stop } = await startCluster(tls)
          return { at: { cluster: nodes.map(({ host, port }) => ({ host, port })) }, stop }
        },
      ],
    ])('%s: who was kept out for the old ones comes in by the new ones', async (_, start) => {
      const [old, now] = [certificateFiles(NAME), certificateFiles(NAME)]
      const { at, stop } = await start({ ...now, ca: now.certificate })
      onTestFinished(stop)
      const access = { at, tls: shownBy(old) }
      const told: StoreHappening[] = []
      const store = await openRedis(access, { now: () => NOON, tell: (it) => told.push(it), commandTimeoutMs: 500 })
      onTestFinished(() => store.close())
      await comesTrue(() => told.length > 0)
      expect(told).toMatchObject([{ what: 'down' }])
      access.tls = shownBy(now)
      await comesTrue(() => told.some(({ what }) => what === 'up'))
      const changes: Change[] = []
      await store.watch(
        (change) => changes.push(change),
        () => {},
      )
      const ruling = { by: 'rules', word: 'block', since: NOON, until: NOON + 1000, ticket: 'T', because: 'b' } as const
      await store.put({ ...ruling, target: '203.0.113.9' })
      await comesTrue(() => changes.length === 1)
    })
  })

  test('Sentinels and Clusters that are away: it opens, says so, and closes', async () => {
    const nobody = [SHUT]
    for (const at of [{ master: MASTER, sentinels: nobody }, { cluster: nobody }]) {
      const told: StoreHappening[] = []
      const store = await openRedis({ at }, { now: () => NOON, tell: (it) => told.push(it), commandTimeoutMs: 200 })
      await expect(store.generation()).rejects.toThrow(/^not connected: /)
      expect(told).toMatchObject([{ what: 'down' }])
      await store.close()
      await store.close()
    }
  })

  test('others read the decisions with the rights and by the steps that docs/redis.md tells', async () => {
    const redis = await started(await startRedis())
    const admin = client({ path: redis.url })
    await admin.call('ACL', ...rightsOf('reader', '%R~'))
    const reader = client({ path: redis.url, username: 'reader', password: 'secret' })
    const reputation = await openLife(folder(), Date.now, { at: { path: redis.url }, commandTimeoutMs: 2000 })
    onTestFinished(() => reputation.close())
    const bots = ['203.0.113.9', '203.0.113.200', '198.51.100.4']
    for (const client of bots)
      for (const kind of ['contact', 'early-talk', 'recipient'] as const)
        await reputation.witness({ type: 'evidence', at: Date.now(), client, role: 'backup', kind })
    const say = (word: 'allow' | 'block', target: string) =>
      reputation.say({ type: 'word', at: Date.now(), word, target, because: 'a test', author: 'ann' })
    await say('block', '192.0.2.0/24')
    await say('allow', '203.0.113.128/25')
    await comesTrue(() => reputation.state().waiting === 0 && [...reputation.rulings()].length === 5)

    const askedOf = async (ip: string): Promise<string> => {
      const number = ip.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
      const networks = Array.from({ length: 25 }, (_, i) => {
        const masked = number - (number % 2 ** i)
        return `operator ${[24, 16, 8, 0].map((shift) => Math.floor(masked / 2 ** shift) % 256).join('.')}/${32 - i}`
      })
      const found = await reader.hmget('decoymx:1:{rulings}', `rules ${ip}`, ...networks)
      const [rule, ...words] = found.map((text) => (text === null ? undefined : JSON.parse(text))) as {
        word: string
        until?: number
        enforced?: { word: string; until: number }[]
      }[]
      const standing = words.filter((each) => each && (each.until ?? Infinity) > Date.now())
      if (standing.some(({ word }) => word === 'allow')) return 'pass'
      if (standing.some(({ word }) => word === 'block')) return 'block'
      return rule?.enforced?.find(({ until }) => until > Date.now())?.word ?? 'pass'
    }
    for (const ip of [...bots, '192.0.2.77', '203.0.113.201', '192.0.3.1']) {
      const client = parseClient(ip)
      expect([ip, await askedOf(ip)]).toEqual([ip, client && reputation.decide(client).effect])
    }
    await expect(reader.hset('decoymx:1:{rulings}', 'x', '1')).rejects.toThrow(/NOPERM/)
  })

  test('publish-listed keeps a hash in which Rspamd finds who is refused, and nobody else', async () => {
    const redis = await started(await startRedis())
    const admin = client({ path: redis.url })
    await admin.call('ACL', ...rightsOf('decoymx-list', '+multi'))
    const appliance = await startAppliance({})
    onTestFinished(() => appliance.clear())
    await appliance.decoymx('block', '203.0.113.0/24', '--because', 'a leased range')
    await appliance.decoymx('allow', '203.0.113.128/25', '--because', 'they rang')
    await appliance.decoymx('block', '198.51.100.7', '--because', 'a bot')
    await appliance.decoymx('block', '2001:db8:7::/64', '--because', 'a bot')
    const publish = async (state = join(appliance.folder, 'state')) =>
      promisify(execFile)(join(ROOT, 'deploy/redis/publish-listed'), ['-s', redis.url, '--user', 'decoymx-list'], {
        env: {
          ...process.env,
          REDISCLI_AUTH: 'secret',
          DECOYMX_STATE: state,
          DECOYMX: `${process.execPath} ${join(ROOT, 'src/start.js')}`,
        },
      })
    await admin.hset('decoymx:listed', 'gone', '1')
    await publish()
    expect(await admin.hgetall('decoymx:listed')).toEqual({
      '198.51.100.7': '1',
      '203.0.113.0/25': '1',
      '2001:db8:7::/64': '1',
    })
    expect(await admin.ttl('decoymx:listed')).toBeGreaterThan(3500)
    // As Rspamd asks: the address, then the networks around it.
    expect(await admin.hmget('decoymx:listed', '203.0.113.9', '203.0.113.0/25')).toEqual([null, '1'])
    expect(await admin.hmget('decoymx:listed', '203.0.113.200', '203.0.113.128/25', '203.0.113.0/24')).toEqual([
      null,
      null,
      null,
    ])
    await expect(publish('/nonexistent')).rejects.toThrow()
    expect(await admin.hlen('decoymx:listed'), 'a failed export leaves what was there').toBe(3)
    await admin.call('ACL', 'SETUSER', 'decoymx-list', '-hset')
    await expect(publish()).rejects.toThrow(/NOPERM/)
    expect(await admin.hlen('decoymx:listed')).toBe(3)
  })
})

type Door = { readonly path: string } | { readonly host: string; readonly port: number }

function client(door: Door & { readonly username?: string; readonly password?: string }): Redis {
  const redis = new Redis({ ...door, lazyConnect: false })
  redis.on('error', () => {})
  onTestFinished(() => redis.disconnect())
  return redis
}

async function started<Server extends { stop: () => Promise<void> }>(server: Server): Promise<Server> {
  onTestFinished(() => server.stop())
  return server
}

describe.skipIf(inject('missing').includes('redis-server'))('a password that changes', () => {
  test('is read again on SIGHUP, for the next connection; a file that is gone leaves the old one', async () => {
    const redis = await startRedis(['--requirepass', 'first'])
    onTestFinished(() => redis.stop())
    const admin = new Redis(redis.url, { password: 'first' })
    onTestFinished(() => admin.disconnect())
    const file = join(folder(), 'password')
    writeFileSync(file, 'first\n')
    const appliance = await startAppliance({ settings: { store: { url: redis.url, 'password-file': file } } })
    onTestFinished(() => appliance.clear())
    const cutOff = async () => {
      const mark = appliance.mark()
      for (const type of ['pubsub', 'normal']) await admin.call('CLIENT', 'KILL', 'TYPE', type, 'SKIPME', 'yes')
      await appliance.heard(/store: works/, mark)
    }
    await admin.config('SET', 'requirepass', 'second')
    writeFileSync(file, 'second\n')
    let mark = appliance.mark()
    appliance.signal('SIGHUP')
    await appliance.heard(/secrets: password and certificate read anew/, mark)
    await cutOff()
    expect((await appliance.decoymx('block', '203.0.113.9', '--because', 'a test')).stdout).toContain('in effect now')

    rmSync(file)
    mark = appliance.mark()
    appliance.signal('SIGHUP')
    await appliance.heard(/password:1:1: cannot be read[^]*secrets: not taken; what the file said before stays/, mark)
    await cutOff()
  })
})
