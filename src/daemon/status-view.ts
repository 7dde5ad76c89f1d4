/**
 * What the running appliance tells of itself at `/api/v1/status`: one shape for `status`, `doctor` and the console.
 */
import type { KernelState } from '../decoy/kernel.ts'
import type { DomainLayout } from '../watch/exchanges.ts'
import type { ReputationState } from '../reputation/reputation.ts'
import type { CanaryView } from './canary.ts'
import type { PoolsView } from './pooling.ts'
import type { DoorView } from './sockets.ts'
import type { RealMxView } from './watching.ts'

export type StatusView = {
  readonly version: string
  readonly pid: number
  readonly since: string
  readonly mode: string
  readonly box: string
  readonly rules: {
    readonly file: string
    readonly count: number
    readonly loaded: string
    /** The same for the same text, on every box. */
    readonly digest: string
    readonly problems: readonly string[]
  }
  readonly doors: readonly DoorView[]
  readonly held: { readonly primary: number; readonly backup: number }
  /** Connections at the decoys: what the open-file limit allows, and what the settings ask for. */
  readonly room: { readonly possible: number; readonly wanted: number }
  /** Processes that the decoys have of their own. */
  readonly workers: { readonly wanted: number; readonly pids: readonly number[] }
  readonly reputation: ReputationState
  readonly witness: string
  /** Null where no decoys run. */
  readonly kernel: KernelState | null
  /** Do the settings want the kernel to refuse strangers? */
  readonly kernelWanted: boolean
  /** What the witness found, and since when; null without one. */
  readonly realMx: RealMxView | null
  /** The MX records of the protected domains, where DNS is asked for them (real-mx.discover). */
  readonly layouts: readonly DomainLayout[]
  /** The pools of big senders, and how their networks are known. */
  readonly pools: PoolsView
  /** What the last play to ourselves has shown. */
  readonly canary: CanaryView
}
