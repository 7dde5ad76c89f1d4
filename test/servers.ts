/**
 * Servers that tests need, each private to the test file that starts it, and gone with it.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { freePorts } from './doors.ts'

export type RedisServer = {
  /** The path of its socket, for the settings and for ioredis. */
  readonly url: string
  /** SIGSTOP to hang it, SIGCONT to let it go on. */
  readonly signal: (signal: 'SIGSTOP' | 'SIGCONT') => void
  /** Ends it at once, as a crash would. */
  readonly kill: () => Promise<void>
  /** Starts it again at the same place after `kill`; it keeps nothing, unless its arguments say so. */
  readonly start: () => Promise<void>
  /** Ends it for good and clears up. */
  readonly stop: () => Promise<void>
}

/** Arguments with which a server has every write on disk before it answers. */
export const KEEPS = ['--appendonly', 'yes', '--appendfsync', 'always']

/** A redis-server of our own on a Unix socket, without a port and without a disk. Settles when it answers. */
export async function startRedis(args: readonly string[] = []): Promise<RedisServer> {
  const folder = await mkdtemp(join(tmpdir(), 'decoymx-redis-'))
  const url = join(folder, 'socket')
  const settings = ['--port', '0', '--unixsocket', url, '--save', '', '--appendonly', 'no', '--dir', folder, ...args]
  let child = await spawnRedis(settings)
  const kill = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'close')
  }
  return {
    url,
    signal: (signal) => void child.kill(signal),
    kill,
    async start() {
      child = await spawnRedis(settings)
    },
    async stop() {
      await kill()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

export type PortServer = RedisServer & { readonly host: string; readonly port: number; readonly admin: Redis }

/** What a server shows, and whom it believes, where its port speaks TLS: both ways, among themselves, too. */
export type ServerTls = { readonly certificate: string; readonly key: string; readonly ca: string }

const tlsWords = ({ certificate, key, ca }: ServerTls): [string, string][] => [
  ['tls-cert-file', certificate],
  ['tls-key-file', key],
  ['tls-ca-cert-file', ca],
  ['tls-replication', 'yes'],
]

/** The same with a port on loopback, and somebody who may do anything there. */
export async function startRedisAt(port: number, args: readonly string[] = [], tls?: ServerTls): Promise<PortServer> {
  const files = tls ? tlsWords(tls).flatMap(([key, value]) => [`--${key}`, value]) : []
  const server = await startRedis([
    '--bind',
    '127.0.0.1',
    tls ? '--tls-port' : '--port',
    String(port),
    ...files,
    ...args,
  ])
  const admin = new Redis(server.url)
  admin.on('error', () => {})
  const stop = async () => {
    admin.disconnect()
    await server.stop()
  }
  return { ...server, host: '127.0.0.1', port, admin, stop }
}

export type RedisCluster = {
  readonly nodes: readonly PortServer[]
  /** Moves a slot as an operator does, from whichever node has it; `meanwhile` runs when half of its keys have moved. */
  readonly move: (slot: number, to: number, meanwhile?: () => Promise<void>) => Promise<void>
  /** Which node has this slot now. */
  readonly ownerOf: (slot: number) => Promise<number>
  readonly stop: () => Promise<void>
}

const SLOTS = 16_384

/** Three masters with a third of the slots each. Settles when each of them knows that all is well. */
export async function startCluster(tls?: ServerTls): Promise<RedisCluster> {
  const ports = await freePorts(6)
  const nodes = await Promise.all(
    [0, 1, 2].map((i) =>
      startRedisAt(
        ports[i] as number,
        [
          '--cluster-enabled',
          'yes',
          '--cluster-port',
          String(ports[i + 3]),
          '--cluster-node-timeout',
          '2000',
          // A node that is away shall cost its own slots only.
          '--cluster-require-full-coverage',
          'no',
          ...(tls ? ['--tls-cluster', 'yes'] : []),
        ],
        tls,
      ),
    ),
  )
  const bounds = [0, 5461, 10_923, SLOTS]
  for (const [i, { admin }] of nodes.entries()) {
    await admin.call('CLUSTER', 'ADDSLOTSRANGE', bounds[i] as number, (bounds[i + 1] as number) - 1)
    await admin.call('CLUSTER', 'SET-CONFIG-EPOCH', i + 1)
    if (i > 0) await admin.call('CLUSTER', 'MEET', '127.0.0.1', ports[0] as number, ports[3] as number)
  }
  const ids = await Promise.all(nodes.map(async ({ admin }) => String(await admin.call('CLUSTER', 'MYID'))))
  const states = () => Promise.all(nodes.map(({ admin }) => admin.call('CLUSTER', 'INFO')))
  await comesTrue(async () =>
    (await states()).every((text) => /cluster_state:ok[\s\S]*cluster_known_nodes:3/.test(String(text))),
  )
  const ownerOf = async (slot: number) => {
    const slots = (await nodes[0]?.admin.call('CLUSTER', 'SLOTS')) as [number, number, [string, number]][]
    const port = slots.find(([first, last]) => first <= slot && slot <= last)?.[2][1]
    return nodes.findIndex((node) => node.port === port)
  }
  return {
    nodes,
    ownerOf,
    async move(slot, to, meanwhile = async () => {}) {
      const from = await ownerOf(slot)
      if (from === to) return
      const [source, target] = [nodes[from], nodes[to]] as [PortServer, PortServer]
      await target.admin.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', ids[from] as string)
      await source.admin.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', ids[to] as string)
      let waited = false
      for (;;) {
        const keys = (await source.admin.call('CLUSTER', 'GETKEYSINSLOT', slot, 100)) as string[]
        const half = waited ? keys : keys.slice(0, Math.ceil(keys.length / 2))
        if (half.length > 0) await source.admin.call('MIGRATE', '127.0.0.1', target.port, '', 0, 5000, 'KEYS', ...half)
        if (!waited) await meanwhile()
        waited = true
        if (keys.length === half.length) break
      }
      for (const { admin } of [target, source, ...nodes])
        await admin.call('CLUSTER', 'SETSLOT', slot, 'NODE', ids[to] as string)
    },
    async stop() {
      await Promise.all(nodes.map((node) => node.stop()))
    },
  }
}

export type RedisUnderSentinel = {
  readonly sentinel: { readonly host: string; readonly port: number }
  readonly master: PortServer
  readonly replica: PortServer
  readonly stop: () => Promise<void>
}

/** What the Sentinel calls the master. */
export const MASTER = 'mail'

/** A master, its replica and one Sentinel who alone decides. With `knowsReplica` it settles when the replica follows and the Sentinel knows of it. */
export async function startSentinel(tls?: ServerTls, knowsReplica = true): Promise<RedisUnderSentinel> {
  const [one, other, port] = (await freePorts(3)) as [number, number, number]
  const [master, replica] = await Promise.all([
    startRedisAt(one, [], tls),
    startRedisAt(other, ['--replicaof', '127.0.0.1', String(one), '--repl-diskless-sync-delay', '0'], tls),
  ])
  if (knowsReplica) await comesTrue(async () => /master_link_status:up/.test(await replica.admin.info('replication')))
  const folder = await mkdtemp(join(tmpdir(), 'decoymx-sentinel-'))
  const file = join(folder, 'sentinel.conf')
  await writeFile(
    file,
    [
      ...(tls ? ['port 0', `tls-port ${port}`, ...tlsWords(tls).map((words) => words.join(' '))] : [`port ${port}`]),
      'bind 127.0.0.1',
      `dir ${folder}`,
      `sentinel monitor ${MASTER} 127.0.0.1 ${one} 1`,
      `sentinel down-after-milliseconds ${MASTER} 500`,
      `sentinel failover-timeout ${MASTER} 2000`,
      '',
    ].join('\n'),
  )
  const child = await spawnRedis([file, '--sentinel'], /\+monitor master/)
  const shown = tls && {
    ca: await readFile(tls.ca),
    cert: await readFile(tls.certificate),
    key: await readFile(tls.key),
  }
  const unchecked = shown && { tls: { ...shown, checkServerIdentity: () => undefined } }
  const watcher = new Redis({ host: '127.0.0.1', port, ...unchecked })
  watcher.on('error', () => {})
  // It asks the master every ten seconds.
  if (knowsReplica)
    await comesTrue(async () => ((await watcher.call('SENTINEL', 'REPLICAS', MASTER)) as unknown[]).length === 1)
  return {
    sentinel: { host: '127.0.0.1', port },
    master,
    replica,
    async stop() {
      watcher.disconnect()
      child.kill('SIGKILL')
      await once(child, 'close')
      await Promise.all([master.stop(), replica.stop(), rm(folder, { recursive: true, force: true })])
    },
  }
}

/** Asks again and again; what does not come true in time is an error. */
export async function comesTrue(met: () => boolean | Promise<boolean>, withinMs = 20_000): Promise<void> {
  for (const began = performance.now(); !(await met());) {
    if (performance.now() - began > withinMs) throw new Error(`did not come true within ${withinMs} ms: ${String(met)}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

async function spawnRedis(args: readonly string[], ready = /eady to accept connections/): Promise<ChildProcess> {
  const child = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'inherit'] })
  // Should the tests end in a hurry, the server ends with them.
  const end = () => void child.kill('SIGKILL')
  process.once('exit', end)
  child.once('close', () => process.off('exit', end))

  let said = ''
  await new Promise<void>((resolve, reject) => {
    child.once('error', (error: NodeJS.ErrnoException) => reject(error.code === 'ENOENT' ? new Error(MISSING) : error))
    child.once('close', () => reject(new Error(`redis-server ended while starting: ${said}`)))
    child.stdout.on('data', (chunk: Buffer) => {
      said = `${said}${chunk.toString()}`.slice(-2000)
      if (ready.test(said)) resolve()
    })
  })
  return child
}

const MISSING = 'these tests need a redis-server in the PATH: on Debian and Ubuntu, apt-get install redis-server'
