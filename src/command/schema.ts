/**
 * The JSON Schemas of what people write, for their editors: made of the very schemas that read it.
 *
 * `node src/command/schema.ts` writes them; a test holds the files that are there to them.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { z } from 'zod'
import { rulesSchema } from '../core/rules.ts'
import { storySchema } from '../core/story.ts'

/** Each schema by its file, below the root of the project. */
export function schemas(): Record<string, object> {
  return {
    'deploy/schema/rules.schema.json': jsonOf(rulesSchema),
    'deploy/schema/story.schema.json': jsonOf(storySchema),
  }
}

function jsonOf(schema: z.ZodType): object {
  return z.toJSONSchema(schema, { target: 'draft-7', io: 'input' })
}

if (import.meta.main) {
  const root = new URL('../../', import.meta.url)
  mkdirSync(new URL('deploy/schema/', root), { recursive: true })
  for (const [file, schema] of Object.entries(schemas()))
    writeFileSync(new URL(file, root), `${JSON.stringify(schema, null, 2)}\n`)
}
