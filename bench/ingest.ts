/**
 * Evidence into Redis, beside redis-benchmark: the same server, the same script, and records that nobody has touched
 * before, in turns. redis-benchmark calls the script for one record each, 50 connections with 16 calls under way on each
 * (`-P 16`), and does nothing else; ours puts many records into a call and reads every answer.
 *
 * An event is two records, its client's and its network's. `into the store` is what intake hands over to the store;
 * `the whole way` begins with the line in the journal and ends when the event is judged and the cursor behind it.
 */
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { BUCKETS_MAX, RETENTION_MS } from '../src/core/facts.ts'
import { spellTally } from '../src/reputation/redis-wire.ts'
import { SCRIPTS } from '../src/reputation/redis-scripts.ts'
import type { Loaded } from './ingest-load.ts'
import { dataFolder, findRival, pinning, runAsLoader, startRival } from './servers.ts'
import { type Figure, progress, rowOf, type Table } from './table.ts'

const ROUNDS = 5
/** In each round, and as many to warm up. */
const EVENTS = 20_000
const CALLS = 80_000

export async function measureIngest(): Promise<Table> {
  const [server, benchmark] = [findRival('redis-server', 'redis-server'), findRival('redis-benchmark', 'redis-tools')]
  if (!server || !benchmark) return { part: 'ingest', rival: 'redis-benchmark', rows: [], method: 'left out' }
  const folder = dataFolder('redis')
  const quiet = ['--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', folder]
  const redis = await startRival(server, 'tcp', (port) => ['--port', String(port), ...quiet])
  const admin = new Redis(redis.port)
  try {
    const sha = String(await admin.script('LOAD', SCRIPTS.decoymxAdd.lua))
    const figures: Record<'theirs' | Loaded['what'], Figure[]> = { theirs: [], store: [], whole: [] }
    for (let round = 0; round < ROUNDS; round++) {
      progress(`ingest: round ${round + 1} of ${ROUNDS}`)
      for (const what of ['store', 'whole'] as const) {
        await admin.flushall()
        const args = [join(import.meta.dirname, 'ingest-load.ts'), what, String(redis.port), String(EVENTS)]
        const { events, ms } = JSON.parse(await runAsLoader(process.execPath, args)) as Loaded
        figures[what].push({ value: (2 * events * 1000) / ms })
      }
      await admin.flushall()
      figures.theirs.push({ value: await theirs(benchmark, redis.port, sha) })
    }
    const row = (what: string, ours: readonly Figure[]) => rowOf(what, ours, figures.theirs)
    return {
      part: 'evidence into Redis',
      rival: 'redis-benchmark -P 16',
      rows: [
        row('into the store: records per second', figures.store),
        row('the whole way, judged: records per second', figures.whole),
      ],
      method: `${ROUNDS} rounds in turns, the middle one; two records for each event; ${pinning()}`,
    }
  } finally {
    admin.disconnect()
    await redis.end()
  }
}

/** Calls of the script in a second; each key but for chance is new. */
async function theirs(benchmark: string, port: number, sha: string): Promise<number> {
  const at = Date.now()
  const tally = spellTally({ key: '', network: '', fact: 'backup.recipient', at, seq: 1 })
  const script = ['EVALSHA', sha, '1', 'decoymx:1:{__rand_int__}:facts', 'bench', RETENTION_MS, BUCKETS_MAX, tally]
  const args = ['-p', port, '-P', 16, '-n', CALLS, '-r', 1_000_000_000, '--csv', ...script]
  const lines = (await runAsLoader(benchmark, args.map(String))).trim().split('\n')
  const rate = Number(/^"[^"]*","([\d.]+)"/.exec(lines.at(-1) ?? '')?.[1])
  if (!(rate > 0)) throw new Error(`redis-benchmark said: ${lines.join(' ')}`)
  return rate
}
