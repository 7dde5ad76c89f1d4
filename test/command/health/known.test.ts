/** What the appliance knows of its own health: the level of each, as `status` and `doctor` both take it. */
import { expect, test } from 'vitest'
import { lastPlay } from '../../../src/command/health/canary-check.ts'
import { EXIT_OF, LEVELS } from '../../../src/command/health/finding.ts'
import { knownOf } from '../../../src/command/health/known.ts'
import { remarksOn } from '../../../src/command/health/remarks.ts'
import { type Note, viewOf } from '../../../src/daemon/sockets.ts'
import { shortfalls, type StatusView } from '../../../src/daemon/status-view.ts'

const NOW = Date.UTC(2026, 10, 28)
const SINCE = new Date(NOW - 60_000).toISOString()
const SOUND = {
  version: '0',
  pid: 1,
  mode: 'enforce',
  rules: { digest: 'ab', problems: [], domains: ['example.org'] },
  files: { problems: [] },
  doors: [{ name: 'policy', address: '127.0.0.1:10040', open: true, error: null, shortfall: null }],
  room: { possible: 20_000, wanted: 16_000, turnedAway: 0 },
  workers: { wanted: 0, pids: [], late: [], ends: 0, lastEnd: null },
  reputation: {
    store: 'redis',
    storeHealth: { state: 'up', error: null, since: SINCE },
    blocked: null,
    waiting: 0,
    ledger: 'fresh',
    ledgerAgeMs: 0,
    ledgerMaxAgeMs: 300_000,
    journalTrouble: null,
    governor: { minute: 0, network: 0, standing: 0, held: 0 },
    neighbours: [],
  },
  keeping: { servers: [{ at: 'here:6379', policy: 'noeviction', memoryMaxBytes: 0, disk: 'writes' }] },
  certificates: [{ setting: 'store.tls.ca', notAfter: '2027-12-24T12:00:00.000Z' }],
  witness: 'mx1 every 30 s',
  kernel: { state: 'off', error: null },
  kernelWanted: false,
  realMx: { outcome: 'up', since: SINCE, outage: false, mxs: [{ name: 'mx1', outcome: 'up' }] },
  pools: { dns: true, pools: 40, networks: 300, records: 42, unread: [], notes: [], reviewed: '2026-11-01' },
  canary: { state: 'sound', because: null },
}

const CREW = { ...SOUND.workers, wanted: 2, pids: [7, 8] }
const ended = (minutes: number) => ({
  worker: 2,
  how: 'by SIGKILL',
  at: new Date(NOW - minutes * 60_000).toISOString(),
})

type Changes = { readonly [Key in keyof typeof SOUND]?: unknown }

function found(changes: Changes, reputation: object = {}): string[] {
  const view = { ...SOUND, ...changes, reputation: { ...SOUND.reputation, ...reputation } } as unknown as StatusView
  return [...knownOf(view, NOW), ...lastPlay(view)].flatMap(({ check, level, next }) => {
    expect([check, next !== null]).toEqual([check, level !== 'ok'])
    return level === 'ok' ? [] : [`${level} ${check}`]
  })
}

const away = { state: 'down', error: 'ECONNREFUSED', since: SINCE }
const TRIAL = { rules: { ...SOUND.rules, domains: ['example.test'] } }

