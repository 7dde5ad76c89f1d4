/**
 * Stories: what senders did, and what the rules must say of it. A mail admin writes one in YAML, beside the rules.
 *
 * A story is told through the same three functions as the daemon's evidence (see replay.ts), on a clock of its own that
 * starts at STARTS_AT, a full hour. Steps happen in order of their `at`, and in the order of the file where it is the
 * same. With any look at the real MX in it, polite hits at the backup wait for the next look, as they do where a witness
 * watches; with `witness: none` nobody vouches for the real MX; without either it is taken to be up.
 */
import { z } from 'zod'
import { type Client, parseClient } from './client.ts'
import { type Path, show } from './complaints.ts'
import { duration, type Problem, readDocument } from './document.ts'
import { didYouMean } from './likely.ts'
import { type Event, type Evidence, type Instant, type Kind, KIND_NAMES, KINDS, OUTCOMES } from './evidence.ts'
import { type Role, ROLES, type Word } from './evidence.ts'
import { parsePrefix, type Prefix, Prefixes } from './prefixes.ts'
import type { Watch } from './outage.ts'
import { type Membership, POOL_NAME } from './pools.ts'
import { newWorld, step, verdictOf, type World } from './replay.ts'
import type { Rules } from './rules.ts'
import { spellSpan } from './span.ts'
import type { Reason } from './verdict.ts'

export type Story = {
  readonly file: string
  readonly title: string
  readonly because: string
  readonly watch: Watch
  /** Who is of which pool of senders. */
  readonly pools: Prefixes<Membership>
  /** What happens and what is expected, in order of time. */
  readonly moments: readonly Moment[]
}

type Moment = { readonly at: Instant } & ({ readonly event: Event } | { readonly expectation: Expectation })

type Expectation = z.output<typeof expectSchema> & { readonly line: number }

/** One expectation about one client, met or not. */
export type Outcome = {
  readonly line: number
  readonly ok: boolean
  readonly expected: string
  readonly got: string
  /** Rules that counted something, and those that excused all they saw. */
  readonly counted: readonly string[]
  readonly excused: readonly string[]
  /** Where the sum came from, each rule that saw anything. */
  readonly because: string
}

export type StoryReading =
  { readonly ok: true; readonly story: Story } | { readonly ok: false; readonly problems: readonly Problem[] }

export const STARTS_AT: Instant = Date.UTC(2026, 0, 5)

/** Bounds of one story: far beyond what a person wants to read, and still told in a moment. */
const STEPS_MAX = 1000
const LIST_MAX = 1000
const TIMES_MAX = 10_000
const EVENTS_MAX = 100_000

export function readStory(file: string, source: string): StoryReading {
  const read = readDocument(file, source, storySchema)
  if (!read.ok) return read
  const { story: title, because, witness, pools, steps } = read.value
  const moments = steps.flatMap((each, i) => momentsOf(each, i, read.lineOf(['steps', i, 'expect'])))
  const watch = witness ? 'blind' : steps.some((each) => each['real-mx']) ? 'witness' : 'trusted'
  return {
    ok: true,
    story: { file, title, because, watch, pools: networksOf(pools), moments: moments.toSorted((a, b) => a.at - b.at) },
  }
}

export function runStory(story: Story, rules: Rules): Outcome[] {
  const outcomes: Outcome[] = []
  const world = newWorld(rules, story.watch, (client) => story.pools.find(client))
  let seq = 0
  for (const moment of story.moments) {
    if ('event' in moment) step(world, { seq: ++seq, event: moment.event })
    else outcomes.push(...moment.expectation.client.map((who) => hold(world, who, moment.expectation, moment.at)))
  }
  return outcomes
}

const client = z.string().transform((text, ctx): Client => {
  const read = parseClient(text)
  if (read) return read
  ctx.addIssue({ code: 'custom', message: `expected one IP address, got ${show(text)}` })
  return z.NEVER
})

const target = z.string().transform((text, ctx): string => {
  const read = parsePrefix(text)
  if (typeof read !== 'string') return read.cidr
  ctx.addIssue({ code: 'custom', message: read })
  return z.NEVER
})

const kind = z
  .string()
  .meta({ enum: KIND_NAMES })
  .refine((name): name is Kind => (KIND_NAMES as readonly string[]).includes(name), {
    error: ({ input }) => {
      const near = didYouMean(String(input), KIND_NAMES)
      return `nothing that can be seen: ${show(input)}${near ? ` (${near})` : ''}`
    },
  })

/** One, or a list of them. */
const some = <Item extends z.ZodType>(item: Item) =>
  z.union([item.transform((one): z.output<Item>[] => [one]), z.array(item).min(1).max(LIST_MAX)])

