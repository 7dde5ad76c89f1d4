/**
 * Every Prometheus metric of the appliance: what is counted, here; what is read of its state at each scrape, in levels.ts.
 *
 * No label ever comes from a client: label values are closed lists, and each combination is there from the start with 0, so
 * that a panel never lacks a series and their number is the same after a million clients as after one.
 */
import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client'
import { KIND_NAMES, KINDS, type Role, ROLES } from '../core/evidence.ts'
import { WAIVED_WHYS } from '../core/outage.ts'
import { addGauges, BOUNDS, DECOYS, type Levels, WORDS } from './levels.ts'

/**
 * How often it is looked whether the event loop is late. Each look wakes the appliance: the library's own 100 a second were
 * most of what it cost at rest, and its figures have the time between two looks in them. So they are left out.
 */
const LOOK_MS = 250
const LOOKED_SELDOM_MS = 2 ** 31 - 1
const LATENESS = ['min', 'max', 'mean', 'stddev', 'p50', 'p90', 'p99'] as const
const ANSWERS = ['pass', 'observe', 'defer', 'block'] as const
const ASKERS = ['policy', 'dnsbl', 'tcp-table', 'readsocket', 'milter'] as const
/** What may become of any asker's connection. */
const HUNG_UP = ['cut-short', 'full', 'idle', 'unread', 'failed'] as const

export type Metrics = ReturnType<typeof createMetrics>

