/**
 * The first page: what is held now and what it costs whom, and who came lately, as evidence tells it.
 */
import { html } from 'hono/html'
import { type Client, parseClient } from '../../core/client.ts'
import { covers, parsePrefix } from '../../core/prefixes.ts'
import type { Visitor } from '../../core/rights.ts'
import type { Visit } from '../visits.ts'
import { acts, chip, type Filter, filterForm, type Html, known, time } from './layout.ts'

export type Tiles = readonly { readonly name: string; readonly value: string; readonly note: string }[]

const ROWS_MAX = 100

/** `verdict` narrows further than what other pages have. */
export type LiveFilter = Filter & { readonly verdict: string }

export function livePage(
  visits: readonly Visit[],
  tiles: Tiles,
  filter: LiveFilter,
  verdictOf: (client: Client) => string,
  visitor: Visitor | undefined,
): Html[] {
  const found = narrowed(visits, filter, verdictOf)
  const rows = found.slice(0, ROWS_MAX).map((visit) => {
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
    filterForm('', filter, 'role', 'everywhere', ROLES, 'address, network or deed', verdicts(filter.verdict)),
    html`<div class="scroll" data-live id="visits">
      <table>
        <thead>
          <tr>
            <th>Last seen</th>
            <th>Client</th>
            <th>Verdict</th>
            <th>At</th>
            <th>What it did</th>
            <th></th>
          </tr>
        </thead>
        <tbody>
          ${rows}
        </tbody>
      </table>
      ${rows.length > 0 ? '' : html`<p class="empty">${visits.length > 0 ? 'Nobody of those that came is like this.' : 'Nobody has come yet. As soon as somebody does, it is here.'}</p>`}
    </div>`,
  ]
}

function narrowed(
  visits: readonly Visit[],
  { q, choice, verdict }: LiveFilter,
  verdictOf: (client: Client) => string,
): readonly Visit[] {
  const wanted = q.trim().toLowerCase()
  const network = wanted.includes('/') ? parsePrefix(wanted) : ''
  const within = typeof network === 'string' ? undefined : network
  return visits.filter((visit) => {
    const client = parseClient(visit.client)
    if (choice !== '' && visit.role !== choice) return false
    if (verdict !== '' && (!client || verdictOf(client) !== verdict)) return false
    if (within) return client !== undefined && covers(within, client)
    const deeds = visit.deeds.map(({ kind, detail }) => `${kind} ${detail ?? ''}`.toLowerCase())
    return wanted === '' || visit.client.startsWith(wanted) || deeds.some((deed) => deed.includes(wanted))
  })
}

const ROLES = ['primary', 'backup', 'real']
const VERDICTS = ['', 'clean', 'observe', 'defer', 'block', 'allow']

function verdicts(now: string): Html {
  return html`<select name="verdict" aria-label="Verdict">
    ${VERDICTS.map(
      (each) =>
        html`<option value="${each}" ${each === now ? 'selected' : ''}>${each === '' ? 'any verdict' : each}</option>`,
    )}
  </select>`
}
