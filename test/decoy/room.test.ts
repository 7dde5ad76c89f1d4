import { Socket } from 'node:net'
import { describe, expect, test } from 'vitest'
import { type Client, parseClient } from '../../src/core/client.ts'
import { whoOf } from '../../src/decoy/crowd.ts'
import { Berths, boundless, Room } from '../../src/decoy/room.ts'

const client = (ip: string) => parseClient(ip) as Client
const CAPS = { connections: 20, perNetwork: 10, perClient: 4 }

/** A room whose held go as the tarpit lets them go. */
function roomFor(berths = boundless(), caps = CAPS, workers = 1) {
  const room = new Room(caps, berths, workers)
  const gone: string[] = []
  const shed = (key?: number | string) => {
    const visit = key === undefined ? room.crowd.firstToGo() : room.crowd.firstToGoOf(key)
    if (!visit) return false
    gone.push(visit.network.name)
    room.crowd.leave(visit)
    return true
  }
  room.sheds(
    {
      shed: () => shed(),
      shedOf: (key, many) => {
        for (let i = 0; i < many; i++) shed(key)
      },
    },
    (visit) => {
      gone.push(visit.network.name)
      room.crowd.leave(visit)
    },
  )
  const come = (ip: string, offends = false, now = 0) => {
    const refusal = room.refusalOf(client(ip), whoOf(client(ip)), offends, now)
    if (refusal) return refusal
    const visit = room.crowd.enter(new Socket(), whoOf(client(ip)), client(ip).network, now)
    if (offends) room.crowd.hold(visit)
    else room.crowd.talk(visit)
    return undefined
  }
  return { room, come, gone }
}

describe('a flood of ten thousand from one network', () => {
  test('has no more than its cap, and a stranger is still let in', () => {
    const { room, come } = roomFor()
    const refused = Array.from({ length: 10_000 }, (_, i) => come(`192.0.2.${i % 256}`, true))
    expect(refused.filter((reason) => reason === 'network')).toHaveLength(9990)
    expect(room.crowd.held).toBe(10)
    expect(come('198.51.100.1')).toBeUndefined()
  })

  test('from many networks has nine tenths; then its longest held make room', () => {
    const { room, come, gone } = roomFor()
    for (let i = 0; i < 1000; i++) expect(come(`10.0.${i % 256}.${i >> 8}`, true)).toBeUndefined()
    expect(room.crowd.held).toBe(18)
    expect(gone.length).toBe(982)
    for (let i = 0; i < 20; i++) expect(come(`198.51.${i}.1`)).toBeUndefined()
    expect(room.crowd.held).toBe(0)
    expect(come('198.51.100.1')).toBe('total')
    expect(come('203.0.113.1', true)).toBe('total')
  })

  test('one client has its own cap', () => {
    const { come } = roomFor()
    expect(Array.from({ length: 6 }, () => come('192.0.2.1'))).toEqual([
      ...Array(4).fill(undefined),
      'client',
      'client',
    ])
    expect(come('192.0.2.2')).toBeUndefined()
  })
})

describe('a flood of strangers who talk', () => {
  test('from few networks: a newcomer takes the place of the longest of the largest', () => {
    const { room, come, gone } = roomFor()
    for (let i = 0; i < 10; i++) for (const network of ['10.0.1', '10.0.2']) come(`${network}.${i >> 2}`)
    expect(room.size).toBe(20)
    for (let i = 0; i < 18; i++) expect(come(`198.51.${i}.1`)).toBeUndefined()
    expect(gone.filter((name) => name === '10.0.1.0/24').length).toBe(9)
    expect(gone.length).toBe(18)
    // All are alone in their networks: nobody goes.
    expect(come('203.0.113.1')).toBe('total')
    expect(room.size).toBe(20)
  })

  test('from as many networks as there are places: whoever has talked for a minute makes way, the longest first', () => {
    const { room, come, gone } = roomFor()
    for (let i = 0; i < 20; i++) expect(come(`10.0.${i}.1`, false, i)).toBeUndefined()
    expect(come('203.0.113.1', false, 60_000)).toBe('total')
    expect(come('203.0.113.1', true, 60_001)).toBe('total')
    expect(come('203.0.113.1', false, 60_001)).toBeUndefined()
    expect(come('203.0.113.2', false, 60_001)).toBe('total')
    // One of its own network is here: it is no better, but it is new.
    expect(come('203.0.113.2', false, 60_002)).toBeUndefined()
    expect(gone).toEqual(['10.0.0.0/24', '10.0.1.0/24'])
    expect(room.size).toBe(20)
  })

  test('its own next ones find no room, and an offender none at all', () => {
    const { come, gone } = roomFor()
    for (let i = 0; i < 10; i++) for (const network of ['10.0.1', '10.0.2']) come(`${network}.${i >> 2}`)
    expect(come('10.0.1.99')).toBe('network')
    expect(come('203.0.113.1', true)).toBe('total')
    for (let i = 0; i < 5; i++) expect(come(`203.0.113.${i}`)).toBeUndefined()
    expect(gone.length).toBe(5)
    // Three more are let in until there are as many of one as of the other.
    const after = Array.from({ length: 5 }, (_, i) => come(`203.0.113.${100 + i}`))
    expect(after).toEqual([undefined, 'total', 'total', 'total', 'total'])
  })

  test('a file limit is met in the same way', () => {
    const berths = new Berths({ files: 8, memoryBytes: Infinity, rss: () => 0 })
    const [primary, backup] = [roomFor(berths), roomFor(berths)]
    for (let i = 0; i < 8; i++) expect(backup.come(`10.0.1.${i}`)).toBeUndefined()
    expect(primary.come('203.0.113.1')).toBeUndefined()
    expect(backup.come('198.51.100.1')).toBeUndefined()
    expect(backup.gone).toEqual(['10.0.1.0/24', '10.0.1.0/24'])
    expect([primary.room.size, backup.room.size]).toEqual([1, 7])
  })
})

