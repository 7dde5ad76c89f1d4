/**
 * plan: the records to add to a domain and to take away, so that decoys may stand in its layout, and in which order.
 *
 * The order is what keeps mail safe: the decoy must answer before DNS names it, the backup comes before the primary, because a
 * mistake there costs evidence only, and between two steps old records must be gone from caches. A real MX keeps its
 * preference unless there is no room below it.
 */
import { exchangesOf } from './lint.ts'
import { parseClient } from './client.ts'
import type { Layout, MxRecord } from './mx.ts'
import type { Survey } from './survey.ts'

/** A decoy that is wanted; addresses that are not given stay as they are. */
export type WantedDecoy = { readonly name: string; readonly addresses: readonly string[] }
export type Wanted = { readonly primary?: WantedDecoy | undefined; readonly backup?: WantedDecoy | undefined }

export type PlannedRecord = {
  /** Without the last dot. */
  readonly name: string
  readonly ttlSeconds: number
  readonly type: 'A' | 'AAAA' | 'MX' | 'TLSA'
  readonly data: string
}

export type Step = {
  readonly does: string
  readonly add: readonly PlannedRecord[]
  readonly remove: readonly PlannedRecord[]
  /** Before the next step. */
  readonly waitSeconds: number
}

export type Plan = { readonly steps: readonly Step[]; readonly after: readonly MxRecord[] }

const GAP = 5
/** How far the real MXs move up together. */
const SHIFT = 10
const CHANGE_TTL_SECONDS = 300
/** At the end, unless the domain had longer ones, of up to a day. */
const SETTLED_TTL_SECONDS = 3600
const DAY_SECONDS = 86_400
const PREFERENCE_MAX = 65_535

