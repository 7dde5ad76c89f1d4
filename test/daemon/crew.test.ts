/**
 * Workers that are slow to begin, as on a slow machine, and such as hang: a stopped process is as slow as can be. Real processes,
 * real doors; the beats, by which silence is counted, are the test's.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { type Client, parseClient } from '../../src/core/client.ts'
import { Never } from '../../src/core/never.ts'
import { startCrew } from '../../src/daemon/crew.ts'
import type { CrewHappening, CrewOptions, Patience } from '../../src/daemon/crew-member.ts'
import { allShut } from '../../src/daemon/sockets.ts'
import { parseAddress } from '../../src/settings/places.ts'
import { readSettings } from '../../src/settings/settings.ts'
import { callAt, type Door } from '../doors.ts'
import { folder } from '../folders.ts'

/** Nobody is late, nor given up. */
const PROMPT: Patience = { lateMs: 60_000, readyMs: 60_000, giveUpMs: 60_000, endMs: 100, silentBeats: 3 }
const RULES = join(import.meta.dirname, '../../rules.yaml')

/** Stops a worker as soon as it began, as often as its number is named. */
function crewOf(workers: number, stopped: readonly number[], patience: Partial<Patience>) {
  const toStop = [...stopped]
  const file = join(folder(), 'decoymx.yaml')
  const anywhere = '{listen: ["127.0.0.1:0"], proxy: ["127.0.0.1:0"]}'
  writeFileSync(file, `decoys: {workers: ${workers}, primary: ${anywhere}, backup: ${anywhere}}\n`)
  const read = readSettings(file, {})
  if (!read.ok) throw new Error(JSON.stringify(read.problems))
  const told: CrewHappening[] = []
  const heard = new Map<string, () => void>()
  const pids = new Map<number, number>()
  let beat = () => {}
  const options: CrewOptions = {
    settings: read.settings.decoys,
    maxAgeMs: 60_000,
    rules: () => ({ file: RULES, source: readFileSync(RULES, 'utf8') }),
    never: new Never(),
    reputation: {
      announce(send) {
        send({ what: 'all', first: true, last: true, rulings: [] })
        return () => {}
      },
    },
    witness: () => Promise.resolve(),
    tell: () => {},
    door: () => {},
    crew: (it) => {
      told.push(it)
      if (it.what === 'began') {
        pids.set(it.worker, it.pid)
        const at = toStop.indexOf(it.worker)
        if (at >= 0 && toStop.splice(at, 1)) process.kill(it.pid, 'SIGSTOP')
      }
      heard.get(`${it.what} ${it.worker}`)?.()
    },
    lost: () => {},
    pressed: () => {},
    canary: undefined,
    patience: { ...PROMPT, ...patience },
  }
  const crew = startCrew(workers, options, (by) => ((beat = by), () => {}))
  onTestFinished(() => crew.close())
  return {
    crew,
    told,
    beat: () => beat(),
    goOn: (worker: number) => process.kill(pids.get(worker) as number, 'SIGCONT'),
    hears: (what: CrewHappening['what'], worker: number) =>
      new Promise<void>((resolve) => {
        if (told.some((it) => it.what === what && it.worker === worker)) resolve()
        heard.set(`${what} ${worker}`, resolve)
      }),
  }
}

test('a worker that is late is told and waited for so long only; its doors open when it comes to them, and none is refused', async () => {
  const { crew, told, goOn, hears } = crewOf(2, [1], { lateMs: 50, readyMs: 200 })
  await crew.ready
  expect(told).toContainEqual({ what: 'late', worker: 1, afterMs: 50 })
  // They are yet to be tried: nothing that an operator could free, nor a reason to give up.
  expect(crew.doors.map(({ bound, error }) => ({ bound, error }))).toEqual(Array(4).fill({}))
  expect(allShut(crew.doors)).toBeUndefined()

  goOn(1)
  await hears('ready late', 1)
  // The second takes the ports that the first has found, however late that was.
  await hears('began', 2)
  for (const { bound } of crew.doors) expect(await callAt(parseAddress(bound ?? '') as Door)).toMatch(/^(open|reset)$/)
})

