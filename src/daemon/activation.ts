/**
 * Socket activation: sockets that the init system has opened for us, and keeps open while we are away, so that a caller
 * who comes during a restart waits for a moment instead of being refused; and ports below 1024 without any right of ours.
 *
 * The protocol is that of sd_listen_fds(3): LISTEN_FDS descriptors from 3 on, meant for the process LISTEN_PID, and their
 * names in LISTEN_FDNAMES. A name of ours says which door it is. Any other says nothing, and then the address does, if it
 * is one in the settings. What is given joins what the settings say: an address there is not opened a second time, one that
 * is not there is opened, too. What we cannot place is a mistake and stops the start: a socket that nobody accepts from
 * keeps its callers waiting.
 */
import { isSame, type LookUp, openSockets, type OpenSocket } from '../answer/open-sockets.ts'
import type { Problem } from '../core/document.ts'
import { didYouMean } from '../core/likely.ts'
import { type Address, placeMistakes, spellAddress } from '../settings/places.ts'
import { type Settings } from '../settings/settings.ts'

export type Activation =
  { readonly ok: true; readonly settings: Settings } | { readonly ok: false; readonly problems: readonly Problem[] }

/** The first descriptor that is passed. */
const FIRST_FD = 3
const SOCKETS_MAX = 256

type Part = 'decoys' | 'policy' | 'dnsbl' | 'http'
type Kind = { readonly part: Part; readonly over: 'tcp' | 'udp'; readonly lists: readonly List[] }
type Asked = (typeof ASKED)[number]
type List = 'primary' | 'primary-proxy' | 'backup' | 'backup-proxy' | Asked

/** The doors by the names that FileDescriptorName= may give. `decoys` is one that both share, told apart by prefixes. */
const KINDS: Readonly<Record<string, Kind>> = {
  primary: { part: 'decoys', over: 'tcp', lists: ['primary'] },
  'primary-proxy': { part: 'decoys', over: 'tcp', lists: ['primary-proxy'] },
  backup: { part: 'decoys', over: 'tcp', lists: ['backup'] },
  'backup-proxy': { part: 'decoys', over: 'tcp', lists: ['backup-proxy'] },
  decoys: { part: 'decoys', over: 'tcp', lists: ['primary', 'backup'] },
  policy: { part: 'policy', over: 'tcp', lists: ['policy'] },
  'tcp-table': { part: 'policy', over: 'tcp', lists: ['tcp-table'] },
  readsocket: { part: 'policy', over: 'tcp', lists: ['readsocket'] },
  milter: { part: 'policy', over: 'tcp', lists: ['milter'] },
  'dnsbl-udp': { part: 'dnsbl', over: 'udp', lists: ['dnsbl'] },
  'dnsbl-tcp': { part: 'dnsbl', over: 'tcp', lists: ['dnsbl'] },
  http: { part: 'http', over: 'tcp', lists: ['http'] },
}
export const SOCKET_NAMES: readonly string[] = Object.keys(KINDS)

/**
 * The settings with the sockets that were given in their places. Takes the variables out of `env`, so that no program we
 * start believes they are for it.
 */
export function takeSockets(
  settings: Settings,
  parts: ReadonlySet<string>,
  env: NodeJS.ProcessEnv,
  pid: number,
  lookUp: LookUp = openSockets(),
): Activation {
  const { LISTEN_FDS: count = '0', LISTEN_PID: forWhom, LISTEN_FDNAMES: names = '' } = env
  for (const name of ['LISTEN_FDS', 'LISTEN_PID', 'LISTEN_FDNAMES']) delete env[name]
  // `parent`: start.js had them, and handed over to us.
  if (forWhom !== String(pid) && forWhom !== 'parent') return { ok: true, settings }
  if (!/^\d{1,3}$/.test(count) || Number(count) > SOCKETS_MAX)
    return { ok: false, problems: [problem(`expected a number up to ${SOCKETS_MAX}, got "${count}"`, 'LISTEN_FDS')] }

  const problems: Problem[] = []
  const lists = listsOf(settings)
  const words = names === '' ? [] : names.split(':')
  for (let i = 0; i < Number(count); i++) {
    const word = words[i] ?? ''
    const said = `descriptor ${FIRST_FD + i} ("${word}")`
    const socket = lookUp(FIRST_FD + i)
    if (typeof socket === 'string') {
      problems.push(problem(`${said} ${socket}`))
      continue
    }
    const kind = kindOf(word, socket, lists)
    if (typeof kind === 'string') {
      problems.push({ ...problem(`${said} ${kind}`), hint: hintFor(word) })
    } else if (kind.over !== socket.over)
      problems.push(
        problem(`${said} is a ${socket.over.toUpperCase()} socket; that door wants ${kind.over.toUpperCase()}`),
      )
    else if (!parts.has(kind.part))
      problems.push(
        problem(`${said} is for the part ${kind.part}, which --only leaves out: its callers would wait for ever`),
      )
    else place(lists, kind, socket, FIRST_FD + i)
  }
  const made = withLists(settings, lists)
  if (problems.length === 0)
    problems.push(
      ...placeMistakes(made).map(({ path, message }) => problem(`${path.slice(0, -1).join('.')}: ${message}`)),
    )
  return problems.length > 0 ? { ok: false, problems } : { ok: true, settings: made }
}