/** The plan, or the sentences that say why there can be none. */
export function planFor(survey: Survey, asked: Wanted): Plan | readonly string[] {
  const wanted = {
    primary: asked.primary ?? presentDecoy(survey, 'primary'),
    backup: asked.backup ?? presentDecoy(survey, 'backup'),
  }
  const obstacles = obstaclesTo(survey, wanted)
  if (obstacles.length > 0) return obstacles
  const { layout, mxTtlSeconds = CHANGE_TTL_SECONDS } = survey
  const implicit = layout.mx.length === 0
  const decoys = new Set([wanted.primary?.name, wanted.backup?.name])
  const present = implicit ? [{ preference: 20, exchange: layout.domain }] : exchangesOf(survey, 'real')
  const takes = present.filter(({ exchange }) => !decoys.has(exchange))
  const lowest = Math.min(...takes.map(({ preference }) => preference))
  const isFirst = layout.mx.some(({ exchange, preference }) => exchange === wanted.primary?.name && preference < lowest)
  const real = wanted.primary && !isFirst ? shifted(takes) : takes
  const preferences = real.map(({ preference }) => preference)
  const [least, most] = [Math.min(...preferences), Math.max(...preferences)]
  // A decoy that stands well stays where it is.
  const kept = (name: string, fits: (preference: number) => boolean) =>
    layout.mx.find(({ exchange, preference }) => exchange === name && fits(preference))?.preference
  const primary = wanted.primary && {
    preference: kept(wanted.primary.name, (at) => at < least) ?? Math.max(0, least - GAP),
    exchange: wanted.primary.name,
  }
  const backup = wanted.backup && {
    preference: kept(wanted.backup.name, (at) => at > most) ?? backupPreference(most),
    exchange: wanted.backup.name,
  }
  const after = [...(primary ? [primary] : []), ...real, ...(backup ? [backup] : [])]

  const mx = (record: MxRecord, ttlSeconds = CHANGE_TTL_SECONDS): PlannedRecord => ({
    name: layout.domain,
    ttlSeconds,
    type: 'MX',
    data: `${record.preference} ${record.exchange}.`,
  })
  const isIn = (list: readonly MxRecord[], { preference, exchange }: MxRecord) =>
    list.some((each) => each.preference === preference && each.exchange === exchange)
  const gone = layout.mx.filter((record) => !isIn(after, record))
  const newReal = real.filter((record) => !isIn(layout.mx, record))
  const misplaced = gone
    .filter(({ exchange }) => !real.some((each) => each.exchange === exchange))
    .map(({ preference, exchange }) => `${exchange} with ${preference}`)
  const addresses = [addressChanges(survey, wanted.primary, true), addressChanges(survey, wanted.backup, false)]
  const added = (record: MxRecord | undefined) => (record && !isIn(layout.mx, record) ? [mx(record)] : [])
  const [addPrimary, addBackup] = [added(primary), added(backup)]
  const hosts = { add: addresses.flatMap(({ add }) => add), remove: addresses.flatMap(({ remove }) => remove) }
  const named = hosts.add.some(({ type }) => type !== 'TLSA')
  const brief = addresses.flatMap((each) => each.brief)
  const quick = 2 * CHANGE_TTL_SECONDS
  const changes = gone.length + newReal.length + addPrimary.length + addBackup.length > 0
  const lowers = changes && mxTtlSeconds > CHANGE_TTL_SECONDS
  /** Of what stands now, once the first step is done. */
  const standing = lowers ? CHANGE_TTL_SECONDS : mxTtlSeconds
  const settledTtl = mxTtlSeconds <= DAY_SECONDS ? Math.max(SETTLED_TTL_SECONDS, mxTtlSeconds) : SETTLED_TTL_SECONDS
  const steps: Step[] = []
  const step = (does: string, change: Partial<Pick<Step, 'add' | 'remove'>>, waitSeconds: number) =>
    steps.push({ does, add: change.add ?? [], remove: change.remove ?? [], waitSeconds })

  if (lowers)
    step(
      `set the TTL of the domain’s MX records to ${CHANGE_TTL_SECONDS}, so that every later step can be undone soon`,
      { remove: layout.mx.map((record) => mx(record, mxTtlSeconds)), add: layout.mx.map((record) => mx(record)) },
      mxTtlSeconds,
    )
  if (hosts.add.length + hosts.remove.length > 0)
    step(
      named
        ? `start decoymx on ${hosts.add.length > 1 ? 'these addresses' : 'this address'}, in mode observe; then let the name say so`
        : hosts.remove.length > 0
          ? `take away the ${hosts.remove.length > 1 ? 'addresses' : 'address'} that a decoy’s name should not have`
          : 'give the decoy a TLSA record, as the real MX has one',
      hosts,
      Math.max(CHANGE_TTL_SECONDS, ...addresses.map(({ cachedSeconds }) => cachedSeconds)),
    )
  if (gone.length + newReal.length > 0)
    step(
      implicit
        ? 'first the server that takes mail: from the first MX record on, the domain’s own address is not used any more'
        : [
            ...(newReal.length > 0 ? ['give the real MX a higher number, to make room before it'] : []),
            ...(misplaced.length > 0
              ? [`take away ${misplaced.join(', ')}: a decoy has one place, before or behind every real MX`]
              : []),
          ].join('; ') + (gone.length + newReal.length > 1 ? '. All in one edit' : ''),
      { add: newReal.map((record) => mx(record)), remove: gone.map((record) => mx(record, standing)) },
      quick,
    )
  if (addBackup.length > 0) step('add the backup decoy', { add: addBackup }, quick)
  if (addPrimary.length > 0)
    step(
      `see from another network that port 25 of ${wanted.primary?.name} refuses to connect; then add the primary decoy`,
      { add: addPrimary },
      quick,
    )
  if (steps.length > 0)
    step(
      `run decoymx lint ${layout.domain} --probe${settling({ mx: changes ? settledTtl : undefined, brief: brief.length })}`,
      {
        remove: [
          ...(changes
            ? after.map((record) => mx(record, isIn(layout.mx, record) ? standing : CHANGE_TTL_SECONDS))
            : []),
          ...brief,
        ],
        add: [
          ...(changes ? after.map((record) => mx(record, settledTtl)) : []),
          ...brief.map((record) => ({ ...record, ttlSeconds: SETTLED_TTL_SECONDS })),
        ],
      },
      0,
    )
  return { steps, after }
}

