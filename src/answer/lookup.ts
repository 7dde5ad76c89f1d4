/**
 * Look-ups of one line: an address in, an answer out, in one of two languages.
 *
 * `tcp-table`: Postfix's tcp_table(5), for `check_client_access tcp:...`. `readsocket`: what Exim's ${readsocket} and any
 * script can do. For MXs that cannot speak the policy protocol; those that can had better, for there the MX may say what
 * shall happen while we are away, and here Postfix says "later" to everyone.
 *
 * Whoever is not to be refused is not found, and so is everything that we cannot read: an error would make the MX defer.
 * Each look-up also tells that the client came to the real MX.
 */
import type { Server } from 'node:net'
import { parseClient } from '../core/client.ts'
import type { Instant, Witness } from '../core/evidence.ts'
import type { Answers } from '../core/rules.ts'
import type { Decide, Decision } from '../reputation/decision.ts'
import { Connections, type ConnectionLimits, type HungUp, type Heard } from './connections.ts'
import { policyLine, reasonLine } from './policy.ts'
import { Visits } from './visits.ts'

export type LookupHappening =
  | { readonly what: 'answered'; readonly answer: string; readonly decision: Decision }
  | ({ readonly what: 'closed' } & HungUp<'long-line'>)
  /** A bug of ours; the asker was told that there is nothing. */
  | { readonly what: 'failed'; readonly error: string }

export type LookupLimits = ConnectionLimits & {
  readonly lineBytes: number
  /** Clients remembered as told of. */
  readonly notes: number
}

/** How a line asks, and how it is answered. Both without the newline. */
export type Language = {
  readonly name: 'tcp-table' | 'readsocket'
  readonly limits: LookupLimits
  /** The text that should be an address; undefined: this line asks for nothing. */
  readonly subject: (line: string) => string | undefined
  /** Undefined: nothing is known, or nothing could be read. */
  readonly reply: (decision: Decision | undefined, answers: Answers) => string
  /** One question, one answer, and the end; then the end of the asker's side ends the line, too. */
  readonly once: boolean
}

/** Postfix: a line is at most 4096 characters, and a connection is kept by each smtpd process as long as it lives. */
export const TCP_TABLE: Language = {
  name: 'tcp-table',
  limits: { connections: 2000, idleMs: 600_000, unreadMs: 10_000, lineBytes: 4096, notes: 100_000 },
  subject: (line) => (line.startsWith('get ') ? unquote(line.slice('get '.length)) : undefined),
  reply(decision, answers) {
    const line = decision ? policyLine(decision, answers) : 'DUNNO'
    return line === 'DUNNO' ? '500 not found' : `200 ${quote(line)}`
  },
  once: false,
}

/** Exim waits 5 s by default, and asks anew for each recipient. */
export const READSOCKET: Language = {
  name: 'readsocket',
  limits: { connections: 2000, idleMs: 10_000, unreadMs: 10_000, lineBytes: 256, notes: 100_000 },
  subject: (line) => line.trim(),
  reply: (decision, { text }) =>
    decision === undefined || decision.effect === 'pass' ? 'pass' : `${decision.effect} ${reasonLine(decision, text)}`,
  once: true,
}

export type LookupOptions = {
  readonly decide: Decide
  readonly answers: () => Answers
  readonly witness: Witness
  readonly now: () => Instant
  readonly tell: (happening: LookupHappening) => void
  readonly limits?: Partial<LookupLimits>
}

export class LookupService {
  readonly #language: Language
  readonly #options: LookupOptions
  readonly #limits: LookupLimits
  readonly #visits: Visits
  readonly #connections: Connections<'long-line'>

  constructor(language: Language, options: LookupOptions) {
    const { witness, now, tell } = options
    this.#language = language
    this.#options = options
    this.#limits = { ...language.limits, ...options.limits }
    const failed = (error: unknown) => tell({ what: 'failed', error: String(error) })
    this.#visits = new Visits({ witness, now, failed, most: this.#limits.notes })
    const closed = (it: HungUp<'long-line'>) => tell({ what: 'closed', ...it })
    this.#connections = new Connections(this.#limits, () => this.#converse(), closed)
  }

  /** A server for the caller to listen with. */
  server(): Server {
    return this.#connections.server()
  }

  close(): Promise<void> {
    return this.#connections.close()
  }

  readonly #reply = (decision: Decision | undefined): string => this.#language.reply(decision, this.#options.answers())

  #converse() {
    const { once } = this.#language
    const reply = this.#reply
    const { lineBytes } = this.#limits
    let rest = ''
    const answer = (lines: readonly string[]): Heard<'long-line'> => {
      const answers = (once ? lines.slice(0, 1) : lines).map((line) => this.#answer(line))
      const long = rest.length > lineBytes || lines.some((line) => line.length > lineBytes)
      return {
        replies: [...answers.map(({ text }) => text), ...(long && answers.length === 0 ? [reply(undefined)] : [])]
          .map((text) => `${text}\n`)
          .join(''),
        rest: rest.length,
        trouble: long ? 'long-line' : undefined,
        done: once && answers.length > 0,
        afterwards: () => answers.forEach((each) => this.#afterwards(each)),
      }
    }
    const hear = (chunk: Buffer): Heard<'long-line'> => {
      // One character for each byte: only ASCII is looked at.
      const lines = (rest + chunk.toString('latin1')).split('\n')
      rest = lines.pop() as string
      return answer(lines)
    }
    const end = (): Heard<'long-line'> => {
      const last = rest
      rest = ''
      return answer(last === '' ? [] : [last])
    }
    return once ? { hear, end } : { hear }
  }

  #answer(line: string): Answer {
    const { subject } = this.#language
    const reply = this.#reply
    const text = line.length > this.#limits.lineBytes ? undefined : subject(line.replace(/\r$/, ''))
    const client = text === undefined ? undefined : parseClient(text)
    if (!client) return { text: reply(undefined) }
    try {
      const decision = this.#options.decide(client)
      return { text: reply(decision), decision }
    } catch (error) {
      return { text: reply(undefined), error: String(error) }
    }
  }

  #afterwards({ text, decision, error }: Answer): void {
    const { tell } = this.#options
    if (error !== undefined) tell({ what: 'failed', error })
    if (!decision) return
    tell({ what: 'answered', answer: text, decision })
    this.#visits.note(decision)
  }
}

type Answer = { readonly text: string; readonly decision?: Decision; readonly error?: string }

/** What a percent sign would mean otherwise. Blanks may stand in a value: it is all that comes after the code. */
function quote(text: string): string {
  return text.replaceAll('%', '%25')
}

/** Undefined where a percent sign is followed by no two digits. */
function unquote(text: string): string | undefined {
  if (/%(?![0-9a-f]{2})/i.test(text)) return undefined
  return text.replaceAll(/%([0-9a-f]{2})/gi, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)))
}
