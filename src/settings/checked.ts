/**
 * Everything that a person wrote for this host, read together: settings, rules, the access file, and the list of big senders
 * that ships. All mistakes at once.
 */
import { join } from 'node:path'
import type { PlaceOf, Problem } from '../core/document.ts'
import { readWellKnown, type WellKnown, type WellKnownReading } from '../core/pools.ts'
import type { Unseen } from '../core/review.ts'
import { type Rules, readRules } from '../core/rules.ts'
import { type Access, readAccess } from './access.ts'
import { type FileReading, readText, textOf } from './reading.ts'
import { readSettings, type Settings, type Where } from './settings.ts'

export type Checked =
  | {
      readonly ok: true
      readonly settings: Settings
      readonly rules: Rules
      readonly placeOf: PlaceOf
      readonly text: RulesText
      readonly wellKnown: WellKnown
      readonly access: Access
    }
  | { readonly ok: false; readonly problems: readonly Problem[] }

/** A rules file as it was read: what is made of it can be made again elsewhere. */
export type RulesText = { readonly file: string; readonly source: string }

export type RulesReading =
  | { readonly ok: true; readonly rules: Rules; readonly placeOf: PlaceOf; readonly text: RulesText }
  | { readonly ok: false; readonly problems: readonly Problem[]; readonly text?: RulesText }

/** What the rules ask for, and this host cannot do. */
export function mistakesTogether(rules: Rules, { decoys }: Settings): Problem[] {
  if (!rules.unlisting) return []
  const { listen, proxy, kernel } = decoys.primary
  const at = { file: rules.file, line: rules.unlisting.line, column: 1, code: 'R011' as const }
  if (listen.length + proxy.length === 0)
    return [{ ...at, message: 'unlisting: nobody sees who tries the primary: decoys.primary has no addresses here' }]
  if (kernel)
    return [
      {
        ...at,
        message:
          'unlisting: with decoys.primary.kernel we hear of a try seconds after the sender has come to the real MX',
        hint: 'every newcomer would be deferred: let the decoy itself refuse them, with kernel: false',
      },
    ]
  return []
}

/**
 * Which facts nothing on this host can tell of, and why. Where a Redis is shared, a host that answers nobody, or has no decoy at
 * all, hears through it of those who came to another that does.
 */
export function unseenUnder(settings: Settings): Unseen {
  const { decoys, policy, readsocket, milter, 'tcp-table': table, store } = settings
  const isShared = store.redis !== undefined
  const nobodyAsks = !isShared && [policy, readsocket, milter, table].every(({ listen }) => listen.length === 0)
  const deaf = (role: 'primary' | 'backup') => decoys[role].listen.length + decoys[role].proxy.length === 0
  const decoysAreElsewhere = isShared && deaf('primary') && deaf('backup')
  return (fact) => {
    const wrong = (because: string) => ({ because, rests: false })
    const role = fact.slice(0, fact.indexOf('.'))
    if (role === 'real')
      return nobodyAsks
        ? wrong('no real MX asks us: policy, milter, tcp-table and readsocket have no addresses')
        : undefined
    if (decoysAreElsewhere) return undefined
    // Whoever has no backup decoy has nolisting alone, and the rules of everybody: nearly all of them count there.
    if (role === 'backup' && deaf(role)) return { because: 'decoys.backup has no addresses', rests: true }
    if (role === 'primary' && deaf(role)) return wrong('decoys.primary has no addresses')
    if (fact.endsWith('.content') && !decoys.backup['keep-messages'])
      return wrong('decoys.backup.keep-messages is not set')
    return undefined
  }
}

/** Reads both files as the daemon does. */
export function readAll(where: Where, env: NodeJS.ProcessEnv): Checked {
  const settings = readSettings(where.settings, env)
  const rules = readRulesFile(where.rules)
  const known = readWellKnownFile()
  const access = readAccess(settings.ok ? settings.settings.http['access-file'] : undefined)
  if (settings.ok && rules.ok && known.ok && access.ok) {
    const problems = mistakesTogether(rules.rules, settings.settings)
    if (problems.length > 0) return { ok: false, problems }
    return {
      ok: true,
      settings: settings.settings,
      rules: rules.rules,
      placeOf: rules.placeOf,
      text: rules.text,
      wellKnown: known.wellKnown,
      access: access.access,
    }
  }
  return { ok: false, problems: [settings, rules, known, access].flatMap((read) => (read.ok ? [] : read.problems)) }
}

/** The list of big senders that ships, beside the code. */
export function readWellKnownFile(
  path = join(import.meta.dirname, '../../deploy/well-known-senders.yaml'),
): WellKnownReading {
  const read = readText(path)
  return read.ok ? readWellKnown(read.file, read.source) : read
}

export function readRulesFile(path: string): RulesReading {
  return rulesIn(readText(path))
}

/** Rules that are not in their file yet. */
export function readProposal(file: string, source: string): RulesReading {
  return rulesIn(textOf(file, Buffer.from(source)))
}

function rulesIn(found: FileReading): RulesReading {
  if (!found.ok) return found
  const { file, source } = found
  return { ...readRules(file, source), text: { file, source } }
}
