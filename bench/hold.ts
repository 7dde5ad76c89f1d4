/**
 * The tarpit beside endlessh, the leanest there is: what one held client costs the machine, whether each still gets its
 * bytes when there are many, and how fast clients are taken in.
 *
 * Counted is the whole of it: the growth of all processes (PSS) and of the kernel's small objects, of which half is put
 * down to the server, because both ends of each connection are on this machine. Servers start anew for each size: a
 * process seldom gives memory back. Where one process may not open files enough, both sides have several: decoymx its
 * workers on one address, endlessh one program for each port.
 */
import { ask } from '../src/command/appliance.ts'
import type { StatusView } from '../src/daemon/status-view.ts'
import { NETWORK } from './crowd.ts'
import { ownsCrowd } from './namespace.ts'
import {
  cpuMs,
  findRival,
  type Loader,
  openFiles,
  openFilesMax,
  pause,
  pinning,
  pssBytes,
  type Server,
  slabBytes,
  startDecoymx,
  startLoader,
  startRival,
} from './servers.ts'
import { type Figure, progress, type Row, rowOf, type Table } from './table.ts'

/** Where the open-file limit allows, all are held by one process; else no more than this by each. */
const SIZES = [10_000, 19_000, 38_000, 57_000]
const IN_ONE = [10_000, 57_000, 100_000]
const OF_ONE_PROCESS = 19_000
/** Files that a process needs for itself. */
const SPARE_FILES = 700
/** After the last connection: what was queued is written, what was young garbage is collected. */
const SETTLE_MS = 2000
const HELD_WITHIN_MS = 20_000
/** Workers collect what their start left behind within two seconds: later it would be taken for what a connection saves. */
const BEGUN_MS = 4000
/** A server opens and closes some files of its own meanwhile. */
const FEW_FILES = 15
/** Both drip every 10 s, decoymx without its jitter: in two periods both send twice, whenever these begin. */
const LISTEN_MS = 20_000
const KNOCKS = [64, 1024]
const KNOCK_MS = 3000
const KNOCK_ROUNDS = 3
/** Known offenders that come again and again. */
const KNOCKERS = 10_000

/** One or more processes that hold, and where each loader is to connect. */
type Side = { readonly pids: readonly number[]; readonly ports: readonly number[]; readonly end: () => Promise<void> }

type Cost = {
  readonly whole: Figure
  readonly process: Figure
  readonly kernel: Figure
  readonly taken: Figure
  readonly holding: Figure
  readonly drips: Figure
  readonly deaf: Figure
}

export async function measureHold(): Promise<Table> {
  const path = findRival('endlessh')
  const inOne = openFilesMax() >= Math.max(...IN_ONE) + SPARE_FILES
  const sizes = inOne ? IN_ONE : SIZES
  const rows: Row[] = []
  for (const size of sizes) {
    const processes = inOne ? 1 : Math.ceil(size / OF_ONE_PROCESS)
    const loaders = Array.from({ length: processes }, startLoader)
    progress(`hold: ${size}, decoymx`)
    const ours = await costs(await startOurs(processes), size, loaders, !ownsCrowd())
    progress(`hold: ${size}, endlessh`)
    const theirs = path && (await costs(await startTheirs(path, processes), size, loaders, false))
    await Promise.all(loaders.map(({ end }) => end()))
    const named = `${size.toLocaleString('en')} in ${processes}`
    const row = (what: string, cost: keyof Cost) =>
      rowOf(`${what}, ${named}`, [ours[cost]], theirs ? [theirs[cost]] : [])
    rows.push(
      row('bytes per connection in all', 'whole'),
      row('... of the processes', 'process'),
      row('... of the kernel', 'kernel'),
      row('CPU to take one in, in us', 'taken'),
      row('CPU while held, ms a second per 1,000', 'holding'),
      row(`drips heard in ${LISTEN_MS / 1000} s, for each connection`, 'drips'),
      row(`without a byte in ${LISTEN_MS / 1000} s`, 'deaf'),
    )
  }
  rows.push(...(await measureKnocks(path)))
  return {
    part: 'tarpit',
    rival: 'endlessh',
    rows,
    method:
      `each connection is another known offender's, ${ownsCrowd() ? 'from its own address' : 'behind PROXY'}; ` +
      `growth of PSS + half that of slab; ${openFilesMax()} open files for one process; knocks: ${KNOCKERS} offenders again and ` +
      `again, to the first byte, closed by reset, medians of ${KNOCK_ROUNDS} rounds of ${KNOCK_MS / 1000} s in turns; ` +
      `>: the loader was the limit; ${pinning()}. For comparison, OpenBSD's spamd(8) has room for 800 connections unless -c ` +
      `says otherwise, and that at most kern.maxfiles - 200, in one process.`,
  }
}

