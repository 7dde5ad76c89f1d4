/** What `status` and `doctor` say of the boxes that share a store. */
import { expect, test } from 'vitest'
import { otherBoxes, sameRules } from '../../../src/command/health/box-check.ts'
import type { StatusView } from '../../../src/daemon/status-view.ts'

const [OURS, THEIRS] = ['0a0a0a0a0a0a', '0b0b0b0b0b0b']

function viewOf(digests: readonly string[], store = 'redis'): StatusView {
  const neighbours = digests.map((rules, n) => ({ box: `box${n}`, host: `mx${n}`, rules, at: 0 }))
  return { rules: { digest: OURS }, reputation: { store, neighbours } } as unknown as StatusView
}
const doctorSays = (view: StatusView) => otherBoxes(view).map(({ level, seen }) => `${level}: ${seen}`)

test('boxes with other rules are named by host and box, with the next step', () => {
  const view = viewOf([OURS, THEIRS])
  const seen = `mx1 (box box1, rules ${THEIRS}) runs other rules than we do (${OURS}): the same clients are listed by one and freed by the other`
  expect(doctorSays(view)).toEqual([`warn: ${seen}`])
  expect(otherBoxes(view)[0]?.next).toBe('put the same rules.yaml on each, then decoymx reload there')
  expect(sameRules(view)).toBe('; the same on 1 other box')
})

test('three are named, and the others counted', () => {
  const [said = ''] = doctorSays(viewOf(Array.from({ length: 99 }, () => THEIRS)))
  expect(said).toMatch(/mx0 .*, mx1 .*, mx2 \(box box2, rules 0b0b0b0b0b0b\), and 96 more run other rules/)
})

test('where all run the same, or nobody else is there, that is said; of a store of our own nothing is', () => {
  expect(doctorSays(viewOf([OURS]))).toEqual(['ok: 1 other box shares the store and runs the same rules'])
  expect(doctorSays(viewOf([OURS, OURS]))).toEqual(['ok: 2 other boxes share the store and run the same rules'])
  expect(doctorSays(viewOf([]))).toEqual(['ok: no other box has told us of its rules lately'])
  expect(doctorSays(viewOf([], 'embedded'))).toEqual([])
})
