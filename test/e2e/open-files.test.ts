/** More connections come than the appliance may open files: it says so, and lets the held go before anybody is turned away. */
import { connect } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { WHEN_FULL } from '../../src/daemon/open-files.ts'
import { HONEST, Visitor } from '../decoy/visitors.ts'
import { startAppliance, statusOf, textAt } from './appliance.ts'

const FILES = 200
const POSSIBLE = 150
const FLOOD = 400

test('a flood beyond the open-file limit: the held go in their order, a stranger gets its dialogue, askers their answers', async () => {
  const appliance = await startAppliance({ launch: ['prlimit', `--nofile=${FILES}`] })
  onTestFinished(() => appliance.clear())
  expect((await statusOf(appliance)).room).toEqual({ possible: POSSIBLE, wanted: 16_000, turnedAway: 0 })
  const { stdout } = await appliance.decoymx('status')
  expect(stdout).toContain(`the open-file limit allows ${POSSIBLE} connections`)
  // Nobody has vouched for the real MX yet.
  expect(stdout).toMatch(/^ {2}Order {7}counts for nothing .*; what no mail server does still counts$/m)
  expect(appliance.said()).toContain(
    `the open-file limit allows ${POSSIBLE} connections, the settings ask for 16000; ${WHEN_FULL}`,
  )

  expect((await appliance.decoymx('block', '203.0.113.0/24')).code).toBe(0)
  const visit = (ip: string) => {
    const { host, port } = appliance.door('backup decoy, PROXY')
    const visitor = new Visitor(connect({ host, port, allowHalfOpen: true }))
    onTestFinished(() => void visitor.socket.destroy())
    visitor.socket.write(`PROXY TCP4 ${ip} 127.0.0.1 40000 25\r\n`)
    return visitor
  }
  // All at once, and as many again when the first are held.
  for (const wave of [0, 1]) {
    const flood = Array.from({ length: FLOOD / 2 }, (_, i) => visit(`203.0.113.${wave * 100 + (i % 100)}`))
    await Promise.all(flood.map((visitor) => Promise.race([visitor.hears(4), visitor.ended])))
  }
  expect((await statusOf(appliance)).held.backup).toBeGreaterThan(POSSIBLE - 20)
  expect((await statusOf(appliance)).held.backup).toBeLessThanOrEqual(POSSIBLE)

  const replies = await visit('198.51.100.1').walk(...HONEST)
  expect(replies.map((reply) => reply?.slice(0, 3))).toEqual(['220', '250', '250', '451', '221'])
  const asker = connect(appliance.door('policy'))
  asker.end('request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address=198.51.100.1\n\n')
  let answer = ''
  for await (const chunk of asker) answer += String(chunk)
  expect(answer).toMatch(/^action=DUNNO/)
  const metrics = await textAt(appliance, '/metrics')
  expect(metrics).toContain(`decoymx_connections_possible ${POSSIBLE}`)
  // Whom there was no room for: one that was held for each that came later, and those who came while all others still owed a
  // header, when nobody could be let go.
  const counted = (series: string) => Number(new RegExp(`${series}\\} (\\d+)`).exec(metrics)?.[1])
  const shed = counted('sessions_total\\{role="backup",outcome="shed"')
  expect(shed).toBeGreaterThan(100)
  expect(shed + counted('refused_connections_total\\{role="backup",reason="total"')).toBeGreaterThanOrEqual(
    FLOOD - POSSIBLE,
  )

  // Strangers from as many networks: they take the places of the held, then nobody is left who could go: each is alone in its network.
  const before = counted('refused_connections_total\\{role="backup",reason="total"')
  const strangers = Array.from({ length: 2 * POSSIBLE }, (_, i) => visit(`20.${i >> 8}.${i % 256}.1`))
  await Promise.all(strangers.map((visitor) => Promise.race([visitor.reply(), visitor.ended])))
  const talking = strangers.filter(({ heard }) => heard.startsWith('220'))
  expect(talking.length).toBeGreaterThan(POSSIBLE - 20)
  expect(talking.length).toBeLessThanOrEqual(POSSIBLE)
  expect((await statusOf(appliance)).room.turnedAway).toBeGreaterThanOrEqual(before + strangers.length - talking.length)
  expect((await appliance.decoymx('status')).stdout).toMatch(/the decoys were full: \d+ connections were turned away/)
  expect(appliance.said()).toContain('backup decoy: full; nobody is here who could make room, so newcomers are reset')
  expect(appliance.said()).not.toMatch(/EMFILE|could not come in/)
})
