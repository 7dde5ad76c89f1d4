/**
 * Would the appliance start again with the files as they are now? Settings and rules are read when one of them has changed, and
 * only then, however often it is asked.
 */
import { statSync } from 'node:fs'
import { spellProblem } from '../core/document.ts'
import { readAll } from '../settings/checked.ts'
import type { Where } from '../settings/settings.ts'

/** Gives the problems that they have. */
export function filesLook(where: Where, env: NodeJS.ProcessEnv, accessFile: string | undefined): () => string[] {
  const paths = [where.settings, where.rules, accessFile].filter((path) => path !== undefined)
  let [seen, problems] = [prints(paths), [] as string[]]
  return () => {
    const now = prints(paths)
    if (now === seen) return problems
    seen = now
    const read = readAll(where, env)
    problems = read.ok ? [] : read.problems.map(spellProblem)
    return problems
  }
}

function prints(paths: readonly string[]): string {
  return paths
    .map((path) => {
      const found = statSync(path, { throwIfNoEntry: false })
      return found ? `${found.mtimeMs} ${found.size} ${found.ino}` : 'none'
    })
    .join('; ')
}
