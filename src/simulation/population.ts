/**
 * Who comes in a made-up week: how many honest senders, stranded ones and bots, and which share of them is of which kind.
 *
 * The kinds and how they behave are the code's (`honest.ts`, `bots.ts`); a file says how many of each. Shares are parts of their
 * sort, in whatever unit; what the file does not name does not come.
 */
import { z } from 'zod'
import { type Problem, readDocument } from '../core/document.ts'
import type { Behaviour } from './senders.ts'

export type PopulationReading =
  | { readonly ok: true; readonly behaviours: readonly Behaviour[] }
  | { readonly ok: false; readonly problems: readonly Problem[] }

/** More senders in a week than a run of minutes lives through. */
const SENDERS_MAX = 10_000
const SORTS = { honest: 'honest', stranded: 'stranded', bots: 'bot' } as const

export function readPopulation(file: string, source: string, known: readonly Behaviour[]): PopulationReading {
  const read = readDocument(file, source, schemaOf(known))
  if (!read.ok) return read
  const behaviours = Object.entries(SORTS).flatMap(([name, of]): Behaviour[] => {
    const sort = read.value[name as keyof typeof SORTS]
    if (!sort) return []
    const whole = Object.values(sort.shares).reduce((sum, share) => sum + share, 0)
    return known
      .filter((each) => each.of === of && (sort.shares[each.kind] ?? 0) > 0)
      .map((each) => ({ ...each, senders: (sort.senders * (sort.shares[each.kind] ?? 0)) / whole }))
  })
  return { ok: true, behaviours }
}

function schemaOf(known: readonly Behaviour[]) {
  const sort = (of: Behaviour['of']) => {
    const kinds = known.filter((each) => each.of === of).map(({ kind }) => kind)
    return z
      .strictObject({
        senders: z.number().nonnegative().max(SENDERS_MAX),
        shares: z.record(z.string(), z.number().nonnegative().max(1e6)).superRefine((shares, ctx) => {
          for (const kind of Object.keys(shares))
            if (!kinds.includes(kind))
              ctx.addIssue({
                code: 'custom',
                path: [kind],
                message: `no such kind of sender; there are ${kinds.join(', ')}`,
              })
          if (!Object.values(shares).some((share) => share > 0))
            ctx.addIssue({ code: 'custom', message: 'expected at least one share above 0' })
        }),
      })
      .optional()
  }
  return z.strictObject({ honest: sort('honest'), stranded: sort('stranded'), bots: sort('bot') })
}
