/**
 * Who asks and who comes, in every part: clients of 198.18.0.0/15, the range that RFC 2544 set aside for benchmarks.
 *
 * The even ones are known offenders, the odd ones nobody has seen. So half of the questions are about listed clients,
 * and the loader knows which answer is right without being told.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openEmbedded } from '../src/reputation/embedded.ts'
import { type Evidence, toLine } from '../src/core/evidence.ts'

export const NETWORK = '198.18.0.0/15'

/** Half of the range. */
export const OFFENDERS = 65_536

export function addressOf(client: number): string {
  return `198.${18 + (client >> 16)}.${(client >> 8) & 255}.${client & 255}`
}

/** More than that range has: 20.0.0.0/11, of which nothing but the names is asked, on loopback. */
export const MANY = 2_000_000

export function octetsAmongMany(client: number): number[] {
  return [20, client >> 16, (client >> 8) & 255, client & 255]
}

export function isOffender(client: number): boolean {
  return client % 2 === 0
}

export function offendersAmong(clients: number): string[] {
  return Array.from({ length: clients }, (_, client) => client)
    .filter(isOffender)
    .map(addressOf)
}

/** Every other one of the many is listed for a day, as the rules would have it; in a store, whose file is given. */
export async function listMany(state: string, now: number): Promise<string> {
  const database = join(state, 'reputation.db')
  const store = await openEmbedded(database, { now: () => now, tell: () => undefined })
  const stands = [{ word: 'block', until: now + 86_400_000 }] as const
  const ruling = { by: 'rules', word: 'block', since: now, until: now + 86_400_000, stands, enforced: stands } as const
  for (let client = 0; client < MANY; client += 2) {
    const ticket = `${(client >> 16).toString(36).padStart(4, '2')}-${(client & 65_535).toString(36).padStart(4, '2')}`
    const target = octetsAmongMany(client).join('.')
    await store.put({ ...ruling, target, ticket: ticket.toUpperCase(), because: 'came to the backup MX first' })
  }
  await store.close()
  return database
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
