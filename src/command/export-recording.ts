/**
 * `export recording`: what the shared store has counted, as a recording that `replay` takes where the journals are not at hand.
 *
 * It asks Redis itself, as the settings reach it, and not a running appliance: any host that may read there will do.
 */
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { type Screen } from '../console/terminal.ts'
import type { Problem } from '../core/document.ts'
import { findRecording, recordRedis, type StoreRecording } from '../reputation/reputation.ts'
import { readSettings } from '../settings/settings.ts'
import type { Complain } from './exit-codes.ts'
import { replace } from './export.ts'
import { typed } from '../console/called.ts'

export type RecordingOptions = {
  readonly out: string | undefined
  readonly force: boolean
  /** For what a person is told, beside the recording itself. */
  readonly screen: Screen
  readonly complain: Complain
  readonly problems: (all: readonly Problem[]) => void
  readonly now: () => number
}

/** Lines that are written at once. */
const LINES_AT_ONCE = 1000

export async function exportRecording(settingsFile: string | undefined, options: RecordingOptions): Promise<number> {
  const { out, force, screen, complain, problems, now } = options
  const read = readSettings(settingsFile, process.env)
  if (!read.ok) {
    problems(read.problems)
    return 1
  }
  const { redis } = read.settings.store
  if (!redis)
    return complain({
      error: 'these settings name no Redis: the store of one box alone has its journal beside it',
      hint: 'decoymx replay --rules NEW reads that journal; or name the settings of a shared store with --settings',
    })
  if (out !== undefined && existsSync(out) && !force) {
    const there = await findRecording(out)
    if (typeof there === 'string' || there.countedAt === undefined)
      return complain({
        error: `${out} was not written by "decoymx export recording"`,
        hint: '--force writes it all the same',
      })
  }
  let recording: StoreRecording
  try {
    const { commandTimeoutMs } = redis
    const progress = screen.person ? (records: number) => screen.over?.(`${records} clients read`) : undefined
    recording = await recordRedis(redis, { commandTimeoutMs, now, progress })
    screen.over?.('')
  } catch (error) {
    return complain({
      error: `Redis could not be read: ${(error as Error).message}`,
      hint: 'docs/redis.md has the rights that it takes',
    })
  }
  const { lines, clients, leftOut } = recording
  try {
    if (out === undefined) await print(lines)
    else replace(resolve(out), inLots(lines))
  } catch (error) {
    return complain({ error: `${out ?? 'standard output'} cannot be written: ${(error as Error).message}` })
  }
  if (leftOut > 0) screen.print(screen.colours.yellow(`${leftOut} sightings were left out: there were too many`))
  if (out !== undefined)
    screen.print(`${out}: what is counted of ${clients} clients; ${typed(`replay --rules NEW ${out}`)}`)
  return 0
}

async function print(lines: Iterable<string>): Promise<void> {
  for (const lot of inLots(lines)) if (!process.stdout.write(lot)) await once(process.stdout, 'drain')
}

function* inLots(lines: Iterable<string>): Generator<string> {
  let lot: string[] = []
  for (const line of lines) {
    if (lot.push(line) < LINES_AT_ONCE) continue
    yield lot.join('')
    lot = []
  }
  yield lot.join('')
}
