/**
 * What the canary does, and whom it asks: two visits at the decoys, and every way in which an answer leaves the house, each
 * asked at its door like anybody asks there.
 *
 * A way gives a word for a client, and says which word the decision wants; it knows nothing of what was played.
 */
import { Resolver } from 'node:dns/promises'
import { connect, type Socket } from 'node:net'
import type { Export } from '../answer/exports.ts'
import type { Format } from '../answer/formats.ts'
import { type Client, reversedLabels } from '../core/client.ts'
import { spellPlace } from '../core/place.ts'
import type { Answers } from '../core/rules.ts'
import { isGuest } from '../decoy/nftables.ts'
import type { Decision } from '../reputation/decision.ts'
import { isListed } from './firewall.ts'
import { type Address, parseAddress, parseUnixAddress } from '../settings/places.ts'
import type { Settings } from '../settings/settings.ts'
import { canarySocket } from '../settings/state.ts'

export type Way = {
  /** As people know it: `policy 127.0.0.1:10040`. */
  readonly name: string
  readonly ask: (client: Client) => Promise<string>
  readonly wants: (decision: Decision) => string
  /** The answer may be right only so much later. */
  readonly withinMs: number
}

export type WaysOptions = {
  readonly settings: Settings
  readonly doors: () => readonly { readonly name: string; readonly bound: string | undefined }[]
  readonly exported: (format: Format) => Promise<Export>
  /** What the rules say that each asker is told. */
  readonly answers: () => Answers
  /** Does the kernel refuse strangers at the primary now? */
  readonly kernelOn: () => boolean
}

/** The promise from evidence to answer. */
const ANSWER_MS = 1000
/** The kernel's set follows in beats of a second. */
const KERNEL_MS = 5000
/** A set at the firewall follows more slowly, the longer the list. */
const FIREWALL_MS = 30_000
/** One question to a door of this host. */
const QUESTION_MS = 2000
/** Longer answers are not read. */
const ANSWER_BYTES_MAX = 1024 * 1024

/** Every way that is open now. A door that is shut is said elsewhere. */
export function waysOut({ settings, doors, exported, answers, kernelOn }: WaysOptions): Way[] {
  const open = (name: string) =>
    doors().flatMap((door) => {
      const address = door.name === name ? placeOf(door.bound) : undefined
      return address ? [{ spelled: door.bound as string, address }] : []
    })
  return [
    ...open('policy').map(({ spelled, address }) => policyWay(`policy ${spelled}`, address, answers)),
    ...open('milter').map(({ spelled, address }) => milterWay(`milter ${spelled}`, address, answers)),
    ...open('DNSBL, UDP').map(({ spelled, address }) => dnsblWay(`DNSBL ${spelled}`, address, settings.dnsbl)),
    ...open('HTTP').map(({ spelled, address }) => httpWay(`HTTP ${spelled}`, address)),
    exportWay(exported),
    ...(kernelOn() ? [KERNEL_WAY] : []),
    ...(settings.firewall.nftables && open('policy').length > 0 ? [FIREWALL_WAY] : []),
  ]
}

/** An address that hears everything is asked at loopback. */
function placeOf(bound: string | undefined): Address | undefined {
  if (bound === undefined) return undefined
  const nearby = bound.replace(/^0\.0\.0\.0:/, '127.0.0.1:').replace(/^\[::\]:/, '[::1]:')
  return parseAddress(nearby) ?? parseUnixAddress(nearby)
}

function policyWay(name: string, address: Address, answers: WaysOptions['answers']): Way {
  return {
    name,
    withinMs: ANSWER_MS,
    async ask({ ip }) {
      const question = `request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\nclient_address=${ip}\n\n`
      const answer = await converse(connect(whereTo(address)), question, (heard) => heard.includes('\n\n'))
      return /^action=(\S+)/.exec(answer)?.[1] ?? `unreadable: ${answer.slice(0, 40)}`
    },
    wants: ({ effect }) => (effect === 'pass' ? 'DUNNO' : answers().policy[effect]),
  }
}

/** As an MTA that can leave nothing out: each step has an answer, and so nothing that is sent here is no ASCII. */
function milterWay(name: string, address: Address, answers: WaysOptions['answers']): Way {
  const packet = (text: string) => `\0\0\0${String.fromCharCode(text.length)}${text}`
  const greeting = packet(`O\0\0\0\x06${'\0'.repeat(8)}`)
  /** What answers the greeting and the client, each with its length, and the letter of the answer to the recipient. */
  const before = 17 + 5 + 4
  return {
    name,
    withinMs: ANSWER_MS,
    async ask({ ip }) {
      const steps = `${greeting}${packet(`Ccanary.invalid\x004\0\x19${ip}\0`)}${packet('R<canary@canary.invalid>\0')}`
      const answer = await converse(connect(whereTo(address)), steps, (heard) => heard.length > before)
      if (answer[before] === 'c') return 'continue'
      return /^y(\d{3}) /.exec(answer.slice(before))?.[1] ?? `unreadable: ${answer.slice(before, before + 40)}`
    },
    wants: ({ effect }) => (effect === 'pass' ? 'continue' : MILTER_SAYS[answers().policy[effect]]),
  }
}

/** What a milter makes of the policy service's words. */
const MILTER_SAYS = { REJECT: '550', DEFER_IF_PERMIT: '451', PREPEND: 'continue', DUNNO: 'continue' } as const

