/**
 * How many connections the open-file limit allows, and whether the settings ask for more.
 *
 * Node raises its soft limit to the hard one, and so do its children. What is wanted beyond it is said at the start and
 * by `status`, and held offenders are let go in their order before the limit is reached: at the limit the kernel would
 * turn away whoever comes, the unknown among them. Where nobody is held, dialogues go or the newcomer does: decoy/room.ts.
 */
import { readFileSync } from 'node:fs'

/** Files that a process needs for everything but connections at the decoys: store, journal, askers, its own. */
const RESERVED = 256
const UNLIMITED = 1_000_000_000

/** What becomes of whoever comes then. */
export const WHEN_FULL =
  'beyond it held offenders are let go, the longest held first, and while none is held, dialogues of the networks that have most of them, or that have lasted a minute'

export type FileRoom = {
  /** Connections at the decoys that all processes together may have, and that the settings ask for. */
  readonly possible: number
  readonly wanted: number
}

/** Of one process. Where there is no such limit to read, there is none. */
export function connectionsPossible(limits: string = readLimits()): number {
  const limit = /^Max open files\s+\S+\s+(\d+)/m.exec(limits)?.[1]
  if (limit === undefined) return UNLIMITED
  // A limit that is small anyway is shared.
  return Number(limit) - Math.min(RESERVED, Math.ceil(Number(limit) / 4))
}

export function fileRoom(
  connections: number,
  decoys: number,
  processes: number,
  ofOne = connectionsPossible(),
): FileRoom {
  return { possible: ofOne * processes, wanted: connections * decoys }
}

function readLimits(): string {
  try {
    return readFileSync('/proc/self/limits', 'utf8')
  } catch {
    return ''
  }
}
