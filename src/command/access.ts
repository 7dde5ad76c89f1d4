/**
 * The access file: who may come in over HTTP, by token or by account. And `token` and `password`, which make its lines.
 *
 * Only digests stand in it, so reading it lets nobody in. A token is said once, when it is made.
 */
import { createHash, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { stringify } from 'yaml'
import { z } from 'zod'
import type { Token } from '../answer/entry.ts'
import { type Account, digestOfPassword, isPasswordDigest } from '../console/sessions.ts'
import type { Screen } from '../console/terminal.ts'
import { type Problem, readDocument } from '../core/document.ts'
import { RIGHTS, type Rights } from '../core/rights.ts'
import type { Complain } from './decisions.ts'

export type Access = { readonly tokens: readonly Token[]; readonly accounts: readonly Account[] }

const NO_ACCESS: Access = { tokens: [], accounts: [] }

const LIST_MAX = 1000
/** Shortest password; long and simple is better than short and strange (NIST SP 800-63B). */
const PASSWORD_MIN = 10

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

/** `token NAME`: a new token, said once, and its lines for the access file. */
export function makeToken(name: string, rights: Rights, screen: Screen): number {
  const token = `dmx_${randomBytes(24).toString('base64url')}`
  const sha256 = createHash('sha256').update(token).digest('hex')
  for (const line of [
    `${screen.colours.bold(token)}`,
    screen.colours.dim(
      '# said once: only its digest is kept. Put these lines into the access file (http.access-file):',
    ),
    ...stringify({ tokens: [{ name, rights, sha256 }] })
      .trimEnd()
      .split('\n'),
  ])
    screen.print(line)
  return 0
}

/** `password NAME`: reads it from `input`, which nobody else sees, and prints the lines for the access file. */
export async function makePassword(
  name: string,
  rights: Rights,
  { input, screen, errors, complain }: { input: NodeJS.ReadStream; screen: Screen; errors: Screen; complain: Complain },
): Promise<number> {
  if (input.isTTY) errors.print(`password for ${name} (at least ${PASSWORD_MIN} characters; it is not shown):`)
  const password = await lineOf(input)
  if (password.length < PASSWORD_MIN)
    return complain({ error: `a password has at least ${PASSWORD_MIN} characters`, hint: 'a sentence is easy to keep' })
  const digest = await digestOfPassword(password)
  if (input.isTTY) errors.print(screen.colours.dim('put these lines into the access file (http.access-file):'))
  for (const line of stringify({ accounts: [{ name, rights, password: digest }] })
    .trimEnd()
    .split('\n'))
    screen.print(line)
  return 0
}

/** The first line, not echoed where it is typed. */
async function lineOf(input: NodeJS.ReadStream): Promise<string> {
  if (input.isTTY) input.setRawMode(true)
  let text = ''
  try {
    for await (const chunk of input.setEncoding('utf8') as AsyncIterable<string>) {
      if (input.isTTY && chunk.includes('\u0003')) return ''
      text += chunk
      if (/[\r\n]/.test(text) || text.length > 1000) break
    }
  } finally {
    if (input.isTTY) input.setRawMode(false)
    input.pause()
  }
  const [line = ''] = text.split(/[\r\n]/, 1)
  let typed = ''
  for (const char of line) typed = char === '\b' || char === '\x7f' ? typed.slice(0, -1) : typed + char
  return typed
}
