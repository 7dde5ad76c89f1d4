/**
 * The socket as smtp-server sees it: what stands between the library and the client.
 *
 * It observes every byte that comes (manners), holds early talk back until the greeting, puts the library's replies in the
 * words of the server that we look like (phrasing), drips them as slowly as the pace says, and guards what we say: nothing
 * that starts with 2 may answer a message, and nothing at all may start with 5. The library gives the dialogue its grammar;
 * this file makes sure that no path through the library, known or not, ends in an acceptance, or in a bounce of honest mail.
 *
 * STARTTLS is this file's, too: it is offered where we have a certificate, and TLS then lies below (tls.ts). Nothing that
 * came in plain after the command is read: who does not wait for our answer, or somebody in between, is cut off.
 *
 * Replies are taken one at a time, and the library waits for the drain before it reads the next command. So there is one
 * reply under way at most, and a client that does not read is not read from either.
 *
 * It has of a socket what the library uses, and is no stream: a stream of its own beside the socket's would queue, and
 * tell by turns of the event loop, what the kernel and the library's parser queue already, at a fifth of a dialogue's cost.
 * The version of the library is pinned, and a test holds its every grasp at the socket against what is here.
 */
import { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import type { Writable } from 'node:stream'
import type { SecureContext } from 'node:tls'
import { COMMANDS, type Manners, noteReply, noteTls, observe, observeHello, type Sighting } from './manners.ts'
import { phrase, type Phrases, salute } from './phrasing.ts'
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
  /** In which words we say what the library says. */
  readonly phrases: Phrases
  /** The client's, for who greets it by that. */
  readonly ip: string
  /** What the client has sent before we came to listen (behind a PROXY header). */
  readonly early: Buffer
  /** With it STARTTLS is offered. */
  readonly tls: SecureContext | undefined
  readonly see: (sighting: Sighting) => void
  /** A line came that is longer than any command: the library says so, and ends it. */
  readonly poured: () => void
}

/** smtp-server's own pause before its greeting; it cannot be set. */
const LIBRARY_GREETING_MS = 100
/** Bytes that the library may have before it, beyond the command that it answers: then the client waits. */
const AHEAD_MAX = 4096
/** How long a client that said QUIT may take to close its side. */
const LINGER_MS = 2000

/** What it says to a line that is longer than any command. */
const TOO_LONG = '421 Error: Command line too long'

