/**
 * `console`: a link that logs in to the web console once, for whoever may use the socket in the state directory.
 */
import type { Screen } from '../console/terminal.ts'
import type { Rights } from '../core/rights.ts'
import { ask } from './appliance.ts'
import type { Complain } from './exit-codes.ts'
import type { StatusView } from '../daemon/status-view.ts'

export async function consoleLink(
  folder: string,
  rights: Rights,
  { json, screen, complain }: { json: boolean; screen: Screen; complain: Complain },
): Promise<number> {
  const { doors } = (await ask(folder, 'GET', '/api/v1/status')).body as StatusView
  const door = doors.find(({ name, open }) => name === 'HTTP' && open)
  if (!door)
    return complain({ error: 'the appliance has no open door for HTTP', hint: 'see http.listen in the settings' })
  const { status, body } = await ask(folder, 'POST', '/api/v1/console-links', { rights })
  if (status !== 200) return complain(body)
  const url = `http://${door.address}/login?code=${(body as { code: string }).code}`
  screen.print(json ? JSON.stringify({ url, rights }) : url)
  if (screen.person && !json) screen.print(screen.colours.dim(`works once, within ten minutes, as ${rights}`))
  return 0
}
