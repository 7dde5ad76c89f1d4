/**
 * A worker's life, told: that it began, is slow to open its doors, is given up for that, hangs, and that it ended.
 */
import type { Log } from '../console/log.ts'
import type { Metrics } from '../console/metrics.ts'
import type { CrewHappening } from './crew-member.ts'

export function tellingOfCrew(log: Log, metrics: Pick<Metrics, 'workerEnds' | 'workersGivenUp' | 'workersHung'>) {
  return (it: CrewHappening): void => {
    const worker = `worker ${it.worker}:`
    switch (it.what) {
      case 'began':
        return log.info({ pid: it.pid }, `${worker} began`)
      case 'late':
        return log.warn(
          `${worker} not ready after ${seconds(it.afterMs)}, as on a slow or busy host; its doors open when it is`,
        )
      case 'ready late':
        return log.info(`${worker} ready after ${seconds(it.afterMs)}`)
      case 'given up':
        metrics.workersGivenUp.inc()
        return log.error(
          `${worker} not ready after ${seconds(it.afterMs)}: it is ended, and another begins in its place`,
        )
      case 'silent':
        metrics.workersHung.inc()
        return log.error(
          `${worker} has said nothing for ${it.beats} s, so it hangs: it is killed, and another begins in its place`,
        )
      case 'ended':
        if (it.itself) metrics.workerEnds.inc()
        return log.error({ againMs: it.againMs }, `${worker} ended ${it.how}; it is started again`)
    }
  }
}

function seconds(ms: number): string {
  return `${Number((ms / 1000).toFixed(1))} s`
}
