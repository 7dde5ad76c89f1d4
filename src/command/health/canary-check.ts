/**
 * The doctor has the canary played: what a bot and an honest client are told wherever anybody asks, now.
 */
import { ask } from '../appliance.ts'
import type { CanaryView } from '../../daemon/canary.ts'
import type { StatusView } from '../../daemon/status-view.ts'
import { type Chart, fail, type Finding, ok, warn } from './finding.ts'

/** A slow pace takes half a minute up to the first recipient. */
const PLAY_MS = 150_000

export async function playCanary({ view, where }: Chart): Promise<Finding[]> {
  if (!view) return []
  if (view.canary.state === 'off') return lastPlay(view)
  const { body } = await ask(where.state, 'POST', '/api/v1/canary', undefined, PLAY_MS)
  return gravityOf(view, findingsOf(body as CanaryView))
}

/** What the last play has shown, for who does not play it now. */
export function lastPlay(view: StatusView): Finding[] {
  const { state, because } = view.canary
  if (state === 'off')
    return [warn('canary', 'off: nobody sees whether the whole chain works', 'canary: {enabled: true} in the settings')]
  const next = 'decoymx doctor plays it again and shows each step'
  if (state === 'paused') return [warn('canary', `the canary could not be played: ${because}`, next)]
  return state === 'failing' ? gravityOf(view, [fail('canary', `the canary fails: ${because}`, next)]) : []
}

/** While the store is not there nobody new is listed anywhere: that is told of the store, and is as grave as that. */
function gravityOf({ reputation }: StatusView, findings: readonly Finding[]): Finding[] {
  if (reputation.storeHealth.state === 'up') return [...findings]
  return findings.map((each) => (each.level === 'fail' ? { ...each, level: 'warn' } : each))
}

/** One for each way out; and one for what kept it from being asked there. */
function findingsOf({ state, because, shownMs, checks }: CanaryView): Finding[] {
  const ways = checks.map(({ way, ok: right, seen }) =>
    right
      ? ok('canary', `${way}: ${seen}`)
      : fail('canary', `${way}: ${seen}`, 'whoever asks there is told wrong: the log has what happened'),
  )
  if (state === 'sound') return [ok('canary', `a bot is known everywhere after ${shownMs} ms`), ...ways]
  if (state === 'paused') return [warn('canary', `cannot be played now: ${because}`, 'mend that, and look again')]
  if (ways.some(({ level }) => level === 'fail')) return ways
  return [...ways, fail('canary', because ?? 'it fails', 'the log of the appliance has what happened')]
}
