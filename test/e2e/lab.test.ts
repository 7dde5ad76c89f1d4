/**
 * The lab: real mail servers deliver past our decoys to a real MX, in network namespaces, with a real DNS.
 *
 * What is promised: no message of an honest sender is lost, bounced or delayed by us, whichever way the primary meets it,
 * whether the real MX is up, down, or says "later"; and nobody of them is ever listed.
 *
 * The table is printed, and kept in docs/compatibility.md: with LAB_WRITE=1 it is written there, else compared.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import type { ClientView } from '../../src/answer/views.ts'
import { noNamespaces } from '../namespaces.ts'
import { ask } from '../../src/command/appliance.ts'
import type { Appliance } from './appliance.ts'
import {
  domainOf,
  HOLD_MS,
  type Lab,
  type LabSender,
  LAYOUTS,
  type Layout,
  type Mode,
  MODES,
  openLab,
  POISONED,
} from './lab/lab.ts'
import { type Column, COLUMNS, median, type Row, stepOf, table, verdictsIn } from './lab/matrix.ts'
import { noPackages } from './lab/packages.ts'
import { noRooms } from './lab/room.ts'
import { MAKES } from './lab/makes.ts'

/** Added by us, at most; OpenSMTPD makes a pause of its own before any second MX. */
const ADDED_MS = 500
const ADDED_WITH_PAUSE_MS = 3000
const ROUNDS = 3
/** A message that comes later than this came in another attempt. */
const ATTEMPT_MS = 30_000
/** Once the real MX is back: all that waits arrives in this time, told again and again to try now. */
const RECOVERY_MS = 120_000
const FLUSH_MS = 8000
/** From the last arrival to a queue that knows of it. */
const QUEUE_EMPTIES_MS = 15_000
const OUTAGE_MS = 120_000
const LATER_MS = 24_000
const POISONED_MESSAGES = 100

/** Where the real MX cannot take a message these try the backup in the same attempt, as RFC 5321 has it. */
const BY_THE_BACKUP = ['Postfix', 'Exim', 'dma']

/** Postfix keeps a session for the next message this long, and then some. */
const SESSION_ENDS_MS = 5000

const PAGE = join(import.meta.dirname, '../../docs/compatibility.md')
const DECOYED = LAYOUTS.filter((layout) => layout in COLUMNS) as readonly Column[]

const missing = inject('missing').filter((program) => ['postfix', 'swaks', 'dnsmasq', 'ip', 'nft'].includes(program))
const hindered = missing.length > 0 ? `missing: ${missing.join(', ')}` : (noNamespaces() ?? noRooms() ?? noPackages())
if (hindered !== undefined && process.env['CI']) throw new Error(hindered)
if (hindered !== undefined) process.stderr.write(`\nSkipped, test/e2e/lab: ${hindered}\n`)

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
        for (const layout of LAYOUTS) expect(await delivery(sender, layout), `${layout}, warming up`).toBeDefined()
        await becomesSuspect(appliances.held, sender)

        const before = await contacts(appliances, sender)
        const took = Object.fromEntries(LAYOUTS.map((layout) => [layout, [] as number[]])) as Record<Layout, number[]>
        for (let round = 0; round < ROUNDS; round++) {
          for (const layout of LAYOUTS) {
            await sender.forget()
            const ms = await delivery(sender, layout)
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
    `with the real MX down for ${OUTAGE_MS / 60_000} minutes and up again all mail arrives, and nobody is listed`,
    { timeout: OUTAGE_MS + RECOVERY_MS + 60_000 },
    async () => {
      appliances = await lab.appliances('slow')
      await lab.realMx.stop()
      const words = await sendWhile('down', OUTAGE_MS)
      expect(arrived(words)).toEqual([])
      await lab.realMx.start()
      await allArrive(words)
      await came(BY_THE_BACKUP)
      await nobodyListed(lab, appliances)
    },
  )

  test(
    'with the real MX answering 451 to everybody, before or after it asks us, all mail arrives in the end, and nobody is listed',
    { timeout: LATER_MS + RECOVERY_MS + 60_000 },
    async () => {
      appliances = await lab.appliances()
      await lab.realMx.behave('later')
      // A connection that is still open from before would go on as before.
      for (const sender of lab.senders) await sender.forget()
      const words = await sendWhile('later', LATER_MS)
      expect(arrived(words)).toEqual([])
      await lab.realMx.behave('takes')
      await allArrive(words)
      await came(BY_THE_BACKUP)
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
      expect(await delivery(sender, 'reset')).toBeDefined()
    },
  )

  /** These did come to the backup, as they should: what is promised then is not promised of nobody. */
  async function came(names: readonly string[]): Promise<void> {
    for (const name of names) {
      const seen = await contacts(appliances, senderOf(lab, name))
      process.stderr.write(`${name}: ${JSON.stringify(seen)}\n`)
      for (const mode of MODES) expect(seen[mode].backup, `${name} at ${mode}`).toBeGreaterThan(0)
    }
  }

  /** Every sender sends to every layout, twice, and is told again and again to try now. */
  async function sendWhile(what: string, lastsMs: number): Promise<readonly string[]> {
    const words: string[] = []
    const until = performance.now() + lastsMs
    for (let turn = 0; performance.now() < until; turn++) {
      const next = Math.min(until, performance.now() + FLUSH_MS)
      if (turn % 5 === 0)
        await Promise.all(
          lab.senders.map(async (sender) => {
            for (const layout of DECOYED) {
              const word = wordFor(sender, `${what}${turn}`, layout)
              await sender.send(word, `postbox@${domainOf(layout)}`)
              words.push(word)
            }
          }),
        )
      else await Promise.all(lab.senders.map((sender) => sender.flush()))
      await pause(next - performance.now())
    }
    return words
  }

  function arrived(words: readonly string[]): string[] {
    return words.filter((word) => lab.realMx.arrivals.of(word).length > 0)
  }

  async function allArrive(words: readonly string[]): Promise<void> {
    const since = performance.now()
    const left = () => {
      const there = new Set(arrived(words))
      return words.filter((word) => !there.has(word))
    }
    const late = performance.now() + RECOVERY_MS
    while (left().length > 0 && performance.now() < late) {
      await Promise.all(lab.senders.map((sender) => sender.flush()))
      const next = performance.now() + FLUSH_MS
      for (const word of left()) await lab.realMx.arrivals.next(word, next - performance.now())
    }
    for (const sender of lab.senders) {
      const own = words
        .filter((word) => word.startsWith(wordOf(sender)))
        .flatMap((word) => lab.realMx.arrivals.of(word))
      const lastMs = Math.max(...own) - since
      process.stderr.write(`${sender.name}: ${own.length} messages, the last after ${(lastMs / 1000).toFixed(1)} s\n`)
    }
    const stories = left().length === 0 ? [] : await Promise.all(lab.senders.map((sender) => sender.story()))
    expect(left(), stories.join('\n')).toEqual([])
    for (const sender of lab.senders) await until(QUEUE_EMPTIES_MS, async () => (await sender.waiting()) === 0)
    expect(cameBack(lab)).toEqual([])
  }

  /** How long a message took to the mailbox, or undefined when it has not come in one attempt. */
  async function delivery(sender: LabSender, layout: Layout): Promise<number | undefined> {
    const word = wordFor(sender, 'once', layout)
    const since = performance.now()
    const [at] = await Promise.all([
      lab.realMx.arrivals.next(word, ATTEMPT_MS),
      sender.send(word, `postbox@${domainOf(layout)}`),
    ])
    return at === undefined ? undefined : at - since
  }
})

