/**
 * A decoy on loopback, everything it told kept in arrays, and clients to visit it: careful ones that read each reply
 * to its end, and others that only send. Nothing here waits for time to pass: a test waits for what it wants to see.
 */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'
import type { Evidence, Event, Kind } from '../../src/core/evidence.ts'
import { parsePrefix, type Prefix, Prefixes } from '../../src/core/prefixes.ts'
import { type Bare, bare } from '../../src/libc/bare.ts'
import { Decoy, type DecoyOptions } from '../../src/decoy/listener.ts'
import type { DecoyHappening, Via } from '../../src/decoy/happenings.ts'

export const BRISK = { greetingMs: 0, replyMs: 0, byteMs: 0, dripMs: 100 }
const LIMITS = {
  connections: 500,
  perNetwork: 500,
  perClient: 500,
  dialogueMs: 15_000,
  tarpitMs: 15_000,
  suspectHoldMs: 15_000,
  headerMs: 15_000,
}

export type Options = Partial<Omit<DecoyOptions, 'limits'>> & { readonly limits?: Partial<DecoyOptions['limits']> }

export class House {
  readonly evidence: Evidence[] = []
  readonly happenings: DecoyHappening[] = []
  readonly decoy: Decoy
  #waiters: (() => void)[] = []
  #ports = new Map<Via, number>()

  constructor(options: Options) {
    this.decoy = new Decoy({
      role: 'backup',
      name: 'mx9.example.test',
      pace: BRISK,
      offers: { auth: true, tls: undefined, keepBytes: 0, keepAddresses: 'whole' },
      proxyFrom: networks('127.0.0.0/8'),
      regard: () => 'stranger',
      protects: (domain) => domain === 'example.test',
      isTrap: (address) => address === 'trap@example.test',
      now: () => 1_000,
      bare: bare() as Bare,
      ...options,
      witness: async (event: Event) => {
        if (event.type === 'evidence') this.evidence.push(event)
        this.#wake()
        await options.witness?.(event)
      },
      tell: (happening) => {
        this.happenings.push(happening)
        this.#wake()
      },
      limits: { ...LIMITS, ...options.limits },
    })
  }

  async open(): Promise<this> {
    for (const via of ['direct', 'proxy'] as const) this.#ports.set(via, await listen(this.decoy.server(via)))
    return this
  }

  port(via: Via = 'direct'): number {
    return this.#ports.get(via) as number
  }

  call(via: Via = 'direct'): Visitor {
    return new Visitor(connect({ port: this.port(via), host: '127.0.0.1', allowHalfOpen: true }))
  }

  /** The kinds of evidence so far, in order; without the dialect, which everyone has who says a name. */
  get kinds(): Kind[] {
    return this.evidence.map(({ kind }) => kind).filter((kind) => kind !== 'dialect')
  }

  detailOf(kind: Kind): string | undefined {
    return this.evidence.find((evidence) => evidence.kind === kind)?.detail
  }

  /** What was told of one sort. */
  told<What extends DecoyHappening['what']>(what: What): Extract<DecoyHappening, { what: What }>[] {
    type Told = Extract<DecoyHappening, { what: What }>
    return this.happenings.filter((happening): happening is Told => happening.what === what)
  }

  async until(holds: () => boolean): Promise<void> {
    while (!holds()) await new Promise<void>((resolve) => this.#waiters.push(resolve))
  }

  /** When every connection that was opened is closed again. */
  async empty(): Promise<void> {
    const even = () => this.told('opened').length === this.told('closed').length
    await this.until(() => this.decoy.counts().connections === 0 && even())
  }

  #wake(): void {
    // The counts change around the telling, so look again when this turn is over.
    setImmediate(() => {
      for (const wake of this.#waiters.splice(0)) wake()
    })
  }
}

export async function openHouse(options: Options = {}): Promise<House> {
  const house = await new House(options).open()
  onTestFinished(() => house.decoy.close())
  return house
}

export class Visitor {
  readonly socket: Socket
  readonly connected: Promise<void>
  readonly ended: Promise<'reset' | 'closed'>
  heard = ''
  #read = 0
  #waiters: (() => void)[] = []
  #over = false

