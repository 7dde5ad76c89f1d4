/**
 * Which real programs do the tests find here? They start private copies of them. Where one is missing, one sentence says
 * what to install; in CI that is a failure, elsewhere the tests that need it are skipped and counted as such.
 */
import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import type { TestProject } from 'vitest/node'

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
} as const

export type Program = keyof typeof PROGRAMS

declare module 'vitest' {
  interface ProvidedContext {
    missing: Program[]
  }
}

export default function setup(project: TestProject): () => void {
  const endCache = shareCompiled()
  const missing = (Object.keys(PROGRAMS) as Program[]).filter((program) => !isInstalled(program))
  project.provide('missing', missing)
  if (missing.length === 0) return endCache
  const packages = missing.map((program) => PROGRAMS[program]).join(' ')
  const sentence = `These tests want real servers: install them with "apt-get install --no-install-recommends ${packages}".`
  if (process.env['CI']) throw new Error(sentence)
  const skipping = `\n${sentence} Until then the tests that need them are skipped.\n\n`
  process.stderr.write(skipping)
  // Once more at the end, where it is not scrolled away.
  return () => {
    endCache()
    process.stderr.write(skipping)
  }
}

/** The tests start decoymx many hundred times: Node compiles it once for all of them, which halves what a start takes. */
function shareCompiled(): () => void {
  if (process.env['NODE_COMPILE_CACHE'] !== undefined) return () => {}
  const folder = mkdtempSync(join(tmpdir(), 'dmx-compiled-'))
  process.env['NODE_COMPILE_CACHE'] = folder
  return () => rmSync(folder, { recursive: true, force: true })
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
