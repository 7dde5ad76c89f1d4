/**
 * `reload`: has the running appliance load its rules anew, and tells what that changes, or why the old ones stay.
 */
import type { Screen } from '../console/terminal.ts'
import type { Problem } from '../core/document.ts'
import type { Effect } from '../reputation/reputation.ts'
import { ask } from './appliance.ts'
import { spellEffect } from '../daemon/reloading.ts'

export type ReloadOptions = {
  readonly force: boolean
  readonly json: boolean
  readonly screen: Screen
  readonly problems: (all: readonly Problem[]) => void
}

export async function reload(folder: string, { force, json, screen, problems }: ReloadOptions): Promise<number> {
  const { body } = await ask(folder, 'POST', '/api/v1/reload', { force })
  const answer = body as { readonly ok: boolean; readonly problems: readonly Problem[]; readonly effect: Effect | null }
  if (json) screen.print(JSON.stringify(answer, null, 2))
  else if (!answer.ok) {
    problems(answer.problems)
    screen.print('The old rules stay.')
  } else screen.print(`${screen.colours.green('loaded')}  ${answer.effect ? spellEffect(answer.effect) : ''}`)
  return answer.ok ? 0 : 1
}
