/**
 * A little internet of our own: network namespaces that a test makes, joins by veth pairs, and leaves no trace of.
 *
 *     await using lab = new Internet()
 *     const [mx, stranger] = [await lab.place('mx'), await lab.place('stranger')]
 *     await lab.join(mx, ['192.0.2.66/24'], stranger, ['192.0.2.7/24'])
 *     await stranger.run('ip', 'route')
 *
 * Nothing of the host's own network is touched: both ends of every pair lie in places of ours. A place's name tells the
 * process that made it, so that what a killed test left behind is found and removed by the next one.
 */
import { type ChildProcess, spawn, type SpawnOptions, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readdirSync } from 'node:fs'

export type Place = {
  /** Its name for `ip netns`. */
  readonly name: string
  /** What the program said on stdout; an error with all it said when it fails. */
  readonly run: (program: string, ...words: string[]) => Promise<string>
  /** The same with something to read on stdin. */
  readonly feed: (input: string, program: string, ...words: string[]) => Promise<string>
  /** A program that goes on; it is killed at the latest when its place ends. */
  readonly spawn: (program: string, words: readonly string[], options?: SpawnOptions) => ChildProcess
}

/** Longest life of a program that is waited for. */
const RUN_MS = 60_000
/** Where `ip netns` keeps the names. */
const NAMES = '/run/netns'
const OURS = /^dmx-(\d+)-[0-9a-f]+-/

/** Why no namespaces can be made here, or undefined. */
export function noNamespaces(): string | undefined {
  if (process.getuid?.() !== 0) return 'tests in network namespaces must run as root'
  const { status, stderr, error } = spawnSync('unshare', ['--net', 'true'], { encoding: 'utf8' })
  if (status === 0) return undefined
  return `these tests need network namespaces (in a container CAP_SYS_ADMIN and CAP_NET_ADMIN): ${error?.message ?? stderr}`
}

export class Internet implements AsyncDisposable {
  readonly #prefix = `dmx-${process.pid}-${randomBytes(3).toString('hex')}-`
  readonly #places: Place[] = []
  #pairs = 0
  readonly #onExit = () => this.#places.forEach(({ name }) => remove(name))

  constructor() {
    for (const name of namesHere()) if (isOrphan(name)) remove(name)
    process.once('exit', this.#onExit)
  }

  /** A namespace with its loopback up, and nothing else. */
  async place(purpose: string): Promise<Place> {
    const name = `${this.#prefix}${purpose}`
    await runToEnd('ip', ['netns', 'add', name])
    const within = (program: string, words: readonly string[]) => ['netns', 'exec', name, program, ...words]
    const place: Place = {
      name,
      run: (program, ...words) => runToEnd('ip', within(program, words)),
      feed: (input, program, ...words) => runToEnd('ip', within(program, words), input),
      spawn: (program, words, options = {}) => spawn('ip', within(program, words), options),
    }
    this.#places.push(place)
    await place.run('ip', 'link', 'set', 'lo', 'up')
    return place
  }

  /**
   * A cable between two places, with the addresses (CIDR) that each has at its end. They can be used at once: there is
   * nobody else on it who could have the same. Names of the ends: `dmx0`, `dmx1`... in the order of joining.
   */
  async join(a: Place, addressesOfA: readonly string[], b: Place, addressesOfB: readonly string[]): Promise<string> {
    const end = `dmx${this.#pairs++}`
    await runToEnd('ip', ['-n', a.name, 'link', 'add', end, 'type', 'veth', 'peer', 'name', end, 'netns', b.name])
    for (const [place, addresses] of [
      [a, addressesOfA],
      [b, addressesOfB],
    ] as const) {
      const flags = (address: string) => (address.includes(':') ? ['nodad'] : [])
      for (const address of addresses)
        await runToEnd('ip', ['-n', place.name, 'address', 'add', address, 'dev', end, ...flags(address)])
      await runToEnd('ip', ['-n', place.name, 'link', 'set', end, 'up'])
    }
    return end
  }

  /** Ends what still runs there, and removes every place. */
  async [Symbol.asyncDispose](): Promise<void> {
    process.off('exit', this.#onExit)
    for (const { name } of this.#places.splice(0)) remove(name)
  }
}

/** Its processes first: a namespace lives as long as one of them does. */
function remove(name: string): void {
  const { stdout } = spawnSync('ip', ['netns', 'pids', name], { encoding: 'utf8' })
  for (const pid of (stdout ?? '').split('\n').filter(Boolean)) {
    try {
      process.kill(Number(pid), 'SIGKILL')
    } catch {
      // It has just ended by itself.
    }
  }
  spawnSync('ip', ['netns', 'delete', name])
}

function namesHere(): string[] {
  try {
    return readdirSync(NAMES)
  } catch {
    return []
  }
}

/** Made by a test process that is no more. */
function isOrphan(name: string): boolean {
  const pid = OURS.exec(name)?.[1]
  if (pid === undefined) return false
  try {
    process.kill(Number(pid), 0)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH'
  }
}

function runToEnd(program: string, words: readonly string[], input?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, words, { stdio: ['pipe', 'pipe', 'pipe'], timeout: RUN_MS })
    let [stdout, stderr] = ['', '']
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    // Who does not read what it is fed is not wrong for that.
    child.stdin.on('error', () => {}).end(input ?? '')
    child.once('error', reject)
    child.once('close', (code) => {
      if (code === 0) resolve(stdout)
      else reject(new Error(`${[program, ...words].join(' ')} ended with ${code}: ${stderr}${stdout}`))
    })
  })
}
