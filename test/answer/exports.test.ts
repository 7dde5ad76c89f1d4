import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { countsDown, type ExportBasis, exportOf as making, exportsInTurn, headOf } from '../../src/answer/exports.ts'
import { type Format, FORMATS } from '../../src/answer/formats.ts'
import { type Client, parseClient } from '../../src/core/client.ts'
import { Never } from '../../src/core/never.ts'
import { covers, parsePrefix, type Prefix, Prefixes } from '../../src/core/prefixes.ts'
import { type AllowEntry, type Rules, withNever } from '../../src/core/rules.ts'
import { decider } from '../../src/reputation/decision.ts'
import { Ledger } from '../../src/reputation/ledger.ts'
import { idOf, type Ruling, ticketOf } from '../../src/reputation/store.ts'
import { finish } from '../paced.ts'
import { shippedRules } from '../rules.ts'

const NOON = Date.parse('2026-11-24T12:00:00Z')
const HOUR = 3_600_000
const RULES = shippedRules()
const prefix = (text: string) => parsePrefix(text) as Prefix

function ruling(target: string, word: Ruling['word'] = 'block', more: Partial<Ruling> = {}): Ruling {
  const ticket = ticketOf(target, NOON)
  return { by: 'rules', target, word, since: NOON, until: NOON + HOUR, ticket, because: 'talked first', ...more }
}
const byOperator = (target: string, word: Ruling['word'], more: Partial<Ruling> = {}) =>
  ruling(target, word, { by: 'operator', until: undefined, because: 'a leased range', author: 'ann', ...more })

const exportOf = (format: Format, basis: ExportBasis) => finish(making(format, basis))

type Given = {
  readonly rulings: readonly Ruling[]
  readonly mode?: Rules['mode']
  readonly allow?: readonly string[]
  readonly never?: readonly string[]
}

/** A ledger that holds these, as any process does, and what an export is made of there. */
async function basisOf({ rulings, mode = 'enforce', allow = [], never: ours = [] }: Given): Promise<ExportBasis> {
  const never = new Never()
  never.put('a decoy of ours', ours.map(prefix))
  const entries = allow.map((cidr): AllowEntry => ({
    prefix: prefix(cidr),
    because: 'ours',
    until: undefined,
    line: 1,
    index: 0,
  }))
  const rules = withNever(
    {
      ...RULES,
      mode,
      modes: { observe: mode, defer: mode, block: mode },
      allow: Prefixes.of(entries.map((entry) => [entry.prefix, entry])),
    },
    never,
  )
  const byId = new Map(rulings.map((each) => [idOf(each), each]))
  const source = {
    rulings: async () => ({ generation: 7, rulings: [...byId.values()] }),
    generation: async () => 7,
    watch: async () => {},
  }
  const ledger = new Ledger(source, { now: () => NOON, uptime: () => 0, maxAgeMs: HOUR, tell: () => {} })
  await ledger.start()
  ledger.close()
  return {
    rulings: [...ledger.all()],
    decide: decider(
      ledger,
      () => rules,
      () => NOON,
    ),
    rules,
    never: never.networks(),
    generation: ledger.generation,
    rulesHash: 'abc123',
    now: NOON,
  }
}

/** Reads an export as the program does that it is for. */
const PARSE: Record<Format, (lines: readonly string[]) => string[]> = {
  plain: (lines) => [...lines],
  cidr: (lines) => lines.map((line) => /^(\S+) REJECT 5\.7\.1 \S/.exec(line)?.[1] ?? line),
  nft: (lines) =>
    lines.flatMap((line) => {
      const elements = /^add element inet decoymx_list (?:clients|blocked)[46] \{ (.*) \}$/.exec(line)?.[1]
      return elements?.split(', ').map((element) => spelt(element.split(' timeout ', 1)[0] as string)) ?? []
    }),
  ipset: (lines) => lines.flatMap((line) => /^add decoymx[46]-next (\S+) timeout \d+ -exist$/.exec(line)?.[1] ?? []),
  rbldnsd: (lines) => lines.filter((line) => !/^[:$]|^127\.0\.0\.2\/32$|^::ffff:7f00:2\/128$/.test(line)),
  csv: (lines) => lines.slice(1).map((line) => line.split(',', 1)[0] as string),
  json: (lines) =>
    (JSON.parse(lines.join('\n')) as { listed: { network: string }[] }).listed.map(({ network }) => network),
}

