import { describe, expect, test } from 'vitest'
import type { Head } from '../../src/answer/exports.ts'
import { refusalOf } from '../../src/command/export.ts'

const head = (listings: number, more: Partial<Head> = {}): Head => ({
  format: 'plain',
  made: '2026-11-24T12:00:00.000Z',
  generation: 1,
  rules: 'abc',
  mode: 'enforce',
  listings,
  entries: listings,
  digest: 'abc',
  ...more,
})

describe('a file is left alone', () => {
  test.each([
    [1000, 1501, true],
    [1000, 1500, false],
    [1000, 499, true],
    [1000, 500, false],
    [0, 101, true],
    [0, 100, false],
    [150, 30, true],
    [101, 1, false],
    [101, 0, true],
    [201, 100, true],
    [202, 101, false],
  ])('from %i listings to %i: a jump? %s', (old, next, jump) => {
    const refusal = refusalOf('list', head(old), head(next))
    expect(refusal).toBe(jump ? `the list would jump from ${old} listings to ${next}` : undefined)
  })

  test('when it is not ours, or in another format', () => {
    expect(refusalOf('/etc/passwd', 'foreign', head(1))).toBe('/etc/passwd was not written by "decoymx export"')
    expect(refusalOf('list', head(1, { format: 'nft' }), head(1))).toContain('in the format nft, not plain')
  })

  test('but not when it becomes empty because the mode is observe', () => {
    expect(refusalOf('list', head(1000), head(0, { mode: 'observe' }))).toBeUndefined()
  })
})
