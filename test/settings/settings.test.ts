import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, inject, test } from 'vitest'
import { spellProblem } from '../../src/core/document.ts'
import { parseAddress, spellAddress } from '../../src/settings/places.ts'
import { readSettings, settingsSchema } from '../../src/settings/settings.ts'
import { certificateFiles } from '../certificate.ts'
import { folder } from '../folders.ts'

function problemsOf(text: string, env: NodeJS.ProcessEnv = {}): string[] {
  const file = join(folder(), 'decoymx.yaml')
  writeFileSync(file, text)
  const read = readSettings(file, env)
  return read.ok ? [] : read.problems.map((problem) => spellProblem(problem).replace(file, 'decoymx.yaml'))
}

describe.skipIf(inject('missing').includes('openssl'))('a certificate', () => {
  const tls = (certificate: string, key: string) =>
    problemsOf(`decoys: { backup: { tls: { certificate: "${certificate}", key: "${key}" } } }`)

  test('and its key are read', () => {
    const { certificate, key } = certificateFiles()
    expect(tls(certificate, key)).toEqual([])
  })

  test('that is not there, is none, or does not fit its key, is a mistake with the name of the file', () => {
    const [one, other] = [certificateFiles(), certificateFiles()]
    const missing = join(folder(), 'none.pem')
    expect(tls(missing, one.key)).toEqual([expect.stringMatching(`^${missing}:1:1: cannot be read: ENOENT`)])
    expect(tls(one.key, one.key)).toEqual([`${one.key}:1:1: expected a certificate in PEM form`])
    expect(tls(one.certificate, one.certificate)).toEqual([
      `${one.certificate}:1:1: expected a private key in PEM form, without a passphrase`,
    ])
    expect(tls(one.certificate, other.key)).toEqual([
      `${other.key}:1:1: this key belongs to another certificate than ${one.certificate}`,
    ])
  })

  test('without its key, or at the primary, which never talks, is a mistake', () => {
    expect(problemsOf('decoys: { backup: { tls: { certificate: x.pem } } }')).toEqual([
      expect.stringContaining('decoys.backup.tls.key: '),
    ])
    expect(problemsOf('decoys: { primary: { tls: { certificate: x, key: y } } }')).toEqual([
      expect.stringContaining('decoys.primary.tls: no such key'),
    ])
  })
})

