/** One door for many addresses of ours. Every 127.x.y.z is this host's, so loopback is a routed prefix by nature. */
import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { parsePrefix, type Prefix, Prefixes } from '../../src/core/prefixes.ts'
import type { Decoy } from '../../src/decoy/listener.ts'
import { HONEST, type House, openHouse, Visitor } from './visitors.ts'

type Owned = Readonly<Record<string, House>>

/** A wildcard door, and whose the prefixes behind it are. */
async function openWide(maker: House, owned: Owned): Promise<(address: string) => Visitor> {
  const owners = Prefixes.of<Decoy>(
    Object.entries(owned).map(([cidr, house]) => [parsePrefix(cidr) as Prefix, house.decoy] as const),
  )
  const server = maker.decoy.server('direct', owners).listen(0, '0.0.0.0')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  const { port } = server.address() as AddressInfo
  return (host) => new Visitor(connect({ port, host, allowHalfOpen: true }))
}

test('the address that was called is the one in the evidence, and a HELO that claims it is a lie', async () => {
  const house = await openHouse()
  const call = await openWide(house, { '127.51.100.0/24': house })
  const visitor = call('127.51.100.77')
  await visitor.connected
  const where = `127.51.100.77:${visitor.socket.remotePort}`
  const replies = await visitor.walk('EHLO [127.51.100.77]', ...HONEST.slice(1))
  expect(replies[3]).toMatch(/^451 /)
  await house.empty()
  expect(house.evidence.map(({ kind, where: place }) => [kind, place])).toEqual([
    ['contact', where],
    ['false-helo', where],
    ['recipient', where],
    ['dialect', where],
  ])
  expect(house.detailOf('false-helo')).toBe('our own address: [127.51.100.77]')
})

test('an address outside the prefixes is reset and counted, and is no evidence about anybody', async () => {
  const house = await openHouse()
  const call = await openWide(house, { '127.51.100.0/24': house, '127.0.0.9/32': house })
  const visitor = call('127.51.101.1')
  expect(await visitor.ended).toBe('reset')
  expect(visitor.heard).toBe('')
  expect(house.happenings).toEqual([{ what: 'refused', role: 'backup', reason: 'address' }])
  expect(house.evidence).toEqual([])
  expect(await call('127.0.0.9').reply()).toMatch(/^220 /)
})

test('two decoys share a door: the longest prefix of the called address says whose visitor it is', async () => {
  const primary = await openHouse({ role: 'primary', name: 'mx0.example.test' })
  const backup = await openHouse()
  const call = await openWide(primary, { '127.51.100.0/24': primary, '127.51.100.128/25': backup })
  expect(await call('127.51.100.127').ended).toBe('reset')
  expect(await call('127.51.100.128').reply()).toMatch(/^220 mx9\.example\.test /)
  expect(primary.evidence).toMatchObject([{ kind: 'contact', role: 'primary' }])
  expect(backup.evidence).toMatchObject([{ kind: 'contact', role: 'backup' }])

  // Whoever closes first, the other's visitors are its own: a door without its owner resets.
  await backup.decoy.close()
  expect(await call('127.51.100.128').ended).toBe('reset')
  expect(backup.told('refused')).toEqual([{ what: 'refused', role: 'backup', reason: 'gone' }])
})
