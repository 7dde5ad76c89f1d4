/**
 * `run`: the life of the process. What a person wrote is read, the state directory is taken, the house is built, and a signal
 * ends it in order.
 */
import type { Problem } from '../core/document.ts'
import { readAll } from '../settings/checked.ts'
import type { Where } from '../settings/settings.ts'
import { lockState } from '../settings/state.ts'
import { takeSockets } from './activation.ts'
import { hearSignals, leave } from './ending.ts'
import { takeAllForYoung } from './heap.ts'
import { buildHouse, type HouseOptions } from './house.ts'

export type RunOptions = HouseOptions & {
  readonly problems: (all: readonly Problem[]) => void
  /** Says why nothing was started. */
  readonly refuse: (sentence: string) => void
}

/** SIGTERM ends in order within this time; whatever hangs then is left, the journal has everything. */
const FAREWELL_MS = 4500

/** Runs until a signal says otherwise; then everything is closed, and the exit code is returned. */
export async function run(where: Where, options: RunOptions): Promise<number> {
  const read = readAll(where, process.env)
  if (!read.ok) {
    options.problems(read.problems)
    return 1
  }
  const taken = takeSockets(read.settings, options.parts, process.env, process.pid)
  if (!taken.ok) {
    options.problems(taken.problems)
    return 1
  }
  const lock = lockState(where.state)
  if (typeof lock === 'string') {
    options.refuse(lock)
    return 1
  }
  takeAllForYoung()
  const signals = hearSignals()
  try {
    const building = buildHouse(where, { ...read, settings: taken.settings }, options, signals)
    // Who is told to end while it begins goes no further than it comes in the time of a farewell.
    const house = await Promise.race([building, signals.ended.then(({ late }) => late(FAREWELL_MS))])
    if (!house) return 0
    if (house.shut !== undefined) {
      // Whoever started us can do something about it, or try again later; a house without a door does nothing.
      options.refuse(house.shut)
      await house.close()
      return 1
    }
    const { signal, late } = await signals.ended
    house.tell.end(signal)
    await Promise.race([house.close(), late(FAREWELL_MS)])
    return 0
  } finally {
    lock.release()
    leave()
  }
}
