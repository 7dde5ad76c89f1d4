/**
 * A second log, in the words of Postfix's postscreen, for programs that read mail logs: pflogsumm counts it, and stock fail2ban
 * bans by it whom no mail server resembles.
 *
 * What honest senders may do, too, is written so that no mode of fail2ban's postfix filter bans for it: who comes to the backup
 * politely while the real MX is down is told 451, which the filter passes over, and hang-ups, which its mode "aggressive"
 * punishes, are left out. A file, for under systemd the journal would put its own tag before each line. It is bounded: at
 * bytesMax it becomes FILE.1, in place of the one before.
 */
import { closeSync, fstatSync, openSync, renameSync, writeSync } from 'node:fs'
import { hostname } from 'node:os'
import type { Kind } from '../core/evidence.ts'
import type { Session } from '../core/session.ts'
import { seldom } from './seldom.ts'

export type MailLog = { readonly write: (session: Session, at: number) => void; readonly close: () => void }

/**
 * Opens the file when there is something to write, and again when that failed. `failed` hears of trouble, once a minute; what
 * could not be written is not kept.
 */
export function openMailLog(file: string, bytesMax: number, failed: (error: Error) => void, now = Date.now): MailLog {
  const host = hostname().split('.', 1)[0] || 'localhost'
  const failures = seldom(now)
  let open: { readonly handle: number; size: number } | undefined
  let waiting = ''
  const opened = () => {
    const handle = openSync(file, 'a', 0o640)
    return { handle, size: fstatSync(handle).size }
  }
  const close = () => {
    if (open) closeSync(open.handle)
    open = undefined
  }
  const flush = () => {
    const text = waiting
    waiting = ''
    if (text === '') return
    try {
      open ??= opened()
      if (open.size > 0 && open.size + text.length > bytesMax) {
        close()
        renameSync(file, `${file}.1`)
        open = opened()
      }
      writeSync(open.handle, text)
      open.size += text.length
    } catch (error) {
      close()
      if (failures(file) !== undefined) failed(error as Error)
    }
  }
  return {
    // All of one turn of the event loop in one write.
    write(session, at) {
      if (waiting === '') setImmediate(flush)
      const head = `${stamp(new Date(at))} ${host} postfix-decoymx`
      for (const { daemon, text } of mailLines(session)) waiting += `${head}/${daemon}[${process.pid}]: ${text}\n`
    },
    close() {
      flush()
      close()
    },
  }
}

type Line = { readonly daemon: 'postscreen' | 'smtpd'; readonly text: string }

/** A session in postscreen(8)'s words, in the order in which postscreen would have said them. */
export function mailLines(session: Session): Line[] {
  const { client, where, helo, last, sender } = session
  const from = `from [${client}]`
  const at = last === '' ? 'CONNECT' : last
  const seen = new Map(session.seen.map(({ kind, detail }) => [kind, detail ?? '']))
  const lines: Line[] = [{ daemon: 'postscreen', text: `CONNECT ${from} to ${bracketed(where)}` }]
  const add = (kind: Kind, say: (detail: string) => string, daemon: Line['daemon'] = 'postscreen') => {
    const detail = seen.get(kind)
    if (detail !== undefined) lines.push({ daemon, text: say(detail) })
  }
  add('early-talk', (said) => `PREGREET ${Math.max(1, said.length)} after 0 ${from}: ${said}`)
  add('pipelining', (said) => `COMMAND PIPELINING ${from} after ${at}: ${said}`)
  add('foreign-protocol', (said) => `NON-SMTP COMMAND ${from} after CONNECT: ${said}`)
  add('unknown-command', (said) => `NON-SMTP COMMAND ${from} after ${at}: ${said}`)
  add('bare-newline', () => `BARE NEWLINE ${from} after ${at}`)
  const tried = 'SASL LOGIN authentication failed: nobody has an account here'
  add('auth', () => `warning: unknown[${client}]: ${tried}`, 'smtpd')
  const to = RECIPIENTS.map((kind) => seen.get(kind)).find((detail) => detail !== undefined)
  if (to !== undefined) {
    const envelope = `from=<${plain(sender ?? '')}>, to=<${plain(to)}>, proto=ESMTP, helo=<${plain(helo)}>`
    lines.push({
      daemon: 'postscreen',
      text: `NOQUEUE: reject: RCPT ${from}: 451 4.7.1 Service unavailable - try again later; ${envelope}`,
    })
  }
  return [...lines, { daemon: 'postscreen', text: `DISCONNECT [${client}]` }]
}

const RECIPIENTS = ['recipient', 'trap-recipient', 'foreign-recipient', 'callout'] as const

/** `192.0.2.67:25` as `[192.0.2.67]:25`, and IPv6 as it stands. */
function bracketed(where: string): string {
  return where.startsWith('[') ? where : where.replace(/^(.*):(\d+)$/, '[$1]:$2')
}

/** Nothing that a client says may look like the end of what it says. */
function plain(text: string): string {
  return text.replace(/[<>[\]\s]/g, '?')
}

/** As syslog writes it: `Nov 28 02:24:11`, in local time. */
function stamp(at: Date): string {
  const two = (n: number) => String(n).padStart(2, '0')
  const day = String(at.getDate()).padStart(2, ' ')
  return `${MONTHS[at.getMonth()]} ${day} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']
