/**
 * The witness: greets the real MX and reports a Probe: up, later, down or unsure.
 *
 * Up means that it would take mail now: a 220 greeting. 4xx is later (mail is sent on to the backup by right), no answer or
 * a refusal is down, anything else is unsure. Several real MXs are one: if any is up, senders need no backup. Each look
 * has a deadline, and one look runs at a time.
 */
import net from 'node:net'
import type { Instant, Probe } from '../core/evidence.ts'

export type RealMxOptions = {
  readonly addresses: readonly { readonly host: string; readonly port: number }[]
  readonly everyMs: number
  readonly now: () => Instant
  readonly report: (probe: Probe) => Promise<void>
  /** What is found is not what was found before. */
  readonly changed: (outcome: Probe['outcome']) => void
}

const GREETING_MS = 10_000
/** Longest greeting line that is read (RFC 5321 section 4.5.3.1.5 allows 512). */
const LINE_MAX = 1024
/** A look out of turn is not taken sooner than this after the last. */
const SOONEST_MS = 500

export class RealMx {
  readonly #options: RealMxOptions
  #timer: NodeJS.Timeout | undefined
  #looking: Promise<void> | undefined
  #lookedAt: Instant = 0
  #nudged = false
  #closed = false
  #found: { readonly outcome: Probe['outcome']; readonly since: Instant } | undefined

  constructor(options: RealMxOptions) {
    this.#options = options
  }

  /** What the last look found, and since when that is so. */
  get found(): { readonly outcome: Probe['outcome']; readonly since: Instant } | undefined {
    return this.#found
  }

  start(): Promise<void> {
    return this.#look()
  }

  /** Evidence waits for the next probe: look soon. A look under way began before it, and proves nothing about it. */
  nudge(): void {
    this.#nudged = true
    if (!this.#looking) this.#schedule()
  }

  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    await this.#looking
  }

  #look(): Promise<void> {
    this.#nudged = false
    return (this.#looking ??= this.#greetAll().finally(() => {
      this.#looking = undefined
      this.#lookedAt = this.#options.now()
      this.#schedule()
    }))
  }

  #schedule(): void {
    clearTimeout(this.#timer)
    if (this.#closed) return
    const sinceMs = Math.max(0, this.#options.now() - this.#lookedAt)
    const dueMs = this.#nudged ? Math.max(0, SOONEST_MS - sinceMs) : this.#options.everyMs
    this.#timer = setTimeout(() => void this.#look(), dueMs)
  }

  async #greetAll(): Promise<void> {
    const at = this.#options.now()
    const outcomes = await Promise.all(this.#options.addresses.map(greet))
    const outcome = (['up', 'unsure', 'later', 'down'] as const).find((each) => outcomes.includes(each)) ?? 'down'
    const mx = this.#options.addresses.map(({ host, port }) => `${host}:${port}`).join(' ')
    if (this.#found?.outcome !== outcome) {
      this.#found = { outcome, since: this.#options.now() }
      this.#options.changed(outcome)
    }
    // A good probe vouches for the time up to its start, a bad one from its end on.
    await this.#options.report({ type: 'probe', at: outcome === 'up' ? at : this.#options.now(), mx, outcome })
  }
}

function greet({ host, port }: { host: string; port: number }): Promise<Probe['outcome']> {
  return new Promise((resolve) => {
    let line = ''
    const socket = net.connect({ host, port })
    const end = (outcome: Probe['outcome']) => {
      clearTimeout(timer)
      socket.destroy()
      resolve(outcome)
    }
    const timer = setTimeout(end, GREETING_MS, 'down')
    socket.setEncoding('latin1')
    socket.on('error', () => end('down'))
    socket.on('end', () => end('down'))
    socket.on('data', (text: string) => {
      line += text
      if (!line.includes('\n')) return line.length > LINE_MAX ? end('unsure') : undefined
      if (/^220[ -]/.test(line)) socket.end('QUIT\r\n')
      end(/^220[ -]/.test(line) ? 'up' : /^4\d\d[ -]/.test(line) ? 'later' : 'unsure')
    })
  })
}
