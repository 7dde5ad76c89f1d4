/**
 * `plan DOMAIN`: the zone lines to add and to take away so that decoys may stand in the layout, step by step, each with how
 * long to wait after it. Nothing is changed. Exit 0; 1 when an error that lint finds is left, for no MX record mends it; 3 when
 * there can be no plan; 64 where its own words are wrong.
 */
import { hanging, type Screen, table, wrapped } from '../console/terminal.ts'
import { parseClient } from '../core/client.ts'
import type { Problem } from '../core/document.ts'
import type { Finding } from '../core/dangers.ts'
import { lint } from '../core/lint.ts'
import { misread } from '../core/misread.ts'
import type { Survey } from '../core/survey.ts'
import { neverListed } from '../core/never.ts'
import { type Plan, planFor, type PlannedRecord, type Step, type WantedDecoy, zoneLine } from '../core/plan.ts'
import { waitOf } from '../core/span.ts'
import { hostName, mistakesInSurvey, slip, spellSlip, surveyDomain, type SurveyWords, UNKNOWN } from './surveying.ts'
import type { Settings } from '../settings/settings.ts'
import { isWildcard } from '../settings/places.ts'
import { asTyped, typed } from '../console/called.ts'

export type PlanWords = SurveyWords & {
  readonly primaryAddress?: readonly string[]
  readonly backupAddress?: readonly string[]
}

const WARNING = 1

export async function planDomain(
  domain: string,
  words: PlanWords,
  env: NodeJS.ProcessEnv,
  tools: {
    readonly json: boolean
    readonly screen: Screen
    readonly errors: Screen
    readonly problems: (all: readonly Problem[]) => void
  },
): Promise<number> {
  const { json, screen, errors, problems } = tools
  const begin = (from: string) => {
    if (errors.person) errors.print(errors.colours.dim(`asking ${from} about ${domain}`))
  }
  const wantedOf = (settings: Settings) => ({
    primary: wantedDecoy(words.primary?.[0], words.primaryAddress, settings, 'primary'),
    backup: wantedDecoy(words.backup?.[0], words.backupAddress, settings, 'backup'),
  })
  // A decoy's name may have addresses long before an MX record leads there.
  const besideOf = (settings: Settings) => Object.values(wantedOf(settings)).flatMap((decoy) => decoy?.name ?? [])
  const say = (mark: string, sentence: string) => {
    const lines = errors.person ? hanging(mark, sentence, errors.width, 2) : [`${mark}${sentence}`]
    for (const line of lines) errors.print(line)
  }
  const surveyed = await surveyDomain(domain, words, env, begin, strangeAddresses(words), besideOf)
  if (!surveyed.ok) {
    problems(surveyed.problems)
    return surveyed.code
  }
  const { survey, settings } = surveyed
  const plan = planFor(survey, wantedOf(settings))
  if (!('steps' in plan)) {
    if (json) screen.print(JSON.stringify({ domain: survey.layout.domain, obstacles: plan }, null, 2))
    else for (const sentence of plan) say(`${errors.colours.red('no plan')}  `, sentence)
    return UNKNOWN
  }
  const left = unmended(survey, plan)
  if (json)
    screen.print(
      JSON.stringify(
        { domain: survey.layout.domain, ...plan, unmended: left, ttlsFromCache: survey.ttlsFromCache ?? false },
        null,
        2,
      ),
    )
  else for (const line of told(survey.layout.domain, plan, screen)) screen.print(line)
  for (const { code, about, seen } of left)
    say(
      `${errors.colours.yellow('!')} `,
      `${code} ${about}: ${seen}. No MX record mends that: ${typed(`lint ${domain}`)}`,
    )
  if (survey.ttlsFromCache && plan.steps.length > 0)
    say(
      `${errors.colours.yellow('!')} `,
      `the TTLs, and so the waits, are what is left of them in a resolver’s cache: give a name server of ${domain} itself with --server IP, or its zone with --zone FILE`,
    )
  return left.length > 0 ? WARNING : 0
}

export function mistakesInPlan(domain: string | undefined, words: PlanWords, env: NodeJS.ProcessEnv): string[] {
  return [...strangeAddresses(words).map(spellSlip), ...mistakesInSurvey(domain, words, env)]
}

