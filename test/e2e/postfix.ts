/**
 * A real Postfix of our own, as the real MX, beside any that this host may have: nothing in /etc/postfix is used, and
 * nothing of the host is changed. It ends with the test.
 *
 * What that needs, beside Debian's package:
 * - Root, as every Postfix: `master` gives up its rights service by service.
 * - A config, a queue and a data directory of its own, with the folders and owners that a package installation would have
 *   made. `master -d` is run as our child, and not by `postfix start`, which would set the permissions of the whole
 *   installation. It must lead a process group (`setsid`): that is what it ends when it is ended. It is ended when the test
 *   lets go of a pipe, so that it goes, too, when the tests are killed.
 * - Its log is a file of its own: that wants a `postlog` service, and our folder among `maillog_file_prefixes`.
 * - A mount namespace: reject_rbl_client asks the C library's resolver, which knows only port 53 of the servers in
 *   /etc/resolv.conf. There, and only there, that file names an address of ours.
 * - An address of its own out of 127.0.0.0/8, all of which is loopback on Linux: on it every port is free, 53 too.
 * - XCLIENT from loopback, so that a client can come from any address.
 *
 * What it asks decoymx is the text in deploy/postfix/main.cf, with our address and zone in the places of the examples: once
 * as it stands, and on a second port with the DNSBL line in the place of the policy line and `max_use=1`, as the file tells
 * people to do. Without `max_use=1` the second would not do: each smtpd process keeps what a DNSBL told it about a client
 * not for its TTL but for its own life, which is 100 connections.
 */
import { spawn, spawnSync } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { on, once } from 'node:events'
import { readFileSync, watch } from 'node:fs'
import { chmod, chown, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Visitor } from '../decoy/visitors.ts'
import { type Ended, runToEnd } from './appliance.ts'

export type Asks = 'policy' | 'dnsbl' | 'cidr' | 'tcp'

export type Postfix = {
  readonly port: (asks: Asks) => number
  /** One message, by swaks, from this client to `RECIPIENT`. */
  readonly deliver: (asks: Asks, client: string, subject: string) => Promise<Ended>
  /** What it says to RCPT now, to this client. */
  readonly answerTo: (asks: Asks, client: string) => Promise<string>
  /** The message with this subject, once it is in the mailbox. */
  readonly delivered: (subject: string) => Promise<string>
  /** Its log so far. */
  readonly log: () => Promise<string>
  readonly end: () => Promise<void>
}

export type PostfixOptions = {
  /** Its own address; the resolver is asked at port 53 there. */
  readonly host: string
  readonly policyPort: number
  readonly zone: string
  /** Where the file and the table of deploy/postfix/exports.cf are; without them nothing asks those. */
  readonly exports?: { readonly cidr: string; readonly tcp: string }
}

export const RECIPIENT = 'postbox@example.test'

const PORTS: Record<Asks, number> = { policy: 2525, dnsbl: 2526, cidr: 2527, tcp: 2528 }
/** Runs as long as our end of descriptor 3 is open. */
const LEASHED = `
  mount --bind "$1/resolv.conf" /etc/resolv.conf
  setsid /usr/lib/postfix/sbin/master -c "$1" -d 3<&- & master=$!
  { read -r _ <&3 || kill $master; } 2>&- & leash=$!
  wait $master || true
  kill $leash 2>&- || true
`
const SNIPPET = join(import.meta.dirname, '../../deploy/postfix/main.cf')
const START_MS = 30_000
const DELIVERY_MS = 30_000

/** Why no private Postfix can run here, or undefined. */
export function obstacle(): string | undefined {
  if (process.getuid?.() !== 0)
    return 'the tests with a real Postfix must run as root: a Postfix cannot start otherwise'
  const { status, stderr } = spawnSync('unshare', ['--mount', 'true'], { encoding: 'utf8' })
  if (status === 0) return undefined
  return `the tests with a real Postfix need a mount namespace of their own (util-linux, and in a container CAP_SYS_ADMIN): ${stderr ?? 'unshare is missing'}`
}

/** An address of loopback that nobody else uses. */
export function ownAddress(): string {
  return `127.${randomInt(64, 255)}.${randomInt(0, 256)}.${randomInt(1, 255)}`
}

