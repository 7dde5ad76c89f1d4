/**
 * Every program that we ship a file for asks us by exactly that file: who is listed is refused, who is not passes, and with us
 * gone all mail passes. The programs are real ones, each in a room of its own on one MX; the MX asks its own resolver.
 */
import { once } from 'node:events'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Place } from '../namespaces.ts'
import { type Appliance, startAppliance, within } from './appliance.ts'
import { type Asker, ASKERS, BECAUSE, MX, RESOLVER, type Way } from './lab/askers.ts'
import { hindranceOf } from './lab/hindrance.ts'
import { layNetwork, type Network } from './lab/network.ts'
import { unpackedDebian } from './lab/packages.ts'
import { openRoom, type Room } from './lab/room.ts'

/** No documentation addresses: Haraka asks about none of these. */
const LISTED = '198.18.9.9'
const UNLISTED = '198.18.7.7'
/** With us gone a DNSBL is waited for as long as each program, and the resolver, please. */
const ANSWER_MS = 30_000
/** What the files allow, 2 s, and a busy machine; the programs' own defaults are 5 s to 100 s. */
const HUNG_MS = 4500

const hindered = hindranceOf('test/e2e/askers', ['swaks', 'dig', 'dnsmasq', 'ip'])

describe.skipIf(hindered !== undefined)('the programs that ask', () => {
  let network: Network
  let appliance: Appliance
  let mx: Place
  let clients: Place
  let resolver: Room
  const rooms = new Map<Asker, Room>()

  beforeAll(async () => {
    const folders = new Map<Asker, string[]>()
    for (const asker of ASKERS)
      folders.set(asker, asker.debian === undefined ? [] : [(await unpackedDebian(asker.debian)).folder])
    const unbound = (await unpackedDebian('unbound')).folder
    network = await layNetwork()
    mx = await network.host('mx', MX)
    clients = await network.host('clients', LISTED, UNLISTED)
    // The ports of deploy/decoymx.yaml, which the files of deploy/ name.
    appliance = await startAppliance({
      launch: ['ip', 'netns', 'exec', mx.name],
      settings: {
        policy: { listen: ['127.0.0.1:10040'] },
        milter: { listen: ['127.0.0.1:10043'] },
        dnsbl: { listen: ['127.0.0.1:5300'], zone: 'bl.example.org' },
      },
    })
    resolver = await openRoom({ place: mx, host: 'mx1.example.test', layers: [unbound], ...RESOLVER })
    const block = await appliance.decoymx('block', LISTED, '--because', BECAUSE)
    expect(block.code).toBe(0)
    const exported = (await appliance.decoymx('export', 'plain')).stdout
    const opening = ASKERS.map(async (asker) => {
      const { users = {}, files = {}, start } = asker.room
      const room = await openRoom({
        place: mx,
        host: 'mx1.example.test',
        layers: folders.get(asker) ?? [],
        users,
        files: { ...files, '/etc/resolv.conf': 'nameserver 127.0.0.1\noptions timeout:2 attempts:1\n' },
        start,
      })
      rooms.set(asker, room)
      if (asker.takes !== undefined) await room.must(asker.takes, exported)
    })
    for (const opened of await Promise.allSettled(opening))
      if (opened.status === 'rejected') throw opened.reason as Error
  }, 240_000)

  afterAll(async () => {
    await Promise.allSettled([...rooms.values(), ...(resolver ? [resolver] : [])].map((room) => room.end()))
    await appliance?.clear()
    await network?.end()
  }, 60_000)

  const all = ASKERS.flatMap((asker) =>
    asker.ways.map((way) => ({ asker, way, name: `${asker.name}, by ${way.file}` })),
  )
  const look = async (asker: Asker, way: Way) =>
    Promise.all([LISTED, UNLISTED].map((client) => way.answerTo(client, { clients, room: rooms.get(asker) as Room })))

  test.each(['unbound', 'dnsmasq'])('%s forwards the zone, by the file of its name', async (program) => {
    if (program === 'dnsmasq') await startDnsmasq(mx)
    const server = program === 'unbound' ? '127.0.0.1' : '127.0.0.2'
    const ask = async (name: string) =>
      (await mx.run('dig', '+short', '+tries=1', '+time=3', `@${server}`, `${name}.bl.example.org`)).trim()
    expect(await Promise.all(['9.9.18.198', '2.0.0.127', '7.7.18.198', '1.0.0.127'].map(ask))).toEqual([
      '127.0.0.2',
      '127.0.0.2',
      '',
      '',
    ])
  })

  test.each(all)(
    '$name: the listed is refused, the unlisted passes',
    { timeout: ANSWER_MS },
    async ({ asker, way }) => {
      const [listed, unlisted] = await look(asker, way)
      process.stderr.write(`${asker.name}, by deploy/${way.file}: listed: ${listed}; unlisted: ${unlisted}\n`)
      expect(listed).toMatch(way.refuses)
      expect(unlisted).toMatch(way.passes)
    },
  )

  // Who asks by DNS waits as with decoymx gone: it is the resolver that gives up.
  describe.concurrent('with decoymx hung', () => {
    beforeAll(() => appliance.signal('SIGSTOP'))
    afterAll(() => appliance.signal('SIGCONT'))

    const direct = all.filter(({ way }) => way.direct === true)
    test.each(direct)('$name: all mail passes soon', { timeout: ANSWER_MS }, async ({ asker, way }) => {
      const since = performance.now()
      const [listed, unlisted] = await look(asker, way)
      const tookMs = performance.now() - since
      process.stderr.write(
        `${asker.name}, by deploy/${way.file}, with decoymx hung: ${Math.round(tookMs)} ms: ${listed}\n`,
      )
      expect(listed).toMatch(way.passes)
      expect(unlisted).toMatch(way.passes)
      expect(tookMs).toBeLessThan(HUNG_MS)
    })
  })

  describe.concurrent('with decoymx gone', () => {
    beforeAll(async () => {
      expect(await appliance.end()).toBe(0)
    })

    test.each(all)('$name: all mail passes, unless by a file', { timeout: ANSWER_MS }, async ({ asker, way }) => {
      const [listed, unlisted] = await look(asker, way)
      process.stderr.write(`${asker.name}, by deploy/${way.file}, with decoymx gone: listed: ${listed}\n`)
      expect(listed).toMatch(way.outlives ? way.refuses : way.passes)
      expect(unlisted).toMatch(way.passes)
    })
  })
})

/** Beside the MX's own resolver, at an address of loopback. It ends with its place. */
async function startDnsmasq(place: Place): Promise<void> {
  const file = join(import.meta.dirname, '../../deploy/dnsmasq/decoymx.conf')
  const words = ['--keep-in-foreground', `--conf-file=${file}`, '--user=root', '--pid-file=', '--log-facility=-']
  const here = ['--no-resolv', '--no-hosts', '--stop-dns-rebind', '--listen-address=127.0.0.2', '--bind-interfaces']
  const child = place.spawn('dnsmasq', [...words, ...here], { stdio: ['ignore', 'ignore', 'pipe'] })
  const [said] = (await within(30_000, once(child.stderr as Readable, 'data'), 'dnsmasq has not started')) as [Buffer]
  expect(said.toString()).toContain('started')
}
