/**
 * Listening: every address of every room, each on its own.
 *
 * An address that cannot be bound (in use, not on this host yet, no right to the port) is said once, and tried again; the
 * others work meanwhile. So one wrong line in the settings never silences a whole appliance. A socket that the init system
 * has opened already is taken as it is.
 */
import type { Socket } from 'node:dgram'
import { rmSync, statSync } from 'node:fs'
import { connect, type Server } from 'node:net'
import { type Address, spellAddress } from '../settings/places.ts'

export type DoorHappening =
  | { readonly what: 'open'; readonly door: string; readonly address: string }
  | { readonly what: 'shut'; readonly door: string; readonly address: string; readonly error: string }
  /** It is open, and one client could not come in (no more open files, ...). */
  | { readonly what: 'stuck'; readonly door: string; readonly address: string; readonly error: string }

/** One address that shall be open. */
export type Door = {
  readonly name: string
  readonly wanted: string
  /** As bound: the port that was given where 0 was wanted. Undefined while shut. */
  readonly bound: string | undefined
  /** Why it is shut; undefined, too, while it is yet to be tried. */
  readonly error: string | undefined
  /** How who comes there is served, where that is worth a word. */
  readonly note?: () => Note | undefined
  /** No more tries. What is open is closed by the room that made it. */
  readonly giveUp: () => void
}

/** How who comes is served; where that is slower than the settings would have it, why. */
export type Note = string | Shortfall
type Shortfall = { readonly how: string; readonly because: string }

/** The same, for whoever looks. */
export type DoorView = {
  readonly name: string
  readonly address: string
  readonly open: boolean
  readonly error: string | null
  readonly note: string | null
  readonly shortfall: Shortfall | null
}

/** Something that can listen: a TCP server, or a UDP socket made anew for each try. Gives the port it got. */
export type Listener = (address: Address, onError: (error: Error) => void) => Promise<number>

const RETRY_MS = 5000
/** Connections that may wait in the kernel until we take them. */
const BACKLOG = 1024

/** Opens a door and keeps trying. Settles after the first try. */
export async function openDoor(
  name: string,
  address: Address,
  listener: Listener,
  tell: (happening: DoorHappening) => void,
  retryMs = RETRY_MS,
): Promise<Door> {
  const door = {
    name,
    wanted: spellAddress(address),
    bound: undefined as string | undefined,
    error: undefined as string | undefined,
  }
  let timer: NodeJS.Timeout | undefined
  let closed = false
  const attempt = async () => {
    try {
      const stuck = (error: Error) =>
        tell({ what: 'stuck', door: name, address: door.bound ?? door.wanted, error: error.message })
      door.bound = spellAddress({ ...address, port: await listener(address, stuck) })
      door.error = undefined
      tell({ what: 'open', door: name, address: door.bound })
    } catch (error) {
      const sentence = reasonOf(error as NodeJS.ErrnoException)
      if (sentence !== door.error) tell({ what: 'shut', door: name, address: door.wanted, error: sentence })
      door.error = sentence
      if (!closed) timer = setTimeout(() => void attempt(), retryMs)
    }
  }
  await attempt()
  const giveUp = () => {
    closed = true
    clearTimeout(timer)
  }
  return Object.assign(door, { giveUp })
}

/** Shared: other processes of ours listen there, too, and the kernel deals out who comes. */
export function tcp(server: Server, shared = false): Listener {
  return async ({ host, port, path, ours, fds }, onError) => {
    if (path !== undefined) await clearAway(path)
    return await new Promise((resolve, reject) => {
      const opened = () => {
        // From now on an error is one connection's: without a listener it would end the process.
        server.off('error', failed).on('error', onError)
        const bound = server.address()
        resolve(typeof bound === 'object' && bound ? bound.port : port)
      }
      // It is tried again for as long as we run: nothing of this attempt may stay.
      const failed = (error: Error) => {
        server.off('listening', opened)
        reject(error)
      }
      server.once('error', failed)
      // A Unix socket is for every user of this host, as loopback is: who may come there, its folder says.
      const place =
        path === undefined
          ? { host, port, ipv6Only: host.includes(':'), reusePort: shared }
          : { path, readableAll: !ours, writableAll: !ours }
      server.listen({ ...(fds?.tcp === undefined ? place : { fd: fds.tcp }), backlog: BACKLOG }, opened)
    })
  }
}

/** A socket that nobody listens at was left behind by a crash. What is no socket, or is in use, stays. */
async function clearAway(path: string): Promise<void> {
  if (!statSync(path, { throwIfNoEntry: false })?.isSocket()) return
  const code = await new Promise<string | undefined>((resolve) => {
    const probe = connect({ path }, () => (probe.destroy(), resolve(undefined)))
    probe.on('error', (error: NodeJS.ErrnoException) => resolve(error.code))
  })
  if (code === 'ECONNREFUSED') rmSync(path, { force: true })
}

export function udp(make: () => Socket): Listener {
  return ({ host, port, fds }, onError) =>
    new Promise((resolve, reject) => {
      const socket = make()
      const failed = (error: Error) => {
        socket.close()
        reject(error)
      }
      socket.once('error', failed)
      const place = fds?.udp === undefined ? { port, address: host } : { fd: fds.udp }
      socket.bind(place, () => {
        socket.off('error', failed).on('error', onError)
        resolve(socket.address().port)
      })
    })
}

/** Of an address that is taken it is told, too, `how` it can be listened at beside whoever is there. */
export function beside(listener: Listener, how: string): Listener {
  return async (address, onError) => {
    try {
      return await listener(address, onError)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
      throw new Error(`${TAKEN}; ${how}`, { cause: error })
    }
  }
}

const TAKEN = 'another program listens there'

export function viewOf({ name, wanted, bound, error, note }: Door): DoorView {
  const said = (bound === undefined ? undefined : note?.()) ?? null
  const shortfall = typeof said === 'object' ? said : null
  return {
    name,
    address: bound ?? wanted,
    open: bound !== undefined,
    error: error ?? null,
    note: typeof said === 'string' ? said : (said?.how ?? null),
    shortfall,
  }
}

/** Why nobody could come in, or undefined while one door is open or yet to be tried, or none is wanted. */
export function allShut(doors: readonly Pick<Door, 'name' | 'wanted' | 'bound' | 'error'>[]): string | undefined {
  if (doors.length === 0 || doors.some(({ bound, error }) => bound !== undefined || error === undefined))
    return undefined
  const each = doors.map(({ name, wanted, error }) => `  ${name} ${wanted}: ${error}`)
  return `none of the ${doors.length} addresses could be opened, so nothing would be heard:\n${each.join('\n')}\nFree them, or name others in the settings`
}

function reasonOf(error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case 'EADDRINUSE':
      return TAKEN
    case 'EADDRNOTAVAIL':
      return 'this host has no such address (yet)'
    case 'EACCES':
      return 'no right to this port: grant CAP_NET_BIND_SERVICE, or use a port from 1024 on'
    default:
      return error.message
  }
}
