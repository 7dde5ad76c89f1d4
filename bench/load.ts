/**
 * The load generator, in a process of its own so that it takes no time from anybody's event loop but its own.
 *
 * It is told one job at a time over the channel to its parent, and answers with what it counted. Every job is bounded
 * in connections and time, and goes to 127.0.0.1 only.
 */
import { once } from 'node:events'
import { connect } from 'node:net'
import { Datagrams } from '../src/answer/datagrams.ts'
import { isOffender, octetsAmongMany } from './crowd.ts'
import {
  begin,
  hold,
  type HoldJob,
  keep,
  kept,
  knock,
  type KnockJob,
  letGo,
  listen,
  type ListenJob,
} from './holders.ts'
import { NOTHING, type Outcome } from './outcome.ts'
import { refused, type Script, talk } from './talk.ts'

export type Job =
  PolicyJob | DnsblJob | HoldJob | ListenJob | KnockJob | TalkJob | OpenTalksJob | { readonly what: 'let-go' }

type Asking = { readonly port: number; readonly clients: number; readonly forMs: number }
/** Without a rate, as fast as the answers come. */
type PolicyJob = Asking & {
  readonly what: 'policy'
  readonly connections: number
  readonly perSecond: number | undefined
}
/** So many questions under way at any time; or so many a second, however long the answers take. */
type DnsblJob = Asking & {
  readonly what: 'dnsbl'
  readonly zone: string
  readonly pace: { readonly outstanding: number } | { readonly perSecond: number }
}
/** Whole dialogues, one after the other on each of so many connections at a time; or so many that stay open. */
type TalkJob = Script & { readonly what: 'talk'; readonly connections: number; readonly forMs: number }
type OpenTalksJob = Script & { readonly what: 'open-talks'; readonly upTo: number }

const HOST = '127.0.0.1'

process.on('message', (job: Job) => {
  // A failure ends this process with its stack on stderr; the parent sees the end.
  void work(job).then((outcome) => process.send?.(outcome))
})
process.on('disconnect', () => process.exit())

function work(job: Job): Promise<Outcome> {
  switch (job.what) {
    case 'policy':
      return askPolicy(job)
    case 'dnsbl':
      return askDnsbl(job)
    case 'hold':
      return hold(job)
    case 'listen':
      return listen(job)
    case 'knock':
      return knock(job)
    case 'talk':
      return talkOn(job)
    case 'open-talks':
      return openTalks(job)
    case 'let-go':
      return letGo()
  }
}

/**
 * Each connection asks the next question as soon as it has its answer: a closed loop. Or so many are asked a second, however
 * long the answers take; where all connections are busy a question waits for the first that is not, and its time runs.
 */
async function askPolicy({ port, connections, clients, perSecond, forMs }: PolicyJob): Promise<Outcome> {
  const latencies: number[] = []
  let [next, listed, wrong] = [0, 0, 0]
  const idle: ((since: number) => void)[] = []
  const due: number[] = []
  const { promise: finished, resolve: finish } = Promise.withResolvers<void>()
  const open = async () => {
    const socket = connect({ host: HOST, port, noDelay: true })
    await once(socket, 'connect')
    return socket
  }
  const sockets = await Promise.all(Array.from({ length: connections }, open))
  const start = performance.now()
  const cpu = process.cpuUsage()
  const ends = start + forMs

  for (const socket of sockets) {
    let [asked, from, answer] = [0, 0, '']
    const ask = (since: number) => {
      from = since
      asked = next++
      socket.write(questionOf(asked, clients), 'latin1')
    }
    socket.on('data', (chunk) => {
      answer += chunk.toString('latin1')
      if (!answer.endsWith('\n\n')) return
      const now = performance.now()
      latencies.push(now - from)
      const refused = answer.startsWith('action=REJECT')
      if (refused) listed++
      if (refused !== isOffender(asked % clients)) wrong++
      answer = ''
      const since = perSecond !== undefined ? due.shift() : now < ends ? now : undefined
      if (since !== undefined) return ask(since)
      idle.push(ask)
      if (now >= ends && idle.length === connections) finish()
    })
    if (perSecond === undefined) ask(performance.now())
    else idle.push(ask)
  }
  let fallen = 0
  const steady = setInterval(() => {
    if (perSecond === undefined) return
    const now = Math.min(performance.now(), ends)
    for (; fallen < ((now - start) / 1000) * perSecond; fallen++) {
      const [at, ask] = [performance.now(), idle.shift()]
      if (ask) ask(at)
      else due.push(at)
    }
    if (now === ends && idle.length === connections) finish()
  }, 1)
  await finished
  clearInterval(steady)
  const ms = performance.now() - start
  const busy = busyShare(cpu, ms)
  for (const socket of sockets) socket.destroy()
  return { ...NOTHING, answers: latencies.length, listed, wrong, ms, p99Ms: quantile(latencies, 0.99), busy }
}

