/** Against a real HTTPS server on loopback. */
import { once } from 'node:events'
import type { RequestListener } from 'node:http'
import { createServer } from 'node:https'
import { readFileSync } from 'node:fs'
import { expect, inject, onTestFinished, test } from 'vitest'
import { type Lookup, NOTHING } from '../../src/watch/lookup.ts'
import { fetchStsPolicy } from '../../src/watch/sts-policy.ts'
import { certificateFiles } from '../certificate.ts'

const lookup: Lookup = async (name, type) =>
  name === 'mta-sts.example.test' && type === 'A'
    ? { ...NOTHING, outcome: 'found', records: [{ data: '127.0.0.1', ttlSeconds: 1 }] }
    : NOTHING

async function fetched(answer: RequestListener, { trusted = true, withinMs = 2000 } = {}) {
  const files = certificateFiles('mta-sts.example.test')
  const [key, cert] = [readFileSync(files.key), readFileSync(files.certificate)]
  const server = createServer({ key, cert }, answer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as { port: number }
  const ca = trusted ? { ca: cert.toString() } : {}
  return await fetchStsPolicy('example.test', { lookup, port, withinMs, ...ca })
}

const WHERE = 'https://mta-sts.example.test/.well-known/mta-sts.txt: '

test.skipIf(inject('missing').includes('openssl'))('the policy is what the well-known place says', async () => {
  const text = 'version: STSv1\n'
  expect(
    await fetched(
      (request, reply) => void (request.url === '/.well-known/mta-sts.txt' ? reply.end(text) : reply.end()),
    ),
  ).toEqual({ text })
})

test.skipIf(inject('missing').includes('openssl'))('what a sender would not take is said', async () => {
  const redirect: RequestListener = (_, reply) => void reply.writeHead(301, { location: '/elsewhere' }).end()
  expect(await fetched(redirect)).toEqual({ failed: `${WHERE}HTTP 301` })
  expect(await fetched((_, reply) => void reply.end('x'.repeat(70_000)))).toEqual({
    failed: `${WHERE}more than 65536 bytes`,
  })
  expect(await fetched(() => {}, { withinMs: 100 })).toEqual({ failed: `${WHERE}no answer within 100 ms` })
  expect(await fetched((_, reply) => void reply.end(), { trusted: false })).toEqual({
    failed: `${WHERE}DEPTH_ZERO_SELF_SIGNED_CERT`,
  })
  expect(await fetchStsPolicy('other.test', { lookup })).toEqual({
    failed: 'mta-sts.other.test has no address: no such name',
  })
})