/** A client in nft's sets for clients. */
function spelt(element: string): string {
  if (element.includes('/')) return element
  return element.includes(':') ? `${element}/64` : `${element}/32`
}

function networksIn(format: Format, text: string): string[] {
  return PARSE[format](text.split('\n').filter((line) => line !== '' && !line.startsWith('#')))
}

async function exported(format: Format, given: Given): Promise<string[]> {
  return networksIn(format, exportOf(format, await basisOf(given)).text)
}

describe('who is exported', () => {
  test.each(FORMATS)('%s: blocks alone; not who is observed, deferred, allowed or released', async (format) => {
    const rulings = [
      ruling('192.0.2.1'),
      ruling('192.0.2.2', 'defer'),
      ruling('192.0.2.3', 'observe'),
      byOperator('192.0.2.4/32', 'allow'),
      byOperator('192.0.2.5/32', 'release', { grace: NOON + HOUR }),
      ruling('192.0.2.6'),
      byOperator('192.0.2.6/32', 'allow'),
      ruling('192.0.2.7', 'block', { until: NOON }),
      ruling('2001:db8:0:1::/64'),
    ]
    const shown = format === 'plain' ? '192.0.2.1' : '192.0.2.1/32'
    expect(await exported(format, { rulings })).toEqual([shown, '2001:db8:0:1::/64'])
  })

  test.each(FORMATS)('%s: nobody in mode observe', async (format) => {
    const { head, text } = exportOf(
      format,
      await basisOf({ mode: 'observe', rulings: [ruling('192.0.2.1'), byOperator('203.0.113.0/24', 'block')] }),
    )
    expect(networksIn(format, text)).toEqual([])
    expect(head).toMatchObject({ mode: 'observe', listings: 0, entries: 0 })
  })

  test('a block that only rules on trial reach is absent, and so is one whose enforced part is a deferral', async () => {
    const rulings = [
      ruling('192.0.2.1', 'block', { stands: [{ word: 'block', until: NOON + HOUR }], enforced: [] }),
      ruling('192.0.2.2', 'block', {
        stands: [{ word: 'block', until: NOON + HOUR }],
        enforced: [{ word: 'defer', until: NOON + HOUR }],
      }),
    ]
    expect(await exported('plain', { rulings })).toEqual([])
  })

  test('with a longest life no entry stands longer, and what ends before keeps its end', async () => {
    const rulings = [byOperator('203.0.113.0/24', 'block'), ruling('192.0.2.1', 'block', { until: NOON + 60_000 })]
    const { text } = exportOf('nft', { ...(await basisOf({ rulings })), lifeMs: HOUR })
    expect(text).toContain('clients4 { 192.0.2.1 timeout 60s }')
    expect(text).toContain('blocked4 { 203.0.113.0/24 timeout 3600s }')
  })

  test('whom an answer would not refuse for another reason is absent, too', async () => {
    const basis = await basisOf({ rulings: [ruling('192.0.2.1'), ruling('192.0.2.2')] })
    const { decide } = basis
    const pooled: ExportBasis = {
      ...basis,
      decide: (client) => ({ ...decide(client), ...(client.ip === '192.0.2.1' ? { effect: 'pass' } : {}) }),
    }
    expect(networksIn('plain', exportOf('plain', pooled).text)).toEqual(['192.0.2.2'])
  })

  test('what is allowed, ours or private is cut out of a blocked network', async () => {
    const given: Given = {
      rulings: [
        byOperator('192.0.2.0/29', 'block'),
        byOperator('192.0.2.1/32', 'allow'),
        byOperator('10.0.0.0/8', 'block'),
      ],
      allow: ['192.0.2.2'],
      never: ['192.0.2.7'],
    }
    expect(await exported('plain', given)).toEqual(['192.0.2.0', '192.0.2.3', '192.0.2.4/31', '192.0.2.6'])
  })
})

