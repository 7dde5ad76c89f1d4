/**
 * `simulate`: made-up weeks of senders against an MX layout and the rules, before anybody real meets them.
 *
 * What it must answer is whether honest mail is touched; then, by kind of bot, how many are listed and how much of their
 * mail gets through. For a person the answer comes last, below tables that fit 80 columns. Each listed honest sender is told with what was seen of it and how the rules came to it, so that a
 * person can mend the rules. With other rules the same weeks are lived under both. Exit 0 if no honest sender was listed (by the
 * other rules, if there are any), else 1.
 */
import { type Complain, USAGE } from './exit-codes.ts'
import { readFileSync } from 'node:fs'
import { hanging, type Screen, span, table } from '../console/terminal.ts'
import type { Problem } from '../core/document.ts'
import { readLayout } from '../core/mx.ts'
import type { Rules } from '../core/rules.ts'
import type { Reason } from '../core/verdict.ts'
import { type PopulationReading, readPopulation } from '../simulation/population.ts'
import type { Behaviour } from '../simulation/senders.ts'
import {
  type KindSum,
  type Mishap,
  NO_WEEKS,
  rateOf,
  storyOf,
  type Total,
  totalOf,
  type Weeks,
  weeklyOf,
  withWeek,
} from '../simulation/weeks.ts'
import { BEGINS_AT, BEHAVIOURS, liveWeek, type WeekOptions } from '../simulation/world.ts'
import { readRulesFile } from '../settings/checked.ts'

export type SimulateOptions = {
  readonly rulesFile: string
  /** Other rules, to live the same weeks beside them. */
  readonly otherFile?: string | undefined
  /** Who comes, and how many; without, the ones of the code. */
  readonly populationFile?: string | undefined
  readonly layout: string
  readonly weeks: number
  readonly days: number
  readonly seed: number
  readonly json: boolean
  readonly screen: Screen
  /** Where progress is shown if a person looks, and what is no row of the table if nobody does. */
  readonly errors: Screen
  readonly problems: (all: readonly Problem[]) => void
  readonly complain: Complain
  readonly now: () => number
}

/** How often progress is told. */
const TOLD_EVERY_MS = 5000
/** So many listed honest senders are told in full. */
const TOLD_MAX = 5

export async function simulate(options: SimulateOptions): Promise<number> {
  const { screen, errors, json, complain } = options
  const layout = readLayout(options.layout)
  if (typeof layout === 'string') return complain({ error: `--layout: ${layout}` }, USAGE)
  const read = readRulesFile(options.rulesFile)
  if (!read.ok) {
    options.problems(read.problems)
    return 1
  }
  const other = options.otherFile === undefined ? undefined : readRulesFile(options.otherFile)
  const people = options.populationFile === undefined ? undefined : populationIn(options.populationFile)
  const wrong = [other, people].flatMap((each) => (each && !each.ok ? each.problems : []))
  if (wrong.length > 0) {
    options.problems(wrong)
    return 1
  }
  const behaviours = people?.ok ? people.behaviours : BEHAVIOURS
  const began = options.now()
  const first = await outcomeOf(options, { rules: read.rules, layout, behaviours })
  const second = other?.ok ? await outcomeOf(options, { rules: other.rules, layout, behaviours }) : undefined
  const tookMs = Math.max(1, options.now() - began)
  const outcomes = [first, ...(second ? [second] : [])]
  // With other rules, it is those that one asks about.
  const last = second ?? first
  if (json) {
    const [one, two] = outcomes.map((each) => documentOf(options, each))
    screen.print(JSON.stringify(two ? { ...one, with: { rules: last.rules.file, ...two } } : one, null, 2))
  } else {
    const speed = (options.weeks * options.days * outcomes.length) / 7 / (tookMs / 1000)
    const teller = screen.person ? screen : errors
    const say = (lines: readonly string[]) => {
      for (const line of lines) for (const each of hanging('', line, teller.width, 4)) teller.print(each)
    }
    say(heading(options, outcomes, speed))
    if (screen.person) for (const line of groupedTables(screen, first.weeks, second?.weeks)) screen.print(line)
    else {
      const rows = second ? pairedRows(first.weeks, second.weeks) : first.weeks.kinds.map(rowOf)
      for (const line of table(screen, second ? PAIRED_HEADS : HEADS, rows)) screen.print(line)
    }
    for (const line of last.told.flatMap((each) => spellMishap(each, last.rules))) errors.print(line)
    const more = last.weeks.mishaps.length - last.told.length
    if (more > 0) errors.print(`... and ${more} more; --weeks 1 --seed N lives one week again`)
    // The answer comes last: there the eye is when a table of forty rows has gone by.
    say(outcomes.flatMap((each) => ['', ...summary(each, second !== undefined)]))
    if (second) say(['', conclusion(first, second)])
  }
  return last.honest.listed === 0 ? 0 : 1
}

