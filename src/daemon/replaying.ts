/**
 * Journals told again under several sets of rules, from the disk: for `replay`, and for whoever edits rules in the console.
 */
import { prepareRetelling, type Retelling, type Side } from '../core/retelling.ts'
import type { Watch } from '../core/outage.ts'
import { findRecording, type Recording, tellRecordings } from '../reputation/reputation.ts'

export type Journals = {
  readonly retold: Retelling
  readonly recordings: readonly Recording[]
  /** Lines that could not be read, and were passed over. */
  readonly unreadable: number
}

/** `progressOf` is told how many bytes there are, and what it answers how many have been read. A sentence: why nothing is told. */
export async function retellJournals(
  paths: readonly string[],
  sides: readonly Side[],
  progressOf: (total: number) => ((bytes: number) => void) | undefined,
): Promise<Journals | string> {
  const found = await Promise.all(paths.map(findRecording))
  const missing = found.find((each) => typeof each === 'string')
  if (missing !== undefined) return missing
  const recordings = found as Recording[]
  const twice = recordings.find(({ box }, i) => recordings.findIndex((each) => each.box === box) < i)
  if (twice) return `two of these are the journal of one box (${twice.box}): it would count twice`
  if (recordings.length > 1 && recordings.some(({ countedAt }) => countedAt !== undefined))
    return 'what a store has counted holds what all boxes told it: beside another recording it would count twice'
  const retelling = prepareRetelling({
    sides,
    watchAt: (box) => watchOf(recordings.find((each) => each.box === box)),
  })
  const total = recordings.reduce((sum, { bytes }) => sum + bytes, 0)
  const unreadable = await tellRecordings(recordings, { hear: retelling.add, progress: progressOf(total) })
  return { retold: retelling.end(), recordings, unreadable }
}

/** Of what a store has counted, all counted: nobody need vouch for the real MX again. */
function watchOf(recording: Recording | undefined): Watch {
  if (recording?.countedAt !== undefined) return 'trusted'
  return recording?.watched ? 'witness' : 'blind'
}
