/**
 * The name in HELO: why a mail server would not call itself so.
 *
 * Pure. A name that may be the client's own is none of these, however odd: honest servers with an underscore, with an
 * address in brackets, or in a domain that DNS does not have, are many.
 */
import { parseClient } from '../core/client.ts'

/** Why, with what was said; undefined for a name that may be its own. */
export function falseName(said: string, us: { readonly name: string; readonly address: string }): string | undefined {
  const name = plainName(said)
  if (name === '') return 'no name at all'
  if (name === us.name) return `our own name: ${said}`
  if (name.length <= 253 && HOST_NAME.test(name) && !name.includes('localhost')) return undefined
  if (/^localhost(\.localdomain)?$/.test(name) || name.endsWith('.localhost')) return `localhost: ${said}`

  const literal = /^\[(ipv6:)?(.*)\]$/.exec(name)
  const address = parseClient(literal?.[2] ?? name)
  if (address && address.ip === us.address) return `our own address: ${said}`
  // RFC 5321, 4.1.3: a host without a name says its address in brackets; literals of other families have a tag.
  const legal = address !== undefined || /^\[[a-z0-9-]+:[!-~]+\]$/.test(name)
  if (literal) return legal ? undefined : `no address in the brackets: ${said}`
  if (address) return `a bare address: ${said}`

  const labels = name.split('.')
  if (name.length > 253 || !labels.every((label) => LABEL.test(label))) return `no host name: ${said}`
  return labels.length < 2 ? `a single label: ${said}` : undefined
}

/** Lower case, without the root's dot: two spellings of one name are one name. */
export function plainName(said: string): string {
  const name = said.toLowerCase()
  return name.endsWith('.') ? name.slice(0, -1) : name
}

/** As nearly all are: labels of a host name, the last of which begins with a letter, so that it is no address. */
const HOST_NAME = /^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z]([a-z0-9_-]{0,61}[a-z0-9_])?$/

/** The underscore is not allowed in host names, and yet in honest ones. */
const LABEL = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/
