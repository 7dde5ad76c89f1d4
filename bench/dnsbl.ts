/**
 * The DNSBL beside rbldnsd, which serves most of the world's: the same names to both, in turns.
 *
 * rbldnsd is C and answers faster than our loader can ask, so its rate is a lower bound and the processor time of an
 * answer is the figure to compare. It also serves a file as it stands, while we ask for the decision of this moment.
 */
import { copyFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { isOffender, listMany, MANY, octetsAmongMany } from './crowd.ts'
import {
  cpuMs,
  dataFolder,
  findRival,
  pinning,
  pssBytes,
  type Server,
  startDecoymx,
  startLoader,
  startRival,
} from './servers.ts'
import { progress, type Row, rowOf, type Table } from './table.ts'

const ZONE = 'bl.decoymx.test'
const OUTSTANDING = 128
/** What both can do with ease, to see how long an answer takes. */
const PER_SECOND = 5000
const ROUNDS = 3
const ROUND_MS = 2000
const WARM_UP_MS = 1000
/** A server that works less than this share of the time has waited for the loader. */
const BUSY = 0.9

export async function measureDnsbl(): Promise<Table> {
  const path = findRival('rbldnsd')
  progress(`dnsbl: listing ${MANY / 2}`)
  const loader = startLoader()
  const database = await listMany(dataFolder('listed'), Date.now())
  progress('dnsbl: starting')
  const [ours, ourStart] = await timed(() =>
    startDecoymx('DNSBL, UDP', (to) => copyFileSync(database, join(to, basename(database)))),
  )
  const [theirs, theirStart] = path === undefined ? [] : await timed(() => startRbldnsd(path))

  const measure = async ({ pid, port }: Server, forMs: number) => {
    const job = { what: 'dnsbl', port, zone: ZONE, clients: MANY, forMs } as const
    const before = cpuMs(pid)
    const { answers, wrong, lost, ms } = await loader.do({ ...job, pace: { outstanding: OUTSTANDING } })
    const cpu = cpuMs(pid) - before
    const steady = await loader.do({ ...job, pace: { perSecond: PER_SECOND } })
    const [mistakes, all] = [wrong + steady.wrong, answers + steady.answers]
    if (mistakes > 0) throw new Error(`${mistakes} of ${all} answers were wrong: the figures mean nothing`)
    return {
      rate: { value: (answers / ms) * 1000, atLeast: cpu / ms < BUSY },
      cpu: { value: (cpu / answers) * 1000 },
      p99: { value: steady.p99Ms },
      lost: { value: lost + steady.lost },
    }
  }

  const us: Awaited<ReturnType<typeof measure>>[] = []
  const them: typeof us = []
  for (let round = 0; round <= ROUNDS; round++) {
    progress(`dnsbl: ${round === 0 ? 'warming up' : `round ${round} of ${ROUNDS}`}`)
    const forMs = round === 0 ? WARM_UP_MS : ROUND_MS
    const [mine, others] = [await measure(ours, forMs), theirs && (await measure(theirs, forMs))]
    if (round === 0) continue
    us.push(mine)
    if (others) them.push(others)
  }
  const memory = (server: Server) => [{ value: pssBytes(server.pid) / 1e6 }]
  const once = [
    rowOf('seconds to start', [{ value: ourStart }], theirStart === undefined ? [] : [{ value: theirStart }]),
    rowOf('memory in MB', memory(ours), theirs ? memory(theirs) : []),
  ]
  await Promise.all([ours.end(), theirs?.end(), loader.end()])

  const row = (what: string, figure: keyof (typeof us)[number]): Row =>
    rowOf(
      what,
      us.map((round) => round[figure]),
      them.map((round) => round[figure]),
    )
  return {
    part: 'DNSBL over UDP',
    rival: 'rbldnsd',
    rows: [
      row('answers per second', 'rate'),
      row('CPU per answer in us', 'cpu'),
      row(`p99 in ms, ${PER_SECOND.toLocaleString('en')} a second`, 'p99'),
      row('questions lost', 'lost'),
      ...once,
    ],
    method:
      `${(MANY / 2).toLocaleString('en')} names listed and as many not; ${OUTSTANDING} questions under way; ` +
      `medians of ${ROUNDS} rounds of ${ROUND_MS / 1000} s in turns; ${pinning()}; >: the loader was the limit`,
  }
}

/** With the seconds it took until it answered. */
async function timed(start: () => Promise<Server>): Promise<readonly [Server, number]> {
  const from = performance.now()
  return [await start(), (performance.now() - from) / 1000]
}

/** It refuses to work as root. */
function startRbldnsd(path: string): Promise<Server> {
  const data = dataFolder('rbldnsd')
  const listed = Array.from({ length: MANY }, (_, client) => client)
    .filter(isOffender)
    .map((client) => octetsAmongMany(client).join('.'))
  writeFileSync(join(data, 'listed'), `:127.0.0.2:listed\n${listed.join('\n')}\n`)
  const user = process.getuid?.() === 0 ? ['-u', 'nobody'] : []
  const zone = [...user, '-w', data, `${ZONE}:ip4set:listed`]
  return startRival(path, 'udp', (port) => ['-n', '-b', `127.0.0.1/${port}`, ...zone])
}
