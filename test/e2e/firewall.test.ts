/**
 * The sets at the real MX's own packet filter, kept current by a running appliance: a client is refused and let in again by
 * the kernel as the decisions go, in network namespaces, with the rules of deploy/nftables.
 */
import { once } from 'node:events'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { ask } from '../../src/command/appliance.ts'
import { Internet, noNamespaces, type Place } from '../namespaces.ts'
import { type Appliance, startAppliance } from './appliance.ts'

const [MX, BOT, HONEST] = ['192.0.2.25', '203.0.113.9', '198.51.100.7']
const RULES = join(import.meta.dirname, '../../deploy/nftables/decoymx-list.nft')
/** A beat, and what a busy machine adds. */
const FOLLOWS = { interval: 100 }

const missing = inject('missing').filter((program) => ['ip', 'nft'].includes(program))
const hindered = missing.length > 0 ? `missing: ${missing.join(', ')}` : noNamespaces()
if (hindered !== undefined && process.env['CI']) throw new Error(hindered)
if (hindered !== undefined) process.stderr.write(`\nSkipped, test/e2e/firewall: ${hindered}\n`)

describe.skipIf(hindered !== undefined)('the firewall', () => {
  let internet: Internet
  let mx: Place
  let clients: Place
  let appliance: Appliance
  const overheard = mkdtempSync(join(tmpdir(), 'dmx-nft-'))
  const start = (state?: string) =>
    startAppliance({
      launch: ['ip', 'netns', 'exec', mx.name, 'env', `PATH=${overheard}:${process.env['PATH']}`],
      settings: { firewall: { nftables: true } },
      ...(state === undefined ? {} : { folder: state }),
    })
  /** All that nft was told to do, by transactions. */
  const told = () => readFileSync(join(overheard, 'told'), 'utf8').split('--\n').slice(1)

  beforeAll(async () => {
    internet = new Internet()
    writeFileSync(join(overheard, 'told'), '')
    writeFileSync(join(overheard, 'nft'), OVERHEARING)
    chmodSync(join(overheard, 'nft'), 0o755)
    mx = await internet.place('mx')
    clients = await internet.place('clients')
    await internet.join(mx, [`${MX}/32`], clients, [`${BOT}/32`, `${HONEST}/32`])
    await mx.run('ip', 'route', 'add', 'default', 'dev', 'dmx0')
    await clients.run('ip', 'route', 'add', 'default', 'dev', 'dmx0')
    await mx.run('nft', '-f', RULES)
    const server = mx.spawn(process.execPath, ['-e', SERVER], { stdio: ['ignore', 'pipe', 'inherit'] })
    if (server.stdout) await once(server.stdout, 'data')
    appliance = await start()
  })
  afterAll(async () => {
    await appliance?.clear()
    await internet?.[Symbol.asyncDispose]()
    rmSync(overheard, { recursive: true, force: true })
  })

  const say = async (word: string, target: string, because: string, span?: string) => {
    const body = { word, target, because, author: 'a test', ...(span === undefined ? {} : { for: span }) }
    expect((await ask(join(appliance.folder, 'state'), 'POST', '/api/v1/words', body)).status).toBe(200)
  }
  const call = (from: string) => clients.run(process.execPath, '-e', CALL, MX, from)
  const sets = async () =>
    (
      await Promise.all(
        ['clients4', 'clients6', 'blocked4', 'blocked6'].map((set) =>
          mx.run('nft', 'list', 'set', 'inet', 'decoymx_list', set),
        ),
      )
    )
      .join('\n')
      .replaceAll(/\s+/g, ' ')

  test('a block is refused at port 25 by the kernel, and nobody else is; an allow undoes it', async () => {
    expect([await call(BOT), await call(HONEST)]).toEqual(['connected', 'connected'])
    await say('block', BOT, 'a bot')
    await expect.poll(() => call(BOT), FOLLOWS).toBe('ECONNREFUSED')
    expect(await call(HONEST)).toBe('connected')
    // It was blocked for good; the kernel holds it for an hour at most.
    expect(await sets()).toMatch(/203\.0\.113\.9 timeout (1h|59m\d+s)/)

    await say('allow', BOT, 'put right')
    await expect.poll(() => call(BOT), FOLLOWS).toBe('connected')
  })

  test('networks, with who is allowed in them cut out, and IPv6', async () => {
    await say('release', BOT, 'to begin anew')
    await say('block', '203.0.113.0/24', 'bots', '10m')
    await say('allow', '203.0.113.128/25', 'a customer')
    await say('block', '2001:db8:0:1::/64', 'bots', '10m')
    await expect.poll(sets, FOLLOWS).toMatch(/set clients6 .*\{ 2001:db8:0:1:: timeout (10m|9m\d+s)/)
    expect(await sets()).toMatch(/set blocked4 .*\{ 203\.0\.113\.0\/25 timeout (10m|9m\d+s)/)
  })

  test('of a long list only what changed is put, and the whole again where it is not what we know', async () => {
    const many = Array.from({ length: 12 }, (_, i) => `198.51.100.${100 + i}`)
    for (const ip of many) await say('block', ip, 'a bot')
    await expect.poll(sets, FOLLOWS).toContain(`${many.at(-1)} timeout`)
    const before = told().length
    await say('block', '192.0.2.200', 'one more')
    await expect.poll(sets, FOLLOWS).toContain('192.0.2.200 timeout')
    await say('release', '192.0.2.200', 'and no more')
    await expect.poll(sets, FOLLOWS).not.toContain('192.0.2.200')
    expect(told().slice(before)).toEqual([
      expect.stringMatching(/^add element inet decoymx_list clients4 \{ 192\.0\.2\.200 timeout \d+s \}\n$/),
      'delete element inet decoymx_list clients4 { 192.0.2.200 }\n',
    ])
    // Somebody takes all of them out: the next change finds none of whom it knows, and all are there again.
    await mx.run('nft', 'flush', 'set', 'inet', 'decoymx_list', 'clients4')
    await say('release', many[0] as string, 'to make it look')
    await expect.poll(sets, FOLLOWS).toContain(`${many.at(-1)} timeout`)
    expect(await sets()).not.toContain(many[0])
  })

  test('a restart interrupts nothing, and a reload of the ruleset is made good', async () => {
    await appliance.end()
    expect(await call(BOT)).toBe('ECONNREFUSED')
    await mx.run('nft', 'flush', 'ruleset')
    await mx.run('nft', '-f', RULES)
    expect(await call(BOT)).toBe('connected')
    appliance = await start(appliance.folder)
    await expect.poll(() => call(BOT), FOLLOWS).toBe('ECONNREFUSED')
  })

  test('who removes the table is obeyed, and it is said', async () => {
    await mx.run('nft', 'delete', 'table', 'inet', 'decoymx_list')
    await say('block', HONEST, 'to make it look')
    await appliance.heard(/the table inet decoymx_list was removed/)
    expect(await mx.run('nft', 'list', 'ruleset')).toBe('')
    expect(await call(HONEST)).toBe('connected')
  })
})

/** The real one, whose orders are written down. */
const OVERHEARING = `#!/bin/sh
here=$(dirname "$0")
PATH=/usr/sbin:/sbin:/usr/bin:/bin
[ "$1" = --file ] || exec nft "$@"
order=$(mktemp)
trap 'rm -f "$order"' EXIT
cat > "$order"
{ echo --; cat "$order"; } >> "$here/told"
nft --file "$order"
`

const SERVER = `require('net').createServer((s) => s.end()).listen(25, '${MX}', () => console.log('open'))`
const CALL = `
const [host, localAddress] = process.argv.slice(1)
const socket = require('net').connect({ host, port: 25, localAddress, timeout: 3000 })
const say = (word) => (process.stdout.write(word), socket.destroy())
socket.on('connect', () => say('connected')).on('error', (e) => say(e.code)).on('timeout', () => say('timeout'))
`
