/**
 * Our half of the ingest bench, on a core of its own: `ingest-load.ts store|whole PORT EVENTS`. Prints one line of JSON.
 * As many events again go before, so that neither side is measured while it warms up.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Evidence } from '../src/core/evidence.ts'
import { tally } from '../src/core/facts.ts'
import { openRedis } from '../src/reputation/redis.ts'
import { openReputation } from '../src/reputation/reputation.ts'
import { shippedRules } from '../test/rules.ts'

export type Loaded = { readonly what: 'store' | 'whole'; readonly events: number; readonly ms: number }

/** What intake delivers at once. */
const BATCH = 500
/** A flood, and no more than intake keeps in memory. */
const UNDER_WAY_MAX = 10_000
const TOLD_AT_ONCE = 1000
/** It is no fault here that a server takes its time. */
const COMMAND_TIMEOUT_MS = 5000

const [what, port, count] = process.argv.slice(2)
const events = Number(count)
const at = { host: '127.0.0.1', port: Number(port) }
const ms = what === 'store' ? await intoTheStore() : await theWholeWay()
console.log(JSON.stringify({ what, events, ms }))
process.exit()

async function intoTheStore(): Promise<number> {
  const store = await openRedis({ at }, { now: Date.now, tell: () => {}, commandTimeoutMs: COMMAND_TIMEOUT_MS })
  const tallies = Array.from({ length: 2 * events }, (_, i) => tally({ seq: i + 1, evidence: evidenceOf(i) }))
  let began = 0
  for (let i = 0; i < tallies.length; i += BATCH) {
    if (i === events) began = performance.now()
    await store.add('bench', tallies.slice(i, i + BATCH), i + BATCH)
  }
  return performance.now() - began
}

async function theWholeWay(): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'decoymx-ingest-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  const rules = shippedRules()
  const reputation = await openReputation({
    folder,
    redis: { at, commandTimeoutMs: COMMAND_TIMEOUT_MS },
    keepMs: 1e9,
    journalBytesMax: 1e9,
    maxAgeMs: 60_000,
    watch: 'trusted',
    governor: { perMinute: 1e6, perNetwork: 1e6, goodShare: 1 },
    rules: () => rules,
    memberOf: () => undefined,
    identify: () => {},
    now: Date.now,
    tell: () => {},
  })
  const flow = async (from: number, to: number) => {
    for (let i = from; i < to; i += TOLD_AT_ONCE) {
      await waitingBelow(UNDER_WAY_MAX)
      await Promise.all(Array.from({ length: TOLD_AT_ONCE }, (_, k) => reputation.witness(evidenceOf(i + k))))
    }
    await waitingBelow(1)
  }
  const waitingBelow = async (most: number) => {
    while (reputation.state().waiting >= most) await new Promise((resolve) => setTimeout(resolve, 1))
  }
  await flow(0, events)
  const began = performance.now()
  await flow(events, 2 * events)
  const took = performance.now() - began
  await reputation.close()
  return took
}

/** Each of a client and a network of its own, so that each is two records and none is touched twice. */
function evidenceOf(i: number): Evidence {
  const client = `${(i >> 16) + 11}.${(i >> 8) & 255}.${i & 255}.7`
  return { type: 'evidence', at: Date.now(), client, role: 'backup', kind: 'recipient' }
}
