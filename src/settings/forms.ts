/**
 * The forms that values of the settings have: addresses, networks, names, spans of time; each mistake says what was expected
 * and what came.
 */
import { isIP } from 'node:net'
import { z } from 'zod'
import { show } from '../core/complaints.ts'
import { duration } from '../core/document.ts'
import { parsePrefix, type Prefix } from '../core/prefixes.ts'
import { parseAddress, parseUnixAddress } from './places.ts'
import { SOCKET_PATH_MAX } from './state.ts'

export const address = z.string().transform((text, ctx) => {
  const read = parseAddress(text)
  if (read) return read
  const message = `expected an IP address with a port, like 192.0.2.66:25 or "[2001:db8::66]:25", got ${show(text)}`
  ctx.addIssue({ code: 'custom', message })
  return z.NEVER
})

const addressOrPath = z.string().transform((text, ctx) => {
  const read = parseAddress(text) ?? parseUnixAddress(text)
  if (read) return read
  ctx.addIssue({
    code: 'custom',
    message: `expected an IP address with a port, like 127.0.0.1:10040, or a socket, like unix:/run/decoymx/policy.sock (at most ${SOCKET_PATH_MAX} bytes), got ${show(text)}`,
  })
  return z.NEVER
})

const prefixWhere = (spell: (text: string) => string) =>
  z.string().transform((text, ctx): Prefix => {
    const read = parsePrefix(spell(text))
    if (typeof read !== 'string') return read
    ctx.addIssue({ code: 'custom', message: read })
    return z.NEVER
  })
const prefix = prefixWhere((text) => text)

/** An address of this host is itself alone; of a client's, an IPv6 /64 would be meant. */
export const ownPrefix = prefixWhere((text) => (isIP(text) === 6 ? `${text}/128` : text))

/** Most addresses in one list; a whole prefix needs one listener only. */
const LISTEN_MAX = 64
export const listen = (...defaults: string[]) => z.array(address).max(LISTEN_MAX).prefault(defaults)
export const listenAlsoAtPaths = (...defaults: string[]) => z.array(addressOrPath).max(LISTEN_MAX).prefault(defaults)
export const prefixes = (...defaults: string[]) => z.array(prefix).max(1000).prefault(defaults)
export const span = (text: string) => duration().prefault(text)

/** Short enough for 32 IPv6 labels before it. */
const NAME_MAX = 180
export const nameLike = (example: string) =>
  z
    .string()
    .max(NAME_MAX)
    .regex(/^([a-z0-9_-]{1,63}\.)+[a-z0-9-]{1,63}\.?$/i, {
      error: (issue) => `expected a full name like ${example}, got ${show(issue.input)}`,
    })
export const hostName = nameLike('mx9.example.org')

/** Text that is said to clients: printable ASCII on one line. */
export const said = (max: number) =>
  z
    .string()
    .max(max)
    .regex(/^[\x20-\x7e]+$/, { error: (issue) => `expected printable ASCII on one line, got ${show(issue.input)}` })
