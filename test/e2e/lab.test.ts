/**
 * The lab: real mail servers deliver past our decoys to a real MX, in network namespaces, with a real DNS.
 *
 * What is promised: no message of an honest sender is lost, bounced or delayed by us, whichever way the primary meets it,
 * whether the real MX is up, down (outage.test.ts, in a lab of its own beside this one), or says "later"; and nobody of them
 * is ever listed.
 *
 * The table is printed, and kept in docs/compatibility.md: with LAB_WRITE=1 it is written there, else compared.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Appliance } from './appliance.ts'
import { hindranceOf } from './lab/hindrance.ts'
import { HOLD_MS, type Lab, LAYOUTS, type Layout, type Mode, MODES, openLab, OUTAGE_MS, POISONED } from './lab/lab.ts'
import { MAKES } from './lab/makes.ts'
import { allArrive, arrived, cameBack, DECOYED, delivery, pause, RECOVERY_MS, sendWhile, until } from './lab/mail.ts'
import { type Column, COLUMNS, median, type Row, stepOf, table, verdictsIn } from './lab/matrix.ts'
import { becomesSuspect, cameToTheBackup, contacts, nobodyListed, senderOf } from './lab/sightings.ts'

/** Added by us, at most; OpenSMTPD makes a pause of its own before any second MX. */
const ADDED_MS = 500
const ADDED_WITH_PAUSE_MS = 3000
const ROUNDS = 3
const LATER_MS = 24_000
const POISONED_MESSAGES = 100

/** Postfix keeps a session for the next message this long, and then some. */
const SESSION_ENDS_MS = 5000

const PAGE = join(import.meta.dirname, '../../docs/compatibility.md')
const hindered = hindranceOf('test/e2e/lab', ['postfix', 'swaks', 'dnsmasq', 'ip', 'nft'])

