/** What the log says of askers: each refusal in one line, those of what we play to ourselves for whoever looks closely. */
import pino from 'pino'
import { expect, test } from 'vitest'
import { createMetrics } from '../../src/console/metrics.ts'
import { canaryBot, canaryHonest } from '../../src/core/canary.ts'
import { type Client, parseClient } from '../../src/core/client.ts'
import { tellingOfAnswers } from '../../src/daemon/answers-telling.ts'
import type { Decision } from '../../src/reputation/decision.ts'
import { CLEAN } from '../answer/ruled.ts'

const BOT = parseClient('203.0.113.9') as Client
const blocked = (client: Client): Decision => ({
  ...CLEAN,
  client,
  verdict: 'block',
  effect: 'block',
  ticket: 'ABCD-EFGH',
})

type Telling = ReturnType<typeof tellingOfAnswers>
const ASKERS: readonly (readonly [string, (tell: Telling, decision: Decision) => void])[] = [
  ['policy: REJECT', (tell, decision) => tell.policy({ what: 'answered', action: 'REJECT', decision })],
  ['tcp-table: block', (tell, decision) => tell.lookup('tcp-table', { what: 'answered', answer: 'REJECT', decision })],
  ['readsocket: block', (tell, decision) => tell.lookup('readsocket', { what: 'answered', answer: 'block', decision })],
  ['milter: block', (tell, decision) => tell.milter({ what: 'answered', decision })],
]

function logged(say: (tell: Telling) => void): unknown[] {
  const lines: string[] = []
  const options = {
    level: 'debug',
    base: null,
    timestamp: false,
    formatters: { level: (level: string) => ({ level }) },
  }
  const log = pino(options, { write: (line: string) => void lines.push(line) })
  say(tellingOfAnswers(log, createMetrics('0.0.0'), () => 0))
  return lines.map((line) => JSON.parse(line) as unknown)
}

test.each(ASKERS)('%s', (msg, answer) => {
  const line = (level: string, { ip }: Client) => ({ level, client: ip, ticket: 'ABCD-EFGH', msg })
  expect(logged((tell) => answer(tell, blocked(BOT)))).toEqual([line('info', BOT)])
  expect(logged((tell) => answer(tell, blocked(canaryBot(7))))).toEqual([line('debug', canaryBot(7))])
  expect(logged((tell) => answer(tell, { ...CLEAN, client: canaryHonest(7) }))).toEqual([])
  expect(logged((tell) => answer(tell, { ...blocked(BOT), effect: 'pass', mode: 'observe' }))).toEqual([])
})
