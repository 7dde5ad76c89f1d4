/**
 * `doctor`: checks of the whole chain, each with what was seen and the next step; exit codes as Nagios plugins have them (0 ok,
 * 1 warning, 2 critical).
 *
 * It does not only ask the appliance whether it is well, it tries: it knocks at the primary (`knocking`), asks the DNSBL,
 * has the canary played. A
 * check is a small function in CHECKS; what it may look at is the Chart. One that fails to look says so, and keeps no other
 * from looking.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statfsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { hanging, type Screen, table } from '../console/terminal.ts'
import { spellProblem } from '../core/document.ts'
import { ask } from './appliance.ts'
import { otherBoxes } from './box-check.ts'
import { playCanary } from './canary-check.ts'
import { readAll } from '../settings/checked.ts'
import { dnsblAtItsDoor, dnsblByResolver } from './dnsbl-check.ts'
import { type Chart, type Check, fail, type Finding, ok, warn } from './finding.ts'
import { strangersAtKernel, strangersAtPrimary } from './knocking.ts'
import { examinePools } from './pool-check.ts'
import { storeKeeps } from './store-check.ts'
import type { Where } from '../settings/settings.ts'
import type { StatusView } from '../daemon/status-view.ts'

/** In the order of the chain. Those that need an appliance find nothing without one. */
const CHECKS: Readonly<Record<string, Check>> = {
  settings: soundness,
  appliance: running,
  disk: room,
  clock,
  store: storeKeeps,
  boxes: otherBoxes,
  listeners: doors,
  files: openFiles,
  witness,
  pools: ({ view }) => (view ? examinePools(view.pools, Date.now()) : []),
  primary: strangersAtPrimary,
  kernel: strangersAtKernel,
  dnsbl: dnsblAtItsDoor,
  resolver: dnsblByResolver,
  canary: playCanary,
}

const LEVELS = ['ok', 'warn', 'fail'] as const
const WORDS = { ok: 'OK', warn: 'WARNING', fail: 'CRITICAL' } as const
/** Files that a process opens beside connections. */
const FILES_BESIDE = 200

export async function doctor(
  where: Where,
  env: NodeJS.ProcessEnv,
  { json, screen }: { json: boolean; screen: Screen },
): Promise<number> {
  const findings = await examine(await chartOf(where, env))
  const worst = Math.max(...findings.map(({ level }) => LEVELS.indexOf(level)))
  const level = LEVELS[worst] ?? 'fail'
  if (json) screen.print(JSON.stringify({ level: WORDS[level], findings }, null, 2))
  else for (const line of told(findings, level, screen)) screen.print(line)
  return worst
}

async function chartOf(where: Where, env: NodeJS.ProcessEnv): Promise<Chart> {
  const read = readAll(where, env)
  const chart = { where, read, settings: read.ok ? read.settings : undefined }
  try {
    const { body } = await ask(where.state, 'GET', '/api/v1/status')
    return { ...chart, view: body as StatusView, absent: undefined }
  } catch (error) {
    return { ...chart, view: undefined, absent: (error as Error).message }
  }
}

async function examine(chart: Chart): Promise<Finding[]> {
  const all = await Promise.all(
    Object.entries(CHECKS).map(async ([name, check]) => {
      try {
        return await check(chart)
      } catch (error) {
        if (!(error instanceof Error) || error instanceof TypeError) throw error
        return [warn(name, `could not be looked at: ${error.message}`, 'see whether the appliance still runs')]
      }
    }),
  )
  return all.flat()
}

function soundness({ read, where }: Chart): Finding[] {
  const files = `${where.settings ?? 'default settings'}, ${where.rules}`
  if (read.ok) return [ok('settings', `sound: ${files}`)]
  return [
    fail(
      'settings',
      `${read.problems.length === 1 ? '1 problem' : `${read.problems.length} problems, the first`}: ${spellProblem(read.problems[0] as (typeof read.problems)[0])}`,
      'decoymx check shows all of them',
    ),
  ]
}

function running({ view, absent, where }: Chart): Finding[] {
  if (!view)
    return [fail('appliance', absent ?? 'it does not answer', `start it, or name its --state (now ${where.state})`)]
  const findings = [
    ok('appliance', `version ${view.version} runs on ${where.state}, pid ${view.pid}, mode ${view.mode}`),
  ]
  if (view.rules.problems.length > 0)
    findings.push(
      warn(
        'appliance',
        `old rules are in use: ${view.rules.problems[0]}`,
        'decoymx check shows them all; mended, the file is loaded by itself, or by decoymx reload',
      ),
    )
  if (view.reputation.ledger !== 'fresh')
    findings.push(
      fail(
        'appliance',
        `its copy of the decisions is ${view.reputation.ledger}: nobody is refused`,
        'is the store reachable?',
      ),
    )
  return findings
}

