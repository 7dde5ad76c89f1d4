/**
 * The dialogue beside Haraka, the mail server of the same language: greeting, EHLO, MAIL, a refused RCPT, QUIT.
 *
 * Both run on the same Node, on one core, with nothing to wait for: our pace is 0, and Haraka has no plugin but the one
 * that refuses, and looks up no names. Each dialogue is another client's, by a PROXY header. Ours does its whole work:
 * its evidence is journalled before RCPT is answered, counted and judged; Haraka keeps nothing.
 *
 * Beside both runs the library that ours is built on, alone (library.ts): what it takes is the least that ours can take.
 *
 * With few connections the rate is that of smtp-server's 100 ms before the greeting, which cannot be set and which we
 * want longer; so what a dialogue costs is told by the processor time, and by the rate with many.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  cpuMs,
  dataFolder,
  type Loader,
  pause,
  pinning,
  pssBytes,
  type Server,
  startDecoymx,
  startLoader,
  startRival,
} from './servers.ts'
import { type Figure, progress, type Row, rowOf, type Table } from './table.ts'

const CONNECTIONS = [16, 128, 512, 1024] as const
/** Many enough that what the space for young objects takes once counts for little in each. */
const OPEN = 5000
const ROUNDS = 3
const ROUND_MS = 3000
/** Code is fast only after it has run some thousand times. */
const WARM_UP_MS = 5000
const AGAIN_MS = 1000
/** What was queued is written, what was young garbage is collected. */
const SETTLE_MS = 1500
/** The loader is the limit from this share of its core on. */
const LOADER_FULL = 0.9

type Talks = { readonly rate: Figure; readonly cpu: Figure; readonly p99: Figure }

export async function measureDialogue(): Promise<Table> {
  const haraka = installHaraka()
  const us: { talks: Talks[]; open: Figure }[] = []
  const them: typeof us = []
  const alone: typeof us = []
  for (let round = 1; round <= ROUNDS; round++) {
    progress(`dialogue: round ${round} of ${ROUNDS}, decoymx`)
    us.push(await costs(await startDecoymx('backup decoy, PROXY', undefined, NO_PAUSES)))
    progress(`dialogue: round ${round} of ${ROUNDS}, smtp-server alone`)
    alone.push(await costs(await startLibrary()))
    if (haraka === undefined) continue
    progress(`dialogue: round ${round} of ${ROUNDS}, Haraka`)
    them.push(await costs(await startHaraka(haraka)))
  }
  const rows = CONNECTIONS.flatMap((connections, i) => {
    const row = (what: string, figure: keyof Talks): Row =>
      rowOf(
        `${what}, ${connections.toLocaleString('en')} at a time`,
        us.map(({ talks }) => (talks[i] as Talks)[figure]),
        them.map(({ talks }) => (talks[i] as Talks)[figure]),
      )
    return [row('dialogues per second', 'rate'), row('CPU per dialogue in us', 'cpu'), row('p99 in ms', 'p99')]
  })
  const full = CONNECTIONS.length - 1
  const aloneRow = (what: string, figure: keyof Talks): Row =>
    rowOf(
      `smtp-server alone: ${what}, ${CONNECTIONS[full]?.toLocaleString('en')} at a time`,
      alone.map(({ talks }) => (talks[full] as Talks)[figure]),
      them.map(({ talks }) => (talks[full] as Talks)[figure]),
    )
  const openRow = rowOf(
    `bytes per open dialogue, ${OPEN.toLocaleString('en')} open`,
    us.map(({ open }) => open),
    them.map(({ open }) => open),
  )
  return {
    part: 'dialogue',
    rival: 'Haraka',
    rows: [...rows, openRow, aloneRow('dialogues per second', 'rate'), aloneRow('CPU per dialogue in us', 'cpu')],
    method:
      `greeting, EHLO, MAIL, RCPT refused, QUIT; no pauses of ours, but 100 ms of smtp-server's before the greeting; ` +
      `growth of PSS at a refused RCPT; medians of ${ROUNDS} rounds in turns; ${pinning()}`,
  }
}

