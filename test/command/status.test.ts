import picocolors from 'picocolors'
import { expect, test } from 'vitest'
import { frozen, watchStatus } from '../../src/command/status.ts'
import { folder } from '../folders.ts'

/** What is printed until so many screens have been, and the exit code. Nobody is asked: no appliance runs there. */
async function watched(person: boolean, screens: number, height = 24): Promise<{ printed: string[]; code: number }> {
  const ended = new AbortController()
  const printed: string[] = []
  const print = (line: string) => {
    printed.push(line)
    if (printed.filter((each) => each.includes('CRITICAL')).length === screens) ended.abort()
  }
  const screen = { colours: picocolors.createColors(false), person, width: 80, height, print }
  return { code: await watchStatus(folder(), { screen, everyMs: 1, ended: ended.signal }), printed }
}

test('a person sees one screen, written over itself, until it is ended; the exit code is that of the last look', async () => {
  const { printed, code } = await watched(true, 3)
  expect(code).toBe(2)
  const [first, ...looks] = printed
  expect(first).toBe('\x1b[?1049h\x1b[2J')
  expect(looks.pop()).toBe('\x1b[?1049l')
  expect(looks).toHaveLength(3)
  for (const look of looks) {
    expect(look.startsWith('\x1b[HCRITICAL  no decoymx is running')).toBe(true)
    expect(look.split('\n').every((line) => line.includes('\x1b[K'))).toBe(true)
    expect(look.endsWith('Ctrl-C ends\x1b[K\x1b[J')).toBe(true)
  }
})

test('on a terminal of few lines the headline stays, and what is not there is counted', async () => {
  const { printed } = await watched(true, 1, 3)
  const [, look = ''] = printed
  const lines = look.split('\n')
  expect(lines).toHaveLength(2)
  expect(lines[0]?.startsWith('\x1b[HCRITICAL')).toBe(true)
  expect(lines[1]).toMatch(/^… 1 more line; .* UTC, again every/)
})

test('a pipe gets one look after the other, without a control character', async () => {
  const { printed, code } = await watched(false, 2)
  expect(code).toBe(2)
  expect(printed.filter((line) => line.startsWith('CRITICAL  no decoymx is running'))).toHaveLength(2)
  expect(printed.join('')).not.toContain('\x1b')
})

test('what the order of visits does is one clause, whose subject is the label beside it', () => {
  const now = Date.UTC(2026, 10, 28, 14, 35)
  const until = new Date(now + 13 * 60_000).toISOString()
  expect(frozen({ why: 'grace', until }, now)).toBe(
    'counts for nothing until 2026-11-28 14:48 UTC (in 13 min): the real MX was away lately, and senders remember it',
  )
  expect(frozen({ why: 'blind', until: null }, now)).toBe(
    'counts for nothing now: nobody looks at the real MX (real-mx in the settings), nor has it asked us lately',
  )
})
