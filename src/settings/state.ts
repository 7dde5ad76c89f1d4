/**
 * The state directory: one appliance at a time, and the socket by which commands reach it.
 *
 * The lock is SQLite's on a file of its own: the kernel lifts it when the holder ends, however it ends, so that a stale lock
 * can never keep an appliance from starting.
 */
import { accessSync, constants, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

export type StateLock = { readonly release: () => void }

/** The lock, or the sentence that says who holds it. */
export function lockState(folder: string): StateLock | string {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o750 })
  } catch (error) {
    return `the state directory ${folder} cannot be made: ${(error as Error).message}; ${OF_OUR_OWN}`
  }
  const closed = unwritable(folder)
  if (closed) return `the state directory: ${closed.seen}; ${closed.next}`
  let lock: DatabaseSync | undefined
  try {
    lock = new DatabaseSync(join(folder, 'lock'))
    lock.exec('PRAGMA busy_timeout = 0; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE')
  } catch (error) {
    lock?.close()
    if (!/locked|busy/i.test((error as Error).message))
      return `the state directory ${folder} cannot be locked: ${(error as Error).message}`
    const pid = existsSync(pidFile(folder)) ? ` (pid ${readFileSync(pidFile(folder), 'utf8').trim()})` : ''
    return `another decoymx${pid} is running on ${folder}; end it, or ${OF_OUR_OWN}`
  }
  writeFileSync(pidFile(folder), `${process.pid}\n`)
  const held = lock
  return {
    release: () => {
      rmSync(pidFile(folder), { force: true })
      held.close()
    },
  }
}

const OF_OUR_OWN = 'give this one a directory of its own with --state DIR'

/** What an appliance that ran as another user, often as root, leaves behind. */
const LEFT_BEHIND = ['lock', 'pid', 'journal', 'reputation.db']

/** What of a state directory this process may not write, and what to do about it; undefined: it may. SQLite does not say why. */
export function unwritable(folder: string): { readonly seen: string; readonly next: string } | undefined {
  const left = LEFT_BEHIND.map((name) => join(folder, name)).filter((path) => existsSync(path))
  const uid = process.getuid?.()
  for (const path of [folder, ...left])
    try {
      accessSync(path, constants.R_OK | constants.W_OK | (path === folder ? constants.X_OK : 0))
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      const chown = `give it to that user (chown -R ${uid} ${folder})`
      return {
        seen: `${path} is not writable by uid ${uid} (${code})`,
        next: `${code === 'EROFS' ? 'its file system is read-only: mount it writable' : chown}, or name another with --state DIR`,
      }
    }
  return undefined
}

/** Where the appliance listens for commands. The kernel takes at most 107 bytes: the shorter way to say it is used. */
export function controlSocket(folder: string): string {
  return socketIn(folder, 'control.sock')
}

/** Where a decoy hears the canary: only who may write there says who it is, and is believed. */
export function canarySocket(folder: string, role: 'primary' | 'backup'): string {
  return socketIn(folder, `canary-${role}.sock`)
}

function socketIn(folder: string, name: string): string {
  const full = join(folder, name)
  const short = relative(process.cwd(), full)
  return short.length < full.length ? short : full
}

export const SOCKET_PATH_MAX = 107

function pidFile(folder: string): string {
  return join(folder, 'pid')
}
