/** What is said of decoys without room: at once, then once a minute, and to `status` for a minute. */
import pino from 'pino'
import { expect, test } from 'vitest'
import { createMetrics } from '../../src/console/metrics.ts'
import { teller } from '../../src/daemon/telling.ts'

test('1500 who find no room: a line at once, one a minute later with all that were not told, and status while it lasts', () => {
  let now = Date.UTC(2026, 10, 28, 14)
  const lines: { msg: string; turnedAway?: number }[] = []
  const log = pino({}, { write: (line) => lines.push(JSON.parse(line) as (typeof lines)[number]) })
  const tell = teller(log, createMetrics('0.0.0'), () => now)
  const comes = (times: number, reason: 'total' | 'network' = 'total') =>
    tell.decoy({ what: 'refused', role: 'backup', reason }, times)
  const said = () => lines.splice(0).map(({ msg, turnedAway }) => [msg.split(';')[0], turnedAway])

  comes(50, 'network')
  expect([tell.turnedAway(), said()]).toEqual([0, []])
  comes(1)
  expect([tell.turnedAway(), said()]).toEqual([1, [['backup decoy: full', 1]]])
  for (let second = 0; second < 59; second++, now += 1000) comes(25)
  expect([tell.turnedAway(), said()]).toEqual([1476, []])
  now += 1000
  comes(24)
  expect(said()).toEqual([['backup decoy: full', 1499]])
  // The first second is more than a minute ago.
  expect(tell.turnedAway()).toBe(1474)
  now += 60_000
  expect(tell.turnedAway()).toBe(0)
})
