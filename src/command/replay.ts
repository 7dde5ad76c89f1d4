/**
 * `replay --rules NEW --against OLD JOURNAL...`: what the recordings would have come to under other rules, beside the ones of
 * today: who would newly be listed, who no longer, who more heavily or less; as a table, as JSON, and as a picture.
 *
 * The recordings are the journals of any number of boxes, merged by time. They are told once, and both sets of rules judge
 * them beside each other, each as if enforced (`core/retelling.ts`, as for `enforce --preview`). In their place may stand what a
 * Redis had counted (`export recording`): that is exact to the hour, and holds nothing of what was withheld.
 *
 * Exit codes: 0; 10 if somebody would newly be listed, or more heavily, who followed through, is allowed or was released: an
 * operator looks at those before the rules are changed; 1 when it cannot be told.
 */
import { writeFileSync } from 'node:fs'
import { counted, hanging, type Screen, table, wrapped } from '../console/terminal.ts'
import type { Problem } from '../core/document.ts'
import { compare, type Compared, type Comparing, isDoubtful, pictured, viewOf } from '../core/comparing.ts'
import { span } from '../core/span.ts'
import { retellJournals } from '../daemon/replaying.ts'
import { drawReplay } from '../console/replay-picture.ts'
import { readAll } from '../settings/checked.ts'
import { LIST_LIMIT } from './decisions.ts'
import { type Complain, USAGE } from './exit-codes.ts'
import { savedMembers } from '../daemon/pooling.ts'
import type { Where } from '../settings/settings.ts'

export type ReplayOptions = {
  readonly against: string
  /** An SVG is written here. */
  readonly picture: string | undefined
  readonly json: boolean
  readonly screen: Screen
  /** Where progress is shown, if a person looks. */
  readonly errors: Screen
  readonly complain: Complain
  readonly problems: (all: readonly Problem[]) => void
  readonly now: () => number
}

export async function replay(journals: readonly string[], where: Where, options: ReplayOptions): Promise<number> {
  const { complain, problems, screen, errors, now } = options
  const reads = [readAll({ ...where, rules: options.against }, process.env), readAll(where, process.env)]
  if (options.picture !== undefined && !options.picture.endsWith('.svg'))
    return complain({ error: `--picture: it is an SVG, and "${options.picture}" does not end in .svg` }, USAGE)
  const wrong = reads.flatMap((read) => (read.ok ? [] : read.problems))
  if (wrong.length > 0) {
    problems(wrong.filter((each, i) => wrong.findIndex((one) => placed(one) === placed(each)) === i))
    return 1
  }
  const sides = reads.flatMap((read) =>
    read.ok ? [{ rules: read.rules, memberOf: savedMembers(where.state, read) }] : [],
  )
  const began = now()
  const found = await retellJournals(journals.length > 0 ? journals : [where.state], sides, (total) =>
    showProgress(errors, total, now),
  )
  errors.over?.('')
  if (typeof found === 'string')
    return complain({ error: found, hint: 'name journals, or the state directory with --state' })
  const { retold, recordings, unreadable } = found
  const tookMs = Math.max(1, now() - began)
  if (retold.events === 0) return complain({ error: 'nothing is recorded there' })
  const { yellow, dim } = errors.colours
  const note = (text: string, colour: (line: string) => string) => {
    for (const line of wrapped(text, errors.width, 0)) errors.print(colour(line))
  }
  if (unreadable > 0) note(`${unreadable} lines could not be read, and were passed over`, yellow)
  if (recordings.some(({ countedAt }) => countedAt !== undefined))
    note('from what a store has counted: exact to the hour; what was withheld from it, stays withheld', dim)
  if (retold.crowded) note('more clients than can be told of: those beyond 100,000 are only counted', yellow)

  const [old = '', other = ''] = sides.map(({ rules }) => rules.file)
  const compared = compare(retold)
  const view = viewOf({ retold, compared, journals: recordings, old, other })
  if (options.picture !== undefined) writeFileSync(options.picture, drawReplay(pictured(retold, compared, old, other)))
  if (options.json) screen.print(JSON.stringify(view, null, 2))
  else {
    const teller = screen.person ? screen : errors
    for (const line of summary(view, compared, tookMs, screen))
      for (const each of hanging('', line, teller.width, 4)) teller.print(each)
    teller.print('')
    for (const line of rowsOf(compared, screen)) screen.print(line)
    if (options.picture !== undefined) errors.print(`picture: ${options.picture}`)
  }
  return compared.some(isDoubtful) ? 10 : 0
}

