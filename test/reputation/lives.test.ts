/**
 * A hundred lives, each ended by SIGKILL at a random moment: while it opens what the last one left, fills itself from the
 * journal, writes, or delivers. What was acknowledged is in the journal, and everything that is there is counted once, in the
 * embedded store as in a Redis that lives on.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, inject, onTestFinished, test } from 'vitest'
import { parseClient, type Client } from '../../src/core/client.ts'
import { fromLine } from '../../src/core/evidence.ts'
import { total } from '../../src/core/facts.ts'
import { folder } from '../folders.ts'
import { startRedis } from '../servers.ts'
import { CLIENTS, openLife, redisAt } from './life.ts'

const LIVES = 100
/** At the same time, each on a folder of its own; the last share a Redis, in which each is a box of its own. */
const LANES = 4
const REDIS_LANES = inject('missing').includes('redis-server') ? 0 : 2
/** A life that has begun to speak lives at most so much longer; the others are ended while they open. */
const MOST_MS = 60
const SPEAK_MS = 60_000

test(
  `kill -9 at random points, ${LIVES} times: nothing acknowledged is lost, nothing is counted twice`,
  { timeout: 300_000 },
  async () => {
    const redis = REDIS_LANES > 0 ? await startRedis() : undefined
    onTestFinished(() => redis?.stop())
    const lanes = await Promise.all(
      Array.from({ length: LANES }, async (_, lane) => {
        const place = folder()
        const acknowledged: string[] = []
        const url = lane >= LANES - REDIS_LANES ? redis?.url : undefined
        for (let life = 0; life < LIVES / LANES; life++)
          acknowledged.push(...(await live(place, `${lane}.${life}`, life % 5 === 4, url)))
        return { place, acknowledged, url }
      }),
    )
    for (const { place, acknowledged } of lanes) {
      const names = journalled(place).map(({ detail }) => detail)
      expect(new Set(names).size).toBe(names.length)
      const there = new Set(names)
      expect(acknowledged.filter((name) => !there.has(name))).toEqual([])
      // So that it is not true of nothing.
      expect(acknowledged.length).toBeGreaterThan(LIVES / LANES)
    }
    // Each box delivers what its last life left; who shares a store counts what all of them have written.
    const ends = await Promise.all(lanes.map(({ place, url }) => openLife(place, Date.now, redisAt(url))))
    for (const [i, { place, url }] of lanes.entries()) {
      const sharers = url === undefined ? [place] : lanes.filter((each) => each.url === url).map((each) => each.place)
      const written = sharers.flatMap(journalled)
      const counted = await Promise.all(
        CLIENTS.map(async (ip) =>
          total((await ends[i]!.explain(parseClient(ip) as Client)).facts.own, 'backup.foreign-recipient'),
        ),
      )
      expect(counted).toEqual(CLIENTS.map((ip) => written.filter(({ client }) => client === ip).length))
    }
    await Promise.all(ends.map((end) => end.close()))
  },
)

/** What it acknowledged until it was killed: some time after its first word, or, `early`, at any time from its start on. */
async function live(place: string, name: string, early: boolean, redis = ''): Promise<string[]> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'life.ts'), place, name, redis], {
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: SPEAK_MS,
    killSignal: 'SIGKILL',
  })
  const end = () => void setTimeout(() => child.kill('SIGKILL'), Math.random() * MOST_MS)
  let heard = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (heard === '') end()
    heard += text
  })
  if (early) setTimeout(() => child.kill('SIGKILL'), Math.random() * 600)
  await once(child, 'close')
  expect(child.signalCode).toBe('SIGKILL')
  // The last line may be cut.
  return heard.split('\n').slice(0, -1)
}

function journalled(place: string) {
  const path = join(place, 'journal')
  const lines = readdirSync(path)
    .filter((file) => file.endsWith('.jsonl'))
    .flatMap((file) => readFileSync(join(path, file), 'utf8').split('\n'))
  return lines.flatMap((line) => {
    const event = fromLine(line)?.event
    return event?.type === 'evidence' ? [event] : []
  })
}
