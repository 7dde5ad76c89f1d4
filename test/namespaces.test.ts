/** The namespaces that other tests rely on: joined, apart from the host, and gone afterwards. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { expect, inject, test } from 'vitest'
import { Internet, noNamespaces } from './namespaces.ts'

const hindered = inject('missing').includes('ip') ? 'ip is missing' : noNamespaces()
if (hindered !== undefined && process.env['CI']) throw new Error(hindered)

test.skipIf(hindered !== undefined)(
  'two places reach each other by IPv4 and IPv6, see no other network, and are removed',
  async () => {
    const names: string[] = []
    {
      await using lab = new Internet()
      const [mx, stranger] = [await lab.place('mx'), await lab.place('stranger')]
      names.push(mx.name, stranger.name)
      const end = await lab.join(mx, ['192.0.2.66/24', '2001:db8::66/64'], stranger, ['192.0.2.7/24', '2001:db8::7/64'])

      const links = JSON.parse(await stranger.run('ip', '-j', 'link')) as { ifname: string }[]
      expect(links.map(({ ifname }) => ifname).toSorted()).toEqual([end, 'lo'])

      const listener = mx.spawn(process.execPath, ['-e', LISTENER], { stdio: ['ignore', 'pipe', 'inherit'] })
      await once(listener.stdout!, 'data')
      for (const address of ['192.0.2.66', '2001:db8::66'])
        expect(await stranger.run(process.execPath, '-e', CALLER, address)).toBe(`hello ${address}`)
      await expect(stranger.run('false')).rejects.toThrow('false ended with 1')
      expect(await stranger.feed('seven', 'cat')).toBe('seven')
    }
    expect(readdirSync('/run/netns').filter((name) => names.includes(name))).toEqual([])
  },
)

test.skipIf(hindered !== undefined)('what a killed test left behind is removed by the next', async () => {
  const dead = spawn('true')
  await once(dead, 'close')
  const name = `dmx-${dead.pid}-abcdef-left`
  expect(spawnSync('ip', ['netns', 'add', name]).status).toBe(0)
  await using _ = new Internet()
  expect(readdirSync('/run/netns')).not.toContain(name)
})

const LISTENER = `
  const server = require('node:net').createServer((socket) => socket.end('hello ' + socket.localAddress))
  server.listen({ host: '::', port: 25, ipv6Only: false }, () => console.log('open'))
`.replace('socket.localAddress', "socket.localAddress.replace('::ffff:', '')")
const CALLER = `require('node:net').connect(25, process.argv[1]).pipe(process.stdout)`