describe('settings', () => {
  test('without a file, the defaults of the contract', () => {
    const read = readSettings(undefined, {})
    expect(read.ok).toBe(true)
    if (!read.ok) return
    const { decoys, policy, dnsbl, http, store } = read.settings
    expect(decoys.primary.listen.map(spellAddress)).toContain('127.0.0.1:2510')
    expect(decoys.primary.proxy.map(spellAddress)).toEqual(['127.0.0.1:2511'])
    expect(decoys.backup.listen.map(spellAddress)).toContain('127.0.0.1:2590')
    expect(decoys.backup.proxy.map(spellAddress)).toEqual(['127.0.0.1:2591'])
    expect(policy.listen.map(spellAddress)).toEqual(['127.0.0.1:10040'])
    expect(dnsbl.listen.map(spellAddress)).toEqual(['127.0.0.1:5300'])
    expect(dnsbl.zone).toBe('bl.decoymx.test')
    expect(http.listen.map(spellAddress)).toEqual(['127.0.0.1:8025'])
    expect(store.redis).toBeUndefined()
    expect(decoys.pace.byte).toBe(0)
  })

  test('the settings that we ship are sound', () => {
    expect(readSettings(join(import.meta.dirname, '../../deploy/decoymx.yaml'), {})).toMatchObject({
      ok: true,
      settings: { decoys: { pace: { greeting: 6000 } } },
    })
  })

  test('every mistake at once, each with its line, what came, and a hint', () => {
    const text = [
      'decoys:',
      '  primary:',
      '    listen: ["localhost:25", "192.0.2.66"]',
      '  bakcup: {}',
      '  pace: brisc',
      '  limits: { connections: many, dialogue: 5 }',
      'policy:',
      '  listen: "127.0.0.1:10040"',
      'store:',
      '  url: http://redis',
      'log: noisy',
    ].join('\n')
    expect(problemsOf(text, { DECOYMX_REDIS_ULR: 'redis://x' })).toEqual([
      'DECOYMX_REDIS_ULR:1:1: no such environment variable (did you mean DECOYMX_REDIS_URL?)',
      'decoymx.yaml:3:14: decoys.primary.listen.0: expected an IP address with a port, like 192.0.2.66:25 or "[2001:db8::66]:25", got "localhost:25"',
      'decoymx.yaml:3:30: decoys.primary.listen.1: expected an IP address with a port, like 192.0.2.66:25 or "[2001:db8::66]:25", got "192.0.2.66"',
      'decoymx.yaml:4:3: decoys.bakcup: no such key (did you mean backup?)',
      'decoymx.yaml:5:9: decoys.pace: expected brisk or slow, got "brisc" (did you mean brisk?)',
      'decoymx.yaml:6:26: decoys.limits.connections: expected a number, got "many"',
      'decoymx.yaml:6:42: decoys.limits.dialogue: expected a time span like 15m, 24h or 7d, got 5 (did you mean 5s, 5m, 5h or 5d?)',
      'decoymx.yaml:8:11: policy.listen: expected a list, got "127.0.0.1:10040" (did you mean ["127.0.0.1:10040"]?)',
      'decoymx.yaml:10:8: store.url: expected redis://HOST:PORT/DATABASE, rediss://... for TLS, or the path of a socket, like /run/redis/redis.sock, got "http://redis"',
      'decoymx.yaml:11:6: log: expected debug or info or warn or error, got "noisy"',
    ])
  })

  test('what was most likely meant is said: a unit, brackets, a name like this one', () => {
    const source = 'dnsbl: { ttl: 60, zone: bl..example }\npolicy: { listen: 127.0.0.1:10040 }\n'
    expect(problemsOf(source)).toEqual([
      'decoymx.yaml:1:15: dnsbl.ttl: expected a time span like 15m, 24h or 7d, got 60 (did you mean 60s, 60m, 60h or 60d?)',
      'decoymx.yaml:1:25: dnsbl.zone: expected a full name like bl.example.org, got "bl..example"',
      'decoymx.yaml:2:19: policy.listen: expected a list, got "127.0.0.1:10040" (did you mean ["127.0.0.1:10040"]?)',
    ])
  })

  test('one address twice is a mistake; any port (0) is not', () => {
    expect(
      problemsOf('policy: { listen: ["127.0.0.1:2590", "127.0.0.1:0"] }\nhttp: { listen: ["127.0.0.1:0"] }'),
    ).toEqual(['decoymx.yaml:1:20: policy.listen.0: 127.0.0.1:2590 is taken by decoys.backup.listen already'])
  })

  test('one door for both decoys wants prefixes of each, and then has them', () => {
    const both = (primary: string, backup: string) =>
      `decoys:\n  primary: { listen: ["0.0.0.0:25"]${primary} }\n  backup: { listen: ["0.0.0.0:25"]${backup} }`
    const taken =
      'decoymx.yaml:3:22: decoys.backup.listen.0: 0.0.0.0:25 is taken by decoys.primary.listen already; two decoys at one address are told apart by prefixes of their own'
    expect(problemsOf(both('', ''))).toEqual([taken])
    expect(problemsOf(both(', prefixes: [198.51.100.0/25]', ''))).toEqual([taken])
    expect(problemsOf(both(', prefixes: [198.51.100.0/25]', ', prefixes: [198.51.100.128/25]'))).toEqual([])
    expect(problemsOf(both(', prefixes: [198.51.100.0/24]', ', prefixes: [198.51.100.128/25]'))).toEqual([])
  })

  test('prefixes that cannot be what was meant are mistakes', () => {
    const text = [
      'decoys:',
      '  primary:',
      '    listen: ["0.0.0.0:25", "192.0.2.66:25", "[2001:db8::66]:25"]',
      '    prefixes: [198.51.100.0/25, 198.51.100.1/25, "2001:db8::66", "2001:db8::67", 192.0.2.0/25]',
      '  backup:',
      '    listen: ["203.0.113.9:25"]',
      '    prefixes: [198.51.100.0/25]',
      'real-mx: { greet: ["192.0.2.25:25"] }',
    ].join('\n')
    expect(problemsOf(text)).toEqual([
      'decoymx.yaml:4:33: decoys.primary.prefixes.1: "198.51.100.1/25" has host bits set: did you mean 198.51.100.0/25?',
    ])
    expect(problemsOf(text.replace('198.51.100.1/25, ', ''))).toEqual([
      'decoymx.yaml:4:49: decoys.primary.prefixes.2: nothing listens there: listen needs an address in 2001:db8::67/128, or [::] with the port',
      'decoymx.yaml:4:65: decoys.primary.prefixes.3: 192.0.2.0/25 holds the real MX 192.0.2.25:25, which would be cut off',
      'decoymx.yaml:6:14: decoys.backup.listen.0: 203.0.113.9 is in none of the prefixes: every call there would be reset',
      'decoymx.yaml:7:16: decoys.backup.prefixes.0: nothing listens there: listen needs an address in 198.51.100.0/25, or 0.0.0.0 with the port',
      'decoymx.yaml:7:16: decoys.backup.prefixes.0: 198.51.100.0/25 is in decoys.primary.prefixes already',
    ])
  })

  test('no decoy is its own witness', () => {
    expect(problemsOf('real-mx: { greet: ["127.0.0.1:2590", "192.0.2.25:25"] }')).toEqual([
      'decoymx.yaml:1:20: real-mx.greet.0: 127.0.0.1:2590 is our own decoys.backup.listen: the witness must look at the server that takes mail',
    ])
  })

  test('the kernel refuses at addresses of the decoy, never at all of a host', () => {
    expect(
      problemsOf('decoys:\n  primary: { kernel: true, listen: ["0.0.0.0:25", "192.0.2.66:25", "[::]:25"] }'),
    ).toEqual([
      "decoymx.yaml:2:37: decoys.primary.listen.0: with kernel: true, 0.0.0.0:25 would refuse strangers at every address of this host: name the decoy's own, here or in prefixes",
      "decoymx.yaml:2:68: decoys.primary.listen.2: with kernel: true, [::]:25 would refuse strangers at every address of this host: name the decoy's own, here or in prefixes",
    ])
    expect(problemsOf('decoys: { primary: { kernel: true, listen: [] } }')).toEqual([
      'decoymx.yaml:1:44: decoys.primary.listen: kernel: true needs the addresses of the primary decoy',
    ])
    for (const sound of ['listen: ["192.0.2.66:25"]', 'listen: ["0.0.0.0:25"], prefixes: [192.0.2.0/28]'])
      expect(problemsOf(`decoys: { primary: { kernel: true, ${sound} } }`)).toEqual([])
  })

  test('no key makes the primary answer a stranger with an SMTP reply: every one loses mail of somebody', () => {
    const { primary } = settingsSchema.shape.decoys.unwrap().shape
    expect(Object.keys(primary.unwrap().shape)).toEqual(['name', 'listen', 'prefixes', 'proxy', 'kernel'])
    for (const key of ['strangers: tempfail', 'reply: 421', 'greeting: 554', 'reject: true'])
      expect(problemsOf(`decoys: { primary: { ${key} } }`)).toEqual([expect.stringContaining('no such key')])
  })

  test('a file that is not there is a problem, not a crash', () => {
    expect(readSettings('/nonexistent/decoymx.yaml', {})).toMatchObject({
      ok: false,
      problems: [{ file: '/nonexistent/decoymx.yaml' }],
    })
  })

  test('addresses are read and spelled alike', () => {
    for (const text of ['127.0.0.1:25', '[::1]:2590', '0.0.0.0:0']) expect(spellAddress(parseAddress(text)!)).toBe(text)
    for (const text of ['::1:25', '[127.0.0.1]:25', '127.0.0.1', '127.0.0.1:70000', 'mx.example.org:25', ''])
      expect(parseAddress(text)).toBeUndefined()
  })
})