/** What is left to do when lint has found no error: long TTLs again. */
function settling({ mx, brief }: { readonly mx: number | undefined; readonly brief: number }): string {
  const ttls = [
    ...(mx === undefined ? [] : [`the TTL of the MX records to ${mx}`]),
    ...(brief > 0
      ? [
          `${mx === undefined ? 'the TTL of the' : 'that of the other'} new record${brief > 1 ? 's' : ''} to ${SETTLED_TTL_SECONDS}`,
        ]
      : []),
  ]
  return ttls.length === 0 ? ': it should find no error' : `; when it finds no error, set ${ttls.join(', and ')}`
}

/** The decoy that is there already stays, where no other is asked for. */
function presentDecoy(survey: Survey, role: 'primary' | 'backup'): WantedDecoy | undefined {
  const [first] = exchangesOf(survey, role)
  return first && { name: first.exchange, addresses: [] }
}

function obstaclesTo({ layout, hosts, silences }: Survey, { primary, backup }: Wanted): string[] {
  const asked = [layout.domain, primary?.name, backup?.name]
  const unknown = silences.filter(({ about }) => asked.includes(about))
  if (unknown.length > 0)
    return [
      ...unknown.map(({ about, because }) => `what ${about} has now is not known: ${because}`),
      'try again, ask another name server with --server IP, or give the zone with --zone FILE',
    ]
  if (layout.mx.some(({ exchange }) => exchange === '.'))
    return [`${layout.domain} says that it takes no mail (MX "."): there is nothing to protect`]
  const obstacles: string[] = []
  if (!primary && !backup)
    obstacles.push('name a decoy: --primary NAME --primary-address IP, --backup NAME --backup-address IP')
  const own = layout.addresses.get(layout.domain) ?? []
  if (layout.mx.length === 0 && own.length === 0)
    obstacles.push(`${layout.domain} has neither MX nor address: nobody takes its mail`)
  const decoys = [primary, backup].map((decoy) => decoy?.name)
  const takes = layout.mx.filter(
    ({ exchange }) => !decoys.includes(exchange) && (layout.roles.get(exchange) ?? 'real') === 'real',
  )
  if (layout.mx.length > 0 && takes.length === 0)
    obstacles.push(`no real MX is left: every exchange of ${layout.domain} is a decoy`)
  if (takes.some(({ preference }) => preference > PREFERENCE_MAX - GAP))
    obstacles.push(`a real MX has the preference ${PREFERENCE_MAX - GAP + 1} or more: no backup decoy fits behind it`)
  if (takes.length > 0 && takes.every(({ exchange }) => hosts.get(exchange)?.outcome === 'none'))
    obstacles.push(`no real MX of ${layout.domain} has an address (A or AAAA): nobody takes its mail`)
  const isAlias = (decoy: WantedDecoy | undefined) => decoy && hosts.get(decoy.name)?.alias !== undefined
  for (const name of new Set([primary, backup].flatMap((decoy) => (decoy && isAlias(decoy) ? [decoy.name] : [])))) {
    const before = layout.mx.some(({ exchange }) => exchange === name) ? 'its MX record, then the CNAME' : 'the CNAME'
    obstacles.push(
      `${name} is an alias (CNAME) of ${hosts.get(name)?.alias}, which leaves it no room for an address of its own: take away ${before}, and plan again, or name another decoy`,
    )
  }
  const real = layout.mx.length === 0 ? own : takes.flatMap(({ exchange }) => layout.addresses.get(exchange) ?? [])
  const realAddresses = new Set(real)
  const all = [primary, backup].flatMap((decoy) =>
    decoy && !(isAlias(decoy) && decoy.addresses.length === 0) ? wantedAddresses(layout, decoy, decoy === primary) : [],
  )
  for (const address of all)
    if (realAddresses.has(address)) obstacles.push(`${address} is a real MX’s: a decoy needs an address of its own`)
  if (new Set(all).size < all.length) obstacles.push(`${all.join(', ')}: each decoy needs an address of its own`)
  for (const decoy of [primary, backup])
    if (
      decoy &&
      !isAlias(decoy) &&
      decoy.addresses.length === 0 &&
      (layout.addresses.get(decoy.name) ?? []).length === 0
    )
      obstacles.push(
        `${decoy.name} has no address yet: say which with --${decoy === primary ? 'primary' : 'backup'}-address`,
      )
  return obstacles
}

/**
 * The real MXs, moved up together where nothing fits below them; those that stand so high that they cannot move stay, as long as
 * none from below has come to them. Equals stay equal, and the others in their order.
 */
