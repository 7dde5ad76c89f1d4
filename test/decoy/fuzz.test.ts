/**
 * Thousands of sessions that nobody planned: any lines, any bytes, any cuts, any moment, plain and behind PROXY headers,
 * with and without TLS. Whatever they do: nothing is accepted, nothing is bounced, no secret is kept, and nothing is left.
 *
 * FUZZ_RUNS says how many sessions; a failure prints the seed to try again with (test/worker.ts).
 */
import type { Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { afterAll, describe, expect, inject, test } from 'vitest'
import { type Evidence, fromLine, toLine } from '../../src/core/evidence.ts'
import type { Via } from '../../src/decoy/happenings.ts'
import { secureContext } from '../certificate.ts'
import { BRISK, type House, openHouse, repliesIn, Visitor } from './visitors.ts'

const RUNS = Number(process.env['FUZZ_RUNS'] ?? 3000)
/** Sessions at the same time. */
const AT_ONCE = 100

const SECRET = 'Wx7kPq93Zt'
const base64 = (text: string) => Buffer.from(text).toString('base64')
const SECRETS = [
  SECRET,
  base64(SECRET),
  base64(`\0alice\0${SECRET}`),
  base64(`alice\0${SECRET}`),
  base64(`\0${SECRET}`),
]

const told = { sessions: 0, sends: 0, replies: 0, handshakes: 0, evidence: 0 }
afterAll(() => {
  process.stdout.write(
    `fuzz: ${told.sessions} sessions, ${told.sends} sends, ${told.replies} replies, ${told.handshakes} TLS handshakes, ${told.evidence} pieces of evidence\n`,
  )
})

/** What a client may do next. */
type Deed =
  | { readonly do: 'ask'; readonly line: string }
  | { readonly do: 'send'; readonly bytes: Buffer }
  | { readonly do: 'wait'; readonly turns: number }
  | { readonly do: 'starttls' }
  | { readonly do: 'log in'; readonly lines: readonly string[] }

type Script = {
  readonly header: string | Buffer
  readonly greeted: boolean
  readonly deeds: readonly Deed[]
  readonly end: 'half' | 'reset' | 'quit' | 'destroy'
}

const words = (...lists: string[]) => fc.constantFrom(...lists.flatMap((list) => list.split('|')))
const sane = words(
  'EHLO mail.sender.example|HELO mail.sender.example|MAIL FROM:<a@b.example>|MAIL FROM:<>|RCPT TO:<a@example.test>',
  'RCPT TO:<trap@example.test>|RCPT TO:<b@elsewhere.example>|DATA|RSET|.|NOOP|QUIT|STARTTLS|BDAT 3 LAST|Subject: x|',
)
const odd = words(
  'EHLO|EHLO localhost|helo 127.0.0.1|MAIL FROM:<a@b.example> SIZE=x|MAIL FROM: a|RCPT TO:<>|RCPT TO:<postmaster>|data ',
  'VRFY a|XCLIENT ADDR=192.0.2.1|WIZ x|HELP|EXPN x|STARTTLS x|GET / HTTP/1.1|CONNECT x:25 HTTP/1.1|SSH-2.0-Go|*1|stats',
  'what is this|DATA x|BDAT|*|=',
)
const line = fc.oneof(
  { weight: 5, arbitrary: sane },
  { weight: 3, arbitrary: odd },
  fc.string({ unit: 'binary-ascii' }),
)
const ending = fc.constantFrom('\r\n', '\r\n', '\r\n', '\n', '\r', '')
const blast = fc
  .array(fc.tuple(line, ending), { minLength: 1, maxLength: 8 })
  .map((lines) => Buffer.from(lines.flat().join(''), 'latin1'))
const raw = fc.oneof(
  fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
  fc.nat(20_000).map((length) => Buffer.alloc(length, 'x')),
  fc
    .constantFrom('1603010200010001fc0303', '0501', '04010019', '800b0000', '000000540fff534d42', '0300002f2ae0')
    .map((hex) => Buffer.from(hex, 'hex')),
)
const login = fc.array(
  fc.constantFrom(
    'AUTH LOGIN',
    'AUTH PLAIN',
    'AUTH',
    'AUTH CRAM-MD5',
    '*',
    base64('alice'),
    ...SECRETS,
    ...SECRETS.map((secret) => `AUTH PLAIN ${secret}`),
    ...SECRETS.map((secret) => `AUTH ${secret}`),
  ),
  { minLength: 1, maxLength: 4 },
)

const deed: fc.Arbitrary<Deed> = fc.oneof(
  { weight: 8, arbitrary: line.map((text): Deed => ({ do: 'ask', line: text.replace(/[\r\n]/g, '') })) },
  { weight: 3, arbitrary: blast.map((bytes): Deed => ({ do: 'send', bytes })) },
  { weight: 1, arbitrary: raw.map((bytes): Deed => ({ do: 'send', bytes })) },
  { weight: 2, arbitrary: fc.nat(3).map((turns): Deed => ({ do: 'wait', turns })) },
  { weight: 1, arbitrary: fc.constant<Deed>({ do: 'starttls' }) },
  { weight: 1, arbitrary: login.map((lines): Deed => ({ do: 'log in', lines: ['AUTH LOGIN', ...lines] })) },
)

const say = (text: string): Deed => ({ do: 'ask', line: text })
const [HELLO, FROM, TO] = ['EHLO mail.sender.example', 'MAIL FROM:<a@b.example>', 'RCPT TO:<a@example.test>']
/** How far a session gets before it does as it likes. */
const PLAIN: readonly Deed[][] = [[], [say(HELLO)], [say(HELLO), say(FROM), say(TO)]]
const SECURE: readonly Deed[][] = [
  ...PLAIN,
  [say(HELLO), { do: 'starttls' }],
  [say(HELLO), { do: 'starttls' }, say(HELLO)],
]

const script = (header: fc.Arbitrary<string | Buffer>, openings: readonly Deed[][]): fc.Arbitrary<Script> =>
  fc.record({
    header,
    greeted: fc.constantFrom(true, true, true, false),
    deeds: fc
      .tuple(fc.constantFrom(...openings), fc.array(deed, { maxLength: 14 }))
      .map(([opening, deeds]) => [...opening, ...deeds]),
    end: fc.constantFrom('half', 'reset', 'quit', 'destroy'),
  })

const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

/** One session, held to the promise as it goes. */
class Session {
  #visitor: Visitor
  #secure = false
  /** It goes on without waiting: then only the whole is looked at. */
  #inStep = true
  #inMessage = false
  /** The last reply asked for a part of a log-in: what follows is no command. */
  #sasl = false

  constructor(visitor: Visitor) {
    this.#visitor = visitor
  }

  async play({ header, greeted, deeds, end }: Script): Promise<void> {
    told.sessions++
    if (header.length > 0) this.#visitor.socket.write(header)
    if (greeted) this.#look(await this.#visitor.reply())
    else this.#inStep = false
    for (const each of deeds) {
      if (this.#visitor.socket.destroyed) break
      await this.#act(each)
    }
    const { socket } = this.#visitor
    if (end === 'quit') socket.write('QUIT\r\n')
    if (end === 'reset' && !this.#secure) socket.resetAndDestroy()
    else if (end === 'destroy') socket.destroy()
    else socket.end()
    await this.#visitor.ended
    this.#judgeAll()
  }

  async #act(each: Deed): Promise<void> {
    if (each.do === 'wait') for (let i = 0; i < each.turns; i++) await turn()
    else if (each.do === 'ask') await this.#ask(each.line)
    else if (each.do === 'starttls') await this.#startTls()
    else if (each.do === 'log in') for (const said of each.lines) await this.#ask(said)
    else {
      told.sends++
      this.#inStep = false
      for (let at = 0; at < each.bytes.length; at += 997) {
        this.#visitor.socket.write(each.bytes.subarray(at, at + 997))
        await turn()
      }
    }
  }

  /** Waits for the answer only while in step: then it is known which reply answers what. */
  async #ask(text: string): Promise<string | undefined> {
    told.sends++
    this.#visitor.socket.write(Buffer.from(`${text}\r\n`, 'latin1'))
    if (!this.#inStep) return undefined
    const verb = /^\s*(\S*)/.exec(text)?.[1]?.toUpperCase() ?? ''
    if (!this.#sasl && (verb === 'DATA' || verb === 'BDAT')) this.#inMessage = true
    const reply = await this.#visitor.reply()
    this.#look(reply)
    if (this.#inMessage && reply !== undefined) expect(reply).toMatch(/^(221|334|4\d\d)[- ]/)
    if (!this.#sasl && text === '.') this.#inMessage = false
    this.#sasl = reply?.startsWith('334') ?? false
    // Now TLS is expected of it: lines get no answer any more.
    if (reply?.startsWith('220')) this.#inStep = false
    return reply
  }

  async #startTls(): Promise<void> {
    if (this.#secure || !this.#inStep || this.#sasl) return
    const reply = await this.#ask('STARTTLS')
    if (!reply?.startsWith('220')) return
    const { socket } = this.#visitor
    this.#judgeAll()
    socket.removeAllListeners('data')
    const tls = connectTls({ socket, rejectUnauthorized: false })
    const inner = new Visitor(tls as Socket)
    const done = await Promise.race([
      new Promise<boolean>((resolve) => tls.once('secureConnect', () => resolve(true))),
      inner.ended.then(() => false),
    ])
    if (done) told.handshakes++
    this.#secure = this.#inStep = true
    this.#visitor = inner
  }

  #look(reply: string | undefined): void {
    if (reply !== undefined) expect(reply).toMatch(ALLOWED)
  }

  #judgeAll(): void {
    const replies = repliesIn(this.#visitor.heard)
    told.replies += replies.length
    for (const reply of replies) expect(reply).toMatch(ALLOWED)
    // A reset may cut the last reply, and nothing else.
    expect(this.#visitor.heard.startsWith(replies.join(''))).toBe(true)
    expect(this.#visitor.heard.slice(replies.join('').length)).toMatch(/^[^\n]*$/)
  }
}

/** Never 354, never 5xx, and of 2xx only what takes nothing. */
const ALLOWED = /^(220|221|250|334|40[0-3]|421|435|451|454)[- \r]/

function judgeEvidence(evidence: readonly Evidence[]): void {
  told.evidence += evidence.length
  for (const each of evidence) {
    const said = toLine({ seq: 1, event: each })
    expect(fromLine(said.trimEnd())).toEqual({ seq: 1, event: each })
    expect(each.detail ?? '').toMatch(/^[\x20-\x7e]*$/)
    for (const secret of SECRETS) if (said.includes(secret)) throw new Error(`a secret in ${said}`)
  }
}

const NO_HEADER = fc.constant('')
const HEADERS = fc.oneof(
  { weight: 6, arbitrary: fc.constant('PROXY TCP4 203.0.113.9 192.0.2.66 4711 25\r\n') },
  {
    weight: 3,
    arbitrary: fc.constant(
      Buffer.from('0d0a0d0a000d0a515549540a21110010cb007109c0000242' + '12670019' + '00000000', 'hex'),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom('PROXY UNKNOWN\r\n', 'PROXY TCP4 x\r\n', 'EHLO x\r\n', 'PROXY TCP4 203.0.113.9'),
  },
)

function collect(): number {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as () => void
  gc()
  return process.memoryUsage().heapUsed
}
/** None is left, ours or theirs; a client's own may take a moment to be gone. */
async function noSockets(): Promise<void> {
  const until = performance.now() + 20_000
  while (sockets() > 0 && performance.now() < until) await turn()
  expect(sockets()).toBe(0)
}
const sockets = () => process.getActiveResourcesInfo().filter((name) => /TCPSocket|TLSWrap/.test(name)).length

/** The sessions themselves would fill screens. */
function reporter({ failed, seed, errorInstance }: { failed: boolean; seed: number; errorInstance: unknown }): void {
  if (failed)
    throw new Error(`a session broke the promise (PROPERTY_SEED=${seed}): ${String(errorInstance).slice(0, 2000)}`)
}

async function fuzz(
  house: House,
  via: Via,
  headers: fc.Arbitrary<string | Buffer>,
  openings: readonly Deed[][],
  runs: number,
): Promise<void> {
  await noSockets()
  const batch = fc.array(script(headers, openings), { minLength: AT_ONCE, maxLength: AT_ONCE })
  const heaps: number[] = []
  await fc.assert(
    fc.asyncProperty(batch, async (scripts) => {
      await Promise.all(scripts.map((each) => new Session(house.call(via)).play(each)))
      await house.empty()
      judgeEvidence(house.evidence)
      expect(house.told('fault').map(({ error }) => error)).toEqual([])
      expect(house.told('closed').filter(({ outcome }) => outcome === 'cut')).toEqual([])
      house.evidence.length = 0
      house.happenings.length = 0
      heaps.push(collect())
    }),
    { numRuns: Math.max(2, Math.round(runs / AT_ONCE)), endOnFailure: true, reporter },
  )
  expect(house.decoy.counts()).toEqual({ connections: 0, waiting: 0, held: 0, dialogues: 0, hereMs: 0 })
  await noSockets()
  // Caches and code warm up in the first batches; what a session leaves behind would show as thousands of times itself.
  const [first, last] = [Math.max(...heaps.slice(0, Math.ceil(heaps.length / 3))), heaps.at(-1) as number]
  expect(last - first).toBeLessThan(HEAP_GROWTH_MAX)
}

/** Under a kilobyte for each session of a whole run. */
const HEAP_GROWTH_MAX = Math.max(4, RUNS / 1000) * 1024 * 1024

describe('any session', { timeout: 60_000 + RUNS * 100 }, () => {
  test('direct', async () => {
    await fuzz(await openHouse(), 'direct', NO_HEADER, PLAIN, RUNS * 0.4)
  })

  test('behind PROXY headers', async () => {
    await fuzz(await openHouse({ limits: { headerMs: 500 } }), 'proxy', HEADERS, PLAIN, RUNS * 0.2)
  })

  test('with replies that drip', async () => {
    await fuzz(await openHouse({ pace: { ...BRISK, byteMs: 1 } }), 'direct', NO_HEADER, PLAIN, RUNS * 0.05)
  })

  test.skipIf(inject('missing').includes('openssl')).each(['direct', 'proxy'] as const)(
    'with STARTTLS, %s',
    async (via) => {
      const house = await openHouse({
        offers: { auth: true, tls: secureContext(), keepBytes: 1024, keepAddresses: 'whole' },
        limits: { headerMs: 500 },
      })
      await fuzz(house, via, via === 'direct' ? NO_HEADER : HEADERS, SECURE, RUNS * 0.2)
    },
  )
})
