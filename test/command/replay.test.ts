/** `replay` as a person runs it: journals of several boxes in, a table, JSON and a picture out. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import picocolors from 'picocolors'
import { describe, expect, test } from 'vitest'
import { replay, type ReplayOptions } from '../../src/command/replay.ts'
import type { Screen } from '../../src/console/terminal.ts'
import { spellProblem } from '../../src/core/document.ts'
import { type Event, type Kind, type Role, toLine } from '../../src/core/evidence.ts'
import { folder } from '../folders.ts'

const RULES = join(import.meta.dirname, '../../rules.yaml')
const T0 = Date.UTC(2026, 0, 5)
const HOUR_MS = 3_600_000

const seen = (at: number, client: string, role: Role, ...kinds: Kind[]): Event[] =>
  kinds.map((kind) => ({ type: 'evidence', at, client, role, kind }))
const probe = (at: number): Event => ({ type: 'probe', at, mx: 'mx', outcome: 'up' })

/** A journal as an appliance leaves it, in a state directory. */
function journal(name: string, events: readonly Event[], more = ''): string {
  const state = folder()
  mkdirSync(join(state, 'journal'))
  writeFileSync(join(state, 'journal/box'), `${name}\n`)
  const lines = events.toSorted((a, b) => a.at - b.at).map((event, i) => toLine({ seq: i + 1, event }))
  writeFileSync(join(state, 'journal/2026-01-05-000000000001.jsonl'), lines.join('') + more)
  return state
}
function rulesWith(from: string, to: string): string {
  const path = join(folder(), 'other.yaml')
  writeFileSync(path, readFileSync(RULES, 'utf8').replace(from, to))
  return path
}
async function run(journals: readonly string[], rules: string, words: Partial<ReplayOptions> = {}, person = false) {
  const [out, err]: [string[], string[]] = [[], []]
  const screen = (lines: string[]): Screen => {
    return {
      colours: picocolors.createColors(false),
      person,
      width: 160,
      height: 24,
      print: (line) => lines.push(line),
    }
  }
  const code = await replay(
    journals,
    { state: folder(), settings: undefined, rules },
    {
      against: RULES,
      picture: undefined,
      json: false,
      screen: screen(out),
      errors: screen(err),
      complain: (body) => {
        err.push((body as { error: string }).error)
        return 1
      },
      problems: (all) => err.push(...all.map(spellProblem)),
      now: () => 0,
      ...words,
    },
  )
  return { code, out, err }
}

/** Talks first: blocked as the rules are. Walks, but then tries passwords: 30 at most. */
const TALKER = seen(T0 + HOUR_MS, '203.0.113.1', 'backup', 'early-talk', 'recipient')
const GUESSER = [
  ...seen(T0 + 2 * HOUR_MS, '203.0.114.1', 'primary', 'contact'),
  ...seen(T0 + 3 * HOUR_MS, '203.0.114.1', 'backup', 'auth'),
  ...seen(T0 + 4 * HOUR_MS, '203.0.114.1', 'backup', 'auth'),
]
const WALK = seen(T0 + 2 * HOUR_MS + 500, '203.0.114.1', 'real', 'passed')
const PROBES = Array.from({ length: 60 }, (_, i) => probe(T0 + i * 300_000))
const HARSHER = () => rulesWith('defer: 70', 'defer: 25')

