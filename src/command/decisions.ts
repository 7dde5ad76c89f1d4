/**
 * `list`, `allow`, `block`, `release`, `audit`: the decisions that stand, the operator's own, and all that operators ever said.
 * Each word is journalled with its reason and author before it takes effect.
 */
import { userInfo } from 'node:os'
import type { RulingView, SpokenView } from '../answer/views.ts'
import type { WordView } from '../answer/views.ts'
import { NO_REASON } from '../core/evidence.ts'
import { hanging, type Screen, table, when, wrapped } from '../console/terminal.ts'
import { ask, NotRunning } from './appliance.ts'
import { type Complain, exitCodeFor } from './exit-codes.ts'

/** Rows printed unless more are asked for: nobody reads 80,000 lines in a terminal. */
export const LIST_LIMIT = 50

export async function list(
  folder: string,
  options: {
    within: string | undefined
    word: string | undefined
    limit: number
    json: boolean
    screen: Screen
    complain: Complain
  },
): Promise<number> {
  const query = options.within === undefined ? '' : `?within=${encodeURIComponent(options.within)}`
  const { status, body } = await ask(folder, 'GET', `/api/v1/decisions${query}`)
  if (status !== 200) return options.complain(asWords(body), exitCodeFor(status))
  const all = (body as { decisions: RulingView[] }).decisions.filter(
    (each) => !options.word || each.word === options.word,
  )
  if (options.json) options.screen.print(JSON.stringify({ decisions: all }, null, 2))
  else if (all.length === 0) options.screen.print('No decision stands.')
  else {
    printRulings(options.screen, options.screen.person ? all.slice(0, options.limit) : all, Date.now())
    const more = options.screen.person ? all.length - options.limit : 0
    if (more > 0) options.screen.print(options.screen.colours.dim(`… ${more} more: --limit ${all.length}, or --json`))
  }
  return 0
}

export async function say(
  folder: string,
  word: 'allow' | 'block' | 'release',
  target: string,
  options: {
    for: string | undefined
    because: string
    author: string | undefined
    force: boolean
    json: boolean
    screen: Screen
    complain: Complain
  },
): Promise<number> {
  const said = {
    word,
    target,
    ...(options.for === undefined ? {} : { for: options.for }),
    because: options.because,
    author: options.author ?? userInfo().username,
    force: options.force,
  }
  const mistaken = async (error: unknown) => {
    if (!(error instanceof NotRunning)) throw error
    // Nobody is there to say it. What of it only the appliance knows, like the names of pools, stays unsaid.
    const mistakes = await mistakesInWord(said)
    if (mistakes.length === 0) throw error
    return { status: 400, body: { errors: mistakes, error: mistakes.join('; ') } }
  }
  const { status, body } = await ask(folder, 'POST', '/api/v1/words', said).catch(mistaken)
  if (status !== 200) return options.complain(asWords(body), exitCodeFor(status))
  const done = body as WordView
  if (options.json) options.screen.print(JSON.stringify(done, null, 2))
  else {
    const stands = word === 'release' ? '' : done.until ? ` until ${when(done.until, Date.now())}` : ' until released'
    const effect = effectOf(done, WAITS[word])
    const which = done.count === 1 ? done.target : `${done.target} (${done.count} networks)`
    const { screen } = options
    const tell = (head: string, text: string, margin: number) => {
      for (const line of hanging(head, text, screen.width, margin)) screen.print(line)
    }
    tell('', `${DONE[word]} ${which}${stands}: ${effect}`, 2)
    const missing = [
      ...(options.because === NO_REASON ? ['no reason was given: --because "..."'] : []),
      ...(word !== 'release' && done.until === null ? ['it has no end: --for 7d'] : []),
    ]
    if (missing.length > 0 && screen.person)
      for (const line of wrapped(`${missing.join('; ')}. Saying it again changes it.`, screen.width, 2))
        screen.print(screen.colours.dim(line))
    for (const note of done.notes) tell(`${screen.colours.yellow('!')} `, note, 2)
  }
  return 0
}

/** What is wrong with a word, as far as that can be told without an appliance. */
export async function mistakesInWord(said: {
  readonly word: string
  readonly target: string
  readonly for?: string
  readonly because: string
  readonly author?: string
}): Promise<readonly string[]> {
  return (await import('../answer/words.ts')).mistakesIn(said).map(nameTyped)
}