  constructor(socket: Socket) {
    this.socket = socket
    let code: string | undefined
    socket.on('data', (bytes: Buffer) => {
      this.heard += bytes.toString('latin1')
      this.#wake()
    })
    socket.on('error', (error: NodeJS.ErrnoException) => {
      code = error.code
    })
    // Or over: where the reset was here before we had looked, nothing tells of a connection before it.
    this.connected = new Promise((resolve) => socket.once('connect', resolve).once('close', () => resolve()))
    // We close our side when the server has closed its own.
    socket.on('end', () => socket.end())
    this.ended = new Promise((resolve) => {
      socket.on('close', () => {
        this.#over = true
        this.#wake()
        resolve(code === 'ECONNRESET' || code === 'EPIPE' ? 'reset' : 'closed')
      })
    })
  }

  send(line: string | Buffer): this {
    this.socket.write(typeof line === 'string' ? `${line}\r\n` : line)
    return this
  }

  /**
   * The next whole reply, `250 OK` without its CRLF, as soon as its last byte is here; undefined when there is no
   * more.
   */
  async reply(): Promise<string | undefined> {
    for (;;) {
      const next = /^(?:\d{3}-[^\r\n]*\r\n)*\d{3}(?: [^\r\n]*)?\r\n/.exec(this.heard.slice(this.#read))
      if (next) {
        this.#read += next[0].length
        return next[0].slice(0, -2)
      }
      if (this.#over) return undefined
      await new Promise<void>((resolve) => this.#waiters.push(resolve))
    }
  }

  /** Once so many bytes have come, or it is over. */
  async hears(bytes: number): Promise<void> {
    while (this.heard.length < bytes && !this.#over) await new Promise<void>((resolve) => this.#waiters.push(resolve))
  }

  async ask(line: string): Promise<string | undefined> {
    this.send(line)
    return await this.reply()
  }

  /** A whole careful dialogue: every reply is read to its end before the next line goes out. */
  async walk(...lines: string[]): Promise<(string | undefined)[]> {
    const replies = [await this.reply()]
    for (const line of lines) replies.push(await this.ask(line))
    return replies
  }

  #wake(): void {
    for (const wake of this.#waiters.splice(0)) wake()
  }
}

/** What a proxy says first of a client. What is sent in the same breath is surely there before the greeting. */
export const PROXIED = 'PROXY TCP4 192.0.2.7 203.0.113.25 49153 25\r\n'

/** What every recipient is told. */
export const LATER = '451 4.7.1 Service unavailable - try again later'

/** Everything an honest sender says. */
export const TO_RCPT = [
  'EHLO mail.sender.example',
  'MAIL FROM:<a@sender.example>',
  'RCPT TO:<postbox@example.test>',
] as const
export const HONEST = [...TO_RCPT, 'QUIT'] as const

/** Every reply in what was heard, whole. */
export function repliesIn(heard: string): string[] {
  return heard.match(/(?:\d{3}-[^\r\n]*\r\n)*\d{3}(?: [^\r\n]*)?\r\n/g) ?? []
}

export function networks(...cidrs: string[]): Prefixes<true> {
  return Prefixes.of(cidrs.map((cidr) => [parsePrefix(cidr) as Prefix, true as const]))
}

/** A server as the decoy makes them, with nothing behind it, and clients for it. */
export async function door(): Promise<{ server: Server; call: () => Visitor }> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true })
  const port = await listen(server)
  onTestFinished(() => void server.close())
  return { server, call: () => new Visitor(connect({ port, host: '127.0.0.1', allowHalfOpen: true })) }
}

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}
