/**
 * Every route of the HTTP API: who may use it, what it takes and what it answers. Requests are checked against this table,
 * and the OpenAPI document is made of it (openapi.ts), so that neither can say what the other does not.
 */
import { z } from 'zod'
import { ROLES } from '../core/evidence.ts'
import { parsePrefix, type Prefix } from '../core/prefixes.ts'
import { RIGHTS, type Rights } from '../core/rights.ts'
import {
  PROPOSAL_BYTES_MAX,
  proposalSchema,
  proposedSchema,
  replacedSchema,
  rulesFileSchema,
  savedSchema,
} from './editing.ts'
import { FORMATS } from './formats.ts'
import {
  clientSchema,
  mistakeSchema,
  readySchema,
  reloadSchema,
  rulingSchema,
  spokenSchema,
  statusSchema,
  ticketSchema,
  waitingSchema,
  wordSchema,
} from './views.ts'
import { saidSchema } from './words.ts'

export type Route = {
  readonly method: 'get' | 'post' | 'put'
  /** As hono has it, with `:name` for what varies. */
  readonly path: string
  /** `scraper`: also for whoever the settings let see how we are, and nothing else. */
  readonly rights: 'scraper' | Rights
  readonly summary: string
  /** What each `:name` of the path is. */
  readonly params?: Readonly<Record<string, string>>
  readonly query?: z.ZodObject
  readonly body?: z.ZodType
  /** Where a body may be larger than others. */
  readonly bodyBytesMax?: number
  /** What the request must name in its head. */
  readonly headers?: Readonly<Record<string, string>>
  readonly answers: Readonly<Record<number, Answer>>
}

type Answer = { readonly what: string; readonly schema?: z.ZodType; readonly type?: string }

const within = z
  .string()
  .max(64)
  .transform((text, ctx): Prefix => {
    const read = parsePrefix(text)
    if (typeof read !== 'string') return read
    ctx.addIssue({ code: 'custom', message: read })
    return z.NEVER
  })
  .optional()
  .describe('Only what touches this network, like 192.0.2.0/24')

