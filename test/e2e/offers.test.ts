/** What the settings say about AUTH and STARTTLS, as a client of the running appliance meets it. */
import { once } from 'node:events'
import { copyFileSync } from 'node:fs'
import { connect } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { expect, inject, onTestFinished, test } from 'vitest'
import type { StatusView } from '../../src/daemon/status-view.ts'
import { type CertificateFiles, certificateFiles } from '../certificate.ts'
import { Visitor } from '../decoy/visitors.ts'
import { type Appliance, startAppliance } from './appliance.ts'

const ANY = ['127.0.0.1:0']
const EHLO = 'EHLO mail.sender.example'

async function start(backup: Record<string, unknown>, workers = 0): Promise<Appliance> {
  const decoys = { workers, primary: { listen: ANY, proxy: ANY }, backup: { listen: ANY, proxy: ANY, ...backup } }
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
  expect(await visitor.ask('AUTH LOGIN')).toMatch(/^403 /)
})

test.skipIf(inject('missing').includes('openssl'))('STARTTLS shows the certificate of the settings', async () => {
  expect(await nameShown(await start({ tls: certificateFiles('mx9.of.the.settings') }))).toBe('mx9.of.the.settings')
})

test.skipIf(inject('missing').includes('openssl')).each([0, 1])(
  'a certificate that was renewed is shown from SIGHUP or reload on, and a bad one is not, with %i workers',
  async (workers) => {
    const [files, renewed, again] = ['first', 'second', 'third'].map((name, i) =>
      certificateFiles(`${name}.example`, 10 * (i + 1)),
    ) as [CertificateFiles, CertificateFiles, CertificateFiles]
    const daysLeft = async () => {
      const { certificates } = JSON.parse((await appliance.decoymx('status', '--json')).stdout) as StatusView
      expect(certificates).toMatchObject([{ setting: 'decoys.backup.tls.certificate' }])
      return Math.round((Date.parse(certificates[0]?.notAfter ?? '') - Date.now()) / 86_400_000)
    }
    const put = (from: CertificateFiles, parts: readonly (keyof CertificateFiles)[] = ['certificate', 'key']) => {
      for (const part of parts) copyFileSync(from[part], files[part])
    }
    const appliance = await start({ tls: files }, workers)
    expect([await nameShown(appliance), await daysLeft()]).toEqual(['first.example', 10])
    expect((await appliance.decoymx('status')).stdout).toMatch(
      /decoys\.backup\.tls\.certificate ends on [\d-]+, in \d+ d/,
    )
    let mark = appliance.mark()
    put(renewed)
    appliance.signal('SIGHUP')
    await appliance.heard(/secrets: password and certificate read anew/, mark)
    await expect.poll(() => nameShown(appliance)).toBe('second.example')

    mark = appliance.mark()
    put(again, ['certificate'])
    appliance.signal('SIGHUP')
    await appliance.heard(/belongs to another certificate[^]*secrets: not taken; what the file said before stays/, mark)
    expect([await nameShown(appliance), await daysLeft()]).toEqual(['second.example', 20])
    expect((await appliance.decoymx('status')).stdout).not.toContain('decoys.backup.tls.certificate')
    put(again)
    expect((await appliance.decoymx('reload')).code).toBe(0)
    await expect.poll(() => nameShown(appliance)).toBe('third.example')
    expect(await daysLeft()).toBe(30)
  },
)

/** Whose certificate a client sees after STARTTLS. */
async function nameShown(appliance: Appliance): Promise<unknown> {
  const visitor = call(appliance)
  expect((await visitor.walk(EHLO))[1]).toContain('STARTTLS')
  expect(await visitor.ask('STARTTLS')).toMatch(/^220 /)
  visitor.socket.removeAllListeners('data')
  const tls = connectTls({ socket: visitor.socket, rejectUnauthorized: false })
  await once(tls, 'secureConnect')
  const { CN } = tls.getPeerCertificate().subject
  tls.destroy()
  return CN
}
