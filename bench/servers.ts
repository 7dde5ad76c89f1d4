/**
 * What is measured, and by what: decoymx started as a person does, its rivals as Debian ships them, and the loader.
 *
 * Each is a process of its own on loopback, with its data in one temporary folder; all of them and the folder are gone
 * when the bench ends, however it ends. Servers are kept on one core and the loader on another, where there are two.
 */
import { type ChildProcess, execFile, spawn, type StdioOptions } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { connect, createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { ask } from '../src/command/appliance.ts'
import { digestOf } from '../src/daemon/reloading.ts'
import type { StatusView } from '../src/daemon/status-view.ts'
import type { Job } from './load.ts'
import type { Outcome } from './outcome.ts'

export type Server = { readonly pid: number; readonly port: number; readonly end: () => Promise<void> }
export type Decoymx = Server & { readonly state: string }
export type Loader = { readonly do: (job: Job) => Promise<Outcome>; readonly end: () => Promise<void> }

/** Longest that anything may take to start, or a loader to do one job. */
const PATIENCE_MS = 90_000

const root = join(import.meta.dirname, '..')
const folder = mkdtempSync(join(tmpdir(), 'decoymx-bench-'))
const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})
process.on('SIGINT', () => process.exit(130))
process.on('SIGTERM', () => process.exit(143))

/** A place for one server's data; others may look in, because rbldnsd reads as another user. */
export function dataFolder(name: string): string {
  const path = mkdtempSync(join(folder, `${name}-`))
  for (const each of [folder, path]) chmodSync(each, 0o755)
  return path
}

/**
 * Waits until all doors are open and what its journal tells has been judged; `door` is the one that is measured. `pace`
 * may be more lines of the settings for the decoys.
 */
export async function startDecoymx(
  door: string,
  fill?: (state: string) => void,
  pace = 'pace: slow',
  redisUrl?: string,
): Promise<Decoymx> {
  const data = dataFolder('decoymx')
  const state = join(data, 'var')
  const file = join(data, 'decoymx.yaml')
  mkdirSync(state)
  writeFileSync(file, settings(pace, redisUrl))
  // What is filled in has no evidence with it: judged again at the start, as under new rules, nobody of it would stay listed.
  writeFileSync(join(state, 'judged-by'), digestOf({ source: readFileSync(join(root, 'rules.yaml'), 'utf8') }))
  fill?.(state)
  const server = start('decoymx', process.execPath, ['src/start.js', 'run', '--state', state, '--settings', file])
  const address = await until(server, async () => {
    const { body } = await ask(state, 'GET', '/api/v1/status')
    const { doors, reputation } = body as StatusView
    const ready = doors.every(({ open }) => open) && reputation.waiting === 0
    return ready ? doors.find(({ name }) => name === door)?.address : undefined
  })
  return { ...server, state, port: Number(address.split(':').at(-1)) }
}

/** What is measured is known at once, so that the governor is wide. What is not measured listens, too: nobody runs the appliance without it. The pace is the one for real networks. */
const settings = (pace: string, redisUrl: string | undefined) => `policy: { listen: ["127.0.0.1:0"] }
dnsbl: { listen: ["127.0.0.1:0"] }
http: { listen: ["127.0.0.1:0"] }
governor: { per-minute: 1000000, per-network: 1000000 }
store: { ${redisUrl === undefined ? '' : `url: "${redisUrl}"`} }
decoys:
  ${pace}
  primary: { listen: ["127.0.0.1:0"], proxy: ["127.0.0.1:0"] }
  backup: { listen: ["127.0.0.1:0"], proxy: ["127.0.0.1:0"] }
`

/** The path of a rival's program, or undefined after saying what is missing. */
export function findRival(program: string, debian = program): string | undefined {
  const path = findProgram(program)
  if (!path) process.stdout.write(`${program} is missing (Debian package ${debian}): its figures are left out.\n`)
  return path
}

export async function startRival(path: string, over: 'tcp' | 'udp', args: (port: number) => string[]): Promise<Server> {
  const port = await freePort(over)
  const server = start(basename(path), path, args(port))
  await until(server, () => (over === 'tcp' ? acceptsTcp(port) : answersUdp(port)))
  return { ...server, port }
}

export function startLoader(): Loader {
  const child = launch(pinned(1, process.execPath, [join(import.meta.dirname, 'load.ts')]), 'inherit', true)
  const gone = once(child, 'exit').then(() => Promise.reject(new Error('the loader ended before its work was done')))
  gone.catch(() => undefined)
  return {
    async do(job) {
      child.send(job)
      const answer = once(child, 'message', { signal: AbortSignal.timeout(PATIENCE_MS) })
      const [outcome] = (await Promise.race([answer, gone])) as [Outcome]
      return outcome
    },
    end: () => end(child),
  }
}

/** Processor time used so far, by all threads (proc(5); a tick is 10 ms wherever Node runs on Linux). */
export function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) * 10
}

/** The process's own memory, what it shares with others counted in part. */
export function pssBytes(pid: number): number {
  return kilobytes(`/proc/${pid}/smaps_rollup`, 'Pss')
}

