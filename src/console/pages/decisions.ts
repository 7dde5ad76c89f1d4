/**
 * The decisions that stand, the newest first, by word and by what stands in them; and the listings that wait for a person.
 */
import { html } from 'hono/html'
import { type Client, clientOfKey, dottedOf } from '../../core/client.ts'
import type { Instant } from '../../core/evidence.ts'
import { overlap, parsePrefix, Prefixes } from '../../core/prefixes.ts'
import type { Visitor } from '../../core/rights.ts'
import type { Decision } from '../../reputation/decision.ts'
import { isUntold, type Newest, type Ruling, type Search, type Waiting } from '../../reputation/reputation.ts'
import { acts, chip, type Filter, filterForm, type Html, known, networkIn, time, until, sheet } from './layout.ts'

/** Most rows of each table. */
export const ROWS_MAX = 300

const WORDS = ['block', 'defer', 'observe', 'allow', 'release'] as const

export type Decisions = {
  readonly newest: Newest
  readonly waiting: readonly Waiting[]
  readonly decide: (client: Client) => Decision
  readonly filter: Filter
  readonly visitor: Visitor | undefined
  readonly now: Instant
}

export function decisionsPage(decisions: Decisions): Html[] {
  const { waiting, filter, visitor } = decisions
  const { found, count } = decisions.newest
  const rows = found.map((ruling) => row(ruling, decisions))
  return [
    html`<h1>Decisions</h1>`,
    html`<section data-live id="waiting">${waiting.length > 0 ? waitingTable(waiting, visitor) : ''}</section>`,
    filterForm('decisions', filter, 'word', 'every word', WORDS, 'address, network, rule, author'),
    html`<div class="scroll" data-live id="decisions">
      <p class="dim">
        ${count}
        ${count === 1 ? 'stands' : 'stand'}${count > found.length ? `; the newest ${found.length} are shown` : ''}.
      </p>
      ${sheet(['Whom', 'Word', 'By', 'Because', 'Since', 'Stands', 'Ticket', ''], rows)}
    </div>`,
  ]
}

function row(ruling: Ruling, { decide, visitor, now }: Decisions): Html {
  const { target, word, by, author, because, since, ticket } = ruling
  const client = clientOfKey(target)
  // Whoever is allowed is refused by nobody, though the rules go on counting.
  const decision = client && decide(client)
  const allowed = by === 'rules' && decision?.verdict === 'allow'
  const untold = decision?.verdict === word && isUntold(decision)
  const beside = allowed ? 'but allowed' : untold ? 'told to nobody' : ''
  return html`<tr id="d-${`${by}-${target}`.replace(/[^\w-]/g, '_')}">
    <td data-th="Whom">
      <a class="ip" href="clients/${target.split('/')[0]}">${target}</a>${client ? known(client) : ''}
    </td>
    <td data-th="Word">${chip(word)}${beside && html` <small>${beside}</small>`}</td>
    <td data-th="By">${author ?? by}</td>
    <td class="wide" data-th="Because">${because}</td>
    <td data-th="Since">${time(since)}</td>
    <td class="until" data-th="Stands">${until(ruling.until, now)}</td>
    <td data-th="Ticket"><code>${ticket}</code></td>
    <td>${word === 'release' ? '' : acts(target, visitor, ['release'])}</td>
  </tr>`
}

/** What is looked for, for objects and for columns. `ruleOf`: rules by their reasons, which is what rulings have of them. */
export function searchFor({ q, choice }: Filter, ruleOf: ReadonlyMap<string, string>): Search {
  const word = WORDS.find((each) => each === choice)
  const wanted = q.trim().toLowerCase()
  if (wanted === '') return { word, ruling: () => true }
  const within = networkIn(wanted)
  if (within) {
    const network = Prefixes.of([[within, true]])
    const ruling = ({ target }: Ruling) => {
      const prefix = parsePrefix(target)
      return typeof prefix !== 'string' && overlap(prefix, within)
    }
    return { word, ruling, listing: { whole: (whole) => network.findFourth(whole) === true } }
  }
  const code = wanted.toUpperCase()
  const says = (text: string) => text.toLowerCase().includes(wanted)
  const known = new Map<string, boolean>()
  /** Few have a reason that no other has. */
  const saysWhy = (because: string): boolean => {
    const before = known.get(because)
    if (before !== undefined) return before
    const found = says(because) || says(ruleOf.get(because) ?? '')
    known.set(because, found)
    return found
  }
  const ruling = ({ target, by, author, because, ticket }: Ruling) =>
    target.includes(wanted) || ticket.includes(code) || says(author ?? by) || saysWhy(because)
  if (says('rules')) return { word, ruling }
  const listing = {
    because: saysWhy,
    whole: /^[\d.]+$/.test(wanted) ? (whole: number) => dottedOf(whole).includes(wanted) : undefined,
    ticket: PART_OF_TICKET.test(code) ? (ticket: string) => ticket.includes(code) : undefined,
  }
  return { word, ruling, listing }
}

/** Two groups of four with a dash between them: without it, no part is longer than one. */
const PART_OF_TICKET = /^(?:[0-9A-Z]{1,4}|[0-9A-Z]{0,4}-[0-9A-Z]{0,4})$/

function waitingTable(waiting: readonly Waiting[], visitor: Visitor | undefined): Html {
  return html`<h2>Waiting for a person <small>${waiting.length}</small></h2>
    <p class="dim">
      They came too many at once, from one network, or in good standing; nobody is told anything against them meanwhile.
      ${acts('all', visitor, ['enlist', 'discard'])}
    </p>
    <div class="scroll">
      ${sheet(
        ['Whom', 'Would be', 'Held back for', 'Because', 'Since', ''],
        waiting.slice(0, ROWS_MAX).map(
          ({ client, word, why, because, since }) =>
            html`<tr>
              <td data-th="Whom"><a class="ip" href="clients/${client.ip}">${client.ip}</a></td>
              <td data-th="Would be">${chip(word)}</td>
              <td data-th="Held back for">${HELD_BACK[why]}</td>
              <td class="wide" data-th="Because">${because}</td>
              <td data-th="Since">${time(since)}</td>
              <td>${acts(client.ip, visitor, ['enlist', 'discard'])}</td>
            </tr>`,
        ),
      )}
    </div>`
}

const HELD_BACK: Record<Waiting['why'], string> = {
  minute: 'too many in a minute',
  network: 'too many of its network',
  standing: 'its good standing',
  held: 'too much waits already',
}
