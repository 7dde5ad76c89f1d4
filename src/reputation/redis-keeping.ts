/**
 * How a Redis keeps what it is given: may it throw our keys away when it is full, and does it have them again after a restart?
 *
 * Asked by INFO, which our user may do, and CONFIG GET save, which it may be denied: then snapshots are known by those that
 * were made. Of a Cluster each master is asked. https://redis.io/docs/latest/commands/info/
 */
import type { Redis } from 'ioredis'
import { onceConnected, type RedisAccess, serversOf } from './redis-connection.ts'

export type RedisKeeping = {
  /** HOST:PORT, the path of a socket, or which master it is. */
  readonly at: string
  /** `noeviction`, or what it throws away when it is full, as in its `maxmemory-policy`. */
  readonly policy: string
  /** When it is full; 0: never. */
  readonly memoryMaxBytes: number
  /** What of it is on disk: each write, a snapshot now and then, or nothing that anybody knows of. */
  readonly disk: 'writes' | 'snapshots' | 'nothing'
}

/** Rejects when it cannot be asked within two of its time-outs. */
export async function readKeeping(
  access: RedisAccess & { readonly commandTimeoutMs: number },
): Promise<RedisKeeping[]> {
  return onceConnected(access, access.commandTimeoutMs, ({ commands }) =>
    Promise.all(serversOf(commands).map(keepingOf)),
  )
}

async function keepingOf(redis: Redis): Promise<RedisKeeping> {
  const [memory, persistence] = [await redis.info('memory'), await redis.info('persistence')]
  const of = (text: string, name: string) => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(text)?.[1] ?? ''
  const { path, host, port, sentinels, name } = redis.options
  const snapshots = async () => {
    try {
      const [, save = ''] = (await redis.config('GET', 'save')) as string[]
      return save !== ''
    } catch {
      return Number(of(persistence, 'rdb_saves')) > 0
    }
  }
  return {
    at: path ?? (sentinels ? `the master ${name}` : `${host}:${port}`),
    policy: of(memory, 'maxmemory_policy'),
    memoryMaxBytes: Number(of(memory, 'maxmemory')),
    disk: of(persistence, 'aof_enabled') === '1' ? 'writes' : (await snapshots()) ? 'snapshots' : 'nothing',
  }
}
