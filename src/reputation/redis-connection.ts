/**
 * How a Redis is reached: one server, the master that Sentinels name, or a Cluster; plain, by TLS, or by a Unix socket.
 *
 * Two connections, since whoever listens to changes does little else. Nothing waits in them for a server that is away:
 * commands are neither queued nor sent again, since the journal is the queue. A server that owes an answer and is silent
 * for the time-out of a command is given up with all that was asked of it; it is `ready` again only once it has answered.
 */
import { Cluster, Redis } from 'ioredis'
import { SCRIPTS } from './redis-scripts.ts'

export type Host = { readonly host: string; readonly port: number }

/** Asked each time that a connection is made: who hands it over may change in it who we are there, also to Sentinels, and TLS. */
export type RedisAccess = {
  readonly at:
    | Host
    | { readonly path: string }
    | {
        /** What the Sentinels call the master. */
        readonly master: string
        readonly sentinels: readonly Host[]
        readonly user?: string | undefined
        readonly password?: string | undefined
      }
    | { readonly cluster: readonly Host[] }
  readonly user?: string | undefined
  readonly password?: string | undefined
  readonly database?: number | undefined
  /** PEM texts, as node:tls takes them; {} for TLS with what the system trusts. */
  readonly tls?:
    | {
        readonly ca?: string | undefined
        readonly cert?: string | undefined
        readonly key?: string | undefined
        readonly servername?: string | undefined
      }
    | undefined
}

type Script = (...args: (string | number)[]) => Promise<unknown>

/** What we ask of either client. */
export type Commands = Pick<Redis, 'get' | 'hscan' | 'hlen' | 'hset' | 'hdel' | 'hgetall' | 'info' | 'connect'> & {
  readonly [Name in keyof typeof SCRIPTS]: Script
}

export type Connection = {
  readonly kind: 'one' | 'sentinel' | 'cluster'
  readonly commands: Commands
  readonly subscriber: Redis
  /** Says goodbye on both, and does not wait for a server that hangs. */
  readonly close: () => Promise<void>
}

export type ConnectionHappenings = {
  readonly ready: () => void
  readonly closed: () => void
  readonly failed: (error: Error) => void
  /** A node of a Cluster was lost, or has come: what stood there before may be gone. */
  readonly nodesChanged: () => void
}

const RETRY_MAX_MS = 1000
/** How often a Cluster is asked where its slots are, when nothing else tells. */
const SLOTS_REFRESH_MS = 2000
/** An attempt to connect is waited for so long: Sentinels are asked one after the other until one answers. */
const CONNECT_MS = 3000

/** Opens nothing yet: both connections are made when they are first asked to connect, and then made again by themselves. */
export function prepareConnection(access: RedisAccess, commandTimeoutMs: number, on: ConnectionHappenings): Connection {
  if ('cluster' in access.at) {
    const cluster = clusterClient(access, access.at.cluster, commandTimeoutMs)
    cluster.on('node error', (error: Error) => on.failed(error))
    cluster.on('-node', () => on.nodesChanged())
    cluster.on('+node', (node: Redis) => {
      // It has what the library was told at first, and is not connected yet.
      renewing(node, access)
      on.nodesChanged()
    })
    follow(cluster, on)
    const subscriber = clusterSubscriber(cluster, access, access.at.cluster, commandTimeoutMs)
    return {
      kind: 'cluster',
      commands: cluster as unknown as Commands,
      subscriber,
      close: keptAlive([cluster, subscriber], commandTimeoutMs),
    }
  }
  const redis = client(access, commandTimeoutMs)
  follow(redis, on)
  const subscriber = client(access, commandTimeoutMs)
  return {
    kind: 'master' in access.at ? 'sentinel' : 'one',
    commands: redis as unknown as Commands,
    subscriber,
    close: keptAlive([redis, subscriber], commandTimeoutMs),
  }
}

function follow(client: Redis | Cluster, on: ConnectionHappenings): void {
  client.on('ready', () => on.ready())
  client.on('close', () => on.closed())
  client.on('error', (error: Error) => on.failed(error))
}

/** Should the library give up on one of them, we do not; the answer ends them. */
function keptAlive(clients: readonly (Redis | Cluster)[], commandTimeoutMs: number): () => Promise<void> {
  let closed = false
  for (const each of clients)
    each.on('end', () => {
      if (!closed) setTimeout(() => void (closed || each.connect().catch(() => {})), RETRY_MAX_MS)
    })
  return async () => {
    closed = true
    await Promise.all(clients.map((each) => disconnect(each, commandTimeoutMs)))
  }
}

/**
 * A connection that was lost is made anew as it is told then. The library reads its options at each attempt, also at those of which
 * it tells nothing, as while no Sentinel lets us in: so they are looked up there and then.
 */
function renewing(client: Redis, access: RedisAccess): Redis {
  const sentinel = () => ('sentinels' in access.at ? access.at : undefined)
  const looked: Record<string, () => unknown> = {
    username: () => access.user,
    password: () => access.password,
    tls: () => access.tls,
    ...(sentinel() && {
      sentinelUsername: () => sentinel()?.user,
      sentinelPassword: () => sentinel()?.password,
      sentinelTLS: () => access.tls,
    }),
  }
  for (const [name, get] of Object.entries(looked))
    Object.defineProperty(client.options, name, { get, enumerable: true, configurable: true })
  return client
}

