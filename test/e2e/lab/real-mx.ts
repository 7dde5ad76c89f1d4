/**
 * The real MX: a Postfix in a room of its own, with an address for each layout of the lab. On each it asks that layout's
 * appliance in the words of deploy/postfix/main.cf, or nobody.
 *
 * What it takes lies in one mailbox, and what comes back to the lab's senders, in another: a message there is a bounce.
 */
import { type FSWatcher, readdirSync, readFileSync, watch } from 'node:fs'
import { join } from 'node:path'
import type { Place } from '../../namespaces.ts'
import { POSTFIX_INSIDE, shippedRestrictions } from '../postfix.ts'
import { openRoom, type Room } from './room.ts'

export type RealMx = {
  readonly arrivals: Mailbox
  readonly bounces: Mailbox
  readonly start: () => Promise<void>
  /** From then on its ports are closed. */
  readonly stop: () => Promise<void>
  /** What it says to everybody from then on; see `Manner`. */
  readonly behave: (manner: Manner) => Promise<void>
  readonly log: () => string
  readonly end: () => Promise<void>
}

/** Takes mail, or says 451 to everybody. */
export type Manner = 'takes' | 'later'

export type RealMxOptions = {
  readonly place: Place
  readonly nameserver: string
  /**
   * Its addresses, each with the policy service that is asked there; and whether "later" is said there before that, as a
   * greylist does that stands first, or after it, in place of the message.
   */
  readonly doors: readonly {
    readonly address: string
    readonly policy: string | undefined
    readonly laterIs: 'unasked' | 'asked'
  }[]
  readonly domains: readonly string[]
  /** Where bounces go. */
  readonly origin: string
}

const LATER = 'check_client_access static:{451 4.3.2 Please come back later}'
const MANNERS: Record<Manner, string> = { takes: '', later: LATER }
const BOXES = '/var/mail/lab'

export async function startRealMx(options: RealMxOptions): Promise<RealMx> {
  const room = await openRoom({
    place: options.place,
    host: 'mx1.lab.example',
    files: {
      '/etc/resolv.conf': `nameserver ${options.nameserver}\n`,
      '/etc/postfix/main.cf': mainOf(options),
      '/etc/postfix/master.cf': masterOf(options),
      '/etc/postfix/boxes': boxesOf(options),
    },
    start: `mkdir -m 777 ${BOXES}
      for box in taken returned; do mkdir -p ${BOXES}/$box/new ${BOXES}/$box/cur ${BOXES}/$box/tmp; done
      chown -R nobody ${BOXES}/*
      chown postfix /var/lib/postfix
      postfix start 2>&1`,
  })
  const box = (name: string) => new Mailbox(room.outside(`${BOXES}/${name}/new`))
  const [arrivals, bounces] = [box('taken'), box('returned')]
  return {
    arrivals,
    bounces,
    start: () => must(room, 'postfix start'),
    stop: () => must(room, 'postfix stop'),
    behave: (manner) => must(room, `postconf -e 'manner=${MANNERS[manner]}' && postfix reload`),
    log: () => readFileSync(room.outside('/var/log/lab'), 'utf8'),
    async end() {
      arrivals.close()
      bounces.close()
      await room.end()
    },
  }
}

async function must(room: Room, command: string): Promise<void> {
  await room.must(`${command} 2>&1`)
}

/** A maildir, looked at whenever something in it changes. */
export class Mailbox {
  readonly #folder: string
  readonly #texts = new Map<string, string>()
  /** By subject. */
  readonly #instants = new Map<string, number[]>()
  readonly #watcher: FSWatcher
  readonly #waiting = new Set<() => void>()

  constructor(folder: string) {
    this.#folder = folder
    this.#watcher = watch(folder, () => this.#look())
  }

  /** All messages so far. */
  get texts(): string[] {
    this.#look()
    return [...this.#texts.values()]
  }

  /** When each message with this subject came: one that comes twice has two instants. */
  of(subject: string): readonly number[] {
    return this.#instants.get(subject) ?? []
  }

  /** Settles with the instant at which the message came, or with undefined when it does not come in time. */
  async next(subject: string, deadlineMs: number): Promise<number | undefined> {
    const late = performance.now() + deadlineMs
    for (;;) {
      const at = this.of(subject)[0]
      if (at !== undefined) return at
      const leftMs = late - performance.now()
      if (leftMs <= 0) return undefined
      await new Promise<void>((resolve) => {
        const done = () => {
          clearTimeout(timer)
          this.#waiting.delete(done)
          resolve()
        }
        const timer = setTimeout(done, leftMs)
        this.#waiting.add(done)
      })
    }
  }

  close(): void {
    this.#watcher.close()
  }

  #look(): void {
    const at = performance.now()
    for (const name of readdirSync(this.#folder).filter((each) => !this.#texts.has(each))) {
      const text = readFileSync(join(this.#folder, name), 'utf8')
      const subject = /^Subject: *(.*)$/m.exec(text)?.[1]?.trim() ?? ''
      this.#texts.set(name, text)
      this.#instants.set(subject, [...this.of(subject), at])
    }
    for (const wake of this.#waiting) wake()
  }
}

function mainOf({ domains, origin }: RealMxOptions): string {
  return `
compatibility_level = 3.6
maillog_file = /var/log/lab
myhostname = mx1.lab.example
manner =
inet_protocols = all
mynetworks =
in_flow_delay = 0
mydestination =
local_recipient_maps =
alias_maps =
virtual_mailbox_domains = ${[...domains, origin].join(' ')}
virtual_mailbox_maps = texthash:/etc/postfix/boxes
virtual_mailbox_base = ${BOXES}
virtual_minimum_uid = 1
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
default_transport = error:nothing leaves the lab
`
}

function boxesOf({ domains, origin }: RealMxOptions): string {
  return [...domains.map((domain) => `@${domain} taken/`), `@${origin} returned/`, ''].join('\n')
}

function masterOf({ doors }: RealMxOptions): string {
  const smtpd = doors.map(({ address, policy, laterIs }) => {
    const host = address.includes(':') ? `[${address}]` : address
    const restrictions = policy === undefined ? 'reject_unauth_destination' : shippedRestrictions(policy)
    const stage = laterIs === 'unasked' ? 'client' : 'data'
    return `${host}:25 inet n - n - - smtpd
  -o { smtpd_recipient_restrictions = ${restrictions} }
  -o smtpd_${stage}_restrictions=$manner`
  })
  return `
${smtpd.join('\n')}
${POSTFIX_INSIDE}`
}
