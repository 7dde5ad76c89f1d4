/**
 * docs/metrics.md, made of the list of metrics: every one of ours, what it tells, and which values its labels can have.
 */
import { createMetrics } from '../console/metrics.ts'
import type { Outcome } from '../decoy/crowd.ts'
import type { Refusal } from '../decoy/happenings.ts'

export async function metricsPage(): Promise<string> {
  const all = await createMetrics('0.1.0').catalogue()
  const ours = all.filter(({ name }) => name.startsWith('decoymx_'))
  const rows = ours
    .toSorted((a, b) => a.name.localeCompare(b.name))
    .map(({ name, type, help, labels }) => {
      const of = Object.entries({ ...labels, ...LABELS_LATER[name] }).map(
        ([label, values]) => `- \`${label}\`: ${values.map((value) => `\`${value}\``).join(', ')}`,
      )
      const words = Object.entries(MEANINGS[name] ?? {})
      const table = words.map(([word, means]) => `| \`${word}\` | ${means} |`)
      const beside = BESIDE[name]
      const parts = [
        `### ${name}`,
        `${type}. ${help}.`,
        ...(of.length > 0 ? [of.join('\n')] : []),
        ...(words.length > 0 ? [['| | |', '|---|---|', ...table].join('\n')] : []),
        ...(beside === undefined ? [] : [beside]),
      ]
      return `${parts.join('\n\n')}\n`
    })
  const intro = [
    '# Metrics',
    '',
    'Made of the code (src/console/metrics.ts, levels.ts) by `npm run generate`.',
    '',
    '`GET /metrics`, on the address in `http.listen`. Every series is there from the start with 0, and none is ever added by what a',
    'client does: no label comes from a client, so their number is the same after a million clients as after one. About one',
    'client, ask `decoymx why IP`.',
    '',
    'A dashboard for Grafana is `deploy/grafana/decoymx.json`, the scrape job and the alerts are in `deploy/prometheus`, and what to',
    'do about each alert is in `docs/runbooks.md`.',
    '',
    'Beside these there are the usual ones of a Node process: `process_*` (CPU, memory, file descriptors, start) and `nodejs_*`',
    '(heap, garbage collection, handles).',
    '',
  ]
  return `${intro.join('\n')}\n${rows.join('\n')}`
}

/** Labels whose values are known only where it runs: the real MXs of the settings, or of DNS about our own domains. */
const LABELS_LATER: Readonly<Record<string, Record<string, readonly string[]>>> = {
  decoymx_build_info: { version: ['0.1.0'] },
  decoymx_real_mx_state: { mx: ['the name of a real MX'], state: ['up', 'later', 'down', 'unsure'] },
  decoymx_real_mx_looked_timestamp_seconds: { mx: ['the name of a real MX'] },
}

/** src/decoy/crowd.ts. */
const OUTCOMES: Readonly<Record<Outcome, string>> = {
  reset: 'a stranger at the primary, reset before the first byte',
  dialogue: 'a dialogue at the backup that the client or SMTP ended',
  cut: 'a dialogue that we ended: it took longer than `decoys.limits.dialogue`, or the appliance ended',
  held: 'a suspect at the primary (defer), held in silence',
  tarpit: 'a known offender (block), dripped to until it went, or until `decoys.limits.tarpit`',
  shed: 'one that was held, let go to make room; where nobody is held, a dialogue',
  released: 'one that was held, let go because nothing stands against its client any more',
  poured:
    'let go because it sent more than anybody does who waits for us: a megabyte while held, in a dialogue a line longer than any command',
  later: 'sent home with 421 at the backup, because no real MX takes mail',
}

/** src/decoy/happenings.ts. */
const REFUSALS: Readonly<Record<Refusal, string>> = {
  total: 'no room: `decoys.limits.connections`, or the open-file limit, and nobody was held who could make room',
  network: 'as many of its network are here as may be (`decoys.limits.per-network`)',
  client: 'as many of this client are here as may be (`decoys.limits.per-client`)',
  address: 'it called an address that is no decoy’s (docs/prefixes.md)',
  peer: 'it came to a PROXY door, and is not in `decoys.proxy-from`',
  'proxy-header': 'a proxy of ours sent no PROXY header that we can read; the log says what came',
  'proxy-silence': 'a proxy of ours sent no whole PROXY header within `decoys.limits.proxy-header`',
  gone: 'it had hung up before we looked, or before its PROXY header was there',
}

/** What the words of a label mean, where they do not say it themselves. */
const MEANINGS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  decoymx_sessions_total: OUTCOMES,
  decoymx_refused_connections_total: REFUSALS,
}

/** What is to be known beside. */
const BESIDE: Readonly<Record<string, string>> = {
  decoymx_connections_total:
    'Of those that a worker had when it ended by itself (`decoymx_worker_ends_total`) nobody can tell any more how they ended: they stay\ncounted here, and are never in `decoymx_sessions_total`. Who is here now: `decoymx_held_connections`.',
}
