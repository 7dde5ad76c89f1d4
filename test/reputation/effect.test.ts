import { expect, test } from 'vitest'
import { type Client, parseClient } from '../../src/core/client.ts'
import { type Comparison, countEffect, EFFECT_MAX, SLICE } from '../../src/reputation/effect.ts'

const clients = (many: number): Client[] =>
  Array.from({ length: many }, (_, i) => parseClient(`198.51.${(i >> 8) & 255}.${i & 255}`) as Client)
const NOTHING: Comparison = { was: undefined, will: undefined, told: undefined, tell: undefined }
const NONE = { listed: 0, released: 0, changed: 0, refused: 0, spared: 0 }

test.each<[string, Partial<Comparison>, Partial<typeof NONE>]>([
  ['nothing before, nothing after', {}, {}],
  ['newly listed, and only observed', { will: 'block' }, { listed: 1 }],
  ['newly listed and refused', { will: 'defer', tell: 'defer' }, { listed: 1, refused: 1 }],
  ['released', { was: 'block', told: 'block' }, { released: 1, spared: 1 }],
  ['from one word to another', { was: 'block', will: 'defer', told: 'block', tell: 'defer' }, { changed: 1 }],
  ['observe is no listing', { was: 'observe', will: 'observe', told: 'observe' }, {}],
])('what is counted: %s', async (_, found, counted) => {
  const effect = await countEffect(clients(1), async () => ({ ...NOTHING, ...found }))
  expect(effect).toEqual({ known: 1, looked: 1, ...NONE, ...counted })
})

test('whatever else waits has its turn between two slices', async () => {
  let [turns, over] = [0, false]
  const turn = () => (turns++, over || setImmediate(turn))
  setImmediate(turn)
  await countEffect(clients(10 * SLICE), async () => NOTHING)
  over = true
  expect(turns).toBeGreaterThanOrEqual(10)
})

test('clients are asked for as they are looked at, and not all at once', async () => {
  let [asked, looked, most] = [0, 0, 0]
  const each = function* () {
    for (const client of clients(1000)) {
      most = Math.max(most, ++asked - looked)
      yield client
    }
  }
  expect(await countEffect(each(), async () => (looked++, NOTHING))).toMatchObject({ known: 1000, looked: 1000 })
  expect(most).toBeLessThanOrEqual(SLICE + 1)
})

test('no more are looked at than the bound, and it is said', async () => {
  let looked = 0
  const many = Array<Client>(EFFECT_MAX + 7).fill(clients(1)[0] as Client)
  const effect = await countEffect(many, async () => (looked++, NOTHING))
  expect(effect).toMatchObject({ known: EFFECT_MAX + 7, looked: EFFECT_MAX })
  expect(looked).toBe(EFFECT_MAX)
})
