/** Big senders, with a name server of the test's own: who is one is not listed by the order of its visits, and is told of. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { ClientView } from '../../src/answer/views.ts'
import { ask } from '../../src/command/appliance.ts'
import type { Finding } from '../../src/command/health/finding.ts'
import { type Entry, toLine } from '../../src/core/evidence.ts'
import { folder } from '../folders.ts'
import { nameServer, type Zone } from '../name-server.ts'
import { Visitor } from '../decoy/visitors.ts'
import { type Appliance, startAppliance } from './appliance.ts'

const ROOT = join(import.meta.dirname, '../..')
const HOUR_MS = 3_600_000
const [BY_SPF, BY_NAME, LIAR, STRANGER, OURS] = [
  '198.51.100.1',
  '203.0.113.2',
  '203.0.113.77',
  '203.0.114.3',
  '192.0.2.5',
] as const

const ZONE: Zone = {
  'TXT big.example': ['v=spf1 include:_spf.big.example -all'],
  'TXT _spf.big.example': ['v=spf1 ip4:198.51.100.0/24 -all'],
  'TXT poisoned.example': ['v=spf1 ip4:0.0.0.0/0 -all'],
  'TXT example.test': ['v=spf1 ip4:192.0.2.0/28 -all'],
  'PTR 2.113.0.203.in-addr.arpa': ['mx2.out.big.example'],
  'A mx2.out.big.example': [BY_NAME],
  'PTR 77.113.0.203.in-addr.arpa': ['mx77.out.big.example'],
}

const RULES = `${readFileSync(join(ROOT, 'rules.yaml'), 'utf8').replace(/\npools:[^]*?\n\n/, '\n')}
pools:
  well-known: false
  list:
    - { name: big-mail, spf: [big.example], names: [big.example], because: a big sender }
    - { name: poisoned, spf: [poisoned.example], because: lets everybody in }
`

/** A journal in which each of these came to the backup, politely, in many hours; the real MX was up all the time. */
function journalOf(clients: readonly string[]): string {
  const path = folder()
  const journal = join(path, 'state/journal')
  mkdirSync(journal, { recursive: true })
  const lines: string[] = []
  const tell = (event: Entry['event']) => lines.push(toLine({ seq: lines.length + 1, event }))
  const start = Date.now() - 60 * HOUR_MS
  for (let hour = 0; hour < 59; hour++) {
    const at = start + hour * HOUR_MS
    tell({ type: 'probe', at: at - 1000, mx: 'real', outcome: 'up' })
    for (const client of clients)
      for (const kind of ['contact', 'recipient'] as const)
        tell({ type: 'evidence', at, client, role: 'backup', kind, session: `s${hour}` })
    tell({ type: 'probe', at: at + 1000, mx: 'real', outcome: 'up' })
  }
  writeFileSync(join(journal, `${new Date(start).toISOString().slice(0, 10)}-000000000001.jsonl`), lines.join(''))
  return path
}

