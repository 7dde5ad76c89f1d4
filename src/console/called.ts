/**
 * How a command is typed here, for whoever is told what to type next: `npx decoymx why` in a clone, `decoymx why` where it is
 * installed, `node src/start.js why` where somebody starts it so. What is printed can then be pasted.
 *
 * Texts that come from below, or from the appliance, say `decoymx why`, and so does all JSON that programs ask for: only who
 * prints them to a person knows how that person types. So what reaches a person is said by `typed`, or has gone through
 * `asTyped`: in a terminal, in the log, and on a page, whose browser does the same (elements.js).
 */
import { existsSync } from 'node:fs'
import { basename, delimiter, join, relative } from 'node:path'

/** The words behind the name of the program, in front of which it is put. */
export function typed(words: string): string {
  return `${programName()} ${words}`
}

export function programName(): string {
  return (known ??= nameOf(process.argv[1] ?? '', process.cwd(), process.env, existsSync))
}

/** The same text with each command in it as it is typed here. */
export function asTyped(text: string): string {
  return text.replace(NAMED, (_, word: string) => typed(word))
}

/** Every command, as the tree has them: a test holds the two together. */
export const COMMANDS = (
  'run init demo reload status tail doctor kernel console token password why list allow block release enforce audit ' +
  'governor export check lint plan test replay simulate completion'
).split(' ')

/** "decoymx runs" is a sentence, and `npx decoymx why` is typed already. */
const NAMED = new RegExp(`(?<!npx |[\\w./-])decoymx (${COMMANDS.join('|')})\\b(?!-)`, 'g')

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
