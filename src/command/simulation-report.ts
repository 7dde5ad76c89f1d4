/**
 * What a person reads of made-up weeks: by kind of sender how many were listed and what became of their mail, then the sums in
 * sentences, and what other rules win and cost beside the first.
 *
 * The answer comes last, where the eye is when a table of forty rows has gone by. On a terminal the tables fit 80 columns; in a pipe it
 * is one, with every figure in a column of its own.
 */
import { type Screen, table } from '../console/terminal.ts'
import type { Rules } from '../core/rules.ts'
import { type KindSum, rateOf, type Total, totalOf, type Weeks, weeklyOf } from '../simulation/weeks.ts'

/** What came of the weeks under one set of rules. */
export type Outcome = { readonly rules: Rules; readonly weeks: Weeks; readonly honest: Total }

/** Kind by kind; beside the weeks under other rules, if there are any. */
export function tableOf(screen: Screen, first: Weeks, second: Weeks | undefined): string[] {
  if (screen.person) return groupedTables(screen, first, second)
  return second ? table(screen, PAIRED_HEADS, pairedRows(first, second)) : table(screen, HEADS, first.kinds.map(rowOf))
}

export function summary({ rules, weeks: { kinds }, honest }: Outcome, named: boolean): string[] {
  const bots = totalOf(kinds.filter(({ of }) => of === 'bot'))
  const caught = rateOf(weeklyOf(kinds, 'bot'))
  const touched = rateOf(weeklyOf(kinds, 'honest'))
  const rate = (found: typeof caught) =>
    found ? ` = ${percent(found.rate)}, 95 % from ${percent(found.low)} to ${percent(found.high)}` : ''
  return [
    ...(named ? [`under ${rules.file}`] : []),
    `honest senders listed: ${honest.listed} of ${honest.senders}${rate(touched)} (${wordsOf(honest)}); only observed: ${honest.observed}`,
    `honest messages delayed by us: ${honest.delayed} of ${honest.messages} (refused: ${honest.refused}); longest detour to the real MX: ${(honest.detourMs / 1000).toFixed(1)} s`,
    ...givenUp(kinds),
    `bots listed: ${bots.listed} of ${bots.senders}${rate(caught)} (${wordsOf(bots)}); the real MX took ${bots.messages > 0 ? percent(bots.delivered / bots.messages) : '-'} of their mail`,
  ]
}

function wordsOf({ listed, blocked }: Total): string {
  return `blocked: ${blocked}, only deferred: ${listed - blocked}`
}

/** Why not all mail of the honest is taken, where it is not for us. */
function givenUp(kinds: readonly KindSum[]): string[] {
  const some = kinds.filter(({ of, expired }) => of === 'honest' && expired > 0)
  if (some.length === 0) return []
  const each = some.map(({ kind, expired, messages }) => `${expired} of ${messages} of ${kind}`)
  return [
    `honest messages given up, and not for us: ${each.join(', ')} (the real MX was away or greylists, and the sender tries no more)`,
  ]
}

/** What a person asked: what do the other rules win, and what does it cost? */
export function conclusion(first: Outcome, second: Outcome): string {
  const bots = [first, second].map(({ weeks: { kinds } }) => {
    const { listed, senders } = totalOf(kinds.filter(({ of }) => of === 'bot'))
    return senders > 0 ? listed / senders : 0
  }) as [number, number]
  const gain = (bots[1] - bots[0]) * 100
  const points = `${gain < 0 ? '' : '+'}${gain.toFixed(1)} points`
  const [before, after] = [first.honest, second.honest]
  const cost =
    after.listed === 0
      ? 'and list no honest sender'
      : `and list ${after.listed} of ${after.senders} honest senders, ${before.listed} before: do not enforce them so`
  const late = after.delayed === before.delayed ? 'as before' : `${before.delayed} before`
  return `${second.rules.file} would list ${percent(bots[1])} of the bots, ${percent(bots[0])} before (${points}), ${cost}; ${after.delayed} honest messages delayed (${late})`
}

const GROUPS: Record<KindSum['of'], string> = {
  honest: 'honest senders',
  stranded: 'stranded: honest, but never at the real MX in this layout',
  bot: 'bots',
}

/**
 * For a person a table for each group, narrow enough for 80 columns; under two sets of rules, what differs stands out. Of the
 * honest nearly none is blocked: only where some are it has a column.
 */
function groupedTables(screen: Screen, first: Weeks, second: Weeks | undefined): string[] {
  return (['honest', 'stranded', 'bot'] as const).flatMap((of) => {
    const kinds = first.kinds.filter((kind) => kind.of === of)
    if (kinds.length === 0) return []
    const pairs = kinds.map((kind) => [kind, second?.kinds.find((each) => each.kind === kind.kind) ?? kind] as const)
    const blocked = of === 'bot' || pairs.flat().some((kind) => kind.blocked > 0)
    const columns = second ? PAIRED[of === 'bot' ? 'bot' : 'honest'] : NARROW[of === 'bot' ? 'bot' : 'honest']
    const shown = columns(blocked)
    const rows = pairs.map((pair) => shown.map((column) => CELLS[column](...pair)))
    const title = `${GROUPS[of]}${blocked ? '' : '; none blocked'}`
    return ['', screen.colours.bold(title), ...table(screen, shown, rows)]
  })
}

