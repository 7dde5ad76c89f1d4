/**
 * Where others are slow: a worker that does not come to its doors (a stopped process is as slow as can be), a log that nobody
 * reads. Whoever asks is answered meanwhile, and the appliance ends when it is told to.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, onTestFinished, test } from 'vitest'
import { stringify } from 'yaml'
import { ask } from '../../src/command/appliance.ts'
import type { StatusView } from '../../src/daemon/status-view.ts'
import { type Address, parseAddress } from '../../src/settings/places.ts'
import { folder } from '../folders.ts'
import { ANYWHERE, environment } from './appliance.ts'

const ROOT = join(import.meta.dirname, '../..')
/** From SIGTERM to the end: what it allows itself, and some for a busy machine. Under systemd it would have 10 s. */
const END_MS = 8000
const QUESTIONS = 6000

function start(workers: number) {
  const place = folder()
  const [state, settings] = [join(place, 'state'), join(place, 'decoymx.yaml')]
  writeFileSync(settings, stringify({ ...ANYWHERE, decoys: { ...ANYWHERE.decoys, workers } }))
  const child = spawn(process.execPath, [join(ROOT, 'src/start.js'), 'run', '--state', state, '--settings', settings], {
    cwd: ROOT,
    env: environment(undefined),
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  return { child, state }
}

async function doorsOf(state: string): Promise<StatusView['doors']> {
  return ((await ask(state, 'GET', '/api/v1/status')).body as StatusView).doors
}

/** Settles when its door is open. */
async function policyOf(state: string) {
  const found = async () => (await doorsOf(state)).find(({ name, open }) => name === 'policy' && open)
  let door = await found()
  while (!door) door = await found()
  const socket = connect(parseAddress(door.address) as Address)
  onTestFinished(() => void socket.destroy())
  return async (ip: string) => {
    socket.write(`request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address=${ip}\n\n`)
    return String((await once(socket, 'data'))[0])
  }
}

async function endOf(child: ChildProcess): Promise<unknown[]> {
  const ended = once(child, 'exit')
  const killed = setTimeout(() => child.kill('SIGKILL'), END_MS)
  child.kill('SIGTERM')
  return await ended.finally(() => clearTimeout(killed))
}

test('while a worker begins, whoever asks is answered, SIGHUP ends nobody, and SIGTERM ends all in order', async () => {
  const { child, state } = start(2)
  let said = ''
  const worker = await new Promise<number>((resolve) => {
    createInterface(child.stdout).on('line', (line) => {
      // At its first word, before anybody could read anything again.
      if (said === '') child.kill('SIGHUP')
      said += `${line}\n`
      const { pid, msg } = JSON.parse(line) as { pid: number; msg: string }
      if (msg !== 'worker 1: began') return
      process.kill(pid, 'SIGSTOP')
      resolve(pid)
    })
  })
  expect(await (await policyOf(state))('203.0.113.9')).toMatch(/^action=DUNNO/)
  const { status, body } = await ask(state, 'GET', '/readyz')
  expect(status).toBe(503)
  expect(JSON.stringify(body)).toContain('primary decoy 127.0.0.1:0: not open yet')
  expect(said).not.toContain('ready, mode')

  const ended = endOf(child)
  process.kill(worker, 'SIGCONT')
  expect(await ended).toEqual([0, null])
  expect(() => process.kill(worker, 0)).toThrow('ESRCH')
})

test('whoever reads the log has stopped: answers go on, and the end comes all the same', async () => {
  const { child, state } = start(0)
  const log = child.stdout as NonNullable<ChildProcess['stdout']>
  let said = ''
  for await (const chunk of log.iterator({ destroyOnReturn: false }))
    if ((said += String(chunk)).includes('"msg":"ready, ')) break
  log.pause()
  const policy = await policyOf(state)
  for (let n = 0; n < QUESTIONS; n++) expect(await policy(`203.0.${n >> 8}.${n & 255}`)).toMatch(/^action=DUNNO/)
  // Far more than a pipe and its reader hold.
  expect(await endOf(child)).toEqual([0, null])
})
