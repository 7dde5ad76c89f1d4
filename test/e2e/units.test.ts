/** The units as systemd's own tools read them: how much of the host they leave open, printed as systemd prints it. */
import { spawnSync } from 'node:child_process'
import { cpSync, globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, inject, test } from 'vitest'
import { folder } from '../folders.ts'

const project = join(import.meta.dirname, '../..')
const deploy = join(project, 'deploy/systemd')
/** On systemd's scale from 0 to 10, where 10 is no protection at all. */
const EXPOSURE_MAX = 2

/** The unit where systemd would have it, with or without its drop-in. */
function exposure(unit: string, dropIns: boolean): { readonly said: string; readonly level: number } {
  const place = folder()
  cpSync(join(deploy, unit), join(place, unit))
  if (dropIns) {
    mkdirSync(join(place, `${unit}.d`))
    for (const file of globSync('*.conf', { cwd: join(deploy, `${unit}.d`) }))
      cpSync(join(deploy, `${unit}.d`, file), join(place, `${unit}.d`, file))
  }
  const words = ['security', '--offline=true', '--no-pager', join(place, unit)]
  const { stdout } = spawnSync('systemd-analyze', words, { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C' } })
  const said = /Overall exposure level for .*/.exec(stdout)?.[0] ?? stdout
  return { said, level: Number(/: (\d+\.\d+)/.exec(said)?.[1] ?? NaN) }
}

describe.skipIf(inject('missing').includes('systemd-analyze'))('systemd-analyze security', () => {
  const services = globSync('*.service', { cwd: deploy })
  const ways = services.flatMap((unit) => [
    { unit, dropIns: false, as: 'by itself' },
    { unit, dropIns: true, as: 'with its drop-ins' },
  ])
  test('there are services to look at', () => expect(services).toContain('decoymx.service'))
  test.each(ways)('$unit, $as, is exposed by at most 2.0', ({ unit, dropIns, as }) => {
    const { said, level } = exposure(unit, dropIns)
    console.log(`${said} (${as})`)
    expect(level).toBeLessThanOrEqual(EXPOSURE_MAX)
  })
})

describe.skipIf(inject('missing').includes('systemd-analyze'))('decoymx.service', () => {
  const words = readFileSync(join(deploy, 'decoymx.service'), 'utf8')

  test('is understood by systemd, every line', () => {
    const place = folder()
    // Its program need not be installed here.
    writeFileSync(join(place, 'decoymx.service'), words.replaceAll('/usr/bin/decoymx', '/bin/true'))
    const { stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', join(place, 'decoymx.service')], {
      encoding: 'utf8',
      env: { ...process.env, LC_ALL: 'C' },
    })
    expect(stderr.split('\n').filter((line) => line.includes('decoymx.service'))).toEqual([])
  })

  test('may write wherever our pages and settings put a socket or a log', () => {
    const texts = ['docs/*.md', 'deploy/**/*.yaml'].flatMap((glob) =>
      globSync(glob, { cwd: project }).map((file) => readFileSync(join(project, file), 'utf8')),
    )
    const paths = new Set(
      texts.flatMap((text) => text.match(/(?<=unix:)\/run\/\w+|\/var\/(?:log|lib)\/decoymx/g) ?? []),
    )
    expect([...paths].toSorted()).toEqual(['/run/decoymx', '/var/lib/decoymx', '/var/log/decoymx'])
    for (const kind of ['Runtime', 'State', 'Logs'])
      expect(words).toMatch(new RegExp(`^${kind}Directory=decoymx$`, 'm'))
  })

  test('comes back for as long as it takes', () => {
    expect(words).toMatch(/^Restart=on-failure\nRestartSec=2$/m)
    expect(/\[Unit\][^[]*/.exec(words)?.[0]).toMatch(/^StartLimitIntervalSec=0$/m)
  })
})
