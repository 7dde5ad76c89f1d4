import { mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type Clock, watchFile } from '../../src/daemon/file-watch.ts'
import { folder } from '../folders.ts'

/** A clock that stands still until it is told to go on. */
function standingClock(): Clock & { readonly pass: (ms: number) => void } {
  let now = 0
  const calls = new Map<object, { at: number; call: () => void }>()
  return {
    now: () => now,
    after: (ms, call) => {
      const id = {}
      calls.set(id, { at: now + ms, call })
      return () => calls.delete(id)
    },
    pass: (ms) => {
      for (const end = now + ms; ;) {
        const [next] = [...calls].filter(([, { at }]) => at <= end).toSorted(([, a], [, b]) => a.at - b.at)
        if (!next) return void (now = end)
        calls.delete(next[0])
        now = next[1].at
        next[1].call()
      }
    },
  }
}

describe('by the timer alone, which needs no event', () => {
  function watched() {
    const clock = standingClock()
    const state = { print: 'a' as string | undefined, changes: 0 }
    const end = watchFile(
      '/nonexistent/rules.yaml',
      () => state.changes++,
      clock,
      () => state.print,
    )
    onTestFinished(end)
    return { clock, state, end }
  }

  test('a change is told once, when it has rested', () => {
    const { clock, state } = watched()
    clock.pass(5000)
    expect(state.changes).toBe(0)
    state.print = 'b'
    clock.pass(1000)
    expect(state.changes).toBe(0)
    clock.pass(100)
    expect(state.changes).toBe(1)
    clock.pass(10_000)
    expect(state.changes).toBe(1)
  })

  test('a file that is gone for a while, between a delete and a rename, is no change', () => {
    const { clock, state } = watched()
    state.print = undefined
    clock.pass(3000)
    state.print = 'a'
    clock.pass(5000)
    expect(state.changes).toBe(0)
    state.print = undefined
    clock.pass(1000)
    state.print = 'c'
    clock.pass(2000)
    expect(state.changes).toBe(1)
  })

  test('a file that stays away is a change, and so is its return, though it is the same one', () => {
    const { clock, state } = watched()
    state.print = undefined
    clock.pass(6000)
    expect(state.changes).toBe(1)
    clock.pass(60_000)
    expect(state.changes).toBe(1)
    state.print = 'a'
    clock.pass(2000)
    expect(state.changes).toBe(2)
  })

  test('after the end nothing is told', () => {
    const { clock, state, end } = watched()
    state.print = 'b'
    clock.pass(1000)
    end()
    clock.pass(5000)
    expect(state.changes).toBe(0)
  })
})

describe('a real file', () => {
  /** Settles when the change is told: by an event of the file system, for the clock stands still until it has stirred. */
  async function toldOf(path: string, change: () => void): Promise<void> {
    const clock = standingClock()
    let stirred = () => {}
    const stirs = new Promise<void>((resolve) => (stirred = resolve))
    let told = 0
    const end = watchFile(path, () => told++, {
      ...clock,
      after: (ms, call) => (ms <= 100 && stirred(), clock.after(ms, call)),
    })
    onTestFinished(end)
    change()
    await stirs
    clock.pass(100)
    expect(told).toBe(1)
  }

  test('written in place', async () => {
    const path = join(folder(), 'rules.yaml')
    writeFileSync(path, 'a')
    await toldOf(path, () => writeFileSync(path, 'longer'))
  })

  test('replaced by a rename, as editors save', async () => {
    const path = join(folder(), 'rules.yaml')
    writeFileSync(path, 'a')
    await toldOf(path, () => {
      writeFileSync(`${path}~`, 'b')
      renameSync(`${path}~`, path)
    })
  })

  test('behind a link that is swapped, as a ConfigMap is', async () => {
    const at = folder()
    for (const version of ['..one', '..two']) {
      mkdirSync(join(at, version))
      writeFileSync(join(at, version, 'rules.yaml'), version)
    }
    symlinkSync('..one', join(at, '..data'))
    symlinkSync('..data/rules.yaml', join(at, 'rules.yaml'))
    await toldOf(join(at, 'rules.yaml'), () => {
      symlinkSync('..two', join(at, '..data_tmp'))
      renameSync(join(at, '..data_tmp'), join(at, '..data'))
    })
  })
})
