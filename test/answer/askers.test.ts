import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Askers, type Asker, type AskerLimits } from '../../src/answer/askers.ts'
import { type Prefix, parsePrefix, Prefixes } from '../../src/core/prefixes.ts'

const NOW = 1_700_000_000_000
const LIMITS: AskerLimits = { answersPerSecond: 5, refusalsPerSecond: 2, networks: 3, askers: 2 }

function make(limits: Partial<AskerLimits> = {}) {
  const allowed = ['127.0.0.0/8', '192.0.2.0/24', '198.51.100.0/22', '2001:db8::/32']
  const prefixes = Prefixes.of(allowed.map((cidr) => [parsePrefix(cidr) as Prefix, true as const]))
  const askers = new Askers(prefixes, { ...LIMITS, ...limits })
  const ask = (address: string, at = NOW) => askers.measure(askers.find(address) as Asker, at)
  return {
    askers,
    ask,
    times: (n: number, address: string, at = NOW) => Array.from({ length: n }, () => ask(address, at)),
  }
}

test('an asker is told from a stranger, loopback from both, and what is no address is nobody', () => {
  const { askers } = make()
  expect(askers.find('192.0.2.7')).toMatchObject({ client: { ip: '192.0.2.7' }, mayAsk: true, isLocal: false })
  expect(askers.find('::ffff:192.0.2.7')).toMatchObject({ client: { ip: '192.0.2.7' }, mayAsk: true })
  expect(askers.find('203.0.113.7')).toMatchObject({ mayAsk: false, isLocal: false })
  expect(askers.find('127.0.0.1')).toMatchObject({ mayAsk: true, isLocal: true })
  expect(askers.find('::1')).toMatchObject({ mayAsk: false, isLocal: true })
  expect(askers.find('')).toBeUndefined()
})

test('beyond its bound a network that may ask is told to come by TCP, until the next second', () => {
  const { ask, times } = make()
  expect(times(5, '192.0.2.7')).toEqual(Array.from({ length: 5 }, () => 'whole'))
  expect(times(100, '192.0.2.8').every((measure) => measure === 'cut')).toBe(true)
  expect(ask('198.51.100.7')).toBe('whole')
  expect(ask('192.0.2.7', NOW + 1000)).toBe('whole')
})

test('a stranger is refused a few times, and then not answered', () => {
  const { times } = make()
  expect(times(4, '203.0.113.7')).toEqual(['whole', 'whole', 'nothing', 'nothing'])
  expect(times(1, '203.0.113.7', NOW + 1000)).toEqual(['whole'])
})

test('loopback is not counted', () => {
  const { times } = make()
  expect(times(1000, '127.0.0.1').every((measure) => measure === 'whole')).toBe(true)
})

test('whatever strangers do, who may ask is answered', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.ipV4(), fc.ipV6()), { maxLength: 300 }), (flood) => {
      const { askers, ask } = make()
      for (const address of flood) {
        const asker = askers.find(address) as Asker
        if (!asker.mayAsk) expect(askers.measure(asker, NOW)).toMatch(/whole|nothing/)
      }
      expect(ask('192.0.2.7')).toBe('whole')
    }),
  )
})

test('with more networks than are counted, strangers get nothing, and askers all', () => {
  const { ask } = make()
  for (const n of [1, 2, 3]) expect(ask(`203.0.${n}.1`)).toBe('whole')
  expect(ask('203.0.4.1')).toBe('nothing')
  for (const n of [100, 101, 102, 103]) expect(ask(`198.51.${n}.1`)).toBe('whole')
  expect(ask('2001:db8::1')).toBe('whole')
})
