/**
 * `governor`: the new listings that wait because they were too many at once, of one network, or of clients in good standing;
 * and an operator's word about them: enlist puts them into effect, discard lets them go.
 */
import { userInfo } from 'node:os'
import { span } from '../core/span.ts'
import type { WaitingView, WordView } from '../answer/views.ts'
import { hanging, type Screen, table } from '../console/terminal.ts'
import { ask } from './appliance.ts'
import { asWords, effectOf, LIST_LIMIT } from './decisions.ts'
import { type Complain, exitCodeFor } from './exit-codes.ts'
import { typed } from '../console/called.ts'

export async function showWaiting(
  folder: string,
  { json, screen, complain }: { json: boolean; screen: Screen; complain: Complain },
): Promise<number> {
  const { status, body } = await ask(folder, 'GET', '/api/v1/governor')
  if (status !== 200) return complain(body)
  const { waiting } = body as { waiting: WaitingView[] }
  if (json) screen.print(JSON.stringify({ waiting }, null, 2))
  else if (waiting.length === 0) screen.print('No listing waits.')
  else for (const line of told(waiting, screen, Date.now())) screen.print(line)
  return 0
}

export async function settleWaiting(
  folder: string,
  word: 'enlist' | 'discard',
  target: string,
  options: {
    because: string
    author: string | undefined
    json: boolean
    screen: Screen
    complain: Complain
  },
): Promise<number> {
  const { because, author = userInfo().username, json, screen, complain } = options
  const { status, body } = await ask(folder, 'POST', '/api/v1/words', { word, target, because, author })
  if (status !== 200) return complain(asWords(body), exitCodeFor(status))
  const done = body as WordView
  if (json) screen.print(JSON.stringify(done, null, 2))
  else {
    const effect = effectOf(done, 'written down; in effect as soon as the store answers')
    screen.print(`${word === 'enlist' ? 'enlisted' : 'discarded'} ${done.count} waiting listings: ${effect}`)
  }
  return 0
}

/** Why listings wait, as a person reads it. */
export const BOUNDS = {
  standing: 'clients of good standing: are the rules right? Nothing new is listed meanwhile',
  held: 'wait beside clients of good standing',
  minute: 'too many in a minute; new ones are listed again after ten minutes of calm',
  network: 'too many of one network in an hour',
} as const

function told(waiting: readonly WaitingView[], screen: Screen, now: number): string[] {
  const reasons = (Object.keys(BOUNDS) as (keyof typeof BOUNDS)[]).flatMap((why) => {
    const count = waiting.filter((each) => each.why === why).length
    return count > 0 ? hanging(`${count} `, BOUNDS[why], screen.width, 4) : []
  })
  const rows = waiting.map((each) => [
    each.client,
    each.word,
    each.score.toFixed(0),
    each.why,
    each.good ? 'good' : '',
    span(now - Date.parse(each.since)),
    each.because,
  ])
  const shown = screen.person ? rows.slice(0, LIST_LIMIT) : rows
  const { dim } = screen.colours
  const advice = [
    '',
    ...(rows.length > shown.length ? [dim(`… ${rows.length - shown.length} more: --json`)] : []),
    ...hanging('Right?  ', typed('governor enlist [CIDR] --because "..."'), screen.width, 8).map(dim),
    ...hanging(
      'Wrong?  ',
      `mend the rules and reload them, or ${typed('governor discard [CIDR] --because "..."')}`,
      screen.width,
      8,
    ).map(dim),
  ]
  return [
    ...(screen.person ? [...reasons, ''] : []),
    ...table(screen, ['client', 'verdict', 'score', 'bound', 'standing', 'waits', 'because'], shown),
    ...(screen.person ? advice : []),
  ]
}
