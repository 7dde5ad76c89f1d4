/** `demo --once`, as a newcomer runs it: the story holds, honest mail arrives, and nothing is left behind. */
import { readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { runToEnd } from './appliance.ts'

test('plays to a real appliance on loopback, and the story holds', { timeout: 100_000 }, async () => {
  const left = () => readdirSync(tmpdir()).filter((name) => name.startsWith('decoymx-demo-'))
  const before = left()
  const start = join(import.meta.dirname, '../../src/start.js')
  const { code, stdout, stderr } = await runToEnd(process.execPath, [start, 'demo', '--once'], process.env, 90_000)
  expect(stderr).toBe('')
  expect(stdout).not.toContain('✗')
  expect(stdout.match(/real MX +250 delivered/g)).toHaveLength(2)
  expect(stdout).toMatch(/real MX +554 5\.7\.1 talked before being greeted/)
  expect(stdout).toMatch(/DNSBL +127\.0\.0\.2/)
  expect(stdout).toMatch(/198\.51\.100\.10\tan honest Postfix\tclean/)
  expect(stdout).toMatch(/203\.0\.113\.5\ta bot that talks first\tblock/)
  expect(stdout).toContain('The story held')
  expect(code).toBe(0)
  expect(left().filter((name) => !before.includes(name))).toEqual([])
})
