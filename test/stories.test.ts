/** Every story in stories/, told under the rules we ship; each expectation is a test of its own. */
import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { spellProblem } from '../src/core/document.ts'
import { readStory, runStory, type Story } from '../src/core/story.ts'
import { shippedRules } from './rules.ts'

const source = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8')

const rules = shippedRules()

const files = readdirSync(new URL('stories', import.meta.url)).filter((name) => name.endsWith('.yaml'))

test('there are stories', () => expect(files.length).toBeGreaterThanOrEqual(9))

describe.each(files)('%s', (name) => {
  const read = readStory(`test/stories/${name}`, source(`stories/${name}`))
  if (!read.ok) return test('can be read', () => expect(read.problems.map(spellProblem)).toEqual([]))

  const story: Story = read.story
  describe(story.title, () => {
    for (const { line, ok, expected, got, because } of runStory(story, rules))
      test(`line ${line}: ${expected}`, () => expect(ok, `${name}:${line}: got ${got}: ${because}`).toBe(true))
  })
})
