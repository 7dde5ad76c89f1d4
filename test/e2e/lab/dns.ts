/**
 * The lab's DNS: a real server (dnsmasq) that knows the lab's names and nothing else, at port 53 of its own host.
 *
 * It gives MX records in falling order of preference, which is the wrong one: a sender must sort.
 */
import { once } from 'node:events'
import type { Place } from '../../namespaces.ts'
import { within } from '../appliance.ts'

export type Zone = {
  /** Host to its addresses; each address names the host in return. */
  readonly hosts: Readonly<Record<string, readonly string[]>>
  /** Domain to preference and host. */
  readonly mx: Readonly<Record<string, readonly (readonly [preference: number, host: string])[]>>
}

const START_MS = 5000

/** Ends with its place. */
export async function serveZone(place: Place, { hosts, mx }: Zone): Promise<void> {
  const words = [
    '--keep-in-foreground',
    '--conf-file=/dev/null',
    '--user=root',
    '--pid-file=',
    '--log-facility=-',
    '--no-resolv',
    '--no-hosts',
    '--local-ttl=5',
    // Of these, what we do not know does not exist; nobody else is asked.
    '--local=/example/',
    '--local=/arpa/',
    ...Object.entries(hosts).map(([host, addresses]) => `--host-record=${host},${addresses.join(',')}`),
    ...Object.entries(mx).flatMap(([domain, records]) =>
      records.map(([preference, host]) => `--mx-host=${domain},${host},${preference}`),
    ),
  ]
  const child = place.spawn('dnsmasq', words, { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  const started = new Promise<void>((resolve, reject) => {
    child.stderr?.on('data', (chunk: Buffer) => {
      said = `${said}${chunk.toString()}`.slice(-4000)
      if (said.includes('started, version')) resolve()
    })
    void once(child, 'close').then(() => reject(new Error(`dnsmasq ended while starting: ${said}`)))
  })
  await within(START_MS, started, 'dnsmasq is not ready')
}
