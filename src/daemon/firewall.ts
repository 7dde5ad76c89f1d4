/**
 * The sets of `inet decoymx_list` kept current by the running appliance, for the operator's own rules at the real MX
 * (deploy/nftables/decoymx-list.nft). In them is what `export nft` has, exactly those whom the policy service refuses.
 *
 * Once a second it is looked whether the decisions, or the rules, have changed; then both sets are put anew in one transaction.
 * What that takes is measured, and REST times as long is rested: a long list is followed more slowly, and nobody else waits.
 * Each entry runs out within LIFE_MS, so that a firewall which we no longer feed refuses nobody for longer; and all is put again
 * every RENEW_BEATS, because a reload of the host's ruleset empties sets. When our copy is not fresh, nobody is in them.
 *
 * Only the sets are ours. They are made when the appliance starts; if somebody removes the table after that, that is his wish,
 * and it stays away until it is loaded again, or until we start again. More than ENTRIES_MAX entries are not put.
 */
import type { Export } from '../answer/exports.ts'
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
  /** What `export nft` would be, with no entry longer than LIFE_MS. */
  readonly exported: () => Promise<Export>
  readonly freshness: () => 'starting' | 'fresh' | 'stale'
  /** When this is another, the decisions may be others. */
  readonly basis: () => string
  readonly tell: (happening: FirewallHappening) => void
}

/** Longest that an entry stands without us. */
export const FIREWALL_LIFE_MS = 3_600_000
const ENTRIES_MAX = 131_072
const BEAT_MS = 1000
const RENEW_BEATS = 60
const REST = 20

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
    const { freshness, basis, exported, tell } = this.#options
    const state = freshness()
    if (state === 'starting') return
    const stands = basis()
    const due = this.#beats >= this.#renews || stands !== this.#basis
    if (state === 'stale' ? this.#emptied : !due && !this.#emptied) return
    const began = performance.now()
    try {
      if (state === 'stale') {
        await nft(EMPTY)
        this.#emptied = true
        return tell({ what: 'emptied' })
      }
      const { head, text } = await exported()
      if (head.entries > ENTRIES_MAX) this.#says('full', { what: 'full', entries: head.entries, most: ENTRIES_MAX })
      else {
        await nft(this.#made ? withoutMaking(text) : text)
        this.#made = true
        this.#trouble = ''
        tell({ what: 'followed', entries: head.entries })
      }
      this.#basis = stands
      this.#emptied = false
      this.#renews = this.#beats + RENEW_BEATS
    } catch (error) {
      if (!(error instanceof NftFailed)) throw error
      this.#renews = this.#beats + RENEW_BEATS
      this.#basis = stands
      if (state === 'stale') this.#emptied = true
      if (error.why === 'no-table') this.#says('removed', { what: 'removed' })
      else this.#says(error.message, { what: 'failed', why: error.why, error: error.message })
    } finally {
      this.#rests = this.#beats + Math.floor(((performance.now() - began) * REST) / BEAT_MS)
    }
  }

  #says(trouble: string, happening: FirewallHappening): void {
    if (this.#trouble !== trouble) this.#options.tell(happening)
    this.#trouble = trouble
  }
}

/** Is this one client in the sets now? Rejects where there are none. */
export async function isListed({ address, family }: { readonly address: string; readonly family: 4 | 6 }) {
  const elements = ['get', 'element', 'inet', 'decoymx_list', `blocked${family}`, `{ ${address} }`]
  try {
    await nft(elements)
    return true
  } catch (error) {
    // nft says "No such file or directory" of an element, too.
    if (!(error instanceof NftFailed) || error.why !== 'no-table') throw error
    await nft(['--terse', 'list', 'set', 'inet', 'decoymx_list', `blocked${family}`])
    return false
  }
}

const EMPTY = [4, 6].map((family) => `flush set inet decoymx_list blocked${family}\n`).join('')

/** So that it fails where the table is no more. */
function withoutMaking(text: string): string {
  return text.replaceAll(/^add (table|set) .*\n/gm, '')
}
