/**
 * `node bench/bench.ts [policy|dnsbl|hold|dialogue|word|ingest|replay|latency ...]`: decoymx and a rival in one run, on this machine, now; as ratios.
 * `soak --minutes N` holds many for so long and tells whether memory grows.
 *
 * Figures of one machine say little about another, and no machine is equally busy twice. So what counts is the ratio of
 * two servers that did the same work in turns within the same minute. It prints and passes no judgement;
 * docs/performance.md says how to read it.
 */
import { measureDialogue } from './dialogue.ts'
import { measureDnsbl } from './dnsbl.ts'
import { measureHold } from './hold.ts'
import { measureIngest } from './ingest.ts'
import { ownsCrowd, runInNamespace } from './namespace.ts'
import { measureLatency } from './latency.ts'
import { measurePolicy } from './policy.ts'
import { measureReplay } from './replay.ts'
import { soak } from './soak.ts'
import { measureWord } from './word.ts'
import { printTable, type Table } from './table.ts'

const PARTS: Record<string, () => Promise<Table | readonly Table[]>> = {
  policy: measurePolicy,
  dnsbl: measureDnsbl,
  hold: measureHold,
  dialogue: measureDialogue,
  word: measureWord,
  ingest: measureIngest,
  replay: measureReplay,
  latency: measureLatency,
}

const [first, option, minutes, ...rest] = process.argv.slice(2)
if (first === 'soak') {
  const span = option === undefined ? 10 : Number(minutes)
  if (rest.length > 0 || (option !== undefined && option !== '--minutes') || !(span > 0)) {
    process.stderr.write('usage: soak [--minutes N]\n')
    process.exit(64)
  }
  if (ownsCrowd() || !runInNamespace(process.argv.slice(2))) await soak(span)
  process.exit()
}

const wanted = process.argv.slice(2)
const strange = wanted.filter((name) => !Object.hasOwn(PARTS, name))
if (strange.length > 0) {
  process.stderr.write(`there is no part ${strange.join(', ')}; the parts are ${Object.keys(PARTS).join(', ')}\n`)
  process.exit(64)
}

for (const [name, measure] of Object.entries(PARTS)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue
  if (name === 'hold' && !ownsCrowd() && runInNamespace([name])) continue
  for (const table of [await measure()].flat()) printTable(table)
}
process.exit()
