/**
 * The doctor asks the DNSBL: at its own door, and in the way in which a mail server on this host does, through the resolver
 * of the host.
 *
 * RFC 5782, section 5: 127.0.0.2 is always listed, 127.0.0.1 never.
 */
import { getServers, Resolver } from 'node:dns/promises'
import { type Chart, fail, type Finding, ok, warn } from './finding.ts'

/** What the two test entries come to: an address, or the code of the error. */
export type TestEntries = { readonly listed: string; readonly clean: string }

export async function dnsblAtItsDoor({ view, settings }: Chart): Promise<Finding[]> {
  if (!view || !settings) return []
  const { zone } = settings.dnsbl
  const doors = view.doors.filter(({ name, open }) => name === 'DNSBL, UDP' && open)
  return await Promise.all(
    doors.map(async ({ address }) => {
      const { listed, clean } = await testEntries(zone, [nearby(address)])
      const seen = `${address} answers ${listed} for 127.0.0.2, ${clean} for 127.0.0.1 in ${zone}`
      if (listed === '127.0.0.2' && clean === 'ENOTFOUND') return ok('dnsbl', seen)
      if (listed === 'EREFUSED')
        return warn('dnsbl', seen, 'is this host in dnsbl.askers, and the zone the one in the settings?')
      return fail('dnsbl', seen, 'expected 127.0.0.2 and ENOTFOUND: is the zone the one in the settings?')
    }),
  )
}

/** A mail server does not know our port: it asks its resolver, which must know where the zone is. */
export async function dnsblByResolver({ view, settings }: Chart): Promise<Finding[]> {
  if (!view || !settings || !view.doors.some(({ name, open }) => name === 'DNSBL, UDP' && open)) return []
  const { zone } = settings.dnsbl
  if (/\.test\.?$/i.test(zone))
    return [ok('resolver', `not asked: ${zone} is for trying out, and no resolver knows names under .test`)]
  return [resolverFinding(zone, getServers(), await testEntries(zone))]
}

/** What it means for a mail server on this host. */
export function resolverFinding(zone: string, servers: readonly string[], { listed, clean }: TestEntries): Finding {
  const seen = `the resolver of this host (${servers.join(', ') || 'none in resolv.conf'}) answers ${listed} for 127.0.0.2, ${clean} for 127.0.0.1 in ${zone}`
  const through = `an MX that asks by DNS through it finds nobody listed: have it forward ${zone} to dnsbl.listen (unbound: stub-zone; dnsmasq: server=/${zone}/ADDRESS#PORT), or let it ask the policy service`
  if (isAddress(clean))
    return fail(
      'resolver',
      seen,
      `it says that everybody is listed, which is none of our answers: does a wildcard, or a resolver that invents answers, stand for ${zone}? Let no MX ask it`,
    )
  if (listed === '127.0.0.2' && clean === 'ENOTFOUND') return ok('resolver', seen)
  if (isAddress(listed))
    return fail('resolver', seen, `that is not our answer for a listed client: who else serves ${zone}?`)
  if (listed === 'EREFUSED')
    return warn('resolver', seen, `it refuses to ask for us: ${through}; and put it in dnsbl.askers`)
  if (listed === 'ENOTFOUND' || listed === 'ENODATA') return warn('resolver', seen, through)
  return warn(
    'resolver',
    seen,
    `it did not get an answer in time, or none from us: is it reachable? Until then ${through}`,
  )
}

/** Asks these servers, or those of the system: several of them, out of reach, would each be waited for in turn, and again. */
export async function testEntries(
  zone: string,
  servers?: readonly string[],
  deadlineMs = DEADLINE_MS,
): Promise<TestEntries> {
  const resolver = new Resolver({ timeout: 1000, tries: 2 })
  if (servers) resolver.setServers(servers)
  const late = setTimeout(() => resolver.cancel(), deadlineMs)
  const answer = (name: string) =>
    resolver
      .resolve4(`${name}.${zone}`)
      .then(String, ({ code, message }: NodeJS.ErrnoException) =>
        code === 'ECANCELLED' ? 'ETIMEOUT' : (code ?? message),
      )
  const [listed, clean] = await Promise.all([answer('2.0.0.127'), answer('1.0.0.127')])
  clearTimeout(late)
  return { listed, clean }
}

const DEADLINE_MS = 4000

function isAddress(answer: string): boolean {
  return /^\d+\./.test(answer)
}

/** An address that hears everything is asked at loopback. */
function nearby(address: string): string {
  return address.replace(/^0\.0\.0\.0:/, '127.0.0.1:').replace(/^\[::\]:/, '[::1]:')
}
