/**
 * A file that a person wrote, replaced by other text: whole or not at all, with its mode and its owner; what it held before stays
 * beside it as FILE.bak.
 *
 * A new file takes the place of the old by a rename, so that nobody ever reads half of it. What hinders that is found out
 * before anything is touched, and told with the next step: in most installations the daemon must not write where its rules are.
 */
import { randomBytes } from 'node:crypto'
import {
  accessSync,
  closeSync,
  constants,
  copyFileSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'

export type Hindrance = { readonly error: string; readonly hint: string }

/** Why this process cannot replace the file; undefined when it most likely can. */
export function hindranceAt(path: string): Hindrance | undefined {
  try {
    const file = realpathSync(path)
    accessSync(file, constants.W_OK)
    accessSync(dirname(file), constants.W_OK)
    const { uid } = statSync(file)
    const own = process.getuid?.() ?? uid
    if (own !== 0 && uid !== own)
      return {
        error: `${path} belongs to another user (${uid}), and would be ours (${own}) afterwards`,
        hint: 'give it to the user that the daemon runs as, or save the text there yourself',
      }
    return undefined
  } catch (error) {
    return told(path, error as NodeJS.ErrnoException)
  }
}

/** Undefined: done. */
export function replaceText(path: string, text: string): Hindrance | undefined {
  const hindrance = hindranceAt(path)
  if (hindrance) return hindrance
  try {
    // A link stays one: it is the file that it leads to which is replaced.
    const file = realpathSync(path)
    const { mode, uid, gid } = statSync(file)
    copyFileSync(file, `${file}.bak`)
    putInPlace(file, [text], { mode, owner: { uid, gid } })
    return undefined
  } catch (error) {
    return told(path, error as NodeJS.ErrnoException)
  }
}

/** What a file shall have, besides its text. */
export type Manner = {
  readonly mode: number
  /** As whom we are, where nobody is named. */
  readonly owner?: { readonly uid: number; readonly gid: number }
}

/**
 * A file in place of the one that is there, or of none: all of it or nothing, also after a power cut. It is written beside, and
 * what it may be read by is settled before it has its name.
 */
export function putInPlace(file: string, texts: Iterable<string>, { mode, owner }: Manner): void {
  const folder = dirname(file)
  const beside = join(folder, `.${basename(file)}.${randomBytes(6).toString('hex')}`)
  try {
    const fd = openSync(beside, 'wx', 0o600)
    try {
      for (const text of texts) {
        const bytes = Buffer.from(text)
        for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done)
      }
      if (owner && !isOwned(fd, owner)) fchownSync(fd, owner.uid, owner.gid)
      fchmodSync(fd, mode & 0o7777)
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    renameSync(beside, file)
  } catch (error) {
    rmSync(beside, { force: true })
    throw error
  }
  const fd = openSync(folder, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/** Then nothing is asked of the kernel: the unit's filter of system calls refuses every chown, also one that changes nothing. */
function isOwned(fd: number, { uid, gid }: NonNullable<Manner['owner']>): boolean {
  const found = fstatSync(fd)
  return found.uid === uid && found.gid === gid
}

const HINTS: Readonly<Record<string, string>> = {
  EROFS:
    'it is on a file system that is read-only here, as systemd and containers have it: docs/operating.md has the way',
  EACCES: 'file and folder must be writable for the user that the daemon runs as: docs/operating.md has the way',
  EPERM: 'file and folder must belong to the user that the daemon runs as: docs/operating.md has the way',
  EBUSY: 'it is mounted by itself, and cannot be replaced: mount its folder instead',
  ENOSPC: 'the disk is full',
  ENOENT: 'the file is gone: put one there first',
}

function told(path: string, { code = '', message }: NodeJS.ErrnoException): Hindrance {
  return {
    error: `${path} cannot be written: ${message}`,
    hint: HINTS[code] ?? 'save the text there yourself',
  }
}
