/** What the answers of the host's own resolver mean for a mail server that asks it. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { expect, onTestFinished, test } from 'vitest'
import { resolverFinding, testEntries } from '../../../src/command/health/dnsbl-check.ts'

test.each([
  ['127.0.0.2', 'ENOTFOUND', 'ok', null],
  ['ENOTFOUND', 'ENOTFOUND', 'warn', /finds nobody listed: have it forward bl\.example\.org/],
  ['ENODATA', 'ENODATA', 'warn', /forward/],
  ['EREFUSED', 'EREFUSED', 'warn', /dnsbl\.askers/],
  ['ETIMEOUT', 'ETIMEOUT', 'warn', /did not get an answer in time/],
  ['ESERVFAIL', 'ESERVFAIL', 'warn', /did not get an answer in time/],
  ['192.0.2.80', '192.0.2.80', 'fail', /everybody is listed/],
  ['127.0.0.2', '127.0.0.2', 'fail', /everybody is listed/],
  ['127.0.0.10', 'ENOTFOUND', 'fail', /who else serves/],
] as const)('%s for the listed entry, %s for the other: %s', (listed, clean, level, next) => {
  const finding = resolverFinding('bl.example.org', ['192.0.2.53'], { listed, clean })
  expect(finding).toMatchObject({ check: 'resolver', level, seen: expect.stringContaining('192.0.2.53') as string })
  if (next) expect(finding.next).toMatch(next)
  else expect(finding.next).toBeNull()
})

test('a resolver that is silent is waited for no longer than the deadline', async () => {
  const silent = createSocket('udp4').bind(0, '127.0.0.1')
  onTestFinished(() => void silent.close())
  await once(silent, 'listening')
  const { port } = silent.address()
  expect(await testEntries('bl.example.org', [`127.0.0.1:${port}`], 20)).toEqual({
    listed: 'ETIMEOUT',
    clean: 'ETIMEOUT',
  })
})
