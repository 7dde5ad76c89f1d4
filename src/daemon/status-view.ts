/**
 * What the running appliance tells of itself at `/api/v1/status`: one shape for `status`, `doctor` and the console.
 */
import { spellProblem } from '../core/document.ts'
import type { KernelState } from '../decoy/kernel.ts'
import type { DomainLayout } from '../watch/exchanges.ts'
import type { CertificateEnd } from '../settings/certificate.ts'
import type { ReputationState } from '../reputation/reputation.ts'
import type { CanaryView } from './canary.ts'
import type { CrewState } from './crew.ts'
import type { Keeping } from './keeping.ts'
import type { PoolsView } from './pooling.ts'
import type { Reloading } from './reloading.ts'
import type { DoorView } from './sockets.ts'
import type { RealMxView } from './watching.ts'

export type StatusView = {
  readonly version: string
  readonly pid: number
  readonly since: string
  readonly mode: string
  readonly box: string
  /** The file, from the root on; null: the defaults. */
  readonly settings: string | null
  readonly rules: {
    readonly file: string
    readonly count: number
    readonly loaded: string
    /** The same for the same text, on every box. */
    readonly digest: string
    readonly problems: readonly string[]
    readonly domains: readonly string[]
  }
  /** Why it would not start again with its files as they are now. */
  readonly files: { readonly problems: readonly string[] }
  readonly doors: readonly DoorView[]
  readonly held: { readonly primary: number; readonly backup: number }
  /** Connections at the decoys: what the open-file limit allows, what the settings ask for, and for how many there was no room in the last minute. */
  readonly room: { readonly possible: number; readonly wanted: number; readonly turnedAway: number }
  /** Processes that the decoys have of their own: how many the settings want, which run, and who ended by itself. */
  readonly workers: { readonly wanted: number } & CrewState
  readonly reputation: ReputationState
  /** How a shared store keeps what it has; null: it is our own, or has not said yet. */
  readonly keeping: Keeping | null
  /** When the certificates end that this host shows or believes. */
  readonly certificates: readonly CertificateEnd[]
  readonly journal: { readonly maxMegabytes: number }
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

/** Why it is not ready, in sentences; none: it is. */
export function whatLacks(doors: readonly DoorView[], ledger: ReputationState['ledger']): string[] {
  return [
    ...doors
      .filter(({ open }) => !open)
      .map(({ name, address, error }) => `${name} ${address}: ${error ?? 'not open yet'}`),
    ...(ledger === 'fresh' ? [] : [`the copy of the decisions is ${ledger}`]),
  ]
}

/** Where it is slower than the settings would have it, a sentence for each reason. */
export function shortfalls(doors: readonly Pick<DoorView, 'shortfall'>[]): string[] {
  const found = doors.flatMap(({ shortfall }) => shortfall ?? [])
  return [...new Set(found.map(({ because }) => because))].map((why) => {
    const hows = found.filter(({ because }) => because === why).map(({ how }) => how)
    return `${[...new Set(hows)].join(', ')}: ${why}`
  })
}

export function rulesView({ loaded, problems }: Reloading): StatusView['rules'] {
  const { rules, at, digest } = loaded
  return {
    file: rules.file,
    count: rules.list.length,
    loaded: new Date(at).toISOString(),
    digest,
    problems: problems.map(spellProblem),
    domains: rules.domains,
  }
}