export function createMetrics(version: string) {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: LOOKED_SELDOM_MS })
  for (const figure of LATENESS) registry.removeSingleMetric(`nodejs_eventloop_lag_${figure}_seconds`)
  let [lookedAt, latestMs] = [performance.now(), 0]
  setInterval(() => {
    const at = performance.now()
    latestMs = Math.max(latestMs, at - lookedAt - LOOK_MS)
    lookedAt = at
  }, LOOK_MS).unref()
  let follow: (() => Levels) | undefined
  /** Read once for a scrape: it may walk a million decisions. */
  let levels: Levels | undefined

  const counter = <Label extends string>(
    name: string,
    help: string,
    labels: { readonly [L in Label]: readonly string[] },
  ) => {
    const made = new Counter({ name: `decoymx_${name}`, help, labelNames: Object.keys(labels) as Label[], registers })
    for (const values of combinations(labels)) made.inc(values, 0)
    return made
  }
  const metrics = {
    connections: counter('connections_total', 'Connections to the decoys, by how the client was met', {
      role: DECOYS,
      via: ['direct', 'proxy', 'canary'],
      regard: ['stranger', 'suspect', 'offender'],
    }),
    sessions: counter('sessions_total', 'Connections that ended, by what they were', {
      role: DECOYS,
      outcome: ['reset', 'dialogue', 'cut', 'held', 'tarpit', 'shed', 'released', 'poured', 'later'],
    }),
    heldSeconds: counter('held_seconds_total', 'Time that clients spent at the decoys', { role: DECOYS }),
    receivedBytes: counter('received_bytes_total', 'Bytes that clients sent to the decoys', { role: DECOYS }),
    sentBytes: counter('sent_bytes_total', 'Bytes that the decoys sent', { role: DECOYS }),
    refused: counter('refused_connections_total', 'Connections that a decoy did not take, by reason', {
      role: DECOYS,
      reason: ['total', 'network', 'client', 'address', 'peer', 'proxy-header', 'proxy-silence', 'gone'],
    }),
    decoyFaults: counter('decoy_faults_total', 'Errors without a name in the SMTP library', { role: DECOYS }),
    pressed: counter('memory_shed_total', 'Held connections that were let go because memory was short', {}),
    workersGivenUp: counter(
      'workers_given_up_total',
      'Workers that were ended because they did not come to their doors, and were started again',
      {},
    ),
    workersHung: counter(
      'workers_hung_total',
      'Workers that were ready and then said nothing for 10 s: they were killed, and started again',
      {},
    ),
    workerEnds: counter('worker_ends_total', 'Workers that ended by themselves, and were started again', {}),
    evidence: evidenceCounter(registers),
    waived: counter('evidence_waived_total', 'Evidence that did not count, by reason', {
      why: WAIVED_WHYS,
    }),
    logMissed: counter(
      'log_lines_missed_total',
      'Log lines that were left out, for whoever reads the log did not keep up',
      {},
    ),
    journalLost: counter('journal_lost_total', 'Events that could not be written to the journal', {}),
    rulings: counter('rulings_total', 'Decisions made or renewed, by word', { by: ['rules', 'operator'], word: WORDS }),
    governed: counter('listings_held_back_total', 'New listings that the governor held back, by the bound they met', {
      why: BOUNDS,
    }),
    identities: counter(
      'identities_total',
      'Clients about to be listed, or listed, by whether DNS says that a pool is theirs',
      {
        outcome: ['member', 'stranger', 'failed'],
      },
    ),
    spfFailures: counter('spf_failures_total', 'SPF records that could not be read, or say what was passed over', {}),
    answers: oftenCounter(registers, 'answers_total', 'Answers to the real MX; pass also covers every doubt', {
      asker: ASKERS,
      answer: ANSWERS,
    }),
    wouldHaveBeen: counter(
      'would_have_been_total',
      'Answers that mode observe turned into a lesser word or pass, by what they would have been',
      {
        asker: ASKERS,
        answer: ['observe', 'defer', 'block'],
      },
    ),
    doubts: counter(
      'doubts_total',
      'Answers that passed because our copy of the decisions was not fresh, or listed the world',
      {
        asker: ASKERS,
        doubt: ['starting', 'stale', 'overfull'],
      },
    ),
    lookupTrouble: counter('lookup_trouble_total', 'Look-ups by tcp-table and readsocket that were hung up on', {
      asker: ['tcp-table', 'readsocket'],
      reason: ['long-line', ...HUNG_UP],
    }),
    milterTrouble: counter('milter_trouble_total', 'Milter connections that were hung up on', {
      reason: ['long-packet', 'no-packet', 'old-protocol', 'no-greeting', ...HUNG_UP],
    }),
    policyTrouble: counter(
      'policy_trouble_total',
      'Policy connections that were hung up on, and requests without a readable client',
      {
        reason: [
          'nul-byte',
          'cr-lf',
          'no-equals',
          'long-line',
          'long-request',
          'foreign-request',
          'unreadable',
          ...HUNG_UP,
        ],
      },
    ),
    queries: oftenCounter(registers, 'dnsbl_queries_total', 'DNSBL queries by answer code', {
      over: ['udp', 'tcp'],
      rcode: ['NOERROR', 'FORMERR', 'SERVFAIL', 'NXDOMAIN', 'NOTIMP', 'REFUSED', 'BADVERS'],
    }),
    dnsblTrouble: counter(
      'dnsbl_trouble_total',
      'Packets that were no query or too many, TCP connections that were cut, answers that could not be sent',
      {
        reason: ['ignored', 'limited', 'bad-frame', 'full', 'idle', 'unsent', 'failed'],
      },
    ),
    firewallUpdates: counter(
      'firewall_updates_total',
      'Looks after the sets of inet decoymx_list, by what came of it',
      {
        result: ['followed', 'emptied', 'removed', 'full', 'failed'],
      },
    ),
    kernelConnections: counter('kernel_connections_total', 'Connections to the primary, as the kernel met them', {
      family: ['4', '6'],
      met: ['refused', 'let-in'],
    }),
    kernelTrouble: counter(
      'kernel_trouble_total',
      'The table that refuses strangers at the primary: gone or changed by others and put there again, full, not to be had',
      {
        reason: [
          'missing',
          'changed',
          'full-suspects',
          'full-networks',
          'full-refused',
          'denied',
          'missing-program',
          'no-table',
          'failed',
        ],
      },
    ),
    storeTrouble: counter('store_trouble_total', 'Failures of the store, by kind', {
      kind: ['down', 'corrupt', 'flush-failed', 'ignored', 'rewound'],
    }),
    realMxDnsFailures: counter('real_mx_dns_failures_total', 'MX records of our domains that could not be read', {}),
    reloads: counter('rules_reloads_total', 'Reloads of the rules', {
      outcome: ['sound', 'unsound', 'cases', 'bound'],
    }),
    canaryPlays: counter(
      'canary_plays_total',
      'Plays of a bot and an honest client to ourselves, by what they showed',
      {
        outcome: ['sound', 'paused', 'failing'],
      },
    ),

    /** Gauges read what this gives, at each scrape. */
    follow(read: () => Levels): void {
      follow = read
    },
    /** What there is to read: each name with its help, and the values that its labels can have. */
    async catalogue(): Promise<MetricDescription[]> {
      const all = await registry.getMetricsAsJSON()
      return all.map(({ name, help, type, values }) => ({
        name,
        help,
        type: String(type),
        labels: labelsOf(values.map(({ labels }) => labels)),
      }))
    },
    /** Time that clients spent at the decoys, all in all. */
    async heldMs(): Promise<number> {
      return (await metrics.heldSeconds.get()).values.reduce((sum, { value }) => sum + value * 1000, 0)
    },
    async read(): Promise<{ text: string; contentType: string }> {
      levels = follow?.()
      return { text: await registry.metrics(), contentType: registry.contentType }
    },
  }

  addGauges(registers, () => levels)
  new Gauge({
    name: 'decoymx_event_loop_late_seconds',
    help: 'Longest time since the last scrape that everything waited for one thing',
    registers,
    collect() {
      this.set(latestMs / 1000)
      latestMs = 0
    },
  })
  new Gauge({ name: 'decoymx_build_info', help: 'The version that runs', labelNames: ['version'], registers }).set(
    { version },
    1,
  )
  return metrics
}

