/**
 * The sets of `inet decoymx_list` kept current by the running appliance, for the operator's own rules at the real MX
 * (deploy/nftables/decoymx-list.nft). In them are exactly those whom the policy service refuses, as in `export nft`.
 *
 * Once a second it is looked whether the decisions, or the rules, have changed; then who came, who went, and who needs more time
 * are put in one transaction. The whole is put only at the start, when more than half of it changes, and when what is there is
 * not what we know: every RENEW_BEATS some of it is looked for, because a reload of the host's ruleset empties sets, and a change
 * that fails tells it, too. What a turn takes is measured, and REST times as long is rested: a long list is followed more
 * slowly, and nobody else waits. Each entry runs out within LIFE_MS, so that a firewall which we no longer feed refuses nobody
 * for longer. When our copy is not fresh, nobody is in the sets.
 *
 * Only the sets are ours. They are made when the appliance starts; if somebody removes the table after that, that is his wish,
 * and it stays away until it is loaded again, or until we start again. More than ENTRIES_MAX entries are not put.
 */
import { setImmediate } from 'node:timers/promises'
import { inTurns } from '../answer/exports.ts'
import {
  changeOf,
  differences,
  emptied,
  heldUntil,
  keyOf,
  lookFor,
  networkOf,
  type Timed,
  wholeOf,
} from '../answer/nft-sets.ts'
import { parseClient } from '../core/client.ts'
import type { Instant } from '../core/evidence.ts'
import { nft, NftFailed } from '../decoy/nftables.ts'

export type FirewallHappening =
  | { readonly what: 'followed'; readonly entries: number }
  /** Nobody is in the sets, for our copy of the decisions is not to be believed. */
  | { readonly what: 'emptied' }
  /** The table was removed, and we leave it so. */
  | { readonly what: 'removed' }
  | { readonly what: 'full'; readonly entries: number; readonly most: number }
  | { readonly what: 'failed'; readonly why: NftFailed['why']; readonly error: string }

export type FirewallOptions = {
  /** Who is refused, none of them longer than LIFE_MS from now. */
  readonly refused: () => Promise<readonly Timed[]>
  readonly freshness: () => 'starting' | 'fresh' | 'stale'
  /** When this is another, the decisions may be others. */
  readonly basis: () => string
  readonly tell: (happening: FirewallHappening) => void
  readonly now: () => Instant
}

/** Longest that an entry stands without us. */
export const FIREWALL_LIFE_MS = 3_600_000
const ENTRIES_MAX = 131_072
const BEAT_MS = 1000
const RENEW_BEATS = 60
const REST = 20
/** So many entries are looked for, to know whether all are there. */
const LOOKS = 8
/** Lines and their ends, made in one go: a few milliseconds. */
const LINES = 8
/** A change of so few is one, however short the list. */
const CHANGES_LEAST = 16
/** What is about to run out may be gone when it is looked for. */
const ABOUT_MS = 10_000

export class Firewall {
  readonly #options: FirewallOptions
  #timer: NodeJS.Timeout | undefined
  #turning: Promise<void> | undefined
  #beats = 0
  /** No turn before this beat. */
  #rests = 0
  #renews = 0
  #basis: string | undefined
  #made = false
  #emptied = false
  /** What is there, as far as we know; undefined: we do not. */
  #held: Map<string, number> | undefined
  /** What was told last and has not ended. */
  #trouble = ''

  constructor(options: FirewallOptions) {
    this.#options = options
  }

  start(): void {
    this.#timer ??= setInterval(() => this.#beat(), BEAT_MS).unref()
    this.#beat()
  }

