import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { spellProblem } from '../../src/core/document.ts'
import { type Outcome, readStory, runStory, STARTS_AT, type Story } from '../../src/core/story.ts'
import { shippedRules } from '../rules.ts'

const rules = shippedRules()

const written = (...steps: string[]): string =>
  ['story: a', 'because: b', 'steps:', ...steps.map((each) => `  - ${each}`), ''].join('\n')
const storyOf = (...steps: string[]): Story => {
  const read = readStory('s.yaml', written(...steps))
  if (!read.ok) throw new Error(read.problems.map(spellProblem).join('\n'))
  return read.story
}
const run = (...steps: string[]): Outcome[] => runStory(storyOf(...steps), rules)
const eventsOf = (...steps: string[]) =>
  storyOf(...steps, EXPECT).moments.flatMap((each) => ('event' in each ? [each.event] : []))

const BOT = '203.0.113.9'
const EXPECT = `{ at: 9d, expect: { client: ${BOT}, verdict: clean } }`
const TALKS = `{ at: 0s, client: ${BOT}, visits: backup, and: [early-talk, recipient] }`

describe('what a step makes happen', () => {
  test('a visit to a decoy is a contact, and what it does', () => {
    expect(eventsOf(TALKS)).toEqual(
      ['contact', 'early-talk', 'recipient'].map((kind) => ({
        type: 'evidence',
        at: STARTS_AT,
        client: BOT,
        role: 'backup',
        kind,
        session: '0-0',
      })),
    )
    expect(eventsOf(`{ at: 1m, client: ${BOT}, visits: primary }`)).toMatchObject([
      { at: STARTS_AT + 60_000, role: 'primary', kind: 'contact' },
    ])
  })

  test('a visit to the real MX passes, unless the story says otherwise', () => {
    expect(eventsOf(`{ at: 0s, client: ${BOT}, visits: real }`)).toMatchObject([{ role: 'real', kind: 'passed' }])
    expect(eventsOf(`{ at: 0s, client: ${BOT}, visits: real, and: deferred }`)).toMatchObject([
      { role: 'real', kind: 'deferred' },
    ])
  })

  test('several clients come one after the other, again and again', () => {
    const events = eventsOf('{ at: 1h, client: [192.0.2.1, 192.0.2.2], visits: primary, times: 5, every: 10m }')
    expect(events.map((each) => ('client' in each ? [each.client, (each.at - STARTS_AT) / 60_000] : []))).toEqual([
      ['192.0.2.1', 60],
      ['192.0.2.2', 70],
      ['192.0.2.1', 80],
      ['192.0.2.2', 90],
      ['192.0.2.1', 100],
    ])
    expect(eventsOf('{ at: 0s, client: [192.0.2.1, 192.0.2.2], visits: primary }')).toHaveLength(2)
  })

  test('a look at the real MX is a probe, and makes the story a watched one', () => {
    expect(eventsOf('{ at: 0s, real-mx: later, times: 2, every: 1m }')).toMatchObject([
      { type: 'probe', outcome: 'later', at: STARTS_AT },
      { type: 'probe', outcome: 'later', at: STARTS_AT + 60_000 },
    ])
    expect(storyOf('{ at: 0s, real-mx: up }', EXPECT).watch).toBe('witness')
    expect(storyOf(TALKS, EXPECT).watch).toBe('trusted')
  })

  test("the operator's word, with its end", () => {
    expect(
      eventsOf(
        `{ at: 1s, operator: { block: ${BOT}, for: 1h, because: seen } }`,
        `{ at: 2s, operator: { release: 2001:db8::1 } }`,
      ),
    ).toMatchObject([
      {
        type: 'word',
        word: 'block',
        target: `${BOT}/32`,
        at: STARTS_AT + 1000,
        until: STARTS_AT + 3_601_000,
        because: 'seen',
      },
      { type: 'word', word: 'release', target: '2001:db8::/64', until: undefined },
    ])
  })

  test('steps happen in order of time, and of the file where it is the same', () => {
    const outcomes = run(
      `{ at: 2s, expect: { client: ${BOT}, verdict: block } }`,
      `{ at: 1s, expect: { client: ${BOT}, verdict: clean } }`,
      `{ at: 1s, client: ${BOT}, visits: backup, and: [early-talk, recipient] }`,
      `{ at: 1s, expect: { client: ${BOT}, verdict: block } }`,
    )
    expect(outcomes.map(({ line, ok }) => [line, ok])).toEqual([
      [5, true],
      [7, true],
      [4, true],
    ])
  })
})

