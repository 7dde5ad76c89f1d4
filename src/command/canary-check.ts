/**
 * The doctor has the canary played: what a bot and an honest client are told wherever anybody asks, now.
 */
import { ask } from './appliance.ts'
import type { CanaryView } from '../daemon/canary.ts'
import { type Chart, fail, type Finding, ok, warn } from './finding.ts'

/** A slow pace takes half a minute up to the first recipient. */
const PLAY_MS = 150_000

export async function playCanary({ view, where }: Chart): Promise<Finding[]> {
  if (!view) return []
  if (view.canary.state === 'off')
    return [warn('canary', 'off: nobody sees whether the whole chain works', 'canary: {enabled: true} in the settings')]
  const { body } = await ask(where.state, 'POST', '/api/v1/canary', undefined, PLAY_MS)
  return findingsOf(body as CanaryView)
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
