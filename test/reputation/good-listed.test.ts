import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type Client, parseClient } from '../../src/core/client.ts'
import { GoodListed } from '../../src/reputation/good-listed.ts'
import { GOOD_LEAST, govern, newGovernor } from '../../src/reputation/governor.ts'
import { folder } from '../folders.ts'

const T0 = Date.UTC(2026, 0, 5)
const DAY_MS = 86_400_000
const BOUNDS = { perMinute: 1000, perNetwork: 1000, goodShare: 0.01 }

function candidate(i: number) {
  const stands = [{ word: 'block', until: T0 + 30 * DAY_MS }] as const
  const listing = { since: T0, stands, enforced: stands }
  const client = parseClient(`198.51.${i}.7`) as Client
  return { client, good: true, word: 'block', listing, score: 110, because: 'a test' } as const
}

/** One process after the other, with the same state folder. */
function lives() {
  const file = join(folder(), 'good-listed')
  return { file, begin: () => begin(file) }
}

function begin(file: string) {
  const governor = newGovernor(BOUNDS)
  const goodListed = new GoodListed(file, governor)
  return {
    list(i: number, now = T0) {
      const why = govern(governor, candidate(i), now)
      if (!why) goodListed.changed()
      return why
    },
    end: () => goodListed.close(),
  }
}

test('who was listed of good standing is counted over a restart: the next one waits for a person, and all with it', async () => {
  const { begin } = lives()
  const before = begin()
  for (let i = 0; i < GOOD_LEAST; i++) expect(before.list(i)).toBeUndefined()
  await before.end()

  const after = begin()
  expect(after.list(GOOD_LEAST)).toBe('standing')
  // One that was listed already is the same one.
  expect(after.list(0)).toBe('held')
  await after.end()
  expect(begin().list(GOOD_LEAST, T0 + DAY_MS + 1)).toBeUndefined()
})

test.each(['', '[["198.51.0.7"', '{"a": 1}', '[[1, 2]]'])('with a file that says %j it begins anew', (text) => {
  const { file, begin } = lives()
  writeFileSync(file, text)
  expect(begin().list(0)).toBeUndefined()
})
