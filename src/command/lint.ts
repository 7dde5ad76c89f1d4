/**
 * `lint DOMAIN`: is this MX layout safe to have decoys in? Every finding with a code, what was seen, why it matters, and a fix;
 * exit codes as monitoring plugins have them (0 ok, 1 warning, 2 critical, 3 unknown), and 64 where its own words are wrong.
 */
import { asTyped } from '../console/called.ts'
import { hanging, type Screen, table, wrapped } from '../console/terminal.ts'
import type { Problem } from '../core/document.ts'
import { DANGERS, exitCodeOf, type Finding, type Level } from '../core/dangers.ts'
import { lint } from '../core/lint.ts'
import { roleAt } from '../core/mx.ts'
import type { Survey } from '../core/survey.ts'
import { surveyDomain, type SurveyWords } from './surveying.ts'

const WORDS = ['OK', 'WARNING', 'CRITICAL', 'UNKNOWN'] as const

export type LintTools = {
  readonly json: boolean
  readonly screen: Screen
  readonly errors: Screen
  readonly problems: (all: readonly Problem[]) => void
}

export async function lintDomain(
  domain: string,
  words: SurveyWords,
  env: NodeJS.ProcessEnv,
  { json, screen, errors, problems }: LintTools,
): Promise<number> {
  const begin = (from: string) => {
    const knock = words.probe ? ', and knocking at port 25: up to a minute and a half' : ''
    if (errors.person) errors.print(errors.colours.dim(`asking ${from} about ${domain}${knock}`))
  }
  const surveyed = await surveyDomain(domain, words, env, begin)
  if (!surveyed.ok) {
    problems(surveyed.problems)
    return surveyed.code
  }
  const { survey, from } = surveyed
  const findings = lint(survey)
  const code = exitCodeOf(findings)
  if (json) {
    const told = findings.map((each) => ({ ...each, title: DANGERS[each.code].title, why: DANGERS[each.code].why }))
    screen.print(
      JSON.stringify(
        { domain: survey.layout.domain, level: WORDS[code], from, layout: layoutView(survey), findings: told },
        null,
        2,
      ),
    )
  } else for (const line of told(survey, findings, code, { screen, zone: words.zone })) screen.print(line)
  return code
}

function layoutView({ layout }: Survey) {
  return layout.mx
    .toSorted((a, b) => a.preference - b.preference)
    .map(({ preference, exchange }) => ({
      preference,
      exchange,
      role: roleAt(layout, exchange),
      addresses: layout.addresses.get(exchange) ?? [],
    }))
}

function told(
  survey: Survey,
  findings: readonly Finding[],
  code: 0 | 1 | 2 | 3,
  { screen, zone }: { screen: Screen; zone: string | undefined },
): string[] {
  const where = ({ place }: Finding) => (place && zone !== undefined ? `${zone}:${place.line}:${place.column}` : '')
  if (!screen.person)
    return table(
      screen,
      ['level', 'code', 'about', 'seen', 'fix', 'where'],
      findings.map((each) => [each.level, each.code, each.about, each.seen, asTyped(each.fix), where(each)]),
    )
  const { colours } = screen
  const paint: Record<Level, (text: string) => string> = {
    error: colours.red,
    unknown: colours.magenta,
    warning: colours.yellow,
    note: colours.dim,
  }
  const title = [colours.green, colours.yellow, colours.red, colours.magenta][code] as (text: string) => string
  const rows = layoutView(survey).map(({ preference, exchange, role, addresses }) => [
    String(preference),
    exchange,
    role,
    addresses.join(', '),
  ])
  // What several records have in common is said once.
  const groups = [...Map.groupBy(findings, ({ code: each, level, fix }) => `${each} ${level} ${fix}`).values()]
  const lines = groups.flatMap((group) => {
    const [{ code: of, level, fix }] = group as [Finding, ...Finding[]]
    const { title: what, why } = DANGERS[of]
    const labelled = (word: string, text: string) =>
      hanging(`${' '.repeat(15)}${colours.dim(word.padEnd(5))}`, text, screen.width, 20)
    return [
      ...hanging(`${paint[level](level.padEnd(8))} ${of}  `, colours.bold(what), screen.width, 15),
      ...group.flatMap((each) => [
        ...wrapped(`${each.about === '' ? '' : `${each.about}: `}${each.seen}`, screen.width, 15),
        ...(where(each) === '' ? [] : [`${' '.repeat(15)}${colours.dim(`at   ${where(each)}`)}`]),
      ]),
      ...(level === 'note' ? [] : labelled('why', why)),
      ...labelled('fix', asTyped(fix)),
    ]
  })
  return [
    title(`${WORDS[code]}  ${survey.layout.domain}: ${summary(findings)}`),
    '',
    ...(rows.length > 0 ? [...table(screen, ['mx', 'exchange', 'role', 'addresses'], rows), ''] : []),
    ...lines,
    '',
    colours.dim('Each code is told in docs/lint.md.'),
  ]
}

function summary(findings: readonly Finding[]): string {
  const counts = (['error', 'unknown', 'warning', 'note'] as const).flatMap((level) => {
    const n = findings.filter((each) => each.level === level).length
    return n === 0 ? [] : [`${n} ${level === 'unknown' || n === 1 ? level : `${level}s`}`]
  })
  return counts.join(', ') || 'nothing to say'
}
