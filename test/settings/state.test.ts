/** Whose the state directory is: what hinders an appliance there is told with the next step. */
import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { stateFindings } from '../../src/command/health/host-check.ts'
import { lockState } from '../../src/settings/state.ts'
import { folder } from '../folders.ts'

const NOBODY = 65_534

/** What `run` refuses with, and what the doctor finds, as another user in a process of its own: root may write everywhere. */
function asNobody(state: string): { readonly run: string | null; readonly doctor: unknown[] } {
  const from = (path: string) => JSON.stringify(new URL(`../../src/${path}`, import.meta.url).href)
  const code = `const { lockState } = await import(${from('settings/state.ts')});
    const { stateFindings } = await import(${from('command/health/host-check.ts')});
    process.setgroups([]); process.setgid(${NOBODY}); process.setuid(${NOBODY});
    const doctor = stateFindings(${JSON.stringify(state)});
    const lock = lockState(${JSON.stringify(state)});
    console.log(JSON.stringify({ run: typeof lock === 'string' ? lock : null, doctor }))`
  const said = execFileSync(process.execPath, ['--input-type=module', '--eval', code], { encoding: 'utf8' })
  return JSON.parse(said) as ReturnType<typeof asNobody>
}

describe.runIf(process.getuid?.() === 0)('a state directory of another user', () => {
  const made = () => {
    const at = folder()
    chmodSync(at, 0o755)
    const state = join(at, 'state')
    mkdirSync(state, { mode: 0o755 })
    return state
  }

  test('run and the doctor both say whose it would have to be, and how', () => {
    const state = made()
    const seen = `${state} is not writable by uid ${NOBODY} (EACCES)`
    const next = `give it to that user (chown -R ${NOBODY} ${state}), or name another with --state DIR`
    expect(asNobody(state)).toEqual({
      run: `the state directory: ${seen}; ${next}`,
      doctor: [{ check: 'state', level: 'fail', seen, next }],
    })
    chownSync(state, NOBODY, NOBODY)
    expect(asNobody(state)).toEqual({ run: null, doctor: [] })
  })

  test('a file that root once left in it is named', () => {
    const state = made()
    chownSync(state, NOBODY, NOBODY)
    writeFileSync(join(state, 'reputation.db'), '', { mode: 0o600 })
    expect(asNobody(state).run).toContain(`${state}/reputation.db is not writable by uid ${NOBODY} (EACCES)`)
  })
})

test('a second appliance is told of the first, and what cannot be made says so', () => {
  const state = join(folder(), 'state')
  const lock = lockState(state)
  if (typeof lock === 'string') throw new Error(lock)
  expect(lockState(state)).toBe(
    `another decoymx (pid ${process.pid}) is running on ${state}; end it, or give this one a directory of its own with --state DIR`,
  )
  lock.release()
  expect(stateFindings(state)).toEqual([])
  writeFileSync(`${state}-file`, '')
  expect(lockState(`${state}-file`)).toMatch(/cannot be made: EEXIST.*; give this one a directory of its own/)
})
