/** What we export, read by the programs that it is for: each refuses whom we refuse, and nobody else. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from 'vitest'
import { exportOf } from '../../src/answer/exports.ts'
import type { Decide } from '../../src/reputation/decision.ts'
import { type Ruling, ticketOf } from '../../src/reputation/store.ts'
import { folder } from '../folders.ts'
import { finish } from '../paced.ts'
import { shippedRules } from '../rules.ts'
import { type Appliance, runToEnd, startAppliance, within } from './appliance.ts'
import { obstacle, ownAddress, type Postfix, startPostfix } from './postfix.ts'

const BLOCKED = ['203.0.113.9', '198.51.100.200', '2001:db8:0:1::7']
const PASSED = ['203.0.113.8', '198.51.100.7', '198.51.100.100', '2001:db8:0:2::7']
const TCP_PORT = 10_041
const ZONE = 'bl.example.org'
const DEPLOY = join(import.meta.dirname, '../../deploy')
const missing = inject('missing')

const host = ownAddress()
let appliance: Appliance
let place: string

beforeAll(async () => {
  place = await mkdtemp(join(tmpdir(), 'dmx-readers-'))
  await chmod(place, 0o755)
  appliance = await startAppliance({
    settings: {
      'tcp-table': { listen: [`${host}:${TCP_PORT}`] },
      readsocket: { listen: [`unix:${join(place, 'readsocket.sock')}`] },
    },
  })
  const because = ['--because', 'a bot']
  await appliance.decoymx('block', '203.0.113.9', '--for', '1h', ...because)
  await appliance.decoymx('block', '198.51.100.0/24', ...because)
  await appliance.decoymx('allow', '198.51.100.0/25', ...because)
  await appliance.decoymx('block', '2001:db8:0:1::/64', '--for', '1h', ...because)
})
afterAll(async () => {
  await appliance?.clear()
  await rm(place, { recursive: true, force: true })
})

async function exported(format: string, into = join(place, `list.${format}`)): Promise<string> {
  const { code, stderr } = await appliance.decoymx('export', format, '--out', into)
  if (code !== 0) throw new Error(stderr)
  return into
}

const hindered = missing.includes('postfix') ? 'Postfix is missing' : obstacle()
if (hindered !== undefined && process.env['CI']) throw new Error(hindered)
if (hindered !== undefined) process.stderr.write(`\nSkipped, test/e2e/readers: ${hindered}\n`)

describe.skipIf(hindered !== undefined)('Postfix', () => {
  let postfix: Postfix
  beforeAll(async () => {
    const exports = { cidr: await exported('cidr'), tcp: `${host}:${TCP_PORT}` }
    postfix = await startPostfix({ host, policyPort: 1, zone: 'bl.decoymx.test', exports })
  })
  afterAll(() => postfix?.end())

  test.each(['cidr', 'tcp'] as const)('refuses by its %s table whom we refuse, and nobody else', async (asks) => {
    for (const ip of BLOCKED.filter(isV4)) expect(await postfix.answerTo(asks, ip)).toMatch(/^554 5\.7\.1 .*to ask why/)
    for (const ip of PASSED.filter(isV4)) expect(await postfix.answerTo(asks, ip)).toMatch(/^250 /)
    // The private one takes no IPv6 client; how its tables find one can be asked without it.
    const table = `${asks}:${asks === 'cidr' ? join(place, 'list.cidr') : `${host}:${TCP_PORT}`}`
    const config = folder()
    writeFileSync(join(config, 'main.cf'), 'compatibility_level = 3.6\n')
    const found = async (ip: string) => (await runToEnd('/usr/sbin/postmap', ['-c', config, '-q', ip, table])).stdout
    for (const ip of BLOCKED) expect(await found(ip)).toMatch(/^REJECT 5\.7\.1 .*to ask why/)
    for (const ip of PASSED) expect(await found(ip)).toBe('')
  })

  test('the tcp table gives the reason and the ticket, and knows of an allow at once', async () => {
    await appliance.decoymx('block', '192.0.2.77', '--because', '100% spam')
    expect(await postfix.answerTo('tcp', '192.0.2.77')).toMatch(
      /: Client host rejected: 100% spam; .*\([0-9A-Z]{4}-[0-9A-Z]{4}\)/,
    )
    await appliance.decoymx('release', '192.0.2.77')
    expect(await postfix.answerTo('tcp', '192.0.2.77')).toMatch(/^250 /)
  })
})

function isV4(ip: string): boolean {
  return !ip.includes(':')
}

describe.skipIf(missing.includes('rbldnsd') || missing.includes('dig'))('rbldnsd', () => {
  test('serves our file as the shipped line says: the listed, and the test entries of RFC 5782', async () => {
    const [, line = ''] = /^RBLDNSD="decoymx (.*)"$/m.exec(readFileSync(join(DEPLOY, 'rbldnsd/rbldnsd'), 'utf8')) ?? []
    const file = line.split(':').at(-1) as string
    await exported('rbldnsd', join(place, file))
    const words = line.replace('/var/lib/rbldns', place).replace('127.0.0.1/', `${host}/`).split(' ')
    const rbldnsd = spawn('rbldnsd', ['-n', ...words], { stdio: ['ignore', 'pipe', 'pipe'] })
    onTestFinished(async () => {
      rbldnsd.kill('SIGTERM')
      if (rbldnsd.exitCode === null) await once(rbldnsd, 'exit')
    })
    let said = ''
    const ready = new Promise<void>((resolve, reject) => {
      const hear = (chunk: Buffer) => {
        said += chunk.toString()
        if (/rbldnsd version .* started/.test(said)) resolve()
      }
      rbldnsd.stdout.on('data', hear)
      rbldnsd.stderr.on('data', hear)
      rbldnsd.once('exit', () => reject(new Error(said)))
    })
    await within(30_000, ready, 'rbldnsd has not started')

    const ask = async (ip: string, type: string) => {
      const name = `${reversed(ip)}.${ZONE}`
      const dig = ['+short', '+tries=2', '+time=20', `@${host}`, '-p', '5353', name, type]
      return (await runToEnd('dig', dig)).stdout.trim()
    }
    for (const ip of [...BLOCKED, '127.0.0.2', '::ffff:7f00:2'])
      expect(`${ip} ${await ask(ip, 'A')}`).toBe(`${ip} 127.0.0.2`)
    for (const ip of [...PASSED, '127.0.0.1', '::ffff:7f00:1']) expect(`${ip} ${await ask(ip, 'A')}`).toBe(`${ip} `)
    expect(await ask('203.0.113.9', 'TXT')).toContain('to ask why')
    expect(said).not.toMatch(/warning|error|ignored|bad|invalid/i)
  })
})

function reversed(ip: string): string {
  if (!ip.includes(':')) return ip.split('.').toReversed().join('.')
  const [head = '', tail = ''] = ip.split('::')
  const groups = (text: string) => text.split(':').filter((each) => each !== '')
  const zeros = Array.from({ length: 8 - groups(head).length - groups(tail).length }, () => '0')
  const digits = [...groups(head), ...zeros, ...groups(tail)].map((each) => each.padStart(4, '0')).join('')
  return digits.split('').toReversed().join('.')
}

/** In a network namespace of its own, gone with the command. */
const alone = (script: string, ...words: string[]) =>
  runToEnd('unshare', ['--net', 'sh', '-euc', script, 'sh', ...words])

