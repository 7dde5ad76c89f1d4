/**
 * The decoys' part of the house: both decoys with their doors, in the process of the appliance or in one of its workers.
 *
 * It is handed how to decide and how to witness, and does not know whether the journal is in this process.
 */
import type { Client } from '../core/client.ts'
import type { Witness } from '../core/evidence.ts'
import { Prefixes } from '../core/prefixes.ts'
import type { Rules } from '../core/rules.ts'
import { type Guest, whoOf } from '../decoy/crowd.ts'
import type { Offers } from '../decoy/dialogue.ts'
import { Decoy, type DecoyCounts } from '../decoy/listener.ts'
import type { DecoyHappening, Regard, Via } from '../decoy/happenings.ts'
import { Berths } from '../decoy/room.ts'
import { type Bare, bare } from '../libc/bare.ts'
import type { Look } from '../decoy/look.ts'
import type { Report } from '../decoy/shares.ts'
import type { Decide } from '../reputation/decision.ts'
import { Certificate, type Unsound } from '../settings/certificate.ts'
import { connectionsPossible } from './open-files.ts'
import { type Address, spellAddress } from '../settings/places.ts'
import { type Settings } from '../settings/settings.ts'
import { type Door, type DoorHappening, type Note, openDoor, tcp } from './sockets.ts'
import { canarySocket } from '../settings/state.ts'

const DECOY_ROLES = ['primary', 'backup'] as const
/** How often memory is looked at. */
const BEAT_MS = 1000

type DecoyRole = (typeof DECOY_ROLES)[number]

export type DecoysOptions = {
  readonly settings: Settings['decoys']
  readonly rules: () => Rules
  readonly decide: Decide
  readonly witness: Witness
  readonly tell: (happening: DecoyHappening) => void
  readonly door: (happening: DoorHappening) => void
  /** Is the real MX known to be away? */
  readonly outage?: (() => boolean) | undefined
  /** How the real MX looks, once it has been greeted. */
  readonly looksLike?: (() => Look | undefined) | undefined
  /** So many processes listen on the same addresses. */
  readonly workers?: number | undefined
  /** The state directory, where the canary comes in; undefined: not to this process. */
  readonly canary: string | undefined
  /** The process has more memory than it may, and so many held connections were let go. */
  readonly pressed: (shed: number) => void
  readonly now: () => number
}

export type Decoys = {
  readonly doors: readonly Door[]
  readonly counts: () => Record<DecoyRole, DecoyCounts>
  /** Some of those who are here now, the longest first. */
  readonly guests: () => readonly Guest[]
  readonly ofClient: (client: Client) => Promise<Found>
  /** What stands for clients has changed. */
  readonly reconsider: () => void
  /** The rules are others, and so may be what stands. */
  readonly rulesChanged: () => void
  /** Who can never be listed has changed. */
  readonly neverChanged: () => void
  /** The certificate for STARTTLS is read again; what is wrong with it, while the one before stays in use. */
  readonly renewCertificate: () => Unsound | undefined
  readonly close: () => Promise<void>
}

/** A client's connections: how many, and some of them; `silent`: so many workers did not say in time what they have of it. */
export type Found = { readonly count: number; readonly some: readonly Guest[]; readonly silent: number }

/** All that was found, as one: those who are here longest first. */
export function foundTogether(all: readonly Found[]): Found {
  return {
    count: all.reduce((sum, { count }) => sum + count, 0),
    some: all.flatMap(({ some }) => some).toSorted((a, b) => a.since - b.since),
    silent: all.reduce((sum, { silent }) => sum + silent, 0),
  }
}

/** So many of each decoy are told, in a dialogue and held; of each process. */
const GUESTS_MAX = 25

/** To and from the other processes that share them. */
export type Shared = {
  readonly reports: () => Record<DecoyRole, Report>
  /** True while there may be too many of something: to be called again soon. */
  readonly hear: (news: Record<DecoyRole, Report | undefined>) => boolean
}

/** Settles when each door has been tried once. */
export async function openDecoys(options: DecoysOptions): Promise<Decoys & Shared> {
  const { settings, rules, decide, witness, tell, now } = options
  const doors: Door[] = []
  const berths = new Berths({
    files: connectionsPossible(),
    memoryBytes: settings.limits['max-megabytes'] * 1024 * 1024,
    rss: () => process.memoryUsage.rss(),
  })
  const { tls } = settings.backup
  const certificate = tls && new Certificate(tls)
  const lines = bareOf(settings)
  const make = (role: DecoyRole) =>
    new Decoy({
      ...optionsOf(role, settings, certificate),
      bare: typeof lines === 'string' ? undefined : lines,
      berths,
      workers: options.workers,
      outage: options.outage,
      looksLike: options.looksLike,
      regard: regardOf(role, decide),
      protects: (domain) => rules().protects(domain),
      isTrap: (address) => rules().isTrap(address),
      witness,
      tell,
      now,
    })
  const decoys = { primary: make('primary'), backup: make('backup') }
  for (const { name, address, via, roles } of decoyDoors(settings)) {
    const sharers = roles.map((role) => decoys[role])
    const server = (sharers[0] as Decoy).server(via, via === 'direct' ? ownersOf(sharers, settings) : undefined)
    const door = await openDoor(name, address, tcp(server, options.workers !== undefined), options.door)
    doors.push(Object.assign(door, { note: () => noteOf(settings) }))
  }
  const trapdoors: Door[] = []
  if (options.canary !== undefined)
    for (const role of DECOY_ROLES) {
      const place = { host: 'unix', port: 0, path: canarySocket(options.canary, role), ours: true } as const
      trapdoors.push(await openDoor(`${role} decoy, canary`, place, tcp(decoys[role].server('canary')), options.door))
    }
  const reconsider = () => {
    for (const role of DECOY_ROLES) decoys[role].reconsider()
  }
  const beat = setInterval(() => {
    const shed = berths.beat()
    if (shed > 0) options.pressed(shed)
  }, BEAT_MS).unref()
  return {
    doors,
    counts: () => ({ primary: decoys.primary.counts(), backup: decoys.backup.counts() }),
    guests: () => DECOY_ROLES.flatMap((role) => decoys[role].guests(GUESTS_MAX)),
    ofClient: async (client) =>
      foundTogether(DECOY_ROLES.map((role) => ({ ...decoys[role].ofClient(whoOf(client), GUESTS_MAX), silent: 0 }))),
    reports: () => ({ primary: decoys.primary.report(), backup: decoys.backup.report() }),
    hear: (news) => DECOY_ROLES.map((role) => decoys[role].hear(news[role])).includes(true),
    reconsider,
    rulesChanged: reconsider,
    neverChanged: reconsider,
    renewCertificate: () => certificate?.renew(),
    async close() {
      clearInterval(beat)
      for (const door of [...doors, ...trapdoors]) door.giveUp()
      await Promise.all(DECOY_ROLES.map((role) => decoys[role].close()))
    },
  }
}

