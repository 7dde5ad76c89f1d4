/** What the settings say about AUTH and STARTTLS, as a client of the running appliance meets it. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { expect, inject, onTestFinished, test } from 'vitest'
import { certificateFiles } from '../certificate.ts'
import { Visitor } from '../decoy/visitors.ts'
import { type Appliance, startAppliance } from './appliance.ts'

const ANY = ['127.0.0.1:0']
const EHLO = 'EHLO mail.sender.example'

async function start(backup: Record<string, unknown>): Promise<Appliance> {
  const decoys = { primary: { listen: ANY, proxy: ANY }, backup: { listen: ANY, proxy: ANY, ...backup } }
  const appliance = await startAppliance({ settings: { decoys } })
  onTestFinished(() => appliance.clear())
  return appliance
}

const call = (appliance: Appliance) => {
  const visitor = new Visitor(connect({ ...appliance.door('backup decoy'), allowHalfOpen: true }))
  onTestFinished(() => void visitor.socket.destroy())
  return visitor
}

test('AUTH is a bait, unless the settings say no', async () => {
  const [, offered] = await call(await start({})).walk(EHLO)
  expect(offered).toMatch(/^250[- ]AUTH /m)
  expect(offered).not.toContain('STARTTLS')
  const visitor = call(await start({ auth: false }))
  expect((await visitor.walk(EHLO))[1]).not.toContain('AUTH')
  expect(await visitor.ask('AUTH LOGIN')).toMatch(/^451 /)
})

test.skipIf(inject('missing').includes('openssl'))('STARTTLS shows the certificate of the settings', async () => {
  const visitor = call(await start({ tls: certificateFiles('mx9.of.the.settings') }))
  expect((await visitor.walk(EHLO))[1]).toContain('STARTTLS')
  expect(await visitor.ask('STARTTLS')).toMatch(/^220 /)
  visitor.socket.removeAllListeners('data')
  const tls = connectTls({ socket: visitor.socket, rejectUnauthorized: false })
  await once(tls, 'secureConnect')
  expect(tls.getPeerCertificate().subject.CN).toBe('mx9.of.the.settings')
})
