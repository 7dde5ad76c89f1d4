/**
 * The Postfix policy service: is this client one to refuse? Speaks Postfix's SMTPD access policy delegation, which is
 * also what Exim's readsocket and others can speak.
 *
 * A request is `name=value` lines up to an empty line; the answer is one `action=` line. `OK` is never said, for it
 * would skip the MX's own checks: whoever is not to be refused gets `DUNNO`. A request that cannot be read gets no
 * answer but a hang-up, as the protocol wants it; then the MX does what its administrator set for that case.
 *
 * Each request also tells that the client came to the real MX. That is told after the answer is on its way.
 */
import type { Server } from 'node:net'
import { type Client, parseClient } from '../core/client.ts'
import { neverListed } from '../core/never.ts'
import { type Instant, printable, type Witness } from '../core/evidence.ts'
import type { Answers, PolicyWord } from '../core/rules.ts'
import type { Decide, Decision } from '../reputation/decision.ts'
import { Connections, type ConnectionLimits, type HungUp, type Heard } from './connections.ts'
import { Visits } from './visits.ts'

export type PolicyHappening =
  | { readonly what: 'answered'; readonly action: PolicyWord; readonly decision: Decision }
  /** No address that we can read, so no doubt that DUNNO is right. */
  | { readonly what: 'unreadable'; readonly address: string }
  | ({ readonly what: 'closed' } & HungUp<Trouble>)
  /** A bug of ours; the asker was told DUNNO, or hung up on. */
  | { readonly what: 'failed'; readonly error: string }

export type PolicyLimits = ConnectionLimits & {
  readonly lineBytes: number
  readonly requestBytes: number
  /** Clients remembered as told of. */
  readonly notes: number
}

/** Postfix keeps a connection for each of its smtpd processes, 100 by default, and an idle one for 300 s. */
export const POLICY_LIMITS: PolicyLimits = {
  connections: 2000,
  idleMs: 600_000,
  unreadMs: 10_000,
  lineBytes: 4096,
  requestBytes: 65_536,
  notes: 100_000,
}

export type PolicyOptions = {
  readonly decide: Decide
  readonly answers: () => Answers
  readonly witness: Witness
  readonly now: () => Instant
  readonly tell: (happening: PolicyHappening) => void
  /** Is this client, of which nothing stands, to be told "later" this once, for this message? See unlisting.ts. */
  readonly defersOnce?: (client: Client, instance: string) => boolean
  readonly limits?: Partial<PolicyLimits>
}

export class PolicyService {
  readonly #options: PolicyOptions
  readonly #limits: PolicyLimits
  readonly #visits: Visits
  readonly #connections: Connections<Trouble>

  constructor(options: PolicyOptions) {
    const { witness, now, tell } = options
    this.#options = options
    this.#limits = { ...POLICY_LIMITS, ...options.limits }
    const failed = (error: unknown) => tell({ what: 'failed', error: String(error) })
    this.#visits = new Visits({ witness, now, failed, most: this.#limits.notes })
    const closed = (it: HungUp<Trouble>) => tell({ what: 'closed', ...it })
    this.#connections = new Connections(this.#limits, () => ({ hear: this.#listener() }), closed)
  }

  /** A server for the caller to listen with. */
  server(): Server {
    return this.#connections.server()
  }

  close(): Promise<void> {
    return this.#connections.close()
  }

  #listener(): (chunk: Buffer) => Heard<Trouble> {
    const read = requestReader(this.#limits)
    return (chunk) => {
      const { requests, rest, trouble } = read(chunk)
      const answers: Answer[] = []
      let replies = ''
      for (const request of requests) {
        const answer = this.#answer(request)
        answers.push(answer)
        replies += `action=${answer.line}\n\n`
      }
      const afterwards = () => {
        for (const answer of answers) this.#afterwards(answer)
      }
      return { replies, rest, trouble, afterwards }
    }
  }

  #answer(request: PolicyRequest): Answer {
    const client = parseClient(request.clientAddress)
    if (!client) return { request, line: 'DUNNO' }
    try {
      const decision = this.#unlisted(this.#options.decide(client, domainOf(request.recipient)), request)
      return { request, decision, line: policyLine(decision, this.#options.answers()) }
    } catch (error) {
      return { request, line: 'DUNNO', error: String(error) }
    }
  }

  #unlisted(decision: Decision, { instance }: PolicyRequest): Decision {
    const { defersOnce } = this.#options
    if (decision.verdict !== 'clean' || decision.doubt !== undefined || neverListed(decision.client)) return decision
    if (decision.mode !== 'enforce' || !defersOnce?.(decision.client, instance)) return decision
    return { ...decision, verdict: 'defer', effect: 'defer', by: 'rules', because: NEW_HERE }
  }

  /** Tells what was answered, and that the client came to the real MX. */
  #afterwards({ request, decision, line, error }: Answer): void {
    const { tell } = this.#options
    if (error !== undefined) return tell({ what: 'failed', error })
    if (!decision) return tell({ what: 'unreadable', address: printable(request.clientAddress) })
    const blank = line.indexOf(' ')
    tell({ what: 'answered', action: (blank < 0 ? line : line.slice(0, blank)) as PolicyWord, decision })
    this.#visits.note(decision, () => whereOf(request))
  }
}

type Answer = {
  readonly request: PolicyRequest
  readonly line: string
  readonly decision?: Decision
  readonly error?: string
}

const NEW_HERE = 'not known here yet: please come again in a few minutes, as a mail server does'

