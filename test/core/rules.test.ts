import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import { type Client, parseClient } from '../../src/core/client.ts'
import { spellProblem } from '../../src/core/document.ts'
import { readRules, type Rules } from '../../src/core/rules.ts'

const SOUND = `mode: observe
domains: [Example.ORG, .below.test, root.test.]
traps: [Honey@Example.org]
thresholds: { observe: 1, defer: 2, block: 3 }
stands: { observe: 1h, defer: 2h, block: 3h }
rules:
  - name: first
    counts: backup.recipient
    weight: 1
    half-life: 1d
    window: 31d
    because: one
  - name: second
    counts: [backup.auth, backup.message]
    when: backup.recipient >= 1
    each: hour
    unless-seen: 2d
    weight: 0.5
    half-life: 1h
    window: 7d
    cap: 4
    because: two
allow:
  - client: 192.0.2.0/24
    because: our own
  - client: 192.0.2.9
    because: this one for a while
    until: 2026-02-01
`

const rulesOf = (source: string): Rules => {
  const read = readRules('rules.yaml', source)
  if (!read.ok) throw new Error(read.problems.map(spellProblem).join('\n'))
  return read.rules
}

describe('a sound file', () => {
  const rules = rulesOf(SOUND)

  test('each rule is compiled, with its defaults and its line', () => {
    expect(rules.list).toEqual([
      {
        name: 'first',
        kind: 'violation',
        mode: 'enforce',
        counts: ['backup.recipient'],
        each: 'sighting',
        when: undefined,
        unlessSeenMs: undefined,
        unlessWalkedMs: undefined,
        weight: 1,
        halfLifeMs: 86_400_000,
        windowMs: 31 * 86_400_000,
        cap: 1000,
        because: 'one',
        line: 7,
      },
      {
        name: 'second',
        kind: 'violation',
        mode: 'enforce',
        counts: ['backup.auth', 'backup.message'],
        each: 'hour',
        when: { of: 'client', fact: 'backup.recipient', is: '>=', n: 1, withinMs: undefined },
        unlessSeenMs: 2 * 86_400_000,
        unlessWalkedMs: undefined,
        weight: 0.5,
        halfLifeMs: 3_600_000,
        windowMs: 7 * 86_400_000,
        cap: 4,
        because: 'two',
        line: 13,
      },
    ])
    expect(rules).toMatchObject({
      mode: 'observe',
      thresholds: { block: 3 },
      standsMs: { observe: 3_600_000, block: 10_800_000 },
      credit: {
        walk: 10,
        network: 3,
        halfLifeMs: 14 * 86_400_000,
        cap: 30,
        networkCap: 9,
        good: 5,
        withinMs: 3_600_000,
      },
    })
  })

  test.each([
    ['example.org', true],
    ['EXAMPLE.org.', true],
    ['mail.example.org', false],
    ['notexample.org', false],
    ['a.below.test', true],
    ['a.b.below.test', true],
    ['below.test', false],
    ['notbelow.test', false],
    ['root.test', true],
    ['', false],
  ])('protects %j: %s', (domain, expected) => expect(rules.protects(domain)).toBe(expected))

  test('a trap is known in any case, its neighbours are not', () => {
    expect(rules.isTrap('HONEY@example.ORG')).toBe(true)
    expect(rules.isTrap('hone@example.org')).toBe(false)
  })

  test('the longest allow-list entry is found, with its reason, end and line', () => {
    expect(rules.allow.find(parseClient('192.0.2.1') as Client)).toMatchObject({
      because: 'our own',
      until: undefined,
      line: 24,
    })
    expect(rules.allow.find(parseClient('192.0.2.9') as Client)).toMatchObject({
      until: Date.UTC(2026, 1, 1),
      line: 26,
    })
    expect(rules.allow.find(parseClient('192.0.3.1') as Client)).toBeUndefined()
  })
})

test('a rule of kind order says so, and the credit that excuses it has numbers of its own', () => {
  const rules = rulesOf(
    `${SOUND.replace('name: first', 'name: first\n    kind: order')}credit: { walk: 2, half-life: 1d, good: 2 }\n`,
  )
  expect(rules.list.map(({ kind }) => kind)).toEqual(['order', 'violation'])
  expect(rules.credit).toMatchObject({ walk: 2, network: 3, halfLifeMs: 86_400_000, good: 2 })
})

test('a verdict, or a rule, may have a mode of its own', () => {
  const rules = rulesOf(`${SOUND.replace('name: first', 'name: first\n    mode: observe')}modes: { block: enforce }\n`)
  expect(rules).toMatchObject({ mode: 'observe', modes: { observe: 'observe', defer: 'observe', block: 'enforce' } })
  expect(rules.list.map(({ mode }) => mode)).toEqual(['observe', 'enforce'])
})

test('a rule says how long a visit to the real MX, and how long one to the primary, excuses', () => {
  const rules = rulesOf(SOUND.replace('name: first', 'name: first\n    unless-walked: 6h'))
  expect(rules.list.map(({ unlessSeenMs, unlessWalkedMs }) => [unlessSeenMs, unlessWalkedMs])).toEqual([
    [undefined, 6 * 3_600_000],
    [2 * 86_400_000, undefined],
  ])
})

