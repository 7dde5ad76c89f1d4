/**
 * The play that `demo` gives: who comes to the decoys and the real MX, what each says there, and what must have come of it.
 *
 * Real SMTP over real sockets, behind PROXY protocol, since the senders' documentation addresses (RFC 5737) live nowhere.
 * Everything told is what came back; nothing is scripted but who comes and what it says.
 */
import { once } from 'node:events'
import { Resolver } from 'node:dns/promises'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ClientView } from '../answer/views.ts'
import { hanging, type Screen, table, wrapped } from '../console/terminal.ts'
import { escaped, printable } from '../core/evidence.ts'
import type { Address } from '../settings/places.ts'
import { ask } from './appliance.ts'
import type { StandIn } from './stand-in.ts'

export type Doors = {
  readonly primary: Address
  readonly backup: Address
  readonly policy: Address
  readonly dnsbl: Address
  readonly http: Address
}

type Stage = { readonly state: string; readonly doors: Doors; readonly standIn: StandIn; readonly screen: Screen }

/** Longest that a player waits for one reply. */
const REPLY_MS = 5000
/** How long a blocked one lets itself be held, for us to watch. */
const HELD_MS = 1500

/** Who comes, and what must stand about it in the end. */
const CAST = {
  postfix: { ip: '198.51.100.10', name: 'an honest Postfix', expect: 'clean' },
  monitor: { ip: '198.51.100.20', name: 'a monitoring service', expect: 'clean' },
  nolisted: { ip: '203.0.113.7', name: 'a primary-only bot', expect: 'clean' },
  talker: { ip: '203.0.113.5', name: 'a bot that talks first', expect: 'block' },
  proxy: { ip: '203.0.113.6', name: 'an abused web proxy', expect: 'clean or observe' },
  guesser: { ip: '203.0.113.9', name: 'a password guesser', expect: 'clean or observe' },
} as const
type Player = (typeof CAST)[keyof typeof CAST]

/** Who is blocked in the end, to be looked at afterwards. */
export const TALKER = CAST.talker.ip

/** True if all came out as an operator must be able to rely on. */
export async function play({ state, doors, standIn, screen }: Stage): Promise<boolean> {
  const { bold, dim, green, red, yellow, cyan } = screen.colours
  const real: Address = { host: '127.0.0.1', port: standIn.port }
  let sound = true
  const scene = (player: Player, sentence: string) => {
    screen.print('')
    for (const line of hanging(`${bold(player.name)} ${dim(player.ip)}  `, sentence, screen.width, 2))
      screen.print(line)
  }
  const tell = (where: string, what: string, so: string, good = true) => {
    if (!good) sound = false
    const mark = good ? green('✓') : red('✗')
    for (const line of hanging(`  ${mark} ${cyan(where.padEnd(8))} `, what, screen.width, 13)) screen.print(line)
    for (const line of wrapped(so, screen.width, 13)) screen.print(dim(line))
  }
  screen.print(bold('decoymx, played on loopback'))
  const layout = 'MX 5 primary decoy, MX 20 the real one (a stand-in), MX 90 backup decoy. Addresses are from RFC 5737.'
  for (const line of wrapped(layout, screen.width, 0)) screen.print(dim(line))

  scene(CAST.postfix, 'walks as RFC 5321 says: the lowest preference first.')
  const first = await converse(doors.primary, CAST.postfix.ip, [])
  tell(
    'primary',
    first.end,
    'a stranger is reset before the first byte, so it goes on at once; nothing was lost',
    first.end === 'reset',
  )
  const mail = await converse(real, CAST.postfix.ip, MESSAGE)
  tell(
    'real MX',
    answered(mail, '250 delivered'),
    'it walked the right way: that is credit',
    mail.replies.includes('250 delivered'),
  )

  scene(CAST.monitor, 'looks whether somebody listens, and goes.')
  const look = await converse(doors.backup, CAST.monitor.ip, ['QUIT'])
  tell(
    'backup',
    printable(look.replies.at(-1) ?? look.end),
    'a contact is no evidence: it weighs nothing',
    look.replies.length > 0,
  )

  scene(CAST.nolisted, 'knows the lowest preference only.')
  const lost = await converse(doors.primary, CAST.nolisted.ip, [])
  tell(
    'primary',
    lost.end,
    'it never comes to the real MX: that is nolisting, and nobody had to be listed for it',
    lost.end === 'reset',
  )

  scene(CAST.talker, 'goes to the backup, and does not wait for the greeting.')
  const rude = await converse(doors.backup, CAST.talker.ip, BLAST, { early: true })
  tell(
    'backup',
    printable(rude.replies.find((line) => line.startsWith('4')) ?? rude.end),
    'never 2xx for a message, and never 5xx: told "later", and seen',
    rude.replies.length > 0,
  )
  const refused = await converse(real, CAST.talker.ip, [...MESSAGE.slice(0, 3), 'QUIT'])
  tell(
    'real MX',
    yellow(answered(refused, '554')),
    'blocked, everywhere and at once; the ticket leads to the reason',
    answered(refused, '554').startsWith('554'),
  )
  const again = await converse(doors.backup, CAST.talker.ip, [], { holdMs: HELD_MS })
  tell(
    'backup',
    `held: ${again.bytes} bytes in ${HELD_MS / 1000} s, and no end`,
    'a known offender is kept waiting, which costs us next to nothing',
    again.end === 'held',
  )

  const listed = await inDnsbl(doors.dnsbl, CAST.talker.ip)
  tell(
    'DNSBL',
    listed ?? 'not listed',
    'who cannot ask the policy service asks by DNS: 127.0.0.2 is a block',
    listed === '127.0.0.2',
  )

  scene(CAST.proxy, 'speaks HTTP to a mail server, and names nobody of ours.')
  const http = await converse(doors.backup, CAST.proxy.ip, ['POST / HTTP/1.1', 'Host: 192.0.2.25', ''], { early: true })
  const strange = await verdictOf(state, CAST.proxy)
  tell(
    'backup',
    `${printable(http.replies.at(-1) ?? http.end)}; ${strange.verdict}, a sum of ${strange.score} of ${strange.threshold}`,
    'without a recipient of ours nothing lists anybody: a poisoned or scanned decoy must not',
    strange.verdict !== 'block',
  )

  scene(CAST.guesser, 'tries a password at the backup.')
  await converse(doors.backup, CAST.guesser.ip, ['EHLO [203.0.113.9]', 'AUTH PLAIN AGFubmEAc2VjcmV0', 'QUIT'])
  const once = await verdictOf(state, CAST.guesser)
  tell(
    'backup',
    `${once.verdict}, a sum of ${once.score} of ${once.threshold}`,
    'one session lists nobody who named no recipient of ours; over days it adds up',
    once.verdict !== 'block',
  )

  scene(CAST.postfix, 'comes again.')
  const second = await converse(real, CAST.postfix.ip, MESSAGE)
  tell(
    'real MX',
    answered(second, '250 delivered'),
    'whatever the others did, honest mail was not touched',
    second.replies.includes('250 delivered'),
  )

  const rows = await Promise.all(
    Object.values(CAST).map(async (player) => {
      const view = await verdictOf(state, player)
      const good = player.expect.split(' or ').includes(view.verdict)
      if (!good) sound = false
      const heaviest = view.reasons.toSorted((a, b) => b.weight - a.weight)[0]
      return [
        good ? '✓' : '✗',
        player.ip,
        player.name,
        view.verdict,
        `${view.score}`,
        heaviest && heaviest.weight > 0 ? heaviest.because : '',
      ]
    }),
  )
  screen.print('')
  for (const line of table(screen, ['', 'client', 'who', 'verdict', 'sum', 'because'], rows)) screen.print(line)
  screen.print('')
  screen.print(
    sound
      ? green('The story held: honest mail arrived, nobody honest was listed.')
      : red('The story did not hold: see the lines marked ✗.'),
  )
  return sound
}

