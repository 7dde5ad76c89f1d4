import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { show } from '../../src/core/complaints.ts'
import { duration, type Problem, readDocument, spellProblem } from '../../src/core/document.ts'
import { didYouMean } from '../../src/core/likely.ts'
import { FILE_BYTES_MAX } from '../../src/core/source.ts'

const schema = z.strictObject({
  name: z.string(),
  wait: duration().prefault('1m'),
  parts: z.array(z.strictObject({ size: z.number().min(1).max(9), mode: z.enum(['observe', 'enforce']) })).default([]),
  loud: z.boolean().optional(),
  either: z.union([z.string(), z.array(z.string())]).optional(),
})

const read = (source: string) => readDocument('f.yaml', source, schema)
const problemsOf = (source: string): readonly Problem[] => {
  const reading = read(source)
  return reading.ok ? [] : reading.problems
}

describe('a sound document', () => {
  test('is read, and each part knows its line', () => {
    const reading = read('name: a\n\nparts:\n  # one\n  - size: 3\n    mode: observe\n  - { size: 4, mode: enforce }\n')
    expect(reading).toMatchObject({ ok: true, value: { name: 'a', wait: 60_000, parts: [{ size: 3 }, { size: 4 }] } })
    if (!reading.ok) return
    expect(reading.lineOf(['parts', 0])).toBe(5)
    expect(reading.lineOf(['parts', 1, 'mode'])).toBe(7)
    expect(reading.lineOf(['parts', 9, 'mode'])).toBe(5)
    expect(reading.lineOf([])).toBe(1)
  })
})

describe('every mistake has its place', () => {
  test.each<[string, string, string[]]>([
    ['a key that does not exist', 'name: a\nwiat: 5m\n', ['f.yaml:2:1: wiat: no such key (did you mean wait?)']],
    [
      'a key in the wrong place',
      'name: a\nmode: observe\n',
      ['f.yaml:2:1: mode: no such key (there is a mode elsewhere: is this the right place?)'],
    ],
    [
      'the one key that is missing, under another name',
      'name: a\nparts:\n  - amount: 3\n    mode: observe\n',
      [
        'f.yaml:3:5: parts.0.size: missing; expected a number',
        'f.yaml:3:5: parts.0.amount: no such key (did you mean size?)',
      ],
    ],
    [
      'a key too many, whose value would not do for the one that is missing',
      'name: a\nparts:\n  - name: x\n    mode: observe\n',
      [
        'f.yaml:3:5: parts.0.size: missing; expected a number',
        'f.yaml:3:5: parts.0.name: no such key (there is a name elsewhere: is this the right place?)',
      ],
    ],
    [
      'a number and a choice between quotes',
      'name: a\nloud: "yes"\nparts: [{size: "3", mode: observe}]\n',
      [
        'f.yaml:2:7: loud: expected true or false, got "yes" (did you mean true, without quotes?)',
        'f.yaml:3:16: parts.0.size: expected a number, got "3" (write it without quotes: 3)',
      ],
    ],
    [
      'a span in words',
      'name: a\nwait: 7 days\n',
      ['f.yaml:2:7: wait: expected a time span like 15m, 24h or 7d, got "7 days" (did you mean 7d?)'],
    ],
    [
      'a value beside a key that has keys below it',
      'name: a\nparts: x\n  size: 1\n',
      [
        'f.yaml:2:8: a value stands beside the key, and keys stand below it: only one can be (delete this value, or the keys below it)',
      ],
    ],
    ['a wrong type', 'name: [1]\n', ['f.yaml:1:7: name: expected text, got [1]']],
    ['something missing', 'wait: 1m\n', ['f.yaml:1:1: name: missing; expected text']],
    ['nothing at all', '', ['f.yaml:1:1: name: missing; expected text']],
    [
      'too much and too little',
      'name: a\nparts:\n  - {size: 10, mode: observe}\n  - {size: 0, mode: observe}\n',
      [
        'f.yaml:3:12: parts.0.size: expected a number of at most 9, got 10',
        'f.yaml:4:12: parts.1.size: expected a number of at least 1, got 0',
      ],
    ],
    [
      'a word that is nearly right',
      'name: a\nparts:\n  - size: 1\n    mode: obsrve\n',
      ['f.yaml:4:11: parts.0.mode: expected observe or enforce, got "obsrve" (did you mean observe?)'],
    ],
    [
      'a span without a unit',
      'name: a\nwait: 90\n',
      ['f.yaml:2:7: wait: expected a time span like 15m, 24h or 7d, got 90 (did you mean 90s, 90m, 90h or 90d?)'],
    ],
    ['a key twice', 'name: a\nname: b\n', ['f.yaml:2:1: name stands here twice; the first is on line 1']],
    [
      'several at once, from the top',
      'nmae: a\nparts: 3\nwait: soon\n',
      [
        'f.yaml:1:1: nmae: no such key (did you mean name?)',
        'f.yaml:2:8: parts: expected a list, got 3',
        'f.yaml:3:7: wait: expected a time span like 15m, 24h or 7d, got "soon"',
      ],
    ],
    [
      'deep in one branch of a choice',
      'name: a\neither:\n  - x\n  - 4\n',
      ['f.yaml:4:5: either.1: expected text, got 4'],
    ],
    ['no map', '- 1\n', ['f.yaml:1:1: the document: expected keys with their values, got [1]']],
    [
      'an anchor inside what it names',
      '&a [*a]\n',
      ['f.yaml:1:4: the document: expected keys with their values, got a value that contains itself'],
    ],
    ['a map as a key', 'name: a\n? {b: c}\n: 1\n', ['f.yaml:1:1: { b: c }: no such key']],
  ])('%s', (_, source, expected) => expect(problemsOf(source).map(spellProblem)).toEqual(expected))

  test.each([
    '"open',
    'a: [1',
    '\tname: a',
    'a: b: c',
    '%YAML 9\n---\nname: a',
    'name: !!shell x',
    '--- 1\n--- 2',
    'name: *nobody',
  ])('what is no YAML: %j', (source) => {
    const problems = problemsOf(source)
    expect(problems.length).toBeGreaterThan(0)
    for (const { line, column } of problems) expect(Math.min(line, column)).toBeGreaterThanOrEqual(1)
  })
})

