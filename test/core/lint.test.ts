/** Values in, findings out. What each danger looks like in a zone is in test/layouts, which test/e2e/lint.test.ts reads. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { DANGERS, exitCodeOf, found } from '../../src/core/dangers.ts'
import { lint } from '../../src/core/lint.ts'
import { type MxRecord, routeOf } from '../../src/core/mx.ts'
import { planFor, type Wanted } from '../../src/core/plan.ts'
import { namesInPolicy, readStsPolicy } from '../../src/core/sts.ts'
import { type Host, rolesOf, type Survey } from '../../src/core/survey.ts'

const HOST: Host = {
  outcome: 'found',
  alias: undefined,
  ttlSeconds: 3600,
  tlsa: false,
  reverse: new Map(),
  place: undefined,
  addressPlaces: new Map(),
}

type Line = readonly [preference: number, exchange: string, ...addresses: string[]]

function surveyOf(lines: readonly Line[], more: Partial<Survey> = {}): Survey {
  const addresses = new Map(lines.map(([, exchange, ...own]) => [exchange, own]))
  const mx = lines.map(([preference, exchange]) => ({ preference, exchange }))
  const records = { domain: 'example.org', mx, addresses }
  const known = { primary: { names: ['mx0', 'mx00'], networks: [] }, backup: { names: ['mx9'], networks: [] } }
  const { roles, decoyAddresses } = rolesOf(records, known)
  const hosts = new Map(
    lines.map(([, exchange, ...own]) => [exchange, { ...HOST, outcome: own.length > 0 ? 'found' : 'none' } as Host]),
  )
  return {
    layout: { ...records, roles },
    decoyAddresses,
    mxTtlSeconds: 3600,
    hosts,
    absent: [],
    silences: [],
    cut: [],
    ...more,
  }
}

const GOOD: readonly Line[] = [
  [5, 'mx0', '198.51.100.66'],
  [20, 'mx1', '198.51.100.25'],
  [90, 'mx9', '198.51.100.67'],
]

describe('findings', () => {
  test('the gravest come first, in the order of the catalogue', () => {
    const codes = lint(surveyOf([...GOOD, [20, 'mx0', '198.51.100.66']])).map(({ code }) => code)
    expect(codes).toEqual(['MX04', 'MX12', 'AD06', 'AD06', 'AD06', 'TT01', 'ST01'])
  })

  test('a decoy among real MXs is compared with each: equal to these, and before or behind those', () => {
    const lines: Line[] = [
      [10, 'mx1', '198.51.100.25'],
      [20, 'mx0', '198.51.100.66'],
      [20, 'mx9', '198.51.100.67'],
      [20, 'mx2', '198.51.100.26'],
      [20, 'mx3', '198.51.100.27'],
      [30, 'mx4', '198.51.100.28'],
    ]
    const told = lint(surveyOf(lines)).filter(({ code }) => ['MX04', 'MX05', 'MX06'].includes(code))
    expect(told.map(({ code, about, seen }) => `${code} ${about}: ${seen}`)).toEqual([
      'MX04 mx0: it and mx2, mx3 all have 20',
      'MX04 mx9: it and mx2, mx3 all have 20',
      'MX05 mx0: it has 20, mx1 has 10',
      'MX06 mx9: it has 20, mx4 has 30',
    ])
  })

  test('a second address of the backup is noted, and one that the settings do not have is a warning', () => {
    const lines = (...own: string[]): Line[] => [
      [20, 'mx1', '198.51.100.25', '2001:db8::25'],
      [90, 'mx9', ...own],
    ]
    const of = (survey: Survey) =>
      lint(survey)
        .filter(({ code }) => code === 'MX16')
        .map(({ level, seen }) => `${level}: ${seen}`)
    expect(of(surveyOf(lines('198.51.100.67', '2001:db8::67')))).toEqual([])
    const two = lines('198.51.100.67', '198.51.100.68')
    expect(of(surveyOf(two))).toEqual(['note: it has 198.51.100.67, 198.51.100.68'])
    const ours = (...own: string[]) => new Map(own.map((address) => [address, 'backup' as const]))
    expect(of(surveyOf(two, { decoyAddresses: ours('198.51.100.67') }))).toEqual([
      'warning: it has 198.51.100.67, 198.51.100.68; the settings do not listen on 198.51.100.68',
    ])
    expect(of(surveyOf(two, { decoyAddresses: ours('198.51.100.67', '198.51.100.68') }))).toEqual([
      'note: it has 198.51.100.67, 198.51.100.68',
    ])
  })

  test.each([
    [[], 'it has neither an MX record nor an address: is the name right?'],
    [['198.51.100.1'], 'it has no MX record: mail goes to its own address, 198.51.100.1'],
  ])('a domain without MX records: what is missing is said first (%j)', (own, seen) => {
    const { layout, ...rest } = surveyOf([])
    const survey = { ...rest, layout: { ...layout, addresses: new Map([['example.org', own]]) } }
    expect(lint(survey)).toMatchObject([{ code: 'MX01', about: 'example.org', seen }, { code: 'TT01' }])
  })

  test('an error outweighs what is unknown, and that a warning', () => {
    const [error, unknown, warning, note] = (['MX01', 'DN01', 'MX09', 'ST01'] as const).map((code) =>
      found(code, '', ''),
    )
    const exits = [[error, unknown, warning], [unknown, warning], [warning, note], [note], []]
    expect(exits.map((all) => exitCodeOf(all as never))).toEqual([2, 3, 1, 0, 0])
  })

  test('of any layout they have a code, and a sentence; a layout called safe leads every sender to a real MX soon', () => {
    const name = fc.constantFrom('mx0', 'mx00', 'mx1', 'mx2', 'mx9', '.')
    const address = fc.constantFrom('198.51.100.1', '198.51.100.2', '198.51.100.3', '2001:db8::1', '127.0.0.1')
    const line = fc.tuple(fc.integer({ min: 0, max: 40 }), name, fc.array(address, { maxLength: 4 }))
    fc.assert(
      fc.property(
        fc.array(line, { maxLength: 6 }),
        fc.infiniteStream(fc.double({ min: 0, max: 0.99, noNaN: true })),
        (lines, lots) => {
          const of = new Map(lines.map(([, exchange, own]) => [exchange, exchange === '.' ? [] : [...new Set(own)]]))
          const survey = surveyOf(
            lines.map(([preference, exchange]) => [preference, exchange, ...(of.get(exchange) ?? [])]),
          )
          const findings = lint(survey)
          for (const { code, seen } of findings) expect([code in DANGERS, seen === '']).toEqual([true, false])
          if (findings.some(({ level }) => level === 'error')) return
          const { stops } = routeOf(survey.layout, () => lots.next().value as number)
          const real = stops.findIndex(({ exchange }) => !survey.layout.roles.has(exchange))
          // Two hosts (Stalwart), five addresses (Postfix, Exim).
          const before = new Set(stops.slice(0, real).map(({ exchange }) => exchange))
          expect(real >= 0 && real < 5 && before.size <= 1).toBe(true)
          expect([...before].every((exchange) => survey.layout.roles.get(exchange) === 'primary')).toBe(true)
        },
      ),
    )
  })

  test('addresses before the first real MX count as often as a sender tries them: a name twice, its addresses twice', () => {
    const own = ['198.51.100.1', '198.51.100.2', '198.51.100.3']
    const codes = (...more: Line[]) =>
      lint(surveyOf([[0, 'mx0', ...own], ...more, [20, 'mx1', '198.51.100.25']])).map(({ code }) => code)
    expect(codes()).not.toContain('MX08')
    expect(codes([1, 'mx0', ...own])).toContain('MX08')
  })

  test('a host that is part decoy by the settings is a real MX that shares an address', () => {
    const records = {
      domain: 'example.org',
      mx: [{ preference: 1, exchange: 'a' }],
      addresses: new Map([['a', ['198.51.100.1', '198.51.100.2']]]),
    }
    const networks = [{ cidr: '198.51.100.1/32', family: 4 as const, length: 32, bits: 0xc6_33_64_01n }]
    const known = { primary: { names: [], networks }, backup: { names: [], networks: [] } }
    const roles = rolesOf(records, known)
    expect(roles.roles).toEqual(new Map())
    const survey = { ...surveyOf([]), layout: { ...records, roles: roles.roles }, decoyAddresses: roles.decoyAddresses }
    expect(lint(survey).map(({ code }) => code)).toContain('AD05')
  })
})

describe('an MTA-STS policy', () => {
  const POLICY = 'version: STSv1\nmode: enforce\nmx: mail.example.org\nmx: *.mx.example.org\nmax_age: 604800\n'

  test('is read, and its wildcard stands for one label', () => {
    const policy = readStsPolicy(POLICY)
    if (typeof policy === 'string') throw new Error(policy)
    expect(policy).toEqual({ mode: 'enforce', mx: ['mail.example.org', '*.mx.example.org'], maxAgeSeconds: 604_800 })
    const hosts = ['mail.example.org', 'a.mx.example.org', 'a.b.mx.example.org', 'mx.example.org']
    expect(hosts.map((host) => namesInPolicy(policy, host))).toEqual([true, true, false, false])
  })

  test.each([
    ['', 'expected "version: STSv1", got none'],
    ['<html>', 'line 1: expected "key: value"'],
    [POLICY.replace('enforce', 'strict'), 'expected "mode:" enforce, testing or none'],
    [POLICY.replace('604800', 'week'), 'expected "max_age:" with seconds up to 31557600'],
    [
      POLICY.replace('mail.example.org', 'mail*.example.org'),
      'expected a host name or "*." before one as mx, got "mail*.example.org"',
    ],
    [POLICY.replace(/mx: .*\n/g, ''), 'it names no mx'],
  ])('what is wrong is said: %#', (text, sentence) => {
    expect(readStsPolicy(text)).toBe(sentence)
  })
})

describe('a plan', () => {
  const wanted = {
    primary: { name: 'mx0', addresses: ['198.51.100.66'] },
    backup: { name: 'mx9', addresses: ['198.51.100.67'] },
  }
  const told = (lines: readonly Line[], asked: Wanted = wanted, more: Partial<Survey> = {}) => {
    const plan = planFor(surveyOf(lines, more), asked)
    if (!('steps' in plan)) return plan
    return plan.steps.flatMap(({ add, remove, waitSeconds }) => [
      ...remove.map(({ name, type, data, ttlSeconds }) => `- ${name} ${type} ${data} ${ttlSeconds}`),
      ...add.map(({ name, type, data, ttlSeconds }) => `+ ${name} ${type} ${data} ${ttlSeconds}`),
      `wait ${waitSeconds}`,
    ])
  }

  test('first the TTL, then addresses, the backup, the primary; with two TTLs between', () => {
    expect(told([[10, 'mx1', '198.51.100.25']])).toEqual([
      '- example.org MX 10 mx1. 3600',
      '+ example.org MX 10 mx1. 300',
      'wait 3600',
      '+ mx0 A 198.51.100.66 300',
      '+ mx9 A 198.51.100.67 300',
      'wait 300',
      '+ example.org MX 90 mx9. 300',
      'wait 600',
      '+ example.org MX 5 mx0. 300',
      'wait 600',
      '- example.org MX 5 mx0. 300',
      '- example.org MX 10 mx1. 300',
      '- example.org MX 90 mx9. 300',
      '- mx0 A 198.51.100.66 300',
      '- mx9 A 198.51.100.67 300',
      '+ example.org MX 5 mx0. 3600',
      '+ example.org MX 10 mx1. 3600',
      '+ example.org MX 90 mx9. 3600',
      '+ mx0 A 198.51.100.66 3600',
      '+ mx9 A 198.51.100.67 3600',
      'wait 0',
    ])
  })

  test('a wait is as long as what changes may be cached; the MX records end with the TTL that they had', () => {
    const lines: Line[] = [
      [20, 'mx1', '198.51.100.25'],
      [90, 'mx9', '198.51.100.67', '198.51.100.68'],
    ]
    const { backup } = wanted
    const hosts = new Map([['mx9', { ...HOST, ttlSeconds: 7200 }]])
    expect(told(lines, { backup }, { hosts })).toEqual(['- mx9 A 198.51.100.68 7200', 'wait 7200', 'wait 0'])
    const two = { backup: { name: 'mx9', addresses: ['198.51.100.67', '198.51.100.69'] } }
    expect(told(lines, two, { hosts }).slice(0, 3)).toEqual([
      '- mx9 A 198.51.100.68 7200',
      '+ mx9 A 198.51.100.69 7200',
      'wait 7200',
    ])
    // Beside an address that stays it has the TTL of that one, and keeps it (RFC 2181, 5.2).
    const short = new Map([['mx9', { ...HOST, ttlSeconds: 300 }]])
    expect(told(lines, two, { hosts: short }).slice(2)).toEqual(['wait 300', 'wait 0'])
    // The decoy's name has an address already, and no MX record names it.
    const survey = surveyOf([[20, 'mx1', '198.51.100.25']], { mxTtlSeconds: 86_400, hosts })
    const layout = { ...survey.layout, addresses: new Map([...survey.layout.addresses, ['mx9', ['198.51.100.68']]]) }
    expect(told([], { backup }, { ...survey, layout })).toEqual([
      '- example.org MX 20 mx1. 86400',
      '+ example.org MX 20 mx1. 300',
      'wait 86400',
      '- mx9 A 198.51.100.68 7200',
      '+ mx9 A 198.51.100.67 300',
      'wait 7200',
      '+ example.org MX 90 mx9. 300',
      'wait 600',
      '- example.org MX 20 mx1. 300',
      '- example.org MX 90 mx9. 300',
      '- mx9 A 198.51.100.67 300',
      '+ example.org MX 20 mx1. 86400',
      '+ example.org MX 90 mx9. 86400',
      '+ mx9 A 198.51.100.67 3600',
      'wait 0',
    ])
  })

  test('a step says what its lines do', () => {
    const last = (mxTtlSeconds: number, asked: Wanted) => {
      const plan = planFor(surveyOf([[10, 'mx1', '198.51.100.25']], { mxTtlSeconds }), asked)
      return 'steps' in plan ? plan.steps.at(-1)?.does : plan
    }
    expect(last(7200, wanted)).toMatch(
      /set the TTL of the MX records to 7200, and that of the other new records to 3600$/,
    )
    expect(last(300, { backup: wanted.backup })).toMatch(/, and that of the other new record to 3600$/)
    const said = (lines: readonly Line[]) => {
      const plan = planFor(surveyOf(lines, { mxTtlSeconds: 300 }), wanted)
      return 'steps' in plan ? plan.steps.map(({ does }) => does) : plan
    }
    const [zero, twenty, late]: Line[] = [
      [0, 'mx1', '198.51.100.25'],
      [20, 'mx1', '198.51.100.25'],
      [20, 'mx9', '198.51.100.67'],
    ]
    expect(said([zero as Line])).toContain('give the real MX a higher number, to make room before it. All in one edit')
    expect(said([twenty as Line, late as Line])).toContain(
      'take away mx9 with 20: a decoy has one place, before or behind every real MX',
    )
    expect(said([zero as Line, [5, 'mx9', '198.51.100.67']])).toContain(
      'give the real MX a higher number, to make room before it; take away mx9 with 5: a decoy has one place, before or behind every real MX. All in one edit',
    )
  })

  test('what is there already stays; nothing to do is said by no steps', () => {
    expect(told(GOOD)).toEqual([])
  })

  test('where nothing fits below the real MX, it moves up', () => {
    expect(
      told(
        [
          [0, 'mx1', '198.51.100.25'],
          [5, 'mx2', '198.51.100.26'],
        ],
        wanted,
        { mxTtlSeconds: 300 },
      ),
    ).toEqual([
      '+ mx0 A 198.51.100.66 300',
      '+ mx9 A 198.51.100.67 300',
      'wait 300',
      '- example.org MX 0 mx1. 300',
      '- example.org MX 5 mx2. 300',
      '+ example.org MX 10 mx1. 300',
      '+ example.org MX 15 mx2. 300',
      'wait 600',
      '+ example.org MX 90 mx9. 300',
      'wait 600',
      '+ example.org MX 5 mx0. 300',
      'wait 600',
      '- example.org MX 5 mx0. 300',
      '- example.org MX 10 mx1. 300',
      '- example.org MX 15 mx2. 300',
      '- example.org MX 90 mx9. 300',
      '- mx0 A 198.51.100.66 300',
      '- mx9 A 198.51.100.67 300',
      '+ example.org MX 5 mx0. 3600',
      '+ example.org MX 10 mx1. 3600',
      '+ example.org MX 15 mx2. 3600',
      '+ example.org MX 90 mx9. 3600',
      '+ mx0 A 198.51.100.66 3600',
      '+ mx9 A 198.51.100.67 3600',
      'wait 0',
    ])
  })

  test.each<[string, Line[], string[]]>([
    [
      'two at the top stay, and are not made one',
      [
        [65_521, 'mx1'],
        [65_520, 'mx1'],
        [0, 'mx2'],
      ],
      ['5 mx0', '65521 mx1', '65520 mx1', '10 mx2', '65535 mx9'],
    ],
    [
      'who comes up to another pushes it on, and equals stay equal',
      [
        [0, 'mx1'],
        [3, 'mx2'],
        [3, 'mx3'],
        [10, 'mx4'],
        [65_530, 'mx5'],
      ],
      ['5 mx0', '10 mx1', '11 mx2', '11 mx3', '12 mx4', '65530 mx5', '65535 mx9'],
    ],
  ])('real MXs keep their order where not all of them can move up: %s', (_, lines, after) => {
    const own = lines.map(([preference, exchange], i): Line => [preference, exchange, `198.51.100.${i + 1}`])
    const plan = planFor(surveyOf(own), wanted)
    if (!('steps' in plan)) throw new Error(plan.join())
    expect(plan.after.map(({ preference, exchange }) => `${preference} ${exchange}`)).toEqual(after)
  })

  test('a second address of the primary goes; a decoy in a DANE zone gets a TLSA record', () => {
    const hosts = new Map([
      ['mx1', { ...HOST, tlsa: true }],
      ['mx0', HOST],
    ])
    const lines: Line[] = [
      [5, 'mx0', '198.51.100.66', '2001:db8::66'],
      [20, 'mx1', '198.51.100.25'],
    ]
    expect(told(lines, { ...wanted, backup: { name: 'mx0', addresses: [] } }, { hosts })).not.toHaveLength(0)
    const { primary } = wanted
    const plan = planFor(surveyOf(lines, { hosts }), { primary })
    if (!('steps' in plan)) throw new Error(plan.join())
    expect(plan.steps[0]?.remove.map(({ data }) => data)).toEqual(['2001:db8::66'])
    expect(plan.steps[0]?.add.map(({ name, type }) => `${name} ${type}`)).toEqual(['_25._tcp.mx0 TLSA'])
  })

  test('what a plan makes, lint calls no error, whatever was there', () => {
    const name = fc.constantFrom('mx0', 'mx1', 'mx2', 'mx9')
    const line = fc.tuple(fc.integer({ min: 0, max: 65_535 }), name)
    fc.assert(
      fc.property(fc.uniqueArray(line, { maxLength: 5, selector: String }), (lines) => {
        const own: Record<string, string> = {
          mx0: '198.51.100.66',
          mx1: '198.51.100.25',
          mx2: '198.51.100.26',
          mx9: '198.51.100.67',
        }
        const before = surveyOf(lines.map(([preference, exchange]) => [preference, exchange, own[exchange] as string]))
        const plan = planFor(before, wanted)
        if (!('steps' in plan)) {
          expect(plan).not.toEqual([])
          return
        }
        // Step by step, in a zone: what is taken away was there, TTL and all, and what is left is what was promised.
        const spell = (record: MxRecord, ttl: number) => `MX ${record.preference} ${record.exchange}. ${ttl}`
        const zone = new Set(before.layout.mx.map((record) => spell(record, before.mxTtlSeconds ?? 0)))
        for (const { add, remove } of plan.steps) {
          for (const { type, data, ttlSeconds } of remove)
            if (type === 'MX') expect(zone.delete(`MX ${data} ${ttlSeconds}`)).toBe(true)
          for (const { type, data, ttlSeconds } of add) if (type === 'MX') zone.add(`MX ${data} ${ttlSeconds}`)
        }
        const settled = plan.steps.some(({ add }) => add.some(({ type }) => type === 'MX')) ? 3600 : before.mxTtlSeconds
        expect([...zone].toSorted()).toEqual(plan.after.map((record) => spell(record, settled ?? 0)).toSorted())

        const after = plan.after.map(({ preference, exchange }): Line => [
          preference,
          exchange,
          own[exchange] as string,
        ])
        expect(lint(surveyOf(after)).filter(({ level }) => level === 'error')).toEqual([])
        const again = planFor(surveyOf(after), wanted)
        expect(again).toMatchObject({ steps: [] })
      }),
    )
  })

  test('what stands in its way is said, all of it', () => {
    expect(told([[0, '.']])).toEqual(['example.org says that it takes no mail (MX "."): there is nothing to protect'])
    const mx1: Line = [20, 'mx1', '198.51.100.25']
    const alias = new Map([['mx0', { ...HOST, alias: 'mx1' }]])
    const asIs = { primary: { name: 'mx0', addresses: [] } }
    const sentence =
      'mx0 is an alias (CNAME) of mx1, which leaves it no room for an address of its own: take away its MX record, then the CNAME, and plan again, or name another decoy'
    expect(told([[5, 'mx0', '198.51.100.25'], mx1], asIs, { hosts: alias })).toEqual([sentence])
    expect(told([[5, 'mx0', '198.51.100.25'], mx1], wanted, { hosts: alias })).toEqual([sentence])
    expect(told([[5, 'mx0', '198.51.100.25'], mx1], asIs)).toEqual([
      '198.51.100.25 is a real MX’s: a decoy needs an address of its own',
    ])
    expect(told([[20, 'mx1']])).toEqual(['no real MX of example.org has an address (A or AAAA): nobody takes its mail'])
    const both = { primary: { name: 'mx0', addresses: ['198.51.100.25'] }, backup: { name: 'mx9', addresses: [] } }
    expect(told([[10, 'mx1', '198.51.100.25']], both)).toEqual([
      '198.51.100.25 is a real MX’s: a decoy needs an address of its own',
      'mx9 has no address yet: say which with --backup-address',
    ])
  })
})
