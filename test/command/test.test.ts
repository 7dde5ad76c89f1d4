import { stripVTControlCharacters } from 'node:util'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import picocolors from 'picocolors'
import { afterAll, describe, expect, test } from 'vitest'
import { tellProblems } from '../../src/console/problems.ts'
import type { Problem } from '../../src/core/document.ts'
import { runTests } from '../../src/command/test.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const rulesFile = join(root, 'rules.yaml')
const folder = mkdtempSync(join(tmpdir(), 'decoymx-test-'))
afterAll(() => rmSync(folder, { recursive: true }))

const write = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text)
  return join(folder, name)
}
const story = (verdict: string): string => `story: Talks first
because: nobody does
steps:
  - { at: 0s, client: 203.0.113.9, visits: backup, and: [early-talk, recipient] }
  - at: 1m
    expect: { client: 203.0.113.9, verdict: ${verdict} }
`

async function run(
  cases: string[],
  rules = rulesFile,
  colour = false,
  json = false,
  width = Infinity,
): Promise<{ code: number; lines: string[] }> {
  const lines: string[] = []
  const print = (line: string) => void lines.push(line)
  const screen = {
    colours: picocolors.createColors(colour),
    person: colour,
    width,
    height: 24,
    print,
  }
  const problems = (all: readonly Problem[]) => tellProblems(all, screen)
  const code = await runTests({ rulesFile: rules, cases, json, screen, problems })
  return { code, lines }
}

describe('decoymx test', () => {
  test('all that was expected came true: a line for each story, a count, exit 0', async () => {
    const good = write('good.yaml', story('block'))
    expect(await run([good])).toEqual({
      code: 0,
      lines: [
        `ok  Talks first  ${good}`,
        expect.stringMatching(/^no case reaches: trap, ignores-replies, .* \(9 of 12 rules\)$/),
        '1 story, 1 expectation, 0 failed',
      ],
    })
  })

  test('one did not: where, what was expected, what came and why; exit 1', async () => {
    const bad = write('bad.yaml', story('defer'))
    const { code, lines } = await run([bad])
    expect(code).toBe(1)
    expect(lines).toEqual([
      `FAILED  Talks first  ${bad}`,
      `  ${bad}:6: expected 203.0.113.9 after 1m: defer`,
      expect.stringMatching(/^ {4}got block, a sum of 1\d\d(\.\d+)?: talks-first 1\d\d/),
      expect.stringMatching(/^no case reaches: /),
      '1 story, 1 expectation, 1 failed',
    ])
  })

  test('on a terminal no line is wider than it, and none is broken within a word', async () => {
    const { lines } = await run([write('bad.yaml', story('defer'))], rulesFile, true, false, 60)
    const plain = lines.map((line) => stripVTControlCharacters(line))
    const broken = plain.filter((line) => line.length > 60 && line.trim().includes(' '))
    expect(broken).toEqual([])
    expect(plain.length).toBeGreaterThan(5)
  })

  test('a folder: its stories by name; one that cannot be read is told and fails, the others are run', async () => {
    write('broken.yaml', story('blocked'))
    write('notes.txt', 'no story')
    const { code, lines } = await run([folder])
    expect(code).toBe(1)
    expect(lines.filter((line) => /^(ok|FAILED)/.test(line))).toHaveLength(2)
    expect(lines).toContain(
      `${join(folder, 'broken.yaml')}:6:45: steps.1.expect.verdict: expected clean or allow or observe or defer or block, got "blocked" [D013]`,
    )
    expect(lines.at(-1)).toBe('2 stories, 2 expectations, 1 failed, 1 file not readable')
  })

  test('as JSON: what failed, and which rules are counted, only excused, or never reached', async () => {
    const { code, lines } = await run([write('good.yaml', story('block'))], rulesFile, false, true)
    const told = JSON.parse(lines.join('\n')) as { coverage: { counted: string[]; never: string[] } }
    expect(code).toBe(0)
    expect(told).toMatchObject({
      ok: true,
      expectations: 1,
      failed: 0,
      stories: [{ title: 'Talks first', failures: [] }],
    })
    expect(told.coverage.counted).toEqual(['talks-first', 'strange-talk', 'backup-first'])
    expect(told.coverage.never).toHaveLength(9)
  })

  test('a file that is not there', async () => {
    const { code, lines } = await run([join(folder, 'none.yaml')])
    expect(code).toBe(1)
    expect(lines).toEqual([
      `${join(folder, 'none.yaml')}:1:1: there is no such file [D001]`,
      '  = is the path right? a case is a YAML file; a folder stands for all in it',
      '1 problem; what each code means is in docs/problems.md',
      '0 stories, 0 expectations, 0 failed, 1 file not readable',
    ])
  })

  test('no story at all is no success', async () => {
    expect(await run([])).toEqual({
      code: 1,
      lines: [expect.stringMatching(/12 of 12 rules/), '0 stories, 0 expectations, 0 failed'],
    })
  })

  test('rules that are unsound, or not there: nothing is told under them', async () => {
    const rules = write('rules.yaml', 'mode: maybe\n')
    const { code, lines } = await run([write('good.yaml', story('block'))], rules)
    expect(code).toBe(1)
    expect(lines[0]).toBe(`${rules}:1:1: domains: missing; expected a list [D011]`)
    expect(lines).toContain(`${rules}:1:7: mode: expected observe or enforce, got "maybe" [D013]`)
    expect((await run([], join(folder, 'no-rules.yaml'))).lines[0]).toMatch(/there is no such file/)
  })

  test('colours where they are wanted', async () => {
    const { lines } = await run([write('good.yaml', story('block'))], rulesFile, true)
    expect(lines.map((line) => ['\x1b[32m', '\x1b[33m'].some((colour) => line.includes(colour)))).toEqual([
      true,
      true,
      true,
    ])
  })

  test('the stories we ship hold under the rules we ship', async () => {
    const { code, lines } = await run([join(root, 'test/stories')])
    expect(lines.at(-1)).toMatch(/^\d+ stories, \d+ expectations, 0 failed$/)
    expect(code).toBe(0)
  })
})
