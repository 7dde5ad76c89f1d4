/**
 * What is wrong with a request: each field with what was expected and what came, all in one go, in the one shape in which the
 * API tells of mistakes.
 */
import type { z } from 'zod'
import { complaintsOf, named, show } from '../core/complaints.ts'
import type { mistakeSchema } from './views.ts'

export type Mistake = z.output<typeof mistakeSchema>

/** One sentence with its hint, or several, each with its own behind it. */
type Told = { readonly error: string; readonly hint?: string | undefined }

/**
 * @param whole - what came, where a mistake is in no field of it
 * @param beside - a mistake that is found elsewhere
 */
export function mistakeOf(error: z.ZodError, schema: z.ZodType, whole: string, beside?: Told): Mistake {
  const told = toldOf(error, schema, whole)
  const all = beside ? [...told, beside] : told
  const [only] = all
  if (all.length === 1 && only) return { error: only.error, ...(only.hint === undefined ? {} : { hint: only.hint }) }
  const errors = all.map(spell)
  return { error: errors.join('; '), errors }
}

/** The same as sentences, for whoever has no request to answer. */
export function sentencesOf(error: z.ZodError, schema: z.ZodType, whole: string): string[] {
  return toldOf(error, schema, whole).map(spell)
}

/** What is no JSON at all. */
export function notJson(text: string, error: unknown): Mistake {
  const { message } = error as Error
  return { error: `the body: expected JSON, got ${show(text)}`, hint: message.replace(/^./, (a) => a.toLowerCase()) }
}

function toldOf(error: z.ZodError, schema: z.ZodType, whole: string): Told[] {
  return complaintsOf(error, schema, 'field').map(({ path, message, hint }) => ({
    error: `${named(path, whole)}: ${message}`,
    hint,
  }))
}

function spell({ error, hint }: Told): string {
  return hint === undefined ? error : `${error} (${hint})`
}
