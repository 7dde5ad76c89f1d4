/**
 * A file that a person wrote, as text; or the problem that it has before it is looked at.
 *
 * Only a plain file is read, and no more of it than may be: a pipe would never end, and a device never stop.
 */
import { closeSync, fstatSync, openSync, constants, readSync } from 'node:fs'
import { relative } from 'node:path'
import type { Problem } from '../core/document.ts'
import { FILE_BYTES_MAX, Places, readBytes } from '../core/source.ts'

export type FileReading =
  | { readonly ok: true; readonly file: string; readonly source: string }
  | { readonly ok: false; readonly problems: readonly Problem[] }

const OF_A_HOST = 'is the path right? decoymx init writes the files of a new host'
const DIRECTORY = 'it is a directory'

/** `file` is the path as a person would type it from here; problems name it so. */
export function readText(path: string, ifMissing = OF_A_HOST): FileReading {
  const file = nearest(path)
  let bytes: Buffer
  try {
    bytes = bytesOf(path)
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    const message = missing ? 'there is no such file' : `cannot be read: ${(error as Error).message}`
    const hint = missing ? ifMissing : message.endsWith(DIRECTORY) ? 'name a file in it' : undefined
    return { ok: false, problems: [{ file, line: 1, column: 1, code: 'D001', message, hint }] }
  }
  return textOf(file, bytes)
}

/** What a file of this name would be, if it held these bytes. */
export function textOf(file: string, bytes: Uint8Array): FileReading {
  const read = readBytes(bytes)
  if (read.ok) return { ok: true, file, source: read.text }
  const { at, ...rest } = read.stop
  return { ok: false, problems: [{ file, ...new Places(read.text).place(at), ...rest }] }
}

function bytesOf(path: string): Buffer {
  // Without O_NONBLOCK opening a pipe would wait for somebody to write.
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const found = fstatSync(fd)
    if (found.isDirectory()) throw new Error(DIRECTORY)
    if (!found.isFile()) throw new Error('it is no plain file')
    const bytes = Buffer.alloc(FILE_BYTES_MAX + 1)
    let length = 0
    for (let n = 1; n > 0 && length < bytes.length; length += n)
      n = readSync(fd, bytes, length, bytes.length - length, null)
    return bytes.subarray(0, length)
  } finally {
    closeSync(fd)
  }
}

/** The path as a person would type it from here. */
export function nearest(path: string): string {
  const short = relative(process.cwd(), path)
  return short !== '' && !short.startsWith('..') ? short : path
}
