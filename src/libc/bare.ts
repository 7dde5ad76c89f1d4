/**
 * Bare connections: TCP without a socket of Node's, each a descriptor and nothing else, by calls of the kernel through koffi.
 *
 * Whoever is held in a tarpit needs no stream: some bytes now and then, and somebody who notices when it speaks or goes.
 * Node takes in one connection a turn of its loop, and keeps 1.8 KB for it; here a queue of them is taken in at one stroke, and
 * nothing is kept. Nothing is waited for either: Node's server wakes us for the first that comes, and what the others do is
 * asked of the kernel (epoll(7)) when the caller has a moment.
 *
 * A descriptor here is ours alone, until `reset`, or until `dress` makes a socket of Node's of it. A wrong number would
 * be no exception but a crash, or somebody else's connection. So all memory is one block, taken once and never given back; what
 * the kernel writes is looked at before it is used; and all calls are tried on loopback before they are trusted.
 */
import { Socket } from 'node:net'
import { type Client, parseClient } from '../core/client.ts'
import { blockOf, have, type Koffi, type Library, type Native } from './koffi.ts'
import { addressAt, FOURTH, NAME_BYTES, OURSELVES, SIXTH, writeName } from './names.ts'

/** A descriptor of this process. */
export type Fd = number

/** An address of ours and its port. */
type Place = { readonly address: string; readonly port: number }

let made: Bare | string | undefined

/** The one of this process, or a sentence that says why there is none. */
export function bare(): Bare | string {
  return (made ??= have(Bare))
}

/** bits/socket.h, bits/fcntl.h and sys/epoll.h, the same on x64 and arm64. */
const MSG_DONTWAIT = 0x40
const MSG_NOSIGNAL = 0x4000
const CLOEXEC = 0o2000000
const NONBLOCK = 0o4000
const STREAM = 1
const SOL_SOCKET = 1
const SO_LINGER = 13
const F_DUPFD_CLOEXEC = 1030
const EPOLL_CTL_ADD = 1
const EPOLLIN = 1
const EPOLLERR = 8
const EPOLLHUP = 0x10
/** struct epoll_event: what, and a word of ours; packed on x64 alone. */
const EVENT = process.arch === 'x64' ? { bytes: 12, word: 4 } : { bytes: 16, word: 8 }
/** The first three are for what a process says. */
const FD_MIN = 3

/** Told of at one look, in a millisecond or two. */
const EVENTS_MAX = 128
/** Of what one connection sends, at one look. */
const HEARD_BYTES_MAX = 65_536
/** Of what we say at once. */
const SAID_BYTES_MAX = 1024

const NAME = 0
const LENGTH = NAME + NAME_BYTES
const LINGER = LENGTH + 8
const NEW_EVENT = LINGER + 8
const EVENTS = NEW_EVENT + 16
const SAID = EVENTS + EVENTS_MAX * EVENT.bytes
const HEARD = SAID + SAID_BYTES_MAX
const BLOCK_BYTES = HEARD + HEARD_BYTES_MAX

/** What is tried must be there within this time: on loopback it is at once, but the kernel may put it off. */
const TRIAL_MS = 250
const QUESTION = 'EHLO decoy.example\r\n'
const ANSWER = '220-'

/** `gone`: broken, or closed by both. `ended`: its peer has closed its side. Bytes lie there until the call has returned. */
export type Sign = Buffer | 'ended' | 'gone'

export class Bare {
  readonly #calls: Readonly<Record<'accept' | 'send' | 'receive' | 'set' | 'shut' | 'copy' | 'peer' | 'own', Native>>
  readonly #epoll: Readonly<Record<'make' | 'add' | 'wait', Native>>
  readonly #base: number
  readonly #bytes: Buffer
  readonly #words: Uint32Array