export async function startPostfix(options: PostfixOptions): Promise<Postfix> {
  const { host } = options
  const folder = await furnish(options)
  const child = spawn('unshare', ['--mount', 'sh', '-euc', LEASHED, 'sh', folder], {
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
  })
  let said = ''
  child.stderr?.on('data', (chunk: Buffer) => (said = `${said}${chunk.toString()}`.slice(-8000)))
  const died = new AbortController()
  // Its services hold stderr, too: closed, they are all gone.
  const ended = once(child, 'close').then(() => died.abort(new Error('Postfix has ended')))
  const log = () => readFile(join(folder, 'log'), 'utf8').catch(() => '')
  const end = async () => {
    child.stdio[3]?.destroy()
    await ended
    await rm(folder, { recursive: true, force: true })
  }
  try {
    const gaveUp = AbortSignal.any([AbortSignal.timeout(START_MS), died.signal])
    await seen(folder, async () => (await log()).includes('daemon started') || undefined, gaveUp)
  } catch (error) {
    const told = await log()
    await end()
    throw new Error(`Postfix has not started\n${said}${told}`, { cause: error })
  }

  const mailbox = join(folder, 'mail/postbox/new')
  return {
    port: (asks) => PORTS[asks],
    deliver: (asks, client, subject) =>
      runToEnd(
        'swaks',
        wordsOf({
          server: host,
          port: `${PORTS[asks]}`,
          'xclient-addr': client,
          'xclient-name': 'mail.sender.example',
          ehlo: 'mail.sender.example',
          from: 'someone@sender.example',
          to: RECIPIENT,
          header: `Subject: ${subject}`,
        }),
      ),
    async answerTo(asks, client) {
      const visitor = new Visitor(connect({ host, port: PORTS[asks] }))
      const replies = await visitor.walk(
        'EHLO bot.example',
        `XCLIENT ADDR=${client} NAME=bot.example`,
        'EHLO bot.example',
        'MAIL FROM:<bot@bot.example>',
        `RCPT TO:<${RECIPIENT}>`,
        'QUIT',
      )
      await visitor.ended
      return replies.at(-2) ?? `no answer: ${replies.join(' / ')}`
    },
    delivered: (subject) =>
      seen(
        mailbox,
        async () => {
          const mails = await Promise.all((await readdir(mailbox)).map((name) => readFile(join(mailbox, name), 'utf8')))
          return mails.find((mail) => mail.includes(`\nSubject: ${subject}\n`))
        },
        AbortSignal.timeout(DELIVERY_MS),
      ),
    log,
    end,
  }
}

function wordsOf(options: Record<string, string>): string[] {
  return Object.entries(options).flatMap(([name, value]) => [`--${name}`, value])
}

/** What `look` finds, looked for again whenever something in the folder changes. */
async function seen<Found>(
  folder: string,
  look: () => Promise<Found | undefined>,
  signal: AbortSignal,
): Promise<Found> {
  const watcher = watch(folder)
  try {
    const changes = on(watcher, 'change', { signal })
    for (;;) {
      const found = await look()
      if (found !== undefined) return found
      await changes.next()
    }
  } finally {
    watcher.close()
  }
}

/** The folders, with the owners that a package installation would give them, and the configuration. */
async function furnish(options: PostfixOptions): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'dmx-postfix-'))
  await chmod(folder, 0o755)
  const { owner, nobody, dropGroup } = {
    owner: idOf('passwd', 'postfix'),
    nobody: idOf('passwd', 'nobody'),
    dropGroup: idOf('group', 'postdrop'),
  }
  const make = async (path: string, uid: number, gid: number, mode: number) => {
    await mkdir(join(folder, path), { recursive: true })
    await chown(join(folder, path), uid, gid)
    await chmod(join(folder, path), mode)
  }
  await make('queue', 0, 0, 0o755)
  await make('queue/pid', 0, 0, 0o755)
  for (const name of QUEUES) await make(`queue/${name}`, owner, 0, 0o700)
  await make('queue/maildrop', owner, dropGroup, 0o730)
  await make('queue/public', owner, dropGroup, 0o710)
  await make('data', owner, 0, 0o700)
  for (const name of ['mail', 'mail/postbox', 'mail/postbox/new', 'mail/postbox/cur', 'mail/postbox/tmp'])
    await make(name, nobody, 0, 0o700)
  const { main, restrictions } = asking(options)
  await writeFile(join(folder, 'main.cf'), mainOf(folder, nobody) + main)
  await writeFile(join(folder, 'master.cf'), masterOf(options.host, restrictions) + exporting(options))
  await writeFile(join(folder, 'resolv.conf'), `nameserver ${options.host}\noptions timeout:1 attempts:1\n`)
  return folder
}

