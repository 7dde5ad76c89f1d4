/**
 * The rules in use, and how others take their place: on SIGHUP, when the file changes, or by the API.
 *
 * All or nothing: a mistake, a case that fails, or a change of more clients than the bound leaves the old rules in use, and
 * says so. What a change will do is told before it is done. One load at a time; who asks meanwhile gets a load of its own
 * afterwards, so that the last edit is never missed.
 */
import { createHash } from 'node:crypto'
import type { Problem } from '../core/document.ts'
import type { Rules } from '../core/rules.ts'
import type { Effect } from '../reputation/reputation.ts'
import type { RulesReading, RulesText } from '../settings/checked.ts'

export type Loaded = {
  readonly rules: Rules
  readonly text: RulesText
  readonly at: number
  /** The same for the same text, on every box and in every process. */
  readonly digest: string
}

export type Reload = { readonly problems: readonly Problem[]; readonly effect?: Effect | undefined }

export type ReloadHappening =
  | { readonly what: 'refused'; readonly why: 'unsound' | 'cases' | 'bound'; readonly problems: readonly Problem[] }
  /** Told before it is so. */
  | { readonly what: 'effect'; readonly effect: Effect; readonly digest: string }
  | { readonly what: 'loaded'; readonly rules: Rules }

export type ReloadingOptions = {
  readonly read: () => RulesReading
  /** What the rules ask for, and this host cannot do. */
  readonly mistakes: (rules: Rules) => readonly Problem[]
  /** Cases that do not come true under these rules. */
  readonly failures: (rules: Rules) => Promise<readonly Problem[]>
  /** The rules as this host uses them: it knows who can never be listed. */
  readonly here: (rules: Rules) => Rules
  /** What rules would change, before they are in use. */
  readonly effectOf: (rules: Rules) => Promise<Effect>
  /** Clients newly refused, or refused no more, without force. */
  readonly bound: number
  /** The rules have changed: everybody who uses them. */
  readonly changed: () => Promise<void>
  readonly now: () => number
  readonly tell: (happening: ReloadHappening) => void
}

export class Reloading {
  readonly #options: ReloadingOptions
  #loaded: Loaded
  #problems: readonly Problem[] = []
  /** Of the text that was read last, sound or not. */
  #tried: string
  #turn: Promise<unknown> = Promise.resolve()

  constructor(first: { readonly rules: Rules; readonly text: RulesText }, options: ReloadingOptions) {
    this.#options = options
    this.#loaded = { ...first, rules: options.here(first.rules), at: options.now(), digest: digestOf(first.text) }
    this.#tried = this.#loaded.digest
  }

  get loaded(): Loaded {
    return this.#loaded
  }

  /** Of the last load: why the rules in the file are not those in use. */
  get problems(): readonly Problem[] {
    return this.#problems
  }

  /** The file may have changed; where its text is the one in use, nothing is done. */
  async look(): Promise<void> {
    await this.#inTurn(() => this.#load(false, true))
  }

  load(force: boolean): Promise<Reload> {
    return this.#inTurn(() => this.#load(force, false))
  }

  #inTurn<Value>(work: () => Promise<Value>): Promise<Value> {
    const done = this.#turn.then(work)
    this.#turn = done.catch(() => {})
    return done
  }

  async #load(force: boolean, ifChanged: boolean): Promise<Reload> {
    const { read, mistakes, failures, here, effectOf, bound, changed, now, tell } = this.#options
    const refuse = (why: 'unsound' | 'cases' | 'bound', problems: readonly Problem[], effect?: Effect): Reload => {
      this.#problems = problems
      tell({ what: 'refused', why, problems })
      return { problems, effect }
    }
    const found = read()
    const digest = found.text ? digestOf(found.text) : ''
    if (ifChanged && digest === this.#tried) return { problems: this.#problems }
    this.#tried = digest
    if (!found.ok) return refuse('unsound', found.problems)
    const wrong = mistakes(found.rules)
    if (wrong.length > 0) return refuse('unsound', wrong)
    const failed = await failures(found.rules)
    if (failed.length > 0) return refuse('cases', failed)

    const effect = await effectOf(found.rules)
    if (!force && Math.max(effect.refused, effect.spared) > bound)
      return refuse('bound', [tooMuch(found.rules.file, effect, bound)], effect)
    tell({ what: 'effect', effect, digest })
    const rules = here(found.rules)
    this.#loaded = { rules, text: found.text, at: now(), digest }
    this.#problems = []
    tell({ what: 'loaded', rules })
    await changed()
    return { problems: [], effect }
  }
}

/** `+118 listed, -31 released`. */
export function spellEffect({ listed, released, changed, refused, spared, looked, known }: Effect): string {
  const parts = [`+${listed} listed`, `-${released} released`, ...(changed > 0 ? [`${changed} changed`] : [])]
  const enforced =
    refused === listed && spared === released ? '' : `; at the real MX +${refused} refused, -${spared} refused no more`
  return `${parts.join(', ')}, of ${looked < known ? `${looked} looked at of ${known}` : known} known clients${enforced}`
}

function tooMuch(file: string, { refused, spared }: Effect, bound: number): Problem {
  const message = `these rules would newly refuse ${refused} clients, and refuse ${spared} no more; the bound is ${bound}`
  const hint = 'look with decoymx replay; then decoymx reload --force'
  return { file, line: 1, column: 1, code: 'R020', message, hint }
}

function digestOf({ source }: RulesText): string {
  return createHash('sha256').update(source).digest('hex').slice(0, 12)
}
