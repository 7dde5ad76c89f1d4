/**
 * The access file: who may come in over HTTP, by token or by account. Only digests stand in it, so reading it lets nobody in.
 */
import { readFileSync } from 'node:fs'
import { z } from 'zod'
import type { Token } from '../answer/entry.ts'
import { type Account, isPasswordDigest } from '../console/sessions.ts'
import { type Problem, readDocument } from '../core/document.ts'
import { RIGHTS } from '../core/rights.ts'

export type Access = { readonly tokens: readonly Token[]; readonly accounts: readonly Account[] }

const NO_ACCESS: Access = { tokens: [], accounts: [] }

const LIST_MAX = 400

const name = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/, { error: 'expected a short name of letters, digits and . _ @ -' })
  .describe('Stands beside each word that was given')
const rights = z.enum(RIGHTS).describe('viewer: reads; operator: also says allow, block and release')

export const accessSchema = z
  .strictObject({
    tokens: z
      .array(
        z.strictObject({
          name,
          rights,
          sha256: z
            .string()
            .regex(/^[0-9a-f]{64}$/, { error: 'expected 64 hexadecimal digits, as decoymx token prints them' }),
          until: z.iso
            .date()
            .transform((day) => Date.parse(`${day}T00:00:00Z`))
            .optional()
            .describe('A day like 2027-01-31, from which on it is not known any more'),
        }),
      )
      .max(LIST_MAX)
      .default([])
      .describe('For programs: Authorization: Bearer TOKEN'),
    accounts: z
      .array(
        z.strictObject({
          name,
          rights,
          password: z
            .string()
            .refine(isPasswordDigest, { error: 'expected $scrypt$ln=15,r=8,p=1$..., as decoymx password prints it' }),
        }),
      )
      .max(LIST_MAX)
      .default([])
      .describe('For people: the console'),
  })
  .superRefine((doc, ctx) => {
    for (const list of ['tokens', 'accounts'] as const)
      doc[list].forEach((each, i) => {
        if (doc[list].findIndex((other) => other.name === each.name) < i)
          ctx.addIssue({ code: 'custom', path: [list, i, 'name'], message: `there is another "${each.name}" above` })
      })
  })

export type AccessReading =
  { readonly ok: true; readonly access: Access } | { readonly ok: false; readonly problems: readonly Problem[] }

/** Without a file nobody has a token or an account. */
export function readAccess(file: string | undefined): AccessReading {
  if (file === undefined) return { ok: true, access: NO_ACCESS }
  let source: string
  try {
    source = readFileSync(file, 'utf8')
  } catch (error) {
    return {
      ok: false,
      problems: [{ file, line: 1, column: 1, message: `cannot be read: ${(error as Error).message}` }],
    }
  }
  const read = readDocument(file, source, accessSchema)
  if (!read.ok) return read
  const { tokens, accounts } = read.value
  return { ok: true, access: { tokens: tokens.map(({ until, ...each }) => ({ ...each, until })), accounts } }
}
