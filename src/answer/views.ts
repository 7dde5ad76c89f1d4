/**
 * What the HTTP API says: each answer as a schema, from which its type and its place in the OpenAPI document are made.
 *
 * Instants are ISO 8601, UTC; null: there is none. What is only ever added to (the status) is open to more keys.
 */
import { z } from 'zod'
import { type Kind, KIND_NAMES, WORDS } from '../core/evidence.ts'
import type { Excuse } from '../core/verdict.ts'

const instant = z.iso.datetime()
const count = z.int().nonnegative()
const some = z.record(z.string(), count)
const perRole = z.object({ primary: count, backup: count, real: count })
const word = z.enum(['clean', 'allow', 'observe', 'defer', 'block'])
const bound = z.enum(['minute', 'network', 'standing', 'held'])
const freeze = z
  .object({ why: z.enum(['outage', 'grace', 'unwatched', 'blind']), until: instant.nullable() })
  .describe('Why the order of visits counts for nothing now, and until when, if known')

export const mistakeSchema = z.object({
  error: z.string(),
  hint: z.string().optional(),
  errors: z.array(z.string()).optional().describe('Each of them alone, where `error` tells of several'),
})

/** A listing that the governor holds back. */
export const waitingSchema = z.object({
  client: z.string(),
  network: z.string(),
  word: z.string(),
  score: z.number(),
  why: bound.describe('The bound it met'),
  good: z.boolean().describe('Has it walked the right way, or been at the real MX for hours?'),
  since: instant,
  because: z.string(),
})
export type WaitingView = z.output<typeof waitingSchema>

const EXCUSES = ['release', 'credit', 'real-mx', 'primary', 'pool', 'identity'] as const satisfies readonly Excuse[]

const reasonSchema = z.object({
  rule: z.string(),
  weight: z.number(),
  count,
  waived: count,
  excuse: z.enum(EXCUSES).nullable().describe('Why what is waived does not count'),
  factor: z.number().describe('Below 1 where it weighs only a part of what it would: it is of a pool'),
  last: instant,
  because: z.string(),
  mode: z.enum(['observe', 'enforce']),
  line: count.describe('Of the rule in the rules file'),
})

const unmetSchema = z.object({
  rule: z.string(),
  weight: z.number().describe('What it would add now'),
  count,
  lacks: z.string().describe('What of its condition does not hold'),
  last: instant,
  because: z.string(),
  mode: z.enum(['observe', 'enforce']),
  line: count.describe('Of the rule in the rules file'),
})

const creditSchema = z.object({
  points: z.number().describe("What is left of it now, its own and its network's"),
  own: z.number(),
  network: z.number(),
  walks: count.describe('Hours with a walk by the client itself'),
  networkWalks: count,
  last: instant.nullable(),
  needed: z.number().describe('The points from which credit is good'),
  good: z.boolean(),
})

const standingSchema = z.object({
  allowed: z.object({ by: z.string(), because: z.string() }).nullable(),
  never: z.string().nullable().describe('Why it can never be listed'),
  credit: creditSchema
    .nullable()
    .describe('What it has earned by going on from the primary to the real MX; null when the facts are not known'),
  pool: z
    .object({ name: z.string(), found: z.string(), at: instant })
    .nullable()
    .describe('The pool of senders that it belongs to'),
})

const hereSchema = z
  .object({
    count: count.describe('How many'),
    some: z.array(
      z.object({
        role: z.enum(['primary', 'backup']),
        since: instant,
        outcome: z.string().describe('What becomes of it: dialogue, tarpit, held (in silence) or later (421)'),
      }),
    ),
    silent: count.describe('So many workers did not say in time what they have of it: they are not counted'),
  })
  .describe('Its connections to the decoys of this appliance now, the longest first')

/** One client, as `GET /api/v1/clients/IP` and `why IP --json` tell it. */
export const clientSchema = z.object({
  client: z.string(),
  network: z.string(),
  verdict: word,
  effect: z.enum(['pass', 'observe', 'defer', 'block']).describe('What askers are told'),
  mode: z.enum(['observe', 'enforce']),
  score: z.number().nullable(),
  enforcedScore: z
    .number()
    .nullable()
    .describe('What the rules in mode enforce add up to alone: only this refuses anybody'),
  threshold: z.number().nullable(),
  since: instant.nullable().describe('When what stands was made'),
  until: instant.nullable(),
  clears: instant.nullable().describe('When the sum falls below the threshold of its word, if nothing more is seen'),
  ticket: z.string().nullable(),
  by: z.enum(['rules', 'operator']).nullable(),
  because: z.string().nullable(),
  doubt: z.string().nullable(),
  known: z
    .boolean()
    .describe(
      'False: the store did not say in time what was seen of it; the verdict is from our copy of the decisions',
    ),
  trustedUntil: instant
    .nullable()
    .describe('Where it did not: when that copy is too old to refuse anybody, unless the store answers before'),
  standing: standingSchema,
  reasons: z.array(reasonSchema),
  unmet: z.array(unmetSchema).describe('Rules that saw something and add nothing, for their condition does not hold'),
  contacts: perRole.nullable().describe('null when they are not known'),
  networkContacts: perRole.nullable(),
  facts: some,
  waived: some.describe('Seen at the backup and not counted, under the reason, like outage.recipient'),
  pending: some.describe('Seen at the backup, waiting for the next look at the real MX, by kind'),
  waiting: waitingSchema.nullable(),
  here: hereSchema,
  freeze: freeze.nullable(),
  lost: z
    .object({ events: count, since: instant })
    .nullable()
    .describe('Evidence of anybody, lost since then, for the journal cannot be written; null while it can'),
  rules: z.string().describe('The rules file'),
})
export type ClientView = z.output<typeof clientSchema>

