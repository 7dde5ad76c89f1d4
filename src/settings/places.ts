/**
 * Addresses with ports: how they are written, and which of them cannot be so all at once.
 *
 * Two doors at one address, a decoy that nobody could call, a real MX among the decoys: each is a mistake of the person
 * who wrote the settings, and is told with the path of the key that holds it.
 */
import { isIP } from 'node:net'
import { type Client, parseClient } from '../core/client.ts'
import { spellPlace } from '../core/place.ts'
import { covers, type Prefix } from '../core/prefixes.ts'
import { SOCKET_PATH_MAX } from './state.ts'

export type Address = {
  readonly host: string
  readonly port: number
  /** Of a Unix socket; host and port say nothing then. */
  readonly path?: string
  /** A Unix socket for this user alone. */
  readonly ours?: true
  /** Sockets that the init system has opened there for us (activation.ts), by their descriptors. */
  readonly fds?: { readonly tcp?: number; readonly udp?: number }
}

export function parseAddress(text: string): Address | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text.trim())
  const host = match?.[1] ?? match?.[2] ?? ''
  const port = Number(match?.[3])
  if (!match || isIP(host) !== (match[1] ? 6 : 4) || port > 65_535) return undefined
  return { host, port }
}

/** A Unix socket: `unix:/run/decoymx/policy.sock`. */
export function parseUnixAddress(text: string): Address | undefined {
  const path = /^unix:(\/.*[^/])$/.exec(text.trim())?.[1]
  if (path === undefined || path.includes('\0') || Buffer.byteLength(path) > SOCKET_PATH_MAX) return undefined
  return { host: 'unix', port: 0, path }
}

export function spellAddress({ host, port, path }: Address): string {
  if (path !== undefined) return `unix:${path}`
  return spellPlace(host, port)
}

type Mistake = { readonly path: (string | number)[]; readonly message: string }
type DecoyPlaces = { listen: readonly Address[]; proxy: readonly Address[]; prefixes: readonly Prefix[] }
type Decoys = { readonly primary: DecoyPlaces & { readonly kernel: boolean }; readonly backup: DecoyPlaces }
type Listening = { readonly listen: readonly Address[] }
type Places = {
  readonly decoys: Decoys
  readonly policy: Listening
  readonly 'tcp-table': Listening
  readonly readsocket: Listening
  readonly milter: Listening
  readonly dnsbl: Listening
  readonly http: Listening
  readonly 'real-mx': { readonly greet: readonly Address[] }
}

/** Addresses that cannot be so all at once. */
export function placeMistakes(doc: Places): Mistake[] {
  const { primary, backup } = doc.decoys
  const mistakes: Mistake[] = []
  const lists = [
    [['decoys', 'primary', 'listen'], primary.listen],
    [['decoys', 'primary', 'proxy'], primary.proxy],
    [['decoys', 'backup', 'listen'], backup.listen],
    [['decoys', 'backup', 'proxy'], backup.proxy],
    [['policy', 'listen'], doc.policy.listen],
    [['tcp-table', 'listen'], doc['tcp-table'].listen],
    [['readsocket', 'listen'], doc.readsocket.listen],
    [['milter', 'listen'], doc.milter.listen],
    [['dnsbl', 'listen'], doc.dnsbl.listen],
    [['http', 'listen'], doc.http.listen],
  ] as const
  const owner = new Map<string, string>()
  for (const [path, addresses] of lists)
    addresses.forEach((each, i) => {
      const place = spellAddress(each)
      const other = owner.get(place)
      const shared = other === 'decoys.primary.listen' && path.join('.') === 'decoys.backup.listen'
      const toldApart = shared && primary.prefixes.length > 0 && backup.prefixes.length > 0
      if (other !== undefined && (each.port !== 0 || each.path !== undefined) && !toldApart) {
        const how = shared ? '; two decoys at one address are told apart by prefixes of their own' : ''
        mistakes.push({ path: [...path, i], message: `${place} is taken by ${other} already${how}` })
      }
      owner.set(place, path.join('.'))
    })
  doc['real-mx'].greet.forEach((each, i) => {
    const other = owner.get(spellAddress(each))
    if (other !== undefined)
      mistakes.push({
        path: ['real-mx', 'greet', i],
        message: `${spellAddress(each)} is our own ${other}: the witness must look at the server that takes mail`,
      })
  })
  return [...mistakes, ...prefixMistakes(doc.decoys, doc['real-mx'].greet), ...kernelMistakes(primary)]
}

/** Prefixes that nobody could call at, calls that nobody would take, and a real MX among the decoys. */
function prefixMistakes(decoys: Decoys, realMx: readonly Address[]): Mistake[] {
  const mistakes: Mistake[] = []
  const primaries = new Set(decoys.primary.prefixes.map(({ cidr }) => cidr))
  for (const role of ['primary', 'backup'] as const) {
    const { listen, prefixes } = decoys[role]
    const say = (key: string, i: number, message: string) => mistakes.push({ path: ['decoys', role, key, i], message })
    const within = (prefix: Prefix, { host }: Address) => covers(prefix, parseClient(host) as Client)
    prefixes.forEach((prefix, i) => {
      const { cidr, family } = prefix
      const every = family === 4 ? '0.0.0.0' : '[::]'
      if (!listen.some((each) => within(prefix, each) || (isWildcard(each) && familyOf(each) === family)))
        say('prefixes', i, `nothing listens there: listen needs an address in ${cidr}, or ${every} with the port`)
      const real = realMx.find((each) => within(prefix, each))
      if (real) say('prefixes', i, `${cidr} holds the real MX ${spellAddress(real)}, which would be cut off`)
      if (role === 'backup' && primaries.has(cidr)) say('prefixes', i, `${cidr} is in decoys.primary.prefixes already`)
    })
    listen.forEach((each, i) => {
      if (prefixes.length > 0 && !isWildcard(each) && !prefixes.some((prefix) => within(prefix, each)))
        say('listen', i, `${each.host} is in none of the prefixes: every call there would be reset`)
    })
  }
  return mistakes
}

export function isWildcard({ host }: Address): boolean {
  return /^[0.:]+$/.test(host)
}

/** The kernel refuses by address: it must be told the decoy's own, and never all of a host where mail is taken, too. */
function kernelMistakes({ kernel, listen, prefixes }: Decoys['primary']): Mistake[] {
  if (!kernel) return []
  const path = ['decoys', 'primary', 'listen']
  if (listen.length === 0) return [{ path, message: 'kernel: true needs the addresses of the primary decoy' }]
  return listen.flatMap((each, i) => {
    const say = (message: string) => [{ path: [...path, i], message }]
    if (each.port === 0) return say('kernel: true needs a port that is known')
    if (!isWildcard(each) || prefixes.some(({ family }) => family === familyOf(each))) return []
    return say(
      `with kernel: true, ${spellAddress(each)} would refuse strangers at every address of this host: name the decoy's own, here or in prefixes`,
    )
  })
}

function familyOf({ host }: Address): 4 | 6 {
  return host.includes(':') ? 6 : 4
}