/** The API names its fields; a person typed options and an argument. */
export function asWords(body: unknown): unknown {
  const { error, errors, ...rest } = body as { readonly error?: string; readonly errors?: readonly string[] }
  if (error === undefined) return body
  return { ...rest, error: nameTyped(error), ...(errors ? { errors: errors.map(nameTyped) } : {}) }
}

function nameTyped(mistake: string): string {
  return mistake.replace(/^(for|because|author): /, '--$1: ').replace(/^within: /, 'network: ')
}

/** `waits`: what is said while the store does not answer. */
export function effectOf({ outcome, untold }: Pick<WordView, 'outcome' | 'untold'>, waits: string): string {
  if (!untold) return outcome === 'applied' ? 'in effect now' : waits
  return `${outcome === 'applied' ? 'it stands' : waits}; mode observe: nobody is told`
}

/** Said while the store does not answer. */
const WAITS = {
  allow: 'in effect here; elsewhere as soon as the store answers again',
  release: 'in effect here; elsewhere as soon as the store answers again',
  block: 'written down; in effect as soon as the store answers again',
}

/** The trail: who said what, when, and why. Each appliance keeps the words that were said to it. */
export async function audit(
  folder: string,
  { within, json, screen, complain }: { within: string | undefined; json: boolean; screen: Screen; complain: Complain },
): Promise<number> {
  const query = within === undefined ? '' : `?within=${encodeURIComponent(within)}`
  const { status, body } = await ask(folder, 'GET', `/api/v1/words${query}`)
  if (status !== 200) return complain(asWords(body), exitCodeFor(status))
  const { words } = body as { words: SpokenView[] }
  if (json) screen.print(JSON.stringify({ words }, null, 2))
  else if (words.length === 0) screen.print('No operator has said anything.')
  else {
    const spell = (instant: string) => (screen.person ? when(instant, Date.now()) : instant)
    const rows = deedsOf(words).map(({ at, author, word, target, until, because, undone }) => [
      spell(at),
      author,
      word,
      target,
      undone
        ? `undone ${spell(undone.at)}${undone.author === author ? '' : ` by ${undone.author}`}`
        : until
          ? spell(until)
          : '',
      because,
    ])
    for (const line of table(screen, ['when', 'who', 'word', 'target', 'until', 'because'], rows)) screen.print(line)
  }
  return 0
}

/** A word, and the word of a second by which the console took it back. */
type Deed = SpokenView & { readonly undone?: SpokenView }

/**
 * A word and its undoing are one deed. The newest come first; an undoing of which the word is not among them stands alone.
 */
export function deedsOf(words: readonly SpokenView[]): Deed[] {
  const undoings = new Map<string, SpokenView>()
  const deeds: Deed[] = []
  for (const word of words) {
    const key = `${word.word} ${word.target}`
    const undone = undoings.get(key)
    undoings.delete(key)
    if (isUndoing(word)) {
      // Nobody undoes an undoing: what is there already has lost its word.
      if (undone) deeds.push(undone)
      undoings.set(key, word)
    } else deeds.push(undone ? { ...word, undone } : word)
  }
  return [...deeds, ...undoings.values()].toSorted((a, b) => Date.parse(b.at) - Date.parse(a.at))
}

/** As pages/browser.js says it. */
function isUndoing({ at, until, because }: SpokenView): boolean {
  return because === 'undo' && until !== null && Date.parse(until) - Date.parse(at) <= 1000
}

export function printRulings(screen: Screen, rulings: readonly RulingView[], now: number): void {
  const rows = rulings.map((each) => [
    each.target,
    wordOf(each, screen.person),
    each.by === 'operator'
      ? `operator ${each.author ?? ''}`.trim()
      : each.by === 'file'
        ? (each.author ?? '')
        : 'rules',
    each.score === undefined ? '' : each.score.toFixed(0),
    each.until === null ? 'until released' : screen.person ? when(each.until, now) : each.until,
    each.ticket,
    each.because,
    // For a person it stands beside the verdict.
    ...(screen.person ? [] : [each.overruled || each.untold ? 'nobody' : '']),
  ])
  const heads = ['client', 'verdict', 'by', 'score', 'until', 'ticket', 'because', ...(screen.person ? [] : ['told'])]
  for (const line of table(screen, heads, rows)) screen.print(line)
}

/** For a person in words; for a program one word, `overruled` where an allow stands above; of whom nobody is told has a column. */
function wordOf({ word, overruled, untold }: RulingView, person: boolean): string {
  if (overruled) return person ? `${word}, but allowed` : 'overruled'
  return untold && person ? `${word}, told to nobody` : word
}

const DONE = { allow: 'allowed', block: 'blocked', release: 'released' } as const
