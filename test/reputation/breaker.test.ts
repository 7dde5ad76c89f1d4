import { describe, expect, test } from 'vitest'
import { Breaker } from '../../src/reputation/breaker.ts'

/** A breaker and a clock that moves only when a call takes its time. */
function setUp() {
  const clock = { now: 1000 }
  const turned: (string | undefined)[] = []
  const breaker = new Breaker({
    slowMs: 40,
    pauseMs: 1000,
    clock: () => clock.now,
    turned: (error) => turned.push(error),
  })
  let calls = 0
  const call = (tookMs: number, error?: string) =>
    breaker.through(async () => {
      calls++
      clock.now += tookMs
      if (error !== undefined) throw new Error(error)
      return 'answer'
    })
  return { clock, turned, breaker, call, calls: () => calls }
}

describe('the breaker', () => {
  test('a call that waited in vain is the last for a pause; then one looks again, and the first answer closes it', async () => {
    const { clock, turned, breaker, call, calls } = setUp()
    expect(await call(39)).toBe('answer')
    await expect(call(40, 'timed out')).rejects.toThrow('timed out')
    expect(breaker.error).toBe('timed out')
    for (let i = 0; i < 100; i++) await expect(call(0)).rejects.toThrow('not asked, it hung a moment ago: timed out')
    expect(calls()).toBe(2)

    clock.now += 1000
    const [looks, ...others] = await Promise.allSettled([call(40, 'timed out again'), call(0), call(0)])
    expect([looks, ...others].map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
    expect(calls(), 'one alone has looked').toBe(3)

    clock.now += 1000
    expect(await call(5)).toBe('answer')
    expect(await call(5)).toBe('answer')
    expect([breaker.error, turned]).toEqual([undefined, ['timed out', undefined]])
  })

  test('a failure that came at once costs nobody anything, and opens nothing', async () => {
    const { turned, call, calls } = setUp()
    for (let i = 0; i < 10; i++) await expect(call(1, 'NOPERM')).rejects.toThrow('NOPERM')
    expect([calls(), turned]).toEqual([10, []])
  })

  test('closes when it is known otherwise that calls are answered', async () => {
    const { breaker, turned, call } = setUp()
    breaker.close()
    await expect(call(50, 'timed out')).rejects.toThrow()
    breaker.close()
    expect(await call(1)).toBe('answer')
    expect(turned).toEqual(['timed out', undefined])
  })
})
