import { describe, expect, test } from 'vitest'
import { parsePrefix, type Prefix } from '../../src/core/prefixes.ts'
import { GUEST_MS, GuestList, type Suspect } from '../../src/decoy/guests.ts'

const NOW = 1_000_000

/** What stands against whom, as a map that a test changes; and the list that follows it. */
function following(sizes = { suspects: 100, networks: 100, refused: 100 }) {
  const stands = new Map<string, number | undefined>()
  const clock = { now: NOW, basis: 'enforce' }
  const full: string[] = []
  const suspect = (prefix: Prefix): Suspect | undefined =>
    stands.has(prefix.cidr) ? { prefix, until: stands.get(prefix.cidr) } : undefined
  const list = new GuestList(
    {
      suspect,
      suspects: () => [...stands.keys()].map((cidr) => suspect(prefixOf(cidr))!),
      basis: () => clock.basis,
      now: () => clock.now,
    },
    sizes,
    (set, isFull) => isFull && full.push(set),
  )
  const anew = async () => {
    const guests = await list.everyone()
    list.holds(guests)
    return guests
  }
  return { list, stands, clock, full, anew }
}

function prefixOf(text: string): Prefix {
  const prefix = parsePrefix(text)
  if (typeof prefix === 'string') throw new Error(prefix)
  return prefix
}

describe('guests of the kernel', () => {
  test('everyone first: clients with their ends, at most an hour ahead, and networks without those inside others', async () => {
    const { list, stands, anew } = following()
    stands
      .set('192.0.2.1/32', NOW + 5000)
      .set('192.0.2.2/32', undefined)
      .set('192.0.2.3/32', NOW - 1)
    stands.set('2001:db8:1:2::/64', NOW + 10 * GUEST_MS)
    stands.set('198.51.100.0/25', undefined).set('198.51.100.0/24', undefined).set('2001:db8::1/128', undefined)
    expect(list.steps()).toBe('all')
    const { entries, networks } = await anew()
    expect(entries).toEqual([
      { address: '192.0.2.1', family: 4, lifeMs: 5000 },
      { address: '192.0.2.2', family: 4, lifeMs: GUEST_MS },
      { address: '2001:db8:1:2::', family: 6, lifeMs: GUEST_MS },
    ])
    expect(networks.map(({ cidr }) => cidr)).toEqual(['198.51.100.0/24', '2001:db8::1/128'])
    expect([list.size, list.clients(4), list.clients(6), list.networks(4)]).toEqual([5, 2, 1, 1])
    expect(list.steps()).toEqual({ enter: [], leave: [] })
  })

  test('then step by step: who comes, who goes, whose end is earlier; a later end waits for the renewal', async () => {
    const { list, stands, clock, anew } = following()
    stands
      .set('192.0.2.1/32', NOW + 5000)
      .set('192.0.2.2/32', NOW + 5000)
      .set('192.0.2.3/32', NOW + 5000)
    await anew()
    stands
      .set('192.0.2.1/32', NOW + 1000)
      .set('192.0.2.3/32', NOW + 9000)
      .set('192.0.2.4/32', NOW + 7000)
    stands.delete('192.0.2.2/32')
    for (const last of [1, 2, 3, 4, 5]) list.changed(`192.0.2.${last}`)
    const steps = list.steps()
    expect(steps).toEqual({
      enter: [
        { address: '192.0.2.1', family: 4, lifeMs: 1000 },
        { address: '192.0.2.4', family: 4, lifeMs: 7000 },
      ],
      leave: [
        expect.objectContaining({ address: '192.0.2.1' }),
        expect.objectContaining({ address: '192.0.2.2', family: 4 }),
      ],
    })
    list.done(steps as Exclude<typeof steps, 'all'>)
    expect(list.clients(4)).toBe(3)

    // Who has run out in the kernel is not there to be taken out.
    clock.now = NOW + 2000
    stands.delete('192.0.2.1/32')
    list.changed('192.0.2.1')
    expect(list.steps()).toEqual({ enter: [], leave: [] })
  })

  test('a network, or what all depends on, means everyone anew', async () => {
    const { list, stands, clock, anew } = following()
    await anew()
    stands.set('198.51.100.0/24', undefined)
    list.changed('198.51.100.0/24')
    expect(list.steps()).toBe('all')
    await anew()
    expect(list.steps()).toEqual({ enter: [], leave: [] })
    clock.basis = 'observe'
    expect(list.steps()).toBe('all')
    await anew()
    list.allChanged()
    expect(list.steps()).toBe('all')
  })

  test('no more than the sets hold, and it says so; who goes makes room', async () => {
    const { list, stands, full, anew } = following({ suspects: 2, networks: 1, refused: 1 })
    for (const last of [1, 2, 3]) stands.set(`192.0.2.${last}/32`, undefined)
    stands.set('198.51.100.0/24', undefined).set('203.0.113.0/24', undefined)
    const { entries, networks } = await anew()
    expect([entries.length, networks.length]).toEqual([2, 1])
    expect(full).toEqual(['suspects', 'networks'])

    list.changed('192.0.2.3')
    expect(list.steps()).toEqual({ enter: [], leave: [] })
    expect(full).toEqual(['suspects', 'networks', 'suspects'])

    stands.delete('192.0.2.1/32')
    list.changed('192.0.2.1')
    const steps = list.steps() as Exclude<ReturnType<typeof list.steps>, 'all'>
    list.done(steps)
    list.changed('192.0.2.3')
    expect(list.steps()).toMatchObject({ enter: [{ address: '192.0.2.3' }], leave: [] })
  })

  test('who changes while everyone is looked at is looked at again', async () => {
    const { list, stands } = following({ suspects: 10_000, networks: 1, refused: 1 })
    for (let i = 0; i < 2000; i++) stands.set(`10.0.${i >> 8}.${i & 255}/32`, undefined)
    const looking = list.everyone()
    stands.delete('10.0.0.0/32')
    list.changed('10.0.0.0')
    list.holds(await looking)
    expect(list.steps()).toMatchObject({ enter: [], leave: [{ address: '10.0.0.0' }] })
  })
})