/** What Postfix 3.7 sends for one recipient, with values of the usual lengths; a message of its own each time. */
function questionOf(n: number, clients: number): string {
  const client = n % clients
  const head = HEADS[client] ?? (HEADS[client] = headOf(client))
  return `${head}instance=${(n + 4096).toString(16)}.6924f0a1.${(n * 7919).toString(16)}.0\n${TAIL}`
}

const HEADS: string[] = []

/** Far enough that the clients asked about lie among all that are listed; odd, so that every other one is. */
const APART = 199

function headOf(client: number): string {
  const ip = octetsAmongMany(client * APART).join('.')
  const name = `host-${ip.replaceAll('.', '-')}.dynamic.example.net`
  return `request=smtpd_access_policy
protocol_state=RCPT
protocol_name=ESMTP
client_address=${ip}
client_name=${name}
client_port=${32_768 + client}
reverse_client_name=${name}
server_address=192.0.2.25
server_port=25
helo_name=${name}
sender=newsletter-${client}@example.net
recipient=someone@example.test
recipient_count=0
queue_id=
`
}

const TAIL = `size=18231
etrn_domain=
stress=
sasl_method=
sasl_username=
sasl_sender=
ccert_subject=
ccert_issuer=
ccert_fingerprint=
ccert_pubkey_fingerprint=
encryption_protocol=TLSv1.3
encryption_cipher=TLS_AES_256_GCM_SHA384
encryption_keysize=256
policy_context=
compatibility_level=3.6
mail_version=3.7.11

`

/** A question unanswered for so long is counted as lost, and its place is used for the next. */
const LOST_MS = 200

/** A place for each id there is, so that an answer that comes late meets an empty place, and no other question's. */
const PLACES = 65_536

