/** A mistake on the command line ends with 64, and what is told leads on: how it is typed, and what may stand there. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { folder } from '../folders.ts'

const MAIN = join(import.meta.dirname, '../../src/main.ts')

test.each([
  [['export'], 'missing required argument', 'usage: decoymx export <format> [options]', 'plain, cidr, nft'],
  [
    ['kernel', 'maybe'],
    'error  action: expected one of on, off, status, got "maybe"',
    'usage: decoymx kernel <action>',
  ],
  [['replay'], "'--rules <file>' not specified", 'usage: decoymx replay [journals...] --rules <file> [options]'],
  [
    ['list', '--limit', '-3'],
    'error  --limit: expected a whole number from 1',
    'got -3',
    'usage: decoymx list [network]',
  ],
  [['allow'], "missing required argument 'target'", 'decoymx allow --help says more'],
  // All at once: what cannot be read, beside what commander itself finds.
  [
    ['list', '--limit', 'x', '--verdict', 'bad', '--fro'],
    'error  --limit: expected a whole number from 1 to 1000000, got x\n',
    'error  --verdict: expected one of allow, observe, defer, block, got "bad"\n',
    "error  unknown option '--fro'\n",
  ],
  // With nobody there to say it.
  [
    ['allow', '203.0.113.999', '--for', '7days'],
    'error  target: expected an IP address, a CIDR or a pool, got "203.0.113.999"',
    'error  --for: expected a time span like 15m, 24h or 7d, got "7days"',
  ],
  [['why', 'mail.example.org'], 'error  expected an IP address, a CIDR or a ticket'],
  [['simulate', '--layout', 'primary:5'], 'error  --layout: '],
  [['run', '--only', 'decoy'], 'decoys, policy, dnsbl, http, got "decoy"; did you mean decoys?'],
  [['lits'], 'Did you mean list?', 'decoymx --help lists the commands'],
])('%j', (words, ...told) => {
  const { status, stderr } = spawnSync(process.execPath, [MAIN, ...words], { cwd: folder(), encoding: 'utf8' })
  for (const each of told) expect(stderr).toContain(each)
  expect(status).toBe(64)
})