describe('replay', () => {
  test('the journals of several boxes are one recording; who walked and is newly listed comes first, and exit is 10', async () => {
    const journals = [journal('aaaaaaaaaaaa', [...TALKER, ...GUESSER, ...PROBES]), journal('bbbbbbbbbbbb', WALK)]
    const { code, out, err } = await run(journals, HARSHER())
    expect(code).toBe(10)
    expect(out.map((line) => line.split('\t').slice(0, 6))).toEqual([
      ['change', 'client', 'today', 'then', 'refused', 'for it'],
      ['new', '203.0.114.1', '-', expect.stringMatching(/^defer (29|30)$/), '0 -> 0', 'walked'],
    ])
    expect(err.join('\n')).toMatch(/66 events of 2 journals, 2026-01-05 00:00 to 2026-01-05 04:55 UTC/)
    expect(err.join('\n')).toMatch(/1 newly listed, 0 more heavily, 0 less, 0 no longer; 1 as before/)
    expect(err.join('\n')).toMatch(/Look first at those worse off who went from the primary to the real MX \(1\)/)

    const { out: json } = await run(journals, HARSHER(), { json: true })
    expect(JSON.parse(json.join('\n'))).toMatchObject({
      events: 66,
      before: { blocked: 1, deferred: 0 },
      after: { blocked: 1, deferred: 1 },
      changes: { new: 1, alike: 1, doubtful: 1 },
      clients: [{ change: 'new', client: '203.0.114.1', walked: true, before: null, after: { word: 'defer' } }],
    })
  })

  test('what the appliance played to itself is in no figure', async () => {
    const played = seen(T0 + HOUR_MS, '240.0.130.223', 'backup', 'early-talk', 'recipient')
    const { out } = await run([journal('aaaaaaaaaaaa', [...TALKER, ...played, ...PROBES])], HARSHER(), { json: true })
    expect(JSON.parse(out.join('\n'))).toMatchObject({ events: 62, before: { blocked: 1 }, after: { blocked: 1 } })
  })

  test('rules that let go are told as such, and exit is 0', async () => {
    const { code, out } = await run(
      [journal('aaaaaaaaaaaa', [...TALKER, ...PROBES])],
      rulesWith('weight: 110', 'weight: 1'),
    )
    expect(code).toBe(0)
    expect(out[1]?.split('\t').slice(0, 4)).toEqual(['no longer', '203.0.113.1', 'block 121', '-'])
  })

  test.each([
    ['a minute', TALKER.slice(0, 2), 'Too short to tell anything: less than an hour'],
    ['a few visits in hours', [...TALKER, ...PROBES], 'Too little to tell anything: clients were seen 2 times'],
    [
      'an afternoon of many',
      Array.from({ length: 30 }, (_, i) =>
        seen(T0 + i * 600_000, `203.0.113.${i}`, 'backup', 'contact', 'recipient'),
      ).flat(),
      undefined,
    ],
  ])('%s: too short is said, in the picture, too', async (_, events, said) => {
    const picture = join(folder(), 'out.svg')
    const { err } = await run([journal('aaaaaaaaaaaa', events)], HARSHER(), { picture })
    const { out } = await run([journal('aaaaaaaaaaaa', events)], HARSHER(), { json: true })
    const { short } = JSON.parse(out.join('\n')) as { short: string | null }
    for (const text of [err.join('\n'), readFileSync(picture, 'utf8'), short ?? '']) {
      if (said === undefined) expect(text).not.toContain('to tell anything')
      else expect(text).toContain(said)
    }
  })

  test('the picture is an SVG with both courses; hostile names of files are escaped', async () => {
    const picture = join(folder(), 'out.svg')
    await run([journal('aaaaaaaaaaaa', [...TALKER, ...GUESSER, ...PROBES])], HARSHER(), { picture })
    const svg = readFileSync(picture, 'utf8')
    expect(svg.match(/<polyline/g)).toHaveLength(4)
    expect(svg).toMatch(/other\.yaml, and newly listed there/)
    expect(svg).not.toMatch(/NaN|undefined|Infinity/)
  })

  test('torn lines are passed over and told; mistakes are told before anything is read', async () => {
    const torn = journal('aaaaaaaaaaaa', TALKER, '{"seq":99,"ty\n\u{1F600}')
    expect((await run([torn], HARSHER())).err[0]).toBe('2 lines could not be read, and were passed over')
    expect(await run([torn, torn], HARSHER())).toMatchObject({ code: 1, err: [expect.stringContaining('count twice')] })
    expect(await run(['/nowhere'], HARSHER())).toMatchObject({
      code: 1,
      err: [expect.stringContaining('no such file')],
    })
    expect(await run([folder()], HARSHER())).toMatchObject({
      code: 1,
      err: [expect.stringContaining('holds no journal')],
    })
    expect(await run([torn], HARSHER(), { picture: 'a.png' })).toMatchObject({
      code: 1,
      err: [expect.stringContaining('.svg')],
    })
    const { code, err } = await run([torn], rulesWith('defer: 70', 'defer: many'))
    expect(code).toBe(1)
    expect(err.join('\n')).toMatch(/other\.yaml:\d+:\d+: .*number/)
  })
})
