/**
 * The policy service beside postgrey, which is what many a Postfix asks today: the same questions to both, in turns.
 */
import { userInfo } from 'node:os'
import { recordOffences } from './crowd.ts'
import { cpuMs, dataFolder, findRival, pinning, type Server, startDecoymx, startLoader, startRival } from './servers.ts'
import { progress, type Row, rowOf, type Table } from './table.ts'

const CLIENTS = 10_000
const CONNECTIONS = [1, 8] as const
const ROUNDS = 3
const ROUND_MS = 2000
const WARM_UP_MS = 500

export async function measurePolicy(): Promise<Table> {
  const path = findRival('postgrey')
  progress('policy: starting')
  const loader = startLoader()
  const ours = await startDecoymx('policy', (state) => recordOffences(state, CLIENTS, Date.now()))
  const theirs = path === undefined ? undefined : await startPostgrey(path)

  const measure = async ({ pid, port }: Server, connections: number, forMs: number) => {
    const before = cpuMs(pid)
    const outcome = await loader.do({ what: 'policy', port, connections, clients: CLIENTS, forMs })
    const share = Math.abs(outcome.listed / outcome.answers - 0.5)
    if (pid === ours.pid && share > 0.01)
      throw new Error(`${outcome.listed} of ${outcome.answers} were refused, not half: the figures mean nothing`)
    return {
      rate: { value: (outcome.answers / outcome.ms) * 1000 },
      p99: { value: outcome.p99Ms },
      cpu: { value: ((cpuMs(pid) - before) / outcome.answers) * 1000 },
    }
  }

  const rows: Row[] = []
  for (const connections of CONNECTIONS) {
    const named = connections === 1 ? '1 connection' : `${connections} connections`
    const us: Awaited<ReturnType<typeof measure>>[] = []
    const them: typeof us = []
    for (let round = 0; round <= ROUNDS; round++) {
      progress(`policy: ${named}, ${round === 0 ? 'warming up' : `round ${round} of ${ROUNDS}`}`)
      const forMs = round === 0 ? WARM_UP_MS : ROUND_MS
      const mine = await measure(ours, connections, forMs)
      const others = theirs && (await measure(theirs, connections, forMs))
      if (round === 0) continue
      us.push(mine)
      if (others) them.push(others)
    }
    const row = (what: string, figure: keyof (typeof us)[number]): Row =>
      rowOf(
        `${what}, ${named}`,
        us.map((round) => round[figure]),
        them.map((round) => round[figure]),
      )
    rows.push(row('answers per second', 'rate'), row('p99 in ms', 'p99'), row('CPU per answer in us', 'cpu'))
  }
  await Promise.all([ours.end(), theirs?.end(), loader.end()])
  return {
    part: 'policy service',
    rival: 'postgrey',
    rows,
    method:
      `closed loop, the attributes of Postfix, ${CLIENTS} clients of whom half are blocked; ` +
      `medians of ${ROUNDS} rounds of ${ROUND_MS / 1000} s in turns; ${pinning()}`,
  }
}

/** As this very user, so that it may write into our folder. To postgrey a bare 0 is no user. */
function startPostgrey(path: string): Promise<Server> {
  const { uid, gid } = userInfo()
  const named = (id: number) => (id === 0 ? 'root' : String(id))
  const dbdir = dataFolder('postgrey')
  const data = [`--dbdir=${dbdir}`, `--user=${named(uid)}`, `--group=${named(gid)}`]
  return startRival(path, 'tcp', (port) => [`--inet=127.0.0.1:${port}`, ...data])
}
