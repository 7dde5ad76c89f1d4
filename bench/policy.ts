/**
 * The policy service beside postgrey, which is what many a Postfix asks today, and beside a bare server that says the same to
 * everyone, which is the least that one in Node can be: the same questions to all, in turns. A million addresses are listed.
 */
import { copyFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { basename, join } from 'node:path'
import { listMany, MANY } from './crowd.ts'
import { cpuMs, dataFolder, findRival, pinning, type Server, startDecoymx, startLoader, startRival } from './servers.ts'
import { type Figure, progress, type Row, rowOf, type Table } from './table.ts'

const CLIENTS = 10_000
const ROUNDS = 3
const WARM_UP_MS = 1000
/** As fast as the answers come. */
const BUSY = [1, 8, 64].map((connections) => ({ connections, perSecond: undefined, forMs: 2000, when: '' }))
/** Below what all can do, to see how long an answer takes; longer, as its p99 is of few questions. */
const STEADY = { connections: 16, perSecond: 1000, forMs: 5000 }
/** To a server that has just begun each client is new: its coming is journalled and counted, and leaves garbage. */
const LOADS = [{ ...STEADY, when: ', just begun' }, ...BUSY, { ...STEADY, when: ', warm' }]
/** A loader that works more than this share of the time is the limit. */
const LOADER_BUSY = 0.9

type Load = (typeof LOADS)[number]
type Figures = { readonly rate: Figure; readonly p99: Figure; readonly cpu: Figure }

export async function measurePolicy(): Promise<readonly Table[]> {
  const path = findRival('postgrey')
  progress(`policy: listing ${MANY / 2}`)
  const loader = startLoader()
  const database = await listMany(dataFolder('listed'), Date.now())
  progress('policy: starting')
  const ours = await startDecoymx('policy', (state) => copyFileSync(database, join(state, basename(database))))
  const bare = await startRival(process.execPath, 'tcp', (port) => [join(import.meta.dirname, 'bare.ts'), String(port)])
  const theirs = path === undefined ? undefined : await startPostgrey(path)

  const measure = async ({ pid, port }: Server, load: Load, forMs: number): Promise<Figures> => {
    const before = cpuMs(pid)
    const { connections, perSecond } = load
    const job = { what: 'policy', port, clients: CLIENTS, connections, perSecond, forMs } as const
    const { answers, wrong, ms, p99Ms, busy } = await loader.do(job)
    const cpu = cpuMs(pid) - before
    if (pid === ours.pid && wrong > 0)
      throw new Error(`${wrong} of ${answers} answers were wrong: the figures mean nothing`)
    return {
      rate: { value: (answers / ms) * 1000, atLeast: busy > LOADER_BUSY },
      p99: { value: p99Ms },
      cpu: { value: (cpu / answers) * 1000 },
    }
  }
  const inTurns = async (load: Load) => {
    const rounds = { load, us: [] as Figures[], postgrey: [] as Figures[], bare: [] as Figures[] }
    for (let round = 0; round <= ROUNDS; round++) {
      progress(`policy: ${named(load)}, ${round === 0 ? 'warming up' : `round ${round} of ${ROUNDS}`}`)
      const forMs = round === 0 ? WARM_UP_MS : load.forMs
      const mine = await measure(ours, load, forMs)
      const postgrey = theirs && (await measure(theirs, load, forMs))
      const least = await measure(bare, load, forMs)
      if (round === 0) continue
      rounds.us.push(mine)
      rounds.bare.push(least)
      if (postgrey) rounds.postgrey.push(postgrey)
    }
    return rounds
  }

  const all: Awaited<ReturnType<typeof inTurns>>[] = []
  for (const load of LOADS) all.push(await inTurns(load))
  await Promise.all([ours.end(), bare.end(), theirs?.end(), loader.end()])

  const beside = (rival: 'postgrey' | 'bare'): Row[] => {
    const rows = ({ load, us, ...others }: (typeof all)[number]) =>
      figuresOf(load).map((figure) =>
        rowOf(
          `${WHAT[figure]}, ${named(load)}`,
          us.map((round) => round[figure]),
          others[rival].map((round) => round[figure]),
        ),
      )
    return all.flatMap(rows)
  }
  const method =
    `closed loop unless a rate is named, the attributes of Postfix, ${(MANY / 2).toLocaleString('en')} addresses listed, ${CLIENTS.toLocaleString('en')} clients asked ` +
    `about, of whom half are; medians of ${ROUNDS} rounds in turns; ${pinning()}; >: the loader was the limit`
  return [
    { part: 'policy service', rival: 'postgrey', rows: beside('postgrey'), method },
    { part: 'policy service', rival: 'bare server', rows: beside('bare'), method },
  ]
}

const WHAT = { rate: 'answers per second', p99: 'p99 in ms', cpu: 'CPU per answer in us' } as const

/** A rate that was asked for is no figure. */
function figuresOf({ perSecond }: Load): readonly (keyof Figures)[] {
  return perSecond === undefined ? ['rate', 'p99', 'cpu'] : ['p99', 'cpu']
}

function named({ connections, perSecond, when }: Load): string {
  const on = connections === 1 ? '1 connection' : `${connections} connections`
  return perSecond === undefined ? on : `${perSecond.toLocaleString('en')} a second on ${on}${when}`
}

/** As this very user, so that it may write into our folder. To postgrey a bare 0 is no user. */
function startPostgrey(path: string): Promise<Server> {
  const { uid, gid } = userInfo()
  const named = (id: number) => (id === 0 ? 'root' : String(id))
  const dbdir = dataFolder('postgrey')
  const data = [`--dbdir=${dbdir}`, `--user=${named(uid)}`, `--group=${named(gid)}`]
  return startRival(path, 'tcp', (port) => [`--inet=127.0.0.1:${port}`, ...data])
}
