/**
 * A room for a mail server of another make: it runs there as if its package were installed, at the usual paths, and the
 * host never knows. Debian's mail servers exclude each other; here each has a root of its own.
 *
 * That root is an overlay: below, the host's own files; on top a tmpfs, with what `layers` hold (a package, unpacked) and
 * `files`, and with all that is written then. It lies in a mount namespace, in a place of the lab's network, with a
 * process namespace, too, whose first process ends when the test lets go of a pipe: with it ends every daemon, however it
 * has detached itself, and everything is gone, even when the tests are killed.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Place } from '../../namespaces.ts'
import { type Ended, within } from '../appliance.ts'

export type Room = {
  /** A shell's command that ends by itself. */
  readonly sh: (command: string, input?: string) => Promise<Ended>
  /** The same; an error with all it said when it fails. */
  readonly must: (command: string, input?: string) => Promise<string>
  /** Where the host finds what the room calls `path`. */
  readonly outside: (path: string) => string
  readonly end: () => Promise<void>
}

export type RoomOptions = {
  readonly place: Place
  /** Its host name, as DNS has it. */
  readonly host: string
  /** Folders that lie over the host's root, the last on top. */
  readonly layers?: readonly string[]
  /** Path to text; the folders are made. */
  readonly files?: Readonly<Record<string, string>>
  /** Users and groups that a package's installation would have made: name to number. */
  readonly users?: Readonly<Record<string, number>>
  /** A shell's commands: what an installation would have done, then daemons, which may stay in the foreground with `&`. */
  readonly start: string
}

/** In every room, what its daemons log. */
const LOG = '/var/log/lab'
/** From the start to the end of `start`: Rspamd reads its rules for a second, and for many where others work, too. */
const START_MS = 120_000
const END_MS = 1000
/** Longest life of a command. */
const COMMAND_MS = 60_000
/** Most that is kept of what a room's daemons say. */
const SAID_MAX = 16_000

/** Folders of the host with mail in transit: what waits there is none of the lab's. */
const EMPTIED = ['/var/spool/postfix', '/var/lib/postfix', '/var/mail', '/tmp', '/run']

const FIRST = `
  folder=$1 host=$2 repository=$3 start=$4
  shift 4
  hostname "$host"
  mount -t tmpfs -o mode=755 lab "$folder"
  cd "$folder"
  mkdir upper work root
  for each in "$@"; do cp -a "$each/." upper; done
  mount -t overlay -o "lowerdir=/,upperdir=upper,workdir=work" lab root
  cd root
  mount --rbind /dev dev
  mount -t proc proc proc
  for each in ${EMPTIED.join(' ')}; do
    mkdir -p ".$each"
    mount -t tmpfs -o mode=755 lab ".$each"
  done
  chmod 1777 tmp var/mail
  mkdir -p ".$repository"
  mount --rbind "$repository" ".$repository"
  exec chroot . sh -euc "$start"
`
/** Our end of descriptor 3 is the lease. Waiting, not reading, the first process buries the dead that are left to it. */
const LEASED = (start: string) => `
  ${start}
  echo started
  { read -r _ <&3 || true; } & wait $!
`
const REPOSITORY = join(import.meta.dirname, '../../..')

/** Why no rooms can be made here, or undefined. */
export function noRooms(): string | undefined {
  const { status, stderr, error } = spawnSync('unshare', ['--mount', 'sh', '-euc', TRIAL], { encoding: 'utf8' })
  if (status === 0) return undefined
  return `mail servers need roots of their own here (overlayfs over /, by root): ${error?.message ?? stderr}`
}

const TRIAL = `
  mount -t tmpfs lab /mnt
  cd /mnt
  mkdir upper work root
  mount -t overlay -o lowerdir=/,upperdir=upper,workdir=work lab root
`