describe.skipIf(hindered !== undefined)('the lab', () => {
  let lab: Lab
  let appliances: Readonly<Record<Mode, Appliance>>

  beforeAll(async () => {
    lab = await openLab()
  }, 240_000)

  afterAll(async () => {
    await lab?.end()
  }, 60_000)

  describe('past a decoy at the primary', () => {
    const rows: Row[] = []
    const details: string[] = []

    beforeAll(async () => {
      appliances = await lab.appliances()
    }, 60_000)

    test.each(MAKES.map(({ name }) => name))(
      '%s delivers in the same attempt, and as soon',
      { timeout: 180_000 },
      async (name) => {
        const sender = senderOf(lab, name)
        // The first contact makes a suspect, and starts what a real MX starts when it is needed.
        for (const layout of LAYOUTS) expect(await delivery(lab, sender, layout), `${layout}, warming up`).toBeDefined()
        await becomesSuspect(appliances.held, sender)

        const before = await contacts(appliances, sender)
        const took = Object.fromEntries(LAYOUTS.map((layout) => [layout, [] as number[]])) as Record<Layout, number[]>
        for (let round = 0; round < ROUNDS; round++) {
          for (const layout of LAYOUTS) {
            await sender.forget()
            const ms = await delivery(lab, sender, layout)
            expect(
              ms,
              `${layout}: the message has not come\n${ms === undefined ? await sender.story() : ''}`,
            ).toBeDefined()
            took[layout].push(ms as number)
          }
        }
        const added = Object.fromEntries(
          DECOYED.map((layout) => [layout, median(took[layout]) - median(took[COLUMNS[layout].against])]),
        ) as Record<Column, number>
        details.push(
          `${name}: ${LAYOUTS.map((layout) => `${layout} ${took[layout].map((ms) => (ms / 1000).toFixed(2)).join(' ')}`).join('; ')}`,
        )
        rows.push({
          name,
          version: sender.version.split('.').slice(0, 2).join('.'),
          cells: Object.fromEntries(DECOYED.map((layout) => [layout, stepOf(added[layout])])),
        })

        const allowed = sender.pausesMs > 0 ? ADDED_WITH_PAUSE_MS : ADDED_MS
        for (const layout of DECOYED)
          expect(added[layout], `${layout}: ${details.at(-1)}`).toBeLessThan(
            allowed + (layout === 'held' ? HOLD_MS : 0),
          )
        // The kernel is asked every few seconds whom it refused.
        await until(10_000, async () => {
          const after = await contacts(appliances, sender)
          return MODES.every((mode) => after[mode].primary - before[mode].primary >= ROUNDS)
        })
        for (const mode of MODES)
          expect((await contacts(appliances, sender))[mode].backup, `${mode}: it never needed the backup`).toBe(0)
      },
    )

    test('nobody is listed, and nothing came back', async () => {
      await nobodyListed(lab, appliances)
      expect(cameBack(lab)).toEqual([])
    })

    test('docs/compatibility.md tells what was measured', () => {
      const page = pageOf(rows)
      process.stderr.write(`\n${table(rows)}\n\nseconds of each message:\n${details.join('\n')}\n\n`)
      if (process.env['LAB_WRITE'] === '1') writeFileSync(PAGE, page)
      expect(verdictsIn(readFileSync(PAGE, 'utf8'))).toEqual(verdictsIn(page))
    })
  })

  test(
    'with the real MX answering 451 to everybody, before or after it asks us, all mail arrives in the end, and nobody is listed',
    { timeout: LATER_MS + RECOVERY_MS + 60_000 },
    async () => {
      appliances = await lab.appliances()
      await lab.realMx.behave('later')
      // A connection that is still open from before would go on as before.
      for (const sender of lab.senders) await sender.forget()
      const words = await sendWhile(lab, 'later', LATER_MS)
      expect(arrived(lab, words)).toEqual([])
      await lab.realMx.behave('takes')
      await allArrive(lab, words)
      await cameToTheBackup(lab, appliances)
      await nobodyListed(lab, appliances)
    },
  )

  test(
    `a foreign domain whose MX is our backup: a real Postfix delivers to it ${POISONED_MESSAGES} times, and is never listed`,
    { timeout: 120_000 },
    async () => {
      appliances = await lab.appliances()
      const sender = senderOf(lab, 'Postfix')
      for (let i = 0; i < POISONED_MESSAGES; i++) await sender.send(`poison${i}`, `somebody${i}@${POISONED}`)
      // It puts several messages into one session while it has any: so it takes a few rounds, with a pause after each.
      const late = performance.now() + 90_000
      const visits = async () => (await contacts(appliances, sender)).reset.foreign
      while ((await visits()) < POISONED_MESSAGES && performance.now() < late) {
        await pause(SESSION_ENDS_MS)
        await sender.flush()
      }
      expect(await visits()).toBeGreaterThanOrEqual(POISONED_MESSAGES)
      await nobodyListed(lab, appliances)
      expect(await delivery(lab, sender, 'reset')).toBeDefined()
    },
  )
})

function pageOf(rows: readonly Row[]): string {
  return `# Which senders get past the decoys

Measured, not claimed: this page is written by \`test/e2e/lab.test.ts\`, and each run of the lab measures anew and compares.

Real mail servers, each in a network namespace of its own, send to domains with a real MX (Postfix), a primary decoy before it
and a backup decoy behind it, and to the same domain without decoys. A cell says how much later the message came than
without decoys: the middle one of ${ROUNDS}, in steps. Every message came in the same attempt; none came back.

${table(rows)}

- OpenSMTPD makes a pause of about two seconds by itself before it tries any second MX.
- "Held" is what a suspect meets: nobody who is not suspected is held. Its column contains the second of holding.
- The lab also stops the real MX for ${OUTAGE_MS / 60_000} minutes, lets it answer 451 to everybody, and has a foreign domain point its MX at our
  backup decoy. All mail arrived, nothing came back, and nobody was listed.
`
}
