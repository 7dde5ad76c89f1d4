import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import picocolors from 'picocolors'
import { describe, expect, test } from 'vitest'
import { readAll } from '../../src/settings/checked.ts'
import { check } from '../../src/command/check.ts'
import { init, mayOpenPort } from '../../src/command/init.ts'
import type { Words } from '../../src/command/init-questions.ts'
import { spellAddress } from '../../src/settings/places.ts'
import { folder } from '../folders.ts'

const GOOD: Words = { domain: 'example.net, example.org', primary: '192.0.2.66', backup: '2001:db8::9', realMx: 'dns' }

/** One run of the command, as from a script; with lines, as from a person who types them. */
async function runInit(
  words: Words,
  options: { into?: string; force?: boolean; port?: number; mayOpen?: boolean; types?: string[] } = {},
) {
  const into = options.into ?? folder()
  const told: string[] = []
  const errors: string[] = []
  const input = options.types && new PassThrough()
  input?.end(options.types?.map((line) => `${line}\n`).join(''))
  const code = await init(words, {
    into,
    force: options.force ?? false,
    port: options.port ?? 25,
    mayOpen: options.mayOpen ?? true,
    input,
    output: new PassThrough().resume(),
    screen: {
      colours: picocolors.createColors(false),
      person: true,
      width: Infinity,
      height: 24,
      print: (line) => told.push(line),
    },
    complain: (body, code = 1) => {
      const { error = '', errors: all = [error] } = body as { error?: string; errors?: string[] }
      errors.push(...all)
      return code
    },
  })
  const read = readAll({ state: into, settings: join(into, 'decoymx.yaml'), rules: join(into, 'rules.yaml') }, {})
  return { into, code, told: told.join('\n'), errors, read }
}

