/**
 * The MX model: what a domain's DNS says about its mail, and the route that a correct sender walks through it.
 *
 * RFC 5321 section 5.1: the lowest preference first, equal ones in random order, each address of an exchange in the order
 * that DNS gave; without any MX the domain's own address; and a null MX (RFC 7505) takes no mail. Which exchange is a decoy
 * of ours is written beside the records, and nowhere in them: to a sender they look alike.
 *
 * Pure: chance is an argument.
 */
import type { Role } from './evidence.ts'

export type MxRecord = { readonly preference: number; readonly exchange: string }

/** What DNS knows of one domain. An exchange that has no addresses here does not resolve. */
export type DomainRecords = {
  readonly domain: string
  readonly mx: readonly MxRecord[]
  /** A and AAAA by host name, in the order of the answer. */
  readonly addresses: ReadonlyMap<string, readonly string[]>
}

/** One address to try, and of which exchange. */
export type Stop = { readonly preference: number; readonly exchange: string; readonly address: string }

/** `none`: it has no MX and no address. `null`: its owner says that it takes no mail. */
export type Route =
  | { readonly by: 'mx' | 'address'; readonly stops: readonly Stop[] }
  | { readonly by: 'null' | 'none'; readonly stops: readonly [] }

/** A number from 0 to below 1, as Math.random gives it. */
export type Random = () => number

/** The addresses in the order in which a correct sender tries them. */
export function routeOf(records: DomainRecords, random: Random): Route {
  const { domain, mx } = records
  if (mx.length === 0) {
    const stops = stopsAt(records, { preference: 0, exchange: domain })
    return stops.length > 0 ? { by: 'address', stops } : { by: 'none', stops: [] }
  }
  if (mx.every(({ exchange }) => exchange === '.')) return { by: 'null', stops: [] }
  const drawn = mx.map((record) => ({ record, lot: random() }))
  const walked = drawn.toSorted((a, b) => a.record.preference - b.record.preference || a.lot - b.lot)
  return { by: 'mx', stops: walked.flatMap(({ record }) => stopsAt(records, record)) }
}

function stopsAt({ addresses }: DomainRecords, { preference, exchange }: MxRecord): Stop[] {
  return (addresses.get(exchange) ?? []).map((address) => ({ preference, exchange, address }))
}

/** Records with the part that each exchange plays. */
export type Layout = DomainRecords & {
  readonly roles: ReadonlyMap<string, Role>
  /** The kernel refuses strangers at the primary: the port is closed, and nothing is accepted to be reset. */
  readonly closedPrimary?: boolean
}

/** The part that an exchange plays; what is not a decoy of ours takes mail. */
export function roleAt({ roles }: Layout, exchange: string): Role {
  return roles.get(exchange) ?? 'real'
}

export const DEFAULT_LAYOUT = 'primary:5,real:20,backup:90'

/** More exchanges than any domain that we know of has. */
const EXCHANGES_MAX = 20
const PARTS: readonly Role[] = ['primary', 'real', 'backup']
const CLOSED = 'closed-primary'

/** A layout in short, `primary:5,real:20,backup:90`, with `closed-primary` where the kernel refuses; or the sentence that says what is wrong with it. */
export function readLayout(text: string): Layout | string {
  const words = text.split(',').map((word) => word.trim())
  if (words.length > EXCHANGES_MAX) return `expected at most ${EXCHANGES_MAX} exchanges, got ${words.length}`
  const mx: MxRecord[] = []
  const addresses = new Map<string, readonly string[]>()
  const roles = new Map<string, Role>()
  let closedPrimary = false
  for (const [i, word] of words.entries()) {
    const [, name, digits] = /^([a-z-]+):(\d{1,5})$/.exec(word) ?? []
    const role = PARTS.find((part) => part === (name === CLOSED ? 'primary' : name))
    closedPrimary ||= name === CLOSED
    const preference = Number(digits)
    if (!role || !(preference <= 65_535))
      return `expected a role and its preference, like ${DEFAULT_LAYOUT}, got "${word}"`
    const exchange = `mx${i}.example.test`
    mx.push({ preference, exchange })
    addresses.set(exchange, [`192.0.2.${i + 1}`])
    roles.set(exchange, role)
  }
  if (!mx.some(({ exchange }) => roles.get(exchange) === 'real'))
    return 'expected a real MX, for somebody must take the mail'
  const real = mx.filter(({ exchange }) => roles.get(exchange) === 'real')
  const shared = mx.find(
    ({ exchange, preference }) => roles.get(exchange) !== 'real' && real.some((each) => each.preference === preference),
  )
  if (shared)
    return `a decoy must not share preference ${shared.preference} with a real MX: honest senders choose between equals at random (RFC 5321 section 5.1)`
  return { domain: 'example.test', mx, addresses, roles, closedPrimary }
}