describe.skipIf(process.getuid?.() !== 0 || missing.includes('nft'))('nftables', () => {
  const held = /(\d+\.\d+\.\d+\.\d+(?:\/\d+)?|2001:[0-9a-f:]+(?:\/\d+)?)(?: timeout \S+ expires \S+)?/g

  test('takes list and rules in either order, again and again, and each entry has its end', async () => {
    const list = await exported('nft')
    const rules = join(DEPLOY, 'nftables/decoymx-list.nft')
    const script =
      'nft -c -f "$1"; nft -f "$1"; nft -f "$2"; nft -f "$2"; nft -f "$1"; nft list table inet decoymx_list'
    for (const order of [
      [list, rules],
      [rules, list],
    ]) {
      const { code, stdout, stderr } = await alone(script, ...order)
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
      const elements = [...stdout.matchAll(/elements = \{([^}]*)\}/g)].flatMap(([, each = '']) => [
        ...each.matchAll(held),
      ])
      const found = new Map(elements.map(([whole, cidr]) => [cidr, /timeout (5\dm|1h)/.test(whole)]))
      expect(found).toEqual(
        new Map([
          ['198.51.100.128/25', false],
          ['203.0.113.9', true],
          ['2001:db8:0:1::', true],
        ]),
      )
      expect(stdout.match(/reject with tcp reset/g)).toHaveLength(4)
    }
  })

  test('takes as many as there may be in one transaction', async () => {
    const now = Date.now()
    const rulings = Array.from({ length: 3000 }, (_, i): Ruling => {
      const [target, ticket] = [`198.18.${i >> 8}.${i & 255}`, ticketOf(`${i}`, now)]
      return { by: 'rules', target, word: 'block', since: now, until: now + (i + 60) * 1000, ticket, because: 'a bot' }
    })
    const decide: Decide = (client) => ({ ...BLOCK, client })
    const basis = { rulings, decide, rules: shippedRules(), never: [], generation: 1, rulesHash: 'abc', now }
    const file = join(folder(), 'list.nft')
    writeFileSync(file, finish(exportOf('nft', basis)).text)
    const { code, stdout, stderr } = await alone('nft -f "$1"; nft list table inet decoymx_list', file)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout.match(/198\.18\.\d+\.\d+ timeout/g)).toHaveLength(3000)
  })
})

