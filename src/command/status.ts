/**
 * `status`: one screen about the whole appliance, once or again and again; exit codes as Nagios plugins have them (0 ok, notes
 * among it, 1 warning, 2 critical).
 */
import { setTimeout } from 'node:timers/promises'
import { asTyped, typed } from '../console/called.ts'
import { counted, hanging, type Screen, table, when } from '../console/terminal.ts'
import type { Freeze } from '../core/outage.ts'
import { span } from '../core/span.ts'
import type { KernelState } from '../decoy/kernel.ts'
import type { ReputationState } from '../reputation/reputation.ts'
import { ask, NotRunning } from './appliance.ts'
import { sameRules } from './health/box-check.ts'
import { hostFindings } from './health/host-check.ts'
import { EXIT_OF, type Finding } from './health/finding.ts'
import { remarksOn, spellRemark } from './health/remarks.ts'
import type { CanaryView } from '../daemon/canary.ts'
import type { RealMxView } from '../daemon/watching.ts'

import type { StatusView } from '../daemon/status-view.ts'
type Level = 0 | 1 | 2
type Look = { readonly level: Level; readonly lines: readonly string[] }

export async function status(folder: string, { json, screen }: { json: boolean; screen: Screen }): Promise<number> {
  const { level, lines } = await look(folder, json, screen)
  for (const line of lines) screen.print(line)
  return level
}

/**
 * The same again and again in the same place, until `ended`; in a pipe one after the other. The last exit code counts.
 *
 * A person sees it on the terminal's other page (xterm's 1049), so that what was there before is there again afterwards.
 */
export async function watchStatus(
  folder: string,
  { screen, everyMs, ended }: { screen: Screen; everyMs: number; ended: AbortSignal },
): Promise<number> {
  if (screen.person) screen.print('\x1b[?1049h\x1b[2J')
  try {
    for (;;) {
      const { level, lines } = await look(folder, false, screen)
      if (screen.person) screen.print(pageOf(lines, everyMs, screen))
      else for (const line of [...lines, '']) screen.print(line)
      const again = await setTimeout(everyMs, true, { signal: ended }).catch(() => false)
      if (!again) return level
    }
  } finally {
    if (screen.person) screen.print('\x1b[?1049l')
  }
}

