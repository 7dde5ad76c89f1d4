/**
 * The form of rules.yaml: which keys it has, and what may stand there. The JSON Schema that editors use is made of this.
 *
 * Each mistake that is not one of form alone has a code of its own (problems.ts). What the values mean is in rules.ts.
 */
import { z } from 'zod'
import { isSlip, readCondition } from './condition.ts'
import { type Path, type Replaced, show } from './complaints.ts'
import { duration } from './document.ts'
import { didYouMean } from './likely.ts'
import { oneLine } from './evidence.ts'
import { HOUR_MS, isRuleFact, RETENTION_MS, RULE_FACTS, type RuleFact } from './facts.ts'
import { poolsSchema } from './pools.ts'
import { parsePrefix, type Prefix } from './prefixes.ts'
import type { Code } from './problems.ts'

/** Bounds of one document; far beyond what a person keeps in one file. */
const RULES_MAX = 500
const ENTRIES_MAX = 10_000
const EXCEPTIONS_MAX = 1000
const WITHIN_MAX_MS = 24 * HOUR_MS

/** Keys that had a meaning once. */
export const REPLACED: Replaced = {
  together: 'write when: backup.recipient >= 1; of several facts: one >= 1 or other >= 1',
}

const params = (code: Code) => ({ params: { code } })

const because = z
  .string()
  .max(1000)
  .transform(oneLine)
  .pipe(z.string().min(1).max(300))
  .describe('Why: read by the operator, and by the sender in the refusal')

const factName = z
  .string()
  .meta({ enum: RULE_FACTS })
  .transform((name, ctx): RuleFact => {
    if (isRuleFact(name)) return name
    const hint = didYouMean(name, RULE_FACTS) ?? 'facts are named like backup.early-talk, see docs/facts.md'
    ctx.addIssue({ code: 'custom', message: `no such fact: ${show(name)}`, params: { code: 'R001', hint } })
    return z.NEVER
  })
const facts = z.union([factName.transform((name) => [name]), z.array(factName).min(1).max(RULE_FACTS.length)])

const condition = z.string().transform((text, ctx) => {
  const read = readCondition(text)
  if (!isSlip(read)) return read
  const { message, ...said } = read
  ctx.addIssue({ code: 'custom', message, params: said })
  return z.NEVER
})

const prefix = z.string().transform((text, ctx): Prefix => {
  const read = parsePrefix(text)
  if (typeof read !== 'string') return read
  ctx.addIssue({ code: 'custom', message: read, ...(read.includes('host bits') ? params('R012') : {}) })
  return z.NEVER
})

const window = duration().refine((ms) => ms > 0 && ms <= RETENTION_MS, {
  error: 'expected a span above 0 and at most 31d, for which facts are kept',
  ...params('R006'),
})

const aboveZero = () => duration().refine((ms) => ms > 0, { error: 'expected a span above 0', ...params('R006') })

