#!/usr/bin/env node
/**
 * OpenSMTPD (6.6 on) asks decoymx about each client, as it connects. For smtpd.conf beside this file.
 *
 * smtpd-filters(7): lines come on stdin, and each question gets one line on stdout. The policy service is asked
 * (inet:127.0.0.1:10040, or HOST:PORT as the only argument). In any doubt mail proceeds: nobody answers within two seconds, the
 * answer is not understood, too many questions are open. OpenSMTPD ends when a filter of its ends, so nothing here may.
 */
import { connect } from 'node:net'
import { createInterface } from 'node:readline'

/** From the question to the answer; longer, and the client proceeds. */
const DEADLINE_MS = 2000
/** Questions that are open at once; more proceed. */
const OPEN_MAX = 500
/** Characters of an answer. */
const ANSWER_MAX = 4096

const [host = '127.0.0.1', port = '10040'] = (process.argv[2] ?? '').split(/:(?=\d+$)/).filter(Boolean)
let open = 0

for await (const line of createInterface({ input: process.stdin })) {
  const [kind, version, , , phase, session, token, ...told] = line.split('|')
  if (kind === 'config' && version === 'ready') say('register|filter|smtp-in|connect', 'register|ready')
  // Before protocol 0.5 session and token stood the other way round; no OpenSMTPD with that is in use.
  if (kind === 'filter' && phase === 'connect') judge(addressIn(told), (answer) => say(`filter-result|${session}|${token}|${answer}`))
}

function say(...lines) {
  for (const line of lines) process.stdout.write(`${line}\n`)
}

/** The client is what is told first after its name, by any version: an address, in brackets if IPv6, with or without a port. */
function addressIn(told) {
  for (const text of told.slice(1)) {
    const bare = text.replace(/^IPv6:/i, '').replace(/^\[(IPv6:)?([^\]]*)\](:\d+)?$/i, '$2').replace(/^(\d+\.\d+\.\d+\.\d+):\d+$/, '$1')
    if (/^(\d{1,3}\.){3}\d{1,3}$|^[0-9a-f:]*:[0-9a-f:.]*$/i.test(bare)) return bare
  }
  return undefined
}

function judge(address, tell) {
  if (address === undefined || open >= OPEN_MAX) return tell('proceed')
  open++
  let answer = ''
  const socket = connect({ host, port: Number(port) })
  const late = setTimeout(() => socket.destroy(), DEADLINE_MS)
  socket.setEncoding('latin1')
  socket.on('connect', () => socket.write(`request=smtpd_access_policy\nprotocol_state=CONNECT\nclient_address=${address}\n\n`))
  socket.on('data', (text) => {
    answer = (answer + text).slice(0, ANSWER_MAX)
    if (answer.includes('\n')) socket.destroy()
  })
  socket.on('error', () => {})
  socket.on('close', () => {
    clearTimeout(late)
    open--
    tell(resultOf(answer))
  })
}

function resultOf(answer) {
  const [, action, reason = ''] = /^action=(REJECT|DEFER_IF_PERMIT) ([\x20-\x7e]{1,400})\n/.exec(answer) ?? []
  const text = reason.replaceAll('|', ' ')
  if (action === 'REJECT') return `disconnect|550 ${text}`
  if (action === 'DEFER_IF_PERMIT') return `disconnect|421 ${text}`
  return 'proceed'
}