/** From the first line on, as many as there is room for: the headline is never scrolled away. */
function pageOf(lines: readonly string[], everyMs: number, screen: Screen): string {
  // The last line stays empty: a line feed there would scroll.
  const room = Math.max(1, screen.height - 2)
  const clock = `${new Date().toISOString().slice(11, 19)} UTC, again every ${span(everyMs)}; Ctrl-C ends`
  const shown = lines.length + 1 > room ? lines.slice(0, room) : [...lines, '']
  const more =
    lines.length > shown.length
      ? `… ${lines.length - shown.length} more ${lines.length - shown.length === 1 ? 'line' : 'lines'}; `
      : ''
  const foot = screen.colours.dim(`${more}${clock}`.slice(0, screen.width))
  // ECMA-48: home, then each line to its end, then the rest of the screen: nothing flickers, and nothing scrolls.
  return `\x1b[H${[...shown, foot].map((line) => `${line}\x1b[K`).join('\n')}\x1b[J`
}

async function look(folder: string, json: boolean, screen: Screen): Promise<Look> {
  try {
    const { body } = await ask(folder, 'GET', '/api/v1/status')
    const view = body as StatusView
    const remarks = remarksOn(view, hostFindings(folder, view.journal.maxMegabytes))
    const level = EXIT_OF[remarks[0]?.level ?? 'ok']
    if (json) {
      const whole = { ...view, level: LEVELS[level], remarks: remarks.map(spellRemark) }
      return { level, lines: [JSON.stringify(whole, null, 2)] }
    }
    return { level, lines: told(view, level, remarks, screen, Date.now()) }
  } catch (error) {
    if (!(error instanceof NotRunning)) throw error
    if (json) return { level: 2, lines: [JSON.stringify({ level: 'CRITICAL', remarks: [error.message] }, null, 2)] }
    return { level: 2, lines: hanging(`${screen.colours.red('CRITICAL')}  `, error.message, screen.width, 10) }
  }
}

const LEVELS = ['OK', 'WARNING', 'CRITICAL'] as const

function storeSentence({ store, storeHealth, waiting }: ReputationState, now: number): string {
  const { state, since } = storeHealth
  const word = { up: 'up', down: 'away', hung: 'hangs, asked again each second' }[state]
  return `${store}, ${word} for ${span(now - Date.parse(since))}; ${counted(waiting, 'event')} on the way`
}

function copySentence({ ledger, ledgerAgeMs, ledgerMaxAgeMs }: ReputationState): string {
  if (ledger === 'starting') return 'of the decisions: none yet, so nobody is refused'
  return `of the decisions: ${ledger}, ${span(ledgerAgeMs)} old; older than ${span(ledgerMaxAgeMs)} refuses nobody`
}

function realMxs({ mxs }: RealMxView, screen: Screen, now: number): string[] {
  const rows = mxs.map(({ name, outcome, since, lookedAt, because }) => [
    name,
    outcome,
    `${span(now - Date.parse(since))}, looked at ${span(now - Date.parse(lookedAt))} ago`,
    because,
  ])
  return table(screen, ['real MX', 'state', 'for', 'because'], rows)
}

/** What the order of visits does now, and why, in words; its subject is the caller's. */
export function frozen(freeze: NonNullable<ReputationState['freeze']>, now: number): string {
  const until = freeze.until === null ? 'now' : `until ${when(freeze.until, now)}`
  return `counts for nothing ${until}: ${FROZEN[freeze.why]}`
}

const FROZEN: Record<Freeze['why'], string> = {
  outage: 'the real MX does not take mail, or one of them does not',
  grace: 'the real MX was away lately, and senders remember it',
  unwatched: 'the last look at the real MX is too long ago',
  blind: 'nobody looks at the real MX (real-mx in the settings), nor has it asked us lately',
}

function workersSentence({ wanted, pids, late, ends, lastEnd }: StatusView['workers'], now: number): string {
  const notReady = late.length > 0 ? `, not ready yet: worker ${late.join(', ')}` : ''
  const run = `${pids.length} of ${wanted} run${pids.length > 0 ? `, pid ${pids.join(', ')}` : ''}${notReady}`
  if (!lastEnd) return run
  const last = `worker ${lastEnd.worker} ${lastEnd.how}, ${span(now - Date.parse(lastEnd.at))} ago`
  return `${run}; ended and started again since the start: ${ends}, the last ${last}`
}

function kernelSentence({ state, suspects, networks, tolls, touches }: KernelState): string {
  if (state === 'failed') return 'does not work (see above)'
  const guests = suspects[4] + suspects[6] + networks[4] + networks[6]
  const [refused, letIn] = [tolls.refused, tolls.letIn].map((each) => each[4] + each[6])
  return `refuses strangers at the primary: ${counted(refused ?? 0, 'connection')} refused, told as ${counted(touches, 'contact')}; ${counted(guests, 'suspect')}, ${letIn} let in`
}

function canarySentence({ state, at, because, shownMs, checks }: CanaryView, now: number): string {
  if (state === 'off') return 'off (canary.enabled in the settings)'
  if (at === null) return `not played yet; ${typed('doctor')} plays it now`
  const ago = `${span(now - Date.parse(at))} ago`
  if (state !== 'sound') return `${state}, ${ago}: ${asTyped(because ?? '')}`
  return `sound, ${ago}: a bot and an honest client were told right in ${checks.length} ways, after ${shownMs} ms`
}

/** Where what is told of a field begins. */
const FIELD = 14

function told(view: StatusView, level: Level, remarks: readonly Finding[], screen: Screen, now: number): string[] {
  const { colours } = screen
  const paints = [colours.green, colours.yellow, colours.red] as const
  const { rules, operator, overruled } = view.reputation.rulings
  const { width } = screen
  const field = (name: string, text: string) => hanging(`  ${name}`.padEnd(FIELD), text, width, FIELD)
  return [
    ...hanging(
      `${paints[level](LEVELS[level])}  `,
      `decoymx ${view.version}, up ${span(now - Date.parse(view.since))}, mode ${colours.bold(view.mode)}, pid ${view.pid}`,
      width,
      4,
    ),
    ...remarks.flatMap((remark) => {
      const mark = remark.level === 'note' ? colours.cyan('-') : paints[EXIT_OF[remark.level]]('!')
      return hanging(`  ${mark} `, asTyped(spellRemark(remark)), width, 4)
    }),
    '',
    ...field('Held now', `primary ${view.held.primary}, backup ${view.held.backup}`),
    ...(view.workers.wanted > 0 ? field('Workers', workersSentence(view.workers, now)) : []),
    ...(view.kernel && view.kernel.state !== 'off' ? field('Kernel', kernelSentence(view.kernel)) : []),
    ...field(
      'Decisions',
      `${rules.block} blocked, ${rules.defer} deferred, ${rules.observe} observed; operator: ${operator.allow} allowed, ${operator.block} blocked${overruled > 0 ? `; ${overruled} more by the rules, but allowed` : ''}`,
    ),
    ...field('Store', storeSentence(view.reputation, now)),
    ...field('Copy', copySentence(view.reputation)),
    ...field(
      'Rules',
      `${view.rules.file}, ${view.rules.count} rules, loaded ${span(now - Date.parse(view.rules.loaded))} ago${sameRules(view)}`,
    ),
    ...field('Settings', view.settings ?? 'the defaults'),
    ...field('Witness', view.witness),
    ...field('Canary', canarySentence(view.canary, now)),
    ...field(
      'Order',
      view.reputation.freeze
        ? `${frozen(view.reputation.freeze, now)}; what no mail server does still counts`
        : 'counts: the real MX is known to take mail',
    ),
    '',
    ...table(
      screen,
      ['listener', 'address', 'state'],
      view.doors.map((door) => [door.name, door.address, stateOf(door)]),
    ),
    ...(view.realMx && view.realMx.mxs.length > 0 ? ['', ...realMxs(view.realMx, screen, now)] : []),
  ]
}

function stateOf({ open, error, note }: StatusView['doors'][number]): string {
  if (!open) return error ?? 'shut'
  return note === null ? 'open' : `open, ${note}`
}
