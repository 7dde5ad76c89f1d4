/** The pages keep what they say: links lead somewhere, commands and their options are there, and every page is in the index. */
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { expect, test } from 'vitest'
import { stageOn } from '../src/command/tree/options.ts'
import { commandTree } from '../src/command/tree/tree.ts'
import { createMetrics } from '../src/console/metrics.ts'
import { screenOf } from '../src/console/terminal.ts'

const ROOT = join(import.meta.dirname, '..')
const pages = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', ...globSync('docs/**/*.md', { cwd: ROOT })].toSorted()
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8')
const text = new Map(pages.map((page) => [page, read(page)]))

const screen = screenOf({ isTTY: false, write: () => true } as unknown as NodeJS.WriteStream, {})
const tree = commandTree(stageOn('0.0.0', screen, screen, () => {}))
/** Each command with its options, long and short. */
const commands = new Map(
  tree.commands.map((command) => [
    command.name(),
    new Set(['--help', ...command.options.flatMap(({ long, short }) => [long, short]).filter(Boolean)]),
  ]),
)

test('every link leads to a file, and to a heading that is there', () => {
  const broken = [...text].flatMap(([page, source]) =>
    [...source.matchAll(/\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)/g)].flatMap(([link, to = '', anchor]) => {
      const file = to === '' ? page : normalize(join(dirname(page), to))
      if (!existsSync(join(ROOT, file))) return [`${page}: ${link}`]
      const headings = [...(text.get(file) ?? '').matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => anchorOf(heading))
      return anchor === undefined || headings.includes(anchor) ? [] : [`${page}: ${link}`]
    }),
  )
  expect(broken).toEqual([])
})

test('every file of ours that a page names in `docs/…`, `deploy/…`, `src/…`, `test/…` is there', () => {
  const absent = [...text].flatMap(([page, source]) =>
    [...source.matchAll(/`((?:docs|deploy|src|test|bench)\/[\w./-]*[\w/])`/g)]
      .map(([, file = '']) => file)
      .filter((file) => !['', '.ts'].some((end) => existsSync(join(ROOT, `${file}${end}`))))
      .map((file) => `${page}: ${file}`),
  )
  expect(absent).toEqual([])
})

test('every command that a page shows is there, with its options', () => {
  const wrong = [...text].flatMap(([page, source]) =>
    [...source.matchAll(/(?:npx |sudo |`|^ {4})decoymx ([a-z]+)([^`\n|]*)/gm)].flatMap(
      ([shown, command = '', rest = '']) => {
        const options = commands.get(command)
        if (!options) return [`${page}: ${shown.trim()}`]
        const words = rest.split(/ #|&&|; /)[0] ?? ''
        return [...words.matchAll(/(?<=\s)--[a-z-]+/g)]
          .filter(([option]) => !options.has(option))
          .map(([option]) => `${page}: decoymx ${command} has no ${option}`)
      },
    ),
  )
  expect(wrong).toEqual([])
})

test('every setting that a page names is there', () => {
  const schemas = ['decoymx', 'rules'].map((name) => JSON.parse(read(`deploy/schema/${name}.schema.json`)) as Schema)
  const sections = Object.keys(schemas[0]?.properties ?? {}).join('|')
  const named = new RegExp(`\`((?:${sections})\\.[a-z][a-z.-]*[a-z])(?![\\w/])`, 'g')
  const found = [...text].flatMap(([page, source]) =>
    [...source.matchAll(named)].map(([, key = '']) => ({ page, key })),
  )
  expect(found.length).toBeGreaterThan(50)
  expect(found.filter(({ key }) => !schemas.some((schema) => hasKey(schema, key.split('.'))))).toEqual([])
})

test('every metric that a page names is there, with its labels and their values', async () => {
  const all = new Map((await createMetrics('0.0.0').catalogue()).map((metric) => [metric.name, metric.labels]))
  const found = [...text]
    .filter(([page]) => page !== 'docs/metrics.md')
    .flatMap(([page, source]) =>
      [...source.matchAll(/\b(decoymx_(?!list\b)[a-z_]*[a-z])\b(?!_?\*)(?:\{([^}]*)\})?/g)].map(
        ([shown, name = '', labels]) => ({
          page,
          shown,
          name,
          labels: labels?.split(',').map((each) => each.replaceAll('"', '').split('=')) ?? [],
        }),
      ),
    )
  expect(found.length).toBeGreaterThan(20)
  const isThere = ({ name, labels }: (typeof found)[number]) => {
    const known = all.get(name)
    // Of a gauge whose series come with the real MXs none is there yet.
    const open = known && Object.keys(known).length === 0
    return (
      known &&
      labels.every(
        ([label = '', values]) => open || (values?.split('|') ?? []).every((value) => known[label]?.includes(value)),
      )
    )
  }
  expect(found.filter((each) => !isThere(each)).map(({ page, shown }) => `${page}: ${shown}`)).toEqual([])
})

test('CONTRIBUTING.md names the programs that the checks install', () => {
  const wanted = /^for package in (.*); do$/m.exec(read('.ci/run'))?.[1]?.split(' ')
  const named = /apt-get install --no-install-recommends ((?:.*\\\n)*.*)/.exec(read('CONTRIBUTING.md'))?.[1]
  expect(named?.replaceAll('\\', '').trim().split(/\s+/)).toEqual(wanted)
})

test('every page is in the index, and every command in the README', () => {
  const index = text.get('docs/README.md') ?? ''
  expect(pages.filter((page) => /^docs\/(?!README)/.test(page) && !index.includes(`](${page.slice(5)})`))).toEqual([])
  const readme = text.get('README.md') ?? ''
  expect([...commands.keys()].filter((command) => !new RegExp(`\`(decoymx )?${command}\\b`).test(readme))).toEqual([])
})

test('what the README says is not yet here is not', () => {
  const line = /^Not yet here: .*$/m.exec(text.get('README.md') ?? '')?.[0] ?? ''
  expect([...line.matchAll(/`([a-z]+)`/g)].map(([, word = '']) => word).filter((word) => commands.has(word))).toEqual(
    [],
  )
})

type Schema = {
  readonly properties?: Readonly<Record<string, Schema>>
  readonly anyOf?: readonly Schema[]
}

function hasKey(schema: Schema, [first, ...rest]: readonly string[]): boolean {
  if (first === undefined) return true
  const next = schema.properties?.[first]
  return (
    (next !== undefined && hasKey(next, rest)) || (schema.anyOf ?? []).some((each) => hasKey(each, [first, ...rest]))
  )
}

/** As web pages of repositories make them. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .replace(/\s/g, '-')
}
