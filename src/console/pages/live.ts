/**
 * The first page: what is held now and what it costs whom, and who came lately, as evidence tells it.
 */
import { html } from 'hono/html'
import { isCanary } from '../../core/canary.ts'
import { type Client, parseClient } from '../../core/client.ts'
import type { Instant } from '../../core/evidence.ts'
import { covers } from '../../core/prefixes.ts'
import type { Visitor } from '../../core/rights.ts'
import type { Visit } from '../visits.ts'
import { type Guest, lasting, stateOf } from './guest.ts'
import { acts, chip, type Filter, filterForm, type Html, known, networkIn, picker, time, sheet } from './layout.ts'

export type Tiles = readonly { readonly name: string; readonly value: string; readonly note: string }[]

const ROWS_MAX = 100
const GUESTS_MAX = 30
/** It is told since when somebody is here by another clock than when it did something. */
const SLACK_MS = 50
/** Of what a guest did, the latest. */
const DEEDS_SHOWN = 4

/** `verdict` narrows further than what other pages have. */
export type LiveFilter = Filter & { readonly verdict: string }

export type Live = {
  readonly visits: readonly Visit[]
  readonly guests: readonly Guest[]
  /** How many are at the decoys in all: `guests` are some of them. */
  readonly here: number
  readonly tiles: Tiles
  readonly now: Instant
}

export function livePage(
  { visits, guests, here: inAll, tiles, now }: Live,
  filter: LiveFilter,
  verdictOf: (client: Client) => string,
  visitor: Visitor | undefined,
): Html[] {
  const fits = fitting(filter, verdictOf)
  const here = guests.map((guest) => ({ ...guest, deeds: deedsOf(guest, visits) })).filter(fits)
  const narrowed = filter.q.trim() !== '' || filter.choice !== '' || filter.verdict !== ''
  const rest = narrowed
    ? unseen(here.length, guests.length, inAll)
    : beyond(Math.max(inAll, here.length) - Math.min(here.length, GUESTS_MAX))
  // Where nothing is looked for, what we play to ourselves would only push others off the page.
  const played = narrowed ? [] : visits.filter(({ client }) => isCanary(client))
  const rows = visits
    .filter((visit) => fits(visit) && (narrowed || !isCanary(visit.client)))
    .slice(0, ROWS_MAX)
    .map((visit) => {
      const client = parseClient(visit.client)
      const deeds = visit.deeds.map(
        ({ kind, detail }) => html`<li><b>${kind}</b>${detail === undefined ? '' : html` <q>${detail}</q>`}</li>`,
      )
      return html`<tr id="v-${visit.id.replace(/[^\w-]/g, '_')}">
        <td data-th="Last seen">${time(visit.last)}</td>
        <td data-th="Client">
          <a class="ip" href="clients/${visit.client}">${visit.client}</a>${client ? known(client) : ''}
        </td>
        <td data-th="Verdict">${client ? chip(verdictOf(client)) : ''}</td>
        <td data-th="At">${visit.role}${visit.times > 1 ? html` <small>× ${visit.times}</small>` : ''}</td>
        <td class="wide" data-th="What it did">
          <ul class="deeds">
            ${deeds.length > 0 ? deeds : html`<li class="dim">only connected</li>`}
          </ul>
        </td>
        <td>${acts(visit.client, visitor, ['allow', 'block'])}</td>
      </tr>`
    })
  return [
    html`<h1>Live</h1>
      <section class="tiles" data-live id="tiles">
        ${tiles.map(({ name, value, note }) => html`<div><span>${name}</span><b>${value}</b><small>${note}</small></div>`)}
      </section>`,
    filterForm(
      '',
      filter,
      'role',
      'everywhere',
      ROLES,
      'address, network or deed',
      picker('verdict', 'any verdict', VERDICTS, filter.verdict),
    ),
    html`<section data-live id="guests">${hereTable(here, rest, visitor, now)}</section>`,
    html`<h2>Who came lately</h2>`,
    html`<div class="scroll" data-live id="visits">
      ${sheet(['Last seen', 'Client', 'Verdict', 'At', 'What it did', ''], rows)}
      ${rows.length > 0 ? '' : html`<p class="empty">${visits.length > played.length ? 'Nobody of those that came is like this.' : 'Nobody has come yet. As soon as somebody does, it is here.'}</p>`}
      ${played.length > 0 ? html`<p class="dim">Without <a href="./?q=240.">what our own canary did</a> (${played.length}).</p>` : ''}
    </div>`,
  ]
}

