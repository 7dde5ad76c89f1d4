import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import {
  type Language,
  type LookupHappening,
  type LookupLimits,
  LookupService,
  READSOCKET,
  TCP_TABLE,
} from '../../src/answer/lookup.ts'
import type { Evidence } from '../../src/core/evidence.ts'
import type { Decide } from '../../src/reputation/decision.ts'
import { ANSWERS } from '../rules.ts'
import { decide, readText } from './ruled.ts'

const WHY = 'talked 100% first; to ask why, quote this code to the postmaster (ABCD-EFGH)'

const open: LookupService[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map((service) => service.close()))
})

async function start(language: Language, given: { decide?: Decide; limits?: Partial<LookupLimits> } = {}) {
  const told: LookupHappening[] = []
  const noted: Evidence[] = []
  const service = new LookupService(language, {
    decide,
    answers: () => ANSWERS,
    witness: async (event) => void noted.push(event as Evidence),
    now: () => 1_000_000,
    tell: (happening) => void told.push(happening),
    ...given,
  })
  open.push(service)
  const server = service.server().listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { told, noted, port: (server.address() as AddressInfo).port }
}

/** Says all of it, in these pieces, shuts its side, and reads what comes. */
async function say(port: number, ...pieces: (string | Buffer)[]): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
  const all = readText(socket)
  for (const piece of pieces) await new Promise((resolve) => socket.write(piece, resolve))
  socket.end()
  return await all
}

describe('tcp_table', () => {
  test.each([
    ['get 192.0.2.1', `200 REJECT 5.7.1 ${WHY.replace('%', '%25')}`],
    ['get 192.0.2.2', `200 DEFER_IF_PERMIT 4.7.1 ${WHY.replace('%', '%25')}`],
    ['get 192.0.2.3', '500 not found'],
    ['get 192.0.2.4', '500 not found'],
    ['get 192.0.2.5', '500 not found'],
    ['get 203.0.113.1', '500 not found'],
    ['get 2001:db8:0:1::7', `200 REJECT 5.7.1 ${WHY.replace('%', '%25')}`],
    ['get 2001%3adb8%3A0:1::7', `200 REJECT 5.7.1 ${WHY.replace('%', '%25')}`],
    ['get mail.example.net', '500 not found'],
    ['get ', '500 not found'],
    ['get 192.0.2.1%', '500 not found'],
    ['get 192.0.2.1%zz', '500 not found'],
    ['GET 192.0.2.1', '500 not found'],
    ['put 192.0.2.1 x', '500 not found'],
    ['', '500 not found'],
  ])('%j is answered %j', async (line, answer) => {
    const { port } = await start(TCP_TABLE)
    expect(await say(port, `${line}\n`)).toBe(`${answer}\n`)
  })

  test('one connection asks again and again, and a client is told of once', async () => {
    const { port, noted, told } = await start(TCP_TABLE)
    const answers = await say(port, 'get 192.0.2.1\nget 203.0', '.113.1\nget 192.0.2.1\n')
    expect(answers.split('\n').map((line) => line.slice(0, 3))).toEqual(['200', '500', '200', ''])
    expect(noted.map(({ client, role, kind }) => `${client} ${role} ${kind}`)).toEqual([
      '192.0.2.1 real refused',
      '203.0.113.1 real passed',
    ])
    expect(told.map(({ what }) => what)).toEqual(['answered', 'answered', 'answered'])
  })

  test('half a line at the end is no question', async () => {
    const { port, told } = await start(TCP_TABLE)
    expect(await say(port, 'get 192.0.2.1')).toBe('')
    expect(told).toMatchObject([{ what: 'closed', reason: 'cut-short' }])
  })
})