export class Wire extends EventEmitter {
  readonly #raw: Socket
  /** Where lines come from and replies go: the raw socket, or TLS on it. */
  #line: Socket
  #secure = false
  readonly #options: WireOptions
  #timer: NodeJS.Timeout | undefined
  /** Where the library reads: its parser. */
  #parser: Writable | undefined
  /** The one reply under way, in bytes where it is dripped; and how much of it has been said. */
  #speech: string | Buffer | undefined
  #code = ''
  #said = 0
  /** Replies that wait for it: the library gives them one by one, but may end the session at any time. */
  readonly #waiting: string[] = []
  /** The library says no more; and wants to hear no more. */
  #ended = false
  destroyed = false
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
    super()
    this.#raw = raw
    this.#line = raw
    this.#options = options
    raw.on('data', this.#hear)
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

  /** Did the client go away without QUIT, after it was greeted? For when the connection is over. */
  get hungUp(): boolean {
    return this.#open && !this.#quit && (this.#left || this.#broken)
  }

  /** The last line that was a command by its name; never another word, which may be half a password. */
  get lastCommand(): string {
    return this.#lastCommand
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

  // What the library asks of a socket, and no more; net.Socket says what each means.

  /**
   * The library drops every reply on a socket that does not say `open`. Also when it has ended the socket itself: a reply
   * that was under way, to a RCPT before QUIT, would come after the goodbye.
   */
  get readyState(): string {
    return this.writable && !this.#closing && !this.#raw.destroyed ? 'open' : 'closed'
  }

  get writable(): boolean {
    return !this.#ended && !this.destroyed
  }

  /** The library waits for `drain` before it reads the next command. */
  get writableNeedDrain(): boolean {
    return this.#speech !== undefined
  }

  /** The library wants idle time-outs; every deadline is the listener's. */
  setTimeout(): this {
    return this
  }

  pipe(parser: Writable): Writable {
    this.#parser = parser
    return parser
  }

  unpipe(): this {
    this.#parser = undefined
    return this
  }

  resume(): this {
    if (this.#open && !this.#closing) this.#line.resume()
    return this
  }

  /** A whole reply. */
  write(reply: string): boolean {
    if (!this.writable) return false
    if (reply.startsWith(TOO_LONG)) this.#options.poured()
    if (this.#speech === undefined) this.#begin(reply)
    else this.#waiting.push(reply)
    return this.#speech === undefined
  }

  end(reply?: string): this {
    if (reply !== undefined) this.write(reply)
    this.#ended = true
    if (this.#speech === undefined) this.#close()
    return this
  }

  /**
   * The library destroys what it has ended after 5 s. A slow last reply outlives that: the raw socket says it to its
   * end.
   */
  destroy(): this {
    if (this.destroyed) return this
    this.destroyed = true
    this.#waiting.length = 0
    process.nextTick(() => this.emit('close', false))
    if (this.#speech === undefined) this.#close()
    return this
  }

  readonly #onEnd = (): void => {
    this.#left = true
    if (this.#greeted || this.#options.manners.lines > 0) this.#closeWhenIdle()
    else this.#close()
  }

  readonly #hear = (bytes: Buffer): void => {
    if (this.#closing) return
    const { manners, see } = this.#options
    for (const sighting of observe(manners, bytes, { greeted: this.#greeted, replying: this.#replying })) see(sighting)
    if (this.#open) return this.#handOver(bytes)
    this.#held.push(bytes)
    this.#line.pause()
  }

  /** The client is not read from while the library has too much before it. */
  #handOver(bytes: Buffer): void {
    const parser = this.#parser
    if (!parser || parser.destroyed) return
    if (parser.writableLength + bytes.length <= AHEAD_MAX) return void parser.write(bytes)
    this.#line.pause()
    parser.write(bytes, this.#readOn)
  }

  readonly #readOn = (): void => void this.resume()

  #begin(said: string): void {
    const { pace } = this.#options
    const reply = guard(this.#phrased(said), this.#inMessage)
    this.#speech = pace.byteMs > 0 ? Buffer.from(reply) : reply
    this.#code = reply.slice(0, 3)
    this.#said = 0
    this.#later(this.#open ? pace.replyMs : Math.max(0, pace.greetingMs - LIBRARY_GREETING_MS))
  }

  /** What the library says, in our words; and what it cannot say for us, for STARTTLS is none of its business. */
  #phrased(said: string): string {
    const { phrases, manners, ip, tls } = this.#options
    const command = this.#command
    if (!this.#open && said.startsWith('220')) return phrases.greeting
    if (!this.#inMessage && (command === 'EHLO' || command === 'HELO') && said.startsWith('250'))
      return salute(command, this.#secure, manners.helo, ip, phrases)
    const goesAhead = command === 'STARTTLS' && tls && !this.#secure && !this.#inMessage && said.startsWith('5')
    return goesAhead ? phrases.startTls : phrase(said, command, this.#inMessage, phrases)
  }

  #later(ms: number): void {
    if (ms > 0) this.#timer = setTimeout(() => this.#speak(), ms)
    else this.#speak()
  }

  #speak(): void {
    const speech = this.#speech
    if (speech === undefined || this.#raw.destroyed) return
    const { manners, pace } = this.#options
    const piece = typeof speech === 'string' ? speech : speech.subarray(this.#said, this.#said + 1)
    this.#said += piece.length
    const last = this.#said >= speech.length
    // A fast client answers before we hear that its reply was sent: what it may do now is settled before the kernel
    // has it.
    this.#greeted = true
    this.#replying = !last
    const goAhead = last && this.#command === 'STARTTLS' && this.#code === '220' && !this.#secure
    if (goAhead && (manners.lines !== this.#answered + 1 || manners.line !== ''))
      return void this.#raw.resetAndDestroy()
    if (last) noteReply(manners, this.#code)
    const line = this.#line
    line.write(piece)
    if (goAhead) this.#beginTls()
    // As a rule the kernel has it all by now. Who does not read is waited for.
    const said = () => (last ? this.#spoken() : this.#later(pace.byteMs))
    if (line.writableLength === 0) said()
    else line.write('', said)
  }

  /** The go-ahead is on its way: the client's next bytes are its hello. */
  #beginTls(): void {
    const { tls, manners, see } = this.#options
    if (!tls) return
    this.#secure = true
    this.#raw.off('data', this.#hear).off('end', this.#onEnd)
    noteTls(manners)
    this.#line = beginTls(this.#raw, {
      context: tls,
      firstBytes: (bytes) => {
        for (const sighting of observeHello(manners, bytes)) see(sighting)
        return manners.hello !== undefined
      },
    })
    this.#line.on('data', this.#hear).on('end', this.#onEnd)
  }

  #spoken(): void {
    this.#speech = undefined
    if (this.#open) this.#answered++
    else this.#begun()
    const next = this.#waiting.shift()
    if (next !== undefined) return this.#begin(next)
    if (this.#ended || this.destroyed) return this.#close()
    this.emit('drain')
    this.#closeWhenIdle()
  }

  /** The greeting has been said. What was held back comes before anything new, and when the library has said it, too. */
  #begun(): void {
    this.#open = true
    const held = Buffer.concat(this.#held)
    this.#held = []
    if (held.length === 0) return
    process.nextTick(() => {
      this.resume()
      this.#handOver(held)
    })
  }

  /** A client that has closed its side still hears the answers to all that it asked. */
  #closeWhenIdle(): void {
    if (this.#left && this.#speech === undefined && this.#answered >= this.#options.manners.lines) this.#close()
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