/** A real MX that takes mail, as far as a look can see. */
async function realMx(): Promise<string> {
  const server = createServer((socket) => {
    socket.write('220 real.example ESMTP\r\n')
    socket.on('data', (line) => socket.write(String(line).startsWith('QUIT') ? '221 bye\r\n' : '250 ok\r\n'))
    socket.on('error', () => {})
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function start(path: string, server: string): Promise<Appliance> {
  writeFileSync(join(path, 'rules.yaml'), RULES)
  const appliance = await startAppliance({
    folder: path,
    rules: join(path, 'rules.yaml'),
    settings: { pools: { dns: true, resolver: [server] }, 'real-mx': { greet: [await realMx()] }, log: 'debug' },
  })
  onTestFinished(() => appliance.clear())
  return appliance
}

async function viewOf(appliance: Appliance, ip: string): Promise<ClientView> {
  return (await ask(join(appliance.folder, 'state'), 'GET', `/api/v1/clients/${ip}`)).body as ClientView
}

async function talkFirst(appliance: Appliance, ip: string): Promise<void> {
  const bot = new Visitor(connect({ ...appliance.door('backup decoy, PROXY'), allowHalfOpen: true }))
  bot.socket.write(`PROXY TCP4 ${ip} 127.0.0.1 40000 25\r\nEHLO bot.example\r\n`)
  await bot.reply()
  await bot.walk('MAIL FROM:<x@bot.example>', 'RCPT TO:<a@example.test>')
  bot.socket.end('QUIT\r\n')
  await bot.ended
}

test('a big sender is known by its SPF record or by a name that leads back; only strangers are listed by the order', async () => {
  const server = await nameServer(() => ZONE)
  const appliance = await start(journalOf([BY_SPF, BY_NAME, LIAR, STRANGER, OURS]), server)
  // Each of the others is asked about, and that is told.
  for (const ip of [BY_NAME, LIAR, STRANGER])
    await appliance.heard(new RegExp(`"client":"${ip.replaceAll('.', '\\.')}","outcome"`))
  for (const ip of [LIAR, STRANGER]) await appliance.heard(new RegExp(`decision: block ${ip.replaceAll('.', '\\.')}`))

  const bySpf = await viewOf(appliance, BY_SPF)
  expect([bySpf.verdict, bySpf.standing.pool]).toMatchObject(['clean', { name: 'big-mail', found: 'spf' }])
  expect(bySpf.reasons.find(({ rule }) => rule === 'backup-first')).toMatchObject({ weight: 0, excuse: 'pool' })
  const byName = await viewOf(appliance, BY_NAME)
  expect([byName.verdict, byName.standing.pool]).toMatchObject(['clean', { name: 'big-mail', found: 'fcrdns' }])
  expect((await viewOf(appliance, LIAR)).verdict).toBe('block')
  expect(await viewOf(appliance, STRANGER)).toMatchObject({ verdict: 'block', standing: { pool: null } })
  const ours = await viewOf(appliance, OURS)
  expect(ours).toMatchObject({ verdict: 'clean', standing: { never: 'of a network that our own SPF record names' } })
  const page = (await appliance.decoymx('why', BY_SPF)).stdout
  expect(page).toMatch(/Pool: big-mail \(its SPF record names this network, as of /)
  expect(page).toContain('(of a pool that sends from many addresses)')

  // One bad customer of it weighs a fifth.
  await talkFirst(appliance, BY_SPF)
  await appliance.heard(/decision: observe 198\.51\.100\.1/)
  expect(await viewOf(appliance, BY_SPF)).toMatchObject({ verdict: 'observe' })

  // An operator names the pool.
  expect((await appliance.decoymx('block', 'big-mail', '--because', 'enough')).stdout).toContain('198.51.100.0/24')
  expect((await viewOf(appliance, BY_SPF)).verdict).toBe('block')
  expect((await appliance.decoymx('allow', 'big-mail', '--because', 'it was a mistake')).code).toBe(0)
  expect((await viewOf(appliance, BY_SPF)).verdict).toBe('allow')
  expect((await appliance.decoymx('block', 'poisoned', '--because', 'x')).stderr).toContain(
    'no network of the pool "poisoned" is known',
  )
  expect((await appliance.decoymx('block', 'nobody', '--because', 'x')).stderr).toContain('there is no pool named')

  const doctor = JSON.parse((await appliance.decoymx('doctor', '--json')).stdout) as { findings: Finding[] }
  expect(doctor.findings.filter(({ check }) => check === 'pools').map(({ seen }) => seen)).toEqual([
    '1 networks of 2 pools are known',
    'passed over in SPF records: 0.0.0.0/0 is too wide for one sender: refused',
  ])
})

test('with DNS silent the order lists nobody until it was asked twice; what was saved is known over a restart', async () => {
  let silent = false
  const server = await nameServer(
    () => ZONE,
    () => silent,
  )
  const first = await start(journalOf([STRANGER]), server)
  await first.heard(/big senders are known anew/)
  await first.heard(/decision: block 203\.0\.114\.3/)
  expect(await first.end()).toBe(0)

  silent = true
  const path = journalOf([BY_SPF, STRANGER])
  mkdirSync(join(path, 'state'), { recursive: true })
  writeFileSync(
    join(path, 'state/big-senders.json'),
    readFileSync(join(first.folder, 'state/big-senders.json'), 'utf8'),
  )
  const again = await start(path, server)
  expect((await viewOf(again, BY_SPF)).standing.pool).toMatchObject({ name: 'big-mail', found: 'spf' })
  const view = await viewOf(again, STRANGER)
  expect(view.verdict).toBe('clean')
  expect(view.reasons.find(({ rule }) => rule === 'backup-first')).toMatchObject({ weight: 0, excuse: 'identity' })
})
