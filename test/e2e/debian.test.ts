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

describe.skipIf(!root)('the Debian package', () => {
  const packages = mkdtempSync(join(tmpdir(), 'dmx-deb-'))
  afterAll(() => rmSync(packages, { recursive: true, force: true }))

  /** Built once; the next version is the same with another number. */
  beforeAll(() => {
    run(join(project, 'deploy/debian/build.sh'), [packages], { VERSION: '1.0', COMPRESSION: 'none' })
    const [first, unpacked] = [run('bash', ['-c', `echo ${packages}/*.deb`]).trim(), join(packages, 'unpacked')]
    run('dpkg-deb', ['-R', first, unpacked])
    const control = join(unpacked, 'DEBIAN/control')
    writeFileSync(control, readFileSync(control, 'utf8').replace('Version: 1.0', 'Version: 1.1'))
    run('dpkg-deb', ['-Znone', '--root-owner-group', '-b', unpacked, first.replace('_1.0_', '_1.1_')])
  }, 240_000)

  test(
    'is installed and serves, is upgraded and keeps what was decided, is removed, and purged leaves nothing',
    { timeout: 300_000 },
    () => {
      const said = run(join(import.meta.dirname, 'debian.sh'), [packages])
      console.log(said)
      const [, install, settings, served, upgrade, removed, purged] = said.split(/^== .*\n/m)
      expect(install).toContain('decoymx init --into /etc/decoymx')
      expect(install).toContain('install ok installed 1.0')
      expect(install).toContain('/usr/share/man/man1/decoymx-why.1.gz')
      expect(settings).toContain('sound ')
      expect(served).toMatch(/ready, mode observe\nblocked 203\.0\.113\.9\/32 .*\nended with 0/)
      expect(upgrade).toContain('install ok installed 1.1')
      expect(upgrade).toMatch(/203\.0\.113\.9\/32\tblock\toperator decoymx\t.*before the upgrade\nended with 0/)
      expect(removed).toMatch(/decoymx\.yaml\nrules\.yaml\n[^]*journal\n[^]*no code is left/)
      expect(purged).toContain('no user is left')
      expect(purged).not.toContain('left:')
    },
  )
})
