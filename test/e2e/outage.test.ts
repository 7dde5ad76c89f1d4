/**
 * The real MX goes down, and honest senders wait for it: a lab of its own (see lab.test.ts), which mostly waits, too, so
 * that it runs beside the other.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hindranceOf } from './lab/hindrance.ts'
import { type Lab, openLab, OUTAGE_MS } from './lab/lab.ts'
import { allArrive, arrived, RECOVERY_MS, sendWhile } from './lab/mail.ts'
import { cameToTheBackup, nobodyListed } from './lab/sightings.ts'

const hindered = hindranceOf('test/e2e/outage', ['postfix', 'swaks', 'dnsmasq', 'ip', 'nft'])

describe.skipIf(hindered !== undefined)('the lab', () => {
  let lab: Lab

  beforeAll(async () => {
    lab = await openLab()
  }, 240_000)

  afterAll(async () => {
    await lab?.end()
  }, 60_000)

  test(
    `with the real MX down for ${OUTAGE_MS / 60_000} minutes and up again all mail arrives, and nobody is listed`,
    { timeout: OUTAGE_MS + RECOVERY_MS + 60_000 },
    async () => {
      const appliances = await lab.appliances('slow')
      await lab.realMx.stop()
      const words = await sendWhile(lab, 'down', OUTAGE_MS)
      expect(arrived(lab, words)).toEqual([])
      await lab.realMx.start()
      await allArrive(lab, words)
      await cameToTheBackup(lab, appliances)
      await nobodyListed(lab, appliances)
    },
  )
})