function summary(view: Comparing, compared: readonly Compared[], tookMs: number, screen: Screen): string[] {
  const { bold, yellow, green, dim } = screen.colours
  const { changes, before, after, events, journals } = view
  const n = (value: number) => value.toLocaleString('en')
  const length = span(Date.parse(view.to) - Date.parse(view.from))
  const took = `${(tookMs / 1000).toFixed(1)} s, ${n(Math.round(events / (tookMs / 1000)))} a second`
  const doubtful = compared.filter(isDoubtful)
  const of = (what: 'walked' | 'allowed' | 'freed') => doubtful.filter((each) => each[what]).length
  const grounds = [
    of('walked') > 0 && `went from the primary to the real MX (${of('walked')})`,
    of('allowed') > 0 && `are allowed (${of('allowed')})`,
    of('freed') > 0 && `were released by an operator (${of('freed')})`,
  ].filter(Boolean)
  return [
    `${bold(n(events))} events of ${counted(journals.length, 'journal')}, ${view.from.slice(0, 16).replace('T', ' ')} to ${view.to.slice(0, 16).replace('T', ' ')} UTC (${length})  ${dim(took)}`,
    ...(view.short === null ? [] : [yellow(view.short)]),
    `as if enforced   ${view.against}: ${n(before.blocked)} blocked, ${n(before.deferred)} deferred   ${view.rules}: ${n(after.blocked)} blocked, ${n(after.deferred)} deferred`,
    `of ${n(view.questions)} questions of the real MX: refused ${n(before.answers.refused)} -> ${bold(n(after.answers.refused))}, deferred ${n(before.answers.deferred)} -> ${bold(n(after.answers.deferred))}`,
    `clients: ${bold(`${n(changes.new)} newly listed`)}, ${n(changes.heavier)} more heavily, ${n(changes.lighter)} less, ${bold(`${n(changes.released)} no longer`)}; ${n(changes.alike)} as before`,
    grounds.length > 0
      ? yellow(`Look first at those worse off who ${grounds.join(', ')}.`)
      : (view.short === null ? green : dim)(
          'Of those worse off nobody ever followed through, is allowed, or was released.',
        ),
  ]
}

function rowsOf(compared: readonly Compared[], screen: Screen): string[] {
  const { dim } = screen.colours
  const shown = screen.person ? compared.slice(0, LIST_LIMIT) : compared
  const rows = shown.map((each) => {
    const { before, after } = each
    const told = after ?? before
    return [
      each.change === 'released' ? 'no longer' : each.change,
      each.client,
      before ? `${before.word} ${before.score.toFixed(0)}` : '-',
      after ? `${after.word} ${after.score.toFixed(0)}` : '-',
      `${before?.refused ?? 0} -> ${after?.refused ?? 0}`,
      [each.walked && 'walked', each.allowed && 'allowed', each.freed && 'released', told?.behaved && 'order only']
        .filter(Boolean)
        .join(', '),
      told?.because ?? '',
    ]
  })
  if (rows.length === 0) return []
  return [
    ...table(screen, ['change', 'client', 'today', 'then', 'refused', 'for it', 'because'], rows),
    ...(compared.length > shown.length ? [dim(`… ${compared.length - shown.length} more: --json`)] : []),
  ]
}

/** A line that is written over itself, five times a second at most; nothing where nobody looks. */
function showProgress(errors: Screen, total: number, now: () => number): ((bytes: number) => void) | undefined {
  if (!errors.person || !errors.over) return undefined
  const began = now()
  let shownAt = began
  return (bytes) => {
    if (now() - shownAt < 200) return
    shownAt = now()
    const share = total > 0 ? Math.min(1, bytes / total) : 1
    const leftMs = ((shownAt - began) / Math.max(share, 0.001)) * (1 - share)
    const bar = '#'.repeat(Math.round(share * 30)).padEnd(30, '.')
    errors.over?.(`${bar} ${(share * 100).toFixed(0).padStart(3)} %  ${span(leftMs)} left`)
  }
}

function placed({ file, line, column, message }: Problem): string {
  return `${file}:${line}:${column}: ${message}`
}
