/**
 * A sender: a real mail server or mailer of some make, running in a room of its own, that can be told to send.
 */
import type { Place } from '../../namespaces.ts'
import type { Make } from './makes.ts'
import { unpackedDebian } from './packages.ts'
import { openRoom } from './room.ts'

export type Sender = {
  readonly name: string
  readonly pausesMs: number
  /** As it tells it itself: `3.7.11`. */
  readonly version: string
  /** Hands it a message, with this word in the subject, as a program on its host does. */
  readonly send: (word: string, recipient: string) => Promise<void>
  /** Makes it try everything that waits, now; settles when it has been told. */
  readonly flush: () => Promise<void>
  /** Makes it forget which MX did not answer lately, and leave those it still talks to. */
  readonly forget: () => Promise<void>
  /** How many messages wait. */
  readonly waiting: () => Promise<number>
  /** What it has logged, or what its queue says: for people. */
  readonly story: () => Promise<string>
  readonly end: () => Promise<void>
}

export type SenderOptions = {
  readonly place: Place
  /** Its name in DNS. */
  readonly host: string
  readonly nameserver: string
  /** The envelope sender: bounces go there. */
  readonly from: string
}

export async function startSender(make: Make, { place, host, nameserver, from }: SenderOptions): Promise<Sender> {
  const unpacked = make.debian === undefined ? undefined : await unpackedDebian(make.debian)
  const layers = unpacked ? [unpacked.folder] : []
  const { files, users = {}, start } = make.room(host)
  const resolver = { '/etc/resolv.conf': `nameserver ${nameserver}\n` }
  const room = await openRoom({ place, host, layers, users, files: { ...files, ...resolver }, start })
  return {
    name: make.name,
    pausesMs: make.pausesMs,
    version: make.version === undefined ? (unpacked?.version ?? 'unknown') : (await room.must(make.version)).trim(),
    async send(word, recipient) {
      const message = `From: ${from}\nTo: ${recipient}\nSubject: ${word}\n\nA message of the lab.\n`
      await room.must(make.submit(from, recipient), message)
    },
    flush: async () => void (await room.must(make.flush)),
    forget: async () => void (await room.must(make.forget ?? 'true')),
    waiting: async () => countIn(make, await room.must(make.waiting)),
    story: async () => (await room.sh(make.story)).stdout,
    end: () => room.end(),
  }
}

function countIn({ name, waiting }: Make, said: string): number {
  const count = Number(said.trim() || Number.NaN)
  if (!Number.isInteger(count)) throw new Error(`${name}: "${waiting}" should print a number, and printed: ${said}`)
  return count
}
