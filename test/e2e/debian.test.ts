/** The Debian package, built by its script, and its life by the real dpkg (debian.sh), on this machine but leaving nothing. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const project = join(import.meta.dirname, '../..')
const root = process.getuid?.() === 0

/** Runs it to its end, and gives what it said. */
function run(program: string, words: readonly string[], env: NodeJS.ProcessEnv = {}): string {
  const ended = spawnSync(program, words, { encoding: 'utf8', env: { ...process.env, ...env }, timeout: 240_000 })
  const said = `${ended.stdout}${ended.stderr}`
  if (ended.status !== 0) throw new Error(`${program} ${words.join(' ')} ended with ${ended.status}:\n${said}`)
  return said
}

/** The sources of the commit before take the place of these. */
function putBefore(lib: string): boolean {
  const git = (...words: string[]) => spawnSync('git', ['-C', project, ...words], { maxBuffer: 64 * 1024 * 1024 })
  const lock = git('show', 'HEAD~1:package-lock.json')
  if (lock.status !== 0 || !lock.stdout.equals(readFileSync(join(project, 'package-lock.json')))) return false
  const { status, stdout } = git('archive', 'HEAD~1', 'src', 'rules.yaml', 'package.json', 'deploy')
  if (status !== 0) return false
  for (const name of ['src', 'deploy']) rmSync(join(lib, name), { recursive: true })
  return spawnSync('tar', ['-C', lib, '--no-same-owner', '-x'], { input: stdout }).status === 0
}

describe.skipIf(!root)('the Debian package', () => {
  const packages = mkdtempSync(join(tmpdir(), 'dmx-deb-'))
  afterAll(() => rmSync(packages, { recursive: true, force: true }))

  /** Built once; what is upgraded from has the sources of the commit before, where these are known and want the same packages. */
  beforeAll(() => {
    run(join(project, 'deploy/debian/build.sh'), [packages], { VERSION: '1.0', COMPRESSION: 'none' })
    const [first, unpacked] = [run('bash', ['-c', `echo ${packages}/*.deb`]).trim(), join(packages, 'unpacked')]
    run('dpkg-deb', ['-R', first, unpacked])
    const control = join(unpacked, 'DEBIAN/control')
    writeFileSync(control, readFileSync(control, 'utf8').replace('Version: 1.0', 'Version: 1.1'))
    run('dpkg-deb', ['-Znone', '--root-owner-group', '-b', unpacked, first.replace('_1.0_', '_1.1_')])
    writeFileSync(control, readFileSync(control, 'utf8').replace('Version: 1.1', 'Version: 1.0'))
    if (putBefore(join(unpacked, 'usr/lib/decoymx'))) {
      run('dpkg-deb', ['-Znone', '--root-owner-group', '-b', unpacked, first])
    } else console.log('upgraded from the same sources: those before are not known, or want other packages')
  }, 240_000)

  test(
    'is installed and serves, is upgraded and keeps what was decided, is removed, purged leaves nothing, and is restored',
    { timeout: 300_000 },
    () => {
      const said = run(join(import.meta.dirname, 'debian.sh'), [packages])
      console.log(said)
      const [, install = '', settings, served, upgrade, removed, purged, restored] = said.split(/^== .*\n/m)
      expect(install).toContain('decoymx init --into /etc/decoymx')
      expect(install).toContain('install ok installed 1.0')
      expect(install).toContain('/usr/share/man/man1/decoymx-why.1.gz')
      const { arch } = process
      expect(install).toContain(` KB, ${arch === 'x64' ? 'amd64' : arch}\n`)
      expect(install.match(/^\.\/.*$/gm)).toEqual([`./@koromix/koffi-linux-${arch}/linux_${arch}/koffi.node`])
      expect(settings).toContain('sound ')
      expect(served).toMatch(
        /ready, mode observe\nblocked 203\.0\.113\.9\/32 .*\nDNSBL, UDP\t.*\topen, in bursts\n127\.0\.0\.2\nended with 0/,
      )
      expect(upgrade).toContain('install ok installed 1.1')
      expect(upgrade).toMatch(/203\.0\.113\.9\/32\tblock\toperator decoymx\t.*before the upgrade\tnobody\nended with 0/)
      expect(removed).toMatch(/decoymx\.yaml\nrules\.yaml\n[^]*journal\n[^]*no code is left/)
      expect(purged).toContain('no user is left')
      expect(purged).not.toContain('left:')
      // From the settings and the recording alone.
      expect(restored).toMatch(
        /sound [^]*ready, mode observe\n[^]*203\.0\.113\.9\/32\tblock\toperator decoymx\t.*before the upgrade\tnobody\nended with 0/,
      )
    },
  )
})
