/**
 * `demo`: the whole flow in a minute, on loopback, without root, Redis or a spare IP.
 *
 * It runs a real appliance in a state directory that goes again, and a stand-in for the real MX that asks the policy service
 * as Postfix would; demo-play.ts plays senders to both.
 *
 * It stays up afterwards, to be looked at; with `once` it ends, and the exit code says whether the story held: honest mail
 * arrived, and nobody honest was listed.
 */
import type { Complain } from './exit-codes.ts'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { stringify } from 'yaml'
import type { Screen } from '../console/terminal.ts'
import { ask } from './appliance.ts'
import { type Doors, play, TALKER } from './demo-play.ts'
import { parseAddress } from '../settings/places.ts'
import { openStandIn, type StandIn } from './stand-in.ts'
import type { StatusView } from '../daemon/status-view.ts'
import { typed } from '../console/called.ts'

export type DemoOptions = {
  readonly once: boolean
  readonly screen: Screen
  readonly complain: Complain
}

const ROOT = join(import.meta.dirname, '../..')
/** From its start to open doors, on a busy machine. */
const READY_MS = 60_000

export async function demo({ once: onlyOnce, screen, complain }: DemoOptions): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'decoymx-demo-'))
  const standIn = await openStandIn()
  let appliance: ChildProcess | undefined
  const stopped = new AbortController()
  const stop = () => stopped.abort()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stop)
  try {
    const state = join(folder, 'state')
    appliance = start(folder, state, standIn)
    const ended = once(appliance, 'exit')
    const doors = await openDoors(state, appliance, stopped.signal)
    if (!doors)
      return stopped.signal.aborted
        ? 130
        : complain({ error: 'the appliance did not start', hint: `${typed('run')} says why` })
    standIn.asks(doors.policy)
    const held = await play({ state, doors, standIn, screen })
    if (!onlyOnce && !stopped.signal.aborted) {
      for (const line of thingsToTry(state, doors, screen)) screen.print(line)
      await Promise.race([ended, once(stopped.signal, 'abort')])
    }
    return held ? 0 : 1
  } finally {
    standIn.close()
    if (appliance && appliance.exitCode === null) {
      appliance.kill('SIGTERM')
      await Promise.race([once(appliance, 'exit'), sleep(6000)])
      if (appliance.exitCode === null) appliance.kill('SIGKILL')
    }
    rmSync(folder, { recursive: true, force: true })
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.removeListener(signal, stop)
  }
}

/** A real one, as `decoymx run` starts it; any free port will do. */
function start(folder: string, state: string, { witnessed }: StandIn): ChildProcess {
  const any = ['127.0.0.1:0']
  const settings = join(folder, 'decoymx.yaml')
  const decoy = { listen: any, proxy: any }
  const text = {
    decoys: { primary: decoy, backup: decoy },
    'real-mx': { greet: [`127.0.0.1:${witnessed}`], every: '1s' },
    policy: { listen: any },
    dnsbl: { listen: any },
    http: { listen: any },
  }
  writeFileSync(settings, stringify(text))
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('DECOYMX_')))
  const words = ['run', '--state', state, '--settings', settings, '--rules', join(ROOT, 'rules.yaml')]
  // The channel ends it, however we end. What it logs is in the console and in `status`, not between our lines.
  return spawn(process.execPath, [join(ROOT, 'src/start.js'), ...words], {
    cwd: ROOT,
    env,
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    detached: true,
  })
}

async function openDoors(state: string, appliance: ChildProcess, signal: AbortSignal): Promise<Doors | undefined> {
  for (const until = Date.now() + READY_MS; Date.now() < until; await sleep(100)) {
    if (appliance.exitCode !== null || signal.aborted) return undefined
    const reply = await ask(state, 'GET', '/api/v1/status').catch(() => undefined)
    if (reply?.status !== 200) continue
    const { doors, realMx } = reply.body as StatusView
    const at = (name: string) => parseAddress(doors.find((door) => door.name === name && door.open)?.address ?? '')
    const [primary, backup] = [at('primary decoy, PROXY'), at('backup decoy, PROXY')]
    const [policy, dnsbl, http] = [at('policy'), at('DNSBL, UDP') ?? at('DNSBL'), at('HTTP')]
    if (primary && backup && policy && dnsbl && http && realMx?.outcome === 'up')
      return { primary, backup, policy, dnsbl, http }
  }
  return undefined
}

function thingsToTry(state: string, { policy, dnsbl, http }: Doors, screen: Screen): string[] {
  const { bold, dim, cyan } = screen.colours
  const tries: [string, string][] = [
    [`http://${http.host}:${http.port}/`, 'the console, in a browser'],
    [`export DECOYMX_STATE=${state}`, 'first, in another shell: whom the commands below ask'],
    [typed(`why ${TALKER}`), 'the decision and its arithmetic'],
    [typed('list'), 'the decisions that stand'],
    [typed(`allow ${TALKER} --because "a partner"`), 'your word stands above the rules'],
    [`dig @${dnsbl.host} -p ${dnsbl.port} 5.113.0.203.bl.decoymx.test TXT`, 'ask by DNS'],
    [
      `printf 'request=smtpd_access_policy\\nclient_address=${TALKER}\\n\\n' | nc -q1 ${policy.host} ${policy.port}`,
      'ask as Postfix does',
    ],
  ]
  return [
    '',
    bold('It stays up until Ctrl-C. Try:'),
    ...tries.flatMap(([command, what]) => [`  ${cyan(command)}`, `      ${dim(what)}`]),
  ]
}
