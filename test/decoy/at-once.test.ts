/**
 * Many who come in the same moment: the kernel hands over the first by Node and the others bare, and each is met as if it had
 * come alone. All from addresses of loopback, which tell who each is.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { describe, expect, test, vi } from 'vitest'
import type { Client } from '../../src/core/client.ts'
import { parsePrefix, type Prefix, Prefixes } from '../../src/core/prefixes.ts'
import { bare, Bare } from '../../src/libc/bare.ts'
import type { Regard } from '../../src/decoy/happenings.ts'
import { HONEST, type House, openHouse, Visitor } from './visitors.ts'

/** All three kinds fit into the kernel's queue together: who finds it full calls again only after seconds, or a minute. */
const EACH = Math.min(150, Math.floor(Number(readFileSync('/proc/sys/net/core/somaxconn', 'utf8')) / 3))
/** Who calls from 127.1.x.x is a stranger, and so on. */
const KINDS: Readonly<Record<string, Regard>> = { '1': 'stranger', '2': 'suspect', '3': 'offender' }
const regard = ({ ip }: Client): Regard => KINDS[ip.split('.')[1] ?? ''] ?? 'stranger'

/** So many of each kind, in turns, all before anybody is taken in. */
function crowd(house: House, to = '127.0.0.1'): Record<Regard, Visitor[]> {
  const come: Record<Regard, Visitor[]> = { stranger: [], suspect: [], offender: [] }
  for (let n = 1; n <= EACH; n++)
    for (const [kind, who] of Object.entries(KINDS)) {
      const localAddress = `127.${kind}.${n}.1`
      come[who].push(new Visitor(connect({ port: house.port(), host: to, localAddress, allowHalfOpen: true })))
    }
  return come
}

const descriptors = () => readdirSync('/proc/self/fd').length
const bared = () => vi.spyOn(Bare.prototype, 'accept')
const takenBare = (spy: ReturnType<typeof bared>) => spy.mock.results.reduce((sum, { value }) => sum + Number(value), 0)

describe.each([
  ['with bare lines', true],
  ['without', false],
])('%s', (_, isBare) => {
  const options = { regard, bare: isBare ? (bare() as Bare) : undefined }

  test('at the backup strangers and suspects have their dialogue, offenders are dripped to, and nothing stays open', async () => {
    const before = descriptors()
    const accept = bared()
    const house = await openHouse(options)
    const { stranger, suspect, offender } = crowd(house)
    const talks = await Promise.all([...stranger, ...suspect].map((visitor) => visitor.walk(...HONEST)))
    for (const replies of talks)
      expect(replies.map((reply) => reply?.slice(0, 3))).toEqual(['220', '250', '250', '451', '221'])
    await Promise.all(offender.map((visitor) => visitor.hears(8)))
    for (const { heard } of offender) expect('220-mx9.example.test').toContain(heard.slice(0, 8))
    expect(house.decoy.counts()).toMatchObject({ held: EACH })
    if (isBare) expect(takenBare(accept)).toBeGreaterThan(EACH)
    else expect(accept).not.toHaveBeenCalled()
    for (const { socket } of offender) socket.end()
    await house.empty()
    expect(house.told('opened')).toHaveLength(3 * EACH)
    expect(new Set(house.evidence.map(({ where }) => where))).toEqual(new Set([`127.0.0.1:${house.port()}`]))
    await house.decoy.close()
    for (const visitor of [...stranger, ...suspect, ...offender]) visitor.socket.destroy()
    await vi.waitUntil(() => descriptors() <= before, { timeout: 20_000 })
  })

  test('at the primary strangers are reset before the first byte, and each is a contact of its own', async () => {
    const accept = bared()
    const house = await openHouse({ ...options, role: 'primary' })
    const { stranger, suspect, offender } = crowd(house)
    expect(await Promise.all(stranger.map(({ ended }) => ended))).toEqual(Array(EACH).fill('reset'))
    for (const { heard } of stranger) expect(heard).toBe('')
    await Promise.all(offender.map((visitor) => visitor.hears(4)))
    for (const { heard } of suspect) expect(heard).toBe('')
    expect(house.decoy.counts()).toMatchObject({ held: 2 * EACH })
    const contacts = house.evidence.filter(({ kind }) => kind === 'contact').map(({ client }) => client)
    expect(new Set(contacts).size).toBe(2 * EACH)
    if (isBare) expect(takenBare(accept)).toBeGreaterThan(EACH)
    await house.decoy.close()
    const ends = await Promise.all([...suspect, ...offender].map(({ ended }) => ended))
    expect(new Set(ends)).toEqual(new Set(['reset']))
    expect(house.told('closed').filter(({ outcome }) => outcome === 'tarpit')).toHaveLength(EACH)
  })

  test('at a door of two decoys each has its own visitors, and an address of nobody is reset', async () => {
    const [one, two] = await Promise.all([openHouse({ ...options, role: 'primary' }), openHouse(options)])
    const owners = Prefixes.of([
      [parsePrefix('127.0.0.1/32') as Prefix, two.decoy],
      [parsePrefix('127.0.0.2/32') as Prefix, one.decoy],
    ])
    const server = one.decoy.server('direct', owners)
    await new Promise<void>((resolve) => server.listen(0, '0.0.0.0', resolve))
    const { port } = server.address() as { port: number }
    const call = (to: string, from: string) =>
      new Visitor(connect({ port, host: to, localAddress: from, allowHalfOpen: true }))
    const callers = Array.from({ length: EACH }, (_, n) => ({
      talking: call('127.0.0.1', `127.1.${n}.1`),
      held: call('127.0.0.2', `127.3.${n}.1`),
      lost: call('127.0.0.3', `127.3.${n}.1`),
    }))
    await Promise.all(callers.map(({ talking }) => talking.reply()))
    await Promise.all(callers.map(({ held }) => held.hears(4)))
    expect(await Promise.all(callers.map(({ lost }) => lost.ended))).toEqual(Array(EACH).fill('reset'))
    expect(two.decoy.counts()).toMatchObject({ dialogues: EACH, held: 0 })
    expect(one.decoy.counts()).toMatchObject({ dialogues: 0, held: EACH })
    expect(one.told('refused').filter(({ reason }) => reason === 'address')).toHaveLength(EACH)
    await two.decoy.close()
  })
})
