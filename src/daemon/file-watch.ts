/**
 * Tells when a file has changed, however that was done: written in place, replaced by a rename as editors do, or by a symbolic
 * link in its path that points elsewhere now (a Kubernetes ConfigMap).
 *
 * The folder is watched, for a watched file is lost with its first rename; and the file is looked at on a timer, for a link
 * further up in the path makes no event in the folder, and network file systems make none at all. What is still being written
 * changes again at once: it is told of when it has rested, and after LATE_MS in any case. A file that is gone is a change once
 * it has been so for GONE_MS: between a delete and a rename there is none, and the rename follows.
 */
import { type FSWatcher, statSync, watch } from 'node:fs'
import { basename, dirname } from 'node:path'

export type Clock = {
  readonly now: () => number
  /** Calls once, so many milliseconds later; what comes back takes that back. */
  readonly after: (ms: number, call: () => void) => () => void
}

/** Between two looks; how long a change must rest; and how long it is waited for at most. */
const LOOK_MS = 1000
const REST_MS = 100
const LATE_MS = 1000
const GONE_MS = 3000

const SYSTEM_CLOCK: Clock = {
  now: Date.now,
  after: (ms, call) => {
    const timer = setTimeout(call, ms).unref()
    return () => clearTimeout(timer)
  },
}

/** Several of them, each with what is to be done then. The answer ends it. */
export function watchFiles(watched: readonly (readonly [path: string, changed: () => void])[]): () => void {
  const ends = watched.map(([path, changed]) => watchFile(path, changed))
  return () => ends.forEach((end) => end())
}

/** The answer ends it. */
export function watchFile(path: string, changed: () => void, clock = SYSTEM_CLOCK, printOf = print): () => void {
  const resting = new Resting(changed, clock)
  let seen = printOf(path)
  let goneAt: number | undefined
  let stop = () => {}
  const look = () => {
    const found = printOf(path)
    if (found !== undefined) goneAt = undefined
    else if (clock.now() - (goneAt ??= clock.now()) < GONE_MS) return
    if (found === seen) return
    seen = found
    resting.stir()
  }
  const turn = () => {
    look()
    stop = clock.after(LOOK_MS, turn)
  }
  stop = clock.after(LOOK_MS, turn)
  const watcher = watcherOf(dirname(path), basename(path), look)
  return () => {
    stop()
    resting.end()
    watcher?.close()
  }
}

/** Calls when what stirs has rested. */
class Resting {
  readonly #call: () => void
  readonly #clock: Clock
  #since: number | undefined
  #stop = () => {}

  constructor(call: () => void, clock: Clock) {
    this.#call = call
    this.#clock = clock
  }

  stir(): void {
    const { now, after } = this.#clock
    this.#since ??= now()
    this.#stop()
    this.#stop = after(Math.max(0, Math.min(REST_MS, this.#since + LATE_MS - now())), () => {
      this.#since = undefined
      this.#call()
    })
  }

  end(): void {
    this.#stop()
  }
}

/** Without one (too many watches on this machine, no such folder) the timer sees what changes. */
function watcherOf(folder: string, file: string, look: () => void): FSWatcher | undefined {
  try {
    const watcher = watch(folder, { persistent: false }, (_, name) => {
      // A ConfigMap changes by its link `..data`.
      if (name === null || name === file || name.startsWith('..')) look()
    })
    return watcher.on('error', () => watcher.close())
  } catch {
    return undefined
  }
}

/** Which file it is and how it stands, through all links; undefined: there is none. */
function print(path: string): string | undefined {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false })
  return found && `${found.dev} ${found.ino} ${found.size} ${found.mtimeNs}`
}
