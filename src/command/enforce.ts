/**
 * `enforce --preview`: what the last days would have been, had the mode been enforce. From the journal in the state
 * directory, through the functions that the daemon uses, under the rules as they are in the file now.
 *
 * It asks no running appliance and changes nothing. Several boxes on one Redis have a journal each, and each is a part of
 * the whole.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Screen, table, wrapped } from '../console/terminal.ts'
import type { Problem } from '../core/document.ts'
import { prepareRetelling, type Retelling } from '../core/retelling.ts'
import { recording } from '../reputation/reputation.ts'
import { readAll } from '../settings/checked.ts'
import { savedMembers } from '../daemon/pooling.ts'
import { LIST_LIMIT } from './decisions.ts'
import { type Complain, USAGE } from './exit-codes.ts'
import type { Where } from '../settings/settings.ts'
import { typed } from '../console/called.ts'

export type EnforceOptions = {
  readonly preview: boolean
  readonly days: number
  readonly json: boolean
  readonly screen: Screen
  readonly complain: Complain
  readonly problems: (all: readonly Problem[]) => void
}

const DAY_MS = 86_400_000

export async function enforce(where: Where, options: EnforceOptions): Promise<number> {
  const { days, json, screen, complain } = options
  if (!options.preview)
    return complain(
      {
        error: 'enforcing is a line in the rules file: mode: enforce',
        hint: `${typed('enforce --preview')} tells what it would have done`,
      },
      USAGE,
    )
  const read = readAll(where, process.env)
  if (!read.ok) {
    options.problems(read.problems)
    return 1
  }
  const folder = join(where.state, 'journal')
  if (!existsSync(folder))
    return complain({ error: `there is no journal in ${where.state}`, hint: 'name it with --state' })
  const watch = read.settings['real-mx'].greet.length > 0 ? 'witness' : 'blind'
  const from = Date.now() - days * DAY_MS
  const side = { rules: read.rules, memberOf: savedMembers(where.state, read) }
  const retelling = prepareRetelling({ sides: [side], watchAt: () => watch, from })
  for await (const entry of recording(folder)) retelling.add(entry)
  const retold = retelling.end()
  if (json) screen.print(JSON.stringify(viewOf(retold, days), null, 2))
  else for (const line of told(retold, days, screen)) screen.print(line)
  return 0
}

function viewOf({ clients, questions, answers: [answers] }: Retelling, days: number) {
  const worse = clients.flatMap(({ told: [told], ...each }) => (told ? { ...each, ...told } : []))
  // Whoever is allowed would have been refused by nobody, but for what it was told before it was.
  const isSpared = ({ allowed, refused, deferred }: (typeof worse)[number]) => allowed && refused + deferred === 0
  const listed = worse.filter((each) => !isSpared(each))
  const { refused = 0, deferred = 0 } = answers ?? {}
  const count = (word: string) => listed.filter((each) => each.word === word).length
  return {
    days,
    questions,
    refused,
    deferred,
    clients: { blocked: count('block'), deferred: count('defer'), allowed: worse.length - listed.length },
    walked: listed.filter((each) => each.walked).length,
    behaved: listed.filter((each) => each.behaved).length,
    listed: listed.map(({ client, ...each }) => ({ client: client.ip, ...each })),
  }
}

function told(retelling: Retelling, days: number, screen: Screen): string[] {
  const { questions, refused, deferred, clients, walked, behaved, listed } = viewOf(retelling, days)
  const { bold, dim, yellow, green } = screen.colours
  const verdict =
    walked + behaved === 0
      ? green('None of them ever went from the primary to the real MX, and each did what no mail server does.')
      : yellow(
          `Look first at those who ${[
            ...(walked > 0 ? [`went from the primary to the real MX (${walked})`] : []),
            ...(behaved > 0 ? [`did nothing but come in the wrong order (${behaved})`] : []),
          ].join(' and those who ')}.`,
        )
  const summary = [
    `In the last ${days === 1 ? 'day' : `${bold(String(days))} days`}, of ${questions} questions of the real MX, ${bold(String(refused))} would have been refused and ${bold(String(deferred))} deferred.`,
    `Clients: ${clients.blocked} blocked, ${clients.deferred} deferred${clients.allowed > 0 ? `; ${clients.allowed} more by the rules, but allowed` : ''}. ${listed.length > 0 ? verdict : ''}`.trim(),
  ]
  // Those whom an operator looks at first come first.
  const doubt = ({ walked, behaved }: (typeof listed)[number]) => Number(walked) * 2 + Number(behaved)
  const rows = listed
    .toSorted((a, b) => doubt(b) - doubt(a) || b.refused + b.deferred - a.refused - a.deferred)
    .map((each) => [
      each.client,
      each.word,
      each.score.toFixed(0),
      String(each.refused),
      String(each.deferred),
      each.walked ? 'walked' : '',
      each.behaved ? 'order only' : '',
      each.because,
    ])
  const shown = screen.person ? rows.slice(0, LIST_LIMIT) : rows
  const heads = ['client', 'verdict', 'score', 'refused', 'deferred', 'route', 'manners', 'because']
  return [
    ...(screen.person ? summary.flatMap((line) => wrapped(line, screen.width, 0)) : []),
    ...(rows.length === 0 ? [] : [...(screen.person ? [''] : []), ...table(screen, heads, shown)]),
    ...(!screen.person && rows.length === 0 ? summary : []),
    ...(rows.length > shown.length ? [dim(`… ${rows.length - shown.length} more: --json`)] : []),
  ]
}