describe('what is expected', () => {
  test('every part must hold, for every client', () => {
    const expecting = (said: string) =>
      run(TALKS, `{ at: 1s, expect: { client: ${BOT}, ${said} } }`).map(({ ok }) => ok)
    expect(expecting('verdict: block, at-least: 100, at-most: 200, reasons: talks-first')).toEqual([true])
    expect(expecting('verdict: defer')).toEqual([false])
    expect(expecting('at-least: 1000')).toEqual([false])
    expect(expecting('at-most: 10')).toEqual([false])
    expect(expecting('reasons: [talks-first, trap]')).toEqual([false])
    expect(expecting('waived: backup-first')).toEqual([false])
    expect(
      run(TALKS, `{ at: 1s, expect: { client: [${BOT}, 192.0.2.1], verdict: block } }`).map(({ ok }) => ok),
    ).toEqual([true, false])
  })

  test('a failure says what came, and where the sum came from', () => {
    expect(
      run(TALKS, `{ at: 90m, expect: { client: ${BOT}, verdict: defer, at-most: 99, reasons: [trap, talks-frist] } }`),
    ).toEqual([
      {
        line: 5,
        ok: false,
        expected: `${BOT} after 90m: defer, a sum of at most 99, trap to count, talks-frist to count (no such rule; did you mean talks-first?)`,
        got: 'block, a sum of 120.15',
        counted: ['talks-first', 'strange-talk', 'backup-first'],
        excused: [],
        because: 'talks-first 109.32 (1 counted); strange-talk 4.89 (1 counted); backup-first 5.94 (1 counted)',
      },
    ])
  })

  test('and what the guard let go by', () => {
    const [outcome] = run(
      '{ at: 0s, real-mx: down }',
      `{ at: 0s, client: ${BOT}, visits: backup, and: [recipient, hang-up] }`,
      '{ at: 1m, real-mx: up }',
      `{ at: 2m, expect: { client: ${BOT}, verdict: block } }`,
    )
    expect(outcome).toMatchObject({
      ok: false,
      got: 'clean, a sum of 0',
      because: '3 at the backup did not count (outage)',
    })
  })
})

