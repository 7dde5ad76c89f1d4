/**
 * How a command is typed here, for whoever is told what to type next: `npx decoymx why` in a clone, `decoymx why` where it is
 * installed, `node src/start.js why` where somebody starts it so. What is printed can then be pasted.
 */
import { existsSync } from 'node:fs'
import { basename, delimiter, join, relative } from 'node:path'

/** The words behind the name of the program, in front of which it is put. */
export function typed(words: string): string {
  known ??= nameOf(process.argv[1] ?? '', process.cwd(), process.env, existsSync)
  return `${known} ${words}`
}

let known: string | undefined

/** @param script - what node was started with */
export function nameOf(
  script: string,
  cwd: string,
  env: NodeJS.ProcessEnv,
  isThere: (path: string) => boolean,
): string {
  const file = basename(script)
  if (file !== 'start.js' && file !== 'decoymx') return 'decoymx'
  // npm tells what it starts: by npx, or as one of our scripts.
  if (env['npm_package_name'] === 'decoymx' && env['npm_lifecycle_event'] !== undefined) return 'npx decoymx'
  const installed = (env['PATH'] ?? '').split(delimiter).some((folder) => isThere(join(folder, 'decoymx')))
  if (file === 'decoymx' || installed) return 'decoymx'
  const near = relative(cwd, script)
  return `node ${near.startsWith('..') ? script : near}`
}
