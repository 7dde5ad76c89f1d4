/**
 * The doctor's look at a shared store: a Redis that throws keys away when it is full forgets evidence without a word, and one
 * that keeps nothing on disk forgets all of it at a restart.
 */
import { readKeeping, type RedisKeeping } from '../reputation/reputation.ts'
import { type Chart, type Finding, fail, ok, warn } from './finding.ts'

export async function storeKeeps({ settings }: Pick<Chart, 'settings'>): Promise<Finding[]> {
  const redis = settings?.store.redis
  if (!redis) return []
  try {
    return (await readKeeping(redis)).flatMap(findingsOf)
  } catch (error) {
    const next =
      'is it up, and are address, user and password those of the settings? docs/redis.md has the rights we need'
    return [fail('store', `Redis cannot be asked: ${(error as Error).message}`, next)]
  }
}

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
