/**
 * What is made of the code rather than written: the JSON Schemas of what people write, for their editors, the OpenAPI document
 * of the HTTP API, and pages of reference: facts that rules can name, problems that files have, what lint can say, settings,
 * metrics.
 *
 * `npm run generate` writes the files; a test holds those that are there to the code.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { z } from 'zod'
import { DANGERS } from '../core/dangers.ts'
import { KIND_NAMES, KINDS } from '../core/evidence.ts'
import { SUMS } from '../core/facts.ts'
import { CODES, type Note } from '../core/problems.ts'
import { wellKnownSchema } from '../core/pools.ts'
import { rulesSchema } from '../core/rules-form.ts'
import { storySchema } from '../core/story.ts'
import { metricsPage } from './metrics-page.ts'
import { openApiDocument } from '../answer/openapi.ts'
import { accessSchema } from '../settings/access.ts'
import { settingsSchema } from '../settings/settings.ts'
import { settingsPage } from './settings-page.ts'

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string
}

/** Each schema by its file, below the root of the project. */
export function schemas(): Record<string, object> {
  return {
    'deploy/schema/decoymx.schema.json': jsonOf(settingsSchema),
    'deploy/schema/access.schema.json': jsonOf(accessSchema),
    'deploy/schema/rules.schema.json': jsonOf(rulesSchema),
    'deploy/schema/well-known-senders.schema.json': jsonOf(wellKnownSchema),
    'deploy/schema/story.schema.json': jsonOf(storySchema),
    'docs/openapi.json': openApiDocument(version),
  }
}

/** The pages, each by its file below the root of the project. */
export async function pages(): Promise<Record<string, string>> {
  return {
    'docs/facts.md': factsPage(),
    'docs/lint.md': lintPage(),
    'docs/metrics.md': await metricsPage(),
    'docs/problems.md': problemsPage(),
    'docs/settings.md': settingsPage(jsonOf(settingsSchema)),
  }
}

/** docs/facts.md: every kind of evidence, where it is seen, why it counts, and who says so. */
function factsPage(): string {
  const rows = KIND_NAMES.map((kind) => {
    const { roles, what, why, source } = KINDS[kind]
    const names = roles.map((role) => `\`${role}.${kind}\``).join(', ')
    return `## ${kind}\n\n${names}\n\n- **What:** ${what}.\n- **Why:** ${why}.\n- **Source:** ${source}.\n`
  })
  const sums = Object.entries(SUMS).map(
    ([name, { of, what }]) =>
      `## ${name}\n\n\`${name}\`\n\n- **What:** ${what}: the sum of ${of.map((each) => `\`${each}\``).join(', ')}.\n`,
  )
  return `# Facts that rules can name\n\nMade of the code (src/core/evidence.ts, src/core/facts.ts) by \`npm run generate\`. How rules use them is in [rules.md](rules.md).\n\n${[...rows, ...sums].join('\n')}`
}

/** docs/problems.md: every code that a message can end in. */
function problemsPage(): string {
  const rows = Object.entries(CODES as Record<string, Note>).map(([code, { title, means, example, mend }]) => {
    const shown = example === undefined ? '' : `\n\n${example.replace(/^/gm, '    ')}`
    return `## ${code}\n\n**${title[0]?.toUpperCase()}${title.slice(1)}.** ${means}${shown}\n\n*What to do:* ${mend}\n`
  })
  return `# Problems, by their codes\n\nMade of the code (src/core/problems.ts) by \`npm run generate\`. \`D\`: of any document; \`R\`: of the rules; \`W\`: a\nwarning: the rules are read all the same, and \`decoymx check --strict\` fails.\n\n${rows.join('\n')}`
}

/** docs/lint.md: every code that lint can say, how grave it is, why, what to do, and who says so. */
function lintPage(): string {
  const levels = {
    error: 'error (exit 2)',
    unknown: 'unknown (exit 3)',
    warning: 'warning (exit 1)',
    note: 'note (exit 0)',
  }
  const rows = Object.entries(DANGERS).map(
    ([code, { level, title, why, fix, source }]) =>
      `## ${code}: ${title}\n\n- **Level:** ${levels[level]}.\n- **Why:** ${why}.\n- **Fix:** ${fix}.\n- **Source:** ${source}.\n`,
  )
  const intro = [
    '# What lint says about an MX layout',
    '',
    'Made of the code (src/core/dangers.ts) by `npm run generate`.',
    '',
    '    decoymx lint example.org                                  # what DNS says now, by the resolvers of this host',
    '    decoymx lint example.org --server 192.0.2.53              # by another one',
    '    decoymx lint example.org --zone example.org.zone          # before it goes to the name server',
    '    decoymx lint example.org --primary mx0.example.org --backup mx9.example.org --probe',
    '    decoymx plan example.org --primary mx0.example.org --primary-address 192.0.2.66',
    '',
    'Which exchanges are decoys: those that are named, else those whose name or addresses the settings (`--settings`) give. `--probe`',
    'calls port 25 of every exchange from this host as a stranger would; run it from another network than the decoys’. Exit',
    'codes are those of monitoring plugins: 0 ok, 1 warning, 2 critical, 3 unknown; an error outweighs what is unknown. `plan`',
    'ends with 1 where it leaves an error that no MX record mends, and with 3 where there can be no plan. Both end with 3 where a file that they',
    'read is unsound, and with 64, as every command, where their own words must be mended.',
    '',
    '| code | level | |',
    '|---|---|---|',
    ...Object.entries(DANGERS).map(([code, { level, title }]) => `| ${code} | ${level} | ${title} |`),
    '',
  ]
  return `${intro.join('\n')}\n${rows.join('\n')}`
}

function jsonOf(schema: z.ZodType): object & { readonly properties?: object } {
  return z.toJSONSchema(schema, { target: 'draft-7', io: 'input' })
}

if (import.meta.main) {
  const root = new URL('../../', import.meta.url)
  mkdirSync(new URL('deploy/schema/', root), { recursive: true })
  for (const [file, schema] of Object.entries(schemas()))
    writeFileSync(new URL(file, root), `${JSON.stringify(schema, null, 2)}\n`)
  for (const [file, page] of Object.entries(await pages())) writeFileSync(new URL(file, root), page)
}
