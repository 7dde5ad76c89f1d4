/**
 * What the commands have in common: the stage they speak on, and the options that several of them take, each written once.
 */
import { resolve } from 'node:path'
import { InvalidArgumentError, Option } from 'commander'
import { NO_REASON } from '../../core/evidence.ts'
import type { Problem } from '../../core/document.ts'
import { parsePrefix } from '../../core/prefixes.ts'
import { asTyped } from '../../console/called.ts'
import { hanging, type Screen } from '../../console/terminal.ts'
import { tellProblems } from '../../console/problems.ts'
import { type Complain, FAILED } from '../exit-codes.ts'
import type { Where } from '../../settings/settings.ts'

/** The parts of the appliance that `run --only` can name. */
export const PARTS = ['decoys', 'policy', 'dnsbl', 'http'] as const

/** Where a command prints, and where its exit code goes. */
export type Stage = {
  readonly version: string
  readonly screen: Screen
  readonly errors: Screen
  readonly complain: Complain
  readonly problems: (all: readonly Problem[]) => void
  /** The action of a command whose body gives the exit code. */
  readonly does: (body: (...words: never[]) => number | Promise<number>) => (...words: unknown[]) => Promise<void>
}

/** @param ended - hears the exit code of the command that ran */
export function stageOn(version: string, screen: Screen, errors: Screen, ended: (code: number) => void): Stage {
  return {
    version,
    screen,
    errors,
    complain: (body, code = FAILED) => {
      const { error = 'the appliance answered with an error', errors: all = [error], hint } = body as Mistakes
      for (const [i, each] of all.entries()) {
        const told = asTyped(`${each}${hint && i === all.length - 1 ? ` (${hint})` : ''}`)
        for (const line of hanging(`${errors.colours.red('error')}  `, told, errors.width, 7)) errors.print(line)
      }
      return code
    },
    problems: (all) => tellProblems(all, errors),
    does:
      (body) =>
      async (...words) =>
        ended(await (body as (...all: unknown[]) => number | Promise<number>)(...words)),
  }
}

/** As the appliance tells them: all in one sentence, and each alone where there are several. */
type Mistakes = { readonly error?: string; readonly errors?: readonly string[]; readonly hint?: string }

/** What commander has read of the options below. */
export type Options = {
  readonly state: string
  readonly settings?: string
  readonly rules: string
  readonly json?: boolean
  readonly because: string
  readonly author?: string
}

export function whereOf(options: Options): Where {
  return { state: resolve(options.state), settings: options.settings, rules: options.rules }
}

export const state = () =>
  new Option('--state <dir>', 'where the appliance keeps its journal and its socket')
    .env('DECOYMX_STATE')
    .default('var')
export const settings = () =>
  new Option('--settings <file>', 'this host: addresses, store, limits').env('DECOYMX_SETTINGS')
export const rules = () => new Option('--rules <file>', 'the rules').env('DECOYMX_RULES').default('rules.yaml')
export const json = () => new Option('--json', 'print JSON')
export const because = () =>
  new Option('--because <reason>', 'why; kept in the journal, shown by why').default(NO_REASON)
export const author = () => new Option('--author <name>', 'who says so; by default the user of this shell')

/** A whole number between two bounds, or commander's error. */
export const whole = (least: number, most: number) => (text: string) => {
  const n = /^\d{1,10}$/.test(text) ? Number(text) : NaN
  if (n >= least && n <= most) return n
  throw new InvalidArgumentError(`expected a whole number from ${least} to ${most}, got ${text}`)
}

/** A network that only narrows what is told: its text, or commander's error. */
export const network = (text: string) => {
  const read = parsePrefix(text)
  if (typeof read === 'string') throw new InvalidArgumentError(read)
  return text
}