const QUEUES = [
  'active',
  'bounce',
  'corrupt',
  'defer',
  'deferred',
  'flush',
  'hold',
  'incoming',
  'private',
  'saved',
  'trace',
]

/** What we ship, fitted to this place: the whole text, and the restrictions of whoever asks by DNS instead. */
function asking({ host, policyPort, zone }: PostfixOptions): { main: string; restrictions: string } {
  const main = replaced(
    replaced(readFileSync(SNIPPET, 'utf8'), '127.0.0.1:10040', `${host}:${policyPort}`),
    'bl.example.org',
    zone,
  )
  const policyLine = /^ +(check_policy_service .*)$/m.exec(main)?.[1]
  const dnsblLine = /^# +(reject_rbl_client .*)$/m.exec(main)?.[1]
  if (!policyLine || !dnsblLine) throw new Error(`${SNIPPET} has no policy line, or no line for the DNSBL`)
  return { main, restrictions: replaced(shippedRestrictions(`${host}:${policyPort}`), policyLine, dnsblLine) }
}

/** A service for each line of deploy/postfix/exports.cf, which stands there in the place of the policy line. */
function exporting({ host, exports }: PostfixOptions): string {
  if (!exports) return ''
  const text = readFileSync(join(SNIPPET, '../exports.cf'), 'utf8')
  return (['cidr', 'tcp'] as const)
    .map((asks) => {
      const line = new RegExp(`^# +check_client_access ${asks}:(.*)$`, 'm').exec(text)?.[0].replace(/^# +/, '')
      if (!line) throw new Error(`deploy/postfix/exports.cf has no line for ${asks}`)
      const fitted = line.replace(/ \w+:.*$/, () => ` ${asks}:${exports[asks]}`)
      return `${host}:${PORTS[asks]} inet n - n - - smtpd\n  -o { smtpd_recipient_restrictions = reject_unauth_destination, ${fitted} }\n`
    })
    .join('')
}

/** The restrictions that we ship, with a policy service at this address. */
export function shippedRestrictions(policy: string): string {
  const main = replaced(readFileSync(SNIPPET, 'utf8'), '127.0.0.1:10040', policy)
  const list = /^smtpd_recipient_restrictions =((?:\n +.*)+)/m.exec(main)?.[1]
  if (!list) throw new Error(`${SNIPPET} has no list of restrictions`)
  return list.replaceAll(/\s+/g, ' ').trim()
}

function replaced(text: string, old: string, by: string): string {
  if (text.split(old).length !== 2) throw new Error(`"${old}" must stand exactly once in ${SNIPPET}`)
  return text.replace(old, () => by)
}

function mainOf(folder: string, nobody: number): string {
  return `
compatibility_level = 3.6
queue_directory = ${folder}/queue
data_directory = ${folder}/data
maillog_file = ${folder}/log
maillog_file_prefixes = ${folder}
mail_owner = postfix
myhostname = mx1.example.test
inet_interfaces = loopback-only
inet_protocols = ipv4
mynetworks =
# A test asks more often than it delivers; without this every message would wait for a second.
in_flow_delay = 0
smtpd_authorized_xclient_hosts = 127.0.0.0/8

# The only mailbox. Nothing is for this host's own users, and nothing goes out.
mydestination =
local_recipient_maps =
alias_maps =
virtual_mailbox_domains = example.test
virtual_mailbox_maps = inline:{ ${RECIPIENT}=postbox/ }
virtual_mailbox_base = ${folder}/mail
virtual_minimum_uid = 1
virtual_uid_maps = static:${nobody}
virtual_gid_maps = static:${nobody}
default_transport = error:nothing leaves this test

`
}

/** The services that a mail passes through here, none in a chroot. */
/** The rest of master.cf: what a Postfix needs that takes mail and keeps it. */
export const POSTFIX_INSIDE = `\
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
virtual unix - n n - - virtual
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
`

function masterOf(host: string, dnsblRestrictions: string): string {
  return `
${host}:${PORTS.policy} inet n - n - - smtpd
${host}:${PORTS.dnsbl} inet n - n - - smtpd
  -o max_use=1
  -o { smtpd_recipient_restrictions = ${dnsblRestrictions} }
${POSTFIX_INSIDE}`
}

/** The number behind a name of this host's. */
function idOf(database: 'passwd' | 'group', name: string): number {
  const { stdout } = spawnSync('getent', [database, name], { encoding: 'utf8' })
  const id = /^[^:]+:[^:]*:(\d+):/.exec(stdout)?.[1]
  if (id === undefined) throw new Error(`this host has no ${name} in ${database}`)
  return Number(id)
}
