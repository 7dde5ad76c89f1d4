/**
 * How soon an operator's word is in effect elsewhere: `allow` is said on one appliance, the policy service of another is
 * asked until it says so. Both share a private Redis; each is a process of its own, as on two hosts.
 *
 * Every try allows another listed client, and is timed from the moment the word is sent to the first answer
 * that lets the client pass. Promised is a second at p99, and the bench ends with an error beyond it.
 */
import { ask } from '../src/command/appliance.ts'
import { askerOf, quantile } from '../test/evidence-to-answer.ts'
import { startRedis } from '../test/servers.ts'
import { offendersAmong, recordOffences } from './crowd.ts'
import { pinning, startDecoymx } from './servers.ts'
import { progress, type Table } from './table.ts'

const TRIES = 200
const PROMISE_MS = 1000

export async function measureWord(): Promise<Table> {
  progress('word: starting')
  const redis = await startRedis()
  const here = await startDecoymx(
    'policy',
    (state) => recordOffences(state, 2 * TRIES, Date.now()),
    undefined,
    redis.url,
  )
  const there = await startDecoymx('policy', undefined, undefined, redis.url)
  const asker = await askerOf({ host: '127.0.0.1', port: there.port })
  const saidMs: number[] = []
  const heardMs: number[] = []
  try {
    for (const [i, ip] of offendersAmong(2 * TRIES).entries()) {
      if (i % 50 === 0) progress(`word: ${i} of ${TRIES}`)
      if (!(await asker.ask(ip)).startsWith('action=REJECT'))
        throw new Error(`${ip} is not refused: the figures mean nothing`)
      const start = performance.now()
      const said = ask(here.state, 'POST', '/api/v1/words', {
        word: 'allow',
        target: ip,
        because: 'a bench',
        author: 'bench',
      }).then(({ status, body }) => {
        if (status !== 200) throw new Error(`the word was not taken: ${JSON.stringify(body)}`)
        saidMs.push(performance.now() - start)
      })
      while (!(await asker.ask(ip)).startsWith('action=DUNNO'))
        if (performance.now() - start > 10 * PROMISE_MS) throw new Error(`${ip} is refused 10 s after it was allowed`)
      heardMs.push(performance.now() - start)
      await said
    }
  } finally {
    asker.end()
    await Promise.all([here.end(), there.end()])
    await redis.stop()
  }
  const p99 = quantile(heardMs, 0.99)
  if (p99 > PROMISE_MS) throw new Error(`allow took ${p99.toFixed(0)} ms at p99; promised is ${PROMISE_MS} ms`)
  const row = (what: string, times: readonly number[], q: number) => ({
    what,
    ours: { value: quantile(times, q) },
    theirs: undefined,
  })
  return {
    part: "operator's word, from one host to another",
    rival: 'none',
    rows: [
      row('allow: until the other host says so, p50 in ms', heardMs, 0.5),
      row('allow: until the other host says so, p99 in ms', heardMs, 0.99),
      row('allow: until the operator is answered, p50 in ms', saidMs, 0.5),
      row('allow: until the operator is answered, p99 in ms', saidMs, 0.99),
    ],
    method: `${TRIES} tries; promised ${PROMISE_MS} ms at p99; two appliances on one Redis; ${pinning()}`,
  }
}