/** The kernel's small objects, of the whole machine: sockets are among them. */
export function slabBytes(): number {
  return kilobytes('/proc/meminfo', 'Slab')
}

export function openFiles(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length
}

/** How many files one process may open here; Node raises itself and its children to the hard limit. */
export function openFilesMax(): number {
  const limit = /^Max open files\s+\S+\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
  return limit === undefined ? Infinity : Number(limit)
}

/** Runs a program to its end on the loader's core and gives what it printed. */
export async function runAsLoader(program: string, args: readonly string[]): Promise<string> {
  const [file, ...rest] = pinned(1, program, args)
  const run = promisify(execFile)
  const { stdout } = await run(file, rest, { cwd: root, env: cleanEnvironment(), timeout: PATIENCE_MS })
  return stdout
}

/** For the line about the method. */
export function pinning(): string {
  return canPin() ? 'server and loader on a core of their own each' : 'server and loader share the cores'
}

type Started = Omit<Server, 'port'> & { readonly child: ChildProcess; readonly log: string }

function start(name: string, program: string, args: readonly string[]): Started {
  const log = join(folder, `${name}.log`)
  const child = launch(pinned(0, program, args), log, name === 'decoymx')
  return { child, log, pid: child.pid as number, end: () => end(child) }
}

/** With a channel, decoymx and the loader end by themselves should the bench be killed. */
function launch([program, ...args]: readonly [string, ...string[]], output: string, channel: boolean): ChildProcess {
  const out = output === 'inherit' ? 'inherit' : openSync(output, 'w')
  const stdio: StdioOptions = ['ignore', out, out, channel ? 'ipc' : 'ignore']
  const child = spawn(program, args, { cwd: root, env: cleanEnvironment(), stdio })
  if (typeof out === 'number') closeSync(out)
  running.add(child)
  child.once('exit', () => running.delete(child))
  return child
}

/** Settings of the person's own appliance shall not reach this one. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('DECOYMX_')))
}

/** At once and for sure: nothing of theirs is worth an orderly end. */
async function end(child: ChildProcess): Promise<void> {
  if (!running.has(child)) return
  child.kill('SIGKILL')
  await once(child, 'exit')
}

/** Asks again and again until there is an answer. */
async function until<Answer>({ child, log }: Started, probe: () => Promise<Answer | undefined>): Promise<Answer> {
  const deadline = performance.now() + PATIENCE_MS
  while (running.has(child) && performance.now() < deadline) {
    const answer = await probe().catch(() => undefined)
    if (answer !== undefined) return answer
    await pause(50)
  }
  const said = readFileSync(log, 'utf8').trim().split('\n').slice(-5).join('\n')
  throw new Error(`${child.spawnfile} ${child.spawnargs.slice(1).join(' ')} does not work:\n${said}`)
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

async function acceptsTcp(port: number): Promise<true> {
  const socket = connect({ host: '127.0.0.1', port })
  try {
    await once(socket, 'connect')
    return true
  } finally {
    socket.resetAndDestroy()
  }
}

/** Any packet of 12 bytes is answered by a DNS server, if only with an error. */
async function answersUdp(port: number): Promise<true> {
  const socket = createSocket('udp4')
  try {
    socket.connect(port, '127.0.0.1')
    await once(socket, 'connect')
    socket.send(Buffer.from('\x12\x34\0\0\0\x01\0\0\0\0\0\0\0\0\x02\0\x01', 'latin1'))
    await once(socket, 'message', { signal: AbortSignal.timeout(200) })
    return true
  } finally {
    socket.close()
  }
}

/** Free a moment ago. A rival that cannot take it says so, and the bench ends. */
async function freePort(over: 'tcp' | 'udp'): Promise<number> {
  const holder = over === 'tcp' ? createServer().listen(0, '127.0.0.1') : createSocket('udp4').bind(0, '127.0.0.1')
  await once(holder, 'listening')
  const { port } = holder.address() as AddressInfo
  holder.close()
  await once(holder, 'close')
  return port
}

function pinned(which: 0 | 1, program: string, args: readonly string[]): [string, ...string[]] {
  return canPin() ? ['taskset', '-c', String(cores()[which]), program, ...args] : [program, ...args]
}

function canPin(): boolean {
  return findProgram('taskset') !== undefined && cores().length >= 2
}

/** The numbers of the cores we may use, `0-1,4` spelled out. */
function cores(): number[] {
  const list = /^Cpus_allowed_list:\s*(.+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'
  return list.split(',').flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number)
    return Array.from({ length: last - first + 1 }, (_, i) => first + i)
  })
}

/** Servers are in sbin, which is not on everybody's PATH. */
function findProgram(name: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin']
  return folders.map((each) => join(each, name)).find((path) => existsSync(path))
}

function kilobytes(file: string, field: string): number {
  const value = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readFileSync(file, 'utf8'))?.[1]
  if (value === undefined) throw new Error(`${file} has no ${field}`)
  return Number(value) * 1024
}
