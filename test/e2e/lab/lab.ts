/**
 * The lab, put together: DNS, a real MX, every sender, and an appliance for each way of meeting clients at the primary.
 *
 * A layout is a domain: which MX records it has, and so which decoys a sender meets. The layouts without decoys are the
 * controls: what a sender does there, it does by itself.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Place } from '../../namespaces.ts'
import { type Appliance, startAppliance } from '../appliance.ts'
import { serveZone } from './dns.ts'
import { layNetwork } from './network.ts'
import { type RealMx, startRealMx } from './real-mx.ts'
import { MAKES, type Make } from './makes.ts'
import { type Sender, startSender } from './senders.ts'

export const LAYOUTS = ['control', 'reset', 'kernel', 'held', 'control6', 'reset6'] as const
export type Layout = (typeof LAYOUTS)[number]

/** How the primary meets a client whom it need not fear. */
export const MODES = ['reset', 'kernel', 'held'] as const
export type Mode = (typeof MODES)[number]

export type LabSender = Sender & { readonly addresses: readonly string[] }

export type Lab = {
  readonly realMx: RealMx
  readonly senders: readonly LabSender[]
  /** A fresh appliance for each mode, that has never seen anybody; what was there is cleared away. */
  readonly appliances: (pace?: 'brisk' | 'slow') => Promise<Readonly<Record<Mode, Appliance>>>
  readonly end: () => Promise<void>
}

/** How long a suspect is held at the primary here. */
export const HOLD_MS = 1000
/** How long the real MX is down here. */
export const OUTAGE_MS = 120_000

const NAMESERVER = '192.0.2.53'
const ORIGIN = 'origin.example'
/** A stranger's domain, whose only MX is our backup decoy. */
export const POISONED = 'poisoned.example'

/** Addresses of each layout: the real MX and, where there are decoys, the primary and the backup. */
const ADDRESSES: Record<Layout, readonly [real: string, primary?: string, backup?: string]> = {
  control: ['192.0.2.20'],
  reset: ['192.0.2.21', '192.0.2.31', '192.0.2.41'],
  kernel: ['192.0.2.22', '192.0.2.32', '192.0.2.42'],
  held: ['192.0.2.23', '192.0.2.33', '192.0.2.43'],
  control6: ['2001:db8:0:2::20'],
  reset6: ['2001:db8:0:2::21', '2001:db8:0:2::31', '2001:db8:0:2::41'],
}
/** Where the real MX says "later" before it has asked us about the client, and where after. */
const LATER_IS: Record<Layout, 'unasked' | 'asked'> = {
  control: 'unasked',
  reset: 'unasked',
  kernel: 'asked',
  held: 'unasked',
  control6: 'unasked',
  reset6: 'asked',
}
/** The layouts that an appliance looks after. */
const LOOKED_AFTER: Record<Mode, readonly Layout[]> = { reset: ['reset', 'reset6'], kernel: ['kernel'], held: ['held'] }

export function domainOf(layout: Layout): string {
  return `${layout}.example`
}

export async function openLab(): Promise<Lab> {
  const folder = mkdtempSync(join(tmpdir(), 'dmx-lab-'))
  const network = await layNetwork()
  const running: Partial<Record<Mode, Appliance>> = {}
  let realMx: RealMx | undefined
  const senders: LabSender[] = []
  const clear = async () => {
    for (const mode of MODES) await running[mode]?.clear()
  }
  const end = async () => {
    const ends = await Promise.allSettled([clear(), realMx?.end(), ...senders.map((sender) => sender.end())])
    await network.end()
    rmSync(folder, { recursive: true, force: true })
    for (const each of ends) if (each.status === 'rejected') throw each.reason as Error
  }
  try {
    await serveZone(await network.host('dns', NAMESERVER), zone())
    realMx = await startRealMx({
      place: await network.host('mx', ...LAYOUTS.map((layout) => ADDRESSES[layout][0])),
      nameserver: NAMESERVER,
      doors: LAYOUTS.map((layout) => ({
        address: ADDRESSES[layout][0],
        policy: askedBy(layout),
        laterIs: LATER_IS[layout],
      })),
      domains: LAYOUTS.map(domainOf),
      origin: ORIGIN,
    })
    const starting = MAKES.map(async (make, i) => {
      const addresses = addressesOf(i)
      const place = await network.host(`sender${i}`, ...addresses)
      const options = { place, host: hostOf(make), nameserver: NAMESERVER, from: `someone@${ORIGIN}` }
      senders.push({ ...(await startSender(make, options)), addresses })
    })
    const starts = await Promise.allSettled(starting)
    for (const start of starts) if (start.status === 'rejected') throw start.reason as Error

    const places = {} as Record<Mode, Place>
    for (const mode of MODES) {
      const addresses = LOOKED_AFTER[mode].flatMap((layout) => ADDRESSES[layout].slice(1) as string[])
      places[mode] = await network.host(mode, ...addresses)
    }
    return {
      realMx,
      senders: senders.toSorted((a, b) => orderOf(a) - orderOf(b)),
      async appliances(pace = 'brisk') {
        await clear()
        for (const mode of MODES) {
          const rules = join(folder, `${mode}.yaml`)
          writeFileSync(rules, rulesFor(mode))
          running[mode] = await startAppliance({
            launch: ['ip', 'netns', 'exec', places[mode].name],
            rules,
            settings: settingsFor(mode, pace),
          })
        }
        return running as Record<Mode, Appliance>
      },
      end,
    }
  } catch (error) {
    await end()
    throw error
  }
}