/** Where it is not wanted, no native code is loaded. */
function bareOf(settings: Settings['decoys']): Bare | string {
  return settings.bare ? bare() : 'the settings say so'
}

/** What there is to say of how offenders are held behind a door. */
export function noteOf(settings: Settings['decoys']): Note | undefined {
  const lines = bareOf(settings)
  if (typeof lines !== 'string') return undefined
  const how = 'offenders on sockets of Node'
  return settings.bare ? { how, because: lines } : `${how}: ${lines}`
}

export type DecoyDoor = {
  readonly name: string
  readonly address: Address
  readonly via: Via
  /** Of the decoys that it leads to: two may share an address that hears every address of this host. */
  readonly roles: readonly DecoyRole[]
}

/** Every door of the decoys, in the order they are opened. */
export function decoyDoors(settings: Settings['decoys']): DecoyDoor[] {
  const direct: { address: Address; roles: DecoyRole[] }[] = []
  for (const role of DECOY_ROLES)
    for (const address of settings[role].listen) {
      const place = spellAddress(address)
      const shared = address.port === 0 ? undefined : direct.find((door) => spellAddress(door.address) === place)
      if (shared) shared.roles.push(role)
      else direct.push({ address, roles: [role] })
    }
  return [
    ...direct.map(({ address, roles }) => ({
      name: `${roles.join(' and ')} decoy`,
      address,
      via: 'direct' as const,
      roles,
    })),
    ...DECOY_ROLES.flatMap((role) =>
      settings[role].proxy.map((address) => ({
        name: `${role} decoy, PROXY`,
        address,
        via: 'proxy' as const,
        roles: [role],
      })),
    ),
  ]
}

/** Whose each address is, where the settings say; undefined where all are the one decoy's. */
function ownersOf(decoys: readonly Decoy[], settings: Settings['decoys']): Prefixes<Decoy> | undefined {
  const owners = Prefixes.of(
    decoys.flatMap((decoy) => settings[decoy.role].prefixes.map((prefix) => [prefix, decoy] as const)),
  )
  return owners.size > 0 ? owners : undefined
}

function optionsOf(role: DecoyRole, settings: Settings['decoys'], certificate: Certificate | undefined) {
  const { pace, limits } = settings
  return {
    role,
    name: settings[role].name,
    pace: { greetingMs: pace.greeting, replyMs: pace.reply, byteMs: pace.byte, dripMs: pace.drip },
    tarpit: {
      form: settings.tarpit.form,
      jitter: settings.tarpit.jitter,
      look: { banner: settings.tarpit.banner, ehlo: settings.tarpit.ehlo },
    },
    offers: role === 'backup' ? offersOf(settings.backup, certificate) : NOTHING,
    limits: {
      connections: limits.connections,
      perNetwork: limits['per-network'],
      perClient: limits['per-client'],
      dialogueMs: limits.dialogue,
      tarpitMs: limits.tarpit,
      suspectHoldMs: limits['suspect-hold'],
      headerMs: limits['proxy-header'],
    },
    proxyFrom: Prefixes.of(settings['proxy-from'].map((prefix) => [prefix, true as const])),
  }
}

/** The primary never talks. */
const NOTHING: Offers = { auth: false, tls: undefined, keepBytes: 0, keepAddresses: 'none' }

/** The certificate of the moment is asked for at each connection. */
function offersOf(
  { auth, 'keep-messages': keep, 'keep-addresses': keepAddresses }: Settings['decoys']['backup'],
  certificate: Certificate | undefined,
): Offers {
  return {
    auth,
    get tls() {
      return certificate?.context
    },
    keepBytes: keep?.bytes ?? 0,
    keepAddresses,
  }
}

/**
 * How a decoy shall meet a client. What is only observed, be it the mode or the word, changes nothing at the primary: holding
 * somebody there delays mail, and nothing is to be done to them yet.
 */
export function regardOf(role: DecoyRole, decide: Decide): (client: Client) => Regard {
  return (client) => {
    const { verdict, effect, doubt } = decide(client)
    if (doubt) return 'stranger'
    const word = role === 'primary' ? effect : verdict
    if (word === 'block') return 'offender'
    return word === 'defer' ? 'suspect' : 'stranger'
  }
}
