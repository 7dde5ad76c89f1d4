import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Judged } from '../../src/reputation/judged.ts'
import { folder } from '../folders.ts'

const OUTCOME = { kept: 1, changed: 0, released: 2, waiting: 0 }

test('under other rules than the last all are judged again, under the same ones nobody', async () => {
  const file = join(folder(), 'judged-by')
  let judgements = 0
  const under = (digest: string | undefined) =>
    new Judged(
      file,
      () => digest,
      async () => (judgements++, OUTCOME),
    )
  expect(await under('a').againIfOld()).toEqual(OUTCOME)
  expect(await under('a').againIfOld()).toBeUndefined()
  expect(await under('b').againIfOld()).toEqual(OUTCOME)
  expect(await under('b').again()).toEqual(OUTCOME)
  expect(await under('b').againIfOld()).toBeUndefined()
  expect(judgements).toBe(3)
})

test('where the store could not be asked it is done again at the next start', async () => {
  const file = join(folder(), 'judged-by')
  const away = new Judged(
    file,
    () => 'a',
    () => Promise.reject(new Error('away')),
  )
  await expect(away.againIfOld()).rejects.toThrow('away')
  const back = new Judged(
    file,
    () => 'a',
    async () => OUTCOME,
  )
  expect(await back.againIfOld()).toEqual(OUTCOME)
})
