/**
 * Offenders in a whole appliance, on bare lines and on sockets of Node's: each is dripped to, counted, and leaves no
 * descriptor behind; and status says where bare lines are not to be had.
 */
import { readdirSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { Visitor } from '../decoy/visitors.ts'
import type { StatusView } from '../../src/daemon/status-view.ts'
import { folder } from '../folders.ts'
import { startAppliance, textAt } from './appliance.ts'

const ANY = ['127.0.0.1:0']
const COME = 30

test.each([
  { workers: 0, bare: true, note: null },
  { workers: 1, bare: true, note: null },
  { workers: 1, bare: false, note: 'offenders on sockets of Node: the settings say so' },
])('workers: $workers, bare: $bare', async ({ workers, bare, note }) => {
  const decoys = {
    workers,
    bare,
    primary: { listen: ANY, proxy: ANY },
    backup: { listen: ANY, proxy: ANY },
    pace: { greeting: '1s', reply: '1s', byte: '0ms', drip: '100ms' },
  }
  const appliance = await startAppliance({ settings: { decoys } })
  onTestFinished(() => appliance.clear())
  expect((await appliance.decoymx('block', '203.0.113.0/24', '--because', 'a test')).code).toBe(0)
  const status = async () => JSON.parse((await appliance.decoymx('status', '--json')).stdout) as StatusView
  const { doors, workers: crew } = await status()
  expect(doors.filter(({ name }) => name.includes('decoy')).map((door) => door.note)).toEqual(Array(4).fill(note))
  const pid = crew.pids[0] ?? appliance.pid
  const descriptors = () => readdirSync(`/proc/${pid}/fd`).length
  const before = descriptors()
  const { host, port } = appliance.door('backup decoy, PROXY')
  const visitors = Array.from({ length: COME }, (_, n) =>
    new Visitor(connect({ host, port, allowHalfOpen: true })).send(`PROXY TCP4 203.0.113.${n + 1} 127.0.0.1 40000 25`),
  )
  await Promise.all(visitors.map((visitor) => visitor.hears(12)))
  for (const { heard } of visitors) expect(heard).toMatch(/^220-/)
  await expect.poll(async () => (await status()).held.backup).toBe(COME)
  for (const { socket } of visitors) socket.resetAndDestroy()
  await expect.poll(async () => (await status()).held.backup).toBe(0)
  // What it watches them by stays open, as does what came up meanwhile for whoever asked for the status.
  await expect.poll(descriptors).toBeLessThanOrEqual(before + 2)
})

test('without koffi it is told how much slower it is served, and that is no alarm', async () => {
  const none = join(folder(), 'none.cjs')
  writeFileSync(
    none,
    `const { Module } = require('node:module')
const load = Module._load
Module._load = function (name, ...more) {
  if (name === 'koffi') throw new Error("Cannot find module 'koffi'")
  return load.call(this, name, ...more)
}
`,
  )
  const appliance = await startAppliance({ launch: [`NODE_OPTIONS=--require=${none}`] })
  onTestFinished(() => appliance.clear())
  expect(appliance.said()).toContain('slower than it could be: offenders on sockets of Node')
  const { code, stdout } = await appliance.decoymx('status')
  expect([code, stdout]).toEqual([0, expect.stringMatching(/^OK {2}decoymx/)])
  expect(stdout).toMatch(/^ {2}- slower than it could be: .*koffi.* Next: install it with its optional packages/m)
  const told = await appliance.decoymx('doctor', '--json')
  expect((JSON.parse(told.stdout) as { findings: object[] }).findings).toContainEqual(
    expect.objectContaining({ check: 'speed', level: 'note', next: expect.stringContaining('npm ci') as string }),
  )
  const metrics = await textAt(appliance, '/metrics')
  // Both decoys with and without PROXY protocol, and the DNSBL over UDP.
  expect(metrics).toMatch(/^decoymx_listeners_slow 5$/m)
})
