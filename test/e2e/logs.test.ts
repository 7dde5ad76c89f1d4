/** What a session leaves in the logs of a running appliance: with the decoys in its own process, and in a worker. */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { folder } from '../folders.ts'
import { startAppliance } from './appliance.ts'

test.each([0, 1])('one JSON line, and the lines of a mail log; workers: %d', async (workers) => {
  const file = join(folder(), 'mail.log')
  const [listen, proxy] = [['127.0.0.1:0'], [] as string[]]
  const decoys = { workers, primary: { listen, proxy }, backup: { listen, proxy: listen } }
  const appliance = await startAppliance({ settings: { decoys, 'mail-log': { file } } })
  onTestFinished(() => appliance.clear())
  const { host, port } = appliance.door('backup decoy')
  const socket = connect({ host, port })
  socket.resume().write('EHLO too.soon.example\r\nQUIT\r\n')
  await once(socket, 'close')
  await appliance.heard(/"msg":"session: backup"/)
  const line = appliance
    .said()
    .split('\n')
    .find((each) => each.includes('session: backup'))
  expect(JSON.parse(line ?? '')).toMatchObject({
    client: '127.0.0.1',
    where: `127.0.0.1:${port}`,
    helo: 'too.soon.example',
    seen: { 'early-talk': expect.stringContaining('EHLO too.soon.example') as string },
  })
  await appliance.heard(/"msg":"\w+: backup early-talk"/)

  // A known offender's contacts are told together: a minute later, or at the end.
  expect((await appliance.decoymx('block', '203.0.113.7')).code).toBe(0)
  for (let n = 0; n < 3; n++) {
    const held = connect(appliance.door('backup decoy, PROXY'))
    onTestFinished(() => void held.destroy())
    held.on('error', () => {}).write('PROXY TCP4 203.0.113.7 127.0.0.1 40000 25\r\n')
    await once(held, 'data')
  }
  const contacts = () =>
    appliance
      .said()
      .split('\n')
      .filter((each) => /"client":"203\.0\.113\.7".*: backup contact"/.test(each))
  expect(contacts()).toEqual([])
  await appliance.end()
  expect(contacts().map((each) => (JSON.parse(each) as { times?: number }).times)).toEqual([3])
  expect(JSON.parse(line ?? '')).toMatchObject({ seen: { dialect: expect.stringContaining('EHLO') as string } })
  expect(appliance.said()).not.toMatch(/"msg":"\w+: backup dialect"/)
  expect(readFileSync(file, 'utf8')).toMatch(
    /postscreen\[\d+\]: PREGREET \d+ after \d+ from \[127\.0\.0\.1\]: .*EHLO too/,
  )
})
