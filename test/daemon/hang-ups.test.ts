/** What the log says of an asker that was hung up on: who it was, and what to mend; of each reason once a minute. */
import pino from 'pino'
import { expect, test } from 'vitest'
import { tellingOfHangUps } from '../../src/daemon/hang-ups.ts'

test('in words, with the address, once a minute for each reason; an idle one is nobody worth a line', () => {
  let now = 0
  const lines: Record<string, unknown>[] = []
  const log = pino({}, { write: (line) => lines.push(JSON.parse(line) as Record<string, unknown>) })
  const hungUp = tellingOfHangUps(log, () => now)
  for (const reason of ['cr-lf', 'cr-lf', 'foreign-request', 'idle'] as const)
    hungUp('policy', { reason, peer: '192.0.2.7' })
  now = 60_000
  hungUp('policy', { reason: 'cr-lf' })
  expect(lines.map(({ msg, peer, reason, leftOut }) => [msg, peer, reason, leftOut])).toEqual([
    [
      'policy: hung up on a connection: lines end in LF, not in CR LF; docs/asking.md asks one by hand',
      '192.0.2.7',
      'cr-lf',
      undefined,
    ],
    [
      'policy: hung up on a connection: the question had no line request=smtpd_access_policy; docs/asking.md asks one by hand',
      '192.0.2.7',
      'foreign-request',
      undefined,
    ],
    [expect.stringContaining('lines end in LF') as string, undefined, 'cr-lf', 1],
  ])
})
