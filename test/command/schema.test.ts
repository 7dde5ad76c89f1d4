import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { parseDocument } from 'yaml'
import { z } from 'zod'
import { pages, schemas } from '../../src/command/schema.ts'
import { RULE_FACTS } from '../../src/core/facts.ts'
import { rulesSchema } from '../../src/core/rules-form.ts'

const committed = (file: string): unknown => JSON.parse(readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8'))

test.each(Object.entries(schemas()))('%s is what the code makes; "npm run generate" writes it anew', (file, schema) => {
  expect(committed(file)).toEqual(JSON.parse(JSON.stringify(schema)))
})

test.each(Object.entries(await pages()))('%s is what the code makes', (file, page) => {
  expect(readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8')).toBe(page)
})

test('every setting says what it does', async () => {
  const rows = ((await pages())['docs/settings.md'] ?? '').split('\n').filter((line) => line.startsWith('| `'))
  expect(rows.length).toBeGreaterThan(50)
  expect(rows.filter((row) => / {2}\|$/.test(row))).toEqual([])
})

test('every word for how a connection ended, and why one was refused, is explained beside its metric', async () => {
  const page = (await pages())['docs/metrics.md'] ?? ''
  for (const [name, label] of [
    ['sessions_total', 'outcome'],
    ['refused_connections_total', 'reason'],
  ]) {
    const section = page.split('\n### ').find((each) => each.startsWith(`decoymx_${name}\n`)) ?? ''
    const words = new RegExp(`^- \`${label}\`: (.*)$`, 'm').exec(section)?.[1]?.split(', ') ?? []
    expect(words.length).toBeGreaterThan(7)
    const explained = [...section.matchAll(/^\| (`[a-z-]+`) \| .{10,} \|$/gm)].map(([, word]) => word)
    expect(explained).toEqual(words)
  }
})

test('every setting stands in deploy/decoymx.yaml, in effect or behind a #', async () => {
  const page = (await pages())['docs/settings.md'] ?? ''
  const keys = [...page.matchAll(/^\| `([a-z.-]+)`/gm)]
    .map(([, key = '']) => key.split('.'))
    // The file that holds it stands in its place.
    .filter((key) => key.at(-1) !== 'password')
  const names = new Set(keys.flat())
  const shipped = readFileSync(new URL('../../deploy/decoymx.yaml', import.meta.url), 'utf8')
  // As if somebody had taken away each # before a key; words of a sentence stay a comment.
  const whole = shipped.replace(
    /^( *)# ( *)([a-z-]+)(?=:( |$))/gm,
    (line, margin: string, deeper: string, key: string) => (names.has(key) ? `${margin}${deeper}${key}` : line),
  )
  const doc = parseDocument(whole)
  expect(doc.errors).toEqual([])
  expect(keys.length).toBeGreaterThan(50)
  expect(keys.filter((key) => !doc.hasIn(key)).map((key) => key.join('.'))).toEqual([])
})

describe('the schema of the rules', () => {
  const schema = committed('deploy/schema/rules.schema.json')

  test('is draft 7 of what a person writes', () => {
    expect(schema).toEqual(z.toJSONSchema(rulesSchema, { target: 'draft-7', io: 'input' }))
    expect(schema).toMatchObject({
      $schema: 'http://json-schema.org/draft-07/schema#',
      required: ['mode', 'domains', 'thresholds', 'stands', 'rules'],
    })
  })

  test('offers an editor every fact, and knows what a time span looks like', () => {
    const rule: unknown = expect.objectContaining({
      counts: expect.objectContaining({ anyOf: expect.arrayContaining([{ type: 'string', enum: RULE_FACTS }]) }),
    })
    expect(schema).toMatchObject({ properties: { rules: { items: { properties: rule } } } })
    expect(schema).toMatchObject({
      properties: { stands: { properties: { block: { pattern: '^(\\d{1,6})(ms|s|m|h|d|w)$' } } } },
    })
  })

  test('is the one that the rules we ship point their editor to', () => {
    const [first] = readFileSync(new URL('../../rules.yaml', import.meta.url), 'utf8').split('\n', 1)
    expect(first).toBe('# yaml-language-server: $schema=deploy/schema/rules.schema.json')
  })
})