/** Notices that a message is given up: they have no sender. Some only tell early that it waits: it is not lost by that. */
function cameBack({ realMx }: Lab): string[] {
  return [...realMx.bounces.texts, ...realMx.arrivals.texts].filter(
    (text) =>
      /^Return-Path: <>/m.test(text) &&
      !/^Subject:.*\b(delayed|warning)\b/im.test(text) &&
      !/^Action: delayed/im.test(text),
  )
}

let words = 0
function wordFor(sender: LabSender, what: string, layout: Layout): string {
  return `${wordOf(sender)}${what}_${layout}_${words++}`
}

function wordOf({ name }: LabSender): string {
  return `${name.replaceAll(/\W+/g, '')}_`
}

function senderOf(lab: Lab, name: string): LabSender {
  const sender = lab.senders.find((each) => each.name === name)
  if (!sender) throw new Error(`the lab has no ${name}`)
  return sender
}

/** What `why --json` prints, without its start. */
async function view({ folder }: Appliance, address: string): Promise<ClientView> {
  const { status, body } = await ask(join(folder, 'state'), 'GET', `/api/v1/clients/${encodeURIComponent(address)}`)
  expect(status).toBe(200)
  return body as ClientView
}

/** Of what was waived, under its reason, or waits: `outage.contact`, `contact`. */
function contactsIn(kinds: Readonly<Record<string, number>>): number {
  return Object.entries(kinds)
    .filter(([kind]) => /(^|\.)contact$/.test(kind))
    .reduce((all, [, count]) => all + count, 0)
}

type Contacts = { readonly primary: number; readonly backup: number; readonly foreign: number }

/** What each appliance has seen of the sender, under all its addresses. */
async function contacts(
  appliances: Readonly<Record<Mode, Appliance>>,
  sender: LabSender,
): Promise<Record<Mode, Contacts>> {
  const counts = MODES.map(async (mode) => {
    const views = await Promise.all(sender.addresses.map((address) => view(appliances[mode], address)))
    const sum = (count: (view: ClientView) => number) => views.map(count).reduce((all, each) => all + each, 0)
    return [
      mode,
      {
        primary: sum(({ contacts: { primary } }) => primary),
        backup: sum(({ contacts: { backup }, waived, pending }) => backup + contactsIn(waived) + contactsIn(pending)),
        foreign: sum(({ facts }) => facts['backup.foreign-recipient'] ?? 0),
      },
    ] as const
  })
  return Object.fromEntries(await Promise.all(counts)) as Record<Mode, Contacts>
}

async function becomesSuspect(appliance: Appliance, sender: LabSender): Promise<void> {
  await until(10_000, async () => (await view(appliance, sender.addresses[0] as string)).verdict === 'defer')
}

/** Nothing speaks against any sender; only where the lab's own rule holds everybody, that rule does. */
async function nobodyListed(lab: Lab, appliances: Readonly<Record<Mode, Appliance>>): Promise<void> {
  for (const mode of MODES) {
    for (const sender of lab.senders) {
      for (const address of sender.addresses) {
        const { verdict, reasons, contacts: seen } = await view(appliances[mode], address)
        const against = reasons.filter(({ rule, weight }) => weight > 0 && rule !== 'lab-suspect')
        const told = `${sender.name} (${address}) at ${mode}, seen ${JSON.stringify(seen)}`
        expect(against, told).toEqual([])
        if (mode !== 'held') expect(verdict, told).toBe('clean')
      }
    }
  }
}

/** Looks again until it is so. */
async function until(deadlineMs: number, isSo: () => Promise<boolean>): Promise<void> {
  const late = performance.now() + deadlineMs
  while (!(await isSo())) {
    if (performance.now() > late) throw new Error(`it has not become so within ${deadlineMs / 1000} s`)
    await pause(500)
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)))
}

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
