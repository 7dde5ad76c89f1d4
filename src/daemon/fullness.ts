/**
 * Room at the decoys, when it is short: what the log says of it, and how many were turned away lately, for `status`.
 *
 * A flood turns away thousands a second. So of each decoy it is said at once that it is full, then once a minute while it
 * lasts, with how many it were since the line before; and the last minute is remembered, by the second.
 */
import type { Log } from '../console/log.ts'
import type { Metrics } from '../console/metrics.ts'
import { seldom } from '../console/seldom.ts'
import { type FileRoom, WHEN_FULL } from './open-files.ts'

const LATELY_S = 60

export function tellingOfRoom(log: Log, metrics: Metrics, now: () => number) {
  const presses = seldom(now)
  const lines = seldom(now)
  const unsaid = { primary: 0, backup: 0 }
  /** How many in which second; LATELY_S of them and the running one. */
  const bySecond = new Map<number, number>()
  const forget = (second: number) => {
    for (const past of bySecond.keys()) if (past <= second - LATELY_S || past > second) bySecond.delete(past)
  }

  return {
    /** The open-file limit allows fewer connections than the settings ask for. */
    crowded: ({ possible, wanted }: FileRoom): void => {
      log.warn(
        `decoys: the open-file limit allows ${possible} connections, the settings ask for ${wanted}; ${WHEN_FULL}`,
      )
    },

    /** A process of the decoys had more memory than it may. */
    pressed: (shed: number): void => {
      metrics.pressed.inc(shed)
      const leftOut = presses('memory')
      if (leftOut !== undefined) log.warn({ shed }, 'decoys: memory is short; held connections are let go')
    },

    /** So many found no room. */
    full: (role: 'primary' | 'backup', times: number): void => {
      const second = Math.floor(now() / 1000)
      if (!bySecond.has(second)) forget(second)
      bySecond.set(second, (bySecond.get(second) ?? 0) + times)
      unsaid[role] += times
      if (lines(role) === undefined) return
      log.warn(
        { turnedAway: unsaid[role] },
        `${role} decoy: full; nobody is here who could make room, so newcomers are reset`,
      )
      unsaid[role] = 0
    },

    /** How many found no room in the last minute. */
    turnedAway: (): number => {
      forget(Math.floor(now() / 1000))
      return [...bySecond.values()].reduce((sum, times) => sum + times, 0)
    },
  }
}
