/**
 * The kernel's half of the primary: strangers are refused before they are connected, suspects are let in to the decoy.
 *
 * A refused connection is what every mail server measured moves on from at once, and for some (qmail stops with a host once
 * it is connected) the only thing. The kernel remembers whom it refused; every few seconds that is read and told as
 * evidence, each touch once: what is read is taken out of the kernel's memory, so that neither our restart nor the kernel's
 * long memory tells it twice; several connections of a client between two looks are one line. A SYN proves less than a
 * connection, for its sender can be forged: a contact weighs nothing, and its detail says where it comes from.
 *
 * Who is let in is asked of the caller, and meets the listener's own judgement there: to let in too many is harmless, to let
 * in nobody, too. Changes are gathered and made at most once a second, in one transaction (`guests`); now and then all are put
 * anew.
 *
 * Somebody may flush the ruleset (a reload of nftables does): each look compares the table with what we put there, and puts
 * it again. Without the right, or without `nft`, we say so, and the listener's own reset serves.
 */
import { clientOfKey } from '../core/client.ts'
import { spellPlace } from '../core/place.ts'
import { type Instant, TIMES_MAX, type Witness } from '../core/evidence.ts'
import { GuestList, type GuestListOptions } from './guests.ts'
import {
  type Called,
  changeGuests,
  dropTable,
  NftFailed,
  putGuests,
  putTable,
  readTable,
  type Refused,
  type Sizes,
  takeRefused,
  type Tolls,
} from './nftables.ts'

export type KernelHappening =
  | { readonly what: 'on'; readonly suspects: number }
  | { readonly what: 'off' }
  /** The kernel has followed what stands: so many suspects and networks it lets in now. */
  | { readonly what: 'followed'; readonly suspects: number }
  /** It does not work, and why; told again only when the reason is another. The listener refuses instead. */
  | { readonly what: 'failed'; readonly why: NftFailed['why']; readonly error: string }
  /** Somebody else removed the table, or changed it: it stands again. */
  | { readonly what: 'repaired'; readonly why: 'missing' | 'changed' }
  /** A set holds no more: of suspects the rest is refused, of the refused the rest is not remembered. */
  | { readonly what: 'full'; readonly set: 'suspects' | 'networks' | 'refused' }
  /** What the kernel did since the last look. */
  | { readonly what: 'read'; readonly touches: number; readonly tolls: Tolls }

export type KernelState = {
  readonly state: 'on' | 'off' | 'failed'
  readonly error: string | null
  /** Where it refuses. */
  readonly addresses: readonly string[]
  readonly suspects: Readonly<Record<4 | 6, number>>
  readonly networks: Readonly<Record<4 | 6, number>>
  /** Connections refused and let in since the table was made anew. */
  readonly tolls: Tolls
  readonly touches: number
  readonly repairs: number
  readonly lastRead: Instant | null
}

export type KernelOptions = GuestListOptions & {
  /** Where the decoys are called; strangers are refused at the primary's. */
  readonly called: readonly Called[]
  readonly witness: Witness
  readonly tell: (happening: KernelHappening) => void
}

const SIZES: Sizes = { suspects: 65_536, networks: 4096, refused: 16_384 }
/** Most touches of a family told at one look; the rest wait for the next. */
const TOUCHES_MAX = 4096
/** Changes are gathered this long. */
const BEAT_MS = 1000
/** A look at the table and at who was refused, every so many beats. */
const LOOK_BEATS = 3
/** Where it does not work, it is tried again after so many beats. */
const RETRY_BEATS = 10
/** Everyone is put anew after so many beats: long before GUEST_MS is over. */
const RENEW_BEATS = 1200
const NO_TOLLS: Tolls = { refused: { 4: 0, 6: 0 }, letIn: { 4: 0, 6: 0 } }

