/**
 * `doctor`: checks of the whole chain, each with what was seen and the next step; exit codes as Nagios plugins have them (0 ok, notes
 * among it, 1 warning, 2 critical).
 *
 * It does not only ask the appliance what it knows of itself (`known`, as `status` does), it tries: it knocks at the primary
 * (`knocking`), asks the DNSBL, has the canary played. A check is a small function in CHECKS; what it may look at is the Chart. One that fails to look says so, and keeps no other
 * from looking.
 */
import { resolve } from 'node:path'
import { asTyped } from '../console/called.ts'
import { hanging, type Screen, table } from '../console/terminal.ts'
import { spellProblem } from '../core/document.ts'
import { ask, NotRunning } from './appliance.ts'
import { playCanary } from './health/canary-check.ts'
import { readAll } from '../settings/checked.ts'
import { dnsblAtItsDoor, dnsblByResolver } from './health/dnsbl-check.ts'
import { type Chart, type Check, EXIT_OF, fail, type Finding, LEVELS, ok, warn } from './health/finding.ts'
import { certificateFindings } from './health/certificate-check.ts'
import { hostFindings, stateFindings } from './health/host-check.ts'
import { files as filesFinding, knownOf } from './health/known.ts'
import { strangersAtKernel, strangersAtPrimary } from './health/knocking.ts'
import { storeKeeps } from './health/store-check.ts'
import { type CertificateEnd, certificateEnds } from '../settings/certificate.ts'
import type { Settings, Where } from '../settings/settings.ts'
import type { StatusView } from '../daemon/status-view.ts'

/** In the order of the chain. Those that need an appliance find nothing without one. */
const CHECKS: Readonly<Record<string, Check>> = {
  settings: soundness,
  appliance: absence,
  host: ({ where, settings, view }) =>
    hostFindings(where.state, settings?.journal['max-megabytes'] ?? view?.journal.maxMegabytes),
  known,
  store: storeKeeps,
  tls: ({ settings }) => certificateFindings(endsOf(settings), Date.now()),
  files: openFiles,
  primary: strangersAtPrimary,
  kernel: strangersAtKernel,
  dnsbl: dnsblAtItsDoor,
  resolver: dnsblByResolver,
  canary: playCanary,
}

const WORDS = { ok: 'OK', note: 'OK', warn: 'WARNING', fail: 'CRITICAL' } as const

export async function doctor(
  where: Where,
  env: NodeJS.ProcessEnv,
  { json, screen }: { json: boolean; screen: Screen },
): Promise<number> {
  const over = json ? undefined : screen.over
  const findings = await examine(await chartOf(where, env), (waitsFor) =>
    over?.(waitsFor.length > 0 ? `looking at ${waitsFor.join(', ')} ...`.slice(0, screen.width - 1) : ''),
  )
  const level = LEVELS[Math.max(...findings.map((each) => LEVELS.indexOf(each.level)))] ?? 'fail'
  if (json) screen.print(JSON.stringify({ level: WORDS[level], findings }, null, 2))
  else for (const line of told(findings, level, screen)) screen.print(line)
  return EXIT_OF[level]
}

async function chartOf(where: Where, env: NodeJS.ProcessEnv): Promise<Chart> {
  const read = readAll(where, env)
  const chart = { where, read, settings: read.ok ? read.settings : undefined }
  try {
    const { body } = await ask(where.state, 'GET', '/api/v1/status')
    return { ...chart, view: body as StatusView, absent: undefined }
  } catch (error) {
    const { message } = error as Error
    const absent = error instanceof NotRunning ? error : { seen: message, next: 'see whether it still runs' }
    return { ...chart, view: undefined, absent }
  }
}

/** `show` is told what is still waited for, each time that it is one less. */
async function examine(chart: Chart, show: (waitsFor: readonly string[]) => void): Promise<Finding[]> {
  const waitsFor = new Set(Object.keys(CHECKS))
  show([...waitsFor])
  const all = await Promise.all(
    Object.entries(CHECKS).map(async ([name, check]) => {
      try {
        return await check(chart)
      } catch (error) {
        if (!(error instanceof Error) || error instanceof TypeError) throw error
        return [warn(name, `could not be looked at: ${error.message}`, 'see whether the appliance still runs')]
      } finally {
        waitsFor.delete(name)
        show([...waitsFor])
      }
    }),
  )
  // What the appliance knows already is not told again by whoever has looked, too.
  return [...new Map(all.flat().map((each) => [`${each.check} ${each.level} ${each.seen}`, each])).values()]
}

/** By the files as they are now, with or without an appliance. */
function endsOf(settings: Settings | undefined): CertificateEnd[] {
  return settings ? certificateEnds(settings.store.redis?.tls, settings.decoys.backup.tls) : []
}

/** While it runs, it runs with what it has read: what is wrong with its files now is no failure yet. */
function soundness({ read, where, view }: Chart): Finding[] {
  const files = `${where.settings ?? 'default settings'}, ${where.rules}`
  if (read.ok) return [ok('settings', `sound: ${files}`), ...(view ? sameSettings(where.settings, view.settings) : [])]
  return [
    (view ? warn : fail)(
      'settings',
      `${read.problems.length === 1 ? '1 problem' : `${read.problems.length} problems, the first`}: ${spellProblem(read.problems[0] as (typeof read.problems)[0])}`,
      'decoymx check shows all of them',
    ),
  ]
}

/** What is tried here is tried by the settings that were given here: by others than the appliance's it says little about it. */
export function sameSettings(given: string | undefined, running: string | null): Finding[] {
  const here = given === undefined ? null : resolve(given)
  if (here === running) return []
  return [
    warn(
      'settings',
      `the appliance runs with ${running ?? 'the default settings'}, and is examined by ${here ?? 'the default settings'}`,
      running === null
        ? 'decoymx doctor without --settings, and without DECOYMX_SETTINGS'
        : `decoymx doctor --settings ${running}, or the same in DECOYMX_SETTINGS`,
    ),
  ]
}

/** Files are looked at here, too: by the names that were given here. */
function known({ view, read }: Chart): Finding[] {
  return view ? knownOf(view, Date.now()).filter(({ check }) => read.ok || check !== 'settings') : []
}

function absence({ absent, where }: Chart): Finding[] {
  if (!absent) return []
  return [fail('appliance', absent.seen, absent.next), ...stateFindings(where.state)]
}

/** Under other settings than those it runs with, as they are named here. */
function openFiles({ view, settings }: Chart): Finding[] {
  if (!view || !settings) return []
  const wanted = 2 * settings.decoys.limits.connections
  return wanted === view.room.wanted ? [] : filesFinding({ ...view.room, wanted }, Math.max(1, view.workers.wanted))
}

function told(findings: readonly Finding[], level: Finding['level'], screen: Screen): string[] {
  const { colours } = screen
  const paint = { ok: colours.green, note: colours.cyan, warn: colours.yellow, fail: colours.red }
  if (!screen.person)
    return table(
      screen,
      ['check', 'level', 'seen', 'next'],
      findings.map((each) => [each.check, each.level, asTyped(each.seen), asTyped(each.next ?? '')]),
    )
  const rows = findings.flatMap(({ check, level: each, seen, next }) => [
    ...hanging(`${paint[each](each.padEnd(4))}  ${check.padEnd(10)}  `, asTyped(seen), screen.width, 18),
    ...(next === null ? [] : hanging(`${' '.repeat(18)}${colours.bold('next')}  `, asTyped(next), screen.width, 24)),
  ])
  return [paint[level](WORDS[level]), '', ...rows]
}
