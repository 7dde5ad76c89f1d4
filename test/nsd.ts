/**
 * A real authoritative name server (NSD) on a private port of loopback, over UDP and TCP, with zones from files. Gone with the
 * test file that starts it.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePorts } from './doors.ts'

/** @param zones - each zone's file by its name; `folder`: for the server's own files. Settles when it answers. */
export async function startNsd(
  zones: Readonly<Record<string, string>>,
  folder: string,
): Promise<{ readonly host: string; readonly port: number; readonly stop: () => Promise<void> }> {
  // It takes no port 0.
  const [host, port] = ['127.0.0.1', (await freePorts(1))[0] as number]
  const settings = [
    'server:',
    `  ip-address: ${host}@${port}`,
    `  zonesdir: "${folder}"`,
    '  database: ""',
    '  username: ""',
    '  chroot: ""',
    `  pidfile: "${join(folder, 'nsd.pid')}"`,
    `  zonelistfile: "${join(folder, 'zone.list')}"`,
    `  xfrdfile: "${join(folder, 'xfrd.state')}"`,
    `  xfrdir: "${folder}"`,
    '  server-count: 1',
    '  verbosity: 1',
    'remote-control:',
    '  control-enable: no',
    ...Object.entries(zones).flatMap(([name, file]) => ['zone:', `  name: "${name}"`, `  zonefile: "${file}"`]),
  ]
  const file = join(folder, 'nsd.conf')
  writeFileSync(file, `${settings.join('\n')}\n`)
  const child = spawn('nsd', ['-d', '-c', file], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin:/sbin` },
  })
  const end = () => void child.kill('SIGKILL')
  process.once('exit', end)
  child.once('close', () => process.off('exit', end))
  let said = ''
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', () => reject(new Error(`nsd ended while starting: ${said}`)))
    child.stderr.on('data', (chunk: Buffer) => {
      said = `${said}${chunk.toString()}`.slice(-4000)
      if (/nsd started/.test(said)) resolve()
    })
  })
  return {
    host,
    port,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return
      child.kill('SIGTERM')
      await once(child, 'close')
    },
  }
}
