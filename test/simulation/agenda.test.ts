import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Agenda } from '../../src/simulation/agenda.ts'

test('what is planned happens in order of time, of one moment in order of planning; from the end on nothing does', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(50), { maxLength: 200 }), (moments) => {
      const agenda = new Agenda(40)
      const seen: [number, number][] = []
      for (const [i, at] of moments.entries()) agenda.plan(at, (now) => seen.push([now, i]))
      agenda.run()
      const due = moments.map((at, i): [number, number] => [at, i]).filter(([at]) => at < 40)
      expect(seen).toEqual(due.toSorted(([a, i], [b, j]) => a - b || i - j))
    }),
  )
})

test('what happens may plan more, also for now', () => {
  const agenda = new Agenda(100)
  const seen: string[] = []
  agenda.plan(10, (now) => {
    seen.push('first')
    agenda.plan(now, () => seen.push('with it'))
    agenda.plan(now + 5, () => seen.push('later'))
  })
  agenda.plan(12, () => seen.push('between'))
  agenda.run()
  expect(seen).toEqual(['first', 'with it', 'between', 'later'])
})
