import { Socket } from 'node:net'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Client, parseClient } from '../../src/core/client.ts'
import { clientOfWho, Crowd, type Visit, whoOf } from '../../src/decoy/crowd.ts'

const client = (ip: string) => parseClient(ip) as Client

describe('who is who', () => {
  test('IPv4 is a small number, IPv6 its /64; both lead back to the client', () => {
    expect(whoOf(client('192.0.2.1'))).toBe(0xc0000201 | 0)
    expect(whoOf(client('2001:db8::7'))).toBe('2001:db8::/64')
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (ip) => {
        const one = client(ip)
        expect(clientOfWho(whoOf(one)).key).toBe(one.key)
        expect(clientOfWho(whoOf(one)).network).toBe(one.network)
      }),
    )
  })
})

describe('the counts', () => {
  test('agree with a list of those who are here', () => {
    const step = fc.tuple(fc.nat(3), fc.nat(2), fc.integer({ min: -10, max: 30 }), fc.boolean())
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const crowd = new Crowd()
        const here: Visit[] = []
        for (const [network, host, leaves, isHeld] of steps) {
          if (leaves < 0 || here.length === 0) {
            const visit = crowd.enter(new Socket(), network * 10 + host, `net ${network}`, 0)
            if (isHeld) crowd.hold(visit)
            here.push(visit)
          } else if (isHeld) crowd.release(here[leaves % here.length] as Visit)
          else for (const gone of here.splice(leaves % here.length, 1)) crowd.leave(gone)
          expect(crowd.size).toBe(here.length)
          expect(crowd.held).toBe(here.filter(({ held }) => held).length)
          for (const [name, who] of [[`net ${network}`, network * 10 + host]] as const) {
            expect(crowd.ofNetwork(name)).toBe(here.filter((visit) => visit.network.name === name).length)
            expect(crowd.ofClient(who)).toBe(here.filter((visit) => visit.who === who).length)
            expect(crowd.firstToGoOf(name)).toBe(
              crowd.ofNetwork(name) > 0 ? here.find((v) => v.network.name === name)?.network.held?.oldest : undefined,
            )
          }
        }
      }),
    )
  })
})

describe('who goes first', () => {
  const enter = (crowd: Crowd, network: string) => {
    const visit = crowd.enter(new Socket(), 1, network, 0)
    crowd.hold(visit)
    return visit
  }

  test('lets the longest held of the largest network go first', () => {
    const crowd = new Crowd()
    enter(crowd, 'a')
    const [first, second] = [enter(crowd, 'b'), enter(crowd, 'b')]
    expect(crowd.firstToGo()).toBe(first)
    crowd.leave(first)
    enter(crowd, 'b')
    expect(crowd.firstToGo()).toBe(second)
  })

  test('of those who are held the longest of each network are told, up to a bound', () => {
    const crowd = new Crowd()
    const enterAt = (network: string, at: number) => {
      crowd.hold(crowd.enter(new Socket(), 1, network, at))
    }
    for (let at = 0; at < 10; at++) enterAt('large', at)
    enterAt('small', 100)
    crowd.enter(new Socket(), 1, 'small', 101)
    expect(crowd.longest(4).map(({ openedAt }) => openedAt)).toEqual([0, 1, 2, 100])
    expect(crowd.longest(50)).toHaveLength(11)
    expect(new Crowd().longest(5)).toEqual([])
  })

  test('knows how long all who are here have been', () => {
    const crowd = new Crowd()
    const [first] = [100, 250].map((at) => crowd.enter(new Socket(), 1, 'a', at))
    expect(crowd.counts(300).hereMs).toBe(250)
    crowd.leave(first!)
    expect(crowd.counts(400)).toEqual({ held: 0, dialogues: 1, hereMs: 150 })
  })

  test('agrees with a list that is searched anew each time', () => {
    /** Somebody of this network comes, or the so-manieth of all leaves. */
    const step = fc.tuple(fc.constantFrom('a', 'b', 'c', 'd'), fc.integer({ min: -10, max: 30 }))
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const crowd = new Crowd()
        const list: ReturnType<typeof enter>[] = []
        for (const [network, leaves] of steps) {
          if (leaves < 0 || list.length === 0) list.push(enter(crowd, network))
          else for (const gone of list.splice(leaves % list.length, 1)) crowd.leave(gone)
          const size = (name: string) => list.filter((held) => held.network.name === name).length
          const most = Math.max(0, ...['a', 'b', 'c', 'd'].map(size))
          expect(crowd.held).toBe(list.length)
          const first = crowd.firstToGo()
          if (!first) expect(list).toEqual([])
          else {
            expect(size(first.network.name)).toBe(most)
            expect(list.find((held) => held.network === first.network)).toBe(first)
          }
        }
      }),
    )
  })
})
