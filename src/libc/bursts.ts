/**
 * Many datagrams in one call of the kernel: recvmmsg(2) and sendmmsg(2), which Node's dgram does not have, by way of koffi.
 *
 * dgram takes and gives one datagram a call, and that is most of what an answer by DNS costs. Here up to 64 are read at one
 * stroke, answered where they lie, and sent at one stroke. Nothing is waited for: the socket stays dgram's, which wakes us.
 *
 * A wrong number would be no exception but a crash. So all memory is one block, taken once for the process and never given
 * back; its addresses and lengths are written once, and every number that the kernel writes is looked at before it is used.
 * Layouts are those of 64-bit Linux with the low byte first; elsewhere there are no bursts, and `bursts` says so. And they are
 * tried before they are trusted: some datagrams to ourselves and back must come as they were sent.
 */
import { blockOf, have, type Koffi, type Library, type Native } from './koffi.ts'
import { addressAt, FOURTH, NAME_BYTES, OURSELVES, SIXTH, writeName } from './names.ts'

/** What to send back; undefined: nothing. The datagram lies here until this has returned. */
export type Answerer = (datagram: Buffer, address: string) => Buffer | undefined

/** Longest datagram that comes whole. Of a longer one, so many bytes and one more. */
export const DATAGRAM_BYTES_MAX = 4096
const REPLY_BYTES_MAX = 1280
/** In one call of the kernel. */
const BURST_MAX = 64

let made: Bursts | string | undefined

/** The one of this process, or a sentence that says why there is none. */
export function bursts(): Bursts | string {
  return (made ??= have(Bursts))
}

/**
 * struct msghdr of recvmsg(2) on LP64: name 0, its length 8, iovec 16, their number 24, control 32, its length 40, flags 48.
 * struct mmsghdr of recvmmsg(2) has the length of the datagram behind it. musl has int and socklen_t where glibc has size_t,
 * with padding that is 0 here. struct iovec: base 0, length 8.
 */
const HEAD = { bytes: 64, name: 0, nameBytes: 8, iovec: 16, iovecs: 24, length: 56 } as const
const IOVEC_BYTES = 16
/** bits/socket.h, the same on every Linux that has bursts. */
const MSG_DONTWAIT = 0x40
const DATAGRAM_CLOEXEC = 2 | 0o2000000
/** One more than is taken, so that what is longer is known; and some, so that datagrams do not lie in the same lines of the cache. */
const SLOT_BYTES = DATAGRAM_BYTES_MAX + 64

const HEADS_IN = 0
const HEADS_OUT = HEADS_IN + BURST_MAX * HEAD.bytes
const IOVECS_IN = HEADS_OUT + BURST_MAX * HEAD.bytes
const IOVECS_OUT = IOVECS_IN + BURST_MAX * IOVEC_BYTES
const NAMES = IOVECS_OUT + BURST_MAX * IOVEC_BYTES
/** One more name: of whoever dgram has brought. Behind it is room for its length. */
const FIRST_NAME = NAMES + BURST_MAX * NAME_BYTES
const FIRST_NAME_BYTES = FIRST_NAME + SIXTH.bytes
const SLOTS_IN = FIRST_NAME + NAME_BYTES
const SLOTS_OUT = SLOTS_IN + BURST_MAX * SLOT_BYTES
const BLOCK_BYTES = SLOTS_OUT + BURST_MAX * REPLY_BYTES_MAX

/** Sent to ourselves before anything is trusted: the shortest, some, and the longest. */
const TRIALS = [1, 50, REPLY_BYTES_MAX].map((length) => Buffer.from(Array.from({ length }, (_, i) => length + i)))
/** On loopback a datagram is there when it has been sent; a busy kernel may put that off. */
const TRIAL_MS = 250

type Came = { readonly taken: number; readonly unsent: number }