describe('mistakes are told where they stand', () => {
  test.each<[string, string[], string[]]>([
    [
      'a kind that is none',
      [`{ at: 0s, client: ${BOT}, visits: backup, and: early-tlak }`, EXPECT],
      ['s.yaml:4:57: steps.0.and: nothing that can be seen: "early-tlak" (did you mean early-talk?)'],
    ],
    [
      'a kind that cannot be seen there',
      [`{ at: 0s, client: ${BOT}, visits: real, and: [passed, recipient] }`, EXPECT],
      ['s.yaml:4:64: steps.0.and.1: recipient cannot be seen at the real MX; there: passed, deferred, refused'],
    ],
    [
      'no address',
      ['{ at: 0s, client: mail.example.org, visits: backup }', EXPECT],
      ['s.yaml:4:23: steps.0.client: expected one IP address, got "mail.example.org"'],
    ],
    [
      'a network for a client',
      ['{ at: 0s, client: [192.0.2.1, 192.0.2.0/24], visits: backup }', EXPECT],
      ['s.yaml:4:35: steps.0.client.1: expected one IP address, got "192.0.2.0/24"'],
    ],
    ['nobody visits', ['{ at: 0s, visits: backup }', EXPECT], ['s.yaml:4:5: steps.0: who visits? expected a client']],
    [
      'a client does nothing',
      [`{ at: 0s, client: ${BOT}, real-mx: up }`, EXPECT],
      ['s.yaml:4:23: steps.0.client: what does it do? expected visits beside the client'],
    ],
    [
      'two things in one step',
      [`{ at: 0s, client: ${BOT}, visits: backup, real-mx: up }`, EXPECT],
      ['s.yaml:4:5: steps.0: expected one of visits, real-mx, operator and expect in each step'],
    ],
    [
      'nothing in a step',
      ['{ at: 0s }', EXPECT],
      ['s.yaml:4:5: steps.0: expected one of visits, real-mx, operator and expect in each step'],
    ],
    [
      'times without every',
      ['{ at: 0s, real-mx: up, times: 3 }', EXPECT],
      ['s.yaml:4:35: steps.0.times: how long between? expected every beside it'],
    ],
    [
      'an expectation repeated',
      [`{ at: 0s, times: 3, every: 1h, expect: { client: ${BOT}, verdict: clean } }`],
      ['s.yaml:4:22: steps.0.times: only a visit or a look at the real MX is repeated'],
    ],
    [
      'an expectation of nothing',
      [`{ at: 0s, expect: { client: ${BOT} } }`],
      ['s.yaml:4:23: steps.0.expect: expected a verdict, at-least, at-most, reasons or waived beside the client'],
    ],
    [
      'two words of the operator',
      ['{ at: 0s, operator: { allow: 192.0.2.1, block: 192.0.2.2 } }', EXPECT],
      ['s.yaml:4:25: steps.0.operator: expected one of allow, block and release'],
    ],
    [
      'a release with an end',
      ['{ at: 0s, operator: { release: 192.0.2.1, for: 1h } }', EXPECT],
      ['s.yaml:4:52: steps.0.operator.for: a release has no end'],
    ],
    [
      'host bits',
      ['{ at: 0s, operator: { allow: 192.0.2.1/24 } }', EXPECT],
      ['s.yaml:4:34: steps.0.operator.allow: "192.0.2.1/24" has host bits set: did you mean 192.0.2.0/24?'],
    ],
    [
      'no time',
      [`{ client: ${BOT}, visits: backup }`, EXPECT],
      ['s.yaml:4:5: steps.0.at: missing; expected a time span like 15m, 24h or 7d'],
    ],
    [
      'a verdict that is none',
      [`{ at: 0s, expect: { client: ${BOT}, verdict: blocked } }`],
      [
        's.yaml:4:55: steps.0.expect.verdict: expected clean or allow or observe or defer or block, got "blocked" (did you mean block?)',
      ],
    ],
    [
      'nothing expected',
      [TALKS],
      ['s.yaml:4:3: steps: nothing is expected anywhere: a story wants at least one expect'],
    ],
    [
      'too much',
      [
        `{ at: 0s, client: ${BOT}, visits: backup, and: [recipient, auth, message], times: 10000, every: 1s }`,
        ...Array.from(
          { length: 3 },
          () => `{ at: 0s, client: ${BOT}, visits: backup, and: [recipient, auth], times: 10000, every: 1s }`,
        ),
        EXPECT,
      ],
      ['s.yaml:4:3: steps: these are 130001 events; at most 100000 are told'],
    ],
    [
      'several in one file',
      ['{ at: 0s }', '{ at: soon, real-mx: up }', '{ at: 0s, real-mx: sideways }'],
      [
        's.yaml:4:5: steps.0: expected one of visits, real-mx, operator and expect in each step',
        's.yaml:5:11: steps.1.at: expected a time span like 15m, 24h or 7d, got "soon"',
        's.yaml:6:24: steps.2.real-mx: expected up or partial or later or down or unsure, got "sideways"',
      ],
    ],
  ])('%s', (_, steps, expected) => {
    const read = readStory('s.yaml', written(...steps))
    expect(read.ok ? [] : read.problems.map(spellProblem)).toEqual(expected)
  })

  test('a look where nobody looks', () => {
    const read = readStory('s.yaml', `witness: none\n${written('{ at: 0s, real-mx: up }', EXPECT)}`)
    expect(read.ok ? [] : read.problems.map(({ message }) => message)).toEqual([
      'steps: a look at the real MX, where there is no witness: leave out witness: none, or the looks',
    ])
  })

  test('any file: a story that runs, or problems', () => {
    const lines = written(
      TALKS,
      '{ at: 1h, real-mx: up, times: 3, every: 1m }',
      `{ at: 2h, operator: { allow: ${BOT}, for: 1h } }`,
      EXPECT,
    ).split('\n')
    const mangled = fc
      .array(fc.tuple(fc.nat(lines.length - 1), fc.oneof(fc.constant(''), fc.string(), fc.constantFrom(...lines))), {
        maxLength: 4,
      })
      .map((changes) => changes.reduce((all, [at, line]) => all.with(at, line), lines).join('\n'))
    fc.assert(
      fc.property(mangled, (source) => {
        const read = readStory('s.yaml', source)
        if (read.ok) expect(runStory(read.story, rules).length).toBeGreaterThan(0)
        else expect(read.problems.length).toBeGreaterThan(0)
      }),
      { numRuns: 300 },
    )
  })
})
