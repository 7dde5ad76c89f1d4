/** The plan of the house, read from the source tree itself: floors, doors, circles, and what core may not touch. */
import { existsSync, globSync, readFileSync } from 'node:fs'
import { basename, dirname, join, normalize } from 'node:path'
import { describe, expect, test } from 'vitest'
import { readSettings } from '../src/settings/settings.ts'
import { spellProblem } from '../src/core/document.ts'
import { CODES } from '../src/core/problems.ts'
import { readRules } from '../src/core/rules.ts'

const root = join(import.meta.dirname, '..')
const read = (file: string): string => readFileSync(join(root, file), 'utf8')

const FLOORS: Record<string, number> = {
  main: 8,
  command: 7,
  daemon: 6,
  settings: 5,
  answer: 4,
  console: 4,
  simulation: 4,
  reputation: 3,
  watch: 3,
  decoy: 3,
  libc: 2,
  core: 1,
}
const LINES_MAX = 420
const NAMELESS = /^(utils?|helpers?|common|misc|shared|lib|index)\b/

const files = globSync('src/**/*.{ts,js}', { cwd: root }).toSorted()
const sources = new Map(files.map((file) => [file, read(file)]))

/** `src/core/facts.ts` is in the room core; `src/main.ts` and `src/start.js` are the top floor. */
function roomOf(file: string): string {
  const [, room = '', ...rest] = file.split('/')
  return rest.length > 0 ? room : 'main'
}

type Import = {
  readonly from: string
  readonly to: string
  readonly named: string
  readonly typeOnly: boolean
  /** Opened only when that line is reached. */
  readonly late: boolean
}

