/** The log in postscreen's words, read by the programs that it is for: stock fail2ban and pflogsumm. */
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, inject, onTestFinished, test } from 'vitest'
import { mailLines, openMailLog } from '../../src/console/mail-log.ts'
import { createLog } from '../../src/console/log.ts'
import { createMetrics } from '../../src/console/metrics.ts'
import { screenOf } from '../../src/console/terminal.ts'
import { teller } from '../../src/daemon/telling.ts'
import { type Kind, printable } from '../../src/core/evidence.ts'
import { type Session, talked } from '../../src/core/session.ts'
import { folder } from '../folders.ts'

const NOW = Date.now()

function session(client: string, seen: Partial<Record<Kind, string>>, more: Partial<Session> = {}): Session {
  const shown = new Map(Object.entries(seen) as [Kind, string][])
  return {
    role: 'backup',
    client,
    where: '192.0.2.67:25',
    session: 'a-1',
    outcome: 'dialogue',
    heldMs: 1234,
    bytesIn: 10,
    bytesOut: 20,
    ...talked({ helo: 'bot.example', last: 'RCPT', recipients: 1, sender: 'x@bot.example' }, shown),
    ...more,
  }
}

/** Polite: what an honest sender does while the real MX is down; it even hangs up. */
const POLITE = session('203.0.113.1', { contact: '', recipient: 'anna@example.test', 'hang-up': 'after RCPT' })
const EARLY = session('203.0.113.2', { contact: '', 'early-talk': 'EHLO bot', recipient: 'anna@example.test' })
const LOGIN = session('2001:db8::9', { contact: '', auth: 'LOGIN' }, { where: '[2001:db8::67]:25', last: 'AUTH' })
const WEB = session('203.0.113.4', { contact: '', 'foreign-protocol': 'HTTP: GET / HTTP/1.1' }, { last: '' })
const BARE = session('203.0.113.5', { contact: '', 'bare-newline': '', pipelining: 'MAIL FROM:<a@b>' })
const ALL = [POLITE, EARLY, LOGIN, WEB, BARE]

async function logged(sessions: readonly Session[]): Promise<string> {
  const file = join(folder(), 'mail.log')
  const log = openMailLog(file, 2 ** 20, (error) => expect.unreachable(error.message))
  for (const each of sessions) log.write(each, NOW)
  log.close()
  return file
}

describe('lines', () => {
  test('are those that postscreen would have written', () => {
    const told = (each: Session) => mailLines(each).map(({ daemon, text }) => `${daemon}: ${text}`)
    expect(told(EARLY)).toEqual([
      'postscreen: CONNECT from [203.0.113.2] to [192.0.2.67]:25',
      'postscreen: PREGREET 8 after 0 from [203.0.113.2]: EHLO bot',
      'postscreen: NOQUEUE: reject: RCPT from [203.0.113.2]: 451 4.7.1 Service unavailable - try again later; from=<x@bot.example>, to=<anna@example.test>, proto=ESMTP, helo=<bot.example>',
      'postscreen: DISCONNECT [203.0.113.2]',
    ])
    expect(told(LOGIN)).toContain(
      'smtpd: warning: unknown[2001:db8::9]: SASL LOGIN authentication failed: nobody has an account here',
    )
    expect(told(WEB)).toContain('postscreen: NON-SMTP COMMAND from [203.0.113.4] after CONNECT: HTTP: GET / HTTP/1.1')
  })

  test('have a head as syslog writes it, and a file becomes FILE.1 when it is full', async () => {
    const file = join(folder(), 'mail.log')
    const log = openMailLog(file, 400, (error) => expect.unreachable(error.message))
    onTestFinished(() => log.close())
    log.write(POLITE, Date.parse('2026-11-04T05:06:07Z'))
    await turn()
    const before = readFileSync(file, 'utf8')
    expect(before.split('\n')[0]).toMatch(
      /^Nov {2}\d \d\d:\d\d:07 \S+ postfix-decoymx\/postscreen\[\d+\]: CONNECT from \[203\.0\.113\.1\] to \[192\.0\.2\.67\]:25$/,
    )
    log.write(WEB, NOW)
    await turn()
    expect(readFileSync(`${file}.1`, 'utf8')).toBe(before)
    expect(readFileSync(file, 'utf8')).toContain('NON-SMTP COMMAND')
  })

  test('what a client says stays on its line and in its brackets, in this log and in the other', async () => {
    const hostile = 'a>, proto=x\r\nNov 28 00:00:00 h postfix/smtpd[1]: \u001b[31m\u202e<script> from [198.51.100.1]'
    const shown = new Map<Kind, string>([
      ['recipient', printable(hostile)],
      ['early-talk', printable(hostile)],
    ])
    const said = talked({ helo: hostile, last: 'RCPT', recipients: 1, sender: hostile }, shown)
    const evil = session('203.0.113.6', {}, said)
    const text = readFileSync(await logged([evil]), 'utf8')
    expect(text).toMatch(/^[\x20-\x7e\n]*$/)
    expect(text.trimEnd().split('\n')).toHaveLength(4)
    const reject = text.split('\n').find((line) => line.includes('reject: RCPT')) ?? ''
    expect(reject.match(/[<>[\]]/g)?.join('')).toBe('[][]<><><>')
  })

  test('trouble with the file is told once a minute, and ends with it', async () => {
    const place = folder()
    const [errors, clock] = [[] as string[], { at: NOW }]
    const log = openMailLog(
      join(place, 'none', 'mail.log'),
      1000,
      ({ message }) => errors.push(message),
      () => clock.at,
    )
    for (const at of [0, 1000, 61_000]) {
      clock.at = NOW + at
      log.write(POLITE, NOW)
      await turn()
    }
    expect(errors).toEqual([expect.stringContaining('ENOENT'), expect.stringContaining('ENOENT')])
    log.close()
  })
})

