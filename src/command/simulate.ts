/**
 * `simulate`: made-up weeks of senders against an MX layout and the rules, before anybody real meets them.
 *
 * What it must answer first is whether honest mail is touched; then, by kind of bot, how many are listed and how much of their
 * mail gets through. Each listed honest sender is told with what was seen of it and how the rules came to it, so that a
 * person can mend the rules. Exit 0 if no honest sender was listed, else 1.
 */
import { type Screen, span, table } from '../console/terminal.ts'
import type { Problem } from '../core/document.ts'
import { type Layout, readLayout } from '../core/mx.ts'
import type { Rules } from '../core/rules.ts'
import type { Reason } from '../core/verdict.ts'
import { type KindSum, type Mishap, NO_WEEKS, rateOf, storyOf, type Weeks, withWeek } from '../simulation/weeks.ts'
import { BEGINS_AT, liveWeek, type WeekOptions } from '../simulation/world.ts'
import { readRulesFile } from './check.ts'

export type SimulateOptions = {
  readonly rulesFile: string
  readonly layout: string
  readonly weeks: number
  readonly days: number
  readonly seed: number
  readonly json: boolean
  readonly screen: Screen
  /** Where progress is shown if a person looks, and what is no row of the table if nobody does. */
  readonly errors: Screen
  readonly problems: (all: readonly Problem[]) => void
  readonly complain: (body: unknown) => number
  readonly now: () => number
}

/** Bounds of one run: a day of work, and facts are kept for 31 days. */
export const WEEKS_MAX = 100_000
export const DAYS_MAX = 31
/** How often progress is told. */
const TOLD_EVERY_MS = 5000
/** So many listed honest senders are told in full. */
const TOLD_MAX = 5

export async function simulate(options: SimulateOptions): Promise<number> {
  const { screen, errors, json, complain } = options
  const layout = readLayout(options.layout)
  if (typeof layout === 'string') return complain({ error: layout })
  const read = readRulesFile(options.rulesFile)
  if (!read.ok) {
    options.problems(read.problems)
    return 1
  }
  const { rules } = read
  const began = options.now()
  const weeks = await lived(options, rules, layout)
  const tookMs = Math.max(1, options.now() - began)
  const honest = totalOf(weeks.kinds.filter(({ of }) => of === 'honest'))
  const told = weeks.mishaps
    .slice(0, TOLD_MAX)
    .map((mishap) => tell(mishap, weekOf(options, rules, layout, mishap.seed)))
  if (json) screen.print(JSON.stringify(documentOf(options, weeks, honest, told), null, 2))
  else {
    const speed = (options.weeks * options.days) / 7 / (tookMs / 1000)
    const lines = summary(options, rules, honest, speed)
    for (const line of lines) (screen.person ? screen : errors).print(line)
    for (const line of table(screen, HEADS, weeks.kinds.map(rowOf))) screen.print(line)
    for (const line of told.flatMap((each) => spellMishap(each, rules))) errors.print(line)
    if (weeks.mishaps.length > told.length)
      errors.print(`... and ${weeks.mishaps.length - told.length} more; --weeks 1 --seed N lives one week again`)
  }
  return honest.listed === 0 ? 0 : 1
}

async function lived(options: SimulateOptions, rules: Rules, layout: Layout): Promise<Weeks> {
  const { weeks, errors, now } = options
  let sum = NO_WEEKS
  const began = now()
  let toldAt = began
  for (let done = 1; done <= weeks; done++) {
    sum = withWeek(sum, liveWeek(weekOf(options, rules, layout, options.seed + done - 1)))
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

function weekOf({ days }: SimulateOptions, rules: Rules, layout: Layout, seed: number): WeekOptions {
  return { rules, layout, seed, days }
}

type Total = Pick<
  KindSum,
  'senders' | 'observed' | 'listed' | 'messages' | 'delivered' | 'delayed' | 'refused' | 'detourMs'
>

function totalOf(kinds: readonly KindSum[]): Total {
  const sum = (of: (kind: KindSum) => number) => kinds.reduce((total, kind) => total + of(kind), 0)
  return {
    senders: sum(({ senders }) => senders),
    observed: sum(({ observed }) => observed),
    listed: sum(({ listed }) => listed),
    messages: sum(({ messages }) => messages),
    delivered: sum(({ delivered }) => delivered),
    delayed: sum(({ delayed }) => delayed),
    refused: sum(({ refused }) => refused),
    detourMs: Math.max(0, ...kinds.map(({ detourMs }) => detourMs)),
  }
}

function documentOf(options: SimulateOptions, { kinds }: Weeks, honest: Total, mishaps: readonly Told[]) {
  const { weeks, days, seed, layout } = options
  const told = kinds.map(({ of, weekly, ...kind }) => ({ of, kind: { ...kind, rate: rateOf(weekly) ?? null } }))
  const [good, stranded, bots] = (['honest', 'stranded', 'bot'] as const).map((whose) =>
    told.filter(({ of }) => of === whose).map(({ kind }) => kind),
  )
  return { weeks, days, seed, layout, honest: { ...honest, kinds: good, mishaps }, stranded, bots }
}

function summary(
  { weeks, days, seed, layout }: SimulateOptions,
  { file }: Rules,
  honest: Total,
  speed: number,
): string[] {
  const length = `${weeks === 1 ? 'week' : 'weeks'}${days === 7 ? '' : ` of ${days} days`}`
  const seeds = weeks === 1 ? `seed ${seed}` : `seeds ${seed} to ${seed + weeks - 1}`
  return [
    `${weeks} made-up ${length} (${seeds}) at ${layout}, ${file} as if enforced; ${speed.toFixed(1)} weeks a second`,
    `honest senders listed: ${honest.listed} of ${honest.senders} (only observed: ${honest.observed})`,
    `honest messages delayed by us: ${honest.delayed} of ${honest.messages} (refused: ${honest.refused}); longest detour to the real MX: ${(honest.detourMs / 1000).toFixed(1)} s`,
    'bots: listed, and how much of their mail the real MX took; stranded: honest, but never at the real MX in this layout',
    '',
  ]
}

const HEADS = ['who', 'kind', 'senders', 'observed', 'listed', 'rate', '95 %', 'messages', 'taken', 'delayed', 'detour']

function rowOf(kind: KindSum): string[] {
  const found = rateOf(kind.weekly)
  return [
    kind.of,
    kind.kind,
    String(kind.senders),
    String(kind.observed),
    String(kind.listed),
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
