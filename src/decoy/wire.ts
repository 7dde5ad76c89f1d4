/**
 * The socket as smtp-server sees it: a Duplex between the library and the client.
 *
 * It observes every byte that comes (manners), holds early talk back until the greeting, drips replies as slowly as
 * the pace says, and guards what we say: nothing that starts with 2 may answer a message, and nothing at all may start
 * with 5. The library gives the dialogue its grammar; this file makes sure that no path through the library, known or
 * not, ends in an acceptance, or in a bounce of honest mail.
 *
 * STARTTLS is this file's, too: it is offered where we have a certificate, and TLS then lies below (tls.ts). Nothing that
 * came in plain after the command is read: who does not wait for our answer, or somebody in between, is cut off.
 *
 * Writes are taken one at a time (a high-water mark of 1), and the library waits for the drain before it reads the
 * next command. So there is one reply under way at most, and a client that does not read is not read from either.
 */
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import type { SecureContext } from 'node:tls'
import { COMMANDS, type Manners, noteReply, noteTls, observe, observeHello, type Sighting } from './manners.ts'
import { beginTls } from './tls.ts'

export type Pace = {
  /** From the connection to the greeting. */
  readonly greetingMs: number
  /** Before each reply. */
  readonly replyMs: number
  /** Between two bytes of a reply; 0 sends it whole. */
  readonly byteMs: number
  /** Between two drips to a held offender. */
  readonly dripMs: number
}

export type WireOptions = {
  readonly manners: Manners
  readonly pace: Pace
  /** What the client has sent before we came to listen (behind a PROXY header). */
  readonly early: Buffer
  /** With it STARTTLS is offered. */
  readonly tls: SecureContext | undefined
  readonly see: (sighting: Sighting) => void
}

/** smtp-server's own pause before its greeting; it cannot be set. */
const LIBRARY_GREETING_MS = 100
/** How long a client that said QUIT may take to close its side. */
const LINGER_MS = 2000

/** What the library does not say for us: STARTTLS is none of its business. */
const GO_AHEAD = '220 2.0.0 Ready to start TLS\r\n'

export class Wire extends Duplex {
  readonly #raw: Socket
  /** Where lines come from and replies go: the raw socket, or TLS on it. */
  #line: Socket
  #secure = false
  readonly #options: WireOptions
  #timer: NodeJS.Timeout | undefined
  /** The one reply under way. */
  #speech:
    { readonly code: string; readonly reply: string | Buffer; said: number; readonly done: () => void } | undefined
  /** The first byte of our greeting has been written; and the last. */
  #greeted = false
  #open = false
  #replying = false
  #held: Buffer[] = []
  /** Replies given, the greeting not among them. */
  #answered = 0
  /** What the library is answering, or answered last; and the last of it that was a command. */
  #command = ''
  #lastCommand = ''
  #inMessage = false
  /** The client has said QUIT, has closed its side, has broken the connection. */
  #quit = false
  #left = false
  #broken = false
  /** The goodbye has begun: nothing is heard or said any more. */
  #closing = false

