/**
 * The loader's SMTP client: a careful one, which reads each reply to its end before it says the next line.
 *
 * It says what an honest sender says up to a refused recipient. A reply that is not the one expected is an error, so
 * that no figure counts a dialogue that was none.
 */
import { connect, type Socket } from 'node:net'
import { addressOf } from './crowd.ts'

export type Script = { readonly port: number }

/** What is said, and what the reply to it begins with; first comes the greeting. */
const LINES = [
  ['', '220'],
  ['EHLO mail.sender.example\r\n', '250'],
  ['MAIL FROM:<someone@sender.example>\r\n', '250'],
  ['RCPT TO:<postbox@example.test>\r\n', '45'],
] as const

/** Dialogues begun so far by this process: the next one is the next client's, by the PROXY header before it. */
let begun = 0

/** One dialogue to its end: QUIT, the goodbye, and the server's close. */
export async function talk(script: Script): Promise<void> {
  const socket = await refused(script)
  await new Promise<void>((resolve, reject) => {
    let heard = ''
    socket.on('data', (bytes: Buffer) => (heard += bytes.toString('latin1')))
    socket.once('close', () => (heard.startsWith('221') ? resolve() : reject(strange('QUIT', heard))))
    socket.write('QUIT\r\n')
  })
}

/** A dialogue whose recipient has been refused, and which is still open. */
export function refused({ port }: Script): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true })
  const client = addressOf(begun++)
  socket.write(`PROXY TCP4 ${client} 192.0.2.66 40000 25\r\n`)
  return new Promise((resolve, reject) => {
    let [line, heard] = [0, '']
    const gone = () => reject(strange(LINES[line]?.[0] ?? '', `${heard} and a hang-up`))
    const hear = (bytes: Buffer) => {
      heard += bytes.toString('latin1')
      if (!LAST_LINE.test(heard)) return
      if (!heard.startsWith(LINES[line]?.[1] ?? '?')) return void socket.destroy(strange(LINES[line]?.[0] ?? '', heard))
      heard = ''
      const next = LINES[++line]
      if (next) return void socket.write(next[0])
      socket.off('data', hear).off('close', gone)
      resolve(socket)
    }
    socket.on('error', reject).on('close', gone).on('data', hear)
  })
}

/** Ends with a line whose code no hyphen follows (RFC 5321, 4.2.1). */
const LAST_LINE = /^\d{3} [^\r\n]*\r\n$/m

function strange(said: string, heard: string): Error {
  return new Error(`after ${JSON.stringify(said)} came ${JSON.stringify(heard)}: the figures mean nothing`)
}