describe('readsocket', () => {
  test.each([
    ['192.0.2.1\n', `block ${WHY}`],
    ['192.0.2.1', `block ${WHY}`],
    ['192.0.2.1\r\n', `block ${WHY}`],
    ['192.0.2.2\n', `defer ${WHY}`],
    ['192.0.2.3\n', `observe ${WHY}`],
    ['192.0.2.4\n', 'pass'],
    ['192.0.2.5\n', 'pass'],
    ['203.0.113.1\n', 'pass'],
    ['2001:db8:0:1::7\n', `block ${WHY}`],
    ['no address\n', 'pass'],
    ['192.0.2.1\n192.0.2.1\n', `block ${WHY}`],
  ])('%j is answered %j, once', async (line, answer) => {
    const { port } = await start(READSOCKET)
    expect(await say(port, line)).toBe(`${answer}\n`)
  })

  test('the connection ends after the answer, also when the asker keeps its side open', async () => {
    const { port } = await start(READSOCKET)
    const socket = connect({ port, host: '127.0.0.1' })
    socket.write('192.0.2.1\n')
    expect(await readText(socket)).toBe(`block ${WHY}\n`)
  })

  test('who says nothing gets nothing', async () => {
    const { port, told } = await start(READSOCKET)
    expect(await say(port)).toBe('')
    expect(told).toEqual([])
  })
})

describe.each([TCP_TABLE, READSOCKET])('$name, whoever comes', (language) => {
  const ask = language === TCP_TABLE ? 'get 192.0.2.1\n' : '192.0.2.1\n'

  test('a line without an end is answered as unknown, and hung up on', async () => {
    const { port, told } = await start(language)
    const answer = await say(port, 'get '.padEnd(language.limits.lineBytes + 1, 'x'))
    expect(answer).toBe(`${language.reply(undefined, ANSWERS)}\n`)
    expect(told).toMatchObject([{ what: 'closed', reason: 'long-line' }])
  })

  test('who is silent for too long is hung up on', async () => {
    const { port, told } = await start(language, { limits: { idleMs: 20 } })
    const socket = connect({ port, host: '127.0.0.1' })
    socket.write('19')
    expect(await readText(socket)).toBe('')
    expect(told).toMatchObject([{ what: 'closed', reason: 'idle' }])
  })

  test('where there is no more room, whoever has asked nothing for longest is hung up on', async () => {
    const { port, told } = await start(language, { limits: { connections: 1 } })
    const first = connect({ port, host: '127.0.0.1' })
    await once(first, 'connect')
    const second = connect({ port, host: '127.0.0.1' })
    expect(await readText(first)).toBe('')
    expect(told).toMatchObject([{ what: 'closed', reason: 'full' }])
    second.destroy()
  })

  test('a bug of ours refuses nobody', async () => {
    const { port, told } = await start(language, {
      decide: () => {
        throw new Error('oh')
      },
    })
    expect(await say(port, ask)).toBe(`${language.reply(undefined, ANSWERS)}\n`)
    expect(told).toEqual([{ what: 'failed', error: 'Error: oh' }])
  })

  test('any bytes get lines of the language, one for each line at most, wherever they are cut; and the next is served', async () => {
    const { port } = await start(language)
    const line = fc.oneof(
      fc.constantFrom('get 192.0.2.1', '192.0.2.1', 'get 203.0.113.1', 'get %', '\0', 'get 192.0.2.1%00'),
      fc.string({ unit: 'binary', maxLength: 40 }),
    )
    const shape =
      language === TCP_TABLE
        ? /^(200 (REJECT|DEFER_IF_PERMIT) [45]\.7\.1 .+|500 not found)$/
        : /^(pass|(block|defer|observe) .+)$/
    await fc.assert(
      fc.asyncProperty(
        fc.array(line, { maxLength: 8 }),
        fc.array(fc.nat(400), { maxLength: 4 }),
        async (lines, cuts) => {
          const bytes = Buffer.from(lines.map((each) => `${each}\n`).join(''))
          const at = [0, ...cuts.filter((cut) => cut < bytes.length).toSorted((a, b) => a - b), bytes.length]
          const pieces = at.slice(1).map((end, i) => bytes.subarray(at[i], end))
          const answers = (await say(port, ...pieces)).split('\n')
          expect(answers.pop()).toBe('')
          const asked = bytes.toString('latin1').split('\n').length - 1
          expect(answers).toHaveLength(language === TCP_TABLE ? asked : Math.min(asked, 1))
          for (const answer of answers) expect(answer).toMatch(shape)
        },
      ),
      { numRuns: 60 },
    )
    expect(await say(port, ask)).toMatch(/^(200 REJECT|block )/)
  })
})
