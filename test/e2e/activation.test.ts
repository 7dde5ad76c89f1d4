/**
 * Socket activation by systemd's own tool, which opens the sockets and starts us when somebody calls. It becomes the
 * program that it starts, so a few lines of shell keep the sockets, as the init system would, and start the appliance as
 * often as they are told to.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { delimiter, join } from 'node:path'
import { describe, expect, inject, onTestFinished, test } from 'vitest'
import { stringify } from 'yaml'
import { HONEST, Visitor } from '../decoy/visitors.ts'
import { freePorts } from '../doors.ts'
import { folder } from '../folders.ts'
import { runToEnd } from './appliance.ts'

const START = join(import.meta.dirname, '../../src/start.js')

/** Nothing listens but what is given. */
const SETTINGS = {
  decoys: { primary: { listen: [], proxy: [] }, backup: { listen: [], proxy: [] } },
  policy: { listen: [] },
  dnsbl: { listen: [] },
  http: { listen: [] },
}

const KEEPER = `
while read -r word; do
  sh -c 'LISTEN_PID=$$ exec "$@"' sh "$@" < /dev/null &
  echo "started $!"
  wait $!
  echo "ended $?"
done
`

/** The Node that runs us, and one on the PATH that start.js hands over from, if there is such an old one. */
const NODES = [process.execPath, ...(process.env['PATH'] ?? '').split(delimiter).map((each) => join(each, 'node'))]
  .filter((node, i) => i === 0 || (existsSync(node) && majorOf(node) < 24))
  .slice(0, 2)
  .map((node) => ({ node, version: `Node ${majorOf(node)}` }))

function majorOf(node: string): number {
  return Number.parseInt(execFileSync(node, ['--version'], { encoding: 'utf8' }).slice(1), 10)
}

type Kept = {
  readonly port: (name: string) => number
  /** Starts the appliance; settles when it is ready. */
  readonly start: () => Promise<void>
  /** SIGTERM; settles with its exit code. */
  readonly stop: () => Promise<string>
  readonly said: () => string
}

/** The sockets are open when this settles, and nobody accepts from them yet. */
async function keep(node: string, names: readonly string[], { over = 'tcp', workers = 0 } = {}): Promise<Kept> {
  const ports = await freePorts(names.length)
  const home = folder()
  const settings = join(home, 'decoymx.yaml')
  writeFileSync(settings, stringify({ ...SETTINGS, decoys: { ...SETTINGS.decoys, workers } }))
  const words = ['sh', '-c', KEEPER, 'sh', node, START, 'run', '--state', join(home, 'state'), '--settings', settings]
  const activator = spawn(
    'systemd-socket-activate',
    [
      ...(over === 'udp' ? ['--datagram'] : []),
      ...ports.map((port) => `--listen=127.0.0.1:${port}`),
      `--fdname=${names.join(':')}`,
      ...words,
    ],
    { stdio: 'pipe' },
  )
  const hear = listenTo(activator)
  let pid = 0
  onTestFinished(async () => {
    const gone = once(activator, 'close')
    activator.kill('SIGKILL')
    if (pid > 0) process.kill(pid, 'SIGKILL')
    await gone
  })
  await hear.until(new RegExp(`Listening on 127\\.0\\.0\\.1:${ports.at(-1)} `))
  return {
    port: (name) => ports[names.indexOf(name)] as number,
    said: hear.said,
    async start() {
      const from = hear.said().length
      activator.stdin.write('go\n')
      pid = Number((await hear.until(/started (\d+)\n/, from))[1])
      const [word] = await hear.until(/"msg":"ready, |ended \d/, from)
      if (word.startsWith('ended')) pid = 0
    },
    async stop() {
      const from = hear.said().length
      process.kill(pid, 'SIGTERM')
      const [, code = ''] = await hear.until(/ended (\d+)\n/, from)
      pid = 0
      return code
    },
  }
}

function listenTo(child: ChildProcess) {
  let said = ''
  let look = () => {}
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => {
      said += String(chunk)
      look()
    })
  const until = (pattern: RegExp, from = 0) =>
    new Promise<RegExpExecArray>((resolve, reject) => {
      look = () => {
        const found = pattern.exec(said.slice(from))
        if (found) resolve(found)
      }
      child.once('close', () => reject(new Error(`it never said ${String(pattern)}:\n${said}`)))
      look()
    })
  return { said: () => said, until }
}

function call(port: number): Visitor {
  return new Visitor(connect({ port, host: '127.0.0.1', allowHalfOpen: true }))
}

describe.skipIf(inject('missing').includes('systemd-socket-activate'))('socket activation', () => {
  const ways = [
    ...NODES.map((each) => ({ ...each, workers: 0 })),
    ...NODES.slice(-1).map((each) => ({ ...each, workers: 2 })),
  ]
  test.each(ways)('$version, $workers workers: who calls while we are away is served after it', async (way) => {
    const kept = await keep(way.node, ['policy', 'backup'], way)
    const first = call(kept.port('backup'))
    await first.connected
    expect(first.heard).toBe('')
    await kept.start()
    expect((await first.walk(...HONEST)).map((reply) => reply?.slice(0, 3))).toEqual([
      '220',
      '250',
      '250',
      '451',
      '221',
    ])
    expect(await kept.stop()).toBe('0')

    const [caller, asker] = [call(kept.port('backup')), call(kept.port('policy'))]
    await Promise.all([caller.connected, asker.connected])
    asker.socket.end('request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address=203.0.113.9\n\n')
    await kept.start()
    expect((await caller.walk(...HONEST)).map((reply) => reply?.slice(0, 3))).toEqual([
      '220',
      '250',
      '250',
      '451',
      '221',
    ])
    await asker.ended
    expect(asker.heard).toBe('action=DUNNO\n\n')
    expect(await kept.stop()).toBe('0')
  })

  test.each(NODES)('$version: a UDP socket is taken, and TCP beside it opened by us', async ({ node }) => {
    const kept = await keep(node, ['dnsbl-udp'], { over: 'udp' })
    const port = String(kept.port('dnsbl-udp'))
    const dig = (...words: string[]) =>
      runToEnd('dig', ['+short', '+tries=1', '+time=60', '-p', port, '@127.0.0.1', ...words])
    const answer = dig('2.0.0.127.bl.decoymx.test')
    await kept.start()
    expect((await answer).stdout).toBe('127.0.0.2\n')
    expect((await dig('+tcp', '2.0.0.127.bl.decoymx.test')).stdout).toBe('127.0.0.2\n')
  })

  test('a name that is none stops the start, and is said', async () => {
    const kept = await keep(process.execPath, ['polcy'])
    await call(kept.port('polcy')).connected
    await kept.start()
    expect(kept.said()).toContain(
      'LISTEN_FDNAMES:1:1: descriptor 3 ("polcy") is no door of ours\n  = did you mean policy?\n',
    )
    expect(kept.said()).toMatch(/ended 1\n/)
  })
})