type Column = keyof typeof CELLS
type Columns = Record<'honest' | 'bot', (blocked: boolean) => readonly Column[]>

const NARROW: Columns = {
  honest: (blocked) => [
    'kind',
    'senders',
    blocked ? 'blocked' : 'observed',
    'listed (95 %)',
    'mail',
    'taken',
    'delayed',
    'detour',
  ],
  bot: () => ['kind', 'senders', 'observed', 'listed (95 %)', 'blocked', 'mail', 'taken', 'delayed'],
}
const PAIRED: Columns = {
  honest: (blocked) => ['kind', 'senders', 'listed (95 %)', 'other rules', blocked ? 'blocked' : 'taken', 'delayed'],
  bot: () => ['kind', 'senders', 'listed (95 %)', 'other rules', 'blocked', 'taken'],
}

/** What stands in each column, of a kind under the first rules and under the others; they are the same where there are none. */
const CELLS = {
  kind: ({ kind }: KindSum) => kind,
  senders: ({ senders }: KindSum) => `${senders}`,
  observed: ({ observed }: KindSum) => `${observed}`,
  'listed (95 %)': narrowRate,
  'other rules': (kind: KindSum, other: KindSum) =>
    narrowRate(kind) === narrowRate(other) ? 'same' : narrowRate(other),
  blocked: (kind: KindSum, other: KindSum) => both(blockedShare(kind), blockedShare(other)),
  mail: ({ messages }: KindSum) => `${messages}`,
  taken: (kind: KindSum, other: KindSum) => both(taken(kind), taken(other)),
  delayed: (kind: KindSum, other: KindSum) => both(`${kind.delayed}`, `${other.delayed}`),
  detour: ({ delivered, detourMs }: KindSum) => (delivered > 0 ? `${(detourMs / 1000).toFixed(1)} s` : '-'),
}

function both(before: string, after: string): string {
  return before === after ? before : `${before} -> ${after}`
}

/** `62% (41-79)`. */
function narrowRate({ weekly }: KindSum): string {
  const found = rateOf(weekly)
  const whole = (share: number) => (share * 100).toFixed(0)
  return found ? `${whole(found.rate)}% (${whole(found.low)}-${whole(found.high)})` : '-'
}

/** `41%`: of all of the kind, as `listed` is. */
function blockedShare({ blocked, senders }: KindSum): string {
  return senders > 0 ? `${((blocked / senders) * 100).toFixed(0)}%` : '-'
}

function taken({ delivered, messages }: KindSum): string {
  return messages > 0 ? `${((delivered / messages) * 100).toFixed(0)}%` : '-'
}

const PAIRED_HEADS = [
  'who',
  'kind',
  'senders',
  'listed',
  '95 %',
  'then',
  '95 % then',
  'blocked',
  'taken',
  'then taken',
  'delayed',
]

/** Both outcomes of the same weeks, kind by kind. */
function pairedRows(first: Weeks, second: Weeks): string[][] {
  return first.kinds.map((kind) => {
    const other = second.kinds.find((each) => each.kind === kind.kind) ?? kind
    const rates = [kind, other].flatMap(({ weekly }) => {
      const found = rateOf(weekly)
      return found ? [percent(found.rate), `${percent(found.low)}-${percent(found.high)}`] : ['-', '-']
    })
    const taken = [kind, other].map(({ delivered, messages }) => (messages > 0 ? percent(delivered / messages) : '-'))
    const blocked = `${kind.blocked} -> ${other.blocked}`
    return [
      kind.of,
      kind.kind,
      String(kind.senders),
      ...rates,
      blocked,
      ...taken,
      `${kind.delayed} -> ${other.delayed}`,
    ]
  })
}

const HEADS = [
  'who',
  'kind',
  'senders',
  'observed',
  'listed',
  'blocked',
  'rate',
  '95 %',
  'messages',
  'taken',
  'delayed',
  'detour',
]

function rowOf(kind: KindSum): string[] {
  const found = rateOf(kind.weekly)
  return [
    kind.of,
    kind.kind,
    String(kind.senders),
    String(kind.observed),
    String(kind.listed),
    String(kind.blocked),
    found ? percent(found.rate) : '-',
    found ? `${percent(found.low)}-${percent(found.high)}` : '-',
    String(kind.messages),
    kind.messages > 0 ? percent(kind.delivered / kind.messages) : '-',
    String(kind.delayed),
    kind.delivered > 0 ? `${(kind.detourMs / 1000).toFixed(1)} s` : '-',
  ]
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)}%`
}
