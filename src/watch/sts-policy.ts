/**
 * Fetches the MTA-STS policy of a domain as RFC 8461, section 3.3 says: by HTTPS, with a certificate that holds, without
 * following redirects, bounded in time and size.
 */
import { request } from 'node:https'
import type { LookupFunction } from 'node:net'
import { POLICY_MAX } from '../core/sts.ts'
import type { Lookup } from './lookup.ts'

export type PolicyOptions = {
  readonly lookup: Lookup
  readonly port?: number
  /** Certificates that are believed beside those of the system. */
  readonly ca?: string
  readonly withinMs?: number
}

/** Senders wait a minute (RFC 8461, section 3.3); a person does not. */
const WITHIN_MS = 10_000

export async function fetchStsPolicy(
  domain: string,
  { lookup, port = 443, ca, withinMs = WITHIN_MS }: PolicyOptions,
): Promise<{ readonly text: string } | { readonly failed: string }> {
  const host = `mta-sts.${domain}`
  const [four, six] = await Promise.all([lookup(host, 'A'), lookup(host, 'AAAA')])
  const addresses = [...four.records, ...six.records].map(({ data }) => data)
  const [address] = addresses
  if (address === undefined) return { failed: `${host} has no address: ${four.because || 'no such name'}` }
  // The name was asked for already, in the same way as all the others.
  const resolved: LookupFunction = (_, { all }, done) => {
    const family = address.includes(':') ? 6 : 4
    if (all) done(null, [{ address, family }])
    else done(null, address, family)
  }
  return await new Promise((resolve) => {
    const signal = AbortSignal.timeout(withinMs)
    const failed = (why: string) => resolve({ failed: `https://${host}/.well-known/mta-sts.txt: ${why}` })
    const asking = request(
      { host, port, path: '/.well-known/mta-sts.txt', lookup: resolved, signal, agent: false, ...(ca ? { ca } : {}) },
      (reply) => {
        if (reply.statusCode !== 200) {
          failed(`HTTP ${reply.statusCode}`)
          asking.destroy()
          return
        }
        let text = ''
        reply.setEncoding('utf8')
        reply.on('data', (chunk: string) => {
          text += chunk
          if (text.length <= POLICY_MAX) return
          failed(`more than ${POLICY_MAX} bytes`)
          asking.destroy()
        })
        reply.on('end', () => resolve({ text }))
        reply.on('error', (error: NodeJS.ErrnoException) => failed(error.code ?? error.message))
      },
    )
    asking.on('error', (error: NodeJS.ErrnoException) =>
      failed(error.name === 'AbortError' ? `no answer within ${withinMs} ms` : (error.code ?? error.message)),
    )
    asking.end()
  })
}
