import { type Answer, decode, encode, type OptAnswer, type Question as Asked } from 'dns-packet'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Dnsbl } from '../../src/answer/dnsbl.ts'
import { type Edns, placeIn, readEdns, readQuestion, wireName } from '../../src/answer/question.ts'
import { type Client, parseClient } from '../../src/core/client.ts'
import { type Prefix, parsePrefix, Prefixes } from '../../src/core/prefixes.ts'
import type { Decide } from '../../src/reputation/decision.ts'
import { ANSWERS } from '../rules.ts'

/*
 * What is read by hand here is read by dns-packet, too, which others wrote: both must find the same.
 */

const ZONE = 'bl.decoymx.test'

const digit = fc.integer({ min: 0, max: 15 }).chain((value) => {
  const small = value.toString(16)
  return fc.constantFrom(small, small.toUpperCase())
})

/** Labels that are nearly those of a client. */
const label = fc.oneof(
  { weight: 6, arbitrary: fc.nat({ max: 255 }).map(String) },
  { weight: 6, arbitrary: digit },
  { weight: 1, arbitrary: fc.constantFrom('00', '01', '256', '1000', '-1', '1x', 'g', 'x'.repeat(63)) },
)
const before = fc.oneof(
  fc.ipV4().map((ip) => ip.split('.')),
  fc.array(digit, { minLength: 31, maxLength: 33 }),
  fc.array(label, { maxLength: 6 }),
)
const endings = fc.constantFrom(ZONE, ZONE, ZONE, 'decoymx.test', `x${ZONE}`, 'example.com', 'test')

/** Each letter as it likes (0x20). */
const names = fc
  .tuple(before, endings, fc.infiniteStream(fc.boolean()))
  .map(([labels, ending, upper]) =>
    [...labels, ending]
      .join('.')
      .replace(/[a-z]/gi, (letter) => (upper.next().value ? letter.toUpperCase() : letter.toLowerCase())),
  )

const types = fc.constantFrom('A', 'TXT', 'ANY', 'SOA', 'NS', 'AAAA', 'MX', 'AXFR') as fc.Arbitrary<Asked['type']>
/** A cookie, padding, what nobody has assigned; with and without data. */
const options = fc.array(
  fc.record({
    code: fc.constantFrom(10, 12, 4711),
    data: fc.uint8Array({ maxLength: 40 }).map((it) => Buffer.from(it)),
  }),
  { maxLength: 3 },
)
const opts = fc
  .record({
    udpPayloadSize: fc.nat({ max: 65_535 }),
    ednsVersion: fc.constantFrom(0, 0, 0, 1),
    flags: fc.nat(65_535),
    options,
  })
  .map((more) => ({ type: 'OPT', name: '.', extendedRcode: 0, flag_do: false, ...more }) as unknown as OptAnswer)
const others = fc.constantFrom<Answer>(
  { type: 'NULL', name: 'a.example', data: Buffer.from('any') },
  { type: 'TXT', name: '.', data: 'any' },
)
const additionals = fc
  .tuple(fc.option(opts, { nil: undefined }), fc.array(others, { maxLength: 2 }), fc.boolean())
  .map(([opt, rest, first]) => (opt ? (first ? [opt, ...rest] : [...rest, opt]) : rest))
const classes = fc.constantFrom('IN', 'IN', 'IN', 'CH') as fc.Arbitrary<Asked['class']>

const queries = fc
  .record({
    name: names,
    type: types,
    class: classes,
    additionals,
    flags: fc.nat({ max: 0x07ff }),
    trailing: fc.nat(9),
  })
  .map(({ name, type, class: of, additionals: more, flags, trailing }) => {
    const asked = encode({ type: 'query', id: 4711, flags, questions: [{ name, type, class: of }], additionals: more })
    return Buffer.concat([asked, Buffer.alloc(trailing, 0xff)])
  })

const spoiled = fc
  .tuple(queries, fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 3 }), fc.option(fc.nat()))
  .map(([bytes, changes, cut]) => {
    for (const [at, byte] of changes) bytes[at % bytes.length] = byte
    return cut === null ? bytes : bytes.subarray(0, 12 + (cut % (bytes.length - 11)))
  })

/**
 * What a record of these tells of its length, dns-packet follows, as we do. An A record it reads as four bytes, and names
 * in a record's data to their own end, whatever the record tells.
 */
const FOLLOWED = /^(OPT|TXT|NULL|UNKNOWN_\d+)$/

type Theirs = { name: string; type: string; class: string; opt: OptAnswer | undefined }

function theirs(bytes: Buffer): Theirs | undefined {
  try {
    const { questions, additionals: more } = decode(bytes)
    if (!more?.every(({ type }) => FOLLOWED.test(type))) return undefined
    const [question] = questions as [Asked]
    const opt = more.find((record) => record.type === 'OPT')
    return { name: question.name, type: question.type, class: question.class ?? 'IN', opt }
  } catch {
    return undefined
  }
}

/** The long way: the name as text, split again. */
function placeOf(name: string): 'apex' | 'above' | 'nobody' | Client | undefined {
  const [low, end] = [name.toLowerCase(), `.${ZONE}`]
  if (low === ZONE) return 'apex'
  if (!low.endsWith(end)) return undefined
  const labels = low.slice(0, -end.length).split('.')
  const octets = labels.every((each) => /^(0|[1-9]\d{0,2})$/.test(each) && Number(each) <= 255)
  const nibbles = labels.every((each) => /^[0-9a-f]$/.test(each))
  if (octets && labels.length === 4) return parseClient(labels.toReversed().join('.'))
  if (nibbles && labels.length === 32)
    return parseClient((labels.toReversed().join('').match(/.{4}/g) as string[]).join(':'))
  return (octets && labels.length < 4) || (nibbles && labels.length < 32) ? 'above' : 'nobody'
}