export class Kernel {
  readonly #options: KernelOptions
  readonly #guests: GuestList
  #shape = ''
  #tolls = NO_TOLLS
  #state: KernelState['state'] = 'off'
  #error: string | undefined
  #full = new Set<string>()
  #touches = 0
  #repairs = 0
  #lastRead: Instant | undefined
  #beats = 0
  #timer: NodeJS.Timeout | undefined
  /** What was begun last. */
  #doing: Promise<void> = Promise.resolve()
  #beating = false

  constructor(options: KernelOptions) {
    this.#options = options
    this.#guests = new GuestList(options, SIZES, (set, full) => this.#saysFull(set, full))
  }

  state(): KernelState {
    return {
      state: this.#state,
      error: this.#error ?? null,
      addresses: this.#primary().map(spell),
      suspects: { 4: this.#guests.clients(4), 6: this.#guests.clients(6) },
      networks: { 4: this.#guests.networks(4), 6: this.#guests.networks(6) },
      tolls: this.#tolls,
      touches: this.#touches,
      repairs: this.#repairs,
      lastRead: this.#lastRead ?? null,
    }
  }

  /** Puts the table there, in place of one that an earlier run left, whose memory is read first. */
  async on(): Promise<KernelState> {
    await this.#next(async () => {
      if (this.#state !== 'on') await this.#begin()
    })
    this.#timer ??= setInterval(() => this.#beat(), BEAT_MS).unref()
    return this.state()
  }

  /** Reads for the last time and removes the table. */
  async off(): Promise<KernelState> {
    this.#stop()
    await this.#next(async () => {
      const done = await this.#attempt(async () => {
        await this.#rescue()
        await dropTable()
      })
      if (!done) return
      this.#state = 'off'
      this.#error = undefined
      this.#guests.holds({ entries: [], networks: [] })
      this.#options.tell({ what: 'off' })
    })
    return this.state()
  }

  /** Something is said about this client or network: it is looked at with the next beat. */
  changed(target: string): void {
    this.#guests.changed(target)
  }

  /** Much has changed, or nobody knows what. */
  allChanged(): void {
    this.#guests.allChanged()
  }

  /** Reads for the last time; the table stays, and refuses. */
  async close(): Promise<void> {
    this.#stop()
    await this.#next(async () => {
      if (this.#state === 'on') await this.#attempt(() => this.#rescue())
    })
  }

  #stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  /** After what was begun before: one thing at a time. */
  #next(step: () => Promise<void>): Promise<void> {
    this.#doing = this.#doing.then(step)
    return this.#doing
  }

  /** Whatever goes wrong with nft is said, once; what then stands is put anew when it works again. */
  async #attempt(step: () => Promise<void>): Promise<boolean> {
    try {
      await step()
      return true
    } catch (error) {
      if (!(error instanceof NftFailed)) throw error
      this.#state = 'failed'
      if (this.#error !== error.message) this.#options.tell({ what: 'failed', why: error.why, error: error.message })
      this.#error = error.message
      return false
    }
  }

  #beat(): void {
    this.#beats++
    // A beat that takes long is not followed by a crowd of others.
    if (this.#beating) return
    this.#beating = true
    void this.#next(async () => {
      if (this.#timer && this.#state === 'on') await this.#attempt(() => this.#turn())
      else if (this.#timer && this.#beats % RETRY_BEATS === 0) await this.#begin()
      this.#beating = false
    })
  }

  async #begin(): Promise<void> {
    if (await this.#attempt(() => this.#install())) this.#options.tell({ what: 'on', suspects: this.#guests.size })
  }

  async #turn(): Promise<void> {
    if (this.#beats % RENEW_BEATS === 0) this.#guests.allChanged()
    try {
      await this.#apply()
      if (this.#beats % LOOK_BEATS === 0) await this.#look()
    } catch (error) {
      if (!isNoTable(error)) throw error
      await this.#repair('missing')
    }
  }

  async #repair(why: 'missing' | 'changed'): Promise<void> {
    await this.#install()
    this.#repairs++
    this.#options.tell({ what: 'repaired', why })
  }

  /** The table and its guests in one transaction, in place of whatever stands there. */
  async #install(): Promise<void> {
    if (this.#primary().length === 0)
      throw new NftFailed('failed', 'the primary decoy has no address of its own to refuse at')
    await this.#rescue()
    const guests = await this.#guests.everyone()
    await putTable(this.#options.called, guests, SIZES)
    this.#guests.holds(guests)
    const view = await readTable()
    this.#shape = view?.shape ?? ''
    this.#tolls = view?.tolls ?? NO_TOLLS
    this.#state = 'on'
    this.#error = undefined
  }

  /** Is all as we put it? And who has come? */
  async #look(): Promise<void> {
    const view = await readTable()
    if (view?.shape !== this.#shape) return await this.#repair(view ? 'changed' : 'missing')
    const touches = await this.#read()
    this.#options.tell({ what: 'read', touches, tolls: since(this.#tolls, view.tolls) })
    this.#tolls = view.tolls
  }

  /** What a table remembers that is about to go, or is not to be looked at for a while; nothing where there is none. */
  async #rescue(): Promise<void> {
    try {
      await this.#read()
    } catch (error) {
      if (!isNoTable(error)) throw error
    }
  }

  async #read(): Promise<number> {
    const { refused, left } = await takeRefused(TOUCHES_MAX)
    const now = this.#options.now()
    this.#lastRead = now
    this.#touches += refused.length
    this.#saysFull('refused', refused.length + left >= SIZES.refused)
    await Promise.all(refused.map((each) => this.#testify(each, now)))
    return refused.length
  }

  async #testify({ address, family, times, agoMs }: Refused, now: Instant): Promise<void> {
    const client = clientOfKey(address)
    if (!client) return
    const [only, ...others] = this.#primary().filter(({ prefix }) => prefix.family === family)
    await this.#options.witness({
      type: 'evidence',
      at: now - agoMs,
      client: client.ip,
      role: 'primary',
      kind: 'contact',
      where: only && others.length === 0 && isOneAddress(only) ? spell(only) : undefined,
      detail: family === 4 ? 'refused by the kernel' : 'refused by the kernel (its /64)',
      ...(times > 1 ? { times: Math.min(times, TIMES_MAX) } : {}),
    })
  }

  async #apply(): Promise<void> {
    const steps = this.#guests.steps()
    if (steps !== 'all') {
      if (steps.enter.length + steps.leave.length === 0) return
      try {
        await changeGuests(steps)
        this.#guests.done(steps)
        return this.#options.tell({ what: 'followed', suspects: this.#guests.size })
      } catch (error) {
        // Most likely one ran out in this very moment. To put all anew does not depend on who is there.
        if (!(error instanceof NftFailed) || error.why === 'denied') throw error
      }
    }
    const guests = await this.#guests.everyone()
    await putGuests(guests)
    this.#guests.holds(guests)
    this.#options.tell({ what: 'followed', suspects: this.#guests.size })
  }

  #primary(): Called[] {
    return this.#options.called.filter(({ role }) => role === 'primary')
  }

  #saysFull(set: 'suspects' | 'networks' | 'refused', full: boolean): void {
    if (full && !this.#full.has(set)) this.#options.tell({ what: 'full', set })
    if (full) this.#full.add(set)
    else this.#full.delete(set)
  }
}

function isNoTable(error: unknown): boolean {
  return error instanceof NftFailed && error.why === 'no-table'
}

function isOneAddress({ prefix }: Called): boolean {
  return prefix.length === (prefix.family === 4 ? 32 : 128)
}

/** An address as clients call it; a prefix with its length. */
function spell(called: Called): string {
  const { cidr } = called.prefix
  return spellPlace(isOneAddress(called) ? cidr.slice(0, cidr.indexOf('/')) : cidr, called.port)
}

function since(before: Tolls, now: Tolls): Tolls {
  const more = (what: 'refused' | 'letIn') => ({
    4: Math.max(0, now[what][4] - before[what][4]),
    6: Math.max(0, now[what][6] - before[what][6]),
  })
  return { refused: more('refused'), letIn: more('letIn') }
}
