import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import picocolors from 'picocolors'
import { describe, expect, test } from 'vitest'
import { simulate, type SimulateOptions } from '../../src/command/simulate.ts'
import type { Screen } from '../../src/console/terminal.ts'
import { spellProblem } from '../../src/core/document.ts'
import { DEFAULT_LAYOUT } from '../../src/core/mx.ts'
import { folder } from '../folders.ts'

const RULES = join(import.meta.dirname, '../../rules.yaml')

async function run(words: Partial<SimulateOptions> = {}, person = false, width = 200) {
  const [out, err]: [string[], string[]] = [[], []]
  const screen = (lines: string[]): Screen => ({
    colours: picocolors.createColors(false),
    person,
    width,
    height: 24,
    print: (line) => lines.push(line),
  })
  const code = await simulate({
    rulesFile: RULES,
    layout: DEFAULT_LAYOUT,
    weeks: 2,
    days: 2,
    seed: 1,
    json: false,
    screen: screen(out),
    errors: screen(err),
    problems: (all) => err.push(...all.map(spellProblem)),
    complain: (body) => {
      err.push((body as { error: string }).error)
      return 1
    },
    now: () => 0,
    ...words,
  })
  return { code, out, err }
}

/** The rules we ship, without the excuses. */
function merciless(): string {
  const path = join(folder(), 'rules.yaml')
  const source = readFileSync(RULES, 'utf8').replace(/^ +(unless-\w+|kind):.*\n/gm, '')
  writeFileSync(path, source)
  return path
}

