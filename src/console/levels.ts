/**
 * Gauges: what is read of the appliance's state at each scrape, once for all of them.
 *
 * Their labels are closed lists, too, but for the names of the real MXs, which come from the settings or from our own DNS.
 */
import { Gauge, type Registry } from 'prom-client'

export const DECOYS = ['primary', 'backup'] as const
export const WORDS = ['allow', 'release', 'observe', 'defer', 'block'] as const
export const BOUNDS = ['minute', 'network', 'standing', 'held'] as const
const CERTIFICATES = ['store.tls.ca', 'store.tls.certificate', 'decoys.backup.tls.certificate'] as const
const MX_STATES = ['up', 'later', 'down', 'unsure'] as const

/** What gauges are read from, once per scrape. */
export type Levels = {
  readonly held: Record<'primary' | 'backup', number>
  readonly doors: readonly { readonly open: boolean; readonly shortfall: object | null }[]
  readonly reputation: {
    readonly storeHealth: { readonly state: 'up' | 'down' | 'hung' }
    readonly blocked: string | null
    readonly ledger: 'starting' | 'fresh' | 'stale'
    readonly ledgerAgeMs: number
    readonly waiting: number
    readonly journalTrouble: object | null
    readonly freeze: { readonly why: string } | null
    readonly rulings: Record<'rules' | 'operator', Record<(typeof WORDS)[number], number>>
    readonly governor: Record<(typeof BOUNDS)[number], number>
    /** The other boxes at a shared store, each with the digest of its rules. */
    readonly neighbours: readonly { readonly rules: string }[]
  }
  readonly realMx: {
    readonly outcome: string
    readonly outage: boolean
    readonly mxs: readonly { readonly name: string; readonly outcome: string; readonly lookedAt: string }[]
  } | null
  readonly certificates: readonly { readonly setting: (typeof CERTIFICATES)[number]; readonly notAfter: string }[]
  readonly room: { readonly possible: number; readonly wanted: number }
  readonly workers: { readonly wanted: number; readonly pids: readonly number[]; readonly late: readonly number[] }
  readonly kernel: {
    readonly state: 'on' | 'off' | 'failed'
    readonly suspects: Readonly<Record<4 | 6, number>>
    readonly networks: Readonly<Record<4 | 6, number>>
  } | null
  readonly kernelWanted: boolean
  readonly canary: { readonly state: string; readonly at: string | null; readonly shownMs: number | null }
  readonly rules: { readonly loaded: string; readonly digest: string; readonly problems: readonly string[] }
}

