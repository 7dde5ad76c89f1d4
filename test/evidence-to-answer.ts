/**
 * How soon what a bot did at a decoy is an answer at the real MX's side, on other hosts: measured from the bot's last word
 * to the first refusal, at each of the hosts that answer.
 *
 * As a program it takes a plan as JSON and prints the milliseconds as JSON, so that it can be started in a network
 * namespace; the bench calls it as a function.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

export type Door = { readonly host: string; readonly port: number }

/** Each try is another bot, which comes to the decoys in turn. */
export type Plan = {
  /** PROXY doors of backup decoys. */
  readonly decoys: readonly Door[]
  /** Policy services. */
  readonly answers: readonly Door[]
  readonly tries: number
}

/** Beyond it something is broken, not slow. */
const PATIENCE_MS = 10_000

/** One figure for each try at each host that answers. */
export async function timeAnswers({ decoys, answers, tries }: Plan, told = (_tries: number) => {}): Promise<number[]> {
  const askers = await Promise.all(answers.map(askerOf))
  const figures: number[] = []
  try {
    for (let i = 0; i < tries; i++) {
      const ip = `198.18.${100 + (i >> 8)}.${i & 255}`
      for (const asker of askers)
        if (!(await asker.ask(ip)).startsWith('action=DUNNO')) throw new Error(`${ip} is known before it came`)
      const bot = await botAt(decoys[i % decoys.length] as Door, ip)
      const since = performance.now()
      bot.write('RCPT TO:<a@example.test>\r\n')
      figures.push(...(await Promise.all(askers.map((asker) => untilRefused(asker, ip, since)))))
      bot.destroy()
      told(i + 1)
    }
  } finally {
    for (const asker of askers) asker.end()
  }
  return figures
}

export function quantile(times: readonly number[], q: number): number {
  const sorted = times.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)] as number
}

export type Asker = { readonly ask: (ip: string) => Promise<string>; readonly end: () => void }

/** One connection to the policy service, one question after the other. */
export async function askerOf({ host, port }: Door): Promise<Asker> {
  const socket = connect({ host, port, noDelay: true })
  await once(socket, 'connect')
  return {
    async ask(ip) {
      socket.write(`request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address=${ip}\n\n`)
      const [chunk] = (await once(socket, 'data')) as [Buffer]
      return chunk.toString()
    },
    end: () => void socket.destroy(),
  }
}

async function untilRefused(asker: Asker, ip: string, since: number): Promise<number> {
  while (!(await asker.ask(ip)).startsWith('action=REJECT'))
    if (performance.now() - since > PATIENCE_MS) throw new Error(`${ip} is not refused ${PATIENCE_MS} ms later`)
  return performance.now() - since
}

/** A bot that has talked before it was greeted, and has all but named its recipient. */
async function botAt({ host, port }: Door, ip: string): Promise<Socket> {
  const socket = connect({ host, port, noDelay: true })
  let heard = ''
  const replies = (count: number) =>
    new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`the decoy said only "${heard}"`)), PATIENCE_MS)
      socket.on('error', reject)
      socket.on('data', (chunk: Buffer) => {
        heard += chunk.toString('latin1')
        if ((heard.match(/^\d{3} /gm) ?? []).length < count) return
        clearTimeout(timer)
        resolve()
      })
    })
  socket.write(`PROXY TCP4 ${ip} 127.0.0.1 40000 25\r\nEHLO bot.example\r\n`)
  await replies(2)
  socket.write('MAIL FROM:<x@bot.example>\r\n')
  await replies(3)
  return socket
}

if (import.meta.main) process.stdout.write(JSON.stringify(await timeAnswers(JSON.parse(process.argv[2] ?? '') as Plan)))
