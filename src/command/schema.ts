/**
 * What is made of the code rather than written: the JSON Schemas of what people write, for their editors, and the page of
 * facts that rules can name.
 *
 * `node src/command/schema.ts` writes the files; a test holds those that are there to the code.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { z } from 'zod'
import { KIND_NAMES, KINDS } from '../core/evidence.ts'
import { wellKnownSchema } from '../core/pools.ts'
import { rulesSchema } from '../core/rules.ts'
import { storySchema } from '../core/story.ts'
import { settingsSchema } from './settings.ts'

/** Each schema by its file, below the root of the project. */
export function schemas(): Record<string, object> {
  return {
    'deploy/schema/decoymx.schema.json': jsonOf(settingsSchema),
    'deploy/schema/rules.schema.json': jsonOf(rulesSchema),
    'deploy/schema/well-known-senders.schema.json': jsonOf(wellKnownSchema),
    'deploy/schema/story.schema.json': jsonOf(storySchema),
  }
}

/** docs/facts.md: every kind of evidence, where it is seen, why it counts, and who says so. */
export function factsPage(): string {
  const rows = KIND_NAMES.map((kind) => {
    const { roles, what, why, source } = KINDS[kind]
    const names = roles.map((role) => `\`${role}.${kind}\``).join(', ')
    return `## ${kind}\n\n${names}\n\n- **What:** ${what}.\n- **Why:** ${why}.\n- **Source:** ${source}.\n`
  })
  return `# Facts that rules can name\n\nMade of the code (src/core/evidence.ts) by \`node src/command/schema.ts\`.\n\n${rows.join('\n')}`
}

function jsonOf(schema: z.ZodType): object {
  return z.toJSONSchema(schema, { target: 'draft-7', io: 'input' })
}

if (import.meta.main) {
  const root = new URL('../../', import.meta.url)
  mkdirSync(new URL('deploy/schema/', root), { recursive: true })
  for (const [file, schema] of Object.entries(schemas()))
    writeFileSync(new URL(file, root), `${JSON.stringify(schema, null, 2)}\n`)
  writeFileSync(new URL('docs/facts.md', root), factsPage())
}