type Lists = Record<List, readonly Address[]>

/** Those that have one list, under their own name. */
const ASKED = ['policy', 'tcp-table', 'readsocket', 'milter', 'dnsbl', 'http'] as const

function listsOf(settings: Settings): Lists {
  const { decoys } = settings
  const asked = Object.fromEntries(ASKED.map((name) => [name, settings[name].listen])) as Record<Asked, Address[]>
  return {
    ...asked,
    primary: decoys.primary.listen,
    'primary-proxy': decoys.primary.proxy,
    backup: decoys.backup.listen,
    'backup-proxy': decoys.backup.proxy,
  }
}

function withLists(settings: Settings, lists: Lists): Settings {
  const { decoys } = settings
  const { primary, backup } = decoys
  return {
    ...settings,
    decoys: {
      ...decoys,
      primary: { ...primary, listen: [...lists.primary], proxy: [...lists['primary-proxy']] },
      backup: { ...backup, listen: [...lists.backup], proxy: [...lists['backup-proxy']] },
    },
    ...(Object.fromEntries(ASKED.map((name) => [name, { ...settings[name], listen: [...lists[name]] }])) as Pick<
      Settings,
      Asked
    >),
  }
}

/** Which door it is: by its name, as it is or as the unit's (`decoymx-policy.socket`), else by its address. */
function kindOf(word: string, socket: OpenSocket, lists: Lists): Kind | string {
  const plain = plainName(word)
  if (Object.hasOwn(KINDS, plain)) return KINDS[plain] as Kind
  const there = Object.values(KINDS).filter(
    ({ over, lists: [first, ...others] }) =>
      over === socket.over && others.length === 0 && lists[first as List].some((each) => isSame(each, socket.address)),
  )
  const [kind] = there
  // A name that was chosen, and is none of ours, was meant to say something.
  if (!saysNothing(word)) return 'is no door of ours'
  if (!kind)
    return `says by its name no door of ours, and nothing listens at ${spellAddress(socket.address)} by the settings`
  return { ...kind, lists: there.flatMap((each) => each.lists) }
}

function plainName(word: string): string {
  return word.replace(/\.socket$/, '').replace(/^decoymx-/, '')
}

function hintFor(word: string): string {
  const meant = saysNothing(word) ? undefined : didYouMean(plainName(word), SOCKET_NAMES)
  return meant ?? `names: ${SOCKET_NAMES.join(', ')}`
}

/** A name that nobody chose: systemd's own, or a unit's. */
function saysNothing(word: string): boolean {
  return word === '' || word === 'unknown' || word.endsWith('.socket')
}

function place(lists: Lists, { lists: mine, over }: Kind, { address }: OpenSocket, fd: number): void {
  // A door that both decoys share in the settings is one, whatever it is called.
  const sharers = (['primary', 'backup'] as const).filter(
    (list) =>
      mine.some((each) => each === 'primary' || each === 'backup') && lists[list].some((a) => isSame(a, address)),
  )
  for (const list of new Set<List>([...mine, ...sharers])) {
    const known = lists[list].find((each) => isSame(each, address))
    const given = { ...(known ?? address), fds: { ...known?.fds, [over]: fd } }
    lists[list] = known ? lists[list].map((each) => (each === known ? given : each)) : [...lists[list], given]
  }
}

function problem(message: string, file = 'LISTEN_FDNAMES'): Problem {
  return { file, line: 1, column: 1, message }
}
