/**
 * A stand-in for the real MX in `demo`: it speaks just enough SMTP to be told a recipient, asks the policy service as Postfix
 * would, and says what came of it. It takes no message any further; beside it is a port for the witness to look at.
 */
import { connect, createServer, type Server, type Socket } from 'node:net'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Address } from '../settings/places.ts'

export type StandIn = {
  /** Behind PROXY protocol, as the senders' addresses are made up. */
  readonly port: number
  /** As the witness sees it. */
  readonly witnessed: number
  /** Whom it asks; until then it takes everything. */
  readonly asks: (policy: Address) => void
  readonly close: () => void
}

/** Longest wait for a word from anybody here. */
const DEADLINE_MS = 5000

export async function openStandIn(): Promise<StandIn> {
  let policy: Address | undefined
  const serve = (behindProxy: boolean) => (socket: Socket) => {
    let client = socket.remoteAddress ?? ''
    let awaited = behindProxy
    const say = (line: string): void => {
      socket.write(`${line}\r\n`)
    }
    socket.on('error', () => {})
    socket.setTimeout(DEADLINE_MS, () => socket.destroy())
    if (!behindProxy) say('220 mx.example.test ESMTP')
    const answer = async (line: string): Promise<void> => {
      const verb = line.slice(0, 4).toUpperCase()
      if (awaited) {
        client = line.split(' ')[2] ?? client
        awaited = false
        say('220 mx.example.test ESMTP')
      } else if (verb === 'EHLO' || verb === 'MAIL') say('250 ok')
      else if (verb === 'RCPT') {
        const action = policy ? await askPolicy(policy, client) : 'DUNNO'
        const [word = '', ...text] = action.split(' ')
        if (word === 'REJECT') say(`554 ${text.join(' ')}`)
        else say(word.startsWith('DEFER') ? `450 ${text.join(' ')}` : '250 ok')
      } else if (verb === 'DATA') say('354 go on')
      else if (line === '.') say('250 delivered')
      else if (verb === 'QUIT') socket.end('221 bye\r\n')
    }
    let turn = Promise.resolve()
    createInterface({ input: socket }).on('line', (line) => {
      turn = turn
        .then(() => answer(line))
        .catch(() => {
          socket.destroy()
        })
    })
  }
  const [real, witnessed] = await Promise.all([
    listening(createServer(serve(true))),
    listening(createServer(serve(false))),
  ])
  return {
    port: portOf(real),
    witnessed: portOf(witnessed),
    asks: (address) => (policy = address),
    close: () => {
      real.close()
      witnessed.close()
    },
  }
}

/** What Postfix would be told about this client, like `DUNNO` or `REJECT 5.7.1 ...`. */
async function askPolicy({ host, port }: Address, client: string): Promise<string> {
  const socket = connect(port, host)
  socket.setTimeout(DEADLINE_MS, () => socket.destroy(new Error('the policy service does not answer')))
  const request = [
    'request=smtpd_access_policy',
    'protocol_state=RCPT',
    'protocol_name=ESMTP',
    `client_address=${client}`,
    'recipient=anna@example.test',
    'sender=bert@sender.example',
  ]
  socket.write(`${request.join('\n')}\n\n`)
  try {
    let heard = ''
    for await (const chunk of socket) {
      heard += (chunk as Buffer).toString()
      const action = /^action=(.*)\n\n/m.exec(heard)?.[1]
      if (action !== undefined) return action
    }
    return 'DUNNO'
  } finally {
    socket.destroy()
  }
}

async function listening(server: Server): Promise<Server> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

function portOf(server: Server): number {
  const address = server.address()
  return typeof address === 'object' && address ? address.port : 0
}