  constructor(koffi: Koffi) {
    const libc = koffi.load(null)
    this.#calls = {
      accept: libc.func('int accept4(int, uintptr_t, uintptr_t, int)'),
      send: libc.func('long send(int, uintptr_t, size_t, int)'),
      receive: libc.func('long recv(int, uintptr_t, size_t, int)'),
      set: libc.func('int setsockopt(int, int, int, uintptr_t, unsigned int)'),
      shut: libc.func('int close(int)'),
      copy: libc.func('int fcntl(int, int, long)'),
      peer: libc.func('int getpeername(int, uintptr_t, uintptr_t)'),
      own: libc.func('int getsockname(int, uintptr_t, uintptr_t)'),
    }
    this.#epoll = {
      make: libc.func('int epoll_create1(int)'),
      add: libc.func('int epoll_ctl(int, int, int, uintptr_t)'),
      wait: libc.func('int epoll_wait(int, uintptr_t, int, int)'),
    }
    const { base, bytes, words } = blockOf(koffi, BLOCK_BYTES)
    this.#base = base
    this.#bytes = bytes
    this.#words = words
    // struct linger: on, and no seconds.
    this.#words[LINGER >> 2] = 1
  }

  /** Takes in those who wait at a listening socket, at most `most`; gives how many. */
  accept(listener: Fd, most: number, take: (fd: Fd, client: Client) => void): number {
    let taken = 0
    for (; taken < most; taken++) {
      this.#words[LENGTH >> 2] = SIXTH.bytes
      const fd = this.#calls.accept(listener, this.#base + NAME, this.#base + LENGTH, CLOEXEC | NONBLOCK)
      // -1: nobody waits. Should it be a true error, Node meets it, too, and tells.
      if (fd < FD_MIN) break
      const client = parseClient(addressAt(this.#bytes, NAME, this.#words[LENGTH >> 2] as number) ?? '')
      if (client) take(fd, client)
      else this.reset(fd)
    }
    return taken
  }

  /** Which of our addresses it called. */
  placeOf(fd: Fd): Place | undefined {
    return this.#placeBy(this.#calls.own, fd)
  }

  /**
   * The connection of a socket of Node's, which is destroyed then without a word to its peer; undefined where that cannot be
   * had, and the socket is as it was.
   */
  undress(socket: Socket): Fd | undefined {
    const own = descriptorOf(socket)
    if (own === undefined || socket.destroyed || socket.writableLength > 0) return undefined
    // Node does not promise what its handles have: that it is this very connection is seen by its peer.
    const peer = this.#placeBy(this.#calls.peer, own)
    if (!peer || peer.port !== socket.remotePort) return undefined
    const fd = this.#calls.copy(own, F_DUPFD_CLOEXEC, FD_MIN)
    if (fd < FD_MIN) return undefined
    socket.destroy()
    return fd
  }

  /** A paused socket of Node's, which has the descriptor from now on; undefined: none could be made, and it is closed. */
  dress(fd: Fd): Socket | undefined {
    try {
      const socket = new Socket({ fd, readable: true, writable: true, allowHalfOpen: true })
      return socket.pause().setNoDelay(true)
    } catch {
      this.reset(fd)
      return undefined
    }
  }

  /** Latin-1, whole or not at all: false where there is no room for it, or nobody any more. */
  say(fd: Fd, text: string): boolean {
    const bytes = this.#bytes.write(text, SAID, SAID_BYTES_MAX, 'latin1')
    return this.#calls.send(fd, this.#base + SAID, bytes, MSG_DONTWAIT | MSG_NOSIGNAL) > 0
  }

  /** By a TCP reset. The descriptor is nobody's then. */
  reset(fd: Fd): void {
    this.#calls.set(fd, SOL_SOCKET, SO_LINGER, this.#base + LINGER, 8)
    this.#calls.shut(fd)
  }

  /** Undefined: the process has too many files open. */
  watch<Thing>(): Watch<Thing> | undefined {
    const epoll = this.#epoll.make(CLOEXEC)
    if (epoll < FD_MIN) return undefined
    // By descriptor, of which the process has so many as it may open.
    const things: (Thing | undefined)[] = []
    let looking = false
    return {
      add: (fd, thing) => {
        this.#words[NEW_EVENT >> 2] = EPOLLIN
        this.#words[(NEW_EVENT + EVENT.word) >> 2] = fd
        if (this.#epoll.add(epoll, EPOLL_CTL_ADD, fd, this.#base + NEW_EVENT) !== 0) return false
        things[fd] = thing
        return true
      },
      reset: (fd) => {
        things[fd] = undefined
        this.reset(fd)
      },
      look: (tell) => {
        if (looking) return false
        looking = true
        const more = this.#look(epoll, things, tell)
        looking = false
        return more
      },
      close: () => void this.#calls.shut(epoll),
    }
  }

  #look<Thing>(epoll: Fd, things: readonly (Thing | undefined)[], tell: (thing: Thing, sign: Sign) => void): boolean {
    const count = this.#epoll.wait(epoll, this.#base + EVENTS, EVENTS_MAX, 0)
    if (count <= 0 || count > EVENTS_MAX) return false
    for (let at = EVENTS >> 2, end = at + count * (EVENT.bytes >> 2); at < end; at += EVENT.bytes >> 2) {
      const fd = this.#words[at + (EVENT.word >> 2)] as number
      const thing = things[fd]
      // Whoever was reset by what another was told of is not ours any more.
      if (thing === undefined) continue
      const sign = (this.#words[at] as number) & (EPOLLERR | EPOLLHUP) ? 'gone' : this.#hear(fd)
      if (sign !== undefined) tell(thing, sign)
    }
    return count === EVENTS_MAX
  }

  #hear(fd: Fd): Sign | undefined {
    const bytes = this.#calls.receive(fd, this.#base + HEARD, HEARD_BYTES_MAX, MSG_DONTWAIT)
    if (bytes === 0) return 'ended'
    // What is wrong with it is told as an error at the next look.
    return bytes > 0 && bytes <= HEARD_BYTES_MAX ? this.#bytes.subarray(HEARD, HEARD + bytes) : undefined
  }

  #placeBy(call: Native, fd: Fd): Place | undefined {
    this.#words[LENGTH >> 2] = SIXTH.bytes
    if (call(fd, this.#base + NAME, this.#base + LENGTH) !== 0) return undefined
    const address = addressAt(this.#bytes, NAME, this.#words[LENGTH >> 2] as number)
    return address === undefined ? undefined : { address, port: this.#bytes.readUInt16BE(NAME + 2) }
  }

  /**
   * Calls itself on loopback, speaks, is answered and reset. Gives what was not as it should be; undefined: nothing.
   */
  fault(libc: Library): string | undefined {
    const open = libc.func('int socket(int, int, int)')
    const bind = libc.func('int bind(int, uintptr_t, unsigned int)')
    const listen = libc.func('int listen(int, int)')
    const connect = libc.func('int connect(int, uintptr_t, unsigned int)')
    const [listener, caller] = [0, 0].map(() => open(FOURTH.family, STREAM | CLOEXEC | NONBLOCK, 0)) as [Fd, Fd]
    const [here, there] = [this.watch<string>(), this.watch<string>()]
    let called: Fd | undefined
    try {
      this.#bytes.fill(0, NAME, NAME + NAME_BYTES)
      writeName(this.#bytes, NAME, OURSELVES, 0)
      if (!here || !there || bind(listener, this.#base + NAME, FOURTH.bytes) !== 0 || listen(listener, 1) !== 0)
        return `no socket of its own on ${OURSELVES}`
      const place = this.placeOf(listener)
      connect(caller, this.#base + NAME, FOURTH.bytes)
      const from = this.placeOf(caller)
      const come = until(() => this.accept(listener, 1, (fd, { ip }) => ip === OURSELVES && (called = fd)) > 0)
      if (!come || called === undefined) return 'whoever calls it is not taken in'
      const knows =
        isSame(this.placeOf(called), place) &&
        isSame(this.#placeBy(this.#calls.peer, called), from) &&
        place?.port !== 0
      if (!knows) return 'it does not know who calls whom'
      const heard = (watch: Watch<string>, wanted: string) =>
        until((sign = '') => (watch.look((_, what) => (sign = what.toString('latin1'))), sign === wanted))
      here.add(called, 'here')
      there.add(caller, 'there')
      if (!this.say(caller, QUESTION) || !heard(here, QUESTION) || !this.say(called, ANSWER) || !heard(there, ANSWER))
        return 'what it says to itself does not come as it was said'
      here.reset(called)
      called = undefined
      return heard(there, 'gone') ? undefined : 'its reset is not noticed'
    } finally {
      here?.close()
      there?.close()
      for (const fd of [listener, caller, called ?? -1]) if (fd >= FD_MIN) this.reset(fd)
    }
  }
}

/** Connections that are looked at, each with a thing of the caller's. */
export type Watch<Thing> = {
  /** Looked at from now on. False: the kernel will not. */
  readonly add: (fd: Fd, thing: Thing) => boolean
  /** `Bare.reset`, and nothing more is told of it. */
  readonly reset: (fd: Fd) => void
  /** Tells what has come since, of some. What is not read to its end is told at the next look. True: there may be more. */
  readonly look: (tell: (thing: Thing, sign: Sign) => void) => boolean
  /** When all have been reset. */
  readonly close: () => void
}

/** The descriptor of a socket or a server of Node's, which its handle tells to whom asks; Node documents it nowhere. */
export function descriptorOf(of: object): Fd | undefined {
  const fd = (of as { readonly _handle?: { readonly fd?: unknown } | null })._handle?.fd
  return typeof fd === 'number' && Number.isInteger(fd) && fd >= FD_MIN ? fd : undefined
}

function until(holds: () => boolean): boolean {
  for (const since = performance.now(); performance.now() - since < TRIAL_MS;) if (holds()) return true
  return false
}

function isSame(a: Place | undefined, b: Place | undefined): boolean {
  return a !== undefined && a.address === b?.address && a.port === b.port
}
