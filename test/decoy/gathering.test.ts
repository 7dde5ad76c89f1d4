import { expect, test } from 'vitest'
import { Gathering } from '../../src/decoy/gathering.ts'
import type { DecoyHappening } from '../../src/decoy/happenings.ts'

test('what is alike becomes one with a number and the sums; what has a text is kept, up to a bound', () => {
  const gathering = new Gathering()
  const opened: DecoyHappening = { what: 'opened', role: 'backup', via: 'direct', regard: 'offender' }
  const closed = (outcome: 'tarpit' | 'shed', heldMs: number): DecoyHappening => ({
    what: 'closed',
    role: 'backup',
    outcome,
    heldMs,
    bytesIn: 1,
    bytesOut: 10,
  })
  for (let i = 0; i < 1000; i++) gathering.tell(opened)
  gathering.tell({ ...opened, role: 'primary' })
  for (const ms of [5, 7]) gathering.tell(closed('tarpit', ms))
  gathering.tell(closed('shed', 1))
  for (let i = 0; i < 3; i++) gathering.tell({ what: 'refused', role: 'backup', reason: 'client' })
  for (let i = 0; i < 1000; i++) gathering.tell({ what: 'fault', role: 'backup', error: `no ${i}` })

  const told = gathering.take()
  expect(told.slice(0, 5)).toEqual([
    { it: opened, times: 1000 },
    { it: { ...opened, role: 'primary' }, times: 1 },
    { it: { ...closed('tarpit', 12), bytesIn: 2, bytesOut: 20 }, times: 2 },
    { it: closed('shed', 1), times: 1 },
    { it: { what: 'refused', role: 'backup', reason: 'client' }, times: 3 },
  ])
  expect(told.slice(5).map(({ it }) => it.what)).toEqual(Array.from({ length: 100 }, () => 'fault'))
  expect(gathering.take()).toEqual([])
})