export const ROUTES = {
  health: {
    method: 'get',
    path: '/healthz',
    rights: 'scraper',
    summary: 'The process lives',
    answers: { 200: { what: 'It does', schema: z.object({ ok: z.literal(true) }) } },
  },
  ready: {
    method: 'get',
    path: '/readyz',
    rights: 'scraper',
    summary: 'Every door is open and the copy of the decisions is fresh',
    answers: {
      200: { what: 'Ready', schema: readySchema },
      503: { what: 'Not ready, and why', schema: readySchema },
    },
  },
  metrics: {
    method: 'get',
    path: '/metrics',
    rights: 'scraper',
    summary: 'For Prometheus',
    answers: { 200: { what: 'The text format', type: 'text/plain' } },
  },
  status: {
    method: 'get',
    path: '/api/v1/status',
    rights: 'viewer',
    summary: 'How the appliance is',
    answers: { 200: { what: 'As `decoymx status --json` has it', schema: statusSchema } },
  },
  client: {
    method: 'get',
    path: '/api/v1/clients/:ip',
    rights: 'viewer',
    summary: 'What is known of a client, and why',
    params: { ip: 'An IP address; of IPv6 its /64 is meant' },
    answers: { 200: { what: 'The decision and its arithmetic', schema: clientSchema } },
  },
  decisions: {
    method: 'get',
    path: '/api/v1/decisions',
    rights: 'viewer',
    summary: 'The decisions that stand, the newest first',
    query: z.strictObject({ within }),
    answers: { 200: { what: 'The decisions', schema: z.object({ decisions: z.array(rulingSchema) }) } },
  },
  words: {
    method: 'get',
    path: '/api/v1/words',
    rights: 'viewer',
    summary: 'What operators have said, and when',
    query: z.strictObject({ within }),
    answers: { 200: { what: 'The words, the newest first', schema: z.object({ words: z.array(spokenSchema) }) } },
  },
  ticket: {
    method: 'get',
    path: '/api/v1/tickets/:ticket',
    rights: 'viewer',
    summary: 'The decision that a refused sender quotes',
    params: { ticket: 'As the refusal has it, like 7F3K-Q2ZD' },
    answers: {
      200: { what: 'The decision; `ended`: it stands no more', schema: ticketSchema },
      404: { what: 'No decision of this name is remembered' },
    },
  },
  export: {
    method: 'get',
    path: '/api/v1/exports/:format',
    rights: 'viewer',
    summary: 'Who is refused, as a file for a program that cannot ask us; with an ETag',
    params: { format: `One of ${FORMATS.join(', ')}` },
    answers: {
      200: { what: 'The list; docs/exports.md tells the formats', type: 'text/plain' },
      304: { what: 'The list is the one that If-None-Match names' },
      404: { what: 'There is no such format' },
      503: { what: 'The copy of the decisions is not fresh: nothing is exported from it' },
    },
  },
  governor: {
    method: 'get',
    path: '/api/v1/governor',
    rights: 'viewer',
    summary: 'The listings that wait for a person',
    answers: { 200: { what: 'What waits', schema: z.object({ waiting: z.array(waitingSchema) }) } },
  },
  events: {
    method: 'get',
    path: '/api/v1/events',
    rights: 'viewer',
    summary: 'What is seen, as it is seen: server-sent events, each with the JSON of one piece of evidence',
    query: z.strictObject({ within, role: z.enum(ROLES).optional().describe('Only what is seen there') }),
    answers: {
      200: {
        what: 'A stream without end, with a comment now and then while nothing happens',
        type: 'text/event-stream',
      },
      503: { what: 'Too many follow already' },
    },
  },
  openapi: {
    method: 'get',
    path: '/api/v1/openapi.json',
    rights: 'viewer',
    summary: 'This document',
    answers: { 200: { what: 'OpenAPI 3.1', schema: z.looseObject({ openapi: z.string() }) } },
  },
  say: {
    method: 'post',
    path: '/api/v1/words',
    rights: 'operator',
    summary: "The operator's word: allow, block, release; enlist or discard of what the governor holds back",
    body: saidSchema,
    answers: {
      200: { what: 'What it did, and what it left as it was', schema: wordSchema },
      404: { what: 'No listing waits there' },
      503: { what: 'The journal could not be written' },
    },
  },
  kernel: {
    method: 'post',
    path: '/api/v1/kernel',
    rights: 'operator',
    summary: 'The kernel refuses strangers at the primary, or no more',
    body: z.strictObject({ on: z.boolean() }),
    answers: {
      200: { what: 'How the kernel is now', schema: z.looseObject({ state: z.string() }) },
      404: { what: 'This appliance runs no decoys' },
    },
  },
  canary: {
    method: 'post',
    path: '/api/v1/canary',
    rights: 'operator',
    summary: 'Plays a bot and an honest client to ourselves, and asks every way out about both',
    answers: { 200: { what: 'What came of it', schema: z.looseObject({}) } },
  },
  link: {
    method: 'post',
    path: '/api/v1/console-links',
    rights: 'operator',
    summary: 'A code that logs in to the console once, within ten minutes: /login?code=CODE',
    body: z.strictObject({ rights: z.enum(RIGHTS).default('operator') }).prefault({}),
    answers: { 200: { what: 'The code', schema: z.object({ code: z.string() }) } },
  },
  rules: {
    method: 'get',
    path: '/api/v1/rules',
    rights: 'viewer',
    summary: 'The rules file, with its digest as the ETag',
    answers: { 200: { what: 'Its text, and why it cannot be saved here', schema: rulesFileSchema } },
  },
  check: {
    method: 'post',
    path: '/api/v1/rules/check',
    rights: 'operator',
    summary: 'What would come of these rules: every mistake, and what they would change now; nothing is changed',
    body: proposedSchema,
    bodyBytesMax: PROPOSAL_BYTES_MAX,
    answers: {
      200: { what: 'Problems as `decoymx check` has them; the effect where there are none', schema: proposalSchema },
      503: { what: 'Others are checking already' },
    },
  },
  replay: {
    method: 'post',
    path: '/api/v1/rules/replay',
    rights: 'operator',
    summary: "This box's recording under the rules in use and under these: server-sent events; ends with whoever asked",
    body: proposedSchema,
    bodyBytesMax: PROPOSAL_BYTES_MAX,
    answers: {
      200: {
        what: '`progress` with share and leftSeconds; then `done` with the figures of `decoymx replay --json` (500 clients at most) and an SVG; or `failed`',
        type: 'text/event-stream',
      },
      400: { what: 'Every mistake' },
      409: { what: 'Somebody replays already' },
    },
  },
  save: {
    method: 'put',
    path: '/api/v1/rules',
    rights: 'operator',
    summary: 'Replaces the rules file, and loads it; where http.edit-rules of the settings allows it',
    headers: { 'If-Match': 'The ETag of the text that this was made of' },
    body: savedSchema,
    bodyBytesMax: PROPOSAL_BYTES_MAX,
    answers: {
      200: { what: 'Saved, and in force', schema: replacedSchema },
      400: { what: 'Every mistake; nothing is saved' },
      403: { what: 'Not allowed to this visitor, or to nobody by the settings' },
      409: { what: 'The file cannot be written, and what to do; or it changes more than the bound and is not forced' },
      412: { what: 'Somebody else has changed the file since' },
      428: { what: 'If-Match is missing' },
      503: { what: 'Others are checking already' },
    },
  },
  reload: {
    method: 'post',
    path: '/api/v1/reload',
    rights: 'operator',
    summary: 'Reads the rules file anew; unsound rules change nothing',
    body: z
      .strictObject({
        force: z.boolean().default(false).describe('Also when that changes more than the bound of the settings'),
      })
      .prefault({}),
    answers: {
      200: { what: 'The new rules are in force', schema: reloadSchema },
      400: { what: 'Every mistake in the file; the old rules stay', schema: z.union([reloadSchema, mistakeSchema]) },
    },
  },
} as const satisfies Record<string, Route>
