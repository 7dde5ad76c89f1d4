/**
 * One look at one address of a real MX: would it take mail now, and how does it speak?
 *
 * A short look ends with the first line of the greeting: `220-` is enough, so that a server that greets in pieces
 * (postscreen waits 6 s between them) is known to live at once. A full look goes on to EHLO and MAIL FROM:<>, where a full
 * disk or a failing policy shows itself as 4xx, and keeps what was said, so that a decoy can look like it.
 *
 * 4xx is `later`: senders go on to the backup by right. 5xx after a good greeting is `up`: it lives, and means only us; as
 * a greeting it is `unsure`, and so is silence on an open connection. Never is a message offered, and a recipient is named
 * only where the caller gives one, to see what a decoy of ours says to it.
 */
import net from 'node:net'
import { printable, type Probe } from '../core/evidence.ts'

export type Address = { readonly host: string; readonly port: number }

/** How a server speaks: its greeting without the code, what it offers to EHLO, and how long it took to greet. */
export type Looks = {
  readonly banner: string
  readonly ehlo: readonly string[]
  readonly greetingMs: number
}

export type Look = {
  readonly outcome: Exclude<Probe['outcome'], 'partial'>
  /** What was seen, in a few words. */
  readonly because: string
  /** Of a full look that came to the end of EHLO. */
  readonly looks: Looks | undefined
  readonly connected: boolean
  /** The last reply, and to what; undefined where there was none. */
  readonly reply: { readonly step: Step; readonly code: string } | undefined
}

type Step = 'greeting' | 'EHLO' | 'MAIL' | 'RCPT'

/** Longest look: a greeting after half a minute is rare, and is called silence. */
const LOOK_MS = 30_000
/** Longest line that is read (RFC 5321 section 4.5.3.1.5 allows 512), and most lines of one reply. */
const LINE_MAX = 1024
const LINES_MAX = 64

type Reply = { readonly code: string; readonly lines: readonly string[] }

export function lookAt(
  { host, port }: Address,
  {
    full,
    recipient,
    lookMs = LOOK_MS,
    signal,
  }: { full: boolean; recipient?: string; lookMs?: number; signal?: AbortSignal },
): Promise<Look> {
  return new Promise((resolve) => {
    const beganAt = performance.now()
    const socket = net.connect({ host, port })
    let [text, lines, connected, greetingMs, banner] = ['', [] as string[], false, 0, '']
    let looks: Looks | undefined
    let [step, last]: [Step, Look['reply']] = ['greeting', undefined]

    const end = (outcome: Look['outcome'], because: string) => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', giveUp)
      socket.off('data', hear)
      // What is said last still goes out, where there is anybody to say it to.
      if (connected) socket.destroySoon()
      else socket.destroy()
      resolve({ outcome, because: printable(because), looks, connected, reply: last })
    }
    const broken = (how: string) =>
      step !== 'greeting' || lines.length > 0
        ? end('unsure', `${how} after ${step === 'greeting' ? 'a part of its greeting' : step}`)
        : end('down', how)
    const timer = setTimeout(() => {
      if (!connected) end('down', `no connection within ${lookMs} ms`)
      else end('unsure', `no ${step === 'greeting' ? 'greeting' : `reply to ${step}`} within ${lookMs} ms`)
    }, lookMs)
    const giveUp = () => end('unsure', 'given up')
    signal?.addEventListener('abort', giveUp)
    const say = (line: string) => void socket.write(`${line}\r\n`)
    const leave = (because: string) => {
      socket.write('QUIT\r\n')
      end('up', because)
    }
    const answered = ({ code, lines: said }: Reply) => {
      const first = said[0] ?? ''
      last = { step, code }
      if (code.startsWith('4')) return end('later', `${step}: ${code} ${first}`)
      if (step === 'greeting') {
        if (code !== '220') return end('unsure', `greets with ${code} ${first}`)
        if (!full) return leave('greets')
        greetingMs = Math.round(performance.now() - beganAt)
        banner = first
        step = 'EHLO'
        return say(`EHLO ${literal(socket.localAddress)}`)
      }
      if (!code.startsWith('2')) return leave(`greets; refuses us at ${step}: ${code} ${first}`)
      if (step === 'MAIL' && recipient !== undefined) {
        step = 'RCPT'
        return say(`RCPT TO:<${recipient}>`)
      }
      if (step === 'MAIL' || step === 'RCPT') return leave('takes mail')
      looks = { banner, ehlo: said.slice(1), greetingMs }
      step = 'MAIL'
      return say('MAIL FROM:<>')
    }
    const hear = (chunk: string) => {
      text += chunk
      for (let cut = text.indexOf('\n'); cut >= 0 && socket.listenerCount('data') > 0; cut = text.indexOf('\n')) {
        const line = text.slice(0, cut).replace(/\r$/, '')
        text = text.slice(cut + 1)
        const [, code = '', more = '', said = ''] = /^([2-5]\d\d)(?:([ -])(.*))?$/.exec(line) ?? []
        if (code === '' || lines.push(printable(said)) > LINES_MAX) return end('unsure', `no SMTP: ${line}`)
        if (more !== '-' || (step === 'greeting' && !full)) answered({ code, lines: lines.splice(0) })
      }
      if (text.length > LINE_MAX) end('unsure', `no SMTP: a line of more than ${LINE_MAX} bytes`)
    }
    socket.setEncoding('latin1')
    socket.on('connect', () => (connected = true))
    socket.on('error', (error: NodeJS.ErrnoException) => broken(error.code ?? error.message))
    socket.on('end', () => broken('hangs up'))
    socket.on('data', hear)
  })
}

/** An address literal is a name that needs no DNS (RFC 5321 section 4.1.3). */
function literal(address = '127.0.0.1'): string {
  return address.includes(':') ? `[IPv6:${address}]` : `[${address}]`
}