  /** What stands in the kernel stays there, and runs out by itself: a restart interrupts nothing. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    await this.#turning
  }

  #beat(): void {
    this.#beats++
    if (this.#turning || this.#beats < this.#rests) return
    this.#turning = this.#turn().finally(() => (this.#turning = undefined))
  }

  async #turn(): Promise<void> {
    const { freshness, basis, refused, tell } = this.#options
    const state = freshness()
    if (state === 'starting') return
    const stands = basis()
    const due = this.#beats >= this.#renews || stands !== this.#basis
    if (state === 'stale' ? this.#emptied : !due && !this.#emptied) return
    const began = performance.now()
    try {
      if (state === 'stale') {
        this.#held = undefined
        await nft(await textOf(emptied()))
        this.#emptied = true
        return tell({ what: 'emptied' })
      }
      const entries = await refused()
      if (entries.length > ENTRIES_MAX) this.#says('full', { what: 'full', entries: entries.length, most: ENTRIES_MAX })
      else {
        if (this.#beats >= this.#renews && !(await this.#isThere())) this.#held = undefined
        if (!(await this.#change(entries))) await this.#put(entries)
        this.#trouble = ''
        tell({ what: 'followed', entries: entries.length })
      }
      this.#basis = stands
      this.#emptied = false
      this.#renews = this.#beats + RENEW_BEATS
    } catch (error) {
      if (!(error instanceof NftFailed)) throw error
      this.#held = undefined
      this.#renews = this.#beats + RENEW_BEATS
      this.#basis = stands
      if (state === 'stale') this.#emptied = true
      if (error.why === 'no-table') this.#says('removed', { what: 'removed' })
      else this.#says(error.message, { what: 'failed', why: error.why, error: error.message })
    } finally {
      this.#rests = this.#beats + Math.floor(((performance.now() - began) * REST) / BEAT_MS)
    }
  }

  /** From what is known to be there, in one transaction; false: it is to be put as a whole. */
  async #change(entries: readonly Timed[]): Promise<boolean> {
    const held = this.#held
    if (!held) return false
    const now = this.#options.now()
    for (const [key, until] of held) if (until <= now) held.delete(key)
    const change = await inTurns(differences(held, entries, { now, renewMs: FIREWALL_LIFE_MS / 2 }))
    const { leave, enter } = change
    if (leave.length + enter.length === 0) return true
    if (leave.length + enter.length > Math.max(CHANGES_LEAST, entries.length / 2)) return false
    try {
      await nft(await textOf(changeOf(change, now)))
    } catch (error) {
      // Somebody has taken out what we put there, or it ran out a moment ago: nothing has changed.
      if (error instanceof NftFailed && error.why === 'no-table') return false
      throw error
    }
    for (const network of leave) held.delete(keyOf(network))
    for (const entry of enter) held.set(keyOf(entry), heldUntil(entry, now))
    return true
  }

  async #put(entries: readonly Timed[]): Promise<void> {
    const now = this.#options.now()
    const text = await textOf(wholeOf(entries, now))
    this.#held = undefined
    await nft(this.#made ? withoutMaking(text) : text)
    this.#made = true
    this.#held = new Map(entries.map((entry) => [keyOf(entry), heldUntil(entry, now)]))
  }

  /** Are some of those there that we have put there? */
  async #isThere(): Promise<boolean> {
    const from = this.#options.now() + ABOUT_MS
    const some: string[] = []
    for (const [key, until] of this.#held ?? []) if (until > from && some.push(key) === LOOKS) break
    try {
      for (const question of lookFor(some.map(networkOf))) await nft(question)
      return true
    } catch (error) {
      if (error instanceof NftFailed && error.why === 'no-table') return false
      throw error
    }
  }

  #says(trouble: string, happening: FirewallHappening): void {
    if (this.#trouble !== trouble) this.#options.tell(happening)
    this.#trouble = trouble
  }
}

/** Is this one client in the sets now? Rejects where there are none. */
export async function isListed({ address, family }: { readonly address: string; readonly family: 4 | 6 }) {
  const first = family === 4 ? address : firstOf(address)
  for (const [set, element] of [
    [`clients${family}`, first],
    [`blocked${family}`, address],
  ] as const) {
    try {
      await nft(['get', 'element', 'inet', 'decoymx_list', set, `{ ${element} }`])
      return true
    } catch (error) {
      // nft says "No such file or directory" of an element, too.
      if (!(error instanceof NftFailed) || error.why !== 'no-table') throw error
      await nft(['--terse', 'list', 'set', 'inet', 'decoymx_list', set])
    }
  }
  return false
}

/** The first address of its /64. */
function firstOf(address: string): string {
  return parseClient(address)?.key.replace(/\/64$/, '') ?? address
}

/** Made while others have their turn: a line has hundreds of entries. */
async function textOf(lines: Iterable<string>): Promise<string> {
  const text: string[] = []
  for (const line of lines) if (text.push(line, '\n') % LINES === 0) await setImmediate()
  return text.join('')
}

/** So that it fails where the table is no more. */
function withoutMaking(text: string): string {
  return text.replaceAll(/^add (table|set) .*\n/gm, '')
}
