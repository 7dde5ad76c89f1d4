/**
 * `simulate`: made-up weeks of senders against an MX layout and the rules, before anybody real meets them.
 *
 * What it must answer is whether honest mail is touched; then, by kind of bot, how many are listed and how much of their
 * mail gets through (simulation-report.ts). Each listed honest sender is told with what was seen of it and how the rules came to it,
 * so that a person can mend the rules. With other rules the same weeks are lived under both. Exit 0 if no honest sender was listed (by the
 * other rules, if there are any), else 1.
 */
import { type Complain, USAGE } from './exit-codes.ts'
import { readFileSync } from 'node:fs'
import { hanging, type Screen } from '../console/terminal.ts'
import type { Problem } from '../core/document.ts'
import { readLayout } from '../core/mx.ts'
import type { Rules } from '../core/rules.ts'
import { span } from '../core/span.ts'
import type { Reason } from '../core/verdict.ts'
import { type PopulationReading, readPopulation } from '../simulation/population.ts'
import type { Behaviour } from '../simulation/senders.ts'
import { type Mishap, NO_WEEKS, rateOf, storyOf, totalOf, type Weeks, weeklyOf, withWeek } from '../simulation/weeks.ts'
import { BEGINS_AT, BEHAVIOURS, liveWeek, type WeekOptions } from '../simulation/world.ts'
import { readRulesFile } from '../settings/checked.ts'
import { conclusion, type Outcome, summary, tableOf } from './simulation-report.ts'

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
    for (const line of tableOf(screen, first.weeks, second?.weeks)) screen.print(line)
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
type Retold = Outcome & { readonly told: readonly Told[] }

async function outcomeOf(options: SimulateOptions, setting: Setting): Promise<Retold> {
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

function documentOf(options: SimulateOptions, { weeks: { kinds }, honest, told: mishaps }: Retold) {
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
