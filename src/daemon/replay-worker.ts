/**
 * One replay, in a process of its own: told what to tell again, it tells its progress and then what came of it, and ends.
 *
 * It gives way to everybody: it has the least claim to the processor, and the kernel takes it first where memory runs out.
 */
import { writeFileSync } from 'node:fs'
import { constants, setPriority } from 'node:os'
import type { ReplayNews } from '../answer/editing.ts'
import { drawReplay } from '../console/replay-picture.ts'
import { compare, pictured, viewOf } from '../core/comparing.ts'
import { readRules, type Rules } from '../core/rules.ts'
import { readWellKnownFile, type RulesText } from '../settings/checked.ts'
import { savedMembers } from './pooling.ts'
import { retellJournals } from './replaying.ts'
import type { ReplayTask } from './replays.ts'

/** Clients that are told of by name; the figures are of all. */
const ROWS_MAX = 500
const PROGRESS_MS = 250
/** The proposed rules have no file of their own yet. */
const PROPOSED = 'proposed'

for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => {})
process.on('disconnect', () => process.exit(0))
process.once('message', (task: ReplayTask) => {
  giveWay()
  void replay(task).then(
    (news) => say(news, () => process.exit(0)),
    (error: Error) => say({ what: 'failed', error: error.message }, () => process.exit(1)),
  )
})

async function replay({ state, today, proposed }: ReplayTask): Promise<ReplayNews> {
  const known = readWellKnownFile()
  if (!known.ok) throw new Error('the list of big senders cannot be read')
  const sides = [today, proposed].map((text) => {
    const rules = rulesOf(text)
    return { rules, memberOf: savedMembers(state, { rules, wellKnown: known.wellKnown }) }
  })
  const found = await retellJournals([state], sides, progressOf)
  if (typeof found === 'string') return { what: 'failed', error: found }
  const { retold, recordings } = found
  if (retold.events === 0) return { what: 'failed', error: 'nothing is recorded yet' }
  const compared = compare(retold)
  const figures = viewOf({ retold, compared, journals: recordings, old: today.file, other: PROPOSED })
  return {
    what: 'done',
    figures: { ...figures, clients: figures.clients.slice(0, ROWS_MAX) },
    picture: drawReplay(pictured(retold, compared, today.file, PROPOSED)),
  }
}

function rulesOf({ file, source }: RulesText): Rules {
  const read = readRules(file, source)
  if (!read.ok) throw new Error('these rules are not sound')
  return read.rules
}

function progressOf(total: number): (bytes: number) => void {
  const began = performance.now()
  let toldAt = -Infinity
  return (bytes) => {
    const now = performance.now()
    if (now - toldAt < PROGRESS_MS || total === 0) return
    toldAt = now
    const share = Math.min(1, bytes / total)
    const leftSeconds = ((now - began) / 1000 / Math.max(share, 0.001)) * (1 - share)
    say({ what: 'progress', share, leftSeconds })
  }
}

function giveWay(): void {
  try {
    writeFileSync('/proc/self/oom_score_adj', '1000')
    setPriority(constants.priority.PRIORITY_LOW)
  } catch {
    // A sandbox may forbid it, and other systems have no such file: it is as good without.
  }
}

function say(news: ReplayNews, then = () => {}): void {
  if (process.connected) process.send?.(news, undefined, undefined, then)
  else then()
}
