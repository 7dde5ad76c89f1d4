import { describe, expect, test } from 'vitest'
import { Chance } from '../../src/simulation/chance.ts'
import { FAIR, outcomeAt, type Trouble, troubleFor, type Weather, weatherOf } from '../../src/simulation/weather.ts'

const trouble = (what: Trouble['what'], part: Partial<Trouble> = {}): Trouble => ({
  what,
  from: 100,
  to: 200,
  begins: 0,
  share: 1,
  ...part,
})
const weather = (...troubles: Trouble[]): Weather => ({ ...FAIR, troubles })

describe('weather', () => {
  test('a trouble begins and ends, and the worst of several is met', () => {
    const both = weather(trouble('sick'), trouble('down', { from: 150 }))
    expect([99, 100, 149, 150, 199, 200].map((at) => troubleFor(both, 0.5, at))).toEqual([
      undefined,
      'sick',
      'sick',
      'down',
      'down',
      undefined,
    ])
  })

  test('a broken path is met by its part of the net only, around the end of it, too', () => {
    const broken = weather(trouble('path', { begins: 0.9, share: 0.2 }))
    expect([0.95, 0.05, 0.15, 0.85].map((place) => troubleFor(broken, place, 150))).toEqual([
      'path',
      'path',
      undefined,
      undefined,
    ])
  })

  test('our witness finds what is to be seen from where it stands, and nothing else', () => {
    expect(outcomeAt(weather(trouble('down'), trouble('later')), 150)).toBe('down')
    expect(outcomeAt(weather(trouble('later')), 150)).toBe('later')
    expect(outcomeAt(weather(trouble('sick'), trouble('path')), 150)).toBe('up')
    expect(outcomeAt(FAIR, 150)).toBe('up')
  })

  test('of many weeks has every trouble, inside the week, and every greylist', () => {
    const weeks = Array.from({ length: 60 }, (_, seed) => weatherOf(new Chance(String(seed)), 1000, 7))
    const troubles = weeks.flatMap((each) => each.troubles)
    expect(new Set(troubles.map(({ what }) => what))).toEqual(new Set(['down', 'later', 'sick', 'path']))
    expect(new Set(weeks.map(({ greylist }) => greylist))).toEqual(new Set(['none', 'before', 'after']))
    for (const { from, to } of troubles) {
      expect(from).toBeGreaterThanOrEqual(1000)
      expect(from).toBeLessThan(1000 + 7 * 86_400_000)
      expect(to).toBeGreaterThan(from)
    }
  })
})