/** To an answer the next question is the answer, so that questions go out as many at a time as answers come, by our own means. */
async function askDnsbl({ port, zone, pace, clients, forMs }: DnsblJob): Promise<Outcome> {
  const write = questionWriter(zone)
  const asked = Array.from({ length: PLACES }, () => ({ client: 0, at: 0 }))
  const latencies: number[] = []
  let [next, answers, listed, wrong, lost, under] = [0, 0, 0, 0, 0, 0]
  const datagrams = new Datagrams({
    answer: (reply) => hear(reply),
    unsent: () => undefined,
    unsentBytes: Infinity,
    inBursts: true,
    shared: false,
  })
  const socket = datagrams.socket('udp4')
  socket.bind(0, HOST)
  await once(socket, 'listening')
  const start = performance.now()
  const ends = start + forMs
  const { promise: finished, resolve: finish } = Promise.withResolvers<void>()

  const question = (now: number) => {
    const place = next % PLACES
    const mine = asked[place] as (typeof asked)[number]
    if (mine.at === 0) under++
    else lost++
    // A step that has no factor in common with the number of clients meets them all, the listed in no order of memory.
    mine.client = (next++ * STRIDE) % clients
    mine.at = now
    return write(place, octetsAmongMany(mine.client))
  }
  const ask = (now: number) => socket.send(question(now), port, HOST)
  /** True: another may be asked in its place. */
  const close = (place: number, now: number) => {
    under--
    ;(asked[place] as (typeof asked)[number]).at = 0
    if (now >= ends && under === 0) finish()
    return now < ends && 'outstanding' in pace
  }
  const hear = (reply: Buffer) => {
    const place = reply.readUInt16BE(0)
    const mine = asked[place]
    if (!mine || mine.at === 0) return undefined
    const now = performance.now()
    const found = (reply.readUInt8(3) & 15) === 0 && reply.readUInt16BE(6) > 0
    answers++
    if (found) listed++
    if (found !== isOffender(mine.client)) wrong++
    latencies.push(now - mine.at)
    return close(place, now) ? question(now) : undefined
  }
  const sweep = setInterval(() => {
    const now = performance.now()
    for (const [place, mine] of asked.entries()) {
      if (mine.at === 0 || now - mine.at < LOST_MS) continue
      lost++
      if (close(place, now)) ask(now)
    }
    if (now >= ends && under === 0) finish()
  }, LOST_MS)
  if ('outstanding' in pace) for (let n = 0; n < pace.outstanding; n++) ask(start)
  const steady = setInterval(() => {
    const now = Math.min(performance.now(), ends)
    if ('perSecond' in pace) while (next < ((now - start) / 1000) * pace.perSecond) ask(performance.now())
  }, 1)
  await finished
  clearInterval(sweep)
  clearInterval(steady)
  const ms = performance.now() - start
  await datagrams.close()
  return { ...NOTHING, answers, listed, wrong, lost, ms, p99Ms: quantile(latencies, 0.99) }
}

const STRIDE = 7919

/** RFC 1035, section 4: one question for an A record, recursion desired as stub resolvers ask; bytes of its own each time. */
function questionWriter(zone: string): (id: number, octets: readonly number[]) => Buffer {
  const labels = zone.split('.').map((label) => String.fromCharCode(label.length) + label)
  const tail = `${labels.join('')}\0\0\x01\0\x01`
  return (id, octets) => {
    const name = octets.toReversed().map(labelOf).join('')
    const question = Buffer.from(`\0\0\x01\0\0\x01\0\0\0\0\0\0${name}${tail}`, 'latin1')
    question.writeUInt16BE(id, 0)
    return question
  }
}

const LABELS = Array.from({ length: 256 }, (_, value) => String.fromCharCode(String(value).length) + value)
const labelOf = (octet: number) => LABELS[octet] ?? ''

/** Dialogues being opened at the same time, each of which waits 100 ms for its greeting. */
const TALKING = 256

async function talkOn(job: TalkJob): Promise<Outcome> {
  const latencies: number[] = []
  const start = performance.now()
  const cpu = process.cpuUsage()
  const ends = start + job.forMs
  const converse = async () => {
    for (let now = start; now < ends;) {
      await talk(job)
      const then = now
      now = performance.now()
      latencies.push(now - then)
    }
  }
  await Promise.all(Array.from({ length: job.connections }, converse))
  const ms = performance.now() - start
  const busy = busyShare(cpu, ms)
  return { ...NOTHING, answers: latencies.length, ms, p99Ms: quantile(latencies, 0.99), busy }
}

async function openTalks(job: OpenTalksJob): Promise<Outcome> {
  const start = performance.now()
  const open = async () => {
    while (begin(job.upTo)) keep(await refused(job))
  }
  await Promise.all(Array.from({ length: TALKING }, open))
  return { ...NOTHING, held: kept(), ms: performance.now() - start }
}

function busyShare(since: NodeJS.CpuUsage, ms: number): number {
  const { user, system } = process.cpuUsage(since)
  return (user + system) / 1000 / ms
}

function quantile(values: number[], share: number): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length * share)] ?? 0
}