/** A decision that stands; `file`: an entry of the rules file, which has no ticket and no beginning. */
export const rulingSchema = z.object({
  by: z.enum(['rules', 'operator', 'file']),
  target: z.string(),
  word: z.enum(['allow', 'release', 'observe', 'defer', 'block']),
  since: instant.nullable(),
  until: instant.nullable(),
  ticket: z.string(),
  because: z.string(),
  author: z.string().optional(),
  score: z.number().optional(),
  overruled: z.boolean().optional().describe('The rules would have it so, but an allow stands above: nobody is told'),
  untold: z.boolean().optional().describe('It stands, and nobody is told now: mode observe, or a copy that is too old'),
})
export type RulingView = z.output<typeof rulingSchema>

/** The decision that a refused sender quotes; `ended`: it stands no more since then. */
export const ticketSchema = rulingSchema.extend({ ended: instant.nullable() })
export type TicketView = z.output<typeof ticketSchema>

/** What an operator said, and when. */
export const spokenSchema = z.object({
  at: instant,
  word: z.enum(WORDS),
  target: z.string(),
  until: instant.nullable(),
  because: z.string(),
  author: z.string(),
})
export type SpokenView = z.output<typeof spokenSchema>

/** What is said of a word that was given. */
export const wordSchema = z.object({
  outcome: z.enum(['applied', 'waiting']),
  word: z.enum(WORDS),
  target: z.string(),
  until: instant.nullable(),
  count: count.describe('How many networks, or waiting listings, it was said of'),
  untold: z.boolean().optional().describe('A block, or listings, of which nobody is told now: mode observe'),
  notes: z.array(z.string()).describe('What whoever gave it must know besides'),
  stood: z
    .object({ word: z.string(), by: z.enum(['rules', 'operator']), until: instant.nullable(), because: z.string() })
    .nullable()
    .describe('What stood about this very target before, so that whoever regrets it can say that again'),
})
export type WordView = z.output<typeof wordSchema>

/** The appliance: the parts of it that programs may build on. `decoymx status --json` has the same. */
export const statusSchema = z.looseObject({
  version: z.string(),
  pid: z.int(),
  since: instant,
  mode: z.string(),
  box: z.string(),
  rules: z.looseObject({
    file: z.string(),
    count,
    loaded: instant,
    problems: z.array(z.string()),
  }),
  doors: z.array(
    z.looseObject({
      name: z.string(),
      address: z.string(),
      open: z.boolean(),
      error: z.string().nullable(),
      note: z.string().nullable(),
    }),
  ),
  held: z.looseObject({ primary: count, backup: count }),
  reputation: z.looseObject({ store: z.string(), ledger: z.string(), ledgerAgeMs: z.number(), waiting: count }),
  witness: z.string(),
})

export const readySchema = z.object({ ok: z.boolean(), because: z.array(z.string()) })

export const problemSchema = z.looseObject({
  file: z.string(),
  line: z.int(),
  column: z.int(),
  message: z.string(),
  hint: z.string().optional(),
})

export const effectSchema = z
  .object({
    known: count,
    looked: count,
    listed: count,
    released: count,
    changed: count,
    refused: count,
    spared: count,
  })
  .describe('What the new rules change for the clients that are listed, wait to be, or were judged lately')

export const reloadSchema = z.object({
  ok: z.boolean(),
  problems: z.array(problemSchema),
  effect: effectSchema.nullable(),
})

/** Something seen at a decoy or at the real MX; the kinds are told in docs/facts.md. Client text is escaped and cut. */
export const evidenceSchema = z.looseObject({
  type: z.literal('evidence'),
  at: count.describe('Milliseconds since 1970, UTC'),
  client: z.string(),
  role: z.enum(['primary', 'backup', 'real']),
  kind: z.enum(KIND_NAMES as [Kind, ...Kind[]]),
})