  constructor(raw: Socket, options: WireOptions) {
    super({ allowHalfOpen: false, readableHighWaterMark: 4096, writableHighWaterMark: 1, decodeStrings: false })
    this.#raw = raw
    this.#line = raw
    this.#options = options
    raw.on('data', this.#onData)
    raw.on('end', this.#onEnd)
    raw.on('error', () => {
      this.#broken = !this.#closing
    })
    raw.on('close', () => {
      this.#closing = true
      clearTimeout(this.#timer)
      this.destroy()
    })
    if (options.early.length > 0) this.#hear(options.early)
    else raw.resume()
  }

  /**
   * The library drops every reply on a socket that does not say this. Also when it has ended the socket itself: a reply that
   * was under way, to a RCPT before QUIT, would be an error.
   */
  get readyState(): string {
    return this.#closing || this.writableEnded || this.destroyed || this.#raw.destroyed ? 'closed' : 'open'
  }

  /** Did the client go away without QUIT, after it was greeted? For when the connection is over. */
  get hungUp(): boolean {
    return this.#open && !this.#quit && (this.#left || this.#broken)
  }

  /** The last line that was a command by its name; never another word, which may be half a password. */
  get lastCommand(): string {
    return this.#lastCommand
  }

  /** The library wants idle time-outs; every deadline is the listener's. */
  setTimeout(): this {
    return this
  }

  /**
   * The library takes up this command: what it writes next answers it. A message lasts from DATA or BDAT until its dot
   * is answered, also when DATA was refused: a client that does not listen sends its message all the same.
   */
  answering(command: string): void {
    if (this.#command === '.') this.#inMessage = false
    if (command === 'DATA' || command === 'BDAT') this.#inMessage = true
    if (command === 'QUIT') this.#quit = true
    if (COMMANDS.has(command)) this.#lastCommand = command
    this.#command = command
  }

  readonly #onData = (bytes: Buffer): void => this.#hear(bytes)

  readonly #onEnd = (): void => {
    this.#left = true
    if (this.#greeted || this.#options.manners.lines > 0) this.#closeWhenIdle()
    else this.#close()
  }

  override _read(): void {
    if (this.#open && !this.#closing) this.#line.resume()
  }

  /** The library writes strings, each a whole reply; only one that is dripped is taken apart into bytes. */
  override _write(chunk: string | Buffer, _encoding: BufferEncoding, done: () => void): void {
    const { pace } = this.#options
    const reply = guard(this.#withTls(chunk.toString()), this.#inMessage)
    const code = reply.slice(0, 3)
    this.#speech = { code, reply: pace.byteMs > 0 ? Buffer.from(reply) : reply, said: 0, done }
    this.#later(this.#open ? pace.replyMs : Math.max(0, pace.greetingMs - LIBRARY_GREETING_MS))
  }

  /** The library's reply, with our own STARTTLS in it where we have one. */
  #withTls(reply: string): string {
    if (!this.#options.tls || this.#secure || this.#inMessage) return reply
    if (this.#command === 'EHLO' && reply.startsWith('250-')) return reply.replace(/^250 /m, '250-STARTTLS\r\n250 ')
    return this.#command === 'STARTTLS' && reply.startsWith('5') ? GO_AHEAD : reply
  }

  override _final(done: () => void): void {
    done()
    this.#close()
  }

  /**
   * The library destroys what it has ended after 5 s. A slow last reply outlives that: the raw socket says it to its
   * end.
   */
  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    done(error)
    if (!this.#speech) this.#close()
  }

  #hear(bytes: Buffer): void {
    if (this.#closing) return
    const { manners, see } = this.#options
    for (const sighting of observe(manners, bytes, { greeted: this.#greeted, replying: this.#replying })) see(sighting)
    if (!this.#open) {
      this.#held.push(bytes)
      this.#line.pause()
    } else if (!this.push(bytes)) this.#line.pause()
  }

  #later(ms: number): void {
    if (ms > 0) this.#timer = setTimeout(() => this.#speak(), ms)
    else this.#speak()
  }

  #speak(): void {
    const speech = this.#speech
    if (!speech || this.#raw.destroyed) return
    const { byteMs } = this.#options.pace
    const { reply, said } = speech
    const piece = typeof reply === 'string' ? reply : reply.subarray(said, said + 1)
    speech.said += piece.length
    const last = speech.said >= reply.length
    // A fast client answers before we hear that its reply was sent: what it may do now is settled before the kernel
    // has it.
    this.#greeted = true
    this.#replying = !last
    const { manners } = this.#options
    const goAhead = last && this.#command === 'STARTTLS' && speech.code === '220' && !this.#secure
    if (goAhead && (manners.lines !== this.#answered + 1 || manners.line !== ''))
      return void this.#raw.resetAndDestroy()
    if (last) noteReply(manners, speech.code)
    this.#line.write(piece, () => {
      if (last) this.#spoken(speech.done)
      else this.#later(byteMs)
    })
    if (goAhead) this.#beginTls()
  }

  /** The go-ahead is on its way: the client's next bytes are its hello. */
  #beginTls(): void {
    const { tls, manners, see } = this.#options
    if (!tls) return
    this.#secure = true
    this.#raw.off('data', this.#onData).off('end', this.#onEnd)
    noteTls(manners)
    this.#line = beginTls(this.#raw, {
      context: tls,
      firstBytes: (bytes) => {
        for (const sighting of observeHello(manners, bytes)) see(sighting)
        return manners.hello !== undefined
      },
    })
    this.#line.on('data', this.#onData).on('end', this.#onEnd)
  }

  #spoken(done: () => void): void {
    this.#speech = undefined
    if (this.#open) this.#answered++
    this.#open = true
    done()
    if (this.destroyed) return this.#close()
    // The released bytes come before any new ones: the raw socket rests until the library reads on.
    for (const bytes of this.#held.splice(0)) this.push(bytes)
    if (!this.#closing && this.readableLength < this.readableHighWaterMark) this.#line.resume()
    this.#closeWhenIdle()
  }

  /** A client that has closed its side still hears the answers to all that it asked. */
  #closeWhenIdle(): void {
    if (this.#left && !this.#speech && this.#answered >= this.#options.manners.lines) this.#close()
  }

  /** After QUIT or the client's own goodbye ours is friendly; everywhere else we cut. */
  #close(): void {
    if (this.#closing) return
    this.#closing = true
    clearTimeout(this.#timer)
    if (this.#quit || this.#left) {
      this.#line.end()
      this.#line.resume()
      this.#timer = setTimeout(() => this.#raw.resetAndDestroy(), LINGER_MS).unref()
    } else this.#raw.resetAndDestroy()
    this.destroy()
  }
}

/**
 * The last line of "never accept, never bounce": the reply as it may be sent. Within a message nothing that starts
 * with 2 except 221, which says goodbye and takes nothing; nowhere 354, which asks for a message; nowhere 5xx, which
 * makes honest senders give up. What may not be said becomes a 451 of as many lines.
 */
export function guard(reply: string, inMessage: boolean): string {
  const code = reply.slice(0, 3)
  const accepts = code === '354' || (inMessage && code.startsWith('2') && code !== '221')
  if (!accepts && !code.startsWith('5')) return reply
  return reply.replace(/^\d{3}([- ]?)(?:\d\.\d{1,3}\.\d{1,3} ?)?([^\r\n]*)/gm, (_line, mark: string, text: string) =>
    `451${mark || ' '}4.3.0 ${accepts ? 'Try again later' : text}`.trimEnd(),
  )
}