describe('mistakes are told where they stand', () => {
  const changed = (from: string, to: string): string => {
    expect(SOUND).toContain(from)
    return SOUND.replace(from, to)
  }
  test.each<[string, string, string, string]>([
    [
      'a fact that does not exist',
      'backup.auth, ',
      'backup.auht, ',
      'rules.yaml:14:14: rules.1.counts.0: no such fact: "backup.auht" (did you mean backup.auth?)',
    ],
    [
      'a fact of no kind we know',
      'counts: backup.recipient',
      'counts: colour',
      'rules.yaml:8:13: rules.0.counts: no such fact: "colour" (facts are named like backup.early-talk, see docs/facts.md)',
    ],
    [
      'a kind that cannot be seen there',
      'counts: backup.recipient',
      'counts: real.recipient',
      'rules.yaml:8:13: rules.0.counts: no such fact: "real.recipient" (facts are named like backup.early-talk, see docs/facts.md)',
    ],
    [
      'credit that nobody could reach',
      'allow:\n',
      'credit: { good: 50 }\nallow:\n',
      'rules.yaml:23:17: credit.good: nobody could reach 50: the walks of a client and of its network come to at most 39',
    ],
    [
      'thresholds out of order',
      'defer: 2',
      'defer: 9',
      'rules.yaml:4:34: thresholds.defer: expected observe <= defer <= block, got 1, 9, 3',
    ],
    [
      'a name twice',
      'name: second',
      'name: first',
      'rules.yaml:13:11: rules.1.name: a rule named first stands above already',
    ],
    [
      'an allow-list entry twice',
      '192.0.2.9',
      '192.0.2.0/24',
      'rules.yaml:26:13: allow.1.client: 192.0.2.0/24 stands above already',
    ],
    [
      'host bits',
      '192.0.2.0/24',
      '192.0.2.1/24',
      'rules.yaml:24:13: allow.0.client: "192.0.2.1/24" has host bits set: did you mean 192.0.2.0/24?',
    ],
    ['no reason', '    because: one\n', '', 'rules.yaml:7:5: rules.0.because: missing; expected text'],
    [
      'a window longer than facts are kept',
      '31d',
      '32d',
      'rules.yaml:11:13: rules.0.window: expected a span above 0 and at most 31d, for which facts are kept',
    ],
    [
      'a half-life of nothing',
      'half-life: 1d',
      'half-life: 0d',
      'rules.yaml:10:16: rules.0.half-life: expected a span above 0',
    ],
    [
      'a day that does not exist',
      '2026-02-01',
      '2026-02-30',
      'rules.yaml:28:12: allow.1.until: expected a day like 2026-12-31, or an instant like 2026-12-31T12:00:00Z, got "2026-02-30"',
    ],
    [
      'no domain',
      '.below.test',
      '"*.below.test"',
      'rules.yaml:2:24: domains.1: expected a domain like example.org, or .example.org for all below it, got "*.below.test"',
    ],
    [
      'a key in the wrong words',
      'unless-seen:',
      'unless-sene:',
      'rules.yaml:17:5: rules.1.unless-sene: no such key (did you mean unless-seen?)',
    ],
    [
      'a mode that is none',
      'mode: observe',
      'mode: dry-run',
      'rules.yaml:1:7: mode: expected observe or enforce, got "dry-run"',
    ],
  ])('%s', (_, from, to, expected) => {
    const read = readRules('rules.yaml', changed(from, to))
    expect(read.ok ? [] : read.problems.map(spellProblem)).toEqual([expected])
  })

  test('any file is taken and says the same when it is written again, or has a problem with a place in it', () => {
    const words = fc.constantFrom(
      ...SOUND.split(/(?<=[\s,:[\]{}-])/),
      '[',
      '{',
      '\t',
      '*a ',
      '&a ',
      '---\n',
      'é',
      '\u0000',
      '"',
      '99d',
      '-1 ',
    )
    const edit = fc.tuple(fc.nat(SOUND.length), fc.nat(12), fc.array(words, { maxLength: 3 }))
    fc.assert(
      fc.property(fc.array(edit, { maxLength: 3 }), (edits) => {
        const source = edits.reduce(
          (text, [at, gone, more]) => text.slice(0, at) + more.join('') + text.slice(at + gone),
          SOUND,
        )
        const read = readRules('rules.yaml', source)
        if (read.ok) {
          const again = rulesOf(stringify(parse(source)))
          const plain = ({ list, thresholds, standsMs, credit, domains, mode }: Rules) => ({
            thresholds,
            standsMs,
            credit,
            domains,
            mode,
            list: list.map((rule) => ({ ...rule, line: 0 })),
          })
          expect(plain(again)).toEqual(plain(read.rules))
          return
        }
        const lines = source.split('\n')
        expect(read.problems.length).toBeGreaterThan(0)
        for (const { line, column, code, message } of read.problems) {
          expect([message, lines[line - 1] !== undefined, code !== undefined]).toEqual([message, true, true])
          expect(column).toBeGreaterThanOrEqual(1)
          expect(column).toBeLessThanOrEqual((lines[line - 1] as string).length + 1)
        }
      }),
      { numRuns: 500 },
    )
  })

  test('any file: rules or problems, never a throw', () => {
    const lines = SOUND.split('\n')
    const mangled = fc
      .array(fc.tuple(fc.nat(lines.length - 1), fc.oneof(fc.constant(''), fc.string(), fc.constantFrom(...lines))), {
        maxLength: 5,
      })
      .map((changes) => changes.reduce((all, [at, line]) => all.with(at, line), lines).join('\n'))
    fc.assert(
      fc.property(mangled, (source) => {
        const read = readRules('rules.yaml', source)
        if (!read.ok) expect(read.problems.length).toBeGreaterThan(0)
      }),
      { numRuns: 300 },
    )
  })
})

test('the rules we ship are sound', () => {
  const file = new URL('../../rules.yaml', import.meta.url)
  expect(rulesOf(readFileSync(file, 'utf8')).list.length).toBeGreaterThan(3)
})
