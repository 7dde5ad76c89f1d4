/** Unlisting, asked for: a stranger at the real MX is deferred once, whoever was at the primary first is not. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { toLine } from '../../src/core/evidence.ts'
import { Visitor } from '../decoy/visitors.ts'
import { type Appliance, runToEnd, startAppliance } from './appliance.ts'

const ROOT = join(import.meta.dirname, '../..')
const SOUND = readFileSync(join(ROOT, 'rules.yaml'), 'utf8')
const DAY_MS = 86_400_000
let appliance: Appliance
let folder: string
let rules: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dmx-unlisting-'))
  rules = join(folder, 'rules.yaml')
  writeFileSync(rules, `${SOUND}\nunlisting: true\n`)
  // A journal of ten days, in which one sender was at the real MX.
  const at = Date.now() - 10 * DAY_MS
  const journal = join(folder, 'state/journal')
  mkdirSync(journal, { recursive: true })
  writeFileSync(
    join(journal, `${new Date(at).toISOString().slice(0, 10)}-000000000001.jsonl`),
    toLine({ seq: 1, event: { type: 'evidence', at, client: '198.51.100.1', role: 'real', kind: 'passed' } }),
  )
  appliance = await startAppliance({ folder, rules })
})
afterAll(() => appliance?.clear())

async function askPolicy(ip: string, instance: string): Promise<string> {
  const asker = connect(appliance.door('policy'))
  asker.end(`request=smtpd_access_policy\nprotocol_state=RCPT\ninstance=${instance}\nclient_address=${ip}\n\n`)
  let answer = ''
  for await (const chunk of asker) answer += String(chunk)
  return answer.trim()
}

test('a stranger is told later once, for each recipient of the message, and then never again', async () => {
  // The journal is read beside the start: until then nobody is deferred.
  let first = ''
  let i = 0
  for (const since = performance.now(); !first.includes('DEFER') && performance.now() - since < 30_000; i++)
    first = await askPolicy(`203.${i >> 8}.${i & 255}.9`, 'a')
  expect(first).toMatch(/^action=DEFER_IF_PERMIT 4\.7\.1 not known here yet/)
  const ip = `203.${(i - 1) >> 8}.${(i - 1) & 255}.9`
  expect(await askPolicy(ip, 'a')).toMatch(/^action=DEFER_IF_PERMIT/)
  expect(await askPolicy(ip, 'b')).toBe('action=DUNNO')
  expect(await askPolicy(ip.replace(/9$/, '77'), 'c')).toBe('action=DUNNO')
})

test('who tried the primary first, was here before, or is private, is not', async () => {
  const sender = new Visitor(connect({ ...appliance.door('primary decoy, PROXY'), allowHalfOpen: true }))
  sender.socket.write('PROXY TCP4 192.0.2.10 127.0.0.1 40000 25\r\n')
  expect(await sender.ended).toBe('reset')
  for (const ip of ['192.0.2.10', '198.51.100.1', '127.0.0.1', '10.1.2.3'])
    expect(await askPolicy(ip, 'x')).toBe('action=DUNNO')
})

test('check refuses it where the kernel answers for the primary, or nobody does', async () => {
  const check = async (primary: object) => {
    const settings = join(folder, 'other.yaml')
    writeFileSync(settings, stringify({ decoys: { primary } }))
    const start = join(ROOT, 'src/start.js')
    return await runToEnd(process.execPath, [start, 'check', '--settings', settings, '--rules', rules])
  }
  expect(await check({ kernel: true, listen: ['192.0.2.66:25'] })).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/rules\.yaml:\d+:1: unlisting: with decoys\.primary\.kernel/),
  })
  expect(await check({ listen: [], proxy: [] })).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('unlisting: nobody sees who tries the primary'),
  })
  expect((await check({})).code).toBe(0)
})
