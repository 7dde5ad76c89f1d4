/** What an open-file limit comes to in connections: the same numbers as docs/runbooks.md has, read from there. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { connectionsPossible, fileRoom } from '../../src/daemon/open-files.ts'

const limits = (soft: number) =>
  `Limit  Soft Limit  Hard Limit  Units\nMax open files            ${soft}   ${soft}   files\n`
const RUNBOOK = readFileSync(new URL('../../docs/runbooks.md', import.meta.url), 'utf8')

test.each([512, 1024, 65_536])('%i files: what no worker, 2 and 4 workers may have, as the runbook says', (files) => {
  const cells = new RegExp(`^\\| ${files}\\b[^|]*\\|([^|]*)\\|([^|]*)\\|([^|]*)\\|$`, 'm').exec(RUNBOOK)?.slice(1)
  const told = cells?.map((cell) => Number(cell.replaceAll(',', '')))
  expect([1, 2, 4].map((workers) => fileRoom(8000, 2, workers, connectionsPossible(limits(files))))).toEqual(
    told?.map((possible) => ({ possible, wanted: 16_000 })),
  )
})

test('where no limit can be read there is none', () => {
  expect(connectionsPossible('')).toBeGreaterThan(100_000_000)
})