describe('init', () => {
  test('writes settings and rules that the daemon takes, in mode observe, with the comments of deploy/', async () => {
    const { code, into, told, read } = await runInit(GOOD)
    expect(code).toBe(0)
    if (!read.ok) throw new Error(JSON.stringify(read.problems))
    const { decoys, dnsbl } = read.settings
    expect(read.settings['real-mx']).toMatchObject({ greet: [], discover: true })
    expect([...decoys.primary.listen, ...decoys.backup.listen].map(spellAddress)).toEqual([
      '192.0.2.66:25',
      '[2001:db8::9]:25',
    ])
    expect([decoys.primary.name, decoys.backup.name, dnsbl.zone]).toEqual([
      'mx0.example.net',
      'mx9.example.net',
      'bl.example.net',
    ])
    expect([read.rules.mode, read.rules.domains]).toEqual(['observe', ['example.net', 'example.org']])
    expect(readFileSync(join(into, 'decoymx.yaml'), 'utf8')).toContain('# The primary decoy: the MX with the lowest')
    expect(readdirSync(into).toSorted()).toEqual(['decoymx.yaml', 'rules.yaml'])
    expect(told).toContain('Nothing is started')
  })

  test.each(['decoymx.yaml', 'rules.yaml'])('the comments of %s stand where deploy/ has them', async (name) => {
    const comments = (text: string) => text.split('\n').filter((line) => /^ *#(?! yaml-language-server)/.test(line))
    const shipped = comments(readFileSync(join(import.meta.dirname, '../../deploy', name), 'utf8'))
    expect(shipped.length).toBeGreaterThan(10)
    expect(comments(readFileSync(join((await runInit(GOOD)).into, name), 'utf8'))).toEqual(shipped)
  })

  test('without a primary the rules that excuse by the right walk only observe', async () => {
    const { read } = await runInit({ ...GOOD, primary: 'none' })
    if (!read.ok) throw new Error(JSON.stringify(read.problems))
    const observing = read.rules.list.filter(({ mode }) => mode === 'observe').map(({ name }) => name)
    expect(observing).toEqual(['trap', 'odd-habits', 'false-name', 'backup-first'])
  })

  test.each([
    ['with both decoys', {}],
    ['without a primary', { primary: 'none' }],
    ['without a backup', { backup: 'none' }],
    ['without a backup, of a real MX that is named', { backup: 'none', realMx: '192.0.2.25' }],
  ])('what it writes %s is sound for check --strict, without a word', async (_, words) => {
    const { into } = await runInit({ ...GOOD, ...words })
    const told: string[] = []
    const screen = { colours: picocolors.createColors(false), person: false, width: Infinity, height: 24 }
    const code = await check(
      { state: into, settings: join(into, 'decoymx.yaml'), rules: join(into, 'rules.yaml') },
      {},
      {
        strict: true,
        cases: [],
        json: false,
        screen: { ...screen, print: () => {} },
        errors: { ...screen, print: (line) => told.push(line) },
        now: () => Date.UTC(2026, 10, 28),
      },
    )
    expect([code, told]).toEqual([0, []])
  })

  test('asks for what no flag gave, and again after a mistake', async () => {
    const types = ['nonsense', 'example.net', '192.0.2.66', 'none', '192.0.2.25']
    const { code, told, read } = await runInit({}, { types })
    expect(told).toContain('expected a domain like example.org, got "nonsense"')
    expect(code).toBe(0)
    if (!read.ok) throw new Error(JSON.stringify(read.problems))
    expect(read.settings['real-mx'].greet.map(spellAddress)).toEqual(['192.0.2.25:25'])
  })

  test('asks again where an answer cannot stand beside the others, and keeps those', async () => {
    const types = ['exmaple org', 'example.net, 1foo, a b', 'example.net', '192.0.2.66', ' 192.0.2.66', '192.0.2.67']
    const { code, told, errors, read } = await runInit({}, { types: [...types, '192.0.2.67', 'dns'] })
    expect([code, errors]).toEqual([0, []])
    expect(told.split('\n').filter((line) => line.includes('expected'))).toEqual([
      'expected a domain like example.org, got "exmaple org"',
      'expected a domain like example.org, got "1foo" and "a b"',
      'the backup decoy: expected another address than that of the primary decoy, got 192.0.2.66. If the earlier answer was the slip: "back"',
      'the backup decoy: expected a spare address, got that of the real MX (192.0.2.67), where all mail would go to the decoy. If the earlier answer was the slip: "back"',
    ])
    if (!read.ok) throw new Error(JSON.stringify(read.problems))
    const { primary, backup } = read.settings.decoys
    expect([...primary.listen, ...backup.listen].map(({ host }) => host)).toEqual(['192.0.2.66', '192.0.2.67'])
    // What two flags say is told at the end, and no answer is blamed for it.
    const flags = await runInit({ primary: '192.0.2.66', backup: '192.0.2.66' }, { types: ['example.net', 'dns'] })
    expect([flags.code, flags.errors]).toEqual([
      64,
      ['--backup: expected another address than that of --primary, got 192.0.2.66'],
    ])
    const none = await runInit({ domain: 'example.net', realMx: 'dns' }, { types: ['none', 'none', '192.0.2.67'] })
    expect([none.code, none.told]).toEqual([0, expect.stringContaining('at least one spare address')])
  })

  test('"back" asks the question before again, so that a slip seen later can be mended', async () => {
    const slip = ['example.net', '192.0.2.66', '192.0.2.25', '192.0.2.25', 'Back', '192.0.2.67', '192.0.2.25']
    const mended = await runInit({}, { types: slip })
    expect([mended.code, mended.errors]).toEqual([0, []])
    if (!mended.read.ok) throw new Error(JSON.stringify(mended.read.problems))
    const { decoys, 'real-mx': real } = mended.read.settings
    expect([...decoys.backup.listen, ...real.greet].map(({ host }) => host)).toEqual(['192.0.2.67', '192.0.2.25'])
    // All the way, and no further than to the first; what was given as a flag is neither asked nor called a slip of theirs.
    const far = ['example.com', '192.0.2.67', 'back', 'back', 'example.net', '192.0.2.66', '192.0.2.67', 'dns']
    const all = await runInit({ backup: '192.0.2.67' }, { types: far })
    expect([all.code, all.told.split('\n').filter((line) => line.includes('expected'))]).toEqual([
      0,
      [
        '--backup: expected another address than that of the primary decoy, got 192.0.2.67',
        'expected a domain like example.org, got "back"',
        '--backup: expected a spare address, got that of the real MX (192.0.2.67), where all mail would go to the decoy',
      ],
    ])
    if (!all.read.ok) throw new Error(JSON.stringify(all.read.problems))
    expect([all.read.rules.domains, all.read.settings.decoys.primary.listen.map(spellAddress)]).toEqual([
      ['example.net'],
      ['192.0.2.66:25'],
    ])
    // Whoever says nothing else is not listened to for ever.
    const round = Array.from({ length: 100 }, () => ['example.net', 'back']).flat()
    expect((await runInit({}, { types: round })).code).toBe(64)
  })

  test('an input that ends, or says the same nonsense again, leaves what is missing told by its flag', async () => {
    const ended = await runInit({}, { types: ['example.net'] })
    expect([ended.code, ended.errors.map((error) => error.split(':')[0])]).toEqual([
      64,
      ['--primary', '--backup', '--real-mx'],
    ])
    const { domain: _, ...rest } = GOOD
    const stubborn = await runInit(rest, { types: ['a', 'a', 'a', 'a'] })
    expect([stubborn.code, stubborn.errors.length]).toEqual([64, 1])
    expect(readdirSync(stubborn.into)).toEqual([])
  })

  test('an address is one however it is spelled, and one that no sender can call is no spare one', async () => {
    const types = ['127.0.0.1', '2001:DB8:0::1', '2001:db8::1', '::1', '::ffff:192.0.2.67', 'dns']
    const { code, told, read } = await runInit({ domain: 'example.net' }, { types })
    expect(code).toBe(0)
    expect(told.split('\n').filter((line) => line.includes('expected'))).toEqual([
      expect.stringMatching(
        /^expected a spare address that senders can call, got a loopback address \(127\.0\.0\.1\); to try/,
      ),
      'the backup decoy: expected another address than that of the primary decoy, got 2001:db8::1. If the earlier answer was the slip: "back"',
      expect.stringMatching(/got a loopback address \(::1\)/),
    ])
    if (!read.ok) throw new Error(JSON.stringify(read.problems))
    const { primary, backup } = read.settings.decoys
    expect([...primary.listen, ...backup.listen].map(({ host }) => host)).toEqual(['2001:db8::1', '192.0.2.67'])
    const flags = await runInit({ ...GOOD, primary: '192.0.2.66', backup: '0.0.0.0', realMx: '::ffff:192.0.2.66' })
    expect([flags.code, flags.errors]).toEqual([
      64,
      [expect.stringMatching(/^--backup: .* got the address of no host/)],
    ])
    // The real MX may be on this very host; one behind a NAT has a private address.
    expect((await runInit({ ...GOOD, primary: '10.1.2.3', realMx: '127.0.0.1' })).code).toBe(0)
  })

  test('decoys on a high port, and a port that this user may not open', async () => {
    const high = await runInit({ ...GOOD, realMx: '192.0.2.25' }, { port: 2525 })
    if (!high.read.ok) throw new Error(JSON.stringify(high.read.problems))
    const { decoys, 'real-mx': real } = high.read.settings
    expect([...decoys.primary.listen, ...decoys.backup.listen, ...real.greet].map(({ port }) => port)).toEqual([
      2525, 2525, 25,
    ])
    expect(high.told.replace(/\s+/g, ' ')).toContain('as nftables can: dnat to 192.0.2.66:2525')
    expect((await runInit(GOOD)).told).not.toContain('nftables')
    const told = (await runInit(GOOD, { mayOpen: false })).told.replace(/\s+/g, ' ')
    expect(told).toContain('This user may not open port 25')
    expect(told).toContain('--port 2525')
    const host = (start: string, caps: string) => (file: string) =>
      file.endsWith('status') ? `Name:\tnode\nCapEff:\t${caps}\n` : start
    expect(mayOpenPort(25, host('1024\n', '0000000000000000'))).toBe(false)
    expect(mayOpenPort(25, host('1024\n', '0000000000000400'))).toBe(true)
    expect(mayOpenPort(25, host('25\n', '0000000000000000'))).toBe(true)
    expect(mayOpenPort(2525, host('1024\n', '0000000000000000'))).toBe(true)
  })

  test('every mistake at once, and nothing is written', async () => {
    const alone = await runInit({ domain: 'foo', primary: '1.2.3', backup: 'none', realMx: 'mail' })
    expect(alone.errors).toEqual([
      '--domain: expected a domain like example.org, got "foo"',
      '--primary: expected an IP address or none, got "1.2.3": an IPv4 address has four numbers, and this has 3',
      '--real-mx: expected an IP address or dns, got "mail"',
    ])
    const together = await runInit({ ...GOOD, primary: '192.0.2.1', backup: '192.0.2.1', realMx: '192.0.2.1' })
    expect(together.errors).toEqual([
      '--backup: expected another address than that of --primary, got 192.0.2.1',
      expect.stringMatching(/^--primary: expected a spare address, got that of the real MX/),
      expect.stringMatching(/^--backup: expected a spare address, got that of the real MX/),
    ])
    const nothing = await runInit({ ...GOOD, primary: 'none', backup: 'none' })
    expect(nothing.errors).toEqual([expect.stringContaining('at least one spare address')])
    expect([alone, together, nothing].flatMap(({ into }) => readdirSync(into))).toEqual([])
  })

  test('a file that is there stays, unless forced; a folder that cannot be is told', async () => {
    const into = folder()
    writeFileSync(join(into, 'rules.yaml'), 'mine')
    const refused = await runInit(GOOD, { into })
    expect([refused.code, refused.errors]).toEqual([1, [`there already: ${join(into, 'rules.yaml')}`]])
    expect(existsSync(join(into, 'decoymx.yaml'))).toBe(false)
    expect((await runInit(GOOD, { into, force: true })).read.ok).toBe(true)
    const nowhere = await runInit(GOOD, { into: join(into, 'rules.yaml', 'below') })
    expect([nowhere.code, nowhere.errors[0]]).toEqual([1, expect.stringContaining('cannot be written: ENOTDIR')])
  })
})