describe.skipIf(inject('missing').includes('fail2ban-regex'))('fail2ban', () => {
  const banned = (log: string, filter: string): string[] =>
    execFileSync('fail2ban-regex', ['--out', 'ip', log, filter], { encoding: 'utf8' })
      .trim()
      .split('\n')
      .filter(Boolean)

  test('its stock filter for Postfix bans whom no mail server resembles, and nobody for what honest senders do', async () => {
    const log = await logged(ALL)
    expect(banned(log, 'postfix[mode=aggressive]').toSorted()).toEqual(['2001:db8::9', '203.0.113.2'])
    expect(banned(log, 'postfix[mode=auth]')).toEqual(['2001:db8::9'])
    expect(banned(log, 'postfix')).toEqual([])
  })

  test('our filter bans by the JSON log whom the appliance blocks, whatever clients say', async () => {
    const { stream, lines, written } = ear()
    const tell = teller(createLog('info', stream, screenOf(stream, {})), createMetrics('0.0.0'), () => NOW)
    const decided = (target: string, word: 'block' | 'defer') => {
      const ruling = {
        by: 'rules',
        target,
        word,
        since: NOW,
        until: NOW + 1000,
        ticket: 'T1',
        because: 'rule "x"',
      } as const
      tell.reputation({ from: 'ledger', it: { what: 'changed', ruling, before: undefined } })
    }
    decided('203.0.113.7', 'block')
    decided('203.0.113.8', 'defer')
    decided('2001:db8:0:7::/64', 'block')
    const forged = printable('","client":"198.51.100.1","msg":"decision: block 198.51.100.1"}')
    tell.decoy({ what: 'ended', session: session('203.0.113.9', { 'early-talk': forged }, { helo: forged }) })
    await written
    const file = join(folder(), 'decoymx.log')
    writeFileSync(file, lines.join(''))
    const filter = join(import.meta.dirname, '../../deploy/fail2ban/filter.d/decoymx.conf')
    expect(banned(file, filter)).toEqual(['203.0.113.7', '2001:db8:0:7::/64'])
  })
})

test.skipIf(inject('missing').includes('pflogsumm'))('pflogsumm counts who was turned away', async () => {
  const report = execFileSync('pflogsumm', ['--syslog-name=postfix-decoymx', await logged(ALL)], { encoding: 'utf8' })
  expect(report).toMatch(/^ +2 {3}rejected/m)
  expect(report).toMatch(/message reject detail\n-+\n {2}RCPT\n.*203\.0\.113\.1\n.*203\.0\.113\.2\n/s)
})

test('the JSON log has one line for each finished session, with all that it showed', async () => {
  const { stream, lines, written } = ear()
  const tell = teller(createLog('info', stream, screenOf(stream, {})), createMetrics('0.0.0'), () => NOW)
  tell.decoy({ what: 'ended', session: EARLY })
  await written
  const [line, ...more] = lines.join('').trimEnd().split('\n')
  expect(more).toEqual([])
  expect(JSON.parse(line ?? '')).toEqual({
    level: 'info',
    time: expect.any(String) as string,
    role: 'backup',
    client: '203.0.113.2',
    where: '192.0.2.67:25',
    session: 'a-1',
    outcome: 'dialogue',
    seconds: 1.23,
    bytesIn: 10,
    bytesOut: 20,
    helo: 'bot.example',
    last: 'RCPT',
    recipients: 1,
    sender: 'x@bot.example',
    seen: { contact: '', 'early-talk': 'EHLO bot', recipient: 'anna@example.test' },
    msg: 'session: backup',
  })
})

/** A log's stream: what it has heard, and that it has heard anything. */
function ear() {
  const lines: string[] = []
  const { promise: written, resolve } = Promise.withResolvers<void>()
  const stream = { isTTY: false, writableLength: 0, write: (text: string) => (lines.push(text), resolve()) }
  return { stream: stream as unknown as NodeJS.WriteStream, lines, written }
}
