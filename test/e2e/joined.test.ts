/**
 * What the witness finds reaches the decoys, in this process and in workers: how a real MX looks, that it is away, and who
 * can never be listed.
 */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { spellAddress } from '../../src/settings/places.ts'
import { Visitor } from '../decoy/visitors.ts'
import { SHUT } from '../doors.ts'
import { nameServer } from '../name-server.ts'
import { type Appliance, startAppliance } from './appliance.ts'

const ANY = ['127.0.0.1:0']

async function start(workers: number, realMx: Record<string, unknown>): Promise<Appliance> {
  const decoys = {
    workers,
    pace: { greeting: '0ms', reply: '0ms', byte: '0ms', drip: '100ms' },
    primary: { listen: ANY, proxy: ANY, name: 'mx0.example.test' },
    backup: { listen: ANY, proxy: ANY, name: 'mx9.example.test' },
  }
  const appliance = await startAppliance({ settings: { decoys, 'real-mx': realMx } })
  onTestFinished(() => appliance.clear())
  return appliance
}

function visit(appliance: Appliance, ip: string): Visitor {
  const visitor = new Visitor(connect({ ...appliance.door('backup decoy, PROXY'), allowHalfOpen: true }))
  onTestFinished(() => void visitor.socket.destroy())
  visitor.socket.write(`PROXY TCP4 ${ip} 127.0.0.1 40000 25\r\n`)
  return visitor
}

/** Settles when whichever process takes this client in holds it: a worker hears of a block a moment after the command has ended. */
const allHeld = (appliance: Appliance, ip: string) =>
  expect
    .poll(async () => {
      const visitors = Array.from({ length: 6 }, () => visit(appliance, ip))
      for (const visitor of visitors) await visitor.hears(4)
      return visitors.map(({ heard }) => heard.slice(0, 4))
    })
    .toEqual(Array(6).fill('220-'))

/** A real MX that greets, and offers what few do. */
async function realMx(): Promise<string> {
  const server = createServer((socket) => {
    socket.on('error', () => {}).write('220 real.example.test ESMTP Honest\r\n')
    socket.on('data', (line) => socket.write(`250 ${line.toString().startsWith('EHLO') ? 'real' : 'ok'}\r\n`))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

describe.each([0, 2])('with %d workers', { timeout: 90_000 }, (workers) => {
  test('a held offender hears the banner of the real MX', async () => {
    const appliance = await start(workers, { greet: [await realMx()] })
    expect((await appliance.decoymx('block', '203.0.113.9')).code).toBe(0)
    await allHeld(appliance, '203.0.113.9')
    const offenders = Array.from({ length: 6 }, () => visit(appliance, '203.0.113.9'))
    const line = '220-mx9.example.test ESMTP Honest\r\n'
    for (const offender of offenders) {
      await offender.hears(line.length)
      expect(offender.heard.slice(0, line.length)).toBe(line)
    }
  })

  test('what is ours is not held, whatever an operator has insisted on', async () => {
    const server = await nameServer(() => ({
      'MX example.test': ['90 mx9.example.test'],
      'A mx9.example.test': ['203.0.113.67'],
    }))
    const appliance = await start(workers, { discover: true, resolver: [server] })
    const insist = ['--force', '--because', 'they come again and again']
    expect((await appliance.decoymx('block', '203.0.113.64/28', ...insist)).code).toBe(0)
    await allHeld(appliance, '203.0.113.66')
    for (const ours of Array.from({ length: 12 }, () => visit(appliance, '203.0.113.67')))
      expect(await ours.reply()).toMatch(/^220 mx9\.example\.test /)
  })

  test('while the real MX is away, the backup says 421 from the first connection on', async () => {
    const appliance = await start(workers, { greet: [spellAddress(SHUT)] })
    for (const sender of Array.from({ length: 6 }, () => visit(appliance, '198.51.100.9')))
      expect(await sender.reply()).toMatch(/^421 /)
  })
})
