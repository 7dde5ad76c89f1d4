import { once } from 'node:events'
import { createServer } from 'node:http'
import { expect, onTestFinished, test } from 'vitest'
import { ask, NotRunning } from '../../src/command/appliance.ts'
import { controlSocket } from '../../src/settings/state.ts'
import { folder } from '../folders.ts'

test('each question has a connection of its own: one that is kept may be closed while we write on it', async () => {
  const state = folder()
  let connections = 0
  const server = createServer((_, answer) => void answer.end('{"ok":true}'))
  server.on('connection', () => connections++)
  server.listen(controlSocket(state))
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  for (const n of [1, 2, 3]) {
    expect(await ask(state, 'GET', '/healthz')).toEqual({ status: 200, body: { ok: true } })
    expect(connections).toBe(n)
  }
})

test('where nothing runs, that is said, and whether there is such a place at all', async () => {
  await expect(ask('/nowhere', 'GET', '/healthz')).rejects.toMatchObject({
    seen: 'no decoymx is running on /nowhere, for there is no such directory',
    next: expect.stringMatching(/^Start it with ".* run", or name its state directory with --state DIR$/) as string,
  })
  await expect(ask(folder(), 'GET', '/healthz')).rejects.toThrow(NotRunning)
})
