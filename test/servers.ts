/**
 * Servers that tests need, each private to the test file that starts it, and gone with it.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export type RedisServer = {
  /** What `openRedis` and ioredis take: the path of its socket. */
  readonly url: string
  /** SIGSTOP to hang it, SIGCONT to let it go on. */
  readonly signal: (signal: 'SIGSTOP' | 'SIGCONT') => void
  /** Ends it at once, as a crash would. */
  readonly kill: () => Promise<void>
  /** Starts it again at the same place after `kill`; it keeps nothing. */
  readonly start: () => Promise<void>
  /** Ends it for good and clears up. */
  readonly stop: () => Promise<void>
}

/** A redis-server of our own on a unix socket, without a port and without a disk. Settles when it answers. */
export async function startRedis(): Promise<RedisServer> {
  const folder = await mkdtemp(join(tmpdir(), 'decoymx-redis-'))
  const url = join(folder, 'socket')
  let child = await spawnRedis(folder, url)
  const kill = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'close')
  }
  return {
    url,
    signal: (signal) => void child.kill(signal),
    kill,
    async start() {
      child = await spawnRedis(folder, url)
    },
    async stop() {
      await kill()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

async function spawnRedis(folder: string, socket: string): Promise<ChildProcess> {
  const settings = ['--port', '0', '--unixsocket', socket, '--save', '', '--appendonly', 'no', '--dir', folder]
  const child = spawn('redis-server', settings, { stdio: ['ignore', 'pipe', 'inherit'] })
  // Should the tests end in a hurry, the server ends with them.
  const end = () => void child.kill('SIGKILL')
  process.once('exit', end)
  child.once('close', () => process.off('exit', end))

  let said = ''
  await new Promise<void>((resolve, reject) => {
    child.once('error', (error: NodeJS.ErrnoException) => reject(error.code === 'ENOENT' ? new Error(MISSING) : error))
    child.once('close', () => reject(new Error(`redis-server ended while starting: ${said}`)))
    child.stdout.on('data', (chunk: Buffer) => {
      said = `${said}${chunk.toString()}`.slice(-2000)
      if (/eady to accept connections/.test(said)) resolve()
    })
  })
  return child
}

const MISSING = 'these tests need a redis-server in the PATH: on Debian and Ubuntu, apt-get install redis-server'