function dnsblWay(name: string, { host, port }: Address, settings: Settings['dnsbl']): Way {
  const lists = { block: '127.0.0.2', defer: '127.0.0.3', observe: settings['observe-code'] ? '127.0.0.4' : NOT_LISTED }
  return {
    name,
    withinMs: ANSWER_MS,
    async ask(client) {
      const resolver = new Resolver({ timeout: QUESTION_MS, tries: 1 })
      resolver.setServers([spellPlace(host, port)])
      const labels = [...reversedLabels(client), settings.zone]
      const codes = { ENOTFOUND: NOT_LISTED, EREFUSED: NOT_FOR_US } as Record<string, string>
      const answered = (error: NodeJS.ErrnoException) => codes[String(error.code)] ?? String(error.code)
      return await resolver.resolve4(labels.join('.')).then(String, answered)
    },
    wants: ({ effect }) => (effect === 'pass' ? NOT_LISTED : lists[effect]),
  }
}

const NOT_LISTED = 'NXDOMAIN'

/** What a door says that answers only those it knows: it is not looked into. */
export const NOT_FOR_US = 'not told to us'

/** Over the door where anybody may look. */
function httpWay(name: string, { host, port }: Address): Way {
  return {
    name,
    withinMs: ANSWER_MS,
    async ask({ ip }) {
      const base = `http://${host.includes(':') ? `[${host}]` : host}:${port}`
      const signal = AbortSignal.timeout(QUESTION_MS)
      const reply = await fetch(`${base}/api/v1/clients/${ip}`, { signal })
      if (reply.status === 401 || reply.status === 403) return NOT_FOR_US
      const { verdict } = (await reply.json()) as { verdict?: string }
      return verdict ?? `status ${reply.status}`
    },
    wants: ({ verdict }) => verdict,
  }
}

function exportWay(exported: WaysOptions['exported']): Way {
  return {
    name: 'export',
    withinMs: ANSWER_MS,
    async ask({ ip }) {
      const { text } = await exported('plain')
      // A canary stands alone in its network, unless a whole one is blocked: then it is listed with that.
      return text.split('\n').some((line) => line === ip || line === `${ip}/32`) ? 'listed' : 'absent'
    },
    wants: ({ effect }) => (effect === 'block' ? 'listed' : 'absent'),
  }
}

const KERNEL_WAY: Way = {
  name: 'kernel',
  withinMs: KERNEL_MS,
  ask: async ({ ip, family }) => ((await isGuest({ address: ip, family })) ? 'let in to be held' : 'refused'),
  wants: ({ effect }) => (effect === 'block' || effect === 'defer' ? 'let in to be held' : 'refused'),
}

const FIREWALL_WAY: Way = {
  name: 'firewall',
  withinMs: FIREWALL_MS,
  ask: async ({ ip, family }) => ((await isListed({ address: ip, family })) ? 'refused' : 'let in'),
  wants: ({ effect }) => (effect === 'block' ? 'refused' : 'let in'),
}

export type Visiting = { readonly folder: string; readonly signal: AbortSignal; readonly patienceMs: number }

/** Calls at the primary, as a correct sender does first; what it says, which shall be nothing. */
export async function callPrimary(client: Client, { folder, signal, patienceMs }: Visiting): Promise<string> {
  const socket = connect({ path: canarySocket(folder, 'primary'), signal })
  return await converse(socket, proxyHeader(client), () => false, patienceMs)
}

/** Talks before it is greeted, and names a recipient of ours: no mail server does. The last reply, `451 ...` when all is well. */
export async function barge(client: Client, domain: string, visiting: Visiting): Promise<string> {
  const { folder, signal, patienceMs } = visiting
  const socket = connect({ path: canarySocket(folder, 'backup'), signal })
  const script = `HELO canary.invalid\r\nMAIL FROM:<canary@canary.invalid>\r\nRCPT TO:<canary@${domain}>\r\n`
  const replies = (heard: string) => heard.match(/^\d{3} .*\r\n/gm) ?? []
  const over = (heard: string) => replies(heard).length >= 4 || /^421 /m.test(heard)
  const heard = await converse(socket, `${proxyHeader(client)}${script}`, over, patienceMs)
  return replies(heard).at(-1)?.trim() ?? 'nothing'
}

function proxyHeader({ ip }: Client): string {
  return `PROXY TCP4 ${ip} 127.0.0.1 40000 25\r\n`
}

function whereTo({ host, port, path }: Address): { path: string } | { host: string; port: number } {
  return path === undefined ? { host, port } : { path }
}

/** Says this, and hears until it is over, the other side ends, or patience does. Rejects when it cannot be called. */
function converse(
  socket: Socket,
  words: string,
  over: (heard: string) => boolean,
  patienceMs = QUESTION_MS,
): Promise<string> {
  return new Promise((resolve, reject) => {
    let heard = ''
    const end = () => {
      clearTimeout(timer)
      socket.destroy()
      resolve(heard)
    }
    const timer = setTimeout(end, patienceMs)
    socket.on('error', (error) => {
      clearTimeout(timer)
      reject(error)
    })
    socket.on('data', (chunk: Buffer) => {
      heard += chunk.toString('latin1')
      if (heard.length > ANSWER_BYTES_MAX || over(heard)) end()
    })
    socket.on('close', end)
    socket.write(words)
  })
}