test('a worker that ends before it has come to its doors leaves them shut, with a reason', async () => {
  const { crew, hears } = crewOf(1, [1], {})
  process.kill(crew.state().pids[0] as number, 'SIGKILL')
  await hears('ended', 1)
  expect(crew.doors.map(({ error }) => error)).toEqual(Array(4).fill('no worker is running'))
  expect(allShut(crew.doors)).toContain('none of the 4 addresses could be opened')
})

test('those that are prompt are waited for, and nothing is told of lateness', async () => {
  const { crew, told } = crewOf(2, [], {})
  await crew.ready
  expect(crew.doors.every(({ bound }) => bound !== undefined)).toBe(true)
  expect(told.map(({ what }) => what)).toEqual(['began', 'began'])
})

test('one that never comes to its doors is ended, and its successors have more and more time, until one comes to them', async () => {
  const { crew, told, hears } = crewOf(1, [1, 1], { lateMs: 50, giveUpMs: 400 })
  await hears('late', 1)
  expect(crew.state()).toMatchObject({ pids: [expect.any(Number)], late: [1], ends: 0 })
  await crew.ready
  expect(told.slice(0, 8)).toMatchObject([
    { what: 'began' },
    { what: 'late' },
    { what: 'given up', worker: 1, afterMs: 400 },
    // A stopped process hears nothing: it was killed.
    { what: 'ended', how: 'by us, not ready after 0.4 s', itself: false, againMs: 250 },
    { what: 'began' },
    { what: 'late' },
    { what: 'given up', afterMs: 800 },
    { what: 'ended', how: 'by us, not ready after 0.8 s', itself: false, againMs: 500 },
  ])
  expect(crew.doors.every(({ bound }) => bound !== undefined)).toBe(true)
  const { late, ends, lastEnd } = crew.state()
  expect({ late, ended: ends >= 2, worker: lastEnd?.worker }).toEqual({ late: [], ended: true, worker: 1 })
})

test('one that hangs is killed, and another serves at its doors; who is heard between two beats is left alone', async () => {
  const { crew, told, beat, hears } = crewOf(1, [], {})
  await crew.ready
  for (let n = 0; n < 10; n++) {
    beat()
    beat()
    while ((await crew.ofClient(SOMEBODY)).silent > 0);
  }
  expect(told.map(({ what }) => what)).toEqual(['began'])

  const places = crew.doors.map(({ bound }) => bound)
  process.kill(crew.state().pids[0] as number, 'SIGSTOP')
  // What it said before may still be on its way.
  while (!told.some(({ what }) => what === 'silent')) {
    beat()
    await setImmediate()
  }
  // From then on it does not run, though it may take its time to go, as behind a disk that does not answer.
  expect(crew.state().pids).toEqual([])
  await hears('ended', 1)
  expect(told.slice(1)).toEqual([
    { what: 'silent', worker: 1, beats: 3 },
    { what: 'ended', worker: 1, how: 'by us, as it hung', itself: false, againMs: 250 },
  ])
  expect(crew.state()).toMatchObject({ ends: 1, lastEnd: { worker: 1, how: 'by us, as it hung' } })
  await expect.poll(() => crew.doors.map(({ bound }) => bound), { timeout: 30_000 }).toEqual(places)
  for (const place of places) expect(await callAt(parseAddress(place ?? '') as Door)).toMatch(/^(open|reset)$/)
})

test('what a terminal says to all that it started, as when it is closed, does not reach a worker before it can hear it', async () => {
  const { crew } = crewOf(1, [], {})
  const [pid] = crew.state().pids
  // proc(5): the process group, and the session. The handlers of a worker are in place half a second later.
  const [, , group, session] = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ')
    .map(Number)
  expect([group, session]).toEqual([pid, pid])
  await crew.ready
})

const SOMEBODY = parseClient('203.0.113.7') as Client
