/**
 * How soon evidence is an answer elsewhere: a bot talks first at the decoy of one appliance and names a recipient of ours, the
 * policy service of another is asked until it refuses the bot. Both share a private Redis; each is a process of its own,
 * as on two hosts (test/e2e/hosts.test.ts does it with hosts in network namespaces).
 *
 * Promised is a second at p99, and the bench ends with an error beyond it; the goal is 100 ms.
 */
import { quantile, timeAnswers } from '../test/evidence-to-answer.ts'
import { startRedis } from '../test/servers.ts'
import { pinning, startDecoymx } from './servers.ts'
import { progress, type Table } from './table.ts'

const TRIES = 200
const PROMISE_MS = 1000
const GOAL_MS = 100
/** Brisk, so that the time is ours and not the tarpit's; what is measured begins after it. */
const PACE = 'pace: { greeting: 20ms, reply: 0ms, byte: 0ms, drip: 1s }'

export async function measureLatency(): Promise<Table> {
  progress('latency: starting')
  const redis = await startRedis()
  const decoy = await startDecoymx('backup decoy, PROXY', undefined, PACE, redis.url)
  const answer = await startDecoymx('policy', undefined, undefined, redis.url)
  let figures: number[]
  try {
    figures = await timeAnswers(
      {
        decoys: [{ host: '127.0.0.1', port: decoy.port }],
        answers: [{ host: '127.0.0.1', port: answer.port }],
        tries: TRIES,
      },
      (tries) => {
        if (tries % 50 === 0) progress(`latency: ${tries} of ${TRIES}`)
      },
    )
  } finally {
    await Promise.all([decoy.end(), answer.end()])
    await redis.stop()
  }
  const p99 = quantile(figures, 0.99)
  if (p99 > PROMISE_MS)
    throw new Error(`evidence was an answer after ${p99.toFixed(0)} ms at p99; promised is ${PROMISE_MS} ms`)
  const row = (what: string, q: number) => ({ what, ours: { value: quantile(figures, q) }, theirs: undefined })
  return {
    part: 'from evidence at a decoy to the answer elsewhere',
    rival: 'none',
    rows: [row('from the last word of a bot to its refusal, p50 in ms', 0.5), row('the same, p99 in ms', 0.99)],
    method: `${TRIES} tries; promised ${PROMISE_MS} ms at p99, the goal ${GOAL_MS} ms; two appliances on one Redis; ${pinning()}`,
  }
}
