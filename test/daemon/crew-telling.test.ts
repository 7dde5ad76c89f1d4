/** A worker's life as the log and the metrics tell it. */
import pino from 'pino'
import { expect, test } from 'vitest'
import { createMetrics } from '../../src/console/metrics.ts'
import { tellingOfCrew } from '../../src/daemon/crew-telling.ts'

test('whose end was by us is counted by its reason, and only who ended by itself as such; each has its line', async () => {
  const lines: string[] = []
  const log = pino({}, { write: (line: string) => lines.push((JSON.parse(line) as { msg: string }).msg) })
  const metrics = createMetrics('0.0.0')
  const tell = tellingOfCrew(log, metrics)
  tell({ what: 'given up', worker: 1, afterMs: 120_000 })
  tell({ what: 'ended', worker: 1, how: 'by us, not ready after 120 s', itself: false, againMs: 250 })
  tell({ what: 'silent', worker: 2, beats: 10 })
  tell({ what: 'silent', worker: 2, beats: 10 })
  tell({ what: 'ended', worker: 2, how: 'by us, as it hung', itself: false, againMs: 250 })
  for (const worker of [1, 2, 3]) tell({ what: 'ended', worker, how: 'by SIGKILL', itself: true, againMs: 250 })

  const { text } = await metrics.read()
  expect(text.match(/^decoymx_worker.*total.*$/gm)).toEqual([
    'decoymx_workers_given_up_total 1',
    'decoymx_workers_hung_total 2',
    'decoymx_worker_ends_total 3',
  ])
  expect(lines.slice(0, 4)).toEqual([
    'worker 1: not ready after 120 s: it is ended, and another begins in its place',
    'worker 1: ended by us, not ready after 120 s; it is started again',
    'worker 2: has said nothing for 10 s, so it hangs: it is killed, and another begins in its place',
    'worker 2: has said nothing for 10 s, so it hangs: it is killed, and another begins in its place',
  ])
})