type Setting = Pick<WeekOptions, 'rules' | 'layout'> & { readonly behaviours: readonly Behaviour[] }
type Outcome = { readonly rules: Rules; readonly weeks: Weeks; readonly honest: Total; readonly told: readonly Told[] }

async function outcomeOf(options: SimulateOptions, setting: Setting): Promise<Outcome> {
  const weeks = await lived(options, setting)
  const told = weeks.mishaps.slice(0, TOLD_MAX).map((mishap) => tell(mishap, weekOf(options, setting, mishap.seed)))
  return { rules: setting.rules, weeks, honest: totalOf(weeks.kinds.filter(({ of }) => of === 'honest')), told }
}

function populationIn(path: string): PopulationReading {
  try {
    return readPopulation(path, readFileSync(path, 'utf8'), BEHAVIOURS)
  } catch (error) {
    const message = `cannot be read: ${(error as Error).message}`
    return { ok: false, problems: [{ file: path, line: 1, column: 1, message }] }
  }
}

async function lived(options: SimulateOptions, setting: Setting): Promise<Weeks> {
  const { weeks, errors, now } = options
  let sum = NO_WEEKS
  const began = now()
  let toldAt = began
  for (let done = 1; done <= weeks; done++) {
    sum = withWeek(sum, liveWeek(weekOf(options, setting, options.seed + done - 1)))
    if (errors.person && now() - toldAt >= TOLD_EVERY_MS && done < weeks) {
      toldAt = now()
      const leftMs = ((toldAt - began) / done) * (weeks - done)
      errors.print(errors.colours.dim(`${done} of ${weeks}, ${span(leftMs)} left`))
    }
    // So that an interrupt is heard.
    await new Promise((resolve) => setImmediate(resolve))
  }
  return sum
}

function weekOf({ days }: SimulateOptions, setting: Setting, seed: number): WeekOptions {
  return { ...setting, seed, days }
}

function documentOf(options: SimulateOptions, { weeks: { kinds }, honest, told: mishaps }: Outcome) {
  const { weeks, days, seed, layout } = options
  const told = kinds.map(({ of, weekly, ...kind }) => ({ of, kind: { ...kind, rate: rateOf(weekly) ?? null } }))
  const [good, stranded, bots] = (['honest', 'stranded', 'bot'] as const).map((whose) =>
    told.filter(({ of }) => of === whose).map(({ kind }) => kind),
  )
  const caught = rateOf(weeklyOf(kinds, 'bot')) ?? null
  return { weeks, days, seed, layout, honest: { ...honest, kinds: good, mishaps }, stranded, caught, bots }
}

function heading(
  { weeks, days, seed, layout }: SimulateOptions,
  outcomes: readonly Outcome[],
  speed: number,
): string[] {
  const length = `${weeks === 1 ? 'week' : 'weeks'}${days === 7 ? '' : ` of ${days} days`}`
  const seeds = weeks === 1 ? `seed ${seed}` : `seeds ${seed} to ${seed + weeks - 1}`
  const files = outcomes.map(({ rules }) => rules.file).join(' and ')
  return [
    `${weeks} made-up ${length} (${seeds}) at ${layout}, ${files} as if enforced; ${speed.toFixed(1)} weeks a second`,
  ]
}

function summary({ rules, weeks: { kinds }, honest }: Outcome, named: boolean): string[] {
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
function conclusion(first: Outcome, second: Outcome): string {
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

type Told = {
  readonly seed: number
  readonly sender: string
  readonly client: string
  readonly word: string
  readonly at: string
  readonly score: number
  readonly reasons: readonly Pick<Reason, 'rule' | 'weight' | 'count' | 'waived' | 'because' | 'line'>[]
  readonly journal: readonly { readonly at: string; readonly role: string; readonly kind: string }[]
}

function tell({ seed, sender, listed }: Mishap, week: WeekOptions): Told {
  const { journal, finding } = storyOf(week, listed)
  return {
    seed,
    sender,
    client: listed.client.ip,
    word: listed.word,
    at: new Date(listed.at).toISOString(),
    score: finding.verdict.score,
    reasons: finding.verdict.reasons.map(({ rule, weight, count, waived, because, line }) => {
      return { rule, weight: Math.round(weight * 100) / 100, count, waived, because, line }
    }),
    journal: journal.flatMap(({ event }) =>
      event.type === 'evidence' ? [{ at: new Date(event.at).toISOString(), role: event.role, kind: event.kind }] : [],
    ),
  }
}

function spellMishap({ seed, sender, client, word, at, score, reasons, journal }: Told, { file }: Rules): string[] {
  const after = span(Date.parse(at) - BEGINS_AT)
  return [
    '',
    `seed ${seed}: honest sender ${sender} (${client}): ${word} after ${after}, a sum of ${score}`,
    ...reasons.map(
      (each) =>
        `  +${each.weight.toFixed(1)}  ${each.rule}  counted ${each.count}, waived ${each.waived}: ${each.because}  ${file}:${each.line}`,
    ),
    ...journal.map((each) => `    ${each.at}  ${each.role} ${each.kind}`),
  ]
}