const BLOCK = {
  verdict: 'block',
  effect: 'block',
  mode: 'enforce',
  by: 'rules',
  until: undefined,
  ticket: undefined,
  because: undefined,
  doubt: undefined,
} as const

describe.skipIf(process.getuid?.() !== 0 || missing.includes('ipset'))('ipset', () => {
  test('restores our file, twice, and knows who is in it', async () => {
    const list = await exported('ipset')
    const asked = (set: string, ips: readonly string[]) =>
      ips.map((ip) => `ipset -q test ${set} ${ip} && echo "${ip} in" || echo "${ip} out"`).join('\n')
    const of = (ips: readonly string[], v6: boolean) => ips.filter((ip) => isV4(ip) !== v6)
    const questions = [BLOCKED, PASSED].flatMap((ips) => [
      asked('decoymx4', of(ips, false)),
      asked('decoymx6', of(ips, true)),
    ])
    const { code, stdout, stderr } = await alone(
      `ipset restore < "$1"; ipset restore < "$1"; ipset list -n\n${questions.join('\n')}\nipset list decoymx4`,
      list,
    )
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const lines = stdout.split('\n')
    expect(lines.slice(0, 2).toSorted()).toEqual(['decoymx4', 'decoymx6'])
    for (const ip of BLOCKED) expect(lines).toContain(`${ip} in`)
    for (const ip of PASSED) expect(lines).toContain(`${ip} out`)
    expect(stdout).toMatch(/^198\.51\.100\.128\/25 timeout 0$/m)
    expect(stdout).toMatch(/^203\.0\.113\.9 timeout 3[0-6]\d\d$/m)
  })
})

test('readsocket at a Unix socket', async () => {
  const ask = async (ip: string) => {
    const socket = connect({ path: join(place, 'readsocket.sock') })
    socket.end(ip)
    let answer = ''
    for await (const chunk of socket) answer += String(chunk)
    return answer
  }
  for (const ip of BLOCKED) expect(await ask(ip)).toMatch(/^block a bot; .*\n$/)
  for (const ip of PASSED) expect(await ask(ip)).toBe('pass\n')
})