async function costs(server: Server): Promise<{ talks: Talks[]; open: Figure }> {
  const loader = startLoader()
  const open = await memory(server, loader)
  const talks: Talks[] = []
  for (const connections of CONNECTIONS) {
    await loader.do({ what: 'talk', port: server.port, connections, forMs: AGAIN_MS })
    const before = cpuMs(server.pid)
    const { answers, ms, p99Ms, busy } = await loader.do({
      what: 'talk',
      port: server.port,
      connections,
      forMs: ROUND_MS,
    })
    talks.push({
      rate: { value: (answers / ms) * 1000, atLeast: busy > LOADER_FULL },
      cpu: { value: ((cpuMs(server.pid) - before) / answers) * 1000 },
      p99: { value: p99Ms },
    })
  }
  await Promise.all([loader.end(), server.end()])
  return { talks, open }
}

/** Measured on a server that has talked a little: what it makes once is not any dialogue's. */
async function memory({ pid, port }: Server, loader: Loader): Promise<Figure> {
  await loader.do({ what: 'talk', port, connections: 64, forMs: WARM_UP_MS })
  await pause(SETTLE_MS)
  const before = pssBytes(pid)
  const { held } = await loader.do({ what: 'open-talks', port, upTo: OPEN })
  if (held < OPEN) throw new Error(`only ${held} of ${OPEN} dialogues stayed open: the figures mean nothing`)
  await pause(SETTLE_MS)
  const grown = pssBytes(pid) - before
  await loader.do({ what: 'let-go' })
  return { value: grown / OPEN }
}

/** A dialogue is not held back, and the loader's clients share few networks. */
const NO_PAUSES = `pace: { greeting: 0ms, reply: 0ms, byte: 0ms, drip: 10s }
  limits: { connections: 10000, per-network: 10000 }`

const RIVALS = join(import.meta.dirname, 'rivals')

/** A package of its own, which the product never sees; installed when it is first wanted. */
function installHaraka(): string | undefined {
  const program = join(RIVALS, 'node_modules/Haraka/bin/haraka')
  if (existsSync(program)) return program
  progress('dialogue: installing Haraka in bench/rivals, once')
  try {
    execFileSync('npm', ['ci', '--ignore-scripts', '--omit=optional', '--no-audit', '--no-fund', '--loglevel=error'], {
      cwd: RIVALS,
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    return program
  } catch {
    process.stdout.write('Haraka could not be installed (npm ci in bench/rivals): its figures are left out.\n')
    return undefined
  }
}

function startLibrary(): Promise<Server> {
  return startRival(process.execPath, 'tcp', (port) => [join(import.meta.dirname, 'library.ts'), String(port)])
}

async function startHaraka(program: string): Promise<Server> {
  const data = dataFolder('haraka')
  for (const folder of ['config', 'plugins']) mkdirSync(join(data, folder))
  const write = (file: string, text: string) => writeFileSync(join(data, file), text)
  write('config/plugins', 'refuse\n')
  write('config/log.ini', 'level=error\n')
  const shipped = readFileSync(join(program, '../../config/connection.ini'), 'utf8')
  write('config/connection.ini', shipped.replace(/^hosts\[\] =$/m, 'hosts[] = 127.0.0.1'))
  write('config/me', 'mx9.example.test\n')
  write('plugins/refuse.js', REFUSE)
  return startRival(process.execPath, 'tcp', (port) => {
    write('config/smtp.ini', `listen=127.0.0.1:${port}\nnodes=0\npublic_ip=192.0.2.66\n`)
    return [program, '-c', data]
  })
}

/** Refuses each recipient for now, and spares it the search for the client's name. */
const REFUSE = `
exports.hook_lookup_rdns = (next) => next(OK, 'client.example')
exports.hook_rcpt = (next) => next(DENYSOFT, 'Try again later')
`
