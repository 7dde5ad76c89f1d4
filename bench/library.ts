/**
 * smtp-server alone, behind a PROXY header on a bare socket: what any decoy that is built on it can reach at most.
 *
 * `node bench/library.ts PORT`: the options of ours, no evidence, no manners, no pace; every recipient is refused for now.
 */
import { createServer } from 'node:net'
import { SMTPServer } from 'smtp-server'

const LATER = Object.assign(new Error('4.7.1 Try again later'), { responseCode: 451 })

const smtp = new SMTPServer({
  name: 'mx9.example.test',
  heloResponse: '%s',
  hidePIPELINING: true,
  authOptional: true,
  lenientAddressParsing: true,
  disableReverseLookup: true,
  disabledCommands: ['STARTTLS'],
  maxCommandLength: 2048,
  socketTimeout: 2 ** 31 - 1,
  logger: false,
  onRcptTo: (_address, _session, answer) => answer(LATER),
  onData(stream, _session, answer) {
    stream.resume()
    answer(LATER)
  },
})
// Clients that go away are none of its affair; what matters is that each dialogue of the loader was whole.
smtp.on('error', () => {})

createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (socket) => {
  socket.on('error', () => {})
  // The loader sends the header in one piece, and nothing after it before the greeting.
  socket.once('data', (header: Buffer) => {
    socket.pause()
    smtp.connect(socket, { remoteAddress: header.toString('latin1').split(' ')[2] ?? '' })
  })
  socket.resume()
}).listen(Number(process.argv[2]), '127.0.0.1')
