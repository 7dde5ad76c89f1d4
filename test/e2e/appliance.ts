/**
 * The appliance as a person starts it: `node src/start.js run`, in a state directory of its own, and every other command
 * against it in the same way. Ended by SIGTERM, as an init system does.
 *
 * Every listener gets a port that the kernel chooses, unless the test names an address.
 */
import { connect } from 'node:net'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { ask } from '../../src/command/appliance.ts'
import { type Address, parseAddress, spellAddress } from '../../src/settings/places.ts'
import type { StatusView } from '../../src/daemon/status-view.ts'
import { comesTrue } from '../servers.ts'

export type Appliance = {
  readonly pid: number
  /** Where its state, and its settings, are. */
  readonly folder: string
  /** All that it has logged lately. */
  readonly said: () => string
  /** How much it has logged so far: what comes after a mark is new. */
  readonly mark: () => number
  /** Settles when it has logged this, after the mark; rejects when it does not in time, or ends. */
  readonly heard: (pattern: RegExp, mark?: number) => Promise<void>
  /** Where a door is open: by its name in `status`, like `backup decoy, PROXY`. */
  readonly door: (name: string) => Address
  /** Any other command, as a person types it. */
  readonly decoymx: (...words: string[]) => Promise<Ended>
  /** SIGSTOP to hang it, SIGCONT to let it go on. */
  readonly signal: (signal: 'SIGSTOP' | 'SIGCONT' | 'SIGHUP') => void
  /** SIGKILL: nothing is said goodbye to. Settles when it is gone. */
  readonly crash: () => Promise<void>
  /** SIGTERM. Settles with the exit code when it is gone; null when it had to be killed. */
  readonly end: () => Promise<number | null>
  /** The same, and clears up. */
  readonly clear: () => Promise<void>
}

export type Ended = { readonly code: number | null; readonly stdout: string; readonly stderr: string }

export type ApplianceOptions = {
  /** What shall differ from `ANYWHERE`: whole sections. */
  readonly settings?: Readonly<Record<string, unknown>>
  readonly redisUrl?: string | undefined
  /** Of an earlier one, whose state it goes on with. */
  readonly folder?: string
  readonly rules?: string
  /** Which parts of it run here, as in `--only decoys,policy`. */
  readonly only?: string
  /** Words that start it somewhere else or as somebody else, like `ip netns exec NAME`. */
  readonly launch?: readonly string[]
}

const ANY = ['127.0.0.1:0']

export const ANYWHERE = {
  decoys: { primary: { listen: ANY, proxy: ANY }, backup: { listen: ANY, proxy: ANY } },
  policy: { listen: ANY },
  dnsbl: { listen: ANY },
  http: { listen: ANY },
}

/** From the start to open doors. */
const READY_MS = 60_000
/** From SIGTERM to its end, with what it allows itself; then it is killed, and has no exit code. */
const END_MS = 20_000
/** From a deed to the log line that tells of it. */
const HEARD_MS = 30_000
/**
 * What we promise within a second, from evidence or a word to the answer, where a machine has other tests to run; `bench latency` and
 * `bench word` hold us to the second itself.
 */
export const SOON_MS = 3000
/** Characters of its log that are kept. */
const SAID_MAX = 100_000
/** Longest life of a command. */
const COMMAND_MS = 60_000

const ROOT = join(import.meta.dirname, '../..')
const START = join(ROOT, 'src/start.js')