describe('simulate', () => {
  test('in a pipe is a table with a row for each kind; the sentence goes beside it', async () => {
    const { code, out, err } = await run()
    expect(code).toBe(0)
    const rows = out.map((line) => line.split('\t'))
    expect(new Set(rows.map(({ length }) => length))).toEqual(new Set([12]))
    expect(rows[0]?.slice(0, 6)).toEqual(['who', 'kind', 'senders', 'observed', 'listed', 'blocked'])
    const pregreeter = rows.find(([, kind]) => kind === 'pregreeter')
    expect(pregreeter?.[0]).toBe('bot')
    expect(Number(pregreeter?.[4])).toBeGreaterThan(0)
    for (const [, kind, , , listed, blocked] of rows.slice(1))
      expect([kind, Number(blocked) <= Number(listed)]).toEqual([kind, true])
    expect(err.join('\n')).toMatch(/honest senders listed: 0 of \d+/)
    const callout = rows.find(([, kind]) => kind === 'callout')
    const lost = Number(/not for us: .*?(\d+) of \d+ of callout/.exec(err.join('\n'))?.[1])
    expect(lost / Number(callout?.[8])).toBeCloseTo(1 - Number.parseFloat(callout?.[9] as string) / 100, 2)
    expect(err.join('\n')).toMatch(/honest messages delayed by us: 0 of \d+ \(refused: 0\); longest detour .*: 2\.0 s/)
  })

  test('for a person says all of it on the screen', async () => {
    const { out, err } = await run({ weeks: 1, days: 1 }, true)
    expect(out.join('\n')).toMatch(/1 made-up week of 1 days \(seed 1\) at primary:5,real:20,backup:90/)
    expect(out.join('\n')).toMatch(/honest senders listed: 0/)
    expect(err).toEqual([])
  })

  test('for a person fits 80 columns, tells what is the same in a word, and ends with the answer', async () => {
    const otherFile = join(folder(), 'other.yaml')
    writeFileSync(otherFile, readFileSync(RULES, 'utf8').replace(/^ {2}block: 100$/m, '  block: 80'))
    const { out, err } = await run({ weeks: 1, days: 3, otherFile }, true, 80)
    expect(err).toEqual([])
    expect(out.filter((line) => line.length > 80)).toEqual([])
    const heads = out.filter((line) => line.startsWith('KIND'))
    const both = ['KIND', 'SENDERS', 'LISTED (95 %)', 'OTHER RULES']
    expect(heads.map((line) => line.split(/ {2,}/))).toEqual([
      [...both, 'TAKEN', 'DELAYED'],
      [...both, 'BLOCKED', 'DELAYED'],
      [...both, 'BLOCKED', 'TAKEN'],
    ])
    expect(out).toContain('honest senders; none blocked')
    expect(out.find((line) => line.startsWith('postfix '))).toMatch(/ 0% \(0-\d+\) +same +100% +0$/)
    const [asked = '', ...rest] = out.join('\n').split('\n\n').toReversed()
    expect(asked.replace(/\n +/g, ' ')).toMatch(
      /^\S+other\.yaml would list [\d.]+% of the bots, [\d.]+% before \([+-][\d.]+ points\), and list no honest sender; 0 honest messages delayed \(as before\)$/,
    )
    expect(rest[0]).toMatch(/^under \S+other\.yaml\nhonest senders listed: 0 of \d+/)
  })

  test('as JSON has what scripts rely on, and is the same again', async () => {
    const [{ out, code }, again] = [await run({ json: true }), await run({ json: true })]
    expect(again.out).toEqual(out)
    expect(code).toBe(0)
    const told = JSON.parse(out.join('\n'))
    expect(told).toMatchObject({ weeks: 2, seed: 1, honest: { listed: 0, delayed: 0, refused: 0, mishaps: [] } })
    expect(told.honest.senders).toBeGreaterThan(100)
    expect(told.honest.messages).toBeGreaterThan(1000)
    expect(told.bots.length).toBeGreaterThan(10)
    for (const bot of told.bots)
      expect(bot).toMatchObject({ kind: expect.any(String), senders: expect.any(Number), listed: expect.any(Number) })
    expect(told.stranded.map(({ kind }: { kind: string }) => kind)).toContain('first-mx-only')
  })

  test('tells each listed honest sender in full, and says it by the exit code', async () => {
    const rulesFile = merciless()
    const { code, err } = await run({ rulesFile, weeks: 1, days: 3 })
    expect(code).toBe(1)
    const text = err.join('\n')
    const [, listed, blocked, deferred] =
      /honest senders listed: (\d+) of .* \(blocked: (\d+), only deferred: (\d+)\); only observed: \d+/.exec(text) ?? []
    expect(Number(listed)).toBeGreaterThan(0)
    expect(Number(blocked) + Number(deferred)).toBe(Number(listed))
    expect(text).toMatch(/seed 1: honest sender [a-z-]+\d+ \([\da-f.:]+\): (defer|block) after .*, a sum of [\d.]+/)
    expect(text).toMatch(/ {2}\+[\d.]+ {2}[a-z-]+ {2}counted \d+, waived 0: .*rules\.yaml:\d+/)
    expect(text).toMatch(/ {4}2026-01-\S+ {2}backup recipient/)

    const { out } = await run({ rulesFile, weeks: 1, days: 3, json: true })
    const { honest } = JSON.parse(out.join('\n'))
    expect(honest.listed).toBeGreaterThan(0)
    expect(honest.mishaps[0]).toMatchObject({ seed: 1, reasons: expect.any(Array), journal: expect.any(Array) })
  })

  test('with other rules, the same weeks under both stand side by side; the exit code is of the others', async () => {
    const few = { weeks: 1, days: 3 }
    const { code, out, err } = await run({ ...few, otherFile: merciless() })
    expect(code).toBe(1)
    const rows = out.map((line) => line.split('\t'))
    expect(rows[0]?.slice(0, 7)).toEqual(['who', 'kind', 'senders', 'listed', '95 %', 'then', '95 % then'])
    expect(new Set(rows.map(({ length }) => length))).toEqual(new Set([11]))
    const text = err.join('\n')
    expect(text).toMatch(/under .*rules\.yaml\nhonest senders listed: 0 of \d+ = 0\.0%, 95 % from 0\.0% to/)
    expect(text).toMatch(
      /bots listed: \d+ of \d+ = [\d.]+%, 95 % from [\d.]+% to [\d.]+% \(blocked: \d+, only deferred: \d+\); the real MX took [\d.]+% of their mail/,
    )

    const { out: json } = await run({ ...few, otherFile: merciless(), json: true })
    const told = JSON.parse(json.join('\n'))
    expect(told.honest.listed).toBe(0)
    expect(told.with.honest.listed).toBeGreaterThan(0)
    for (const { kind, listed, blocked } of [...told.bots, ...told.with.honest.kinds])
      expect([kind, blocked >= 0 && blocked <= listed]).toEqual([kind, true])
    expect(told.with.caught).toMatchObject({ rate: expect.any(Number), low: expect.any(Number) })
  })

  test('the population says who comes; its mistakes are told where they stand', async () => {
    const file = join(folder(), 'population.yaml')
    writeFileSync(file, 'bots: {senders: 5, shares: {pregreeter: 1}}\n')
    const { out } = await run({ populationFile: file, json: true, weeks: 1 })
    const told = JSON.parse(out.join('\n'))
    expect(told.bots).toMatchObject([{ kind: 'pregreeter', senders: 5 }])
    expect(told.honest.senders).toBe(0)

    writeFileSync(
      file,
      'bots:\n  senders: many\n  shares: {snowshoe: -1}\nhonest: {senders: 3, shares: {pregreeter: 1}}\n',
    )
    const { code, err } = await run({ populationFile: file })
    expect(code).toBe(1)
    const mistakes = err.join('\n')
    expect(mistakes).toMatch(/population\.yaml:2:\d+: bots\.senders: expected a number/)
    expect(mistakes).toMatch(/population\.yaml:3:\d+: bots\.shares\.snowshoe: expected a number of at least 0/)
    expect(mistakes).toMatch(
      /population\.yaml:4:\d+: honest\.shares\.pregreeter: no such kind of sender; there are postfix/,
    )
  })

  test('where the kernel refuses at the primary, qmail is not stranded', async () => {
    const qmail = async (layout: string) => {
      const { out } = await run({ layout, json: true, weeks: 1 })
      const { stranded } = JSON.parse(out.join('\n'))
      return stranded.find(({ kind }: { kind: string }) => kind === 'qmail')
    }
    expect((await qmail(DEFAULT_LAYOUT)).delivered).toBe(0)
    expect((await qmail('closed-primary:5,real:20,backup:90')).delivered).toBeGreaterThan(0)
  })

  test('says what is wrong with its words', async () => {
    expect(await run({ layout: 'primary:5' })).toMatchObject({ code: 1, err: [expect.stringContaining('real MX')] })
    expect(await run({ layout: 'primary:5,real:20,backup:20' })).toMatchObject({
      code: 1,
      err: [expect.stringContaining('must not share preference 20')],
    })
    const { code, err } = await run({ rulesFile: join(folder(), 'none.yaml') })
    expect(code).toBe(1)
    expect(err[0]).toMatch(/there is no such file/)
  })
})
