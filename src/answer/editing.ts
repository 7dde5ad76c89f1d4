/**
 * The rules file over HTTP: read, a proposal checked and replayed, and saved.
 *
 * Who checks is told what `decoymx check` tells, and what the proposal would change now, as a load counts it. Who saves names the
 * text that it was made of (If-Match): what somebody else has saved meanwhile is not undone unseen. Where the file cannot be
 * written, the answer says what hinders it and what to do.
 */
import type { Context } from 'hono'
import { streamSSE } from 'hono/streaming'
import { z } from 'zod'
import type { Problem } from '../core/document.ts'
import { FILE_BYTES_MAX } from '../core/source.ts'
import type { Visitor } from '../core/rights.ts'
import type { Effect } from '../reputation/reputation.ts'
import { effectSchema, problemSchema } from './views.ts'

/** What is told of a proposal. Its warnings do not keep it from being loaded. */
export type Proposal = {
  readonly ok: boolean
  readonly problems: readonly Problem[]
  readonly warnings: readonly Problem[]
  /** Null where it is not sound. */
  readonly effect: Effect | null
  /** The same as a reload logs it: `+118 listed, -31 released`. */
  readonly told: string | null
}

export type Hindered = { readonly error: string; readonly hint: string }

export type RulesFile = {
  readonly file: string
  readonly source: string
  /** Of the text in the file; '' where it cannot be read. And of the rules in use: another one where the file is not sound. */
  readonly digest: string
  readonly inUse: string
  /** Why it cannot be saved. */
  readonly hindrance: Hindered | null
}

export type Saving =
  | { readonly is: 'saved'; readonly proposal: Proposal; readonly digest: string }
  | { readonly is: 'unsound' | 'too-much'; readonly proposal: Proposal }
  /** By somebody else: the file has this digest now. */
  | { readonly is: 'changed'; readonly digest: string }
  | ({ readonly is: 'forbidden' | 'hindered' } & Hindered)

export type ReplayNews =
  | { readonly what: 'progress'; readonly share: number; readonly leftSeconds: number }
  /** The figures are those of `decoymx replay --json`, with ROWS_MAX clients at most; the picture is an SVG. */
  | { readonly what: 'done'; readonly figures: object; readonly picture: string }
  | { readonly what: 'failed'; readonly error: string; readonly hint?: string }

export type Replaying =
  | { readonly is: 'unsound'; readonly proposal: Proposal }
  | { readonly is: 'busy'; readonly by: string; readonly seconds: number }
  | { readonly is: 'begun'; readonly stop: () => void }

export type Editing = {
  readonly file: () => RulesFile
  /** `busy`: enough are being checked already. */
  readonly check: (source: string) => Promise<Proposal | 'busy'>
  readonly save: (wish: {
    readonly source: string
    readonly force: boolean
    readonly basedOn: string
    readonly by: string
  }) => Promise<Saving | 'busy'>
  /** Its last news is done or failed. */
  readonly replay: (source: string, by: string, hear: (news: ReplayNews) => void) => Replaying
}

/** JSON escapes what it must; a text of nothing but such signs is no rules file. */
export const PROPOSAL_BYTES_MAX = 2 * FILE_BYTES_MAX + 1024

const source = z.string().describe('The whole text of a rules file')
export const proposedSchema = z.strictObject({ source })
export const savedSchema = z.strictObject({
  source,
  force: z.boolean().default(false).describe('Also when that changes more than the bound of the settings'),
})

const hinderedSchema = z.object({ error: z.string(), hint: z.string() })
export const rulesFileSchema = z.object({
  file: z.string(),
  source,
  digest: z.string().describe('Of the text in the file, as If-Match wants it; also the ETag'),
  inUse: z.string().describe('Of the rules in use: another one where the file is not sound'),
  hindrance: hinderedSchema.nullable().describe('Why the file cannot be saved over HTTP'),
})
export const proposalSchema = z.object({
  ok: z.boolean(),
  problems: z.array(problemSchema),
  warnings: z.array(problemSchema),
  effect: effectSchema.nullable(),
  told: z.string().nullable().describe('The effect in words, as a reload logs it'),
})
export const replacedSchema = proposalSchema.extend({ digest: z.string() })