/** What dns-packet tells of an OPT record, in our words. */
function asEdns(opt: OptAnswer | undefined): Edns | undefined {
  return opt && { version: opt.ednsVersion, udpBytes: opt.udpPayloadSize, dnssecOk: (opt.flags & 0x8000) !== 0 }
}

test('of a whole query both read the same', () => {
  fc.assert(
    fc.property(queries, (bytes) => {
      const { name, opt } = theirs(bytes) as Theirs
      if (name.length > 253) return expect(readQuestion(bytes)).toBeUndefined()
      const question = readQuestion(bytes)
      if (!question) throw new Error('not read')
      expect(placeIn(wireName(ZONE), bytes, question)).toEqual(placeOf(name))
      expect(readEdns(bytes, question.end)).toEqual(asEdns(opt))
    }),
    { numRuns: 2000 },
  )
})

test('of a spoiled one, too, wherever both can read it; and nothing is read beyond its end', () => {
  fc.assert(
    fc.property(spoiled, (bytes) => {
      const question = readQuestion(bytes)
      if (!question) return
      expect(question.end).toBeLessThanOrEqual(bytes.length)
      const alone = Buffer.from(bytes.subarray(0, question.end))
      alone.writeUInt16BE(0, 10)
      const { name } = theirs(alone) as Theirs
      // What is no ASCII, or a dot in a label, comes to text as something else.
      const asText = Buffer.from(wireName(name)).equals(lowered(alone.subarray(12, question.nameEnd)))
      if (asText) expect(placeIn(wireName(ZONE), bytes, question)).toEqual(placeOf(name))
      const [edns, all] = [readEdns(bytes, question.end), theirs(bytes)]
      if (edns !== 'malformed' && all) expect(edns).toEqual(asEdns(all.opt))
    }),
    { numRuns: 2000 },
  )
})

function lowered(bytes: Buffer): Buffer {
  return Buffer.from(bytes.map((byte) => (byte >= 65 && byte <= 90 ? byte + 32 : byte)))
}

describe('EDNS', () => {
  const opt = (...data: number[]) => [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, data.length, ...data]
  const asked = encode({ type: 'query', questions: [{ name: ZONE, type: 'A' }] })
  const edns = (count: number, ...records: number[]) => {
    const bytes = Buffer.concat([asked, Buffer.from(records)])
    bytes.writeUInt16BE(count, 10)
    return readEdns(bytes, asked.length)
  }
  const plain = { version: 0, udpBytes: 1232, dnssecOk: false }

  test.each<[string, number, number[], Edns | undefined | 'malformed']>([
    ['none', 0, [], undefined],
    ['the record alone', 1, opt(), plain],
    ['a cookie', 1, opt(0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8), plain],
    ['an option with more data than there is', 1, opt(0, 10, 0, 8, 1), 'malformed'],
    ['half an option', 1, opt(0, 10, 0), 'malformed'],
    ['more data than there is', 1, opt().with(10, 1), 'malformed'],
    ['more records than there are', 2, opt(), 'malformed'],
    ['a torn record', 1, opt().slice(0, 9), 'malformed'],
    ['two', 2, [...opt(), ...opt()], 'malformed'],
    ['behind another with a compressed name', 2, [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, ...opt()], plain],
    ['a name that never ends', 1, [63, 1, 1], 'malformed'],
    ['a label of a kind that was never assigned', 1, [0x41, ...opt()], 'malformed'],
  ])('%s', (_, count, records, found) => {
    expect(edns(count, ...records)).toEqual(found)
  })
})

test('answers that wait are not changed by those that come after them', () => {
  const decide: Decide = (client) => ({
    client,
    verdict: 'block',
    effect: 'block',
    mode: 'enforce',
    by: 'rules',
    until: undefined,
    ticket: undefined,
    because: client.ip,
    doubt: undefined,
  })
  const dnsbl = new Dnsbl({
    zone: ZONE,
    decide,
    askers: Prefixes.of([[parsePrefix('127.0.0.0/8') as Prefix, true]]),
    answersPerSecond: 1000,
    ttlSeconds: 60,
    negativeTtlSeconds: 10,
    contact: 'postmaster.decoymx.test',
    observeCode: false,
    bursts: true,
    shared: false,
    text: () => ANSWERS.text,
    now: () => 1_700_000_000_000,
    tell: () => undefined,
  })
  const waiting = Array.from({ length: 2000 }, (_, n) => {
    const name = `${n % 250}.${Math.floor(n / 250)}.0.192.${ZONE}`
    return dnsbl.answer(
      encode({ type: 'query', id: n, questions: [{ name, type: 'TXT' }] }),
      '127.0.0.1',
      'udp',
    ) as Buffer
  })
  for (const [n, reply] of waiting.entries()) {
    const { id, answers = [] } = decode(reply)
    const [text] = answers as { data: Buffer[] }[]
    expect({ id, data: String(text?.data[0]) }).toEqual({
      id: n,
      data: `192.0.${Math.floor(n / 250)}.${n % 250}`,
    })
  }
})
