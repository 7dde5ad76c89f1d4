/**
 * The kernel's half of the primary, with real nftables, real sockets and a packet capture, in namespaces of our own: what
 * strangers and suspects get, what is told of it, and that nothing else on the host is touched.
 */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import type { ClientView } from '../../src/answer/views.ts'
import type { Finding } from '../../src/command/health/finding.ts'
import { type Evidence, fromLine } from '../../src/core/evidence.ts'
import type { KernelState } from '../../src/decoy/kernel.ts'
import { Internet, noNamespaces, type Place } from '../namespaces.ts'
import { type Appliance, type Ended, startAppliance } from './appliance.ts'

const missing = inject('missing')
const hindered = (['ip', 'nft', 'tcpdump'] as const).some((program) => missing.includes(program))
  ? 'ip, nft or tcpdump is missing'
  : noNamespaces()
if (hindered !== undefined && process.env['CI']) throw new Error(hindered)
if (hindered !== undefined) process.stderr.write(`\nSkipped, test/e2e/kernel: ${hindered}\n`)

const PRIMARY = { 4: '192.0.2.66', 6: '2001:db8:66::66' }
const BACKUP = '192.0.2.67'
const STRANGER = '198.51.100.7'
const STRANGER6 = '2001:db8:7::7'
const BOT = '198.51.100.8'
const BOT6_NEIGHBOUR = '2001:db8:8::9'
const SUSPECT = '198.51.100.9'
const IN_NETWORK = '203.0.113.5'
const OTHERS = ['198.51.100.20', '198.51.100.21', '198.51.100.22', '198.51.100.23', '198.51.100.24']
const EVERYONE = [STRANGER, STRANGER6, BOT, BOT6_NEIGHBOUR, SUSPECT, IN_NETWORK, ...OTHERS]

const PREFIXED = {
  decoys: {
    primary: { listen: ['0.0.0.0:25'], proxy: [], prefixes: ['192.0.2.64/28', '192.0.2.64/29'], kernel: true },
    backup: { listen: ['0.0.0.0:25'], proxy: [], prefixes: [BACKUP] },
  },
}

/** A client that talks first at the backup is deferred, and nothing more. */
const RULES = (mode: string) => `
mode: ${mode}
domains: [example.net]
thresholds: { observe: 20, defer: 70, block: 100 }
stands: { observe: 6h, defer: 1h, block: 24h }
rules:
  - { name: talks-first, counts: backup.early-talk, weight: 80, half-life: 1d, window: 7d, because: cannot wait }
`
const FOREIGN = `table inet foreign {
  set friends { type ipv4_addr; elements = { 198.51.100.77 } }
  chain input {
    type filter hook input priority filter; policy accept;
    ip saddr @friends counter accept
  }
}
table ip decoymx {
  chain other {
    tcp dport 2525 drop
  }
}
`