describe('with other workers', () => {
  test('their share counts against every cap, and ours of what is too many goes', () => {
    const { room, come, gone } = roomFor(boundless(), CAPS, 2)
    for (let i = 0; i < 8; i++) expect(come(`192.0.2.${i}`, true)).toBeUndefined()
    expect(room.report().keys).toEqual(expect.arrayContaining([['192.0.2.0/24', 8]]))
    room.hear({ connections: 8, keys: [['192.0.2.0/24', 8]] }, 1000)
    expect(gone).toEqual(['192.0.2.0/24', '192.0.2.0/24', '192.0.2.0/24'])
    expect(come('192.0.2.77', true)).toBe('network')
    room.hear({ connections: 19, keys: [[whoOf(client('198.51.100.9')), 4]] }, 2000)
    expect(come('198.51.100.9')).toBe('client')
    // Of the network two more had to go, and of all one.
    expect(room.crowd.held).toBe(2)
    expect(come('203.0.113.1')).toBeUndefined()
    expect(room.crowd.held).toBe(1)
  })

  test('it is to be looked again soon as long as there are too many, here and elsewhere', () => {
    const { room, come } = roomFor(boundless(), CAPS, 2)
    for (let i = 0; i < 8; i++) come(`192.0.2.${i}`, true)
    const elsewhere = (n: number) => ({ connections: n, keys: [['192.0.2.0/24', n]] as const })
    expect(room.hear(elsewhere(2), 1000)).toBe(false)
    expect(room.hear(elsewhere(8), 1100)).toBe(true)
    expect(room.crowd.held).toBe(5)
    // The others have let their part go as well.
    expect(room.hear(elsewhere(5), 1200)).toBe(false)
    // In all there are too many: ours is one of the four that have to go.
    expect(room.hear({ connections: 19, keys: [] }, 2000)).toBe(true)
  })
})

describe('a process', () => {
  test('has room for as many as it may open files, whatever its decoys may have; the fullest makes room', () => {
    const berths = new Berths({ files: 12, memoryBytes: Infinity, rss: () => 0 })
    const [primary, backup] = [roomFor(berths), roomFor(berths)]
    for (let i = 0; i < 8; i++) expect(backup.come(`10.0.${i}.1`, true)).toBeUndefined()
    for (let i = 0; i < 8; i++) expect(primary.come(`10.1.${i}.1`)).toBeUndefined()
    expect([primary.room.size, backup.room.size]).toEqual([8, 4])
    for (let i = 0; i < 4; i++) expect(primary.come(`10.2.${i}.1`)).toBeUndefined()
    expect(primary.come('10.3.0.1')).toBe('total')
    expect(backup.come('10.3.0.1', true)).toBe('total')
  })

  test('lets a few of the held go at each beat while it has too much memory, and never a dialogue', () => {
    let rss = 100
    const berths = new Berths({ files: Infinity, memoryBytes: 90, rss: () => rss })
    const { come, room, gone } = roomFor(berths, { ...CAPS, connections: 1000 })
    for (let i = 0; i < 100; i++) come(`10.0.${i}.1`, true)
    for (let i = 0; i < 5; i++) come(`10.1.${i}.1`)
    expect(berths.beat()).toBe(2)
    rss = 90
    expect(berths.beat()).toBe(0)
    expect(gone.length).toBe(2)
    rss = 1000
    for (let i = 0; i < 500; i++) berths.beat()
    expect(room.crowd.held).toBe(0)
    expect(room.size).toBe(5)
    expect(berths.beat()).toBe(0)
  })
})