describe('neighbours', () => {
  const all = (more: (i: number) => Partial<Ruling> = () => ({})) =>
    Array.from({ length: 256 }, (_, i) => ruling(`203.0.113.${i}`, 'block', more(i)))

  test('a /24 of which all addresses are listed is one entry, and one address less is none', async () => {
    for (const format of ['plain', 'cidr', 'rbldnsd'] as const) {
      expect(await exported(format, { rulings: all() })).toEqual(['203.0.113.0/24'])
      expect(await exported(format, { rulings: all().slice(1) })).toHaveLength(8)
    }
  })

  test('where each entry has an end, only what ends in the same second is joined', async () => {
    const rulings = all((i) => ({ until: NOON + (i < 128 ? HOUR + i : 2 * HOUR) }))
    const { text } = exportOf('nft', await basisOf({ rulings }))
    expect(text).toContain('{ 203.0.113.0/25 timeout 3600s, 203.0.113.128/25 timeout 7200s }')
  })

  test('an IPv6 client stays its /64; a blocked network stays one, whoever is listed within', async () => {
    const rulings = [
      ruling('2001:db8::/64'),
      ruling('2001:db8:0:1::/64'),
      byOperator('2001:db8:ff::/48', 'block'),
      ruling('2001:db8:ff:5::/64'),
    ]
    expect(await exported('plain', { rulings })).toEqual(['2001:db8::/64', '2001:db8:0:1::/64', '2001:db8:ff::/48'])
  })
})

describe('formats', () => {
  const rulings = [
    ruling('192.0.2.1', 'block', { because: 'said "EHLO", too soon' }),
    byOperator('0.0.0.0/1', 'block', { until: NOON + 100 * 24 * HOUR }),
  ]

  test('the head says what the rest is, and is read back', async () => {
    for (const format of FORMATS) {
      const { head, text } = exportOf(format, await basisOf({ rulings: [ruling('192.0.2.1')] }))
      expect(head).toMatchObject({
        format,
        made: '2026-11-24T12:00:00.000Z',
        generation: 7,
        rules: 'abc123',
        mode: 'enforce',
        listings: 1,
        entries: 1,
      })
      expect(headOf(text)).toEqual(head)
    }
    expect(headOf('root:x:0:0:root:/root:/bin/bash\n')).toBeUndefined()
    expect(headOf('{"export": {"format":"exe"},\n')).toBeUndefined()
    expect(headOf('{"export": {nonsense},\n')).toBeUndefined()
  })

  test('the fingerprint tells of a change of the list, not of time', async () => {
    const basis = await basisOf({ rulings })
    const digest = (more: Partial<ExportBasis>) => exportOf('nft', { ...basis, ...more }).head.digest
    expect(digest({ now: NOON + 1000 })).toBe(digest({}))
    expect(digest({ rulings: [...basis.rulings].slice(1) })).not.toBe(digest({}))
  })

  test('csv: quotes are doubled; an operator’s block without an end has none', async () => {
    const { text } = exportOf(
      'csv',
      await basisOf({ rulings: [rulings[0] as Ruling, byOperator('198.51.100.0/24', 'block')] }),
    )
    const [one, other] = [ticketOf('192.0.2.1', NOON), ticketOf('198.51.100.0/24', NOON)]
    expect(text.split('\n').slice(3)).toEqual([
      'network,until,by,ticket,because',
      `192.0.2.1/32,2026-11-24T13:00:00.000Z,rules,${one},"said ""EHLO"", too soon"`,
      `198.51.100.0/24,,operator,${other},a leased range`,
      '',
    ])
  })

  test('ipset: sets are swapped whole, all addresses are two halves, and no time is longer than it knows', async () => {
    const { text } = exportOf('ipset', await basisOf({ rulings: [byOperator('::/0', 'block'), ruling('203.0.113.1')] }))
    expect(text).toContain('add decoymx4-next 203.0.113.1/32 timeout 3600 -exist\nswap decoymx4-next decoymx4\n')
    const far = exportOf('ipset', await basisOf({ rulings: [rulings[1] as Ruling] })).text
    expect(far).toContain(' timeout 2147483 -exist')
    expect(text).toContain(' timeout 0 -exist')
  })

  test('rbldnsd: the test entries of RFC 5782 are there when nobody is listed', async () => {
    const { text } = exportOf('rbldnsd', await basisOf({ rulings: [] }))
    expect(text).toMatch(
      /\$DATASET ip4trie @\n:127\.0\.0\.2:.+\n127\.0\.0\.2\/32\n\$DATASET ip6trie @\n:.+\n::ffff:7f00:2\/128\n$/,
    )
  })

  test('a time runs down only in nft and ipset', () => {
    expect(FORMATS.filter(countsDown)).toEqual(['nft', 'ipset'])
  })
})

