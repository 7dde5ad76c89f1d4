/**
 * A whole routed prefix behind one listener: a host that holds no address of it, only the route that makes it local, and a
 * client in another network. IPv4 and IPv6, both roles at one door.
 */
import { once } from 'node:events'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, inject, test } from 'vitest'
import { stringify } from 'yaml'
import { type Evidence, fromLine } from '../../src/core/evidence.ts'
import { folder } from '../folders.ts'
import { Internet, noNamespaces, type Place } from '../namespaces.ts'

const hindered = inject('missing').includes('ip') ? 'ip is missing' : noNamespaces()
if (hindered !== undefined && process.env['CI']) throw new Error(hindered)

const START = join(import.meta.dirname, '../../src/start.js')

const SETTINGS = {
  decoys: {
    primary: {
      listen: ['0.0.0.0:25', '[::]:25'],
      prefixes: ['198.51.100.0/25', '2001:db8:51::/64'],
      proxy: [],
    },
    backup: {
      listen: ['0.0.0.0:25', '[::]:25'],
      prefixes: ['198.51.100.128/25', '2001:db8:52::9'],
      proxy: [],
    },
  },
}

async function start(place: Place, home: string): Promise<void> {
  const settings = join(home, 'decoymx.yaml')
  writeFileSync(settings, stringify(SETTINGS))
  const words = [START, 'run', '--state', join(home, 'state'), '--settings', settings]
  const appliance = place.spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] })
  let said = ''
  appliance.stdout?.on('data', (chunk: Buffer) => (said += String(chunk)))
  while (!said.includes('"msg":"ready, ')) await once(appliance.stdout!, 'data')
}

/** What a client hears there that says its lines one by one: the reply codes, or how it was cut. */
const CALLER = `
  const lines = ['EHLO mail.sender.example', 'MAIL FROM:<a@sender.example>', 'RCPT TO:<postbox@example.test>', 'QUIT']
  const socket = require('node:net').connect(25, process.argv[1])
  let heard = ''
  const codes = []
  socket.on('data', (bytes) => {
    heard += bytes
    if (!/^\\d{3} [^\\n]*\\n$/m.test(heard)) return
    codes.push(heard.slice(0, 3))
    heard = ''
    if (lines.length > 0) socket.write(lines.shift() + '\\r\\n')
  })
  socket.on('error', (error) => codes.push(error.code))
  socket.on('close', () => console.log(codes.join(' ')))
`

function evidenceIn(home: string): Evidence[] {
  const journal = join(home, 'state/journal')
  return readdirSync(journal)
    .filter((name) => name.endsWith('.jsonl'))
    .flatMap((name) => readFileSync(join(journal, name), 'utf8').split('\n'))
    .flatMap((line) => fromLine(line)?.event ?? [])
    .filter((event): event is Evidence => event.type === 'evidence')
}

test.skipIf(hindered !== undefined)(
  'one wildcard door serves two prefixes of each family, and nothing else',
  async () => {
    await using lab = new Internet()
    const [mx, client] = [await lab.place('mx'), await lab.place('client')]
    await lab.join(mx, ['192.0.2.66/24', '2001:db8:2::66/64'], client, ['192.0.2.7/24', '2001:db8:2::7/64'])
    await mx.run('ip', 'route', 'add', 'local', '198.51.100.0/24', 'dev', 'lo')
    await client.run('ip', 'route', 'add', '198.51.100.0/24', 'via', '192.0.2.66')
    for (const prefix of ['2001:db8:51::/64', '2001:db8:52::/64']) {
      await mx.run('ip', '-6', 'route', 'add', 'local', prefix, 'dev', 'lo')
      await client.run('ip', '-6', 'route', 'add', prefix, 'via', '2001:db8:2::66')
    }
    const home = folder()
    await start(mx, home)
    const hear = async (address: string) => (await client.run(process.execPath, '-e', CALLER, address)).trim()

    for (const address of ['198.51.100.7', '2001:db8:51::7']) expect(await hear(address)).toBe('ECONNRESET')
    for (const address of ['198.51.100.200', '2001:db8:52::9']) expect(await hear(address)).toBe('220 250 250 451 221')
    // Neither the host's own address nor one of the route that no prefix names.
    for (const address of ['192.0.2.66', '2001:db8:52::8']) expect(await hear(address)).toBe('ECONNRESET')

    const seen = () =>
      evidenceIn(home)
        .filter(({ kind }) => kind === 'contact' || kind === 'recipient')
        .map(({ role, kind, client: who, where }) => `${role} ${kind} ${who} ${where}`)
        .toSorted()
    // On disk a moment after the client was told.
    await expect
      .poll(seen)
      .toEqual([
        'backup contact 192.0.2.7 198.51.100.200:25',
        'backup contact 2001:db8:2::7 [2001:db8:52::9]:25',
        'backup recipient 192.0.2.7 198.51.100.200:25',
        'backup recipient 2001:db8:2::7 [2001:db8:52::9]:25',
        'primary contact 192.0.2.7 198.51.100.7:25',
        'primary contact 2001:db8:2::7 [2001:db8:51::7]:25',
      ])
    const scrape = 'fetch("http://127.0.0.1:8025/metrics").then((answer) => answer.text()).then(console.log)'
    expect(await mx.run(process.execPath, '-e', scrape)).toContain(
      'decoymx_refused_connections_total{role="primary",reason="address"} 2',
    )
  },
)
