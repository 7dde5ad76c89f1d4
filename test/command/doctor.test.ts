/** What a person sees while the doctor looks. */
import picocolors from 'picocolors'
import { expect, test } from 'vitest'
import { doctor } from '../../src/command/doctor.ts'
import { folder } from '../folders.ts'

async function seen(json: boolean): Promise<string[]> {
  const lines: string[] = []
  const over = (line: string) => void lines.push(line)
  const screen = { colours: picocolors.createColors(false), person: true, width: 80, height: 24, print: () => {}, over }
  expect(await doctor({ state: folder(), settings: undefined, rules: 'rules.yaml' }, {}, { json, screen })).toBe(2)
  return lines
}

test('what is still waited for stands on one line, which is wiped at the end; JSON has none', async () => {
  const lines = await seen(false)
  expect(lines[0]).toMatch(/^looking at settings, appliance, .{10,60}$/)
  expect(lines.at(-2)).toMatch(/^looking at [a-z]+ \.\.\.$/)
  expect(lines.at(-1)).toBe('')
  expect(await seen(true)).toEqual([])
})
