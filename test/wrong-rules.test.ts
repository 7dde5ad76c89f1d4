/**
 * Wrong rules, and what their author reads: each file in wrong-rules/ beside the text that `check` prints for it. The texts are
 * read by people when they change: `WRONG_RULES_WRITE=1 npx vitest run test/wrong-rules.test.ts` writes them anew.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import picocolors from 'picocolors'
import { describe, expect, test } from 'vitest'
import { tellProblems } from '../src/console/problems.ts'
import type { Problem } from '../src/core/document.ts'
import { CODES } from '../src/core/problems.ts'
import { reviewRules } from '../src/core/review.ts'
import { readRules } from '../src/core/rules.ts'
import { Places, readBytes } from '../src/core/source.ts'

const folder = new URL('wrong-rules/', import.meta.url)
const NOW = Date.UTC(2026, 0, 5)
/** A host that nobody asks, without a primary. */
const unseen = (fact: string) =>
  fact.startsWith('real.')
    ? { because: 'no real MX asks us', rests: false }
    : fact.startsWith('primary.')
      ? { because: 'decoys.primary has no addresses', rests: false }
      : undefined

function problemsOf(name: string, bytes: Uint8Array): readonly Problem[] {
  const text = readBytes(bytes)
  if (!text.ok) {
    const { at, ...rest } = text.stop
    return [{ file: name, ...new Places(text.text).place(at), ...rest }]
  }
  const read = readRules(name, text.text)
  return read.ok
    ? reviewRules(read.rules, read.placeOf, NOW, name.includes('unseen') ? unseen : () => undefined)
    : read.problems
}

const names = readdirSync(folder).filter((name) => name.endsWith('.yaml'))

test('there are twenty and more', () => expect(names.length).toBeGreaterThanOrEqual(20))

describe.each(names)('%s', (name) => {
  const bytes = readFileSync(new URL(name, folder))
  const problems = problemsOf(name, bytes)

  test('is told as its text says', () => {
    const lines: string[] = []
    tellProblems(problems, {
      colours: picocolors.createColors(false),
      person: false,
      width: Infinity,
      height: 24,
      print: (line) => void lines.push(line),
    })
    const expected = new URL(name.replace(/\.yaml$/, '.txt'), folder)
    if (process.env['WRONG_RULES_WRITE']) writeFileSync(expected, `${lines.join('\n')}\n`)
    expect(`${lines.join('\n')}\n`).toBe(readFileSync(expected, 'utf8'))
  })

  test('each has a code that is explained, and a place within the file', () => {
    const lines = bytes.toString('latin1').split('\n').length
    expect(problems.length).toBeGreaterThan(0)
    for (const { code, line, column, excerpt } of problems) {
      expect(CODES).toHaveProperty(code ?? 'none')
      expect(line).toBeLessThanOrEqual(lines)
      expect(column).toBeGreaterThanOrEqual(1)
      expect(excerpt).toBeDefined()
    }
  })
})
