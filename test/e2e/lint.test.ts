/**
 * lint and plan about layouts that a real name server (NSD) serves, and about the same zone files as files: test/layouts/ has
 * one for each danger; its second line says what to expect, the exit code and the codes.
 */
import { execFileSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import packet from 'dns-packet'
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from 'vitest'
import { lintDomain } from '../../src/command/lint.ts'
import { planDomain, type PlanWords } from '../../src/command/plan.ts'
import { screenOf } from '../../src/console/terminal.ts'
import { spellProblem } from '../../src/core/document.ts'
import type { Finding } from '../../src/core/dangers.ts'
import type { Plan } from '../../src/core/plan.ts'
import { readZoneFile } from '../../src/core/zone-file.ts'
import { folder } from '../folders.ts'
import { noNamespaces } from '../namespaces.ts'
import { startNsd } from '../nsd.ts'
import { runToEnd } from './appliance.ts'

const LAYOUTS = join(import.meta.dirname, '../layouts')
const hindered = inject('missing').includes('ip') ? 'ip is missing' : noNamespaces()
if (hindered !== undefined && process.env['CI']) throw new Error(hindered)
if (hindered !== undefined) process.stderr.write(`\nSkipped, test/e2e/lint, no route: ${hindered}\n`)

/** What is true of every example: its addresses are made up, its TTLs have a length, its primary refuses. */
const ALWAYS = new Set(['AD06', 'TT01', 'ST01'])

type Layout = {
  readonly name: string
  readonly domain: string
  readonly file: string
  readonly exit: number
  readonly codes: readonly string[]
  readonly words: PlanWords
}

const layouts = readdirSync(LAYOUTS)
  .filter((file) => file.endsWith('.zone'))
  .map((name): Layout => {
    const file = join(LAYOUTS, name)
    const text = readFileSync(file, 'utf8')
    const domain = name.replace('.zone', '.test')
    const [exit = '', ...codes] = (/^; expect (.*)$/m.exec(text)?.[1] ?? '').split(' ')
    const told = /^; primary (.*)$/m.exec(text)?.[1]?.split(' ')
    const there = (host: string) => new RegExp(`MX \\d+ ${host}$`, 'm').test(text)
    const primary = (told ?? ['mx0'].filter(there)).map((host) => `${host}.${domain}`)
    const backup = ['mx9'].filter(there).map((host) => `${host}.${domain}`)
    const sts = text.includes('\n; sts\n') ? { sts: file.replace('.zone', '.txt') } : {}
    const words = { primary, backup, ...sts }
    return { name, domain, file, exit: Number(exit), codes, words }
  })

function screen() {
  const lines: string[] = []
  const stream = { isTTY: false, write: (text: string) => lines.push(text) } as unknown as NodeJS.WriteStream
  return { ...screenOf(stream, {}), text: () => lines.join('') }
}

async function linted(
  domain: string,
  words: PlanWords,
): Promise<{ exit: number; findings: Finding[]; codes: string[] }> {
  const [out, errors] = [screen(), screen()]
  const problems = (all: unknown) => errors.print(JSON.stringify(all))
  const exit = await lintDomain(domain, words, {}, { json: true, screen: out, errors, problems })
  const text = out.text()
  const findings = text === '' ? [] : (JSON.parse(text) as { findings: Finding[] }).findings
  return { exit, findings, codes: [...new Set(findings.map(({ code }) => code))].filter((code) => !ALWAYS.has(code)) }
}

describe.skipIf(inject('missing').includes('nsd'))('asked of a name server', () => {
  const folder = mkdtempSync(join(tmpdir(), 'dmx-nsd-'))
  let server: Awaited<ReturnType<typeof startNsd>>
  const at = () => ({ server: `${server.host}:${server.port}` })

  beforeAll(async () => {
    const crowd = Array.from(
      { length: 80 },
      (_, i) => `@ IN MX 20 exchange-number-${i}\nexchange-number-${i} A 192.0.2.25`,
    )
    const head = '$TTL 1h\n@ IN SOA ns1.name-server.test. hostmaster 1 1h 15m 1w 5m\n IN NS ns1.name-server.test.\n'
    writeFileSync(join(folder, 'crowded.zone'), `${head}@ IN MX 5 mx0\nmx0 IN A 192.0.2.66\n${crowd.join('\n')}\n`)
    writeFileSync(join(folder, 'reverse.zone'), `${head}25 IN PTR mx1.good.test.\n66 IN PTR mx1.good.test.\n`)
    server = await startNsd(
      {
        ...Object.fromEntries(layouts.map(({ domain, file }) => [domain, file])),
        'crowded.test': join(folder, 'crowded.zone'),
        '2.0.192.in-addr.arpa': join(folder, 'reverse.zone'),
      },
      folder,
    )
  })

  afterAll(async () => {
    await server?.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  test.each(layouts)('$name', async ({ domain, exit, codes, words }) => {
    const lint = await linted(domain, { ...words, ...at() })
    expect(lint).toMatchObject({ exit, codes: expect.arrayContaining([...codes]) as string[] })
    expect(lint.codes.filter((code) => code !== 'AD09').toSorted()).toEqual(codes.toSorted())
  })

  test('reverse names that are not there, or lead elsewhere, are noted', async () => {
    const { findings } = await linted('good.test', { ...at(), primary: ['mx0.good.test'], backup: ['mx9.good.test'] })
    expect(findings.filter(({ code }) => code === 'AD09').map(({ about, seen }) => `${about} ${seen}`)).toEqual([
      'mx0.good.test 192.0.2.66: its reverse name mx1.good.test does not lead back to it',
      'mx9.good.test 192.0.2.67: it has no reverse name',
    ])
  })

  test('an answer too long for UDP is fetched over TCP; of eighty exchanges the first twenty are looked at, and it is said', async () => {
    const { exit, findings } = await linted('crowded.test', { ...at(), primary: ['mx0.crowded.test'] })
    expect(findings.filter(({ code }) => code === 'DN02')).toMatchObject([
      { level: 'unknown', seen: '81 exchanges; the first 20 were looked at' },
    ])
    expect(exit).toBe(3)
  })

  test('as a person runs it: tab-separated lines in a pipe, and the exit code', async () => {
    const words = ['lint', 'equal-preference.test', '--server', `${server.host}:${server.port}`]
    const named = ['--primary', 'mx0.equal-preference.test', '--backup', 'mx9.equal-preference.test']
    const { code, stdout } = await runToEnd('node', ['src/start.js', ...words, ...named])
    expect(code).toBe(2)
    const [heads, first] = stdout.split('\n')
    expect(heads).toBe('level\tcode\tabout\tseen\tfix\twhere')
    expect(first).toBe(
      'error\tMX04\tmx0.equal-preference.test\tit and mx1.equal-preference.test both have 20\tgive the primary decoy a lower number than every real MX, the backup decoy a higher one\t',
    )
  })

  test('decoys are known by the addresses of the settings', async () => {
    const file = join(folder, 'decoymx.yaml')
    const decoys = { primary: { listen: ['192.0.2.66:25'] }, backup: { listen: ['192.0.2.67:25'] } }
    writeFileSync(file, JSON.stringify({ decoys }))
    expect(await linted('good.test', { ...at(), settings: file })).toMatchObject({ exit: 0, codes: ['AD09'] })
  })

  test('plan: what good needs for a backup is nothing; what implicit needs is the real MX first', async () => {
    const planned = async (domain: string, words: PlanWords) => {
      const [out, errors] = [screen(), screen()]
      const exit = await planDomain(
        domain,
        { ...at(), ...words },
        {},
        { json: true, screen: out, errors, problems: () => {} },
      )
      return { exit, said: errors.text(), ...(JSON.parse(out.text()) as Plan & { unmended: Finding[] }) }
    }
    const good = { primary: ['mx0.good.test'], backup: ['mx9.good.test'] }
    expect(await planned('good.test', good)).toMatchObject({ exit: 0, said: '', steps: [], ttlsFromCache: false })
    const wrong = await planned('names.test', { backup: ['mx7.names.test'], backupAddress: ['192.0.2.67'] })
    expect([wrong.exit, wrong.unmended.map(({ code }) => code)]).toEqual([1, ['AD01', 'AD02', 'AD03']])
    expect(wrong.said).toMatch(/^! AD0\d .*No MX record mends that: decoymx lint names\.test$/m)
    expect(await planned('names.test', { primary: ['mx0.names.test'] })).toMatchObject({
      exit: 3,
      obstacles: [expect.stringContaining('mx0.names.test is an alias (CNAME) of host.names.test')],
    })
    const { steps } = await planned('implicit.test', { primary: ['mx0.implicit.test'], primaryAddress: ['192.0.2.66'] })
    expect(steps.flatMap(({ add }) => add.map(({ type, data }) => `${type} ${data}`))).toEqual([
      'A 192.0.2.66',
      'MX 20 implicit.test.',
      'MX 15 mx0.implicit.test.',
      // And at the end all once more, with the TTL that is to stay.
      'MX 15 mx0.implicit.test.',
      'MX 20 implicit.test.',
      'A 192.0.2.66',
    ])
  })
})

describe('read from the zone file', () => {
  test.each(layouts)('$name', async ({ domain, file, exit, codes, words }) => {
    const lint = await linted(domain, { ...words, zone: file })
    expect([lint.exit, ...lint.codes.toSorted()]).toEqual([exit, ...codes.toSorted()])
    expect(lint.findings.filter(({ about, place }) => place && about === domain)).toEqual([])
  })

  test('a finding about a record has its line', async () => {
    const { findings } = await linted('equal-preference.test', {
      zone: join(LAYOUTS, 'equal-preference.zone'),
      primary: ['mx0.equal-preference.test'],
    })
    expect(findings.find(({ code }) => code === 'MX04')).toMatchObject({ place: { line: 6, column: 1 } })
  })

  test.each([
    ['good', 'AD06', [10, 11, 12]],
    ['out-of-reach', 'AD04', [9, 11]],
    ['shared-address', 'AD05', [10]],
    ['primary-aaaa', 'MX09', [9]],
  ])('where an address is wrong, it has the line of its A or AAAA record: %s, %s', async (name, wanted, lines) => {
    const { findings } = await linted(`${name}.test`, {
      zone: join(LAYOUTS, `${name}.zone`),
      primary: [`mx0.${name}.test`],
      backup: name === 'primary-aaaa' ? [] : [`mx9.${name}.test`],
    })
    expect(findings.filter(({ code }) => code === wanted).map(({ place }) => place?.line)).toEqual(lines)
  })

  test('mistakes in it, and in the arguments, are told all at once, and nothing is judged: exit 64, and 3 for its own alone', async () => {
    const file = join(folder(), 'wrong.zone')
    writeFileSync(file, '$TTL soon\n@ IN MX mx0\nmx0 IN A 300.1.2.3\n@ MXX 10 mx1\ngarbage here\n')
    const alone = ['src/start.js', 'lint', 'example.test', '--zone', file]
    expect(await runToEnd('node', alone)).toMatchObject({
      code: 3,
      stderr: expect.stringMatching(/\n5 problems\n$/) as string,
    })
    const { code, stderr } = await runToEnd('node', [...alone, '--primary', 'mx 0', '--server', 'nearby'])
    expect(code).toBe(64)
    expect(stderr.replaceAll(file, 'wrong.zone')).toBe(
      [
        'error  --server: expected an IP address, with a port or without, got "nearby"',
        'error  --primary: expected a host name, got "mx 0"',
        'wrong.zone:1:6: expected a TTL like 3600 or 1h, got "soon"',
        'wrong.zone:2:9: MX: expected a preference from 0 to 65535 and a host name, got "mx0"',
        'wrong.zone:3:10: A: expected an IPv4 address, got "300.1.2.3"',
        'wrong.zone:4:3: expected a record type, like A or MX, got "MXX"',
        '  = did you mean MX?',
        'wrong.zone:5:9: expected a record type, like A or MX, got "here"',
        '7 problems',
        '',
      ].join('\n'),
    )
  })
})

test('plan looks at the name of a decoy to which no MX record leads yet', async () => {
  const zone = join(folder(), 'plan.zone')
  writeFileSync(zone, '$TTL 7200\n@ IN MX 20 mx1\nmx1 IN A 192.0.2.25\nmx9 IN A 192.0.2.68\n')
  const [out, errors] = [screen(), screen()]
  const words = { zone, backup: ['mx9.plan.test'], backupAddress: ['192.0.2.67'] }
  await planDomain('plan.test', words, {}, { json: true, screen: out, errors, problems: () => {} })
  const { steps } = JSON.parse(out.text()) as Plan
  expect(steps[1]).toMatchObject({ remove: [{ type: 'A', data: '192.0.2.68', ttlSeconds: 7200 }], waitSeconds: 7200 })
})

test('plan prints lines that fit on a narrow terminal, and that a name server reads all the same', async () => {
  const zone = join(folder(), 'plan.zone')
  writeFileSync(zone, '$TTL 7200\n@ IN MX 20 mx1\nmx1 IN A 192.0.2.25\n')
  const [out, errors] = [screen(), screen()]
  const address = '2001:db8:1234:5678:9abc:def0:1234:5678'
  const words = { zone, backup: ['mx9.plan.test'], backupAddress: [address] }
  const narrow = { ...out, person: true, width: 60 }
  await planDomain('plan.test', words, {}, { json: false, screen: narrow, errors, problems: () => {} })
  const lines = out.text().split('\n')
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(60)
  const i = lines.findIndex((line) => line.startsWith('   + mx9'))
  const read = readZoneFile('zone', `${lines[i]?.slice(5)}\n${lines[i + 1]}\n`, 'plan.test')
  if (!read.ok) throw new Error(read.problems.map(spellProblem).join('\n'))
  expect(read.records).toMatchObject([{ name: 'mx9.plan.test', type: 'AAAA', ttlSeconds: 300 }])
})

describe.skipIf(inject('missing').includes('nsd'))('a zone file', () => {
  const zones = [...layouts, { domain: 'tricky.test', file: join(LAYOUTS, '../zones/tricky.zone') }]
  const records = (text: string, domain: string) => {
    const read = readZoneFile('zone', text, domain)
    if (!read.ok) throw new Error(read.problems.map(spellProblem).join('\n'))
    return read.records.map(({ name, type, ttlSeconds, data }) => `${name} ${ttlSeconds} ${type} ${data}`).toSorted()
  }

  test.each(zones)('$domain says to us what it says to NSD', ({ domain, file }) => {
    const path = `${process.env['PATH']}:/usr/sbin:/sbin`
    const env = { ...process.env, PATH: path }
    const printed = execFileSync('nsd-checkzone', ['-p', domain, file], { encoding: 'utf8', env })
    const own = records(readFileSync(file, 'utf8'), domain)
    expect(own).toEqual(records(printed, domain))
    expect(own).not.toEqual([])
  })
})

describe('a name server that cannot be trusted', () => {
  /** Answers every question by what `answer` makes of the packet. */
  async function liar(answer: (query: packet.Packet) => packet.Packet | undefined): Promise<string> {
    const socket = createSocket('udp4')
    socket.on('message', (bytes, peer) => {
      const reply = answer(packet.decode(bytes))
      if (reply) socket.send(packet.encode(reply), peer.port, peer.address)
    })
    socket.bind(0, '127.0.0.1')
    await once(socket, 'listening')
    onTestFinished(() => void socket.close())
    return `127.0.0.1:${socket.address().port}`
  }
  const mx = (name: string, exchange: string): packet.Answer => ({
    name,
    type: 'MX',
    ttl: 300,
    data: { preference: 10, exchange },
  })

  test('that is not there: unknown, exit 3, and soon', async () => {
    expect(await linted('example.test', { server: '127.0.0.1:1' })).toMatchObject({
      exit: 3,
      codes: ['DN01'],
      findings: [
        {
          about: 'example.test',
          seen: 'the name server 127.0.0.1 cannot be reached over UDP: nobody listens there (ECONNREFUSED)',
        },
      ],
    })
  })

  test.skipIf(hindered !== undefined)(
    'to which no route leads: one sentence, and what to do next; exit 3',
    async () => {
      const alone = ['--net', 'sh', '-c', 'ip link set lo up && exec "$@"', 'sh']
      const typed = async (command: string) => {
        const words = [command, 'example.test', '--server', '10.255.255.53', '--backup', 'mx9.example.test']
        const { code, stdout, stderr } = await runToEnd('unshare', [...alone, 'node', 'src/start.js', ...words])
        expect(code).toBe(3)
        return `${stdout}${stderr}`.split('\n').filter(Boolean)
      }
      const because =
        'the name server 10.255.255.53 cannot be reached over UDP: this host has no route to it (ENETUNREACH)'
      const next = 'try again, ask another name server with --server IP, or give the zone with --zone FILE'
      expect(await typed('lint')).toEqual([
        'level\tcode\tabout\tseen\tfix\twhere',
        `unknown\tDN01\texample.test\t${because}\t${next}\t`,
      ])
      expect(await typed('plan')).toEqual([
        `no plan  what example.test has now is not known: ${because}`,
        `no plan  what mx9.example.test has now is not known: ${because}`,
        `no plan  ${next}`,
      ])
    },
  )

  test('that answers another question, or with records of another name: not believed', async () => {
    const server = await liar(({ id = 0, questions = [] }) => {
      const [question] = questions
      if (!question) return undefined
      // The MX of somebody else, beside none of the one that was asked for.
      return { type: 'response', id, questions: [question], answers: [mx('else.test', 'mx.else.test')] }
    })
    expect(await linted('example.test', { server })).toMatchObject({ exit: 2, codes: ['MX01'] })
  })

  test('that answers from its cache: a plan says that its waits may be too short', async () => {
    const server = await liar(({ id = 0, questions = [] }) => {
      const answers = questions.flatMap(({ name, type }) =>
        type === 'MX' && name === 'example.test'
          ? [mx(name, 'mx1.example.test')]
          : type === 'A' && name === 'mx1.example.test'
            ? [{ name, type, ttl: 120, data: '192.0.2.25' } as packet.Answer]
            : [],
      )
      return { type: 'response', id, questions, answers }
    })
    const [out, errors] = [screen(), screen()]
    const words = { server, backup: ['mx9.example.test'], backupAddress: ['192.0.2.67'] }
    await planDomain('example.test', words, {}, { json: false, screen: out, errors, problems: () => {} })
    expect(errors.text()).toMatch(
      /^! the TTLs, and so the waits, are what is left of them in a resolver’s cache: .*--server IP/m,
    )
  })

  test('that says that it failed: its word is told', async () => {
    const server = await liar(({ id = 0, questions = [] }) => ({ type: 'response', id, flags: 2, questions }))
    expect((await linted('example.test', { server })).findings).toMatchObject([
      { code: 'DN01', seen: 'the name server 127.0.0.1 says SERVFAIL' },
    ])
  })
})

describe('--probe', () => {
  /** What listens at a port of the loopback addresses that the layout names. */
  async function listening(port: number, host: string, hear: (socket: Socket) => void): Promise<number> {
    const server = createServer((socket) => {
      socket.on('error', () => {})
      hear(socket)
    }).listen(port, host)
    await once(server, 'listening')
    onTestFinished(() => void server.close())
    return (server.address() as { port: number }).port
  }
  const smtp = (rcpt: string) => (socket: Socket) => {
    socket.write('220 here ESMTP\r\n')
    socket.on('data', (bytes) => {
      const line = bytes.toString('latin1')
      if (line.startsWith('QUIT')) socket.end()
      else socket.write(line.startsWith('RCPT') ? rcpt : '250 fine\r\n')
    })
  }

  async function probed(primary: ((socket: Socket) => void) | undefined, backup: (socket: Socket) => void) {
    const zone = join(folder(), 'probe.zone')
    const hosts = 'mx0 IN A 127.0.25.66\nmx1 IN A 127.0.25.25\nmx9 IN A 127.0.25.67\n'
    writeFileSync(zone, `$TTL 300\n@ IN MX 5 mx0\n@ IN MX 20 mx1\n@ IN MX 90 mx9\n${hosts}`)
    const port = await listening(0, '127.0.25.25', smtp('250 never asked\r\n'))
    await listening(port, '127.0.25.67', backup)
    if (primary) await listening(port, '127.0.25.66', primary)
    const words = { zone, primary: ['mx0.probe.test'], backup: ['mx9.probe.test'], probe: true, port }
    const { findings } = await linted('probe.test', words)
    return findings.filter(({ code }) => code.startsWith('PR')).map(({ code, seen }) => `${code} ${seen}`)
  }

  test('refused, put off, taken: nothing to say', async () => {
    expect(await probed(undefined, smtp('451 4.3.0 later\r\n'))).toEqual([])
  })

  test('a primary that talks and a backup that takes or bounces mail are errors', async () => {
    const talks = (socket: Socket) => void socket.write('421 later\r\n')
    expect(await probed(talks, smtp('250 fine\r\n'))).toEqual([
      'PR01 127.0.25.66: greeting: 421 later',
      'PR04 127.0.25.67: takes mail',
    ])
    expect(await probed((socket) => void socket.resetAndDestroy(), smtp('550 nobody\r\n'))).toEqual([
      'PR04 127.0.25.67: greets; refuses us at RCPT: 550 nobody',
      'PR03 127.0.25.66: ECONNRESET',
    ])
  })
})