describe.skipIf(hindered !== undefined)('the kernel at the primary', () => {
  const internet = new Internet()
  let [host, outside]: Place[] = []
  let folder: string
  let appliance: Appliance
  let foreign: string

  const start = (extra: object = {}, launch: string[] = []) =>
    startAppliance({
      folder,
      rules: join(folder, 'rules.yaml'),
      launch: ['ip', 'netns', 'exec', host!.name, ...launch],
      settings: {
        decoys: {
          primary: { listen: [`${PRIMARY[4]}:25`, `[${PRIMARY[6]}]:25`], proxy: [], kernel: true },
          backup: { listen: [`${BACKUP}:25`], proxy: [] },
          limits: { 'suspect-hold': '1s' },
        },
        log: 'debug',
        ...extra,
      },
    })
  const files = () => ['--settings', join(folder, 'decoymx.yaml'), '--rules', join(folder, 'rules.yaml')]
  const kernel = async (action = 'status') =>
    JSON.parse((await appliance.decoymx('kernel', action, '--json')).stdout) as KernelState
  const view = async (ip: string) => JSON.parse((await appliance.decoymx('why', ip, '--json')).stdout) as ClientView
  /** What is told is in the journal first, and in the store a moment later. */
  const counted = (ip: string, contacts: number) =>
    expect.poll(async () => (await view(ip)).contacts!.primary).toBe(contacts)
  /** All that the filter holds beside our table. */
  const beside = async () => {
    const all = await host!.run('nft', 'list', 'ruleset')
    return all.replace(/table inet decoymx \{\n(?:\t.*\n|\n)*\}\n?/, '')
  }
  /** The kernel does what the decisions say, after this line of the log. */
  const followed = (line: string, mark: number) =>
    appliance.heard(new RegExp(`${line}[^]*"kernel: follows the decisions"`), mark)
  const said = async (word: 'allow' | 'block' | 'release', target: string): Promise<Ended> => {
    const mark = appliance.mark()
    const ended = await appliance.decoymx(word, target, '--because', 'a test')
    expect(ended.code).toBe(0)
    await followed(`decision: [^"]*${target}`, mark)
    return ended
  }

  beforeAll(async () => {
    ;[host, outside] = [await internet.place('decoy'), await internet.place('outside')]
    const hosts = ['192.0.2.66/24', '192.0.2.67/24', '2001:db8:66::66/64']
    const end = await internet.join(host, hosts, outside, ['192.0.2.1/24', '2001:db8:66::1/64'])
    await host.run('ip', 'route', 'add', 'default', 'via', '192.0.2.1')
    await host.run('ip', '-6', 'route', 'add', 'default', 'via', '2001:db8:66::1')
    for (const ip of EVERYONE) {
      const address = ip.includes(':') ? [`${ip}/128`, 'dev', end, 'nodad'] : [`${ip}/32`, 'dev', end]
      await outside.run('ip', 'address', 'add', ...address)
    }
    await host.feed(FOREIGN, 'nft', '-f', '-')
    folder = await mkdtemp(join(tmpdir(), 'dmx-kernel-'))
    writeFileSync(join(folder, 'rules.yaml'), RULES('enforce'))
    foreign = await beside()
    appliance = await start()
  })

  afterAll(async () => {
    await appliance?.clear()
    await internet[Symbol.asyncDispose]()
    if (folder) await rm(folder, { recursive: true, force: true })
  })

  test.each([
    ['IPv4', STRANGER, PRIMARY[4], 'refused by the kernel'],
    ['IPv6', STRANGER6, PRIMARY[6], 'refused by the kernel (its /64)'],
  ])('a stranger gets a reset to its SYN, and its contact is known: %s', async (_, ip, decoy, detail) => {
    const capture = await captured(host!, ip)
    const mark = appliance.mark()
    expect(await knock(outside!, ip, decoy)).toMatchObject({ outcome: 'ECONNREFUSED' })
    await capture.until(/\[R\.\]/)
    expect(await capture.flags()).toEqual(['S', 'R.'])

    await appliance.heard(/seen: primary contact/, mark)
    await counted(ip, 1)
    expect((await view(ip)).contacts).toMatchObject({ primary: 1, backup: 0 })
    const [evidence] = journalled(folder, ip)
    expect(evidence).toMatchObject({
      role: 'primary',
      kind: 'contact',
      detail,
      where: ip.includes(':') ? `[${decoy}]:25` : `${decoy}:25`,
    })
  })

  test('what it did once is told once; what it does again, again', async () => {
    const mark = appliance.mark()
    const [first, second] = [OTHERS[0]!, OTHERS[1]!]
    await knock(outside!, first, PRIMARY[4])
    await appliance.heard(new RegExp(`"${first}".*seen: primary contact`), mark)
    const later = appliance.mark()
    await knock(outside!, second, PRIMARY[4])
    await knock(outside!, second, PRIMARY[4])
    await appliance.heard(new RegExp(`"${second}".*seen: primary contact`), later)
    await counted(first, 1)
    // In two steps, where the kernel was looked at between the two.
    await counted(second, 2)
    await knock(outside!, first, PRIMARY[4])
    await appliance.heard(new RegExp(`"${first}".*seen: primary contact`), later)
    await counted(first, 2)
  })

  test.each([
    ['IPv4', `${BOT}/32`, BOT, PRIMARY[4]],
    ['IPv6, from another address of its /64', '2001:db8:8::/64', BOT6_NEIGHBOUR, PRIMARY[6]],
  ])('who is blocked is let in and held, and refused once released: %s', async (_, blocked, ip, decoy) => {
    await said('block', blocked)
    const capture = await captured(host!, ip)
    expect(await knock(outside!, ip, decoy)).toMatchObject({ outcome: 'talked to', said: '220-' })
    await capture.until(/\[S\.\]/)
    expect((await capture.flags()).slice(0, 2)).toEqual(['S', 'S.'])
    await said('release', blocked)
    expect(await knock(outside!, ip, decoy)).toMatchObject({ outcome: 'ECONNREFUSED' })
  })

  test('who is allowed is refused as a stranger is, also inside a blocked network', async () => {
    await said('block', '203.0.113.0/24')
    expect(await knock(outside!, IN_NETWORK, PRIMARY[4])).toMatchObject({ outcome: 'talked to' })
    await appliance.decoymx('allow', IN_NETWORK, '--because', 'a test')
    // The kernel lets the network in; the decoy knows better.
    expect(await knock(outside!, IN_NETWORK, PRIMARY[4])).toMatchObject({ outcome: 'ECONNRESET' })
    await said('release', IN_NETWORK)
    await said('release', '203.0.113.0/24')
    expect(await knock(outside!, IN_NETWORK, PRIMARY[4])).toMatchObject({ outcome: 'ECONNREFUSED' })
  })

  test('who is deferred is let in, kept in silence, and reset; in mode observe nobody is let in', async () => {
    const mark = appliance.mark()
    await knock(outside!, SUSPECT, BACKUP, 'EHLO suspect.example\r\n')
    await followed(`decision: defer ${SUSPECT}`, mark)
    const held = await knock(outside!, SUSPECT, PRIMARY[4])
    expect(held).toMatchObject({ outcome: 'ECONNRESET', said: '' })
    expect(held.ms).toBeGreaterThan(900)

    for (const [mode, outcome] of [
      ['observe', 'ECONNREFUSED'],
      ['enforce', 'ECONNRESET'],
    ] as const) {
      writeFileSync(join(folder, 'rules.yaml'), RULES(mode))
      const reloaded = appliance.mark()
      appliance.signal('SIGHUP')
      await followed(`mode ${mode}`, reloaded)
      expect(await knock(outside!, SUSPECT, PRIMARY[4])).toMatchObject({ outcome })
    }
  })

  test('a table that somebody flushes or changes stands again, with its suspects', async () => {
    await said('block', BOT)
    for (const [deed, why] of [
      [['delete', 'table', 'inet', 'decoymx'], 'removed'],
      [['flush', 'chain', 'inet', 'decoymx', 'knock4'], 'changed'],
    ] as const) {
      const mark = appliance.mark()
      await host!.run('nft', ...deed)
      await appliance.heard(new RegExp(`kernel: our table was ${why} by somebody else; it stands again`), mark)
      expect(await knock(outside!, STRANGER, PRIMARY[4])).toMatchObject({ outcome: 'ECONNREFUSED' })
      expect(await knock(outside!, BOT, PRIMARY[4])).toMatchObject({ outcome: 'talked to' })
    }
    expect(await kernel()).toMatchObject({ state: 'on', repairs: 2, suspects: { 4: 2, 6: 0 } })
  })

  test('it outlives a crash: strangers are refused meanwhile, and what they did is told, once, by the next start', async () => {
    const ip = OTHERS[2]!
    await appliance.crash()
    expect(await knock(outside!, ip, PRIMARY[4])).toMatchObject({ outcome: 'ECONNREFUSED' })
    appliance = await start()
    await appliance.heard(new RegExp(`"${ip}".*seen: primary contact`))
    await counted(ip, 1)
    expect(await knock(outside!, BOT, PRIMARY[4])).toMatchObject({ outcome: 'talked to' })

    expect(await appliance.end()).toBe(0)
    expect(await host!.run('nft', 'list', 'table', 'inet', 'decoymx')).toContain(BOT)
    appliance = await start()
    expect((await view(ip)).contacts!.primary).toBe(1)
    expect(journalled(folder, ip)).toHaveLength(1)
    expect(await knock(outside!, BOT, PRIMARY[4])).toMatchObject({ outcome: 'talked to' })
    expect(await beside()).toBe(foreign)
  })

  test('full of whom it refused, it refuses all the same, and says so', async () => {
    const crowd = Array.from({ length: 16_384 }, (_, i) => `10.9.${i >> 8}.${i & 255} counter packets 1 bytes 60`)
    const mark = appliance.mark()
    await host!.feed(`add element inet decoymx refused4 { ${crowd.join(', ')} }`, 'nft', '-f', '-')
    expect(await knock(outside!, OTHERS[3]!, PRIMARY[4])).toMatchObject({ outcome: 'ECONNREFUSED' })
    await appliance.heard(/more clients were refused than can be remembered/, mark)
    await host!.run('nft', 'flush', 'set', 'inet', 'decoymx', 'refused4')
  })

  test('the doctor proves that it works, and says where it does not', async () => {
    const doctor = async () => {
      const { stdout, code } = await appliance.decoymx('doctor', '--json', ...files())
      const { findings } = JSON.parse(stdout) as { findings: Finding[] }
      return { code, of: (check: string) => findings.filter((each) => each.check === check), findings }
    }
    const well = await doctor()
    expect(well.of('kernel')).toEqual(
      [`${PRIMARY[4]}:25`, `[${PRIMARY[6]}]:25`].map((place) => ({
        check: 'kernel',
        level: 'ok',
        seen: expect.stringContaining(`refuses a stranger at ${place}, tells of it after `) as string,
        next: null,
      })),
    )
    expect(well.of('dnsbl')).toMatchObject([{ level: 'ok' }])
    expect(well.of('listeners')).toMatchObject([{ level: 'ok' }])
    // Nobody looks at the real MX here.
    expect(well.findings.filter(({ level }) => level !== 'ok').map(({ check }) => check)).toContain('witness')
    expect(well.code).toBe(1)
    expect(await host!.run('nft', 'list', 'set', 'inet', 'decoymx', 'suspects6')).not.toContain('elements')

    await host!.feed(
      'table inet breaker {\nchain input {\ntype filter hook input priority filter; tcp dport 25 drop\n}\n}',
      'nft',
      '-f',
      '-',
    )
    const ill = await doctor()
    await host!.run('nft', 'delete', 'table', 'inet', 'breaker')
    expect(ill.of('kernel').map(({ level, seen }) => [level, seen])).toEqual([
      ['fail', `a stranger at ${PRIMARY[4]}:25 was not refused: no answer`],
      ['fail', `a stranger at [${PRIMARY[6]}]:25 was not refused: no answer`],
    ])
    expect(ill.code).toBe(2)
  })

  test('off removes our table and no other, on puts it there again; status and metrics tell', async () => {
    const counted = await kernel()
    expect(counted).toMatchObject({ state: 'on', addresses: [`${PRIMARY[4]}:25`, `[${PRIMARY[6]}]:25`], error: null })
    expect(counted.touches).toBeGreaterThan(0)
    const shown = await appliance.decoymx('kernel', 'status')
    expect(shown.stdout).toMatch(/^family\tsuspects\tblocked networks\trefused\tlet in$/m)
    expect(shown.code).toBe(0)
    expect((await appliance.decoymx('status')).stdout).toContain('refuses strangers at the primary')

    expect(await kernel('off')).toMatchObject({ state: 'off' })
    const status = await appliance.decoymx('status')
    expect(status.stdout).toContain('the kernel was told to refuse nobody, though the settings want it')
    await expect(host!.run('nft', 'list', 'table', 'inet', 'decoymx')).rejects.toThrow('No such file')
    expect(await beside()).toBe(foreign)
    expect(await knock(outside!, STRANGER, PRIMARY[4])).toMatchObject({ outcome: 'ECONNRESET' })

    expect(await kernel('on')).toMatchObject({ state: 'on' })
    expect(await knock(outside!, STRANGER, PRIMARY[4])).toMatchObject({ outcome: 'ECONNREFUSED' })
    expect(await beside()).toBe(foreign)
  })

  test('without an appliance off removes what it left', async () => {
    await appliance.end()
    const left = await appliance.decoymx('kernel', 'status')
    expect(left.code).toBe(1)
    expect(left.stdout).toMatch(
      /^left behind  no decoymx is running on \S+, and the table inet decoymx still refuses strangers at 192\.0\.2\.66:25, \[2001:db8:66::66\]:25 \(\d+ connections? so far\).*kernel off removes it$/m,
    )
    expect(JSON.parse((await appliance.decoymx('kernel', 'status', '--json')).stdout)).toMatchObject({
      state: 'left-behind',
      addresses: [`${PRIMARY[4]}:25`, `[${PRIMARY[6]}]:25`],
    })
    const found = async () => {
      const { findings } = JSON.parse((await appliance.decoymx('doctor', '--json')).stdout) as { findings: Finding[] }
      return findings.filter(({ check }) => check === 'kernel')
    }
    expect(await found()).toEqual([
      {
        check: 'kernel',
        level: 'warn',
        seen: expect.stringMatching(
          /^the table inet decoymx still refuses strangers at 192\.0\.2\.66:25, \S+ \(\d+ connections? so far\)/,
        ) as string,
        next: expect.stringMatching(/decoymx kernel off removes it$/) as string,
      },
    ])
    const off = await appliance.decoymx('kernel', 'off', '--json')
    expect(JSON.parse(off.stdout)).toEqual({ state: 'off', removed: true })
    expect(await found()).toEqual([])
    expect(await beside()).toBe(foreign)
    expect(JSON.parse((await appliance.decoymx('kernel', 'off', '--json')).stdout)).toEqual({
      state: 'off',
      removed: false,
    })
    const none = await appliance.decoymx('kernel', 'status')
    expect([none.code, none.stdout]).toEqual([1, ''])
    expect(none.stderr).toMatch(/^error  no decoymx is running on /)
    expect(none.stderr).not.toContain('table')
  })

  test('of a prefix that is the primary it refuses at every address but those that are the backup', async () => {
    appliance = await start(PREFIXED)
    expect(await kernel()).toMatchObject({ addresses: ['192.0.2.64/28:25', '192.0.2.64/29:25'] })
    await appliance.crash()
    const left = JSON.parse((await appliance.decoymx('kernel', 'status', '--json')).stdout) as KernelState
    expect(left.addresses).toEqual(['192.0.2.64/28:25'])
    appliance = await start({
      ...PREFIXED,
      decoys: { ...PREFIXED.decoys, primary: { ...PREFIXED.decoys.primary, kernel: false } },
    })
    const off = await appliance.decoymx('kernel', 'status')
    expect([off.code, off.stdout]).toEqual([
      1,
      expect.stringMatching(/^left behind  the appliance refuses nobody by the kernel, and the table/),
    ])
    await appliance.end()
    appliance = await start(PREFIXED)
    expect(await knock(outside!, STRANGER, PRIMARY[4])).toMatchObject({ outcome: 'ECONNREFUSED' })
    const greeting = expect.stringMatching(/^220/) as string
    expect(await knock(outside!, STRANGER, BACKUP)).toMatchObject({ outcome: 'talked to', said: greeting })
    await kernel('off')
    await appliance.end()
  })

  test('without the right it says so, and the decoy accepts and resets', async () => {
    appliance = await start({}, ['setpriv', '--bounding-set=-net_admin'])
    await appliance.heard(/CAP_NET_ADMIN.*kernel: cannot refuse strangers/)
    expect(await kernel()).toMatchObject({ state: 'failed', error: expect.stringContaining('CAP_NET_ADMIN') as string })
    expect(await knock(outside!, STRANGER, PRIMARY[4])).toMatchObject({ outcome: 'ECONNRESET' })
    const status = await appliance.decoymx('status')
    expect(status.code).toBe(1)
    expect(status.stdout).toContain('the kernel cannot refuse strangers at the primary')
  })
})