test.each<[string, string[], Changes, object?]>([
  ['nothing', [], {}],
  ['old rules in use', ['warn rules'], { rules: { ...SOUND.rules, problems: ['a'] }, files: { problems: ['a'] } }],
  ['settings with which it would not start again', ['warn settings'], { files: { problems: ['b'] } }],
  ['a door that is shut', ['fail listeners'], { doors: [{ ...SOUND.doors[0], open: false }] }],
  [
    'no koffi, behind five doors',
    ['note speed'],
    { doors: ['a', 'a', 'a', 'a', 'b'].map((how) => ({ ...SOUND.doors[0], shortfall: { how, because: 'no koffi' } })) },
  ],
  ['few files', ['warn files'], { room: { ...SOUND.room, possible: 100 } }],
  ['decoys that are full', ['warn room'], { room: { ...SOUND.room, turnedAway: 732 } }],
  ['a worker that is missing', ['warn workers'], { workers: { ...CREW, pids: [7] } }],
  ['a worker that is late', ['warn workers'], { workers: { ...CREW, late: [2] } }],
  ['a worker that ended lately', ['warn workers'], { workers: { ...CREW, ends: 1, lastEnd: ended(59) } }],
  ['one whose end is long ago', [], { workers: { ...CREW, ends: 1, lastEnd: ended(60) } }],
  ['a journal that cannot be written', ['fail journal'], {}, { journalTrouble: { error: '', since: NOW, lost: 1 } }],
  ['a store that is away', ['warn store'], {}, { storeHealth: away }],
  ['one that is away for long', ['fail appliance', 'warn store'], {}, { storeHealth: away, ledger: 'stale' }],
  ['evidence that is not taken', ['warn store'], {}, { blocked: 'OOM' }],
  ['evidence that waits', ['warn store'], {}, { waiting: 1001 }],
  [
    'a store that forgets',
    ['warn store', 'warn store'],
    { keeping: { servers: [{ at: '', policy: 'allkeys-lru', memoryMaxBytes: 1, disk: 'nothing' }] } },
  ],
  ['one that does not say', ['warn store'], { keeping: { error: 'NOPERM' } }],
  [
    'a certificate that ends in a week',
    ['warn tls'],
    { certificates: [{ setting: 'decoys.backup.tls.certificate', notAfter: '2026-12-05T12:00:00.000Z' }] },
  ],
  ['other rules on another box', ['warn boxes'], {}, { neighbours: [{ box: 'b', host: 'h', rules: 'cd', at: NOW }] }],
  ['no witness', ['warn witness'], { realMx: null }],
  ['no witness, for trying out', [], { realMx: null, ...TRIAL }],
  ['no witness where no decoys run', [], { realMx: null, kernel: null }],
  [
    'a real MX that is away',
    ['warn witness', 'warn witness'],
    { realMx: { outcome: 'down', outage: true, mxs: [{ name: 'mx1', outcome: 'down', because: '' }] } },
  ],
  ['no DNS for pools', ['warn pools'], { pools: { ...SOUND.pools, dns: false } }],
  ['no DNS for pools, for trying out', [], { pools: { ...SOUND.pools, dns: false }, ...TRIAL }],
  ['a kernel that cannot refuse', ['warn kernel'], { kernel: { state: 'failed', error: 'EPERM' } }],
  ['one that was told not to', ['warn kernel'], { kernelWanted: true }],
  ['listings that wait', ['warn governor'], {}, { governor: { ...SOUND.reputation.governor, minute: 3 } }],
  ['a canary that fails', ['fail canary'], { canary: { state: 'failing', because: 'policy' } }],
  [
    'one that fails because the store is away',
    ['warn store', 'warn canary'],
    { canary: { state: 'failing', because: 'it is not known' } },
    { storeHealth: away },
  ],
  ['one that could not be played', ['warn canary'], { canary: { state: 'paused', because: '' } }],
  ['none', ['warn canary'], { canary: { state: 'off', because: null } }],
])('%s: %j', (_, wrong, changes, reputation) => {
  expect(found(changes, reputation)).toEqual(wrong)
})

test('what is slower than it could be is told once, with the reason', () => {
  const sentence = 'offenders on sockets of Node, datagrams one by one: koffi cannot be used'
  const because = 'koffi cannot be used'
  const hows = ['offenders on sockets of Node', 'offenders on sockets of Node', 'datagrams one by one']
  const notes: Note[] = [...hows.map((how) => ({ how, because })), 'in bursts']
  const doors = notes.map((note) =>
    viewOf({ name: 'a', wanted: 'b', bound: 'b', error: undefined, note: () => note, giveUp() {} }),
  )
  expect(doors.map(({ note }) => note)).toEqual([...hows, 'in bursts'])
  expect(shortfalls(doors)).toEqual([sentence])
})

test('that nothing is lost is said only where the journal takes what comes', () => {
  const told = (journalTrouble: object | null) => {
    const reputation = { ...SOUND.reputation, storeHealth: away, waiting: 1, journalTrouble }
    return knownOf({ ...SOUND, reputation } as unknown as StatusView, NOW).map(({ seen }) => seen)
  }
  expect(told(null)).toContainEqual(expect.stringMatching(/1 event in the journal until then, none is lost$/))
  const full = told({ error: 'ENOSPC', since: NOW, lost: 1 })
  expect(full).toContainEqual(expect.stringMatching(/^evidence is lost, 1 event since/))
  expect(full).toContainEqual(expect.stringMatching(/until then; what the journal could not take is lost$/))
  expect(full.join()).not.toContain('none is lost')
})

test('decoys that were full a moment ago and hold many again: it is told as past, and where to read on', () => {
  const view = { ...SOUND, held: { primary: 0, backup: 248 }, room: { ...SOUND.room, turnedAway: 100 } }
  const [full] = knownOf(view as unknown as StatusView, NOW).filter(({ check }) => check === 'room')
  expect(full?.seen).toBe(
    'the decoys were full: 100 connections were turned away in the last minute, for nobody was held then who could make room',
  )
  expect(full?.next).toMatch(/docs\/runbooks\.md#decoymxdecoyfull\)$/)
})

test('a note comes last, and is no alarm', () => {
  const doors = [{ ...SOUND.doors[0], shortfall: { how: 'one by one', because: 'no koffi' } }]
  // It goes by the clock of this host.
  const pools = { ...SOUND.pools, reviewed: new Date().toISOString().slice(0, 10) }
  const view = { ...SOUND, doors, pools, workers: { ...CREW, late: [2] } } as unknown as StatusView
  expect(remarksOn(view).map(({ level }) => level)).toEqual(['warn', 'note'])
  expect(LEVELS.map((level) => EXIT_OF[level])).toEqual([0, 0, 1, 2])
})
