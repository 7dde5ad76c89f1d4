import { expect, test } from 'vitest'
import type { SpokenView } from '../../src/answer/views.ts'
import { deedsOf } from '../../src/command/decisions.ts'

const NOON = Date.UTC(2026, 10, 28, 12)
const at = (minute: number) => new Date(NOON + minute * 60_000).toISOString()

function said(minute: number, word: SpokenView['word'], target: string, more: Partial<SpokenView> = {}): SpokenView {
  return { at: at(minute), word, target, until: null, because: 'a partner', author: 'ann', ...more }
}
const undo = (minute: number, word: SpokenView['word'], target: string, author = 'ann') =>
  said(minute, word, target, { because: 'undo', author, until: new Date(NOON + minute * 60_000 + 1000).toISOString() })

/** Oldest first, as they were said; told as the trail tells them. */
const told = (...words: SpokenView[]) =>
  deedsOf(words.toReversed()).map(
    ({ at: when, word, target, undone }) =>
      `${when.slice(14, 16)} ${word} ${target}${undone ? `, undone ${undone.at.slice(14, 16)} by ${undone.author}` : ''}`,
  )

test('a word and its undoing are one line, whatever was said of others in between', () => {
  expect(told(said(1, 'allow', 'a'), said(2, 'block', 'b'), undo(3, 'allow', 'a', 'bob'))).toEqual([
    '02 block b',
    '01 allow a, undone 03 by bob',
  ])
  expect(told(said(1, 'allow', 'a'), undo(2, 'allow', 'a'), said(3, 'allow', 'a'), undo(4, 'allow', 'a'))).toEqual([
    '03 allow a, undone 04 by ann',
    '01 allow a, undone 02 by ann',
  ])
})

test('what only looks like an undoing, or has lost its word, has a line of its own', () => {
  expect(told(said(1, 'allow', 'a'), said(2, 'allow', 'a', { because: 'undo' }))).toHaveLength(2)
  expect(told(said(1, 'allow', 'a'), said(2, 'release', 'a'))).toHaveLength(2)
  expect(told(undo(1, 'allow', 'a'), undo(2, 'allow', 'a'), said(3, 'block', 'a'))).toEqual([
    '03 block a',
    '02 allow a',
    '01 allow a',
  ])
})
