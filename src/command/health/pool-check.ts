/**
 * The doctor's look at the pools: is DNS asked, could the records be read, and has anybody looked at the list lately?
 */
import { REVIEW_MS } from '../../core/pools.ts'
import { type Finding, ok, warn } from './finding.ts'
import type { PoolsView } from '../../daemon/pooling.ts'

export function examinePools(
  { dns, pools, networks, records, unread, notes, reviewed }: PoolsView,
  now: number,
): Finding[] {
  const found: Finding[] = []
  if (!dns)
    found.push(
      warn(
        'pools',
        `DNS is not asked whose a client is; of ${pools} pools ${networks} networks are known`,
        'pools: {dns: true} in the settings: big senders come again from other addresses, and look guilty',
      ),
    )
  else {
    const seen = `${networks} networks of ${pools} pools are known`
    const told = unread
      .slice(0, UNREAD_TOLD)
      .map(({ domain, at, error }) => `${domain} (${kept(at)}: ${bare(domain, error)})`)
    const [first] = unread
    if (!first) found.push(ok('pools', seen))
    else if (unread.length === records && records > 1)
      // What is wrong with all of them is no entry of the list.
      found.push(
        warn(
          'pools',
          `${seen}; none of the ${records} SPF records could be read (${bare(first.domain, first.error)})`,
          'does the resolver answer? It is the one in pools.resolver, else the host’s own (/etc/resolv.conf)',
        ),
      )
    else {
      const more = unread.length > told.length ? ` and ${unread.length - told.length} more` : ''
      const next = 'is the resolver reachable? else the entry is out of date: mend it in the list'
      found.push(
        warn(
          'pools',
          `${seen}; ${unread.length} of ${records} SPF records could not be read: ${told.join('; ')}${more}`,
          next,
        ),
      )
    }
    const [note] = notes
    if (note !== undefined)
      found.push(
        ok('pools', `passed over in SPF records: ${note}${notes.length > 1 ? `; ${notes.length - 1} more` : ''}`),
      )
  }
  const days = Math.floor((now - Date.parse(reviewed)) / 86_400_000)
  if (now - Date.parse(reviewed) > REVIEW_MS)
    found.push(
      warn(
        'pools',
        `the list of well-known senders was reviewed on ${reviewed}, ${days} days ago`,
        'look through deploy/well-known-senders.yaml, or update decoymx',
      ),
    )
  return found
}

const UNREAD_TOLD = 3

/** The domain is told beside it. */
function bare(domain: string, error: string): string {
  return error.startsWith(`${domain}: `) ? error.slice(domain.length + 2) : error
}

function kept(at: string | null): string {
  return at === null ? 'never read' : `as of ${at.slice(0, 10)}`
}