function strangeAddresses(words: PlanWords): Problem[] {
  return (['primary', 'backup'] as const).flatMap((role) =>
    (words[`${role}Address`] ?? [])
      .filter((text) => !parseClient(text))
      .map((text) => slip(`--${role}-address`, `expected an IP address, got "${text}"${misread(text)}`)),
  )
}

/** What lint calls an error of an exchange that the plan leaves as it is. */
function unmended(survey: Survey, { after }: Plan): Finding[] {
  const kept = new Set(after.map(({ exchange }) => exchange))
  return lint(survey).filter(({ level, about, code }) => level === 'error' && kept.has(about) && code.startsWith('AD'))
}

/** What is asked for on the command line, else what the settings listen on, where that is not this host alone. */
function wantedDecoy(
  name: string | undefined,
  addresses: readonly string[] | undefined,
  { decoys }: Settings,
  role: 'primary' | 'backup',
): WantedDecoy | undefined {
  const { name: own, listen } = decoys[role]
  const listening = listen
    .filter((each) => !isWildcard(each))
    .flatMap(({ host }) => {
      const client = parseClient(host)
      return client && neverListed(client) === undefined ? [client.ip] : []
    })
  if (name === undefined && addresses === undefined && listening.length === 0) return undefined
  const given = addresses?.map((text) => parseClient(text)?.ip ?? text)
  return {
    name: hostName(name ?? own) ?? own,
    addresses: given ?? (name === undefined || hostName(name) === hostName(own) ? listening : []),
  }
}

function told(domain: string, { steps }: Plan, screen: Screen): string[] {
  if (steps.length === 0) return [`${screen.colours.green('nothing to do')}  ${domain} is as it should be`]
  const { colours } = screen
  const rows = steps.flatMap(changesOf)
  const heads = ['step', 'change', 'type', 'name', 'ttl', 'data']
  if (!screen.person) return table(screen, heads, steps.flatMap(piped))
  const text = steps.flatMap(({ does, add, remove, waitSeconds }, i) => [
    ...hanging(`${colours.bold(`${i + 1}.`)} `, asTyped(does), screen.width, 3),
    ...remove.flatMap((record) => lineWithin('   - ', record, screen.width).map(colours.red)),
    ...add.flatMap((record) => lineWithin('   + ', record, screen.width).map(colours.green)),
    ...(waitSeconds > 0 ? [colours.dim(`   then wait ${waitOf(waitSeconds * 1000)}`)] : []),
    '',
  ])
  return [
    ...wrapped(
      `${colours.bold(domain)}: ${steps.length} steps. Lines are as BIND reads them; add 1 to the serial of the SOA each time.`,
      screen.width,
      0,
    ),
    '',
    ...text,
    colours.bold('The same for a web form'),
    ...table(screen, heads, rows),
    '',
    ...wrapped(
      'To undo: take the MX records of the decoys away first, and give up their addresses only when twice the TTL has passed.',
      screen.width,
      0,
    ),
  ]
}

/** In parentheses the data may stand on a line of its own (RFC 1035, 5.1), where all is too wide. */
function lineWithin(mark: string, record: PlannedRecord, width: number): string[] {
  const line = zoneLine(record)
  if (mark.length + line.length <= width) return [`${mark}${line}`]
  return [`${mark}${line.slice(0, -record.data.length)}(`, `${' '.repeat(mark.length + 2)}${record.data} )`]
}

function changesOf({ add, remove }: Step, i: number): string[][] {
  return [...remove.map((record) => row(i + 1, 'remove', record)), ...add.map((record) => row(i + 1, 'add', record))]
}

/** With what else there is to do: who reads only the records would skip what keeps mail safe. */
function piped(step: Step, i: number): string[][] {
  const beside = (change: string, what: string) => [String(i + 1), change, '', '', '', what]
  return [
    beside('do', asTyped(step.does)),
    ...changesOf(step, i),
    ...(step.waitSeconds > 0 ? [beside('wait', `${step.waitSeconds} s`)] : []),
  ]
}

function row(step: number, change: string, { type, name, ttlSeconds, data }: PlannedRecord): string[] {
  return [String(step), change, type, name, String(ttlSeconds), data]
}
