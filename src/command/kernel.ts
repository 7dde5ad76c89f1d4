/**
 * `kernel on|off|status`: whether the kernel refuses strangers at the primary; and whom it lets in.
 *
 * Whom it lets in is what stands against clients, as the decoy itself regards them; so the two cannot disagree for longer
 * than a beat, and where they do, the decoy has the last word.
 */
import { counted, hanging, type Screen, table, when, wrapped } from '../console/terminal.ts'
import type { KernelState } from '../decoy/kernel.ts'
import { dropTable, NftFailed, readTable, type TableView } from '../decoy/nftables.ts'
import { typed } from '../console/called.ts'
import { ask, NotOurs, NotRunning } from './appliance.ts'
import type { Complain } from './exit-codes.ts'
import type { StatusView } from '../daemon/status-view.ts'

export async function kernel(folder: string, action: 'on' | 'off' | 'status', tools: Tools): Promise<number> {
  const { json, screen, complain } = tools
  try {
    const { status, body } =
      action === 'status'
        ? await ask(folder, 'GET', '/api/v1/status')
        : await ask(folder, 'POST', '/api/v1/kernel', { on: action === 'on' })
    if (status !== 200) return complain(body)
    const view = action === 'status' ? (body as StatusView).kernel : (body as KernelState)
    if (!view) return complain({ error: 'this appliance runs no decoys', hint: 'ask the one that does' })
    const table = view.state === 'off' && action === 'status' ? await tableHere() : undefined
    if (typeof table === 'object') return leftBehind(table, 'the appliance refuses nobody by the kernel', tools)
    if (json) screen.print(JSON.stringify(view, null, 2))
    else for (const line of page(view, screen, Date.now())) screen.print(line)
    return view.state === 'failed' || (action === 'on' && view.state !== 'on') ? 1 : 0
  } catch (error) {
    if (!(error instanceof NotRunning) || error instanceof NotOurs || action === 'on') throw error
    if (action === 'off') return await offAlone(tools)
    const table = await tableHere()
    if (table === undefined) throw error
    if (typeof table !== 'string') return leftBehind(table, `no decoymx is running on ${folder}`, tools)
    return complain({ error: error.message, hint: `whether an earlier run left a table cannot be seen: ${table}` })
  }
}

type Tools = { readonly json: boolean; readonly screen: Screen; readonly complain: Complain }

/** Our table, if it stands in the kernel; a sentence where we may not look. Without nft there is none of ours. */
export async function tableHere(): Promise<TableView | string | undefined> {
  try {
    return await readTable()
  } catch (error) {
    if (!(error instanceof NftFailed)) throw error
    return error.why === 'missing-program' ? undefined : error.message
  }
}

/** Nobody of ours minds the table, and it goes on refusing. */
function leftBehind({ tolls, refusesAt }: TableView, because: string, { json, screen }: Tools): number {
  if (json) screen.print(JSON.stringify({ state: 'left-behind', error: because, addresses: refusesAt, tolls }, null, 2))
  else {
    const sentence = `${because}, and ${spellLeft({ tolls, refusesAt })}. ${typed('kernel off')} removes it`
    for (const line of hanging(`${screen.colours.red('left behind')}  `, sentence, screen.width, 4)) screen.print(line)
  }
  return 1
}

/** `the table inet decoymx still refuses strangers at ...`, and whose it may be. */
export function spellLeft({ tolls, refusesAt }: Pick<TableView, 'tolls' | 'refusesAt'>): string {
  const refused = counted(tolls.refused[4] + tolls.refused[6], 'connection')
  const where = refusesAt.length > 0 ? ` at ${refusesAt.join(', ')}` : ''
  return `the table inet decoymx still refuses strangers${where} (${refused} so far): an earlier run left it, or a decoymx with another --state has it`
}

/** No appliance runs here: what an earlier one left is removed all the same. */
async function offAlone({ json, screen, complain }: Tools): Promise<number> {
  try {
    const removed = await dropTable()
    if (json) screen.print(JSON.stringify({ state: 'off', removed }, null, 2))
    else screen.print(removed ? 'our table is removed; no appliance is running here' : 'there is no table of ours')
    return 0
  } catch (error) {
    if (!(error instanceof NftFailed)) throw error
    return complain({ error: error.message })
  }
}

/** What a person reads about the kernel's half. */
export function page(view: KernelState, screen: Screen, now: number): string[] {
  const { colours } = screen
  const words = {
    on: `${colours.green('on')}  strangers at ${view.addresses.join(', ')} are refused by the kernel`,
    off: `${colours.bold('off')}  the decoy itself accepts and resets strangers (decoys.primary.kernel in the settings)`,
    failed: `${colours.red('failed')}  ${view.error ?? ''}; the decoy itself accepts and resets strangers`,
  }
  if (view.state !== 'on') return wrapped(words[view.state], screen.width, 0)
  const row = (name: string, family: 4 | 6) =>
    [name, view.suspects[family], view.networks[family], view.tolls.refused[family], view.tolls.letIn[family]].map(
      String,
    )
  const fewer = view.touches < view.tolls.refused[4] + view.tolls.refused[6]
  const read = view.lastRead === null ? 'never' : when(new Date(view.lastRead).toISOString(), now)
  return [
    ...wrapped(words.on, screen.width, 0),
    ...hanging(
      '    ',
      `${counted(view.touches, 'contact')} told since the start, last read ${read}${view.repairs > 0 ? `; repaired ${view.repairs === 1 ? 'once' : `${view.repairs} times`}` : ''}${fewer ? '; several connections of a client between two looks are one contact' : ''}`,
      screen.width,
      4,
    ),
    '',
    ...table(screen, ['family', 'suspects', 'blocked networks', 'refused', 'let in'], [row('IPv4', 4), row('IPv6', 6)]),
  ]
}
