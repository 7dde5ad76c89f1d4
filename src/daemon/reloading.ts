/**
 * The rules in use, and how others take their place: on SIGHUP, when the file changes, or by the API.
 *
 * All or nothing: a mistake, a case that fails, or a change of more clients than the bound leaves the old rules in use, and
 * says so. What a change will do is told before it is done. One load at a time; who asks meanwhile gets a load of its own
 * afterwards, so that the last edit is never missed.
 *
 * Rules that are only proposed are weighed by the same code, in the same turns: so what an editor is told is what a load does.
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

type Why = 'unsound' | 'cases' | 'bound'

/** What a load would come to. Only rules that may be loaded have no problems. */
export type Weighed =
  | { readonly ok: true; readonly next: Omit<Loaded, 'at'>; readonly effect: Effect }
  | {
      readonly ok: false
      readonly why: Why
      readonly problems: readonly Problem[]
      readonly effect?: Effect | undefined
    }

export type ReloadHappening =
  | { readonly what: 'refused'; readonly why: Why; readonly problems: readonly Problem[] }
  /** An operator has saved other rules over HTTP. Told before they are loaded. */
  | { readonly what: 'saved'; readonly by: string; readonly before: string; readonly digest: string }
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

  /** What would come of these rules without force; nothing is changed, and nothing told. */
  weigh(found: RulesReading): Promise<Weighed> {
    return this.#inTurn(() => this.#weigh(found, false))
  }

  /** Loads these rules if they may be, after `keep` has written them: when it answers why it has not, nothing is changed. */
  save<Hindrance>(
    found: RulesReading,
    force: boolean,
    by: string,
    keep: () => Hindrance | undefined,
  ): Promise<Weighed | { readonly hindrance: Hindrance }> {
    return this.#inTurn(async () => {
      const weighed = await this.#weigh(found, force)
      if (!weighed.ok) return weighed
      const hindrance = keep()
      if (hindrance !== undefined) return { hindrance }
      const { digest } = weighed.next
      this.#options.tell({ what: 'saved', by, before: this.#loaded.digest, digest })
      this.#tried = digest
      await this.#adopt(weighed.next, weighed.effect)
      return weighed
    })
  }

  async #load(force: boolean, ifChanged: boolean): Promise<Reload> {
    const found = this.#options.read()
    const digest = found.text ? digestOf(found.text) : ''
    if (ifChanged && digest === this.#tried) return { problems: this.#problems }
    this.#tried = digest
    const weighed = await this.#weigh(found, force)
    const { effect } = weighed
    if (!weighed.ok) {
      const { why, problems } = weighed
      this.#problems = problems
      this.#options.tell({ what: 'refused', why, problems })
      return { problems, effect }
    }
    await this.#adopt(weighed.next, weighed.effect)
    return { problems: [], effect }
  }

  async #weigh(found: RulesReading, force: boolean): Promise<Weighed> {
    const { mistakes, failures, effectOf, bound } = this.#options
    if (!found.ok) return { ok: false, why: 'unsound', problems: found.problems }
    const { rules, text } = found
    const wrong = mistakes(rules)
    if (wrong.length > 0) return { ok: false, why: 'unsound', problems: wrong }
    const failed = await failures(rules)
    if (failed.length > 0) return { ok: false, why: 'cases', problems: failed }
    const effect = await effectOf(rules)
    if (!force && Math.max(effect.refused, effect.spared) > bound)
      return { ok: false, why: 'bound', problems: [tooMuch(rules.file, effect, bound)], effect }
    return { ok: true, next: { rules, text, digest: digestOf(text) }, effect }
  }

  async #adopt(next: Omit<Loaded, 'at'>, effect: Effect): Promise<void> {
    const { here, changed, now, tell } = this.#options
    tell({ what: 'effect', effect, digest: next.digest })
    const rules = here(next.rules)
    this.#loaded = { ...next, rules, at: now() }
    this.#problems = []
    tell({ what: 'loaded', rules })
    await changed()
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

/** The same for the same text. */
export function digestOf({ source }: Pick<RulesText, 'source'>): string {
  return createHash('sha256').update(source).digest('hex').slice(0, 12)
}