/** What every connection to a server has. */
function manners({ user, password, tls }: RedisAccess, commandTimeoutMs: number) {
  return {
    ...(user === undefined ? {} : { username: user }),
    ...(password === undefined ? {} : { password }),
    ...(tls === undefined ? {} : { tls }),
    autoResendUnfulfilledCommands: false,
    // We subscribe again ourselves, to know when it is done.
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
    connectTimeout: 2 * commandTimeoutMs,
    commandTimeout: commandTimeoutMs,
    socketTimeout: commandTimeoutMs,
    disconnectTimeout: commandTimeoutMs,
    replyMapping: 'legacy' as const,
  }
}

const retryStrategy = (times: number) => Math.min(25 * 2 ** times, RETRY_MAX_MS)

function client(access: RedisAccess, commandTimeoutMs: number, { at, database = 0 } = access): Redis {
  const { tls } = access
  const common = {
    ...manners(access, commandTimeoutMs),
    lazyConnect: true,
    enableOfflineQueue: false,
    db: database,
    retryStrategy,
    scripts: SCRIPTS,
  }
  if ('cluster' in at) throw new Error('a Cluster is more than one server')
  if (!('sentinels' in at)) return renewing(new Redis({ ...common, ...at }), access)
  const { master, sentinels, user, password } = at
  const led = new Redis({
    ...common,
    name: master,
    sentinels: sentinels.map((each) => ({ ...each })),
    ...(user === undefined ? {} : { sentinelUsername: user }),
    ...(password === undefined ? {} : { sentinelPassword: password }),
    ...(tls === undefined ? {} : { sentinelTLS: tls, enableTLSForSentinelMode: true }),
    // Without a number the library would give up for good when no Sentinel answers.
    sentinelRetryStrategy: retryStrategy,
    sentinelCommandTimeout: commandTimeoutMs,
    // Not the library's failoverDetector: it cuts off an attempt to connect that is under way, which then ends for good. A
    // master that is replaced hangs up, or is silent, or says READONLY, and then the Sentinels are asked anew.
    // A master that became a replica while we were connected.
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
  })
  return renewing(led, access)
}

function clusterClient(access: RedisAccess, hosts: readonly Host[], commandTimeoutMs: number): Cluster {
  return new Cluster(
    hosts.map((each) => ({ ...each })),
    {
      lazyConnect: true,
      enableOfflineQueue: false,
      scripts: SCRIPTS,
      clusterRetryStrategy: retryStrategy,
      slotsRefreshTimeout: commandTimeoutMs,
      slotsRefreshInterval: SLOTS_REFRESH_MS,
      // Names are resolved when they are connected to, so that a certificate is checked against the name.
      dnsLookup: (name, done) => done(null, name),
      redisOptions: manners(access, commandTimeoutMs),
    },
  )
}

/**
 * Changes are published to all nodes of a Cluster, so any of them will do. The library's own subscriber does not tell
 * when it moved to another node, and what was missed meanwhile; ours is a plain connection, and tries the next node each time.
 */
function clusterSubscriber(
  cluster: Cluster,
  access: RedisAccess,
  hosts: readonly Host[],
  commandTimeoutMs: number,
): Redis {
  const subscriber = client(access, commandTimeoutMs, { at: hosts[0] as Host })
  let turn = 0
  subscriber.on('reconnecting', () => {
    const known = cluster.nodes('master').map(({ options: { host = '', port = 0 } }) => ({ host, port }))
    const among = known.length > 0 ? known : hosts
    Object.assign(subscriber.options, among[++turn % among.length])
  })
  return subscriber
}

/** Between two attempts to connect there is nothing to end. */
async function disconnect(client: Redis | Cluster, withinMs: number): Promise<void> {
  const { status } = client
  if (status === 'wait' || status === 'reconnecting' || status === 'end') return client.disconnect()
  await new Promise<void>((resolve) => {
    const timer = setTimeout(() => {
      for (const each of client instanceof Redis ? [client] : client.nodes()) each.stream?.destroy()
      resolve()
    }, withinMs)
    client.once('end', () => (clearTimeout(timer), resolve()))
    client.disconnect()
  })
}

/** The library's words for a hang, and Redis's for a failing script, in plain ones. */
export function plainly(error: Error, commandTimeoutMs: number): Error {
  if (/Command timed out|Socket timeout/.test(error.message))
    return new Error(`no answer within ${commandTimeoutMs} ms`, { cause: error })
  const [message = ''] = error.message.split(/\.? script: [0-9a-f]{40}/)
  return message === error.message ? error : new Error(message, { cause: error })
}

/** Settles with an attempt to connect, or once it has taken too long; it then goes on by itself. */
export async function inTime(attempt: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise((resolve) => (timer = setTimeout(resolve, CONNECT_MS)))
  await Promise.race([attempt, late]).finally(() => clearTimeout(timer))
}

/** For one piece of work, and closed again. Rejects when there is no connection within two of its time-outs. */
export async function onceConnected<Value>(
  access: RedisAccess,
  commandTimeoutMs: number,
  work: (connection: Connection) => Promise<Value>,
): Promise<Value> {
  let failed: Error | undefined
  const connection = prepareConnection(access, commandTimeoutMs, {
    ready: () => {},
    closed: () => {},
    failed: (error) => (failed = error),
    nodesChanged: () => {},
  })
  const withinMs = 2 * commandTimeoutMs
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no connection within ${withinMs} ms`)), withinMs)
  })
  try {
    await Promise.race([connection.commands.connect(), late]).finally(() => clearTimeout(timer))
    return await work(connection)
  } catch (error) {
    throw plainly(failed ?? (error as Error), commandTimeoutMs)
  } finally {
    await connection.close()
  }
}

/** The server, or each master of a Cluster. */
export function serversOf(commands: Commands): readonly Redis[] {
  const client: unknown = commands
  return client instanceof Cluster ? client.nodes('master') : [client as Redis]
}
