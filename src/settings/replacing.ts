/**
 * A file that a person wrote, replaced by other text: whole or not at all, with its mode and its owner; what it held before stays
 * beside it as FILE.bak.
 *
 * A new file takes the place of the old by a rename, so that nobody ever reads half of it. What hinders that is found out
 * before anything is touched, and told with the next step: in most installations the daemon must not write where its rules are.
 */
import {
  accessSync,
  closeSync,
  constants,
  copyFileSync,
  fchmodSync,
  fchownSync,
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
  let temporary: string | undefined
  try {
    // A link stays one: it is the file that it leads to which is replaced.
    const file = realpathSync(path)
    const { mode, uid, gid } = statSync(file)
    const name = join(dirname(file), `.${basename(file)}.new-${process.pid}`)
    const fd = openSync(name, 'wx', 0o600)
    temporary = name
    try {
      const bytes = Buffer.from(text)
      for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done)
      fchownSync(fd, uid, gid)
      fchmodSync(fd, mode & 0o7777)
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    copyFileSync(file, `${file}.bak`)
    renameSync(temporary, file)
    return undefined
  } catch (error) {
    if (temporary !== undefined) rmSync(temporary, { force: true })
    return told(path, error as NodeJS.ErrnoException)
  }
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
