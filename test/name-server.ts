/** A real name server on a private port, over UDP, whose zone the test writes and may change. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import packet from 'dns-packet'
import { onTestFinished } from 'vitest'

export type Zone = Readonly<Record<string, readonly string[]>>

/**
 * A name server with this zone: `MX name` to `preference exchange`, `A name` and `AAAA name` to addresses, `TXT name` to texts,
 * `PTR name` to names. What is `silent` gets no answer at all.
 */
export async function nameServer(
  zone: () => Zone | 'broken',
  silent: (question: string) => boolean = () => false,
): Promise<string> {
  const socket = createSocket('udp4')
  socket.on('message', (bytes, peer) => {
    const query = packet.decode(bytes)
    const [question] = query.questions ?? []
    if (!question) return
    const records = zone()
    const { name, type } = question
    if (silent(`${type} ${name.toLowerCase()}`)) return
    const known = records === 'broken' ? [] : (records[`${type} ${name.toLowerCase()}`] ?? [])
    const answers = known.map((text): packet.Answer => {
      // A text longer than 255 bytes goes in parts.
      if (type === 'TXT') return { name, type, ttl: 0, data: text.match(/[^]{1,255}/g) ?? [''] }
      if (type !== 'MX') return { name, type: type as 'A' | 'AAAA', ttl: 0, data: text }
      const [preference, exchange = '.'] = text.split(' ')
      return { name, type: 'MX', ttl: 0, data: { preference: Number(preference), exchange } }
    })
    const rcode =
      records === 'broken'
        ? 2
        : answers.length > 0 || Object.keys(records).some((key) => key.endsWith(` ${name}`))
          ? 0
          : 3
    socket.send(
      packet.encode({
        type: 'response',
        id: query.id ?? 0,
        flags: packet.RECURSION_AVAILABLE | rcode,
        questions: [question],
        answers,
      }),
      peer.port,
      peer.address,
    )
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  onTestFinished(() => void socket.close())
  return `127.0.0.1:${socket.address().port}`
}
