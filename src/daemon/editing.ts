/**
 * Rules edited over HTTP: looked at, checked, replayed, and saved where the settings let that be.
 *
 * A proposal is weighed as a load weighs its file, by the same code and in the same turn (reloading.ts), so that what is told of it
 * is what will be. Its replay is another process's work (replay-worker.ts): this one answers the real MX.
 */
import type { Editing, Proposal, RulesFile, Saving } from '../answer/editing.ts'
import type { Problem } from '../core/document.ts'
import { reviewRules } from '../core/review.ts'
import { readProposal, type RulesReading, unseenUnder } from '../settings/checked.ts'
import { readText } from '../settings/reading.ts'
import { type Hindrance, hindranceAt, replaceText } from '../settings/replacing.ts'
import type { Settings, Where } from '../settings/settings.ts'
import { digestOf, type Reloading, spellEffect, type Weighed } from './reloading.ts'
import type { Replays } from './replays.ts'

export type EditingOptions = {
  readonly where: Where
  readonly settings: Settings
  readonly reloading: Reloading
  readonly replays: Replays
  readonly now: () => number
}

/** Proposals that are weighed or wait for it; each takes some milliseconds, or seconds where a great many are listed. */
const WEIGHED_MAX = 4

export function editRules({ where, settings, reloading, replays, now }: EditingOptions): Editing {
  const allowed = settings.http['edit-rules']
  let weighing = 0
  const fileName = () => reloading.loaded.text.file
  const oneOfFew = async <Value>(work: () => Promise<Value>): Promise<Value | 'busy'> => {
    if (weighing >= WEIGHED_MAX) return 'busy'
    weighing++
    try {
      return await work()
    } finally {
      weighing--
    }
  }
  const warningsOf = (found: RulesReading): Problem[] =>
    found.ok ? reviewRules(found.rules, found.placeOf, now(), unseenUnder(settings)) : []

  return {
    file(): RulesFile {
      const read = readText(where.rules)
      const hindrance = !allowed ? FORBIDDEN : read.ok ? hindranceAt(where.rules) : UNREADABLE
      return {
        file: fileName(),
        source: read.ok ? read.source : reloading.loaded.text.source,
        digest: read.ok ? digestOf(read) : '',
        inUse: reloading.loaded.digest,
        hindrance: hindrance ?? null,
      }
    },

    check: (source) =>
      oneOfFew(async () => {
        const found = readProposal(fileName(), source)
        return proposalOf(await reloading.weigh(found), warningsOf(found))
      }),

    save: ({ source, force, basedOn, by }) =>
      oneOfFew(async (): Promise<Saving> => {
        if (!allowed) return { is: 'forbidden', ...FORBIDDEN }
        const found = readProposal(fileName(), source)
        const digestNow = () => {
          const read = readText(where.rules)
          return read.ok ? digestOf(read) : ''
        }
        const before = digestNow()
        if (before !== basedOn) return { is: 'changed', digest: before }
        const outcome = await reloading.save(found, force, by, () =>
          // While this was weighed somebody may have saved by another way.
          digestNow() === basedOn ? replaceText(where.rules, source) : 'changed',
        )
        if ('hindrance' in outcome) {
          if (outcome.hindrance === 'changed') return { is: 'changed', digest: digestNow() }
          return { is: 'hindered', ...outcome.hindrance }
        }
        const proposal = proposalOf(outcome, warningsOf(found))
        if (!outcome.ok) return { is: outcome.why === 'bound' ? 'too-much' : 'unsound', proposal }
        return { is: 'saved', proposal, digest: outcome.next.digest }
      }),

    replay: (source, by, hear) => {
      const found = readProposal(fileName(), source)
      if (!found.ok) {
        const { problems } = found
        return { is: 'unsound', proposal: { ok: false, problems, warnings: [], effect: null, told: null } }
      }
      return replays.begin({ state: where.state, today: reloading.loaded.text, proposed: found.text }, by, hear)
    },
  }
}

/** What goes beyond the bound is sound: it is told beside the effect, and saved by force. */
function proposalOf(weighed: Weighed, warnings: readonly Problem[]): Proposal {
  const effect = weighed.effect ?? null
  const told = effect && spellEffect(effect)
  if (weighed.ok) return { ok: true, problems: [], warnings, effect, told }
  const { why, problems } = weighed
  if (why !== 'bound') return { ok: false, problems, warnings, effect, told }
  return { ok: true, problems: [], warnings: [...problems.map(asWarning), ...warnings], effect, told }
}

function asWarning(problem: Problem): Problem {
  return { ...problem, warning: true }
}

const FORBIDDEN: Hindrance = {
  error: 'rules are not saved over HTTP here',
  hint: 'save this text as the rules file on the host, or set http.edit-rules: true in the settings (the file that --settings names; `npm start` has none): docs/operating.md',
}
const UNREADABLE: Hindrance = {
  error: 'the rules file cannot be read now; these are the rules in use',
  hint: 'mend the file on the host: decoymx check tells what is wrong with it',
}
