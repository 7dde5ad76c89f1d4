import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { RulesReading } from '../../src/settings/checked.ts'
import { Reloading, type ReloadHappening, type ReloadingOptions, spellEffect } from '../../src/daemon/reloading.ts'
import { readRules } from '../../src/core/rules.ts'
import type { Effect } from '../../src/reputation/reputation.ts'

const SOUND = readFileSync(new URL('../../rules.yaml', import.meta.url), 'utf8')
const NOTHING: Effect = { known: 0, looked: 0, listed: 0, released: 0, changed: 0, refused: 0, spared: 0 }
const readingOf = (source: string): RulesReading => ({
  ...readRules('rules.yaml', source),
  text: { file: 'rules.yaml', source },
})

function reloading(more: Partial<ReloadingOptions> = {}) {
  const told: string[] = []
  const file = { source: SOUND }
  const first = readingOf(SOUND)
  if (!first.ok) throw new Error('unsound')
  const word = (it: ReloadHappening) => (it.what === 'refused' ? `refused: ${it.why}` : it.what)
  const made = new Reloading(first, {
    read: () => readingOf(file.source),
    mistakes: () => [],
    failures: async () => [],
    here: (rules) => rules,
    effectOf: async () => NOTHING,
    bound: 100,
    changed: async () => void told.push('changed'),
    now: () => 0,
    tell: (it) => void told.push(word(it)),
    ...more,
  })
  return { made, told, file }
}
const HARSHER = SOUND.replace('defer: 70', 'defer: 60')
const PROBLEM = { file: 'x', line: 1, column: 1, message: 'no' }

describe('rules take the place of others', () => {
  test('whole, after their effect has been told; then everybody hears of it', async () => {
    const { made, told, file } = reloading()
    const before = made.loaded.digest
    file.source = HARSHER
    expect(await made.load(false)).toEqual({ problems: [], effect: NOTHING })
    expect(told).toEqual(['effect', 'loaded', 'changed'])
    expect(made.loaded.rules.thresholds.defer).toBe(60)
    expect(made.loaded.digest).not.toBe(before)
  })

  test.each<[string, string, Partial<ReloadingOptions>]>([
    ['unsound', SOUND.replace('defer: 70', 'defer: 700'), {}],
    ['unsound', HARSHER, { mistakes: () => [PROBLEM] }],
    ['cases', HARSHER, { failures: async () => [PROBLEM] }],
    ['bound', HARSHER, { effectOf: async () => ({ ...NOTHING, refused: 101 }) }],
    ['bound', HARSHER, { effectOf: async () => ({ ...NOTHING, spared: 101 }) }],
  ])('or do not: %s', async (why, source, more) => {
    const { made, told, file } = reloading(more)
    const before = made.loaded
    file.source = source
    expect((await made.load(false)).problems).toHaveLength(1)
    expect(told).toEqual([`refused: ${why}`])
    expect(made.loaded).toBe(before)
    expect(made.problems).toHaveLength(1)
  })

  test('beyond the bound by force; and what was wrong is forgotten', async () => {
    const { made, file } = reloading({ effectOf: async () => ({ ...NOTHING, refused: 101 }) })
    file.source = HARSHER
    expect((await made.load(false)).problems[0]).toMatchObject({
      code: 'R020',
      message: expect.stringContaining('newly refuse 101 clients'),
    })
    expect((await made.load(true)).problems).toEqual([])
    expect(made.problems).toEqual([])
    expect(made.loaded.rules.thresholds.defer).toBe(60)
  })

  test('a look at a file that says what was read last does nothing, sound or not', async () => {
    const { made, told, file } = reloading()
    await made.look()
    expect(told).toEqual([])
    file.source = 'broken'
    await made.look()
    await made.look()
    expect(told).toEqual(['refused: unsound'])
    file.source = SOUND
    await made.look()
    expect(told).toEqual(['refused: unsound', 'effect', 'loaded', 'changed'])
  })

  test('two at once: one after the other, and the last edit is in use', async () => {
    let began = 0
    const { made, told, file } = reloading({
      effectOf: async () => {
        if (++began === 1) file.source = SOUND.replace('defer: 70', 'defer: 50')
        return NOTHING
      },
    })
    file.source = HARSHER
    await Promise.all([made.load(false), made.look()])
    expect(told).toEqual(['effect', 'loaded', 'changed', 'effect', 'loaded', 'changed'])
    expect(made.loaded.rules.thresholds.defer).toBe(50)
  })
})

describe('rules that are only proposed', () => {
  test('are weighed as a load would weigh them, and nothing is changed or told', async () => {
    const { made, told } = reloading({ effectOf: async () => ({ ...NOTHING, refused: 101 }) })
    const before = made.loaded
    expect(await made.weigh(readingOf('broken'))).toMatchObject({ ok: false, why: 'unsound' })
    expect(await made.weigh(readingOf(HARSHER))).toMatchObject({ ok: false, why: 'bound', effect: { refused: 101 } })
    expect([told, made.loaded, made.problems]).toEqual([[], before, []])
  })

  test('are written first, and then in use; the watcher of the file finds nothing new', async () => {
    const { made, told, file } = reloading()
    const keep = () => {
      told.push('written')
      file.source = HARSHER
      return undefined
    }
    expect(await made.save(readingOf(HARSHER), false, 'otto', keep)).toMatchObject({ ok: true, effect: NOTHING })
    await made.look()
    expect(told).toEqual(['written', 'saved', 'effect', 'loaded', 'changed'])
    expect(made.loaded.rules.thresholds.defer).toBe(60)
  })

  test.each<[string, string, Partial<ReloadingOptions>, boolean]>([
    ['unsound', 'broken', {}, true],
    ['cases', HARSHER, { failures: async () => [PROBLEM] }, true],
    ['bound', HARSHER, { effectOf: async () => ({ ...NOTHING, spared: 101 }) }, false],
  ])('are not written: %s', async (why, source, more, force) => {
    const { made, told } = reloading(more)
    const never = () => {
      throw new Error('written')
    }
    expect(await made.save(readingOf(source), force, 'otto', never)).toMatchObject({ ok: false, why })
    expect([told, made.problems]).toEqual([[], []])
  })

  test('what cannot be written is not loaded', async () => {
    const { made, told } = reloading()
    const before = made.loaded
    expect(await made.save(readingOf(HARSHER), false, 'otto', () => 'read-only')).toEqual({ hindrance: 'read-only' })
    expect([told, made.loaded]).toEqual([[], before])
  })
})

test('an effect in words', () => {
  expect(
    spellEffect({ ...NOTHING, known: 1200, looked: 1200, listed: 118, released: 31, refused: 118, spared: 31 }),
  ).toBe('+118 listed, -31 released, of 1200 known clients')
  expect(spellEffect({ ...NOTHING, known: 60_000, looked: 50_000, listed: 2, changed: 1 })).toBe(
    '+2 listed, -0 released, 1 changed, of 50000 looked at of 60000 known clients; at the real MX +0 refused, -0 refused no more',
  )
})
