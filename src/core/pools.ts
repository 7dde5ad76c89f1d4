/**
 * Pools: senders that are known by more than an address, and how much more it takes to list one of them.
 *
 * A big provider sends from thousands of addresses and comes again from another one, so in which order one address visits
 * our MXs tells nothing of it, and one bad customer must not cost all others. Who belongs to a pool is found by
 * `watch/big-senders.ts`: its networks are those that its SPF record names, or its address has a reverse name that leads
 * back to it. Here is what a pool is, and what membership means; it is a value that `judge` is given.
 */
import { z } from 'zod'
import { show } from './complaints.ts'
import { readDocument, type Problem } from './document.ts'
import { type Instant, oneLine } from './evidence.ts'

export type Pool = {
  readonly name: string
  /** Domains whose SPF records name its networks. */
  readonly spf: readonly string[]
  /** What its servers' own reverse names end in. */
  readonly names: readonly string[]
  readonly because: string
}

export type Pools = {
  /** What a violation by a member weighs, as a part of what it weighs otherwise. */
  readonly factor: number
  /** Are those of the list that ships among them? */
  readonly wellKnown: boolean
  readonly list: readonly Pool[]
}

export type Membership = {
  readonly pool: string
  readonly found: 'spf' | 'fcrdns'
  /** When DNS said so. */
  readonly at: Instant
}

/** `unknown`: DNS has not been asked yet, or has not answered; until then the order of its visits counts for nothing. */
export type Member = Membership | 'unknown' | undefined

/** The list that ships, and when the entry that was longest not looked at was. */
export type WellKnown = { readonly reviewedAt: Instant; readonly pools: readonly Pool[] }

/** Bounds of one list. */
const POOLS_MAX = 200
const DOMAINS_MAX = 20
/** A list that nobody has looked at for so long wants to be. */
export const REVIEW_MS = 180 * 86_400_000

export const POOL_NAME = /^[a-z][a-z0-9-]{1,39}$/
/** A name that is made of hexadecimal digits alone could be part of an address. */
const ADDRESS_LIKE = /^[0-9a-f]{1,4}$/

const domain = z
  .string()
  .regex(/^([a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])$/i, {
    error: (issue) => `expected a domain like example.org, got ${show(issue.input)}`,
  })
  .transform((name) => name.toLowerCase())

const poolFields = z.strictObject({
  name: z
    .string()
    .regex(POOL_NAME, { error: 'expected a short name in lower case with dashes, like big-mail' })
    .refine((name) => !ADDRESS_LIKE.test(name), { error: 'could be part of an address: choose a longer name' }),
  spf: z.array(domain).max(DOMAINS_MAX).default([]).describe('Its networks are those that these SPF records name'),
  names: z
    .array(domain)
    .max(DOMAINS_MAX)
    .default([])
    .describe('Its servers have reverse names below these domains, which lead back to them'),
  because: z
    .string()
    .max(1000)
    .transform(oneLine)
    .pipe(z.string().min(1).max(300))
    .describe('Why it is known: for whoever asks'),
})

/** Names differ, and each pool can be known by something. */
function listOf<Item extends typeof poolFields>(item: Item) {
  return z
    .array(item)
    .max(POOLS_MAX)
    .superRefine((all, ctx) => {
      const mistake = (path: (string | number)[], message: string) => ctx.addIssue({ code: 'custom', path, message })
      for (const [i, { name, spf, names }] of all.entries()) {
        if (spf.length + names.length === 0) mistake([i], 'how is it known? expected spf or names beside the name')
        if (all.findIndex((each) => each.name === name) < i)
          mistake([i, 'name'], `a pool named ${name} stands above already`)
      }
    })
}

export const poolsSchema = z
  .strictObject({
    factor: z
      .number()
      .min(0)
      .max(1)
      .default(0.2)
      .describe('What a violation by a member weighs, as a part of what it weighs otherwise; the order never counts'),
    'well-known': z.boolean().default(true).describe('The senders of well-known-senders.yaml are pools, too'),
    list: listOf(poolFields).default([]).describe('Others; of two with the same name the one here counts'),
  })
  .prefault({})
  .describe('Big senders, which are known by more than an address')

export const wellKnownSchema = z
  .strictObject({
    senders: listOf(
      poolFields.extend({ reviewed: z.iso.date().describe('When somebody last looked whether this is still so') }),
    ).min(1),
  })
  .describe('Senders that everybody gets mail from')

export function poolsOf(doc: z.output<typeof poolsSchema>): Pools {
  return { factor: doc.factor, wellKnown: doc['well-known'], list: doc.list }
}

export type WellKnownReading =
  { readonly ok: true; readonly wellKnown: WellKnown } | { readonly ok: false; readonly problems: readonly Problem[] }

export function readWellKnown(file: string, source: string): WellKnownReading {
  const read = readDocument(file, source, wellKnownSchema)
  if (!read.ok) return read
  const { senders } = read.value
  const reviewedAt = Math.min(...senders.map(({ reviewed }) => Date.parse(reviewed)))
  const pools = senders.map(({ name, spf, names, because }) => ({ name, spf, names, because }))
  return { ok: true, wellKnown: { reviewedAt, pools } }
}

/** The operator's own, and those of the shipped list that they do not replace. */
export function allPools(pools: Pools, { pools: known }: WellKnown): Pool[] {
  const own = new Set(pools.list.map(({ name }) => name))
  return [...pools.list, ...(pools.wellKnown ? known.filter(({ name }) => !own.has(name)) : [])]
}
