/** `tail` beside a running appliance: what is seen comes as it is seen, filtered as asked. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, onTestFinished, test } from 'vitest'
import { runToEnd, startAppliance } from './appliance.ts'

const START = join(import.meta.dirname, '../../src/start.js')

test('tells of a visit as it happens, and of nothing else; exit 0 when interrupted', { timeout: 100_000 }, async () => {
  const appliance = await startAppliance({})
  onTestFinished(appliance.clear)
  const door = appliance.door('backup decoy, PROXY')
  const visit = async (ip: string) => {
    const socket = connect(door.port, door.host)
    socket.on('error', () => {})
    socket.resume()
    socket.end(`PROXY TCP4 ${ip} 192.0.2.1 4000 25\r\nQUIT\r\n`)
    await once(socket, 'close')
  }
  const state = join(appliance.folder, 'state')
  const words = ['tail', '203.0.113.0/24', '--kind', 'early-talk', '--verdict', 'clean', '--json', '--state', state]
  const child = spawn(process.execPath, [START, ...words], { stdio: ['ignore', 'pipe', 'ignore'] })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const first = lines.next()
  // It follows from some moment on, and says nothing of when: so they come until it has seen one.
  let seen: IteratorResult<string> | undefined
  void first.then((line) => (seen = line))
  while (!seen) {
    await visit('198.51.100.7')
    await visit('203.0.113.7')
  }
  expect(JSON.parse((await first).value as string)).toMatchObject({
    client: '203.0.113.7',
    role: 'backup',
    kind: 'early-talk',
    detail: 'QUIT',
  })
  child.kill('SIGINT')
  const [code] = (await once(child, 'exit')) as [number | null]
  expect(code).toBe(0)
})

test('says so where no appliance runs, and what it takes', async () => {
  const { code, stderr } = await runToEnd(process.execPath, [START, 'tail', '--state', '/nowhere'])
  expect(code).toBe(1)
  expect(stderr).toMatch(/no decoymx is running on \/nowhere/)
  const { code: usage, stderr: told } = await runToEnd(process.execPath, [START, 'tail', '--role', 'middle'])
  expect(usage).toBe(64)
  expect(told).toMatch(/primary, backup, real/)
})
