/**
 * The decisions that stand, the newest first, by word and by what stands in them; and the listings that wait for a person.
 */
import { html } from 'hono/html'
import { type Client, clientOfKey, numberOfDotted } from '../../core/client.ts'
import type { Instant } from '../../core/evidence.ts'
import { overlap, parsePrefix, Prefixes } from '../../core/prefixes.ts'
import type { Visitor } from '../../core/rights.ts'
import type { Decision } from '../../reputation/decision.ts'
import type { Ruling, Waiting } from '../../reputation/reputation.ts'
import { acts, chip, type Filter, filterForm, type Html, known, networkIn, time, until, sheet } from './layout.ts'

/** Most rows of each table. */
const ROWS_MAX = 300

const WORDS = ['block', 'defer', 'observe', 'allow', 'release']

export type Decisions = {
  readonly newest: Newest
  readonly waiting: readonly Waiting[]
  readonly decide: (client: Client) => Decision
  readonly filter: Filter
  readonly visitor: Visitor | undefined
  readonly now: Instant
}

/** The newest that are asked for, and how many there are. */
export type Newest = { readonly found: readonly Ruling[]; readonly count: number }

export function decisionsPage(decisions: Decisions): Html[] {
  const { waiting, filter, visitor } = decisions
  const { found, count } = decisions.newest
  const rows = found.map((ruling) => row(ruling, decisions))
  return [
    html`<h1>Decisions</h1>`,
    html`<section data-live id="waiting">${waiting.length > 0 ? waitingTable(waiting, visitor) : ''}</section>`,
    filterForm('decisions', filter, 'word', 'every word', WORDS, 'address, network, rule, author'),
    html`<div class="scroll" data-live id="decisions">
      <p class="dim">${count} stand${count > found.length ? `; the newest ${found.length} are shown` : ''}.</p>
      ${sheet(['Whom', 'Word', 'By', 'Because', 'Since', 'Stands', 'Ticket', ''], rows)}
    </div>`,
  ]
}

function row(ruling: Ruling, { decide, visitor, now }: Decisions): Html {
  const { target, word, by, author, because, since, ticket } = ruling
  const client = clientOfKey(target)
  // Whoever is allowed is refused by nobody, though the rules go on counting.
  const allowed = by === 'rules' && client && decide(client).verdict === 'allow'
  return html`<tr id="d-${`${by}-${target}`.replace(/[^\w-]/g, '_')}">
    <td data-th="Whom">
      <a class="ip" href="clients/${target.split('/')[0]}">${target}</a>${client ? known(client) : ''}
    </td>
    <td data-th="Word">${chip(word)}${allowed ? html` <small>but allowed</small>` : ''}</td>
    <td data-th="By">${author ?? by}</td>
    <td class="wide" data-th="Because">${because}</td>
    <td data-th="Since">${time(since)}</td>
    <td class="until" data-th="Stands">${until(ruling.until, now)}</td>
    <td data-th="Ticket"><code>${ticket}</code></td>
    <td>${word === 'release' ? '' : acts(target, visitor, ['release'])}</td>
  </tr>`
}

/**
 * In one pass over what may be a million: never all of them sorted. `ruleOf`: rules by their reasons, which is what rulings
 * have of them.
 */
export function newestOf(
  rulings: Iterable<Ruling>,
  filter: Filter,
  ruleOf: ReadonlyMap<string, string>,
  now: Instant,
): Newest {
  const { choice } = filter
  const fits = finder(filter, ruleOf)
  let found: Ruling[] = []
  let [count, floor] = [0, -Infinity]
  const cut = () => {
    found = found.sort((a, b) => b.since - a.since).slice(0, ROWS_MAX)
    if (found.length === ROWS_MAX) floor = found.at(-1)?.since ?? floor
  }
  for (const ruling of rulings) {
    if ((ruling.grace ?? ruling.until ?? Infinity) <= now || (choice !== '' && ruling.word !== choice)) continue
    if (!fits(ruling)) continue
    count++
    if (ruling.since > floor && found.push(ruling) >= 2 * ROWS_MAX) cut()
  }
  cut()
  return { found, count }
}

/** Of a million rulings nearly all are about an IPv4 address, and few have a reason that no other has. */
function finder({ q }: Filter, ruleOf: ReadonlyMap<string, string>): (ruling: Ruling) => boolean {
  const wanted = q.trim().toLowerCase()
  if (wanted === '') return () => true
  const within = networkIn(wanted)
  if (within) {
    const network = Prefixes.of([[within, true]])
    return ({ target }) => {
      if (!target.includes('/')) return network.findFourth(numberOfDotted(target)) === true
      const prefix = parsePrefix(target)
      return typeof prefix !== 'string' && overlap(prefix, within)
    }
  }
  const code = wanted.toUpperCase()
  const known = new Map<string, boolean>()
  const says = (text: string): boolean => {
    const before = known.get(text)
    if (before !== undefined) return before
    const found = text.toLowerCase().includes(wanted)
    known.set(text, found)
    return found
  }
  return ({ target, by, author, because, ticket }) =>
    target.includes(wanted) ||
    ticket.includes(code) ||
    says(author ?? by) ||
    says(because) ||
    says(ruleOf.get(because) ?? '')
}

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
