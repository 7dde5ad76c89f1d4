/**
 * docs/metrics.md, made of the list of metrics: every one of ours, what it tells, and which values its labels can have.
 */
import { createMetrics } from '../console/metrics.ts'

export async function metricsPage(): Promise<string> {
  const all = await createMetrics('0.1.0').catalogue()
  const ours = all.filter(({ name }) => name.startsWith('decoymx_'))
  const rows = ours
    .toSorted((a, b) => a.name.localeCompare(b.name))
    .map(({ name, type, help, labels }) => {
      const of = Object.entries({ ...labels, ...LABELS_LATER[name] }).map(
        ([label, values]) => `- \`${label}\`: ${values.map((value) => `\`${value}\``).join(', ')}`,
      )
      return `### ${name}\n\n${type}. ${help}.\n${of.length > 0 ? `\n${of.join('\n')}\n` : ''}`
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