function orderOf({ name }: Sender): number {
  return MAKES.findIndex((make) => make.name === name)
}

/** Each sender in networks of its own: what one does must not speak for another. */
function addressesOf(i: number): readonly [string, string] {
  return [`198.18.${i + 1}.25`, `2001:db8:${i + 1}::25`]
}

function hostOf({ name }: Make): string {
  return `mail.${name.replaceAll(/[^a-z0-9]+/gi, '-').toLowerCase()}.example`
}

function zone() {
  const hosts: Record<string, readonly string[]> = {}
  const mx: Record<string, readonly (readonly [number, string])[]> = {
    [ORIGIN]: [[20, `mx1.${domainOf('control')}`]],
    [POISONED]: [[10, `mx9.${domainOf('reset')}`]],
  }
  MAKES.forEach((make, i) => (hosts[hostOf(make)] = addressesOf(i)))
  for (const layout of LAYOUTS) {
    const domain = domainOf(layout)
    const [real, primary, backup] = ADDRESSES[layout]
    hosts[`mx1.${domain}`] = [real]
    if (primary) hosts[`mx0.${domain}`] = [primary]
    if (backup) hosts[`mx9.${domain}`] = [backup]
    mx[domain] = [
      ...(primary ? [[10, `mx0.${domain}`] as const] : []),
      [20, `mx1.${domain}`],
      ...(backup ? [[30, `mx9.${domain}`] as const] : []),
    ]
  }
  return { hosts, mx }
}

function applianceOf(layout: Layout): Mode | undefined {
  return MODES.find((mode) => LOOKED_AFTER[mode].includes(layout))
}

function policyAt(mode: Mode): string {
  return `${ADDRESSES[mode][2]}:10040`
}

/** Whom the real MX asks. Where everybody is held it asks nobody: to be deferred there would hide what the hold costs. */
function askedBy(layout: Layout): string | undefined {
  const mode = applianceOf(layout)
  return mode === undefined || mode === 'held' ? undefined : policyAt(mode)
}

function spelled(address: string): string {
  return address.includes(':') ? `[${address}]:25` : `${address}:25`
}

function settingsFor(mode: Mode, pace: 'brisk' | 'slow'): Record<string, unknown> {
  const at = (which: 0 | 1 | 2) => LOOKED_AFTER[mode].map((layout) => spelled(ADDRESSES[layout][which] as string))
  return {
    decoys: {
      primary: { name: `mx0.${domainOf(mode)}`, listen: at(1), proxy: [], kernel: mode === 'kernel' },
      backup: { name: `mx9.${domainOf(mode)}`, listen: at(2), proxy: [] },
      pace,
      limits: { 'suspect-hold': `${HOLD_MS}ms` },
    },
    policy: { listen: [policyAt(mode)] },
    'real-mx': { greet: at(0), every: '5s' },
  }
}

/** The rules that we ship, for the lab's domains; where suspects are wanted, whoever has called at the primary is one. */
function rulesFor(mode: Mode): string {
  const shipped = readFileSync(join(import.meta.dirname, '../../../rules.yaml'), 'utf8')
  const domains = `domains: [${LOOKED_AFTER[mode].map(domainOf).join(', ')}]`
  const rules = shipped.replace(/^domains:\n( +- .*\n)+/m, () => `${domains}\n`)
  if (!rules.includes(domains)) throw new Error('rules.yaml has no list of domains any more')
  return mode === 'held' ? rules.replace(/^rules:\n/m, (line) => `${line}${SUSPECT}`) : rules
}

const SUSPECT = `  - name: lab-suspect
    counts: primary.contact
    weight: 75
    half-life: 7d
    window: 14d
    cap: 75
    because: in the lab, whoever calls at the primary is a suspect
`
