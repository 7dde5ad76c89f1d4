import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Client, parseClient } from '../../src/core/client.ts'
import { Sightings, WINDOW_MS } from '../../src/decoy/sightings.ts'

const client = (ip: string) => parseClient(ip) as Client
const [one, other] = [client('192.0.2.1'), client('2001:db8:7::9')]

describe('sightings of one client', () => {
  test('within a minute are told together when it is over, with the moment of the first', () => {
    const sightings = new Sightings()
    for (let i = 0; i < 40; i++) expect(sightings.note(one, 5000 + i, i * 1000, 0)).toBe(false)
    expect(sightings.note(other, 7000, 2000, 0)).toBe(false)
    expect(sightings.due(WINDOW_MS - 1)).toEqual([])
    expect(sightings.due(WINDOW_MS)).toEqual([{ client: one, at: 5000, times: 40 }])
    expect(sightings.due(WINDOW_MS)).toEqual([])
    expect(sightings.rest()).toEqual([{ client: { ...other, ip: '2001:db8:7::' }, at: 7000, times: 1 }])
  })

  test('are told one by one as far as the allowance goes; who has kept to it is told no more', () => {
    const sightings = new Sightings()
    expect([1, 2, 3, 4].map((at) => sightings.note(one, at, at, 2))).toEqual([true, true, false, false])
    expect(sightings.note(other, 1, 1, 2)).toBe(true)
    expect(sightings.due(1 + WINDOW_MS)).toEqual([{ client: one, at: 3, times: 2 }])
    expect(sightings.note(one, 9, 2 + WINDOW_MS, 2)).toBe(true)
  })

  test('after a flood they are told little by little, and all of them at the end', () => {
    const sightings = new Sightings()
    for (let i = 0; i < 1000; i++) sightings.note(client(`10.0.${i >> 8}.${i & 255}`), i, i, 0)
    const later = 2 * WINDOW_MS
    expect([1, 2, 3].map(() => sightings.due(later).length)).toEqual([200, 200, 200])
    expect(sightings.rest()).toHaveLength(400)
  })

  test('of more clients than are remembered some go together, those that came first', () => {
    const sightings = new Sightings(1000)
    for (let i = 0; i < 1000; i++) sightings.note(client(`10.0.${i >> 8}.${i & 255}`), i, 0, 0)
    expect(sightings.crowded).toBe(false)
    sightings.note(client('10.1.0.0'), 1000, 0, 0)
    expect(sightings.crowded).toBe(true)
    expect(sightings.due(0).map(({ client: { ip } }) => ip)).toEqual(['10.0.0.0', '10.0.0.1', '10.0.0.2'])
    expect(sightings.crowded).toBe(false)
    expect(sightings.rest()).toHaveLength(998)
  })

  test('none is lost and none doubled, and one client has a line a minute at most', () => {
    const steps = fc.array(fc.tuple(fc.nat(3), fc.nat(30_000)), { maxLength: 100 })
    fc.assert(
      fc.property(steps, fc.integer({ min: 1, max: 4 }), (visits, max) => {
        const sightings = new Sightings(max)
        const told: { ip: string; now: number; times: number }[] = []
        let now = 0
        const tell = (all: ReturnType<Sightings['due']>) =>
          told.push(...all.map((each) => ({ ip: each.client.ip, now, times: each.times })))
        for (const [host, later] of visits) {
          now += later
          tell(sightings.due(now))
          sightings.note(client(`192.0.2.${host}`), now, now, 0)
          if (sightings.crowded) tell(sightings.due(now))
          expect(sightings.crowded).toBe(false)
        }
        tell(sightings.rest())
        expect(told.reduce((sum, { times }) => sum + times, 0)).toBe(visits.length)
        if (max < 4) return
        for (const { ip, now: at } of told.slice(0, -4)) {
          const next = told.slice(0, -4).find((each) => each.ip === ip && each.now > at)
          if (next) expect(next.now - at).toBeGreaterThanOrEqual(WINDOW_MS)
        }
      }),
    )
  })
})
