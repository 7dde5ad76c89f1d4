/**
 * Where everything stands in Redis: docs/redis.md tells others of these names. The 1 rises when what is told there changes.
 *
 *     decoymx:1:{<key>}:facts          hash: `<fact> <hour>` -> `count first last`, `seq <box>/<lane>`, `forgotten`
 *     decoymx:1:cursor:{<box>}         number; in a Cluster `decoymx:1:cursor:{<0..>}:<box>`, so that each node has one
 *     decoymx:1:{rulings}              hash: id -> JSON
 *     decoymx:1:{rulings}:until        sorted set: id by the end of its ruling
 *     decoymx:1:{rulings}:generation   number; every change is published on `decoymx:1:changes`
 *     decoymx:1:boxes                  hash: box -> time, digest of its rules
 */
import { type Client, clientOfKey } from '../core/client.ts'

const PREFIX = 'decoymx:1:'

export const CHANNEL = `${PREFIX}changes`
export const BOXES = `${PREFIX}boxes`

const RULINGS = `${PREFIX}{rulings}`
/** The rulings, their generation, and their ends. */
export const RULINGS_KEYS = [RULINGS, `${RULINGS}:generation`, `${RULINGS}:until`] as const

/** All records, for SCAN. */
export const RECORDS = `${PREFIX}{*}:facts`

/** The record of a client's key, or of a network. */
export function recordKey(key: string): string {
  return `${PREFIX}{${key}}:facts`
}

/** Whose record stands there; undefined: a network's, or none. */
export function clientOfRecord(name: string): Client | undefined {
  const client = clientOfKey(name.slice(`${PREFIX}{`.length, -'}:facts'.length))
  return client && name === recordKey(client.key) ? client : undefined
}

/**
 * Where the cursor of a box is kept. A node of a Cluster that restarts empty, or whose replica lagged, forgets records
 * of its own slots alone: so each node must have a cursor that goes with them, and the least of all is the box's. With
 * so many, a node that holds a tenth of the slots lacks one in one case of 700,000.
 */
const CLUSTER_CURSORS = 128

export function cursorKeys(kind: 'one' | 'sentinel' | 'cluster', box: string): string[] {
  return kind === 'cluster'
    ? Array.from({ length: CLUSTER_CURSORS }, (_, i) => `${PREFIX}cursor:{${i}}:${box}`)
    : [`${PREFIX}cursor:{${box}}`]
}