/** Every import and re-export that opens a file of ours or a package, static or not. */
function importsOf(file: string): Import[] {
  const code = withoutComments(sources.get(file) ?? '')
  const fixed = [...code.matchAll(/^(?:import|export)\s+(type\s)?(?:[^'"`;]*?\sfrom\s+)?'([^'\n]+)'/gm)]
  const called = [...code.matchAll(/\bimport\(\s*'([^'\n]+)'/g)]
  const all = [
    ...fixed.map(([, type, named = '']) => ({ type, named, late: false })),
    ...called.map(([, named = '']) => ({ type: undefined, named, late: true })),
  ]
  return all.map(({ type, named, late }) => ({
    from: file,
    to: named.startsWith('.') ? normalize(join(dirname(file), named)) : named,
    named,
    typeOnly: type !== undefined,
    late,
  }))
}

function withoutComments(code: string): string {
  return code.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '$1')
}

const imports = files.flatMap(importsOf)
const ours = imports.filter(({ named }) => named.startsWith('.'))
const told = ({ from, to }: Import): string => `${from} opens ${to}`

test('the source tree is there to be read', () => {
  expect(files).toContain('src/core/verdict.ts')
  expect(ours.map(told)).toContain('src/core/verdict.ts opens src/core/facts.ts')
  expect(ours.map(told)).toContain('src/start.js opens src/main.ts')
  expect(imports.map(({ named }) => named)).toContain('smtp-server')
})

describe('floors', () => {
  test('every room has its floor', () => {
    expect(files.filter((file) => FLOORS[roomOf(file)] === undefined)).toEqual([])
  })

  test('an import opens its own room or one on a lower floor; rooms side by side do not know each other', () => {
    const wrong = ours.filter(({ from, to }) => {
      const [here, there] = [roomOf(from), roomOf(to)]
      return here !== there && (FLOORS[there] ?? Infinity) >= (FLOORS[here] ?? 0)
    })
    expect(wrong.map(told)).toEqual([])
  })

  test('of reputation, others open the door, reputation.ts, and the types in decision.ts', () => {
    const wrong = ours.filter(({ from, to, typeOnly }) => {
      if (roomOf(to) !== 'reputation' || roomOf(from) === 'reputation') return false
      return to !== 'src/reputation/reputation.ts' && !(to === 'src/reputation/decision.ts' && typeOnly)
    })
    expect(wrong.map(told)).toEqual([])
  })

  test('every import names a file that is there, with its ending', () => {
    expect(ours.filter(({ to }) => !/\.(ts|js)$/.test(to) || !existsSync(join(root, to))).map(told)).toEqual([])
  })

  test('no circle of imports, not even of types', () => {
    expect(
      circleIn(new Map(files.map((file) => [file, ours.filter(({ from }) => from === file).map(({ to }) => to)]))),
    ).toEqual([])
  })

  test('a circle would be found', () => {
    expect(
      circleIn(
        new Map([
          ['a', ['b', 'c']],
          ['b', []],
          ['c', ['d']],
          ['d', ['a']],
        ]),
      ),
    ).toEqual(['a', 'c', 'd', 'a'])
  })
})

test('before a command is known few packages are opened: each takes the time of every command', () => {
  const opened = new Set(['src/main.ts'])
  // A set hands out what is added while it is walked.
  for (const file of opened)
    for (const { from, to, typeOnly, late } of imports) if (from === file && !typeOnly && !late) opened.add(to)
  const packages = [...opened].filter((each) => !each.startsWith('src/') && !each.startsWith('node:'))
  expect(packages.toSorted()).toEqual(['commander', 'ipaddr.js', 'picocolors', 'zod'])
})

/** The first circle found, as the way around it; empty when there is none. */
function circleIn(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const done = new Set<string>()
  const walk = (node: string, way: readonly string[]): string[] => {
    if (way.includes(node)) return [...way.slice(way.indexOf(node)), node]
    if (done.has(node)) return []
    for (const next of graph.get(node) ?? []) {
      const circle = walk(next, [...way, node])
      if (circle.length > 0) return circle
    }
    done.add(node)
    return []
  }
  for (const node of graph.keys()) {
    const circle = walk(node, [])
    if (circle.length > 0) return circle
  }
  return []
}

describe('core is pure', () => {
  const core = files.filter((file) => roomOf(file) === 'core')

  test.each<[string, RegExp]>([
    ['no module of the system', /'node:/],
    ['no clock', /\bDate\.now\b|\bnew Date\(\s*\)|\bDate\(\s*\)|\bperformance\b|\bhrtime\b/],
    ['no timer', /\bset(Timeout|Interval|Immediate)\b|\bqueueMicrotask\b/],
    ['no chance', /\bMath\.random\b|\bcrypto\b/],
    ['no process, no network, no console', /(?<!\.)\bprocess\b(?!\()|\bfetch\(|\bconsole\./],
    ['no waiting', /\bawait\b|\basync\b/],
  ])('%s', (_, forbidden) => {
    expect(core.filter((file) => forbidden.test(withoutComments(sources.get(file) ?? '')))).toEqual([])
  })

  test('and asks few packages', () => {
    const packages = imports
      .filter(({ from, named }) => roomOf(from) === 'core' && !named.startsWith('.'))
      .map(({ named }) => named)
    expect([...new Set(packages)].toSorted()).toEqual(['ipaddr.js', 'yaml', 'zod'])
  })
})

describe('every file', () => {
  test('opens with its contract', () => {
    const opening = (text: string) => /^(?:#![^\n]*\n)?\/\*\*\n \* [^\n]{10,}/.test(text)
    expect(files.filter((file) => !opening(sources.get(file) ?? ''))).toEqual([])
  })

  test('has a noun of its own for a name, in small letters and dashes', () => {
    expect(
      files.filter(
        (file) => NAMELESS.test(basename(file)) || !/^[a-z0-9]+(-[a-z0-9]+)*\.(ts|js)$/.test(basename(file)),
      ),
    ).toEqual([])
  })

  test(`has at most ${LINES_MAX} lines`, () => {
    const long = files
      .map((file) => [file, (sources.get(file) ?? '').split('\n').length - 1] as const)
      .filter(([, lines]) => lines > LINES_MAX)
    expect(long).toEqual([])
  })
})

describe('what we ship passes our own check', () => {
  const shipped = ['rules.yaml', 'deploy/rules.yaml'].filter((file) => existsSync(join(root, file)))

  test.each(shipped)('%s', (file) => {
    const rules = readRules(file, read(file))
    expect(rules.ok ? [] : rules.problems.map(spellProblem)).toEqual([])
  })

  test('the rules to start from refuse nothing; those of the clone do', () => {
    const modes = shipped.map((file) => {
      const rules = readRules(file, read(file))
      return [file, rules.ok ? rules.rules.mode : undefined]
    })
    expect(modes).toEqual(shipped.map((file) => [file, file.startsWith('deploy/') ? 'observe' : 'enforce']))
  })

  test('and are the same rules', () => {
    const lists = shipped.map((file) => {
      const rules = readRules(file, read(file))
      return rules.ok ? rules.rules.list.map(({ line, ...rule }) => ({ ...rule, line: line > 0 })) : []
    })
    expect(lists[1]).toEqual(lists[0])
    expect(lists[0]).not.toEqual([])
  })

  test.each(['deploy/decoymx.yaml'].filter((file) => existsSync(join(root, file))))('%s', (file) => {
    const settings = readSettings(join(root, file), {})
    expect(settings.ok ? [] : settings.problems.map(spellProblem)).toEqual([])
  })
})

test('every code of a problem is one that somebody is told', () => {
  const told = [...sources].filter(([file]) => file !== 'src/core/problems.ts').map(([, text]) => text)
  expect(Object.keys(CODES).filter((code) => !told.some((text) => text.includes(`'${code}'`)))).toEqual([])
})

test('the tree in docs/architecture.md has every file, and none that is gone', () => {
  const tree = read('docs/architecture.md').split('## Floors')[0]?.split('    src/\n')[1]?.split('    test/ ')[0] ?? ''
  const listed = new Set(tree.match(/[a-z0-9-]+\.(?:ts|js)\b/g))
  // A folder within a room is told of as a whole.
  const rooms = files.filter((file) => !/^src\/(command\/tree|console\/pages)\//.test(file))
  expect(rooms.filter((file) => !listed.has(basename(file)))).toEqual([])
  const here = new Set(files.map((file) => basename(file)))
  expect([...listed].filter((name) => !here.has(name))).toEqual([])
})