export function tellFile(c: Context, editing: Editing): Response {
  const file = editing.file()
  c.header('etag', `"${file.digest}"`)
  c.header('cache-control', 'no-cache')
  return c.json(file)
}

export async function checkProposal(c: Context, proposed: { source: string }, editing: Editing): Promise<Response> {
  const proposal = await editing.check(proposed.source)
  return proposal === 'busy' ? c.json(BUSY, 503, { 'retry-after': '1' }) : c.json(proposal)
}

export async function saveProposal(
  c: Context,
  { source, force }: z.output<typeof savedSchema>,
  visitor: Visitor | undefined,
  editing: Editing,
): Promise<Response> {
  const basedOn = /^"([0-9a-f]{12})"$/.exec(c.req.header('if-match') ?? '')?.[1]
  if (basedOn === undefined)
    return c.json(
      { error: 'If-Match must name the text that this was made of', hint: 'send the ETag of GET /api/v1/rules' },
      428,
    )
  const done = await editing.save({ source, force, basedOn, by: visitor?.name ?? '' })
  if (done === 'busy') return c.json(BUSY, 503, { 'retry-after': '1' })
  switch (done.is) {
    case 'saved':
      c.header('etag', `"${done.digest}"`)
      return c.json({ ...done.proposal, digest: done.digest })
    case 'unsound': {
      const { length } = done.proposal.problems
      return c.json(
        { error: `${length === 1 ? '1 problem' : `${length} problems`}; nothing is saved`, ...done.proposal },
        400,
      )
    }
    case 'too-much':
      return c.json(
        { error: done.proposal.warnings[0]?.message ?? '', hint: 'send force: true if it is meant', ...done.proposal },
        409,
      )
    case 'changed':
      return c.json(
        {
          error: 'somebody else has changed the rules file since this was made of it; nothing is saved',
          hint: 'read it again, and bring the two together',
          digest: done.digest,
        },
        412,
      )
    case 'forbidden':
    case 'hindered':
      return c.json({ error: done.error, hint: done.hint }, done.is === 'forbidden' ? 403 : 409)
  }
}

/** Server-sent events: `progress` with share and leftSeconds, then `done` or `failed`. Ends with whoever asked. */
export function replayProposal(
  c: Context,
  { source }: { source: string },
  visitor: Visitor | undefined,
  editing: Editing,
): Response {
  const news: ReplayNews[] = []
  let wake = () => {}
  const replaying = editing.replay(source, visitor?.name ?? '', (it) => {
    // Of progress only the last is worth a line.
    if (news.at(-1)?.what === 'progress') news.pop()
    news.push(it)
    wake()
  })
  if (replaying.is === 'unsound')
    return c.json({ error: 'only sound rules can be replayed', ...replaying.proposal }, 400)
  if (replaying.is === 'busy') {
    const { by, seconds } = replaying
    return c.json({ error: `${by} replays already, for ${seconds} s; one at a time`, hint: 'ask again later' }, 409)
  }
  return streamSSE(c, async (stream) => {
    stream.onAbort(() => (replaying.stop(), wake()))
    try {
      await stream.write(': decoymx\n\n')
      for (let over = false; !over && !stream.aborted && !stream.closed;) {
        const { what, ...data } =
          news.shift() ?? (await new Promise<{ what: 'woken' }>((resolve) => (wake = () => resolve({ what: 'woken' }))))
        if (what === 'woken') continue
        await stream.writeSSE({ event: what, data: JSON.stringify(data) })
        over = what !== 'progress'
      }
    } finally {
      replaying.stop()
    }
  })
}

const BUSY = { error: 'others are checking rules already', hint: 'ask again in a moment' }
