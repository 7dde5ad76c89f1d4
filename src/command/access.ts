/**
 * `token` and `password`: what makes the lines of the access file. A token is said once, when it is made.
 */
import { createHash, randomBytes } from 'node:crypto'
import { stringify } from 'yaml'
import { digestOfPassword } from '../console/sessions.ts'
import type { Screen } from '../console/terminal.ts'
import type { Rights } from '../core/rights.ts'
import type { Complain } from './exit-codes.ts'

/** Shortest password; long and simple is better than short and strange (NIST SP 800-63B). */
const PASSWORD_MIN = 10

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