/** What it did since it came, and not what it did before. */
function deedsOf({ client, role, since }: Guest, visits: readonly Visit[]): Visit['deeds'] {
  const visit = visits.find((each) => each.client === client && each.role === role)
  return (visit?.deeds ?? []).filter(({ at }) => at >= since - SLACK_MS)
}

/** Of those who are here, how many are not shown; '' when all are. */
function beyond(more: number): string {
  return more > 0 ? `… and ${more.toLocaleString('en')} more.` : ''
}

/** The same where something is looked for: it is looked for among some of them only. */
function unseen(found: number, looked: number, inAll: number): string {
  const more = beyond(found - Math.min(found, GUESTS_MAX))
  if (inAll <= looked) return more
  return `${more} Looked for among ${looked} of the ${inAll.toLocaleString('en')} who are here.`.trim()
}

/** Who is here, the longest first, and what it did so far. */
function hereTable(
  guests: readonly (Guest & Pick<Visit, 'deeds'>)[],
  rest: string,
  visitor: Visitor | undefined,
  now: Instant,
): Html | string {
  if (guests.length === 0 && rest === '') return ''
  const rows = guests
    .toSorted((a, b) => a.since - b.since)
    .slice(0, GUESTS_MAX)
    .map(({ role, client, since, outcome, deeds }) => {
      const parsed = parseClient(client)
      return html`<tr>
        <td class="n" data-th="For" data-running>${lasting(now - since)}</td>
        <td data-th="Client"><a class="ip" href="clients/${client}">${client}</a>${parsed ? known(parsed) : ''}</td>
        <td data-th="At">${role}</td>
        <td data-th="Is">${stateOf(outcome)}</td>
        <td class="wide" data-th="Did">
          <ul class="deeds">
            ${
              deeds.length > 0
                ? deeds.slice(-DEEDS_SHOWN).map(({ kind }) => html`<li><b>${kind}</b></li>`)
                : html`<li class="dim">only connected</li>`
            }
          </ul>
        </td>
        <td>${acts(client, visitor, ['allow', 'block'])}</td>
      </tr>`
    })
  return html`<h2>Here now</h2>
    ${guests.length > 0 ? html`<div class="scroll">${sheet(['n:For', 'Client', 'At', 'Is', 'Did', ''], rows)}</div>` : ''}
    ${rest === '' ? '' : html`<p class="dim">${rest}</p>`}`
}

type Seen = Pick<Visit, 'client' | 'role' | 'deeds'>

function fitting({ q, choice, verdict }: LiveFilter, verdictOf: (client: Client) => string): (seen: Seen) => boolean {
  const wanted = q.trim().toLowerCase()
  const within = networkIn(wanted)
  return ({ client: ip, role, deeds }) => {
    const client = parseClient(ip)
    if (choice !== '' && role !== choice) return false
    if (verdict !== '' && (!client || verdictOf(client) !== verdict)) return false
    if (within) return client !== undefined && covers(within, client)
    const said = deeds.map(({ kind, detail }) => `${kind} ${detail ?? ''}`.toLowerCase())
    return wanted === '' || ip.startsWith(wanted) || said.some((deed) => deed.includes(wanted))
  }
}

const ROLES = ['primary', 'backup', 'real']
const VERDICTS = ['clean', 'observe', 'defer', 'block', 'allow']