async function verdictOf(state: string, { ip }: Player): Promise<ClientView> {
  return (await ask(state, 'GET', `/api/v1/clients/${ip}`)).body as ClientView
}

/** The reply that begins so, or the last there was. */
function answered({ replies, end }: Talk, begins: string): string {
  return escaped(replies.find((line) => line.startsWith(begins)) ?? replies.at(-1) ?? end)
}

/** What a name server says of a client; undefined when it is not listed. */
async function inDnsbl({ host, port }: Address, ip: string): Promise<string | undefined> {
  const resolver = new Resolver({ timeout: REPLY_MS, tries: 1 })
  resolver.setServers([`${host}:${port}`])
  const name = `${ip.split('.').toReversed().join('.')}.bl.decoymx.test`
  // News of a block is there within a second.
  for (let tries = 0; tries < 10; tries++) {
    const found = await resolver.resolve4(name).catch(() => [])
    if (found[0]) return found[0]
    await sleep(200)
  }
  return undefined
}

const MESSAGE = [
  'EHLO mail.sender.example',
  'MAIL FROM:<bert@sender.example>',
  'RCPT TO:<anna@example.test>',
  'DATA',
  'Subject: hello\r\n\r\nhello\r\n.',
  'QUIT',
]
const BLAST = ['EHLO friend', 'MAIL FROM:<win@bot.example>', 'RCPT TO:<anna@example.test>', 'QUIT']

type Talk = { readonly replies: readonly string[]; readonly end: 'reset' | 'closed' | 'held'; readonly bytes: number }

/**
 * One connection of a made-up address: each line after the reply to the one before, or all at once and early. With `holdMs`
 * it says nothing, and listens for so long.
 */
async function converse(
  { host, port }: Address,
  ip: string,
  lines: readonly string[],
  { early = false, holdMs = 0 } = {},
): Promise<Talk> {
  const socket: Socket = connect(port, host)
  const waiting = [...lines]
  const replies: string[] = []
  let [text, bytes] = ['', 0]
  let end: Talk['end'] = 'closed'
  socket.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'ECONNRESET' || error.code === 'EPIPE') end = 'reset'
  })
  socket.setTimeout(REPLY_MS, () => socket.destroy())
  socket.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    text += chunk.toString('latin1')
    for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n')) {
      const line = text.slice(0, at).trimEnd()
      text = text.slice(at + 1)
      if (line[3] === '-' || holdMs > 0) continue
      replies.push(line)
      const next = early ? undefined : waiting.shift()
      if (next !== undefined) socket.write(`${next}\r\n`)
    }
  })
  await once(socket, 'connect')
  socket.write(
    `PROXY TCP4 ${ip} 192.0.2.25 ${40_000 + (port % 1000)} 25\r\n${early ? `${waiting.join('\r\n')}\r\n` : ''}`,
  )
  const closed = once(socket, 'close').catch(() => {})
  if (holdMs === 0) await closed
  else {
    const left = await Promise.race([closed.then(() => true), sleep(holdMs, false)])
    if (!left) end = 'held'
    socket.destroy()
  }
  return { replies, end, bytes }
}
