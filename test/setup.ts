/**
 * Before all tests, and after them.
 *
 * Which real programs do the tests find here? They start private copies of them. Where one is missing, one sentence says
 * what to install; in CI that is a failure, elsewhere the tests that need it are skipped and counted as such.
 *
 * All that a run writes for a while is in one folder of its own, whatever tests forget or a failure keeps them from: it goes at the
 * end, and what a run has left that was killed goes with the next.
 */
import { accessSync, chmodSync, constants, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { HAS_IPV6 } from './doors.ts'

/** Program to Debian package. */
const PROGRAMS = {
  'redis-server': 'redis-server',
  postfix: 'postfix',
  swaks: 'swaks',
  dig: 'dnsutils',
  ip: 'iproute2',
  nft: 'nftables',
  ipset: 'ipset',
  rbldnsd: 'rbldnsd',
  tcpdump: 'tcpdump',
  openssl: 'openssl',
  'systemd-socket-activate': 'systemd',
  'systemd-analyze': 'systemd',
  dnsmasq: 'dnsmasq-base',
  chromium: 'chromium',
  fish: 'fish',
  zsh: 'zsh',
  man: 'man-db',
  nsd: 'nsd',
  'fail2ban-regex': 'fail2ban',
  pflogsumm: 'pflogsumm',
  prometheus: 'prometheus',
  faketime: 'faketime',
  strace: 'strace',
} as const

export type Program = keyof typeof PROGRAMS

declare module 'vitest' {
  interface ProvidedContext {
    missing: Program[]
    /** Where Node keeps what it has compiled. */
    compiled: string
  }
}

export default function setup(project: TestProject): () => void {
  const clear = openFolder(project)
  if (!HAS_IPV6) process.stderr.write('\nThere is no ::1 here: what is tried over IPv6 on loopback is skipped.\n\n')
  const missing = (Object.keys(PROGRAMS) as Program[]).filter((program) => !isInstalled(program))
  project.provide('missing', missing)
  if (missing.length === 0) return clear
  const packages = missing.map((program) => PROGRAMS[program]).join(' ')
  const sentence = `These tests want real servers: install them with "apt-get install --no-install-recommends ${packages}".`
  if (process.env['CI']) throw new Error(sentence)
  const skipping = `\n${sentence} Until then the tests that need them are skipped.\n\n`
  process.stderr.write(skipping)
  // Once more at the end, where it is not scrolled away.
  return () => {
    clear()
    process.stderr.write(skipping)
  }
}

/** How long those that end with the run may go on writing. */
const CLEAR_MS = 3000

function openFolder(project: TestProject): () => void {
  const above = tmpdir()
  for (const name of readdirSync(above)) {
    const pid = /^dmx-run-(\d+)-/.exec(name)?.[1]
    if (pid !== undefined && !isAlive(Number(pid))) rmSync(join(above, name), { recursive: true, force: true })
  }
  const folder = mkdtempSync(join(above, `dmx-run-${process.pid}-`))
  // Servers that run as users of their own have their places in it.
  chmodSync(folder, 0o755)
  process.env['TMPDIR'] = folder
  project.provide('compiled', join(folder, 'compiled'))
  return () => {
    for (const since = performance.now(); existsSync(folder) && performance.now() - since < CLEAR_MS;)
      rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
    process.env['TMPDIR'] = above
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    // Somebody else's is none of ours to clear.
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

function isInstalled(program: string): boolean {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin']
  return folders.some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}