/** `levels`: undefined while there is nothing to read. */
export function addGauges(registers: Registry[], levels: () => Levels | undefined): void {
  const gauge = (name: string, help: string, read: (now: Levels) => number) =>
    new Gauge({
      name: `decoymx_${name}`,
      help,
      registers,
      collect() {
        const now = levels()
        if (now) this.set(read(now))
      },
    })
  new Gauge({
    name: 'decoymx_held_connections',
    help: 'Connections at the decoys now',
    labelNames: ['role'],
    registers,
    collect() {
      for (const role of DECOYS) this.set({ role }, levels()?.held[role] ?? 0)
    },
  })
  new Gauge({
    name: 'decoymx_rulings',
    help: 'Decisions that stand now',
    labelNames: ['by', 'word'],
    registers,
    collect() {
      const rulings = levels()?.reputation.rulings
      for (const by of ['rules', 'operator'] as const)
        for (const word of WORDS) this.set({ by, word }, rulings?.[by][word] ?? 0)
    },
  })
  gauge(
    'connections_possible',
    'Connections at the decoys that the open-file limit allows',
    ({ room }) => room.possible,
  )
  gauge('connections_wanted', 'Connections at the decoys that the settings ask for', ({ room }) => room.wanted)
  gauge(
    'listeners_slow',
    'Listeners that take more processor time than the settings would have it, as without koffi',
    ({ doors }) => doors.filter(({ shortfall }) => shortfall).length,
  )
  gauge(
    'workers_missing',
    'Workers that should be at their doors and are not: they do not run, or are late',
    ({ workers: { wanted, pids, late } }) => wanted - pids.length + late.length,
  )
  gauge(
    'listeners_shut',
    'Addresses that should be open and are not',
    (now) => now.doors.filter((door) => !door.open).length,
  )
  gauge(
    'ledger_age_seconds',
    'Since the copy of the decisions was last proved fresh',
    (now) => now.reputation.ledgerAgeMs / 1000,
  )
  gauge('ledger_fresh', '1 while the copy of the decisions may be used to refuse, 0 while it is too old', (now) =>
    Number(now.reputation.ledger === 'fresh'),
  )
  gauge('store_up', '1 while the store answers and is of use', (now) =>
    Number(now.reputation.storeHealth.state === 'up'),
  )
  gauge(
    'store_breaker_open',
    '1 while the store is asked once a second only, because it let a call wait in vain',
    (now) => Number(now.reputation.storeHealth.state === 'hung'),
  )
  gauge('evidence_blocked', '1 while the store does not take evidence, which waits in the journal', (now) =>
    Number(now.reputation.blocked !== null),
  )
  new Gauge({
    name: 'decoymx_listings_waiting',
    help: 'New listings that the governor holds back now, by the bound they met',
    labelNames: ['why'],
    registers,
    collect() {
      for (const why of BOUNDS) this.set({ why }, levels()?.reputation.governor[why] ?? 0)
    },
  })
  gauge('journal_failing', '1 since the last write to the journal failed, and evidence is lost', ({ reputation }) =>
    Number(reputation.journalTrouble !== null),
  )
  gauge('evidence_waiting', 'Events in the journal that the store has not yet', (now) => now.reputation.waiting)
  gauge('real_mx_up', '1 while the witness finds the real MX up, 0 while not, NaN without a witness', (now) =>
    now.realMx ? Number(now.realMx.outcome === 'up') : Number.NaN,
  )
  gauge('real_mx_outage', '1 while no real MX takes mail, and the backup therefore says 421 to everybody', (now) =>
    Number(now.realMx?.outage ?? false),
  )
  // The names come from the settings, or from DNS about our own domains, and are bounded there; never from a client.
  new Gauge({
    name: 'decoymx_real_mx_state',
    help: '1 for the state in which each real MX was found: up, later (4xx), down or unsure',
    labelNames: ['mx', 'state'],
    registers,
    collect() {
      this.reset()
      for (const { name, outcome } of levels()?.realMx?.mxs ?? [])
        for (const state of MX_STATES) this.set({ mx: name, state }, Number(outcome === state))
    },
  })
  new Gauge({
    name: 'decoymx_real_mx_looked_timestamp_seconds',
    help: 'When each real MX was last looked at',
    labelNames: ['mx'],
    registers,
    collect() {
      this.reset()
      for (const { name, lookedAt } of levels()?.realMx?.mxs ?? []) this.set({ mx: name }, Date.parse(lookedAt) / 1000)
    },
  })
  gauge(
    'order_frozen',
    '1 while the order of visits counts for nothing, because nobody vouches for the real MX',
    (now) => Number(now.reputation.freeze !== null),
  )
  gauge(
    'kernel_on',
    '1 while the kernel refuses strangers at the primary, 0 while it should and cannot, NaN when not asked to',
    (now) => (now.kernelWanted || now.kernel?.state === 'on' ? Number(now.kernel?.state === 'on') : Number.NaN),
  )
  gauge('kernel_suspects', 'Clients and networks that the kernel lets in to the primary', ({ kernel }) =>
    kernel ? kernel.suspects[4] + kernel.suspects[6] + kernel.networks[4] + kernel.networks[6] : 0,
  )
  gauge(
    'canary_failing',
    '1 while the last play to ourselves failed: a bot was not refused somewhere, or an honest client was',
    ({ canary }) => Number(canary.state === 'failing'),
  )
  gauge('canary_played_timestamp_seconds', 'When it was last played; NaN before the first time', ({ canary }) =>
    canary.at === null ? Number.NaN : Date.parse(canary.at) / 1000,
  )
  gauge(
    'canary_shown_seconds',
    "From the bot's last word to the last right answer about it, of the last play; NaN where it was not sound",
    ({ canary }) => (canary.shownMs === null ? Number.NaN : canary.shownMs / 1000),
  )
  gauge('rules_sound', '1 while the rules file is the one in use, 0 while a bad file keeps the old rules', (now) =>
    now.rules.problems.length === 0 ? 1 : 0,
  )
  gauge(
    'rules_loaded_timestamp_seconds',
    'When the rules in use were loaded',
    (now) => Date.parse(now.rules.loaded) / 1000,
  )
  new Gauge({
    name: 'decoymx_certificate_not_after_timestamp_seconds',
    help: 'When a certificate that this host shows or believes ends, by its key in the settings; NaN where there is none',
    labelNames: ['setting'],
    registers,
    collect() {
      const ends = new Map(
        levels()?.certificates.map(({ setting, notAfter }) => [setting, Date.parse(notAfter) / 1000]),
      )
      for (const setting of CERTIFICATES) this.set({ setting }, ends.get(setting) ?? Number.NaN)
    },
  })
  gauge(
    'boxes_with_other_rules',
    'Boxes at the same store that have other rules in force: they list and free the same clients in turn',
    ({ rules, reputation }) => reputation.neighbours.filter((each) => each.rules !== rules.digest).length,
  )
}
