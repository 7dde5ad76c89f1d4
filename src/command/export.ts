/**
 * `export`: who is refused now, on the standard output or in a file.
 *
 * The file is replaced in one rename within its folder, when all of the new one is on disk: whoever reads it finds the old
 * list or the new one, also after a power cut. A file that is no export of ours is left alone, and so is one from which the
 * new list would differ wildly: a mistake should not reach every mail server at once. Where the mode now is observe, a list
 * that becomes empty is what was asked for, and honest senders do not wait for a `--force`.
 */
import { closeSync, openSync, readSync, realpathSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { countsDown, type Head, headOf } from '../answer/exports.ts'
import type { Format } from '../answer/formats.ts'
import { counted, type Screen } from '../console/terminal.ts'
import { putInPlace } from '../settings/replacing.ts'
import { askForText } from './appliance.ts'
import type { Complain } from './exit-codes.ts'

export type ExportOptions = {
  readonly out: string | undefined
  readonly force: boolean
  /** For what a person is told, beside the list itself. */
  readonly screen: Screen
  readonly complain: Complain
}

/** More listings, or fewer, than both of these, are a jump. */
const JUMP = { listings: 100, share: 0.5 } as const
/** The head of an export is shorter. */
const HEAD_BYTES = 2000

export async function exportList(folder: string, format: Format, options: ExportOptions): Promise<number> {
  const { out, force, screen, complain } = options
  const { status, text } = await askForText(folder, 'GET', `/api/v1/exports/${format}`)
  if (status !== 200) return complain(JSON.parse(text))
  if (out === undefined) {
    process.stdout.write(text)
    return 0
  }
  const head = headOf(text)
  if (!head) return complain({ error: 'the appliance sent something that is no export: is it another version?' })
  const { listings, entries } = head
  const told = `${counted(listings, 'listing')} in ${counted(entries, 'entry', 'entries')}`
  try {
    const target = realpathIfThere(resolve(out))
    const old = beginningOf(target)
    const before = old === undefined || old === '' ? undefined : (headOf(old) ?? 'foreign')
    const refusal = before && refusalOf(out, before, head)
    if (refusal !== undefined && !force) return complain({ error: refusal, hint: '--force writes it all the same' })
    if (before && before !== 'foreign' && !countsDown(format) && isSame(before, head)) {
      screen.print(`${out}: unchanged, ${told}`)
      return 0
    }
    replace(target, [text])
  } catch (error) {
    return complain({ error: `${out} cannot be written: ${(error as Error).message}`, hint: 'what was there stays' })
  }
  screen.print(`${out}: ${told}`)
  return 0
}

/** Why this file should not be replaced by this list; undefined: it may be. */
export function refusalOf(file: string, old: Head | 'foreign', next: Head): string | undefined {
  if (old === 'foreign') return `${file} was not written by "decoymx export"`
  if (old.format !== next.format) return `${file} is an export in the format ${old.format}, not ${next.format}`
  if (next.mode === 'observe') return undefined
  const change = Math.abs(next.listings - old.listings)
  if (change <= JUMP.listings || change <= JUMP.share * old.listings) return undefined
  return `the list would jump from ${old.listings} listings to ${next.listings}`
}

function isSame(old: Head, next: Head): boolean {
  return old.digest === next.digest && old.rules === next.rules && old.mode === next.mode
}

/** A link keeps standing: what it names is replaced. */
function realpathIfThere(path: string): string {
  try {
    return realpathSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    return path
  }
}

function beginningOf(path: string): string | undefined {
  if (!statSync(path, { throwIfNoEntry: false })) return undefined
  if (!statSync(path).isFile()) throw new Error('it is no file')
  const file = openSync(path, 'r')
  try {
    const bytes = Buffer.alloc(HEAD_BYTES)
    return bytes.toString('utf8', 0, readSync(file, bytes))
  } finally {
    closeSync(file)
  }
}

/** The new file may be read by whom the old one might. */
export function replace(path: string, texts: Iterable<string>): void {
  putInPlace(path, texts, { mode: (statSync(path, { throwIfNoEntry: false })?.mode ?? 0o644) & 0o777 })
}
