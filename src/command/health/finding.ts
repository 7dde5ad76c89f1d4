/**
 * What a check of the doctor finds, and what it may look at.
 */
import type { Checked } from '../../settings/checked.ts'
import type { Settings, Where } from '../../settings/settings.ts'
import type { StatusView } from '../../daemon/status-view.ts'

/** From what is well to what is worst. A note is worth a step of whoever has time, and no alarm: it costs nothing but speed. */
export const LEVELS = ['ok', 'note', 'warn', 'fail'] as const

/** As Nagios plugins end (0 ok, 1 warning, 2 critical). */
export const EXIT_OF: Readonly<Record<Finding['level'], 0 | 1 | 2>> = { ok: 0, note: 0, warn: 1, fail: 2 }

export type Finding = {
  readonly check: string
  readonly level: (typeof LEVELS)[number]
  readonly seen: string
  /** What to do about it; null where nothing is to be done. */
  readonly next: string | null
}

/** What checks look at: the files as they are now, and the appliance, if one runs. */
export type Chart = {
  readonly where: Where
  readonly read: Checked
  readonly settings: Settings | undefined
  readonly view: StatusView | undefined
  /** Why there is no view, and what to do. */
  readonly absent: { readonly seen: string; readonly next: string } | undefined
}

export type Check = (chart: Chart) => Finding[] | Promise<Finding[]>

export function ok(check: string, seen: string): Finding {
  return { check, level: 'ok', seen, next: null }
}

export function note(check: string, seen: string, next: string): Finding {
  return { check, level: 'note', seen, next }
}

export function warn(check: string, seen: string, next: string): Finding {
  return { check, level: 'warn', seen, next }
}

export function fail(check: string, seen: string, next: string): Finding {
  return { check, level: 'fail', seen, next }
}