export async function openRoom({
  place,
  host,
  layers = [],
  files = {},
  users = {},
  start,
}: RoomOptions): Promise<Room> {
  sweep()
  const folder = await mkdtemp(join(tmpdir(), `dmx-room-${process.pid}-`))
  chmodSync(folder, 0o755)
  const [stage, mount] = [join(folder, 'stage'), join(folder, 'mount')]
  mkdirSync(mount)
  furnish(stage, { ...withUsers(users), ...files })

  const shell = ['sh', '-euc', FIRST, 'sh', mount, host, REPOSITORY, LEASED(start), ...layers, stage]
  const words = ['--mount', '--uts', '--pid', '--fork', '--kill-child', ...shell]
  const child = place.spawn('unshare', words, { env: ENV, stdio: ['ignore', 'pipe', 'pipe', 'pipe'] })
  let said = ''
  const ended = once(child, 'close')
  const started = new Promise<void>((resolve, reject) => {
    const hear = (chunk: Buffer) => {
      said = `${said}${chunk.toString()}`.slice(-SAID_MAX)
      if (/^started$/m.test(said)) resolve()
    }
    child.stdout?.on('data', hear)
    child.stderr?.on('data', hear)
    child.once('error', reject)
    child.once('close', () => reject(new Error('it ended while starting')))
  })
  const end = async () => {
    child.stdio[3]?.destroy()
    // Its first process hears that at once, unless it is still starting.
    await within(END_MS, ended, 'it does not end').catch(() => child.kill('SIGKILL'))
    await ended
    await rm(folder, { recursive: true, force: true })
  }
  try {
    await within(START_MS, started, 'it is not ready')
  } catch (error) {
    const logged = said + logOf(child)
    await end()
    throw new Error(`a room for ${place.name} has not opened: ${(error as Error).message}\n${logged}`, { cause: error })
  }
  const first = firstProcess(child)
  const sh = (command: string, input = '') => enter(first, command, input)
  return {
    sh,
    async must(command, input) {
      const { code, stdout, stderr } = await sh(command, input)
      if (code !== 0) throw new Error(`in ${place.name}, "${command}" ended with ${code}: ${stderr}${stdout}\n${said}`)
      return stdout
    },
    outside: (path) => join(`/proc/${first}/root`, path),
    end,
  }
}

/** What killed tests have left: folders only, nothing is mounted there once their processes are gone. */
function sweep(): void {
  for (const name of readdirSync(tmpdir())) {
    const pid = /^dmx-room-(\d+)-/.exec(name)?.[1]
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) rmSync(join(tmpdir(), name), { recursive: true, force: true })
  }
}

/** The first process in there, by the number that it has out here. */
function firstProcess({ pid }: ChildProcess): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')
  if (children.length !== 1 || !children[0])
    throw new Error(`expected one child of ${pid}, got "${children.join(' ')}"`)
  return Number(children[0])
}

/** By way of files: a daemon that a command starts would hold our pipes, and we would wait for its end. */
const ASIDE = `
  sh -c "$1" > /tmp/said.$$ 2> /tmp/erred.$$
  code=$?
  cat /tmp/said.$$
  cat /tmp/erred.$$ >&2
  rm /tmp/said.$$ /tmp/erred.$$
  exit $code
`
/** Nothing of what a test runner says to its children: Haraka, for one, heeds NODE_ENV. */
const ENV = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C.UTF-8', HOME: '/root' }

/** What its daemons have logged where all do, while it is there. */
function logOf(child: ChildProcess): string {
  try {
    return readFileSync(`/proc/${firstProcess(child)}/root${LOG}`, 'utf8').slice(-SAID_MAX)
  } catch {
    return ''
  }
}

async function enter(first: number, command: string, input: string): Promise<Ended> {
  const words = ['-t', `${first}`, '-m', '-u', '-n', '-p', '-r', '-w', '--', 'sh', '-c', ASIDE, 'sh', command]
  const child = spawn('nsenter', words, {
    env: ENV,
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: COMMAND_MS,
    killSignal: 'SIGKILL',
  })
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  child.stdin.on('error', () => {}).end(input)
  await once(child, 'close')
  return { code: child.exitCode, stdout, stderr }
}

/** Owned by root, whoever owns the repository: mail servers are strict about that. */
function furnish(stage: string, files: Readonly<Record<string, string>>): void {
  mkdirSync(stage)
  for (const [path, text] of Object.entries(files)) {
    const target = join(stage, path)
    mkdirSync(dirname(target), { recursive: true, mode: 0o755 })
    writeFileSync(target, text, { mode: 0o644 })
    chownSync(target, 0, 0)
  }
}

function withUsers(users: Readonly<Record<string, number>>): Record<string, string> {
  const lines = (format: (name: string, id: number) => string) =>
    Object.entries(users)
      .map(([name, id]) => `${format(name, id)}\n`)
      .join('')
  const passwd = lines((name, id) => `${name}:x:${id}:${id}::/nonexistent:/usr/sbin/nologin`)
  const group = lines((name, id) => `${name}:x:${id}:`)
  return {
    '/etc/passwd': readFileSync('/etc/passwd', 'utf8') + passwd,
    '/etc/group': readFileSync('/etc/group', 'utf8') + group,
  }
}