/** Does the journal find the room that it may take? */
function room({ where, settings }: Chart): Finding[] {
  if (!existsSync(where.state)) return []
  const { bavail, bsize } = statfsSync(where.state)
  const free = Math.floor((bavail * bsize) / 1_048_576)
  if (!settings)
    return [
      ok(
        'disk',
        `${free} MB free at ${where.state}; what the journal may take is told once settings and rules are sound`,
      ),
    ]
  const wanted = settings.journal['max-megabytes']
  const seen = `${free} MB free at ${where.state}, the journal may take ${wanted} MB`
  if (free >= wanted) return [ok('disk', seen)]
  return [warn('disk', seen, 'make room, or lower journal.max-megabytes: a full disk loses evidence')]
}

/** Decisions end by the clock, and boxes that share a store compare theirs. */
function clock({ where }: Chart): Finding[] {
  const folder = join(where.state, 'journal')
  if (!existsSync(folder)) return []
  const newest = Math.max(0, ...readdirSync(folder).map((name) => statSync(join(folder, name)).mtimeMs))
  if (newest > Date.now() + 60_000)
    return [
      fail('clock', `it is behind the journal: ${new Date(newest).toISOString()}`, 'set it right; decisions end by it'),
    ]
  const { stdout } = spawnSync('timedatectl', ['show', '--property=NTPSynchronized', '--value'], { encoding: 'utf8' })
  const synchronised = (stdout ?? '').trim()
  if (synchronised === 'yes') return [ok('clock', 'synchronised')]
  if (synchronised === 'no')
    return [
      warn('clock', 'not synchronised (timedatectl)', 'run chrony or systemd-timesyncd: several boxes compare times'),
    ]
  return [ok('clock', 'not behind the journal; whether it is synchronised cannot be asked here (no timedatectl)')]
}

function doors({ view }: Chart): Finding[] {
  if (!view) return []
  const shut = view.doors.filter(({ open }) => !open)
  if (shut.length === 0) return [ok('listeners', `all ${view.doors.length} are open`)]
  return shut.map(({ name, address, error }) =>
    fail(
      'listeners',
      `${name} ${address}: ${error ?? 'not open yet'}`,
      'free the address; it is tried again by itself',
    ),
  )
}

function openFiles({ view, settings }: Chart): Finding[] {
  if (!view || !settings) return []
  const { connections } = settings.decoys.limits
  const wanted = 2 * connections + FILES_BESIDE
  return (view.workers.pids.length > 0 ? view.workers.pids : [view.pid]).flatMap((pid) => {
    const limit = Number(/^Max open files +(\d+)/m.exec(readFileSync(`/proc/${pid}/limits`, 'utf8'))?.[1] ?? Infinity)
    const seen = `pid ${pid} may open ${limit}; two decoys with ${connections} connections each want ${wanted}`
    if (limit >= wanted) return [ok('files', seen)]
    return [warn('files', seen, `systemd: LimitNOFILE=${wanted}; or lower decoys.limits.connections`)]
  })
}

function witness({ view }: Chart): Finding[] {
  if (!view) return []
  if (!view.realMx)
    return [
      warn(
        'witness',
        view.witness,
        'name your real MX in real-mx.greet: an outage of it makes honest senders look guilty',
      ),
    ]
  const { outcome, since } = view.realMx
  if (outcome === 'up') return [ok('witness', `the real MX is up since ${since}; ${view.witness}`)]
  return [warn('witness', `the real MX is ${outcome} since ${since}`, 'is it down, or is real-mx.greet wrong?')]
}

function told(findings: readonly Finding[], level: Finding['level'], screen: Screen): string[] {
  const { colours } = screen
  const paint = { ok: colours.green, warn: colours.yellow, fail: colours.red }
  if (!screen.person)
    return table(
      screen,
      ['check', 'level', 'seen', 'next'],
      findings.map((each) => [each.check, each.level, each.seen, each.next ?? '']),
    )
  const rows = findings.flatMap(({ check, level: each, seen, next }) => [
    ...hanging(`${paint[each](each.padEnd(4))}  ${check.padEnd(10)}  `, seen, screen.width, 18),
    ...(next === null ? [] : hanging(`${' '.repeat(18)}${colours.bold('next')}  `, next, screen.width, 24)),
  ])
  return [paint[level](WORDS[level]), '', ...rows]
}
