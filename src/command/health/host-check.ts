/**
 * What of the host itself is looked at from beside the appliance: the room on its disk, and its clock.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, statfsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { unwritable } from '../../settings/state.ts'
import { fail, type Finding, ok, warn } from './finding.ts'

export function hostFindings(state: string, journalMegabytes: number | undefined): Finding[] {
  return [...disk(state, journalMegabytes), ...clock(state)]
}

/** May whoever asks write there, as an appliance that he starts would have to? Only where none runs: it may be another user's. */
export function stateFindings(state: string): Finding[] {
  const closed = existsSync(state) ? unwritable(state) : undefined
  return closed ? [fail('state', closed.seen, closed.next)] : []
}

/** Does the journal find the room that it may take? `wanted`: megabytes, where they are known. */
function disk(state: string, wanted: number | undefined): Finding[] {
  if (!existsSync(state)) return []
  const { bavail, bsize } = statfsSync(state)
  const free = Math.floor((bavail * bsize) / 1_048_576)
  if (wanted === undefined)
    return [
      ok('disk', `${free} MB free at ${state}; what the journal may take is told once settings and rules are sound`),
    ]
  const seen = `${free} MB free at ${state}, the journal may take ${wanted} MB`
  if (free >= wanted) return [ok('disk', seen)]
  return [warn('disk', seen, 'make room, or lower journal.max-megabytes: a full disk loses evidence')]
}

/** Decisions end by the clock, and boxes that share a store compare theirs. */
function clock(state: string): Finding[] {
  const folder = join(state, 'journal')
  if (!existsSync(folder)) return []
  const newest = Math.max(0, ...readdirSync(folder).map((name) => statSync(join(folder, name)).mtimeMs))
  if (newest > Date.now() + 60_000)
    return [
      fail('clock', `it is behind the journal: ${new Date(newest).toISOString()}`, 'set it right; decisions end by it'),
    ]
  const { stdout } = spawnSync('timedatectl', ['show', '--property=NTPSynchronized', '--value'], { encoding: 'utf8' })
  const synchronised = (stdout ?? '').trim()
  if (synchronised === 'yes') return [ok('clock', 'synchronised')]
  if (synchronised === 'no')
    return [
      warn('clock', 'not synchronised (timedatectl)', 'run chrony or systemd-timesyncd: several boxes compare times'),
    ]
  return [ok('clock', 'not behind the journal; whether it is synchronised cannot be asked here (no timedatectl)')]
}
