import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Client, parseClient } from '../../src/core/client.ts'
import {
  clientOf,
  DETAIL_MAX,
  type Entry,
  type Event,
  fromLine,
  type Kind,
  KIND_NAMES,
  KINDS,
  printable,
  ROLES,
  TIMES_MAX,
  STAGES,
  toLine,
} from '../../src/core/evidence.ts'

const text = fc.string({ unit: 'binary', maxLength: 80 })
const at = fc.nat(Number.MAX_SAFE_INTEGER)
const optional = <Value>(name: string, value: fc.Arbitrary<Value>) =>
  fc.oneof(
    fc.constant({}),
    value.map((each) => ({ [name]: each })),
  )

const evidence = fc
  .tuple(
    fc.record({
      type: fc.constant('evidence' as const),
      at,
      client: fc.oneof(fc.ipV4(), fc.ipV6()).map((each) => (parseClient(each) as Client).ip),
      role: fc.constantFrom(...ROLES),
      kind: fc.constantFrom(...KIND_NAMES),
    }),
    optional('stage', fc.constantFrom(...STAGES)),
    optional('where', text),
    optional('session', text),
    optional('detail', text),
    optional('headers', text),
    optional('times', fc.integer({ min: 1, max: TIMES_MAX })),
  )
  .map(([must, ...may]): Event => Object.assign({}, must, ...may))
const probe = fc.record({
  type: fc.constant('probe' as const),
  at,
  mx: text,
  outcome: fc.constantFrom('up', 'later', 'down', 'unsure'),
})
const word = fc
  .tuple(
    fc.record({
      type: fc.constant('word' as const),
      at,
      word: fc.constantFrom('allow', 'block', 'release'),
      target: text,
      because: text,
      author: text,
    }),
    optional('until', at),
  )
  .map(([must, may]): Event => Object.assign({}, must, may))
const entry = fc.record({ seq: fc.integer({ min: 1 }), event: fc.oneof(evidence, probe as fc.Arbitrary<Event>, word) })

describe('a journal line', () => {
  test('is one line, and reads back as the entry it was made of', () => {
    fc.assert(
      fc.property(entry, (each) => {
        const line = toLine(each)
        expect(line.indexOf('\n')).toBe(line.length - 1)
        expect(fromLine(line)).toEqual(each)
      }),
    )
  })

  test('of before there were stages is read, and one with a stage that we do not know yet', () => {
    const event = { type: 'evidence', at: 1, client: '192.0.2.1', role: 'backup', kind: 'contact' }
    expect(fromLine(JSON.stringify({ seq: 1, ...event }))).toEqual({ seq: 1, event })
    expect(fromLine(JSON.stringify({ seq: 1, ...event, stage: 'later' }))).toEqual({ seq: 1, event })
  })

  test('torn anywhere, it is no entry', () => {
    fc.assert(
      fc.property(entry, fc.nat(), (each, cut) => {
        const line = toLine(each).trimEnd()
        expect(fromLine(line.slice(0, cut % line.length))).toBeUndefined()
      }),
    )
  })

  test('random text and random JSON: an entry that writes and reads back, or none', () => {
    const nearly = fc
      .tuple(
        entry,
        fc.constantFrom('seq', 'type', 'at', 'client', 'role', 'kind', 'word', 'target', 'outcome'),
        fc.jsonValue(),
      )
      .map(([{ seq, event }, key, value]) => JSON.stringify({ seq, ...event, [key]: value }))
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.json(), nearly), (line) => {
        const read = fromLine(line)
        if (read) expect(fromLine(toLine(read))).toEqual(read)
      }),
      { numRuns: 1000 },
    )
  })

  test('fields of a later version are dropped, evidence about no address is refused', () => {
    const known: Entry = {
      seq: 7,
      event: { type: 'evidence', at: 1, client: '192.0.2.1', role: 'backup', kind: 'contact' },
    }
    expect(fromLine(JSON.stringify({ seq: 7, ...known.event, asn: 64496 }))).toEqual(known)
    expect(fromLine(JSON.stringify({ seq: 7, ...known.event, client: 'mail.example.org' }))).toBeUndefined()
    expect(fromLine(JSON.stringify({ ...known.event }))).toBeUndefined()
    expect(fromLine(JSON.stringify({ seq: 7, ...known.event, kind: 'smelled-odd' }))).toBeUndefined()
  })
})

test('what a client said becomes printable ASCII, cut and escaped', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (said) => {
      expect(printable(said)).toMatch(/^[\x20-\x7e]*$/)
    }),
  )
  expect(printable('EHLO a\r\n\x1b[2J')).toBe('EHLO a\\x0d\\x0a\\x1b[2J')
  expect(printable('x'.repeat(DETAIL_MAX + 1))).toBe(`${'x'.repeat(DETAIL_MAX)}...`)
})

test('evidence about something that is no address is a bug of ours', () => {
  expect(() => clientOf({ type: 'evidence', at: 0, client: 'nobody', role: 'backup', kind: 'contact' })).toThrow(
    'no address',
  )
})

describe('the catalogue of kinds', () => {
  test.each(KIND_NAMES.map((kind): [Kind] => [kind]))(
    '%s can be seen somewhere, and says why it counts and who says so',
    (kind) => {
      const { roles, what, why, source } = KINDS[kind]
      expect(roles.length).toBeGreaterThan(0)
      for (const sentence of [what, why, source]) expect(sentence.length).toBeGreaterThan(5)
    },
  )

  test('nothing that our own answer at the real MX brings about can be seen at a decoy, or the other way round', () => {
    for (const kind of KIND_NAMES) {
      const roles: readonly string[] = KINDS[kind].roles
      expect(roles.includes('real') && roles.length > 1, kind).toBe(false)
    }
  })
})