type Knock = { readonly outcome: string; readonly said: string; readonly ms: number }

/** One connection to port 25: until it ends, or something is said to it. */
async function knock(place: Place, from: string, to: string, early = ''): Promise<Knock> {
  return JSON.parse(await place.run(process.execPath, '-e', CLIENT, from, to, early)) as Knock
}

const CLIENT = `
  const [from, to, early] = process.argv.slice(1)
  const since = performance.now()
  const socket = require('node:net').connect({ host: to, port: 25, localAddress: from })
  const tell = (outcome, said = '') => {
    console.log(JSON.stringify({ outcome, said, ms: performance.now() - since }))
    process.exit()
  }
  if (early) socket.write(early)
  socket.on('error', (error) => tell(error.code))
  socket.on('data', (bytes) => tell('talked to', bytes.toString()))
  socket.on('end', () => tell('FIN'))
  setTimeout(tell, 15000, 'nothing happened')
`

type Capture = { readonly until: (pattern: RegExp) => Promise<void>; readonly flags: () => Promise<string[]> }

/** The packets between this client and port 25, as tcpdump tells them. */
async function captured(place: Place, ip: string): Promise<Capture> {
  const filter = `host ${ip} and tcp port 25`
  const words = ['-i', 'any', '-n', '-l', '--immediate-mode', filter]
  const child: ChildProcess = place.spawn('tcpdump', words, { stdio: ['ignore', 'pipe', 'pipe'] })
  const lines: string[] = []
  let look = () => {}
  createInterface({ input: child.stdout! }).on('line', (line) => (lines.push(line), look()))
  for await (const line of createInterface({ input: child.stderr! })) if (line.startsWith('listening on')) break
  const ended = once(child, 'close')
  return {
    until: (pattern) =>
      new Promise((resolve) => {
        look = () => lines.some((line) => pattern.test(line)) && resolve()
        look()
      }),
    async flags() {
      child.kill('SIGINT')
      await ended
      return lines.flatMap((line) => /Flags \[([^\]]+)\]/.exec(line)?.[1] ?? [])
    },
  }
}

/** What the journal tells of the contacts of this client, or of its /64. */
function journalled(folder: string, ip: string): Evidence[] {
  const path = join(folder, 'state/journal')
  const client = ip.includes(':') ? ip.replace(/::.*$/, '::') : ip
  return readdirSync(path)
    .filter((name) => name.endsWith('.jsonl'))
    .flatMap((name) => readFileSync(join(path, name), 'utf8').split('\n'))
    .flatMap((line) => fromLine(line)?.event ?? [])
    .filter((event) => event.type === 'evidence')
    .filter((event) => event.client === client && event.kind === 'contact')
}