describe('hostile documents', () => {
  test('too long: refused unread', () => {
    expect(problemsOf('#'.repeat(FILE_BYTES_MAX + 1))[0]?.message).toBe(
      `the file has ${FILE_BYTES_MAX + 1} characters; at most ${FILE_BYTES_MAX} are read`,
    )
  })

  test('aliases that multiply: refused', () => {
    const levels = Array.from(
      { length: 9 },
      (_, i) => `a${i}: &a${i} [${Array.from({ length: 9 }, () => (i ? `*a${i - 1}` : 'x')).join()}]`,
    )
    expect(problemsOf(levels.join('\n'))[0]?.message).toMatch(/^the aliases stand for more than is read/)
  })

  test.each(['[', '{a: ', '- '])('nested without end: %j', (opening) => {
    expect(problemsOf(opening.repeat(10_000)).length).toBeGreaterThan(0)
  })

  test('a thousand mistakes: the first fifty', () => {
    expect(problemsOf(Array.from({ length: 1000 }, (_, i) => `k${i}: 1`).join('\n'))).toHaveLength(50)
  })

  test('any text: a value or problems, each within the file', () => {
    const yamlish = fc
      .array(
        fc.oneof(
          fc.string({ unit: 'binary', maxLength: 5 }),
          fc.constantFrom(
            'name: ',
            'parts:\n',
            '  - ',
            '\n',
            '[',
            ']',
            '{',
            '}',
            ': ',
            '&a ',
            '*a',
            '"',
            '? ',
            '|\n ',
            '# ',
            '!!map ',
            '<<: ',
          ),
        ),
        { maxLength: 30 },
      )
      .map((parts) => parts.join(''))
    fc.assert(
      fc.property(yamlish, (source) => {
        const lines = source.split(/\r\n|\n|\r/).length + 1
        for (const problem of problemsOf(source)) {
          expect(problem.line).toBeLessThanOrEqual(lines)
          expect(spellProblem(problem)).not.toContain('\n')
        }
      }),
      { numRuns: 1000 },
    )
  })
})

test('the nearest word is offered, a far one is not', () => {
  expect(didYouMean('wieght', ['weight', 'window'])).toBe('did you mean weight?')
  expect(didYouMean('Early-Talk', ['early-talk'])).toBe('did you mean early-talk?')
  expect(didYouMean('banana', ['weight', 'window'])).toBeUndefined()
  expect(didYouMean('x'.repeat(1000), ['weight'])).toBeUndefined()
})

test('what came is shown in one short line', () => {
  expect(show(undefined)).toBe('nothing')
  expect(show({ a: 'b\nc' })).toBe('{"a":"b\\nc"}')
  expect(show('x'.repeat(100))).toHaveLength(60)
})
