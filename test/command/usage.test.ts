/** A mistake on the command line ends with 64, and what is told leads on: how it is typed, and what may stand there. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { folder } from '../folders.ts'

const MAIN = join(import.meta.dirname, '../../src/main.ts')

/** What is found wrong is told once, and nothing that only follows from it. */
test('no more is told than there is', () => {
  const told = (...words: string[]) =>
    spawnSync(process.execPath, [MAIN, ...words], { cwd: folder(), encoding: 'utf8' })
      .stderr.split('\n')
      .filter((line) => line.startsWith('error'))
  expect(told('allow', '203.0.113.9', 'more', '--forr', '7d')).toHaveLength(1)
  expect(told('allow', '--for')).toEqual([
    "error  option '--for <span>' argument missing",
    "error  missing required argument 'target'",
  ])
  const help = spawnSync(process.execPath, [MAIN, 'list', '--fro', '--help'], { encoding: 'utf8' })
  expect(help).toMatchObject({
    status: 0,
    stderr: '',
    stdout: expect.stringContaining('Usage: decoymx list') as string,
  })
})

test.each([
  [['export'], 'missing required argument', 'usage: decoymx export <format> [options]', 'plain, cidr, nft'],
  [
    ['kernel', 'maybe'],
    'error  action: expected one of on, off, status, got "maybe"',
    'usage: decoymx kernel <action>',
  ],
  [
    ['replay', '--agnst', 'x'],
    "error  unknown option '--agnst'; did you mean --against?\n",
    "'--rules <file>' not specified",
    'usage: decoymx replay [journals...] --rules <file> [options]',
  ],
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
  // Each option that there is not, with what it most likely was; what stands behind it is read as that one's.
  [
    ['list', '203.0.113.0/33', '--fro', '--limti', '3', '--verdcit', 'bad', '--json=yes'],
    "error  unknown option '--fro'\n",
    "error  unknown option '--limti'; did you mean --limit?\n",
    "error  unknown option '--verdcit'; did you mean --verdict?\n",
    'error  --verdict: expected one of allow, observe, defer, block, got "bad"\n',
    'error  --json: expected no value, got "yes"\n',
    'error  network: expected a prefix length from 0 to 32, got "/33"\n',
  ],
  // With what only the command knows of its words.
  [
    ['allow', '203.0.113.999', '--for', '7days', '--becuse', 'x'],
    "error  unknown option '--becuse'; did you mean --because?\n",
    'error  target: expected an IP address, a CIDR or a pool, got "203.0.113.999": 999 is above 255\n',
    'error  --for: expected a time span like 15m, 24h or 7d, got "7days" (did you mean 7d?)\n',
  ],
  [
    ['why', 'x', '--jsno'],
    'error  unknown option \'--jsno\'; did you mean --json?\nerror  expected an IP address, a CIDR or a ticket, got "x"\n',
  ],
  [
    ['lint', 'bad..name', '--sever', 'x', '--primary', 'a_b!', '--port', '99999', '--zone', '/nowhere'],
    'error  --port: expected a whole number from 1 to 65535, got 99999\n',
    "error  unknown option '--sever'; did you mean --server?\n",
    'error  DOMAIN: expected a domain like example.org, got "bad..name"\n',
    'error  --server: expected an IP address, with a port or without, got "x"\n',
    'error  --primary: expected a host name, got "a_b!"\nerror  /nowhere: there is no such file\nusage:',
  ],
  [
    ['plan', '192.0.2.1', '--primary-address', '1.2.3.400', '--backup-address', 'x', '--jsno'],
    "error  unknown option '--jsno'; did you mean --json?\n",
    'error  --primary-address: expected an IP address, got "1.2.3.400": 400 is above 255\n',
    'error  --backup-address: expected an IP address, got "x"\n',
    'that is an address: decoymx why 192.0.2.1 tells what is known of a client)\nusage:',
  ],
  [
    ['plan', '--server', 'x', '--settings'],
    "error  option '--settings <file>' argument missing\nerror  missing required argument 'domain'\nerror  --server: expected",
  ],
  [
    ['simulate', '--layout', 'primary:5', '--wekes', '3'],
    "error  unknown option '--wekes'; did you mean --weeks?\nerror  --layout: expected a real MX",
  ],
  [
    ['init', '--prot', '25', '--primary', '127.0.0.1', '--backup'],
    "error  option '--backup <ip>' argument missing\nerror  unknown option '--prot'; did you mean --port?\nerror  --primary: ",
  ],
  [
    ['governor', 'enlist', '203.0.113.0/33', '--froce'],
    "error  unknown option '--froce'\nerror  target: expected a prefix length",
  ],
  [['--jsno', 'list'], "unknown option '--jsno' (options stand behind the command: decoymx list --json)"],
  // With nobody there to say it.
  [
    ['allow', '203.0.113.999', '--for', '7days'],
    'error  target: expected an IP address, a CIDR or a pool, got "203.0.113.999"',
    'error  --for: expected a time span like 15m, 24h or 7d, got "7days"',
  ],
  [['lint', 'bad..name'], 'error  DOMAIN: expected a domain like example.org, got "bad..name"\n'],
  [['plan', 'example.org', '--zone', '/nowhere', '--primary-address', 'x'], 'expected an IP address, got "x"\n'],
  [['why', 'mail.example.org'], 'error  expected an IP address, a CIDR or a ticket'],
  [['simulate', '--layout', 'primary:5'], 'error  --layout: '],
  [['run', '--only', 'decoy'], 'decoys, policy, dnsbl, http, got "decoy"; did you mean decoys?'],
  [['lits'], 'Did you mean list?', 'decoymx --help lists the commands'],
])('%j', (words, ...told) => {
  const { status, stderr } = spawnSync(process.execPath, [MAIN, ...words], { cwd: folder(), encoding: 'utf8' })
  for (const each of told) expect(stderr).toContain(each)
  expect(status).toBe(64)
})