/** New connections a second, until the first byte. */
async function measureKnocks(path: string | undefined): Promise<Row[]> {
  const [ours, theirs] = [await startOurs(1), path === undefined ? undefined : await startTheirs(path, 1, 1)]
  const loader = startLoader()
  const round = async ({ pids, ports }: Side, connections: number, proxied: boolean) => {
    const before = cpuOf(pids)
    const job = {
      what: 'knock',
      port: ports[0] as number,
      proxied,
      connections,
      crowd: KNOCKERS,
      forMs: KNOCK_MS,
    } as const
    const { answers, lost, ms, busy } = await loader.do(job)
    if (lost > answers / 100) throw new Error(`${lost} of ${answers + lost} heard nothing: the figures mean nothing`)
    const cpu = cpuOf(pids) - before
    const atLeast = busy > 0.85 && cpu / ms < 0.85
    return { rate: { value: (answers / ms) * 1000, atLeast }, cpu: { value: (cpu / answers) * 1000 } }
  }
  const rows: Row[] = []
  for (const connections of KNOCKS) {
    const us: Awaited<ReturnType<typeof round>>[] = []
    const them: typeof us = []
    for (let i = 0; i <= KNOCK_ROUNDS; i++) {
      progress(`hold: ${connections} knocks at a time, round ${i} of ${KNOCK_ROUNDS}`)
      const mine = await round(ours, connections, !ownsCrowd())
      const others = theirs && (await round(theirs, connections, false))
      if (i === 0) continue
      us.push(mine)
      if (others) them.push(others)
    }
    const row = (what: string, figure: 'rate' | 'cpu') =>
      rowOf(
        `${what}, ${connections} at a time`,
        us.map((each) => each[figure]),
        them.map((each) => each[figure]),
      )
    rows.push(row('taken in per second', 'rate'), row('CPU for one, in us', 'cpu'))
  }
  await Promise.all([ours.end(), theirs?.end(), loader.end()])
  return rows
}

/** The decoys in workers, as for many connections they should be; all in one where the file limit allows. */
export async function startOurs(workers: number): Promise<Side & { readonly state: string }> {
  const limits = 'limits: { connections: 200000, per-network: 1000, max-megabytes: 16384 }'
  const server = await startDecoymx(
    ownsCrowd() ? 'backup decoy' : 'backup decoy, PROXY',
    undefined,
    `pace: slow\n  tarpit: { jitter: 0 }\n  workers: ${workers}\n  ${limits}`,
  )
  const { state, pid, port, end } = server
  // One ruling for all: what is weighed is connections, not how many clients are known.
  const word = { word: 'block', target: NETWORK, because: 'comes for the bench', author: 'bench', force: true }
  const said = await ask(state, 'POST', '/api/v1/words', word)
  if (said.status !== 200) throw new Error(`the block was not taken: ${JSON.stringify(said.body)}`)
  const { body } = await ask(state, 'GET', '/api/v1/status')
  return { pids: [pid, ...(body as StatusView).workers.pids], ports: Array(workers).fill(port), end, state }
}

/** By its own default a line each 10 s, the first of them after 10 s: to see the first byte, one at once. */
async function startTheirs(path: string, processes: number, delayMs = 10_000): Promise<Side> {
  const all: Server[] = []
  for (let i = 0; i < processes; i++)
    all.push(
      await startRival(path, 'tcp', (port) => ['-4', '-p', String(port), '-m', '1000000', '-d', String(delayMs)]),
    )
  return {
    pids: all.map(({ pid }) => pid),
    ports: all.map(({ port }) => port),
    end: async () => void (await Promise.all(all.map(({ end }) => end()))),
  }
}

async function costs(side: Side, size: number, loaders: readonly Loader[], proxied: boolean): Promise<Cost> {
  const { pids, ports, end } = side
  await pause(BEGUN_MS)
  const [files, pss, slab, cpu] = [filesOf(pids), pssOf(pids), slabBytes(), cpuOf(pids)]
  await fill(side, size, loaders, proxied)
  await untilHeld(pids, files + size)
  const taken = cpuOf(pids) - cpu
  await pause(SETTLE_MS)
  const ofProcess = (pssOf(pids) - pss) / size
  const ofKernel = (slabBytes() - slab) / 2 / size
  const [before, start] = [cpuOf(pids), performance.now()]
  const heard = await Promise.all(loaders.map((loader) => loader.do({ what: 'listen', forMs: LISTEN_MS })))
  const holding = (cpuOf(pids) - before) / ((performance.now() - start) / 1000) / (size / 1000)
  const held = heard.reduce((sum, each) => sum + each.held, 0)
  if (held < size) throw new Error(`only ${held} of ${size} connections were held: the figures mean nothing`)
  await Promise.all(loaders.map((loader) => loader.do({ what: 'let-go' })))
  await end()
  if (ports.length < loaders.length) throw new Error('fewer ports than loaders')
  return {
    whole: { value: ofProcess + ofKernel },
    process: { value: ofProcess },
    kernel: { value: ofKernel },
    taken: { value: (taken / size) * 1000 },
    holding: { value: holding },
    drips: { value: heard.reduce((sum, each) => sum + each.answers, 0) / size },
    deaf: { value: heard.reduce((sum, each) => sum + each.lost, 0) },
  }
}

/** Each loader its part of the crowd. */
export async function fill({ ports }: Side, size: number, loaders: readonly Loader[], proxied: boolean): Promise<void> {
  const each = Math.ceil(size / loaders.length)
  await Promise.all(
    loaders.map((loader, i) => {
      const upTo = Math.min(each, size - i * each)
      return loader.do({ what: 'hold', port: ports[i] as number, proxied, from: i * each, upTo })
    }),
  )
}

/** The loader's word is not enough: a connection may be established and wait in the kernel for the server. */
async function untilHeld(pids: readonly number[], files: number): Promise<void> {
  for (let waited = 0; filesOf(pids) < files - FEW_FILES; waited += 20) {
    if (waited > HELD_WITHIN_MS) throw new Error(`only ${filesOf(pids)} of ${files} files are open`)
    await pause(20)
  }
}

const sum = (pids: readonly number[], of: (pid: number) => number) => pids.reduce((all, pid) => all + of(pid), 0)
const filesOf = (pids: readonly number[]) => sum(pids, openFiles)
const pssOf = (pids: readonly number[]) => sum(pids, pssBytes)
const cpuOf = (pids: readonly number[]) => sum(pids, cpuMs)