// 16 addresses and 8 /64s that touch private, documentation and other space, so that everything meets everything.
const CLIENTS = [
  '172.31.255.252',
  '172.31.255.254',
  '172.31.255.255',
  '172.32.0.0',
  '172.32.0.1',
  '172.32.0.2',
  '172.32.0.3',
]
  .concat(['172.32.0.4', '172.32.0.5', '172.32.0.6', '172.32.0.7', '172.32.0.8', '172.31.0.0', '172.32.0.255'])
  .concat(['2001:db8::', '2001:db8::1', '2001:db8:0:1::', '2001:db8:0:2::', '2001:db8:0:3::5', 'fe80::1', '2001:db9::'])
const NETWORKS = [
  '172.32.0.0/30',
  '172.32.0.0/29',
  '172.32.0.4/31',
  '172.32.0.0/11',
  '172.32.0.0/24',
  '172.0.0.0/8',
  '172.32.0.2',
].concat(['2001:db8::/63', '2001:db8::/62', '2001:db8::/32', '2001:db8::1/128', '2000::/3', '::/0', '0.0.0.0/0'])

const word = fc.constantFrom('allow', 'release', 'block', 'block', 'block') as fc.Arbitrary<Ruling['word']>
const until = fc.constantFrom(NOON + 500, NOON + HOUR, NOON + HOUR + 1, undefined)
const someRulings = fc.array(
  fc.oneof(
    fc
      .record({ cidr: fc.constantFrom(...NETWORKS), word, until })
      .map(({ cidr, word, until }) => byOperator(prefix(cidr).cidr, word, { until, grace: NOON + HOUR })),
    fc
      .record({
        ip: fc.constantFrom(...CLIENTS),
        heaviest: fc.constantFrom('block', 'block', 'defer', 'observe'),
        until,
      })
      .map(({ ip, heaviest, until = NOON + 2 * HOUR }) =>
        ruling((parseClient(ip) as Client).key, heaviest as Ruling['word'], { until }),
      ),
  ),
  { maxLength: 12 },
)

test('every format lists exactly those whom an answer refuses', async () => {
  await fc.assert(
    fc.asyncProperty(
      someRulings,
      fc.uniqueArray(fc.constantFrom(...NETWORKS.slice(0, 11)), { maxLength: 2 }),
      fc.uniqueArray(fc.constantFrom('172.32.0.3', '172.32.0.6/31', '2001:db8:0:2::/64'), { maxLength: 2 }),
      async (rulings, allow, never) => {
        const basis = await basisOf({ rulings, allow, never })
        for (const format of FORMATS) {
          const listed = networksIn(format, exportOf(format, basis).text).map(prefix)
          for (const ip of CLIENTS) {
            const client = parseClient(ip) as Client
            const times = listed.filter((each) => covers(each, client)).length
            const refused = basis.decide(client).effect === 'block' ? 1 : 0
            expect(`${format} ${ip} ${times}`).toBe(`${format} ${ip} ${refused}`)
          }
        }
      },
    ),
    { numRuns: 100 },
  )
})

describe('many who ask at once', () => {
  test('get one of each format, made one after the other, of what stands after they asked', async () => {
    const basis = await basisOf({ rulings: [ruling('192.0.2.1')] })
    let generation = 0
    const ask = exportsInTurn(() => ({ ...basis, generation: ++generation }))
    const answers = await Promise.all([ask('plain'), ask('plain'), ask('cidr'), ask('plain'), ask('cidr')])
    expect(answers.map(({ head }) => `${head.format} ${head.generation}`)).toEqual([
      'plain 1',
      'plain 1',
      'cidr 2',
      'plain 1',
      'cidr 2',
    ])
    const running = ask('plain')
    await Promise.resolve()
    await Promise.resolve()
    const after = ask('plain')
    expect([(await running).head.generation, (await after).head.generation]).toEqual([3, 4])
  })

  test('and one that fails takes no other with it', async () => {
    const basis = await basisOf({ rulings: [] })
    let broken = true
    const ask = exportsInTurn(() => {
      if (broken) throw new Error('oh')
      return basis
    })
    await expect(ask('plain')).rejects.toThrow('oh')
    broken = false
    expect((await ask('plain')).head.listings).toBe(0)
  })
})
