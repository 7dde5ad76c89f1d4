/**
 * The workers: child processes that hold the decoys, so that one process's memory, file limit and core are not all there
 * is. All listen on the same addresses, and the kernel deals connections out among them (SO_REUSEPORT).
 *
 * A worker that ends by itself, or hangs and is killed, is told, and started again after a pause that grows; the others go on
 * meanwhile. What it had not yet handed over is lost, as it would be with us. Journal, store and rules stay here: workers get a copy of what
 * stands, and their evidence is on disk here before it is settled there.
 *
 * The appliance opens its other doors without a worker that is slow to begin, and the worker's open when it comes to them.
 */
import type { DecoyCounts } from '../decoy/listener.ts'
import type { Look } from '../decoy/look.ts'
import { Census, type Report } from '../decoy/shares.ts'
import { SharedDoors } from './crew-doors.ts'
import { type CrewHappening, type CrewOptions, PATIENCE, Worker } from './crew-member.ts'
import { type Decoys, foundTogether } from './decoys.ts'
import { readCertificate } from '../settings/certificate.ts'

export type Crew = Decoys & {
  /** All workers are ready, or have had their time. */
  readonly ready: Promise<void>
  readonly state: () => CrewState
}

/**
 * `late`: those that run and have not come to their doors, and ought to have. `ends`: so many ended since the start, by
 * themselves or by us; the instant of the last is ISO 8601, UTC.
 */
export type CrewState = {
  readonly pids: readonly number[]
  readonly late: readonly number[]
  readonly ends: number
  readonly lastEnd: { readonly worker: number; readonly how: string; readonly at: string } | null
}

export const NO_CREW: CrewState = { pids: [], late: [], ends: 0, lastEnd: null }

/** The workers hear what the others have so long after the first news of it. */
const SHARE_MS = 100
/** How often it is looked whether the real MX is away, how it looks, and whether a worker hangs. */
const BEAT_MS = 1000

/**
 * It is there at once, so that it hears what changes while its workers begin.
 * @param beats - calls on each beat, until it is ended
 */
export function startCrew(workers: number, options: CrewOptions, beats: Beats = everySecond): Crew {
  const doors = new SharedDoors(options.settings, options.door)
  const census = { primary: new Census(), backup: new Census() }
  let sharing: NodeJS.Timeout | undefined
  const share = () => {
    clearTimeout(sharing)
    sharing = undefined
    shareOut(crew, options.outage?.() ?? false, options.looksLike?.())
  }
  const shareSoon = () => void (sharing ??= setTimeout(share, SHARE_MS))
  let [ends, lastEnd]: [number, CrewState['lastEnd']] = [0, null]
  const noting = (it: CrewHappening) => {
    if (it.what === 'ended') {
      ends++
      lastEnd = { worker: it.worker, how: it.how, at: new Date().toISOString() }
    }
    options.crew(it)
  }
  const crew = Array.from(
    { length: workers },
    (_, number) => new Worker(number + 1, workers, { ...options, crew: noting }, doors, census, shareSoon),
  )
  const [first, ...others] = crew
  const startOthers = () => others.forEach((worker) => worker.start())
  first?.start()
  // It finds the ports where any will do; the others take the same.
  if (first && doors.all.some(({ door }) => door.address.port === 0)) void first.ready.then(startOthers)
  else startOthers()
  const { readyMs } = options.patience ?? PATIENCE
  const waited = Promise.withResolvers<void>()
  const enough = setTimeout(waited.resolve, readyMs)
  void Promise.all(crew.map(({ ready }) => ready)).then(() => waited.resolve())
  const endBeats = beats(() => {
    for (const worker of crew) worker.beat()
    share()
  })
  return {
    ready: waited.promise.finally(() => clearTimeout(enough)),
    doors: doors.all,
    counts: () => ({ primary: sum(crew, 'primary'), backup: sum(crew, 'backup') }),
    guests: () => crew.flatMap(({ counts, guests }) => (counts ? guests : [])),
    ofClient: async (client) => foundTogether(await Promise.all(crew.map((worker) => worker.find(client)))),
    // Each worker notices by itself, from its copy.
    reconsider: () => {},
    rulesChanged: () => {
      for (const worker of crew) worker.send({ what: 'rules', rules: options.rules() })
    },
    neverChanged: () => {
      for (const worker of crew) worker.send({ what: 'never', groups: options.never.groups })
    },
    renewCertificate: () => {
      const { tls } = options.settings.backup
      const read = tls && readCertificate(tls)
      if (read && 'message' in read) return read
      for (const worker of crew) worker.send({ what: 'certificate' })
      return undefined
    },
    state: () => ({
      pids: crew.flatMap(({ pid }) => pid ?? []),
      late: crew.flatMap(({ isLate, number }) => (isLate ? number : [])),
      ends,
      lastEnd,
    }),
    async close() {
      endBeats()
      clearTimeout(sharing)
      waited.resolve()
      await Promise.all(crew.map((worker) => worker.end()))
    },
  }
}

type Beats = (beat: () => void) => () => void

function everySecond(beat: () => void): () => void {
  const timer = setInterval(beat, BEAT_MS)
  return () => clearInterval(timer)
}

/** Each worker hears what the others have, and a new one everything. */
function shareOut(crew: readonly Worker[], outage: boolean, look: Look | undefined): void {
  const here = crew.filter(({ counts }) => counts !== undefined)
  const numbers = here.map(({ number }) => number)
  const newcomers = new Set(here.filter(({ isNew }) => isNew).map(({ number }) => number))
  const census = here[0]?.census
  const primary = census?.primary.news(numbers, newcomers)
  const backup = census?.backup.news(numbers, newcomers)
  for (const worker of here) {
    worker.isNew = false
    worker.hear(
      { primary: primary?.get(worker.number) ?? NONE, backup: backup?.get(worker.number) ?? NONE },
      outage,
      look,
    )
  }
}

const NONE: Report = { connections: 0, keys: [] }

function sum(crew: readonly Worker[], role: 'primary' | 'backup'): DecoyCounts {
  const all = crew.flatMap(({ counts }) => counts?.[role] ?? [])
  const of = (name: keyof DecoyCounts) => all.reduce((total, counts) => total + counts[name], 0)
  return {
    connections: of('connections'),
    waiting: of('waiting'),
    held: of('held'),
    dialogues: of('dialogues'),
    hereMs: of('hereMs'),
  }
}
