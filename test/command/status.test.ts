import picocolors from 'picocolors'
import { expect, test } from 'vitest'
import { watchStatus } from '../../src/command/status.ts'
import { folder } from '../folders.ts'

/** What is printed until so many screens have been, and the exit code. Nobody is asked: no appliance runs there. */
async function watched(person: boolean, screens: number): Promise<{ printed: string[]; code: number }> {
  const ended = new AbortController()
  const printed: string[] = []
  const print = (line: string) => {
    printed.push(line)
    if (printed.filter((each) => each.includes('CRITICAL')).length === screens) ended.abort()
  }
  const screen = { colours: picocolors.createColors(false), person, width: 80, print }
  return { code: await watchStatus(folder(), { screen, everyMs: 1, ended: ended.signal }), printed }
}

test('a person sees one screen, written over itself, until it is ended; the exit code is that of the last look', async () => {
  const { printed, code } = await watched(true, 3)
  expect(code).toBe(2)
  const [first, ...looks] = printed
  expect(first).toBe('\x1b[2J')
  expect(looks).toHaveLength(3)
  for (const look of looks) {
    expect(look.startsWith('\x1b[HCRITICAL  no decoymx is running')).toBe(true)
    expect(look.split('\n').every((line) => line.includes('\x1b[K'))).toBe(true)
    expect(look.endsWith('Ctrl-C ends\x1b[K\x1b[J')).toBe(true)
  }
})

test('a pipe gets one look after the other, without a control character', async () => {
  const { printed, code } = await watched(false, 2)
  expect(code).toBe(2)
  expect(printed.filter((line) => line.startsWith('CRITICAL  no decoymx is running'))).toHaveLength(2)
  expect(printed.join('')).not.toContain('\x1b')
})
