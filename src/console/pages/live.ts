/**
 * The first page: what is held now and what it costs whom, and who came lately, as evidence tells it.
 */
import { html } from 'hono/html'
import { type Client, parseClient } from '../../core/client.ts'
import type { Visitor } from '../../core/rights.ts'
import type { Visit } from '../visits.ts'
import { acts, chip, type Html, time } from './layout.ts'

export type Tiles = readonly { readonly name: string; readonly value: string; readonly note: string }[]

const ROWS_MAX = 100

export function livePage(
  visits: readonly Visit[],
  tiles: Tiles,
  filter: { readonly q: string; readonly role: string },
  verdictOf: (client: Client) => string,
  visitor: Visitor | undefined,
): Html[] {
  const q = filter.q.toLowerCase()
  const found = visits.filter(
    ({ client, role, deeds }) =>
      (filter.role === '' || role === filter.role) &&
      (q === '' ||
        client.startsWith(q) ||
        deeds.some(({ kind, detail }) => `${kind} ${detail ?? ''}`.toLowerCase().includes(q))),
  )
  const rows = found.slice(0, ROWS_MAX).map((visit) => {
    const client = parseClient(visit.client)
    const deeds = visit.deeds.map(
      ({ kind, detail }) => html`<li><b>${kind}</b>${detail === undefined ? '' : html` <q>${detail}</q>`}</li>`,
    )
    return html`<tr id="v-${visit.id.replace(/[^\w-]/g, '_')}">
      <td>${time(visit.last)}</td>
      <td><a class="ip" href="clients/${visit.client}">${visit.client}</a></td>
      <td>${client ? chip(verdictOf(client)) : ''}</td>
      <td>${visit.role}${visit.times > 1 ? html` <small>× ${visit.times}</small>` : ''}</td>
      <td class="wide">
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
    html`<form class="filter" method="get" action="./" role="search">
      <input name="q" value="${filter.q}" placeholder="address or deed" aria-label="Filter" />
      <select name="role" aria-label="Where">
        ${['', 'primary', 'backup', 'real'].map(
          (role) =>
            html`<option value="${role}" ${role === filter.role ? 'selected' : ''}>
              ${role === '' ? 'everywhere' : role}
            </option>`,
        )}
      </select>
      <button>Filter</button>
      <button type="button" id="pause" aria-pressed="false">Pause</button>
    </form>`,
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
      ${rows.length === 0 ? html`<p class="empty">Nobody has come yet. As soon as somebody does, it is here.</p>` : ''}
    </div>`,
  ]
}
