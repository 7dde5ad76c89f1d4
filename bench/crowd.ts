/**
 * Who asks and who comes, in every part: clients of 198.18.0.0/15, the range that RFC 2544 set aside for benchmarks.
 *
 * The even ones are known offenders, the odd ones nobody has seen. So half of the questions are about listed clients,
 * and the loader knows which answer is right without being told.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Evidence, toLine } from '../src/core/evidence.ts'

export const NETWORK = '198.18.0.0/15'

/** Half of the range. */
export const OFFENDERS = 65_536

export function addressOf(client: number): string {
  return `198.${18 + (client >> 16)}.${(client >> 8) & 255}.${client & 255}`
}

export function isOffender(client: number): boolean {
  return client % 2 === 0
}

export function offendersAmong(clients: number): string[] {
  return Array.from({ length: clients }, (_, client) => client)
    .filter(isOffender)
    .map(addressOf)
}

/** What the decoy would have recorded of them an hour ago. At its start the appliance judges what is in its journal. */
export function recordOffences(state: string, clients: number, now: number): void {
  const at = now - 3_600_000
  const seen = { type: 'evidence', role: 'backup', at } as const
  const events = offendersAmong(clients).flatMap((client): Evidence[] => [
    { ...seen, client, session: client, kind: 'early-talk' },
    { ...seen, client, session: client, kind: 'recipient' },
  ])
  const journal = join(state, 'journal')
  const day = new Date(at).toISOString().slice(0, 10)
  mkdirSync(journal, { recursive: true })
  writeFileSync(
    join(journal, `${day}-000000000001.jsonl`),
    events.map((event, i) => toLine({ seq: i + 1, event })).join(''),
  )
}
