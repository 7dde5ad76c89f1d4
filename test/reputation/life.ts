/**
 * One life of a whole reputation, to be ended by SIGKILL at any moment: it opens what the last life left in a folder, takes in
 * evidence without a pause, and says each piece's name once it is acknowledged.
 *
 *     node life.ts FOLDER NAME [SOCKET OF A REDIS]
 */
import { flushCompileCache } from 'node:module'
import { openReputation, type ReputationOptions } from '../../src/reputation/reputation.ts'
import { shippedRules } from '../rules.ts'

/** Taken in at once; the next when all of these are acknowledged. */
const AT_ONCE = 20
export const CLIENTS = ['203.0.113.1', '203.0.113.2', '198.51.100.3', '2001:db8::4'] as const

export function openLife(folder: string, now = Date.now, redis?: ReputationOptions['redis']) {
  const rules = shippedRules()
  return openReputation({
    folder,
    redis,
    keepMs: 1e10,
    journalBytesMax: 1e9,
    maxAgeMs: 60_000,
    watch: 'trusted',
    governor: { perMinute: 1000, perNetwork: 1000, goodShare: 1 },
    rules: () => rules,
    memberOf: () => undefined,
    identify: () => {},
    now,
    tell: () => {},
  })
}

/** Where none is named, the store is embedded. */
export function redisAt(path = ''): ReputationOptions['redis'] {
  return path === '' ? undefined : { at: { path }, commandTimeoutMs: 5000 }
}

if (import.meta.main) {
  // What was compiled is kept at a process's end, and this one has none: without it each life compiles all anew.
  flushCompileCache()
  const [folder = '', life = '', redis] = process.argv.slice(2)
  const { witness } = await openLife(folder, Date.now, redisAt(redis))
  for (let n = 0; ;) {
    const names = Array.from({ length: AT_ONCE }, () => `${life}.${n++}`)
    await Promise.all(
      names.map(async (name, i) => {
        const client = CLIENTS[i % CLIENTS.length] as string
        await witness({
          type: 'evidence',
          at: Date.now(),
          client,
          role: 'backup',
          kind: 'foreign-recipient',
          detail: name,
        })
        process.stdout.write(`${name}\n`)
      }),
    )
  }
}
