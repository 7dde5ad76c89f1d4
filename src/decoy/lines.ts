/**
 * What a decoy does with a connection whichever kind it is: a socket of Node's, or a bare one (libc/bare.ts), and how one
 * becomes the other. Without bare connections every line is a socket, and stays one.
 */
import type { Server, Socket } from 'node:net'
import { type Client, parseClient } from '../core/client.ts'
import { spellPlace } from '../core/place.ts'
import { type Bare, descriptorOf, type Fd } from '../libc/bare.ts'
import type { Line } from './crowd.ts'

/** Taken in at one stroke, in a millisecond or two: then others have their turn. */
const AT_ONCE_MAX = 64

/** Our own address that a client called, and the same with its port. */
export type Place = { readonly address: string; readonly where: string }

export class Lines {
  readonly #bare: Bare | undefined

  constructor(bare: Bare | undefined) {
    this.#bare = bare
  }

  /** Takes in bare who else waits at this server. */
  accept(server: Server, take: (line: Fd, client: Client) => void): void {
    const listener = this.#bare && descriptorOf(server)
    if (listener !== undefined) this.#bare?.accept(listener, AT_ONCE_MAX, take)
  }

  /** For whom nothing is needed but to be held: bare, where that can be had. */
  toHold(line: Line): Line {
    return typeof line === 'number' ? line : (this.#bare?.undress(line) ?? line)
  }

  /** For whom we talk to; undefined: it could not be had, and the line is closed. */
  toTalk(line: Line): Socket | undefined {
    if (typeof line !== 'number') return line
    return this.#bare?.dress(line)?.on('error', ignore)
  }

  placeOf(line: Line): Place {
    if (typeof line === 'number') return placed(this.#bare?.placeOf(line))
    return placed({ address: line.localAddress ?? '', port: line.localPort ?? 0 })
  }

  reset(line: Line): void {
    if (typeof line === 'number') this.#bare?.reset(line)
    else line.resetAndDestroy()
  }
}

function placed(called: { readonly address: string; readonly port: number } | undefined): Place {
  const address = parseClient(called?.address ?? '')?.ip ?? ''
  return { address, where: spellPlace(address, called?.port ?? 0) }
}

/** A client that goes away in the middle is no error of ours; its `close` follows and is what counts. */
export function ignore(): void {}
