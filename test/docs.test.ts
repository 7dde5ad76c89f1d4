/** The pages keep what they say: links lead somewhere, commands and their options are there, and every page is in the index. */
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { expect, test } from 'vitest'
import { stageOn } from '../src/command/tree/options.ts'
import { commandTree } from '../src/command/tree/tree.ts'
import { screenOf } from '../src/console/terminal.ts'

const ROOT = join(import.meta.dirname, '..')
const pages = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', ...globSync('docs/**/*.md', { cwd: ROOT })].toSorted()
const text = new Map(pages.map((page) => [page, readFileSync(join(ROOT, page), 'utf8')]))

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

/** As web pages of repositories make them. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .replace(/\s/g, '-')
}
