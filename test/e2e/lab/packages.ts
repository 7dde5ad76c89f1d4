/**
 * Mail servers of other makes: Debian packages that cannot be installed beside each other, unpacked for use in a room, and
 * npm packages with a lock file of their own, so that nobody who wants decoymx must fetch them.
 *
 * Fetched once, by apt-get and npm, into the lab's own node_modules; what is there is used again.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runToEnd } from '../appliance.ts'

const CACHE = join(import.meta.dirname, 'node_modules/.cache')
/** What apt-get and npm may take. */
const FETCH_MS = 120_000

/** Why nothing can be fetched here, or undefined. */
export function noPackages(): string | undefined {
  return existsSync('/usr/bin/apt-get')
    ? undefined
    : 'mail servers of other makes are Debian packages, and there is no apt-get'
}

export type Unpacked = {
  /** What the package, and all it needs that is not installed here, would put under `/`. */
  readonly folder: string
  /** Of what is packed: `0.13` of `0.13-1+b1`. */
  readonly version: string
}

export async function unpackedDebian(name: string): Promise<Unpacked> {
  const [archives, folder, done] = [join(CACHE, name, 'archives'), join(CACHE, name, 'root'), join(CACHE, name, 'done')]
  if (existsSync(done)) return { folder, version: readFileSync(done, 'utf8') }
  rmSync(join(CACHE, name), { recursive: true, force: true })
  mkdirSync(join(archives, 'partial'), { recursive: true })
  const options = ['-q', '-y', '--download-only', '--no-install-recommends', '-o', `Dir::Cache::archives=${archives}`]
  const fetch = () => fetched('apt-get', 'install', ...options, '-o', 'Debug::NoLocking=1', name)
  // Where the lists are stale, or were never fetched, they are fetched once.
  await fetch().catch(async () => {
    await fetched('apt-get', '-q', 'update')
    await fetch()
  })
  const files = readdirSync(archives).filter((each) => each.endsWith('.deb'))
  for (const file of files) await fetched('dpkg', '-x', join(archives, file), folder)
  await mergeUsr(folder)
  const own = files.find((file) => file.startsWith(`${name}_`))
  const version = /_(?:\d+%3a)?([0-9.p]+)/.exec(own ?? '')?.[1]
  if (version === undefined) throw new Error(`apt-get has fetched no ${name}, but: ${files.join(' ')}`)
  writeFileSync(done, version)
  return { folder, version }
}

/** `/lib` and its like are links into `/usr` today; a package that brings a folder of that name must not hide the link. */
async function mergeUsr(folder: string): Promise<void> {
  for (const name of ['bin', 'sbin', 'lib', 'lib64'].filter((each) => existsSync(join(folder, each)))) {
    mkdirSync(join(folder, 'usr', name), { recursive: true })
    await fetched('cp', '-a', join(folder, name, '.'), join(folder, 'usr', name))
    rmSync(join(folder, name), { recursive: true })
  }
}

/** Installs the lab's own npm packages where they are not, or not as the lock file says. */
export async function installNodePackages(): Promise<void> {
  const [lock, installed] = ['package-lock.json', 'node_modules/.package-lock.json'].map((file) =>
    join(import.meta.dirname, file),
  ) as [string, string]
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(lock).mtimeMs) return
  await fetched('npm', 'ci', '--prefix', import.meta.dirname, '--no-audit', '--no-fund')
}

async function fetched(program: string, ...words: string[]): Promise<void> {
  const { code, stdout, stderr } = await runToEnd(program, words, undefined, FETCH_MS)
  if (code !== 0) throw new Error(`${program} ${words.join(' ')} ended with ${code}: ${stderr}${stdout}`)
}
