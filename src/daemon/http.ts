/**
 * HTTP: the API for operators on the socket in the state directory, and API and console for whoever may come in over TCP.
 *
 * Here API and console meet: one entry for both, so that a session of the console is a visitor of the API.
 */
import { chmodSync, rmSync } from 'node:fs'
import type { Server } from 'node:http'
import { createAdaptorServer } from '@hono/node-server'
import type { MiddlewareHandler } from 'hono'
import { api, type ApiOptions } from '../answer/api.ts'
import { addressOf, type Entered, entry, entryOf } from '../answer/entry.ts'
import { type Console, type ConsoleOptions, consoleOf } from '../console/console.ts'
import { parseClient } from '../core/client.ts'
import type { Rights } from '../core/rights.ts'
import { Sessions } from '../console/sessions.ts'
import type { Problem } from '../core/document.ts'
import { Prefixes } from '../core/prefixes.ts'
import { type Access, readAccess } from '../settings/access.ts'
import type { Settings } from '../settings/settings.ts'
import { type Door, type DoorHappening, openDoor, tcp } from './sockets.ts'
import { controlSocket, SOCKET_PATH_MAX } from '../settings/state.ts'

export type HttpOptions = {
  readonly settings: Settings['http']
  readonly access: Access
  readonly api: Omit<ApiOptions, 'link'>
  readonly console: ConsoleOptions
  readonly door: (happening: DoorHappening) => void
}

export type Http = {
  /** Reads the access file anew; with mistakes in it what it said before stays. */
  readonly reload: () => { readonly access: Access; readonly problems: readonly Problem[] }
  /** Opens the doors over TCP; settles when each has been tried once. */
  readonly open: () => Promise<readonly Door[]>
  readonly close: () => Promise<void>
}

/** A request, and its headers, are here within this time, or are not waited for. */
const REQUEST_MS = 15_000
/** Connections at once, over TCP. */
const CONNECTIONS_MAX = 512

/** Settles when the socket for commands listens. */
export async function openHttp(folder: string, options: HttpOptions): Promise<Http> {
  const { settings } = options
  let { access } = options
  const sessions = new Sessions(() => access.accounts, options.api.now)
  const apiOptions = { ...options.api, link: (rights: Rights) => sessions.link(rights) }
  const known = (prefixes: Settings['http']['readers']) =>
    Prefixes.of(prefixes.map((prefix) => [prefix, true as const]))
  const control = serve(apiOptions, entryOf({ name: 'the socket', rights: 'operator', by: 'socket' }))
  await listenAtPath(control, controlSocket(folder))
  const servers: Server[] = [control]
  return {
    reload() {
      const read = readAccess(settings['access-file'])
      if (read.ok) access = read.access
      return { access, problems: read.ok ? [] : read.problems }
    },
    async open() {
      const server = serve(
        apiOptions,
        entry({
          tokens: () => access.tokens,
          session: (cookies) => sessions.of(cookies),
          readers: known(settings.readers),
          scrapers: known(settings.scrapers),
          now: apiOptions.now,
        }),
        consoleOf(options.console, sessions, (c) => parseClient(addressOf(c) ?? '')?.network ?? ''),
      )
      server.maxConnections = CONNECTIONS_MAX
      servers.push(server)
      const doors: Door[] = []
      for (const address of settings.listen) doors.push(await openDoor('HTTP', address, tcp(server), options.door))
      return doors
    },
    async close() {
      await Promise.all(servers.map(closeServer))
      rmSync(controlSocket(folder), { force: true })
    },
  }
}

function serve(options: ApiOptions, enter: MiddlewareHandler<Entered>, front?: Console): Server {
  const server = createAdaptorServer({ fetch: api(options, enter, front).fetch }) as Server
  server.requestTimeout = server.headersTimeout = REQUEST_MS
  return server
}

/** The socket that guards the operator's rights: only who may enter the state directory reaches it. */
async function listenAtPath(server: Server, path: string): Promise<void> {
  if (Buffer.byteLength(path) > SOCKET_PATH_MAX)
    throw new Error(
      `the path of the state directory is too long for a socket in it (${path}): start from a nearer directory, or use a shorter --state`,
    )
  rmSync(path, { force: true })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ path }, () => (server.removeListener('error', reject), resolve()))
  })
  chmodSync(path, 0o600)
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}