function shifted(real: readonly MxRecord[]): MxRecord[] {
  const preferences = real.map(({ preference }) => preference)
  if (Math.min(...preferences) >= GAP) return [...real]
  const fits = Math.max(...preferences) + SHIFT <= PREFERENCE_MAX - GAP
  const moved = new Map<number, number>()
  let last = Math.min(...preferences) + SHIFT - 1
  for (const preference of [...new Set(preferences)].toSorted((a, b) => a - b)) {
    last = fits ? preference + SHIFT : Math.max(preference, last + 1)
    moved.set(preference, last)
  }
  return real.map(({ preference, exchange }) => ({ preference: moved.get(preference) ?? preference, exchange }))
}

/** Well behind, and round where it can be. */
function backupPreference(most: number): number {
  const round = Math.ceil((most + 20) / 10) * 10
  return Math.max(most < 90 - GAP ? 90 : 0, Math.min(PREFERENCE_MAX, round))
}

/** What a decoy's name is to say in the end. The primary has one address. */
function wantedAddresses({ addresses }: Layout, decoy: WantedDecoy, isPrimary: boolean): readonly string[] {
  const wanted = decoy.addresses.length > 0 ? decoy.addresses : (addresses.get(decoy.name) ?? [])
  const kept = isPrimary ? (wanted.find((address) => !address.includes(':')) ?? wanted[0]) : undefined
  return kept === undefined ? wanted : [kept]
}

/** What a decoy's name must say, and must not say any more. */
function addressChanges(
  { layout, hosts }: Survey,
  decoy: WantedDecoy | undefined,
  isPrimary: boolean,
): {
  readonly add: readonly PlannedRecord[]
  readonly remove: readonly PlannedRecord[]
  /** Those of what is added whose TTL is to be longer in the end. */
  readonly brief: readonly PlannedRecord[]
  /** How long what the name says now may still be believed; 0: it says nothing, or nothing else from now on. */
  readonly cachedSeconds: number
} {
  if (!decoy) return { add: [], remove: [], brief: [], cachedSeconds: 0 }
  const { name } = decoy
  const now = layout.addresses.get(name) ?? []
  const then = wantedAddresses(layout, decoy, isPrimary)
  const ttlSeconds = hosts.get(name)?.ttlSeconds ?? CHANGE_TTL_SECONDS
  const record = (address: string, ttl: number): PlannedRecord => ({
    name,
    ttlSeconds: ttl,
    type: parseClient(address)?.family === 6 ? 'AAAA' : 'A',
    data: address,
  })
  const [news, gone] = [then.filter((each) => !now.includes(each)), now.filter((each) => !then.includes(each))]
  // The records of one name and type have one TTL (RFC 2181, 5.2).
  const stays = (family: boolean) => then.some((each) => now.includes(each) && each.includes(':') === family)
  const isDane = [...hosts.values()].some(({ tlsa }) => tlsa === true)
  // Nobody is ever given mail there: that the record is there is all that it must do (RFC 7672, 2.2).
  const tlsa: PlannedRecord[] =
    isDane && hosts.get(name)?.tlsa !== true
      ? [{ name: `_25._tcp.${name}`, ttlSeconds: CHANGE_TTL_SECONDS, type: 'TLSA', data: `3 1 1 ${'0'.repeat(64)}` }]
      : []
  const [beside, alone] = [
    news.filter((each) => stays(each.includes(':'))),
    news.filter((each) => !stays(each.includes(':'))),
  ]
  const brief = [...alone.map((each) => record(each, CHANGE_TTL_SECONDS)), ...tlsa]
  return {
    add: [...beside.map((each) => record(each, ttlSeconds)), ...brief],
    brief,
    remove: gone.map((each) => record(each, ttlSeconds)),
    cachedSeconds: now.length > 0 && news.length + gone.length > 0 ? ttlSeconds : 0,
  }
}

/** One line of a zone file. */
export function zoneLine({ name, ttlSeconds, type, data }: PlannedRecord): string {
  return `${`${name}.`.padEnd(28)} ${String(ttlSeconds).padEnd(6)} IN ${type.padEnd(4)} ${data}`
}
