/**
 * `npm start`, as the README has it: between npm and the appliance stands nothing that would take a signal and leave the
 * appliance behind with all its ports.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { stringify } from 'yaml'
import type { StatusView } from '../../src/daemon/status-view.ts'
import { parseAddress } from '../../src/settings/places.ts'
import { controlSocket } from '../../src/settings/state.ts'
import { ask } from '../../src/command/appliance.ts'
import { callAt, type Door } from '../doors.ts'
import { folder } from '../folders.ts'

const ROOT = join(import.meta.dirname, '../..')
const ANY = ['127.0.0.1:0']

/** The processes that this state directory is named to, as the kernel knows them. */
function processesOf(state: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && commandOf(name).includes(state))
    .map(Number)
}

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return ''
  }
}

async function started(state: string): Promise<ChildProcess> {
  const settings = join(folder(), 'decoymx.yaml')
  const decoy = { listen: ANY, proxy: ANY }
  const rest = { policy: { listen: ANY }, dnsbl: { listen: ANY }, http: { listen: ANY } }
  writeFileSync(settings, stringify({ decoys: { primary: decoy, backup: decoy }, ...rest }))
  // Not as in here, where npm may have been told what it does and by which Node.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(?:npm_|NODE_|VITEST|INIT_CWD|DECOYMX_)/i.test(name)),
  )
  const words = ['start', '--silent', '--', '--state', state, '--settings', settings]
  const npm = spawn('npm', words, { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'pipe'] })
  onTestFinished(() => {
    for (const pid of [...processesOf(state), npm.pid as number])
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // It has ended, as it should.
      }
  })
  let said = ''
  await new Promise<void>((resolve, reject) => {
    for (const stream of [npm.stdout, npm.stderr])
      stream.on('data', (chunk: Buffer) => {
        said += chunk.toString()
        if (said.includes('"msg":"ready, ')) resolve()
      })
    npm.once('close', () => reject(new Error(`it ended while starting: ${said}`)))
  })
  return npm
}

test.each([
  ['npm', (npm: ChildProcess) => npm.pid as number],
  ['what npm runs', (_: ChildProcess, appliance: number) => appliance],
])('SIGTERM to %s ends the appliance, and nothing is left', async (_, whom) => {
  const state = folder()
  const npm = await started(state)
  const { pid, doors } = (await ask(state, 'GET', '/api/v1/status')).body as StatusView
  // npm, and the appliance itself: no shell between them.
  expect(new Set(processesOf(state))).toEqual(new Set([npm.pid as number, pid]))

  const closed = once(npm, 'close')
  process.kill(whom(npm, pid), 'SIGTERM')
  await closed
  await expect.poll(() => processesOf(state)).toEqual([])
  expect(existsSync(controlSocket(state))).toBe(false)
  for (const { address } of doors) expect(await callAt(parseAddress(address) as Door)).toBe('ECONNREFUSED')
})
