/**
 * The tarpit beside endlessh, the leanest there is: how much of the machine one held client costs.
 *
 * Counted is the whole of it: the growth of the process (PSS) and of the kernel's small objects, of which half is put
 * down to the server, because both ends of each connection are on this machine. Servers start anew for each round: a
 * process seldom gives memory back.
 */
import { ask } from '../src/command/appliance.ts'
import { NETWORK } from './crowd.ts'
import {
  cpuMs,
  type Decoymx,
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

/** Held at once; what the file limit of this machine does not allow is left out. */
const SIZES = [2000, 8000]
/** Files that a process needs for itself. */
const SPARE_FILES = 200
const ROUNDS = 3
/** After the last connection: what was queued is written, what was young garbage is collected. */
const SETTLE_MS = 1500
const HELD_WITHIN_MS = 10_000
/** A server opens and closes some files of its own meanwhile. */
const FEW_FILES = 10

type Cost = { readonly process: Figure; readonly kernel: Figure; readonly whole: Figure; readonly cpu: Figure }

export async function measureHold(): Promise<Table> {
  const path = findRival('endlessh')
  const sizes = SIZES.filter((size) => size + SPARE_FILES <= openFilesMax())
  const loader = startLoader()
  const us: Cost[][] = []
  const them: Cost[][] = []
  for (let round = 1; round <= ROUNDS; round++) {
    progress(`hold: round ${round} of ${ROUNDS}, decoymx`)
    us.push(await costs(await startWithOffenders(), true, sizes, loader))
    if (path === undefined) continue
    progress(`hold: round ${round} of ${ROUNDS}, endlessh`)
    const rival = await startRival(path, 'tcp', (port) => ['-4', '-p', String(port), '-m', '100000'])
    them.push(await costs(rival, false, sizes, loader))
  }
  await loader.end()

  const rows = sizes.flatMap((size, i) => {
    const row = (what: string, cost: keyof Cost): Row =>
      rowOf(
        `${what}, ${size.toLocaleString('en')} held`,
        us.map((round) => (round[i] as Cost)[cost]),
        them.map((round) => (round[i] as Cost)[cost]),
      )
    return [
      row('bytes per connection in all', 'whole'),
      row('... of the process', 'process'),
      row('... of the kernel', 'kernel'),
      row('CPU to take one in, in us', 'cpu'),
    ]
  })
  return {
    part: 'tarpit',
    rival: 'endlessh',
    rows,
    method:
      `each connection is another known offender's, dripped to every 10 s; growth of PSS + half that of slab; ` +
      `medians of ${ROUNDS} rounds in turns; ${pinning()}`,
  }
}

/** One ruling for all: what is weighed is connections, not how many clients are known. */
async function startWithOffenders(): Promise<Decoymx> {
  const server = await startDecoymx('backup decoy, PROXY')
  const word = { word: 'block', target: NETWORK, because: 'comes for the bench', author: 'bench', force: true }
  const { status, body } = await ask(server.state, 'POST', '/api/v1/words', word)
  if (status !== 200) throw new Error(`the block was not taken: ${JSON.stringify(body)}`)
  return server
}

async function costs(server: Server, proxied: boolean, sizes: readonly number[], loader: Loader): Promise<Cost[]> {
  const { pid, port, end } = server
  const all: Cost[] = []
  await pause(SETTLE_MS)
  const [files, pss, slab] = [openFiles(pid), pssBytes(pid), slabBytes()]
  let [size, cpu] = [0, cpuMs(pid)]
  for (const upTo of sizes) {
    await loader.do({ what: 'hold', port, upTo, proxied })
    await untilHeld(pid, files + upTo)
    const taken = cpuMs(pid) - cpu
    await pause(SETTLE_MS)
    const { held } = await loader.do({ what: 'hold', port, upTo, proxied })
    if (held < upTo) throw new Error(`only ${held} of ${upTo} connections were held: the figures mean nothing`)
    const ofProcess = (pssBytes(pid) - pss) / upTo
    const ofKernel = (slabBytes() - slab) / 2 / upTo
    all.push({
      process: { value: ofProcess },
      kernel: { value: ofKernel },
      whole: { value: ofProcess + ofKernel },
      cpu: { value: (taken / (upTo - size)) * 1000 },
    })
    size = upTo
    cpu = cpuMs(pid)
  }
  await loader.do({ what: 'let-go' })
  await end()
  return all
}

/** The loader's word is not enough: a connection may be established and wait in the kernel for the server. */
async function untilHeld(pid: number, files: number): Promise<void> {
  for (let waited = 0; openFiles(pid) < files - FEW_FILES; waited += 20) {
    if (waited > HELD_WITHIN_MS) throw new Error(`only ${openFiles(pid)} of ${files} files are open`)
    await pause(20)
  }
}
