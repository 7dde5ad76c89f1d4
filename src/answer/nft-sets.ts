/**
 * Who is refused, as the sets of the table `inet decoymx_list`: put as a whole, or changed from what is known to be there.
 *
 * Single clients (an IPv4 address; an IPv6 /64, by its first address) are in sets of their own, clients4 and clients6, for nft
 * reads a set of intervals from the kernel before it changes anything there: with 100,000 of them some seconds for each change,
 * against some milliseconds here. Wider and narrower networks are in blocked4 and blocked6.
 *
 * Pure. Each element has the time that it has left when it is put; an element's time cannot be changed, so it is put anew.
 */
import { BREATH, type Network, type Paced } from '../core/cover.ts'
import type { Instant } from '../core/evidence.ts'

/** Until when it is refused; Infinity: until somebody says so. */
export type Timed = Network & { readonly until: number }

/** What the kernel holds: until when, by the network as `keyOf` spells it. */
export type Held = ReadonlyMap<string, number>

export type Change = {
  readonly leave: readonly Network[]
  readonly enter: readonly Timed[]
}

const TABLE = 'inet decoymx_list'
const FAMILIES = [4, 6] as const
/** Elements in one line for nft. */
const CHUNK = 500

/** The lines that make the sets where they are missing, empty and fill them: one transaction. */
export function* wholeOf(entries: readonly Timed[], now: Instant): Generator<string> {
  yield `add table ${TABLE}`
  for (const family of FAMILIES) {
    yield `add set ${TABLE} clients${family} { type ipv${family}_addr; size ${CLIENTS_MAX}; flags timeout; }`
    yield `add set ${TABLE} blocked${family} { type ipv${family}_addr; flags interval, timeout; }`
  }
  yield* emptied()
  yield* elements('add', entries, (entry) => `${elementOf(entry)}${timeoutOf(entry, now)}`)
}

/** The lines that empty them, where they are. */
export function* emptied(): Generator<string> {
  for (const family of FAMILIES) for (const name of ['clients', 'blocked']) yield `flush set ${TABLE} ${name}${family}`
}

/** The lines of a change, leaving first: one transaction, which fails when somebody who shall leave is not there. */
export function* changeOf({ leave, enter }: Change, now: Instant): Generator<string> {
  yield* elements('delete', leave, elementOf)
  yield* elements('add', enter, (entry) => `${elementOf(entry)}${timeoutOf(entry, now)}`)
}

/**
 * From what is held to what is wanted. An entry whose end moved away is put anew only when less than `renewMs` is left of it; one
 * that has run out by itself need not leave.
 */
export function* differences(
  held: Held,
  wanted: readonly Timed[],
  { now, renewMs }: { readonly now: Instant; readonly renewMs: number },
): Paced<Change> {
  const [leave, enter]: [Network[], Timed[]] = [[], []]
  const kept = new Set<string>()
  for (const [i, entry] of wanted.entries()) {
    if (i % BREATH === 0) yield
    const key = keyOf(entry)
    kept.add(key)
    const until = held.get(key)
    const there = until !== undefined && until > now
    if (there && entry.until > until - SECOND_MS && (until - now > renewMs || entry.until < until + SECOND_MS)) continue
    if (there) leave.push(entry)
    enter.push(entry)
  }
  let looked = 0
  for (const [key, until] of held) {
    if (++looked % BREATH === 0) yield
    if (!kept.has(key) && until > now) leave.push(networkOf(key))
  }
  return { leave, enter }
}

/** What stands there after these were put at `now`: no longer than asked, and to the second. */
export function heldUntil(entry: Timed, now: Instant): number {
  return now + secondsLeft(entry, now) * SECOND_MS
}

export function keyOf({ address, length }: Network): string {
  return `${address}/${length}`
}

/** The questions whether these are there: one for each set. */
export function lookFor(networks: readonly Network[]): string[][] {
  return SETS.flatMap(({ name, holds }) => {
    const own = networks.filter(holds)
    return own.length === 0
      ? []
      : [['get', 'element', ...TABLE.split(' '), name, `{ ${own.map(elementOf).join(', ')} }`]]
  })
}

export function networkOf(key: string): Network {
  const [address = '', length] = key.split('/')
  return { family: address.includes(':') ? 6 : 4, address, length: Number(length) }
}

const SECOND_MS = 1000
/** As many as a set of single clients holds; ten times what the running appliance puts there. */
const CLIENTS_MAX = 1_048_576

const isClient = ({ family, length }: Network) => length === (family === 4 ? 32 : 64)
const SETS = FAMILIES.flatMap((family) => [
  { name: `clients${family}`, holds: (each: Network) => each.family === family && isClient(each) },
  { name: `blocked${family}`, holds: (each: Network) => each.family === family && !isClient(each) },
])

function elementOf(network: Network): string {
  return isClient(network) ? network.address : keyOf(network)
}

function* elements<Entry extends Network>(
  verb: 'add' | 'delete',
  entries: readonly Entry[],
  spell: (entry: Entry) => string,
): Generator<string> {
  for (const { name, holds } of SETS) {
    const own = entries.filter(holds)
    for (let i = 0; i < own.length; i += CHUNK)
      yield `${verb} element ${TABLE} ${name} { ${own
        .slice(i, i + CHUNK)
        .map(spell)
        .join(', ')} }`
  }
}

/** 0: it has no end. What ends within this second is listed for one more. */
export function secondsLeft({ until }: { readonly until: number }, now: Instant): number {
  return until === Infinity ? 0 : Math.max(1, Math.floor((until - now) / 1000))
}

function timeoutOf(entry: Timed, now: Instant): string {
  const seconds = secondsLeft(entry, now)
  return seconds === 0 ? '' : ` timeout ${seconds}s`
}
