/**
 * What the appliance and its workers say to each other, over the channel that Node puts between parent and child.
 *
 * Messages are plain data and come in order ('advanced' serialization). Whatever can come thousands of times a second is
 * gathered and sent once a turn of the loop, or once a beat.
 */
import type { Event } from '../core/evidence.ts'
import type { Group } from '../core/never.ts'
import type { Guest } from '../decoy/crowd.ts'
import type { Told } from '../decoy/gathering.ts'
import type { DecoyCounts } from '../decoy/listener.ts'
import type { Look } from '../decoy/look.ts'
import type { Report } from '../decoy/shares.ts'
import type { News } from '../reputation/reputation.ts'
import type { RulesText } from '../settings/checked.ts'
import type { Settings } from '../settings/settings.ts'
import type { Found } from './decoys.ts'
import type { DoorHappening } from './sockets.ts'

export type Begin = {
  readonly what: 'begin'
  readonly settings: Settings['decoys']
  readonly workers: number
  readonly maxAgeMs: number
  readonly rules: RulesText
  readonly outage: boolean
  readonly look: Look | undefined
  /** Where the canary comes in: to one of them. */
  readonly canary: string | undefined
}

export type ToWorker =
  | Begin
  | { readonly what: 'news'; readonly news: News }
  | { readonly what: 'rules'; readonly rules: RulesText }
  /** The certificate for STARTTLS has changed on disk. */
  | { readonly what: 'certificate' }
  /** Who can never be listed, all of them. */
  | { readonly what: 'never'; readonly groups: readonly Group[] }
  /** What the other workers have, whether the real MX is away, and how it looks; when that is news. */
  | { readonly what: 'beat'; readonly shares: Shares; readonly outage: boolean; readonly look: Look | undefined }
  /** What it has of this client, by its address. */
  | { readonly what: 'find'; readonly number: number; readonly client: string }
  /** The events of this batch are on disk, or given up on. */
  | { readonly what: 'written'; readonly batch: number }
  | { readonly what: 'end' }

export type Shares = Record<'primary' | 'backup', Report>
export type Counts = Record<'primary' | 'backup', DecoyCounts>

export type FromWorker =
  /** All doors have been tried once. */
  | { readonly what: 'ready' }
  | { readonly what: 'door'; readonly it: DoorHappening }
  | { readonly what: 'found'; readonly number: number; readonly found: Found }
  | { readonly what: 'events'; readonly batch: number; readonly events: readonly Event[] }
  | {
      readonly what: 'report'
      readonly counts: Counts
      /** Undefined: they are those they were. */
      readonly guests: readonly Guest[] | undefined
      readonly told: readonly Told[]
      readonly lost: number
      readonly pressed: number
      readonly shares: Shares
    }
  /** Everything is told and on disk; it goes now. */
  | { readonly what: 'ended' }

/**
 * To a process that hangs, one message waits to be taken; what happens meanwhile is gathered by the caller, and costs no memory here.
 * @param send - is given what to call when the channel has taken it
 * @param again - is called when it was taken, and more was to be said meanwhile
 */
export function oneAtATime(send: (taken: () => void) => void, again: () => void): () => void {
  let [untaken, more] = [false, false]
  const taken = () => {
    untaken = false
    if (more) again()
  }
  return () => {
    more = untaken
    if (untaken) return
    untaken = true
    send(taken)
  }
}