const sentence = z.string().min(1).max(300)

const operatorSchema = z
  .strictObject({
    allow: target.optional(),
    block: target.optional(),
    release: target.optional(),
    for: duration().optional().describe('When it ends by itself; without it, an allow or block stands until released'),
    because: sentence.default('as the story says'),
  })
  .superRefine((words, ctx) => {
    if (given(words, 'allow', 'block', 'release') !== 1)
      ctx.addIssue({ code: 'custom', message: 'expected one of allow, block and release' })
    if (words.release !== undefined && words.for !== undefined)
      ctx.addIssue({ code: 'custom', path: ['for'], message: 'a release has no end' })
  })

const expectSchema = z
  .strictObject({
    client: some(client).describe('The client, or clients, that this is said of'),
    verdict: z.enum(['clean', 'allow', 'observe', 'defer', 'block']).optional().describe('The word that stands'),
    'at-least': z.number().optional().describe('The least sum'),
    'at-most': z.number().optional().describe('The greatest sum'),
    reasons: some(z.string()).optional().describe('Rules that must have counted something'),
    waived: some(z.string()).optional().describe('Rules that must have excused all they saw'),
  })
  .superRefine((said, ctx) => {
    const message = 'expected a verdict, at-least, at-most, reasons or waived beside the client'
    if (given(said, 'verdict', 'at-least', 'at-most', 'reasons', 'waived') === 0)
      ctx.addIssue({ code: 'custom', message })
  })

const stepSchema = z
  .strictObject({
    at: duration().describe('How long after the start of the story'),
    client: some(client).optional().describe('Who comes; of a list, one after the other'),
    visits: z.enum(ROLES).optional().describe('Which MX: our primary or backup decoy, or the real one'),
    and: some(kind).optional().describe('What it does there; a contact, or at the real MX passed, goes without saying'),
    'real-mx': z.enum(OUTCOMES).optional().describe('What our look at the real MX found'),
    operator: operatorSchema.optional(),
    expect: expectSchema.optional(),
    times: z.int().min(1).max(TIMES_MAX).optional().describe('How often in all'),
    every: duration().optional().describe('How long between one time and the next'),
  })
  .superRefine((each, ctx) => {
    const mistake = (message: string, ...path: Path) => ctx.addIssue({ code: 'custom', path: [...path], message })
    const { visits, times, every } = each
    if (given(each, 'visits', 'real-mx', 'operator', 'expect') !== 1)
      mistake('expected one of visits, real-mx, operator and expect in each step')
    if (visits && !each.client) mistake('who visits? expected a client')
    if (!visits && each.client) mistake('what does it do? expected visits beside the client', 'client')
    if (!visits && each.and) mistake('only a visit has this', 'and')
    if (!visits && !each['real-mx'] && (times ?? every) !== undefined)
      mistake('only a visit or a look at the real MX is repeated', times === undefined ? 'every' : 'times')
    else if (times !== undefined && every === undefined) mistake('how long between? expected every beside it', 'times')
    for (const [i, name] of (each.and ?? []).entries()) {
      if (!visits || rolesOf(name).includes(visits)) continue
      const there = KIND_NAMES.filter((other) => rolesOf(other).includes(visits)).join(', ')
      mistake(`${name} cannot be seen at the ${visits}${visits === 'real' ? ' MX' : ''}; there: ${there}`, 'and', i)
    }
  })

export const storySchema = z
  .strictObject({
    story: sentence.describe('What happens, in one line'),
    because: sentence.describe('Why the rules must say so'),
    witness: z.enum(['none']).optional().describe('Nobody looks at the real MX; at best its questions vouch for it'),
    pools: z
      .record(z.string().regex(POOL_NAME), some(target))
      .default({})
      .describe('The networks of pools of senders, by name, as SPF would tell them'),
    steps: z.array(stepSchema).min(1).max(STEPS_MAX),
  })
  .superRefine(({ witness, steps }, ctx) => {
    const mistake = (message: string) => ctx.addIssue({ code: 'custom', path: ['steps'], message })
    if (witness && steps.some((each) => each['real-mx']))
      mistake('a look at the real MX, where there is no witness: leave out witness: none, or the looks')
    const events = steps.reduce((sum, each) => sum + timesOf(each) * ((each.and?.length ?? 0) + 1), 0)
    if (events > EVENTS_MAX) mistake(`these are ${events} events; at most ${EVENTS_MAX} are told`)
    if (steps.every((each) => !each.expect)) mistake('nothing is expected anywhere: a story wants at least one expect')
  })

type Step = z.output<typeof stepSchema>

