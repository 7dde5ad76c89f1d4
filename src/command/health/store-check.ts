/**
 * The doctor's look at a shared store: a Redis that throws keys away when it is full forgets evidence without a word, and one
 * that keeps nothing on disk forgets all of it at a restart.
 */
import { readKeeping, type RedisKeeping } from '../../reputation/reputation.ts'
import type { Keeping } from '../../daemon/keeping.ts'
import { type Chart, type Finding, fail, ok, warn } from './finding.ts'

/** Where an appliance runs, what it says of its store comes first: while that is away, there is no more to say. */
export async function storeKeeps({ settings, view }: Pick<Chart, 'settings' | 'view'>): Promise<Finding[]> {
  const redis = settings?.store.redis
  if (!redis || (view && view.reputation.storeHealth.state !== 'up')) return []
  try {
    return (await readKeeping(redis)).flatMap(findingsOf)
  } catch (error) {
    return [fail('store', `Redis cannot be asked: ${(error as Error).message}`, ASK_NEXT)]
  }
}

/** What the appliance was told when it last asked. */
export function keepingFindings(keeping: Keeping): Finding[] {
  if ('error' in keeping)
    return [warn('store', `Redis does not say how it keeps what it has: ${keeping.error}`, ASK_NEXT)]
  return keeping.servers.flatMap(findingsOf)
}

const ASK_NEXT =
  'is it up, and are address, user and password those of the settings? docs/redis.md has the rights we need'

function findingsOf({ at, policy, memoryMaxBytes, disk }: RedisKeeping): Finding[] {
  const found: Finding[] = []
  if (policy !== 'noeviction') {
    const when = memoryMaxBytes > 0 ? `at ${Math.round(memoryMaxBytes / 1_048_576)} MB` : 'once it has a maxmemory'
    found.push(
      warn(
        'store',
        `${at} throws keys away when it is full (maxmemory-policy ${policy}, ${when}): evidence goes without a word`,
        'maxmemory-policy noeviction in redis.conf: then it refuses, and evidence waits in the journal',
      ),
    )
  }
  if (disk === 'nothing')
    found.push(
      warn(
        'store',
        `${at} keeps nothing on disk: a restart forgets what no journal has any more`,
        'appendonly yes in redis.conf; a store that came back empty is filled from the journals',
      ),
    )
  if (found.length > 0) return found
  const kept = disk === 'writes' ? 'each write is on disk within a second' : 'snapshots go to disk now and then'
  return [ok('store', `${at} keeps what it has: ${policy}, ${kept}`)]
}