/** What stands after `action=`. */
export function policyLine(decision: Decision, { policy, text }: Answers): string {
  const { effect, ticket } = decision
  const word = effect === 'pass' ? 'DUNNO' : policy[effect]
  switch (word) {
    case 'REJECT':
      return `REJECT 5.7.1 ${reasonLine(decision, text)}`
    case 'DEFER_IF_PERMIT':
      return `DEFER_IF_PERMIT 4.7.1 ${reasonLine(decision, text)}`
    case 'PREPEND':
      return `PREPEND X-DecoyMX: ${effect}${ticket ? ` (${ticket})` : ''}; ${becauseOf(decision)}`
    case 'DUNNO':
      return 'DUNNO'
  }
}

/** Longest part of a `because` that a refused sender is shown. */
const BECAUSE_MAX = 160
/** With the code and the action before it a reply stays within a line of SMTP; and it is one string of a TXT record. */
const LINE_MAX = 255

/** Why, and how to ask: one line of printable ASCII, at most 255 bytes, for the person behind a refused sender. */
export function reasonLine(decision: Pick<Decision, 'because' | 'ticket'>, text: string): string {
  const why = becauseOf(decision)
  const { ticket } = decision
  if (ticket === undefined) return why
  if (text !== laid.text) laid = { text, pieces: text.split(/(\{ticket\}|\{because\})/) }
  let filled = ''
  for (const piece of laid.pieces) filled += piece === '{ticket}' ? ticket : piece === '{because}' ? why : piece
  return filled.slice(0, LINE_MAX)
}

/** The text of the rules taken apart: it is the same for every answer until they are loaded anew. */
let laid: { readonly text: string; readonly pieces: readonly string[] } = { text: '', pieces: [] }

function becauseOf({ because }: Pick<Decision, 'because'>): string {
  return printable(because || 'refused by local policy').slice(0, BECAUSE_MAX)
}

/** The domain of a recipient; undefined where there is none to be seen. */
export function domainOf(recipient: string): string | undefined {
  const at = recipient.lastIndexOf('@')
  return at < 0 ? undefined : recipient.slice(at + 1)
}

function whereOf({ serverAddress, serverPort }: PolicyRequest): string | undefined {
  const server: Client | undefined = parseClient(serverAddress)
  if (!server || !/^\d{1,5}$/.test(serverPort)) return undefined
  return server.family === 4 ? `${server.ip}:${serverPort}` : `[${server.ip}]:${serverPort}`
}

/** The attributes that we use; what was not given is empty. */
export type PolicyRequest = {
  /** The same for all recipients of one message; empty when not told. */
  readonly instance: string
  /** Empty before RCPT, and where a message has several. */
  readonly recipient: string
  readonly clientAddress: string
  readonly serverAddress: string
  readonly serverPort: string
}

type Trouble = 'nul-byte' | 'cr-lf' | 'no-equals' | 'long-line' | 'long-request' | 'foreign-request'

/** What `request=` says. */
const WANTED = 'smtpd_access_policy'

export type Reading = {
  readonly requests: readonly PolicyRequest[]
  /** Bytes of a request that is not whole yet. */
  readonly rest: number
  /** Why nothing after these requests can be read. The reader is then of no more use. */
  readonly trouble: Trouble | undefined
}

/**
 * Bytes in, requests out, wherever the bytes were cut. Keeps only the wanted values and the line that is still growing;
 * the lines of a request are some 30, so the search for their ends is most of what a request costs.
 */
export function requestReader(limits: Pick<PolicyLimits, 'lineBytes' | 'requestBytes'>): (chunk: Buffer) => Reading {
  let line = ''
  let size = 0
  let request = ''
  let clientAddress = ''
  let serverAddress = ''
  let serverPort = ''
  let instance = ''
  let recipient = ''

  return (chunk) => {
    // One character for each byte: only ASCII is looked at.
    const text = line + chunk.toString('latin1')
    const requests: PolicyRequest[] = []
    const stop = (trouble: Trouble): Reading => ({ requests, rest: 0, trouble })
    const nul = text.indexOf('\0')
    let start = 0
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', start)) {
      if (nul >= 0 && nul < end) return stop('nul-byte')
      if (end - start > limits.lineBytes) return stop('long-line')
      size += end + 1 - start
      if (size > limits.requestBytes) return stop('long-request')
      if (end > start) {
        const equals = text.indexOf('=', start)
        if (equals < 0 || equals > end) return stop(text.slice(start, end) === '\r' ? 'cr-lf' : 'no-equals')
        keep(text, start, equals, end)
      } else {
        if (request !== WANTED) return stop(request === `${WANTED}\r` ? 'cr-lf' : 'foreign-request')
        requests.push({ instance, recipient, clientAddress, serverAddress, serverPort })
        request = instance = recipient = clientAddress = serverAddress = serverPort = ''
        size = 0
      }
      start = end + 1
    }
    line = text.slice(start)
    if (nul >= 0) return stop('nul-byte')
    if (line.length > limits.lineBytes) return stop('long-line')
    if (size + line.length > limits.requestBytes) return stop('long-request')
    return { requests, rest: size + line.length, trouble: undefined }
  }

  /** Most names are told from the wanted ones by their length alone. */
  function keep(text: string, start: number, equals: number, end: number): void {
    const length = equals - start
    if (length !== 7 && length !== 8 && length !== 9 && length !== 11 && length !== 14) return
    const name = text.slice(start, equals)
    if (name === 'request') request = text.slice(equals + 1, end)
    else if (name === 'client_address') clientAddress = text.slice(equals + 1, end)
    else if (name === 'server_address') serverAddress = text.slice(equals + 1, end)
    else if (name === 'instance') instance = text.slice(equals + 1, end)
    else if (name === 'recipient') recipient = text.slice(equals + 1, end)
    else if (name === 'server_port') serverPort = text.slice(equals + 1, end)
  }
}