/** Settles when its readiness probe says ready; rejects when a door cannot be opened, or it ends. */
export async function startAppliance({
  settings = {},
  redisUrl,
  folder: earlier,
  rules,
  only,
  launch = [],
}: ApplianceOptions): Promise<Appliance> {
  const folder = earlier ?? (await mkdtemp(join(tmpdir(), 'dmx-e2e-')))
  const state = join(folder, 'state')
  const settingsFile = join(folder, 'decoymx.yaml')
  await writeFile(settingsFile, stringify({ ...ANYWHERE, ...settings }))

  const env = environment(redisUrl)
  const words = [
    START,
    'run',
    '--state',
    state,
    '--settings',
    settingsFile,
    ...(rules ? ['--rules', rules] : []),
    ...(only ? ['--only', only] : []),
  ]
  // The channel ends it should the tests end in a hurry.
  // `env` starts what is named after it, in its own place.
  const child = spawn('env', [...launch, process.execPath, ...words], {
    cwd: ROOT,
    env,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
  let said = ''
  let dropped = 0
  const waiting = new Set<() => void>()
  let gone = false
  const ended = once(child, 'close').then(() => {
    gone = true
    for (const look of waiting) look()
  })
  const ready = new Promise<void>((resolve, reject) => {
    const hear = (chunk: string) => {
      said += chunk
      dropped += Math.max(0, said.length - SAID_MAX)
      said = said.slice(-SAID_MAX)
      for (const look of waiting) look()
      if (said.includes('"msg":"ready, ')) resolve()
    }
    child.stdout?.setEncoding('utf8').on('data', hear)
    child.stderr?.setEncoding('utf8').on('data', hear)
    child.once('close', () => reject(new Error('the appliance ended while starting')))
  })
  const end = async () => {
    if (!gone) child.kill('SIGTERM')
    const late = setTimeout(() => child.kill('SIGKILL'), END_MS)
    await ended.finally(() => clearTimeout(late))
    return child.exitCode
  }
  const crash = async () => {
    child.kill('SIGKILL')
    await ended
  }
  const clear = async () => {
    await end()
    await rm(folder, { recursive: true, force: true })
  }

  try {
    await within(READY_MS, ready, 'the appliance is not ready')
    const { doors } = (await ask(state, 'GET', '/api/v1/status')).body as StatusView
    const bound = new Map(doors.map(({ name, address, open }) => [name, open ? parseAddress(address) : undefined]))
    const door = (name: string): Address => {
      const address = bound.get(name)
      if (!address) throw new Error(`"${name}" is not open, of: ${[...bound.keys()].join('; ')}`)
      return address
    }
    const probe = await ask(state, 'GET', '/readyz')
    if (probe.status !== 200) throw new Error(`not ready: ${JSON.stringify(probe.body)}`)
    return {
      pid: child.pid as number,
      folder,
      said: () => said,
      mark: () => dropped + said.length,
      heard: (pattern, mark = 0) => {
        let look = () => {}
        const found = new Promise<void>((resolve, reject) => {
          look = () => {
            if (pattern.test(said.slice(Math.max(0, mark - dropped)))) resolve()
            else if (gone) reject(new Error(`the appliance has ended, and never said ${String(pattern)}`))
          }
          waiting.add(look)
          look()
        })
        return within(HEARD_MS, found, `the appliance has not said ${String(pattern)}`).finally(() =>
          waiting.delete(look),
        )
      },
      crash,
      door,
      decoymx: (...others) => runToEnd('env', [...launch, process.execPath, START, ...others, '--state', state], env),
      signal: (signal) => void child.kill(signal),
      end,
      clear,
    }
  } catch (error) {
    await clear()
    throw new Error(`${(error as Error).message}\n${said.slice(-8000)}`, { cause: error })
  }
}

/** What it answers over HTTP, to whoever comes straight from this host: a path like `/metrics`. */
export async function textAt(appliance: Pick<Appliance, 'door'>, path: string): Promise<string> {
  return await (await fetch(`http://${spellAddress(appliance.door('HTTP'))}${path}`)).text()
}

/** What it tells of itself, asked over the socket in its state directory. */
export async function statusOf({ folder }: Pick<Appliance, 'folder'>): Promise<StatusView> {
  return (await ask(join(folder, 'state'), 'GET', '/api/v1/status')).body as StatusView
}

/** What the policy service says of this client at RCPT, as the real MX would hear it: `action=...`. */
export async function askPolicy(appliance: Appliance, ip: string): Promise<string> {
  const asker = connect(appliance.door('policy'))
  asker.end(`request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address=${ip}\n\n`)
  let answer = ''
  for await (const chunk of asker) answer += String(chunk)
  return answer.trim()
}

/** Settles when `status` has nothing to remark on: on a busy machine a store may have hung for a moment, and that was said. */
export async function isWell(appliance: Appliance): Promise<void> {
  let told: Ended | undefined
  const holds = comesTrue(async () => (told = await appliance.decoymx('status')).code === 0)
  await holds.catch(() => Promise.reject(new Error(told?.stdout)))
}

/** A program that ends by itself: what it said, and its exit code. */
export async function runToEnd(
  program: string,
  words: readonly string[],
  env = environment(undefined),
  timeout = COMMAND_MS,
): Promise<Ended> {
  const child = spawn(program, words, { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'pipe'], timeout })
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  await once(child, 'close')
  return { code: child.exitCode, stdout, stderr }
}

/** The promise, or an error that says what took too long. */
export async function within<Value>(ms: number, promise: Promise<Value>, otherwise: string): Promise<Value> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${otherwise} after ${ms} ms`)), ms)
  })
  return await Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

/** Ours, without what a developer's shell, or a test runner, may say to a decoymx. */
export function environment(redisUrl: string | undefined): NodeJS.ProcessEnv {
  const strange = /^(DECOYMX_|FORCE_COLOR$|NO_COLOR$)/
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !strange.test(name)))
  return redisUrl === undefined ? env : { ...env, DECOYMX_REDIS_URL: redisUrl }
}
