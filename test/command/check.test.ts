import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import picocolors from 'picocolors'
import { describe, expect, test } from 'vitest'
import { check, type CheckOptions } from '../../src/command/check.ts'
import { folder } from '../folders.ts'

const root = join(import.meta.dirname, '../..')
const shipped = join(root, 'rules.yaml')

async function run(rules: string, more: Partial<CheckOptions> = {}, settings?: string) {
  const [out, err]: [string[], string[]] = [[], []]
  const screen = (lines: string[]) => ({
    colours: picocolors.createColors(false),
    person: false,
    width: Infinity,
    height: 24,
    print: (line: string) => void lines.push(line),
  })
  const where = { state: '.', settings, rules }
  const code = await check(
    where,
    {},
    {
      strict: false,
      cases: [],
      json: false,
      screen: screen(out),
      errors: screen(err),
      now: () => Date.UTC(2026, 0, 5),
      ...more,
    },
  )
  return { code, out, err }
}

/** A sound file with one warning. */
const doubtful = (): string => {
  const path = join(folder(), 'rules.yaml')
  writeFileSync(
    path,
    `mode: observe
domains: [example.org]
thresholds: { observe: 20, defer: 70, block: 100 }
stands: { observe: 6h, defer: 1h, block: 24h }
rules:
  - { name: hasty, counts: backup.recipient, weight: 90, half-life: 1d, window: 7d, because: came here }
`,
  )
  return path
}

describe('check', () => {
  test('what we ship is sound, without a warning, and its cases come true', async () => {
    const { code, out, err } = await run(shipped, { strict: true, cases: [join(root, 'test/stories')] })
    expect({ code, err }).toEqual({ code: 0, err: [] })
    expect(out).toEqual([
      expect.stringMatching(/^sound {2}settings: defaults; .*12 rules, mode enforce; all cases come true$/),
    ])
  })

  test('a warning is told and passes; with strict it fails', async () => {
    const rules = doubtful()
    const { code, out, err } = await run(rules)
    expect(code).toBe(0)
    expect(err[0]).toContain('warning: one polite visit would be deferred: it reaches 90 [W002]')
    expect(out[0]).toMatch(/^sound/)
    expect(await run(rules, { strict: true })).toMatchObject({ code: 1, out: [] })
  })

  test('as JSON: problems and warnings, each with its code, place and line', async () => {
    const { out } = await run(doubtful(), { json: true })
    expect(JSON.parse(out.join('\n'))).toMatchObject({
      ok: true,
      problems: [],
      warnings: [{ code: 'W002', line: 6, warning: true, excerpt: { text: expect.stringContaining('hasty') } }],
    })
  })

  test('a case that does not come true fails, in its place', async () => {
    const cases = join(folder(), 'case.yaml')
    writeFileSync(
      cases,
      `story: Comes once
because: nobody is blocked for that
steps:
  - { at: 0s, client: 203.0.113.9, visits: backup, and: [recipient] }
  - at: 1m
    expect: { client: 203.0.113.9, verdict: block }
`,
    )
    const { code, err } = await run(shipped, { cases: [cases] })
    expect(code).toBe(1)
    expect(err[0]).toMatch(
      /case\.yaml:6:1: expected 203\.0\.113\.9 after 1m: block; got clean, a sum of 6(\.\d+)?: backup-first .* \[R021\]$/,
    )
  })

  test('a fact that nothing on this host tells of is warned of', async () => {
    const settings = join(folder(), 'decoymx.yaml')
    writeFileSync(settings, 'policy: { listen: [] }\n')
    const { code, err } = await run(shipped, {}, settings)
    expect(code).toBe(0)
    expect(err.join('\n')).toMatch(/unless-seen: 2d\n.*\^/)
    expect(err.join('\n')).toContain('excuses nobody here: no real MX asks us')
  })

  test.each([
    ['that answers nobody', 'policy: { listen: [] }'],
    ['without decoys', 'decoys: { primary: { listen: [], proxy: [] }, backup: { listen: [], proxy: [] } }'],
  ])(
    'a host %s misses nothing where it shares a Redis with another, and is warned where it does not',
    async (_, lacks) => {
      const settings = join(folder(), 'decoymx.yaml')
      const tried = (store: string) => {
        writeFileSync(settings, `${lacks}\n${store}\n`)
        return run(shipped, { strict: true }, settings)
      }
      const shared = await tried('store: { url: "redis://127.0.0.1:6379" }')
      expect([shared.code, shared.err, shared.out.length]).toEqual([0, [], 1])
      expect((await tried('')).code).toBe(1)
    },
  )

  test('of the decoys a host that shares a Redis has one: what it has not is told as anywhere', async () => {
    const settings = join(folder(), 'decoymx.yaml')
    writeFileSync(
      settings,
      'decoys: { primary: { listen: [], proxy: [] } }\nstore: { url: "redis://127.0.0.1:6379" }\n',
    )
    expect((await run(shipped, {}, settings)).err.join('\n')).toContain('decoys.primary has no addresses')
  })

  test('without a backup decoy rules that count there rest, and are no mistake; what is then true of everybody is', async () => {
    const settings = join(folder(), 'decoymx.yaml')
    writeFileSync(settings, 'decoys: { backup: { listen: [], proxy: [] } }\n')
    const { code, out, err } = await run(shipped, { strict: true }, settings)
    expect([code, err]).toEqual([0, []])
    expect(out[1]).toBe(
      '9 of the rules count nothing on this host: decoys.backup has no addresses; they weigh once it has',
    )
    const rules = join(folder(), 'rules.yaml')
    const turned = (text: string) => text.replace('when: backup.recipient >= 1', 'when: backup.recipient == 0')
    writeFileSync(rules, turned(readFileSync(shipped, 'utf8')))
    expect((await run(rules, { strict: true }, settings)).err).toEqual(
      expect.arrayContaining([
        expect.stringContaining('backup.recipient is never seen here, so this is true of everybody') as string,
      ]),
    )
  })
})
