import { describe, expect, test } from 'vitest'
import { Census, Share } from '../../src/decoy/shares.ts'

const CAPS = { connections: 1000, perNetwork: 60, perClient: 12 }
const NET = '192.0.2.0/24'

/** Workers as they are in their processes: each with its counts, and its share. */
function workers(count: number) {
  const census = new Census()
  const all = Array.from({ length: count }, (_, i) => {
    const share = new Share(count, CAPS)
    const here = new Map<number | string, number>()
    const set = (key: number | string, n: number) => {
      here.set(key, n)
      share.note(key, n, typeof key === 'string')
    }
    return { number: i + 1, share, here, set, connections: 0 }
  })
  const numbers = all.map(({ number }) => number)
  /** One beat: all report, all hear. */
  const beat = (newcomers: number[] = []) => {
    for (const { number, share, connections } of all) census.hear(number, share.report(connections))
    for (const [number, news] of census.news(numbers, new Set(newcomers))) {
      const worker = all[number - 1] as (typeof all)[number]
      worker.share.hear(news, (key) => worker.here.get(key) ?? 0)
    }
  }
  return { census, all, beat }
}

describe('shares of a cap', () => {
  test('what is rare everywhere is not reported, what is many is known to all within two beats', () => {
    const { all, beat } = workers(3)
    const [one, two, three] = all as [(typeof all)[0], (typeof all)[0], (typeof all)[0]]
    for (const each of all) each.set('198.51.100.0/24', 9)
    one.set(NET, 10)
    two.set(NET, 3)
    beat()
    expect(two.share.elsewhere(NET)).toBe(10)
    expect(one.share.elsewhere(NET)).toBe(0)
    beat()
    expect(one.share.elsewhere(NET)).toBe(3)
    expect(three.share.elsewhere(NET)).toBe(13)
    for (const { share } of all) expect(share.elsewhere('198.51.100.0/24')).toBe(0)
    one.set(NET, 0)
    two.set(NET, 0)
    beat()
    for (const { share } of all) expect(share.elsewhere(NET)).toBe(0)
  })

  test('a cap cannot be passed unseen: below half a share everywhere it is far away', () => {
    const { all, beat } = workers(3)
    // The most that nobody reports.
    for (const each of all) each.set(NET, 9)
    beat()
    beat()
    expect(all.map(({ share }) => share.elsewhere(NET))).toEqual([0, 0, 0])
    expect(9 * 3).toBeLessThanOrEqual(CAPS.perNetwork / 2)
  })

  test('what is too many goes, each worker its part, once and not again at once', () => {
    const { all, beat } = workers(3)
    for (const [i, each] of all.entries()) each.set(NET, 20 * (i + 1))
    beat()
    const parts = all.map((each) => each.share.excess(NET, each.here.get(NET) ?? 0, CAPS.perNetwork, 5000))
    expect(parts).toEqual([10, 20, 30])
    expect(all.map((each) => each.share.excess(NET, 60, CAPS.perNetwork, 5200))).toEqual([0, 0, 0])
    for (const [i, each] of all.entries()) each.set(NET, 20 * (i + 1) - (parts[i] as number))
    beat()
    beat()
    expect(all.map((each) => each.share.excess(NET, each.here.get(NET) ?? 0, CAPS.perNetwork, 6000))).toEqual([0, 0, 0])
    expect(all.reduce((sum, each) => sum + (each.here.get(NET) ?? 0), 0)).toBe(CAPS.perNetwork)
  })

  test('who hears early lets its part go, and who hears late the rest: it is looked at again', () => {
    const { all } = workers(2)
    const [one] = all as [(typeof all)[0]]
    one.set(NET, 60)
    one.share.hear({ connections: 0, keys: [[NET, 60]] }, () => 60)
    expect(one.share.excess(NET, 60, CAPS.perNetwork, 1000)).toBe(30)
    one.share.hear({ connections: 0, keys: [[NET, 40]] }, () => 30)
    expect(one.share.excess(NET, 30, CAPS.perNetwork, 1100)).toBe(0)
    expect(one.share.excessive).toEqual([NET])
    expect(one.share.excess(NET, 30, CAPS.perNetwork, 1400)).toBe(5)
    one.share.hear({ connections: 0, keys: [[NET, 35]] }, () => 25)
    expect(one.share.excess(NET, 25, CAPS.perNetwork, 1800)).toBe(0)
    expect(one.share.excessive).toEqual([])
  })

  test('all connections are known to all, and what is too many of them goes', () => {
    const { all, beat } = workers(2)
    for (const each of all) each.connections = 600
    beat()
    expect(all.map(({ share }) => share.connections)).toEqual([600, 600])
    expect(all.map(({ share }) => share.excessInAll(600, CAPS.connections, 1))).toEqual([100, 100])
  })

  test('a worker that dies takes its counts with it, and its successor hears everything', () => {
    const { census, all, beat } = workers(2)
    const [one, two] = all as [(typeof all)[0], (typeof all)[0]]
    for (const each of all) each.set(NET, 30)
    beat()
    expect(one.share.elsewhere(NET)).toBe(30)
    census.gone(2)
    two.share = new Share(2, CAPS)
    two.here.clear()
    beat([2])
    expect(one.share.elsewhere(NET)).toBe(0)
    expect(two.share.elsewhere(NET)).toBe(30)
  })
})