function networksOf(pools: z.output<typeof storySchema>['pools']): Prefixes<Membership> {
  return Prefixes.of(
    Object.entries(pools).flatMap(([pool, networks]) =>
      networks.map((cidr) => [parsePrefix(cidr) as Prefix, { pool, found: 'spf', at: STARTS_AT }] as const),
    ),
  )
}

function rolesOf(name: Kind): readonly Role[] {
  return KINDS[name].roles
}

/** How many of these keys are there. */
function given<Key extends string>(words: Partial<Record<Key, unknown>>, ...keys: Key[]): number {
  return keys.filter((key) => words[key] !== undefined).length
}

function timesOf(each: Step): number {
  return each.times ?? each.client?.length ?? 1
}

/** All that one step makes happen. */
function momentsOf(each: Step, place: number, line: number): Moment[] {
  const start = STARTS_AT + each.at
  if (each.expect) return [{ at: start, expectation: { ...each.expect, line } }]
  if (each.operator) return [{ at: start, event: wordOf(each.operator, start) }]
  return Array.from({ length: timesOf(each) }, (_, i): Moment[] => {
    const at = start + i * (each.every ?? 0)
    if (each['real-mx']) return [{ at, event: { type: 'probe', at, mx: 'real-mx', outcome: each['real-mx'] } }]
    return visitOf(each, `${place}-${i}`, i, at).map((event) => ({ at, event }))
  }).flat()
}

function visitOf({ visits, client: clients = [], and }: Step, session: string, turn: number, at: Instant): Evidence[] {
  const who = clients[turn % clients.length]
  if (!visits || !who) return []
  const kinds: readonly Kind[] = visits === 'real' ? (and ?? ['passed']) : ['contact', ...(and ?? [])]
  return [...new Set(kinds)].map((name) => ({
    type: 'evidence',
    at,
    client: who.ip,
    role: visits,
    kind: name,
    session,
  }))
}

function wordOf(words: z.output<typeof operatorSchema>, at: Instant): Word {
  const word = words.allow !== undefined ? 'allow' : words.block !== undefined ? 'block' : 'release'
  const until = words.for === undefined ? undefined : at + words.for
  return { type: 'word', at, word, target: words[word] as string, until, because: words.because, author: 'the story' }
}

/** Does what is wanted hold for this client, now? */
function hold(world: World, who: Client, wanted: Expectation, at: Instant): Outcome {
  const { word, verdict } = verdictOf(world, who, at)
  const { score, reasons } = verdict
  const { 'at-least': least, 'at-most': most } = wanted
  const counted = (name: string) => reasons.some(({ rule, count }) => rule === name && count > 0)
  const excused = (name: string) => !counted(name) && reasons.some(({ rule, waived }) => rule === name && waived > 0)
  const named = (name: string, verb: string) => `${name} to ${verb}${unknown(name, world.rules)}`
  const demands: readonly (readonly [said: string, met: boolean])[] = [
    ...(wanted.verdict ? [[wanted.verdict, word === wanted.verdict] as const] : []),
    ...(least !== undefined ? [[`a sum of at least ${least}`, score >= least] as const] : []),
    ...(most !== undefined ? [[`a sum of at most ${most}`, score <= most] as const] : []),
    ...(wanted.reasons ?? []).map((name) => [named(name, 'count'), counted(name)] as const),
    ...(wanted.waived ?? []).map((name) => [named(name, 'be waived'), excused(name)] as const),
  ]
  const passedOver = Object.entries(world.waived).map(([why, n]) => `${n} at the backup did not count (${why})`)
  return {
    line: wanted.line,
    ok: demands.every(([, met]) => met),
    expected: `${who.ip} after ${spellSpan(at - STARTS_AT)}: ${demands.map(([said]) => said).join(', ')}`,
    got: `${word}, a sum of ${score}`,
    counted: reasons.filter(({ count }) => count > 0).map(({ rule }) => rule),
    excused: reasons.filter(({ count }) => count === 0).map(({ rule }) => rule),
    because: [...reasons.map(told), ...passedOver].join('; '),
  }
}

/** A name that the rules do not have is most likely misspelt. */
function unknown(name: string, { list }: Rules): string {
  const names = list.map((rule) => rule.name)
  return names.includes(name) ? '' : ` (no such rule; ${didYouMean(name, names) ?? `there are ${names.join(', ')}`})`
}

function told({ rule, weight, count, waived }: Reason): string {
  const parts = [count > 0 ? `${count} counted` : '', waived > 0 ? `${waived} waived` : '']
  return `${rule} ${Math.round(weight * 100) / 100} (${parts.filter(Boolean).join(', ')})`
}
