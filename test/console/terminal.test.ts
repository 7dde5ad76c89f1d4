import fc from 'fast-check'
import picocolors from 'picocolors'
import { describe, expect, test } from 'vitest'
import { tellProblems } from '../../src/console/problems.ts'
import { hanging, type Screen, screenOf, table, when, wrapped } from '../../src/console/terminal.ts'

const NOON = Date.parse('2026-11-24T12:00:00Z')

function screen(
  stream: { isTTY?: boolean; columns?: number },
  env: NodeJS.ProcessEnv = {},
): Screen & { readonly printed: string[] } {
  const printed: string[] = []
  const made = screenOf(
    { ...stream, write: (text: string) => printed.push(text) } as unknown as NodeJS.WriteStream,
    env,
  )
  return { ...made, printed }
}

describe('colour', () => {
  const painted = (stream: { isTTY?: boolean }, env: NodeJS.ProcessEnv) => screen(stream, env).colours.red('x') !== 'x'

  test('on a terminal, unless NO_COLOR or a dumb one', () => {
    expect(painted({ isTTY: true }, { TERM: 'xterm' })).toBe(true)
    expect(painted({ isTTY: true }, { TERM: 'dumb' })).toBe(false)
    expect(painted({ isTTY: true }, { NO_COLOR: '1' })).toBe(false)
  })

  test('in a pipe only when forced, whatever CI says', () => {
    expect(painted({}, { CI: 'true' })).toBe(false)
    expect(painted({}, { FORCE_COLOR: '1' })).toBe(true)
    expect(painted({}, { FORCE_COLOR: '1', NO_COLOR: '1' })).toBe(false)
  })
})

describe('a table', () => {
  const rows = [
    ['203.0.113.9', 'block', 'a reason that is far too long for the terminal it is shown on'],
    ['2001:db8:9::/64', 'observe', 'short'],
  ]

  const HEADS = ['client', 'verdict', 'because']
  const at = (columns: number) => table(screen({ isTTY: true, columns }, { NO_COLOR: '1' }), HEADS, rows)

  test('fits the terminal: columns aligned, sentences wrapped between words', () => {
    expect(at(60)).toEqual([
      'CLIENT           VERDICT  BECAUSE',
      '203.0.113.9      block    a reason that is far too long for',
      '                          the terminal it is shown on',
      '2001:db8:9::/64  observe  short',
    ])
    expect(at(100)).toHaveLength(3)
  })

  test('where the last column would get too little, its cells stand below their rows', () => {
    expect(at(50)).toEqual([
      'CLIENT           VERDICT',
      '    BECAUSE',
      '203.0.113.9      block',
      '    a reason that is far too long for the terminal',
      '    it is shown on',
      '2001:db8:9::/64  observe',
      '    short',
    ])
  })

  test('where the columns cannot stand beside each other each row is a block', () => {
    const address = '2001:db8:1234:5678:9abc:def0:1234:5678'
    const until = '2026-11-30 23:40 UTC (in 3 d)'
    const seen = screen({ isTTY: true, columns: 40 }, { NO_COLOR: '1' })
    expect(
      table(
        seen,
        ['client', 'until', 'because'],
        [
          [address, until, 'spoke too soon'],
          [address, '', 'x'],
        ],
      ),
    ).toEqual([
      address,
      '  UNTIL    2026-11-30 23:40 UTC (in 3 d)',
      '  BECAUSE  spoke too soon',
      '',
      address,
      '  BECAUSE  x',
    ])
  })

  test('on no terminal a line is wider than the screen, a word is lost, or an address is cut', () => {
    const word = fc.stringMatching(/^[a-z0-9:./-]{1,50}$/)
    const address = fc.oneof(fc.ipV4(), fc.ipV6())
    const row = fc.tuple(address, ...Array.from({ length: 4 }, () => fc.array(word, { maxLength: 12 })))
    fc.assert(
      fc.property(fc.array(row, { minLength: 1, maxLength: 6 }), fc.integer({ min: 1, max: 160 }), (made, columns) => {
        const seen = screen({ isTTY: true, columns }, { NO_COLOR: '1' })
        const heads = ['client', 'verdict', 'until', 'ticket', 'because']
        const cells = made.map(([client, ...others]) => [client, ...others.map((words) => words.join(' '))])
        const lines = table(seen, heads, cells)
        const told = lines.flatMap((line) => line.split(/ +/)).filter((each) => each !== '')
        const pieces = cells.flat().flatMap((cell) => cell.split(' ').flatMap((each) => inPieces(each, seen.width)))
        const left = [...told]
        for (const piece of pieces) {
          const found = left.indexOf(piece)
          expect(found, `${piece} in\n${lines.join('\n')}`).toBeGreaterThanOrEqual(0)
          left.splice(found, 1)
        }
        for (const line of lines) expect(line.length).toBeLessThanOrEqual(seen.width)
      }),
    )
  })

  test('in a pipe is tab-separated, uncut, and keeps one row on one line', () => {
    expect(table(screen({}), ['client', 'because'], [['203.0.113.9', 'two\nlines\tand a tab']])).toEqual([
      'client\tbecause',
      '203.0.113.9\ttwo lines and a tab',
    ])
  })
})

test('instants in words', () => {
  expect(when('2026-11-25T11:20:00.000Z', NOON)).toBe('2026-11-25 11:20 UTC (in 23 h)')
  expect(when('2026-11-24T11:20:00.000Z', NOON)).toBe('2026-11-24 11:20 UTC (40 min ago)')
})

/** Only a word that no line of the screen has room for is in several. */
function inPieces(word: string, width: number): string[] {
  return Array.from({ length: Math.ceil(word.length / width) }, (_, i) => word.slice(i * width, (i + 1) * width))
}

test('behind a head a sentence goes on behind its margin, and colours take no room', () => {
  const red = picocolors.createColors(true).red('OK')
  expect(hanging(`${red}  `, 'one two three', 12, 4)).toEqual([`${red}  one two`, '    three'])
  expect(hanging('a long head  ', 'one two three', 20, 4)).toEqual(['a long head  one two', '    three'])
  expect(hanging('in a pipe  ', 'is one line', Infinity, 4)).toEqual(['in a pipe  is one line'])
})

test('sentences are laid out for the width, behind a margin; a word that is longer stands alone', () => {
  const lines = wrapped('one two three averyveryverylongword four', 12, 2)
  expect(lines).toEqual(['  one two', '  three', '  averyveryverylongword', '  four'])
  expect(wrapped('', 12, 2)).toEqual(['  '])
})

test('a problem is told within the width: what is wrong wraps, and a hint that does not fit beside its caret stands below', () => {
  const lines: string[] = []
  const narrow = {
    ...screenOf({} as NodeJS.WriteStream, {}),
    person: true,
    width: 60,
    print: (line: string) => void lines.push(line),
  }
  const excerpt = { text: 'domians: [example.org]', column: 1, width: 7 }
  const message = 'domians: there is no such key at this place of the rules file'
  const hint = 'did you mean domains, which are those that you protect?'
  tellProblems([{ file: 'rules.yaml', line: 10, column: 1, code: 'D010', message, hint, excerpt }], narrow)
  expect(lines).toEqual([
    'rules.yaml:10:1: domians: there is no such key at this',
    '    place of the rules file [D010]',
    ' 10 | domians: [example.org]',
    '    | ^^^^^^^',
    '  = did you mean domains, which are those that you protect?',
    '1 problem; what each code means is in docs/problems.md',
  ])
})
