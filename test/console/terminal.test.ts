import { describe, expect, test } from 'vitest'
import { type Screen, screenOf, span, table, when, wrapped } from '../../src/console/terminal.ts'

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

  test('fits the terminal: columns aligned, the last one cut', () => {
    expect(
      table(screen({ isTTY: true, columns: 60 }, { NO_COLOR: '1' }), ['client', 'verdict', 'because'], rows),
    ).toEqual([
      'CLIENT           VERDICT  BECAUSE',
      '203.0.113.9      block    a reason that is far too long for…',
      '2001:db8:9::/64  observe  short',
    ])
  })

  test('in a pipe is tab-separated, uncut, and keeps one row on one line', () => {
    expect(table(screen({}), ['client', 'because'], [['203.0.113.9', 'two\nlines\tand a tab']])).toEqual([
      'client\tbecause',
      '203.0.113.9\ttwo lines and a tab',
    ])
  })
})

test('spans and instants in words', () => {
  expect([0, 1500, 90_000, 7_200_000, 86_400_000, 10 * 86_400_000].map(span)).toEqual([
    '0 s',
    '2 s',
    '90 s',
    '2 h',
    '24 h',
    '10 d',
  ])
  expect(when('2026-11-25T11:20:00.000Z', NOON)).toBe('2026-11-25 11:20 UTC (in 23 h)')
  expect(when('2026-11-24T11:20:00.000Z', NOON)).toBe('2026-11-24 11:20 UTC (40 min ago)')
})

test('sentences are laid out for the width, behind a margin; a word that is longer stands alone', () => {
  const lines = wrapped('one two three averyveryverylongword four', 12, 2)
  expect(lines).toEqual(['  one two', '  three', '  averyveryverylongword', '  four'])
  expect(wrapped('', 12, 2)).toEqual(['  '])
})
