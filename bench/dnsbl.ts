/**
 * The DNSBL beside rbldnsd, which serves most of the world's: the same names to both, in turns.
 *
 * rbldnsd is C and answers faster than our loader can ask, so its rate is a lower bound and the processor time of an
 * answer is the figure to compare. It also serves a file as it stands, while we ask for the decision of this moment.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { offendersAmong, recordOffences } from './crowd.ts'
import { cpuMs, dataFolder, findRival, pinning, type Server, startDecoymx, startLoader, startRival } from './servers.ts'
import { progress, type Row, rowOf, type Table } from './table.ts'

const ZONE = 'bl.decoymx.test'
const CLIENTS = 40_000
const OUTSTANDING = 128
const ROUNDS = 3
const ROUND_MS = 2000
const WARM_UP_MS = 1000
/** A server that works less than this share of the time has waited for the loader. */
const BUSY = 0.9

export async function measureDnsbl(): Promise<Table> {
  const path = findRival('rbldnsd')
  progress('dnsbl: starting')
  const loader = startLoader()
  const ours = await startDecoymx('DNSBL, UDP', (state) => recordOffences(state, CLIENTS, Date.now()))
  const theirs = path === undefined ? undefined : await startRbldnsd(path)

  const measure = async ({ pid, port }: Server, forMs: number) => {
    const before = cpuMs(pid)
    const job = { what: 'dnsbl', port, zone: ZONE, outstanding: OUTSTANDING, clients: CLIENTS, forMs } as const
    const { answers, wrong, lost, ms } = await loader.do(job)
    const cpu = cpuMs(pid) - before
    if (wrong > 0) throw new Error(`${wrong} of ${answers} answers were wrong: the figures mean nothing`)
    return {
      rate: { value: (answers / ms) * 1000, atLeast: cpu / ms < BUSY },
      cpu: { value: (cpu / answers) * 1000 },
      lost: { value: lost },
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
    rows: [row('answers per second', 'rate'), row('CPU per answer in us', 'cpu'), row('questions lost', 'lost')],
    method:
      `${OUTSTANDING} questions under way, ${CLIENTS / 2} names listed and as many not; ` +
      `medians of ${ROUNDS} rounds of ${ROUND_MS / 1000} s in turns; ${pinning()}; >: the loader was the limit`,
  }
}

/** It refuses to work as root. */
function startRbldnsd(path: string): Promise<Server> {
  const data = dataFolder('rbldnsd')
  writeFileSync(join(data, 'listed'), `:127.0.0.2:listed\n${offendersAmong(CLIENTS).join('\n')}\n`)
  const user = process.getuid?.() === 0 ? ['-u', 'nobody'] : []
  const zone = [...user, '-w', data, `${ZONE}:ip4set:listed`]
  return startRival(path, 'udp', (port) => ['-n', '-b', `127.0.0.1/${port}`, ...zone])
}