export class Bursts {
  readonly #receive: Native
  readonly #send: Native
  readonly #base: number
  readonly #bytes: Buffer
  readonly #words: Uint32Array

  constructor(koffi: Koffi) {
    const libc = koffi.load(null)
    this.#receive = libc.func('int recvmmsg(int, uintptr_t, unsigned int, int, uintptr_t)')
    this.#send = libc.func('int sendmmsg(int, uintptr_t, unsigned int, int)')
    const { base, bytes, words } = blockOf(koffi, BLOCK_BYTES)
    this.#base = base
    this.#bytes = bytes
    this.#words = words
    for (let i = 0; i < BURST_MAX; i++) {
      this.#lay(HEADS_IN, IOVECS_IN, SLOTS_IN, SLOT_BYTES, i)
      this.#lay(HEADS_OUT, IOVECS_OUT, SLOTS_OUT, REPLY_BYTES_MAX, i)
      this.#bytes.writeUInt32LE(DATAGRAM_BYTES_MAX + 1, IOVECS_IN + i * IOVEC_BYTES + 8)
    }
  }

  #lay(heads: number, iovecs: number, slots: number, slotBytes: number, i: number): void {
    const head = heads + i * HEAD.bytes
    const iovec = iovecs + i * IOVEC_BYTES
    this.#point(head + HEAD.name, NAMES + i * NAME_BYTES)
    this.#point(head + HEAD.iovec, iovec)
    this.#bytes.writeUInt32LE(1, head + HEAD.iovecs)
    this.#point(iovec, slots + i * slotBytes)
  }

  /** Writes the address of one place of the block into another. */
  #point(at: number, to: number): void {
    const whole = this.#base + to
    this.#words[at >> 2] = whole % 2 ** 32
    this.#words[(at >> 2) + 1] = Math.floor(whole / 2 ** 32)
  }

  /**
   * Sends TRIALS from one socket to another, both its own and on loopback, and has them sent back in reverse. Gives what did not
   * come as it should; undefined: all did.
   */
  fault(libc: Library): string | undefined {
    const open = libc.func('int socket(int, int, int)')
    const bind = libc.func('int bind(int, uintptr_t, unsigned int)')
    const nameOf = libc.func('int getsockname(int, uintptr_t, uintptr_t)')
    const shut = libc.func('int close(int)')
    const [here, there] = [0, 0].map(() => open(FOURTH.family, DATAGRAM_CLOEXEC, 0)) as [number, number]
    try {
      writeName(this.#bytes, FIRST_NAME, OURSELVES, 0)
      for (const fd of [here, there])
        if (bind(fd, this.#base + FIRST_NAME, FOURTH.bytes) !== 0) return `no socket of its own on ${OURSELVES}`
      this.#words[FIRST_NAME_BYTES >> 2] = FOURTH.bytes
      nameOf(there, this.#base + FIRST_NAME, this.#base + FIRST_NAME_BYTES)
      for (const [i, bytes] of TRIALS.entries()) this.#put(i, bytes, FIRST_NAME, FOURTH.bytes)
      this.#sendAll(here, TRIALS.length)
      const right =
        isSame(this.#heard(there, reversed), TRIALS) &&
        isSame(
          this.#heard(here, () => undefined),
          TRIALS.map(reversed),
        )
      return right ? undefined : 'what it sends to itself does not come as it was sent'
    } finally {
      for (const fd of [here, there]) if (fd > 2) shut(fd)
    }
  }

  /** What comes there from ourselves, as many as TRIALS are. */
  #heard(fd: number, answer: (datagram: Buffer) => Buffer | undefined): readonly Buffer[] {
    const heard: Buffer[] = []
    const take: Answerer = (datagram, address) => {
      if (address === OURSELVES) heard.push(Buffer.from(datagram))
      return answer(datagram)
    }
    for (const since = performance.now(); heard.length < TRIALS.length && performance.now() - since < TRIAL_MS;)
      this.drain(fd, TRIALS.length - heard.length, take, () => true)
    return heard
  }

  /** Lays a reply ready to go out first in the next `drain`. False: it cannot be, and is dgram's to send. */
  lay(reply: Buffer, address: string, port: number): boolean {
    if (reply.length > REPLY_BYTES_MAX || address.includes(':')) return false
    writeName(this.#bytes, FIRST_NAME, address, port)
    this.#put(0, reply, FIRST_NAME, FOURTH.bytes)
    return true
  }

  /**
   * Takes what has come to a bound UDP socket, at most `most`, and answers each, after the reply that was laid ready, if one
   * was; gives how many came and how many answers the kernel did not take. `isOpen` is asked before anything is sent: an
   * answer may have closed the socket.
   */
  drain(fd: number, most: number, answer: Answerer, isOpen: () => boolean, isLaid = false): Came {
    let [taken, unsent] = [0, 0]
    for (let laid = isLaid ? 1 : 0; taken < most && isOpen(); laid = 0) {
      const wanted = Math.min(BURST_MAX - laid, most - taken)
      for (let i = 0; i < wanted; i++) this.#words[(HEADS_IN + i * HEAD.bytes + HEAD.nameBytes) >> 2] = SIXTH.bytes
      const count = this.#receive(fd, this.#base + HEADS_IN, wanted, MSG_DONTWAIT, 0)
      // -1: nothing is there. Should it be a true error, dgram meets it, too, and tells.
      const came = count > 0 && count <= wanted ? count : 0
      taken += came
      const replies = this.#answerAll(came, answer, laid)
      if (isOpen()) unsent += this.#sendAll(fd, replies)
      if (came < wanted) break
    }
    return { taken, unsent }
  }

  /** Gives how many replies are laid ready, with those that were. */
  #answerAll(count: number, answer: Answerer, laid: number): number {
    let replies = laid
    for (let i = 0; i < count; i++) {
      const head = (HEADS_IN + i * HEAD.bytes) >> 2
      const length = this.#words[head + (HEAD.length >> 2)] as number
      const nameBytes = this.#words[head + (HEAD.nameBytes >> 2)] as number
      const address = addressAt(this.#bytes, NAMES + i * NAME_BYTES, nameBytes)
      if (address === undefined || length > DATAGRAM_BYTES_MAX + 1) continue
      const slot = SLOTS_IN + i * SLOT_BYTES
      const reply = answer(this.#bytes.subarray(slot, slot + length), address)
      if (!reply || reply.length > REPLY_BYTES_MAX) continue
      this.#put(replies++, reply, NAMES + i * NAME_BYTES, nameBytes)
    }
    return replies
  }

  #put(nth: number, reply: Buffer, name: number, nameBytes: number): void {
    this.#bytes.set(reply, SLOTS_OUT + nth * REPLY_BYTES_MAX)
    this.#words[(IOVECS_OUT + nth * IOVEC_BYTES + 8) >> 2] = reply.length
    const head = HEADS_OUT + nth * HEAD.bytes
    this.#point(head + HEAD.name, name)
    this.#words[(head + HEAD.nameBytes) >> 2] = nameBytes
  }

  /** Gives how many the kernel did not take: the first of a call that fails is passed over, and the others are tried. */
  #sendAll(fd: number, replies: number): number {
    let unsent = 0
    for (let next = 0; next < replies;) {
      const sent = this.#send(fd, this.#base + HEADS_OUT + next * HEAD.bytes, replies - next, MSG_DONTWAIT)
      if (sent > 0 && sent <= replies - next) next += sent
      else {
        next++
        unsent++
      }
    }
    return unsent
  }
}

const reversed = (datagram: Buffer): Buffer => Buffer.from(datagram).reverse()

function isSame(some: readonly Buffer[], others: readonly Buffer[]): boolean {
  return some.length === others.length && some.every((each, i) => each.equals(others[i] as Buffer))
}