export type MetricDescription = {
  readonly name: string
  readonly help: string
  readonly type: string
  readonly labels: Readonly<Record<string, readonly string[]>>
}

function labelsOf(all: readonly Partial<Record<string, string | number>>[]): MetricDescription['labels'] {
  const labels: Record<string, Set<string>> = {}
  for (const each of all)
    for (const [label, value] of Object.entries(each)) (labels[label] ??= new Set()).add(String(value))
  return Object.fromEntries(Object.entries(labels).map(([label, values]) => [label, [...values]]))
}

/** One series for each kind at each role where it can be seen. */
/**
 * A counter of two labels for what happens with every question: to find a series the library takes as long as it takes to
 * decide. So they are added up here, and handed over when somebody reads.
 */
function oftenCounter<First extends string, Second extends string>(
  registers: Registry[],
  name: string,
  help: string,
  labels: { readonly [L in First | Second]: readonly string[] },
) {
  const [first, second] = Object.keys(labels) as [First, Second]
  const all = combinations(labels).map((values) => ({ values, times: 0 }))
  const series = new Map(
    labels[first].map((value) => [
      value,
      new Map(all.filter(({ values }) => values[first] === value).map((each) => [each.values[second], each])),
    ]),
  )
  const made = new Counter({
    name: `decoymx_${name}`,
    help,
    labelNames: [first, second],
    registers,
    collect() {
      for (const each of all) {
        this.inc(each.values, each.times)
        each.times = 0
      }
    },
  })
  return {
    inc(values: Readonly<Record<First | Second, string>>): void {
      const one = series.get(values[first])?.get(values[second])
      // A label that is not in the list is a bug of ours: the library says so.
      if (one) one.times++
      else made.inc(values)
    },
  }
}

function evidenceCounter(registers: Registry[]) {
  const made = new Counter({
    name: 'decoymx_evidence_total',
    help: 'Evidence that counted',
    labelNames: ['role', 'kind'] as const,
    registers,
  })
  for (const role of ROLES)
    for (const kind of KIND_NAMES)
      if ((KINDS[kind].roles as readonly Role[]).includes(role)) made.inc({ role, kind }, 0)
  return made
}

function combinations<Label extends string>(labels: { readonly [L in Label]: readonly string[] }): Record<
  Label,
  string
>[] {
  return (Object.entries(labels) as [Label, readonly string[]][]).reduce(
    (rows, [label, values]) => rows.flatMap((row) => values.map((value) => ({ ...row, [label]: value }))),
    [{} as Record<Label, string>],
  )
}
