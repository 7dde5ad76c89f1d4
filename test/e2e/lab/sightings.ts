/**
 * What the appliances of the lab have seen of the senders, and what they conclude of it.
 */
import { join } from 'node:path'
import { expect } from 'vitest'
import type { ClientView } from '../../../src/answer/views.ts'
import { ask } from '../../../src/command/appliance.ts'
import type { Appliance } from '../appliance.ts'
import { type Lab, type LabSender, type Mode, MODES } from './lab.ts'
import { until } from './mail.ts'

/** Where the real MX cannot take a message these try the backup in the same attempt, as RFC 5321 has it. */
const BY_THE_BACKUP = ['Postfix', 'Exim', 'dma']

type Appliances = Readonly<Record<Mode, Appliance>>
type Contacts = { readonly primary: number; readonly backup: number; readonly foreign: number }

/** What each appliance has seen of the sender, under all its addresses. */
export async function contacts(appliances: Appliances, sender: LabSender): Promise<Record<Mode, Contacts>> {
  const counts = MODES.map(async (mode) => {
    const views = await Promise.all(sender.addresses.map((address) => view(appliances[mode], address)))
    const sum = (count: (view: ClientView) => number) => views.map(count).reduce((all, each) => all + each, 0)
    return [
      mode,
      {
        primary: sum((each) => each.contacts!.primary),
        backup: sum((each) => each.contacts!.backup + contactsIn(each.waived) + contactsIn(each.pending)),
        foreign: sum(({ facts }) => facts['backup.foreign-recipient'] ?? 0),
      },
    ] as const
  })
  return Object.fromEntries(await Promise.all(counts)) as Record<Mode, Contacts>
}

/** Once the held appliance would defer it. */
export async function becomesSuspect(appliance: Appliance, sender: LabSender): Promise<void> {
  await until(10_000, async () => (await view(appliance, sender.addresses[0] as string)).verdict === 'defer')
}

/** Nothing speaks against any sender; only where the lab's own rule holds everybody, that rule does. */
export async function nobodyListed(lab: Lab, appliances: Appliances): Promise<void> {
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

/** These did come to the backup, as they should: what is promised then is not promised of nobody. */
export async function cameToTheBackup(lab: Lab, appliances: Appliances): Promise<void> {
  for (const name of BY_THE_BACKUP) {
    const seen = await contacts(appliances, senderOf(lab, name))
    process.stderr.write(`${name}: ${JSON.stringify(seen)}\n`)
    for (const mode of MODES) expect(seen[mode].backup, `${name} at ${mode}`).toBeGreaterThan(0)
  }
}

export function senderOf(lab: Lab, name: string): LabSender {
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
