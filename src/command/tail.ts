/**
 * `tail`: evidence as it happens, over the socket in the state directory; a line for each thing seen, or JSON.
 *
 * What clients said is escaped once more here, whoever wrote it down. A terminal that reads slowly misses lines and is told so.
 * Exit 0 when interrupted or when the reader of a pipe goes, 1 when the appliance ends or refuses.
 */
import { type IncomingMessage, request } from 'node:http'
import { createInterface } from 'node:readline'
import type { ClientView } from '../answer/views.ts'
import type { Screen } from '../console/terminal.ts'
import { escaped, type Evidence, type Kind, type Role } from '../core/evidence.ts'
import { ask, explain } from './appliance.ts'
import { asWords } from './decisions.ts'
import { type Complain, exitCodeFor } from './exit-codes.ts'
import { controlSocket } from '../settings/state.ts'

export const VERDICTS = ['clean', 'observe', 'defer', 'block', 'allow'] as const

export type TailWords = {
  readonly role?: Role
  readonly kind?: readonly Kind[]
  readonly verdict?: (typeof VERDICTS)[number]
}

export type TailOptions = {
  readonly within: string | undefined
  readonly role: Role | undefined
  readonly kinds: readonly Kind[] | undefined
  readonly verdict: string | undefined
  readonly json: boolean
  readonly screen: Screen
  readonly errors: Screen
  readonly complain: Complain
  readonly until: AbortSignal
}

/** What stands about a client is asked again after so long; and of so many it is remembered. */
const VERDICT_MS = 1000
const VERDICTS_MAX = 1000

export async function tail(folder: string, options: TailOptions): Promise<number> {
  const { within, role, kinds, json, screen, errors, complain, until } = options
  const query = new URLSearchParams()
  if (within !== undefined) query.set('within', within)
  if (role !== undefined) query.set('role', role)
  const verdictOf = askingVerdicts(folder)
  const response = await open(folder, `/api/v1/events?${query.toString()}`, until)
  if (!response) return 0
  if (response.statusCode !== 200) {
    const chunks = await response.toArray()
    return complain(asWords(JSON.parse(Buffer.concat(chunks as Buffer[]).toString())), exitCodeFor(response.statusCode))
  }
  if (screen.person && !json) screen.print(screen.colours.dim(HEAD))
  let event = ''
  try {
    for await (const line of createInterface({ input: response })) {
      if (line.startsWith('event: ')) event = line.slice(7)
      if (!line.startsWith('data: ')) continue
      const data = JSON.parse(line.slice(6)) as Evidence & { readonly count?: number }
      if (event === 'missed') errors.print(errors.colours.yellow(`${data.count} not shown: too many to follow`))
      else if (event === 'evidence' && (!kinds || kinds.includes(data.kind))) {
        if (options.verdict !== undefined && (await verdictOf(data.client)) !== options.verdict) continue
        screen.print(json ? JSON.stringify(data) : spell(data, screen))
      }
    }
  } catch (error) {
    if (!until.aborted) throw error
  }
  return until.aborted ? 0 : complain({ error: 'the appliance has ended' })
}

const HEAD = 'TIME      CLIENT           ROLE     KIND               WHAT'

/** On a terminal in columns, one line for each, cut to its width, and three dots say so; in a pipe tab-separated and whole. */
export function spell(evidence: Evidence, screen: Screen): string {
  const { at, client, role, kind, times, detail = '' } = evidence
  const what = escaped(`${times === undefined ? '' : `${times} times `}${detail}`)
  const iso = new Date(at).toISOString()
  if (!screen.person) return [iso, client, role, kind, what].map(escaped).join('\t')
  const { dim, cyan, red, green } = screen.colours
  const start = `${iso.slice(11, 19)}  ${client.padEnd(15)}  ${role.padEnd(7)}  ${kind.padEnd(17)}  `
  const room = Math.max(0, screen.width - start.length)
  const cut = what.length <= room ? what : `${what.slice(0, Math.max(0, room - 3))}...`.slice(0, room)
  const paint = role === 'real' ? (kind === 'passed' ? green : red) : (text: string) => text
  return `${dim(iso.slice(11, 19))}  ${client.padEnd(15)}  ${cyan(role.padEnd(7))}  ${paint(kind.padEnd(17))}  ${cut}`.trimEnd()
}

/** The answer's beginning; undefined when one is interrupted before. */
function open(folder: string, path: string, signal: AbortSignal) {
  return new Promise<IncomingMessage | undefined>((resolve, reject) => {
    const asked = request({ socketPath: controlSocket(folder), path, signal }, resolve)
    asked.on('error', (error: NodeJS.ErrnoException) => {
      if (signal.aborted) resolve(undefined)
      else reject(explain(error, folder))
    })
    asked.end()
  })
}

function askingVerdicts(folder: string): (client: string) => Promise<string> {
  const known = new Map<string, { readonly verdict: string; readonly at: number }>()
  return async (client) => {
    const found = known.get(client)
    if (found && performance.now() - found.at < VERDICT_MS) return found.verdict
    const { body } = await ask(folder, 'GET', `/api/v1/clients/${encodeURIComponent(client)}`)
    const { verdict } = body as ClientView
    if (known.size >= VERDICTS_MAX) known.clear()
    known.set(client, { verdict, at: performance.now() })
    return verdict
  }
}