const domain = z.string().regex(/^\.?([a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?$/i, {
  error: (issue) => `expected a domain like example.org, or .example.org for all below it, got ${show(issue.input)}`,
})

const mode = z.enum(['observe', 'enforce'])

const ruleSchema = z.strictObject({
  name: z
    .string()
    .regex(/^[a-z][a-z0-9-]{0,39}$/, { error: 'expected a short name in lower case with dashes, like talks-first' }),
  kind: z
    .enum(['order', 'violation'])
    .default('violation')
    .describe(
      'order: in which order it came to the MXs, which good credit excuses; violation: what no mail server does',
    ),
  mode: mode.default('enforce').describe('observe: shown as what would have been, and refuses nobody'),
  counts: facts.describe('The fact, or list of facts, that is counted'),
  each: z
    .enum(['sighting', 'hour'])
    .default('sighting')
    .describe('Count every sighting, or each hour with a sighting once'),
  when: condition
    .optional()
    .describe('Weighs only while this holds, like: backup.contact >= 3 within 24h and real.contact == 0 within 48h'),
  'unless-seen': window
    .optional()
    .describe('Weighs nothing if the client or its network was at the real MX this long before'),
  'unless-walked': window
    .optional()
    .describe('Weighs nothing if the client tried the primary this long before: it walks the right way'),
  weight: z.number().min(0).max(1000).describe('What each adds; 0 makes a note without weight'),
  'half-life': aboveZero().describe('After this time half of the weight is left'),
  window: window.describe('Older sightings are not counted'),
  cap: z.number().min(0).max(10_000).default(1000).describe('The most this rule can add'),
  because,
})

const points = z.number().min(0).max(10_000)

const creditSchema = z
  .strictObject({
    walk: points.default(10).describe('What each hour with a walk, from the primary to the real MX, adds to a client'),
    network: points.default(3).describe('What it adds to every client of the same network (/24, /48)'),
    'half-life': aboveZero().prefault('14d').describe('After this time half of it is left, if there is no other walk'),
    cap: points.default(30).describe("The most that a client's own walks come to"),
    'network-cap': points.default(9).describe("The most that the network's walks come to"),
    good: points.positive().default(5).describe('From this on rules of kind order weigh nothing'),
    within: duration()
      .refine((ms) => ms > 0 && ms <= WITHIN_MAX_MS, {
        error: 'expected a span above 0 and at most 1d',
        ...params('R006'),
      })
      .prefault('1h')
      .describe('The real MX this long after the primary is still the same walk'),
  })
  .superRefine(({ walk, cap, good, 'network-cap': networkCap }, ctx) => {
    const most = Math.min(cap, walk > 0 ? cap : 0) + networkCap
    if (good > most)
      ctx.addIssue({
        code: 'custom',
        path: ['good'],
        message: `nobody could reach ${good}: the walks of a client and of its network come to at most ${most}`,
        ...params('R007'),
      })
  })
  .prefault({})
  .describe('Who has tried the primary and then come to the real MX is believed about the order of its visits')

const notDay = {
  error: ({ input }: { input?: unknown }) =>
    `expected a day like 2026-12-31, or an instant like 2026-12-31T12:00:00Z, got ${show(input)}`,
}
const end = z.iso
  .datetime({ offset: true, ...notDay })
  .or(z.iso.date(notDay))
  .describe('From then on it is judged again')

/** Longest text of an answer before its blanks are filled; all of it is cut to 255 bytes, as one string of DNS holds. */
const TEXT_MAX = 160
const answerText = z.string().transform((text, ctx): string => {
  const blanks = [...text.matchAll(/\{[^}]*\}?/g)].map(([blank]) => blank)
  const strange = blanks.find((blank) => blank !== '{because}' && blank !== '{ticket}')
  const message = !/^[\x20-\x7e]*$/.test(text)
    ? `expected printable ASCII on one line, got ${show(text)}`
    : text.trim() === '' || text.length > TEXT_MAX
      ? `expected a text of 1 to ${TEXT_MAX} characters, got ${text.length}`
      : strange && `${strange} stands for nothing here`
  if (!message) return text
  const hint = 'what is filled in: {because} and {ticket}'
  ctx.addIssue({ code: 'custom', message, params: { code: 'R010', hint } })
  return z.NEVER
})

const answersSchema = z
  .strictObject({
    policy: z
      .strictObject({
        observe: z.enum(['DUNNO', 'PREPEND']).default('DUNNO'),
        defer: z.enum(['DUNNO', 'PREPEND', 'DEFER_IF_PERMIT']).default('DEFER_IF_PERMIT'),
        block: z.enum(['DUNNO', 'PREPEND', 'DEFER_IF_PERMIT', 'REJECT']).default('REJECT'),
      })
      .prefault({})
      .describe('What Postfix is told of each verdict that is enforced; PREPEND adds the header X-DecoyMX'),
    text: answerText
      .default('{because}; to ask why, quote this code to the postmaster ({ticket})')
      .describe('What a refused sender reads, by SMTP and as TXT in the DNSBL'),
  })
  .prefault({})
  .describe('How the verdicts are told')

const level = z.number().positive().max(100_000)

export const rulesSchema = z
  .strictObject({
    mode: mode.describe('observe: decide and show, refuse nothing'),
    modes: z
      .strictObject({ observe: mode.optional(), defer: mode.optional(), block: mode.optional() })
      .default({})
      .describe('Another mode for one verdict, like defer: observe'),
    domains: z.array(domain).min(1).max(ENTRIES_MAX).describe('The domains we protect'),
    traps: z
      .array(z.email({ error: ({ input }) => `expected an address like honey@example.org, got ${show(input)}` }))
      .max(ENTRIES_MAX)
      .default([])
      .describe('Addresses that exist only to be harvested'),
    thresholds: z.strictObject({ observe: level, defer: level, block: level }),
    exceptions: z
      .array(
        z.strictObject({
          domain: domain.describe('Of the recipient: example.org, or .example.org for all below it'),
          mode: mode.optional(),
          thresholds: z
            .strictObject({ observe: level.optional(), defer: level.optional(), block: level.optional() })
            .default({})
            .describe('At least as high as those of all'),
          because,
        }),
      )
      .max(EXCEPTIONS_MAX)
      .default([])
      .describe('Another mode, or higher thresholds, for mail to one domain: told to whoever asks with the recipient'),
    answers: answersSchema,
    stands: z
      .strictObject({ observe: window, defer: window, block: window })
      .describe('How long a decision stands at least, once made'),
    credit: creditSchema,
    unlisting: z
      .boolean()
      .default(false)
      .describe(
        'Tell a stranger that never tried the primary "later", once; Exim servers skip it and pay with a retry',
      ),
    release: z
      .strictObject({
        grace: duration()
          .refine((ms) => ms <= RETENTION_MS, { error: 'expected at most 31d', ...params('R006') })
          .prefault('24h')
          .describe('So long it is believed about the order of its visits and what else has excuses'),
      })
      .prefault({})
      .describe('A client that an operator has released'),
    rules: z.array(ruleSchema).max(RULES_MAX),
    pools: poolsSchema,
    allow: z
      .array(z.strictObject({ client: prefix, because, until: end.optional() }))
      .max(ENTRIES_MAX)
      .default([])
      .describe('Never judged'),
    relays: z
      .array(prefix)
      .max(ENTRIES_MAX)
      .default([])
      .describe('Hosts and networks that our own mail comes from: never listed, not even by hand'),
  })
  .superRefine((doc, ctx) => {
    const mistake = (code: Code, path: Path, message: string) =>
      ctx.addIssue({ code: 'custom', path: [...path], message, ...params(code) })
    const { observe, defer, block } = doc.thresholds
    if (!(observe <= defer && defer <= block))
      mistake(
        'R003',
        ['thresholds', misfit(doc.thresholds)],
        `expected observe <= defer <= block, got ${observe}, ${defer}, ${block}`,
      )
    for (const i of repeated(doc.rules.map((rule) => rule.name)))
      mistake('R004', ['rules', i, 'name'], `a rule named ${doc.rules[i]?.name} stands above already`)
    for (const [i, { thresholds }] of doc.exceptions.entries()) {
      const own = { ...doc.thresholds, ...given(thresholds) }
      for (const word of ['observe', 'defer', 'block'] as const)
        if (own[word] < doc.thresholds[word])
          mistake(
            'R009',
            ['exceptions', i, 'thresholds', word],
            `expected at least ${doc.thresholds[word]}, which is that of all domains, got ${own[word]}`,
          )
      if (!(own.observe <= own.defer && own.defer <= own.block))
        mistake(
          'R003',
          ['exceptions', i, 'thresholds', misfit(own)],
          `expected observe <= defer <= block, got ${own.observe}, ${own.defer}, ${own.block}`,
        )
    }
    for (const i of repeated(doc.exceptions.map((entry) => normal(entry.domain))))
      mistake('R005', ['exceptions', i, 'domain'], `${doc.exceptions[i]?.domain} stands above already`)
    for (const i of repeated(doc.allow.map((entry) => entry.client.cidr)))
      mistake('R005', ['allow', i, 'client'], `${doc.allow[i]?.client.cidr} stands above already`)
  })

/** Of three that are out of order the one without which the others are not, or the first such. */
function misfit({ observe, defer, block }: { observe: number; defer: number; block: number }): string {
  if (defer <= block) return 'observe'
  return observe <= block ? 'defer' : 'block'
}

/** A domain in lower case, without the root's dot. */
export function normal(domainName: string): string {
  return domainName.toLowerCase().replace(/\.$/, '')
}

/** What is there, of what may be left out. */
export function given<Value>(partial: { readonly [key: string]: Value | undefined }): Record<string, Value> {
  return Object.fromEntries(Object.entries(partial).filter((entry): entry is [string, Value] => entry[1] !== undefined))
}

/** Where a name stands that stood before. */
function repeated(names: readonly string[]): number[] {
  const seen = new Set<string>()
  return names.flatMap((name, i) => (seen.size === seen.add(name).size ? [i] : []))
}