describe('a Unix socket', () => {
  test('may stand where the real MX asks, and is spelled as it was', () => {
    const where = 'unix:/run/decoymx/policy.sock'
    const read = settingsSchema.parse({
      policy: { listen: [where, '127.0.0.1:10040'] },
      readsocket: { listen: ['unix:/x'] },
    })
    expect(read.policy.listen.map(spellAddress)).toEqual([where, '127.0.0.1:10040'])
    expect(read.readsocket.listen.map(spellAddress)).toEqual(['unix:/x'])
    expect(read['tcp-table'].listen).toEqual([])
  })

  test.each(['unix:relative', 'unix:/', 'unix:', `unix:/${'x'.repeat(107)}`, '/run/x'])('%s is none', (text) => {
    expect(problemsOf(`policy: { listen: ["${text}"] }`)).toEqual([
      expect.stringContaining('expected an IP address with a port, like 127.0.0.1:10040, or a socket, like unix:/run/'),
    ])
  })

  test('is no place for a decoy, and is one room’s alone', () => {
    expect(problemsOf('decoys: { backup: { listen: ["unix:/x"] } }')).toHaveLength(1)
    expect(problemsOf('{ policy: { listen: ["unix:/x"] }, tcp-table: { listen: ["unix:/x"] } }')).toEqual([
      expect.stringContaining('unix:/x is taken by policy.listen already'),
    ])
  })
})
