/**
 * Pages that are lists: the decisions that stand, the rules and what stands because of each, health; and the door.
 */
import { html } from 'hono/html'
import type { Visitor } from '../../core/rights.ts'
import type { Rules } from '../../core/rules.ts'
import type { Ruling } from '../../reputation/reputation.ts'
import { acts, chip, type Html, time } from './layout.ts'

const ROWS_MAX = 500

export function decisionsPage(rulings: readonly Ruling[], visitor: Visitor | undefined): Html {
  const rows = rulings.slice(0, ROWS_MAX).map(
    ({ target, word, by, author, because, until, since, ticket }) =>
      html`<tr id="d-${`${by}-${target}`.replace(/[^\w-]/g, '_')}">
        <td><a class="ip" href="clients/${target.split('/')[0]}">${target}</a></td>
        <td>${chip(word)}</td>
        <td>${author ?? by}</td>
        <td class="wide">${because}</td>
        <td>${time(since)}</td>
        <td>${time(until)}</td>
        <td><code>${ticket}</code></td>
        <td>${acts(target, visitor, ['release'])}</td>
      </tr>`,
  )
  return html`<h1>Decisions</h1>
    <div class="scroll" data-live id="decisions">
      <p class="dim">
        ${rulings.length} stand${rulings.length > ROWS_MAX ? `; the newest ${ROWS_MAX} are shown` : ''}.
      </p>
      <table>
        <thead>
          <tr>
            <th>Whom</th>
            <th>Word</th>
            <th>By</th>
            <th>Because</th>
            <th>Since</th>
            <th>Until</th>
            <th>Ticket</th>
            <th></th>
          </tr>
        </thead>
        <tbody>
          ${rows}
        </tbody>
      </table>
    </div>`
}

export function rulesPage(rules: Rules, rulings: readonly Ruling[]): Html {
  const standing = new Map<string, number>()
  for (const { by, because } of rulings) if (by === 'rules') standing.set(because, (standing.get(because) ?? 0) + 1)
  const most = Math.max(1, ...standing.values())
  return html`<h1>Rules <small>${rules.file}, mode ${rules.mode}</small></h1>
    <div class="scroll" data-live id="rules">
      <table>
        <thead>
          <tr>
            <th>Rule</th>
            <th class="n">Weight</th>
            <th>Counts</th>
            <th>Because</th>
            <th>Decides now</th>
          </tr>
        </thead>
        <tbody>
          ${rules.list.map(({ name, weight, counts, because, mode, line }) => {
            const n = standing.get(because) ?? 0
            return html`<tr>
              <td><b>${name}</b> <small>line ${line}</small> ${mode === 'observe' ? chip('observe') : ''}</td>
              <td class="n">${weight}</td>
              <td class="wide">${counts.join(', ')}</td>
              <td class="wide">${because}</td>
              <td><progress max="${most}" value="${n}"></progress> ${n}</td>
            </tr>`
          })}
        </tbody>
      </table>
    </div>`
}

/** What the page of health reads of the status. */
export type Health = {
  readonly version: string
  readonly mode: string
  readonly witness: string
  readonly doors: readonly {
    readonly name: string
    readonly address: string
    readonly open: boolean
    readonly error: string | null
  }[]
  readonly held: { readonly primary: number; readonly backup: number }
  readonly reputation: {
    readonly store: string
    readonly ledger: string
    readonly waiting: number
    readonly rulings: Readonly<Record<'rules' | 'operator', Readonly<Record<'allow' | 'defer' | 'block', number>>>>
  }
  readonly realMx: {
    readonly mxs: readonly { readonly name: string; readonly outcome: string; readonly because: string }[]
  } | null
}

export function healthPage(status: Health, unready: readonly string[]): Html {
  const real = status.realMx?.mxs ?? []
  return html`<h1>Health ${chip(unready.length === 0 ? 'ready' : 'unready')}</h1>
    <div data-live id="health">
      ${unready.map((sentence) => html`<p class="alarm">${sentence}</p>`)}
      <svg
        class="mx"
        viewBox="0 0 840 150"
        role="img"
        aria-label="The mail exchangers: primary decoy, real MX, backup decoy"
      >
        <path d="M 250 70 H 320 M 520 70 H 590" />
        ${box(50, 'primary decoy', `${status.held.primary} held`, 'resets strangers', 'decoy')}
        ${box(320, 'real MX', real.length === 0 ? 'not watched' : real.map(({ outcome }) => outcome).join(', '), real[0]?.name ?? 'no witness', real.length === 0 ? 'unseen' : real.every(({ outcome }) => outcome === 'up') ? 'real' : 'bad')}
        ${box(590, 'backup decoy', `${status.held.backup} held`, 'listens, says later', 'decoy')}
      </svg>
      <p>${status.witness}</p>
      <p class="dim">
        decoymx ${status.version}, mode ${status.mode}; store ${status.reputation.store}, copy
        ${status.reputation.ledger}, ${status.reputation.waiting} events on their way.
      </p>
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th>Listener</th>
              <th>Address</th>
              <th>State</th>
            </tr>
          </thead>
          <tbody>
            ${status.doors.map(
              ({ name, address, open, error }) =>
                html`<tr>
                  <td>${name}</td>
                  <td><code>${address}</code></td>
                  <td>${open ? 'open' : (error ?? 'shut')}</td>
                </tr>`,
            )}
          </tbody>
        </table>
      </div>
    </div>`
}

function box(x: number, title: string, state: string, note: string, kind: string): Html {
  return html`<g class="${kind}"
    ><rect x="${x}" y="20" width="200" height="100" rx="10" /><text class="t" x="${x + 100}" y="52">${title}</text
    ><text x="${x + 100}" y="78">${state}</text><text class="note" x="${x + 100}" y="102">${note}</text></g
  >`
}

export function loginPage(mistake: string | undefined): Html {
  return html`<form class="login" method="post" action="login">
    <h1>Log in</h1>
    ${mistake ? html`<p class="alarm" role="alert">${mistake}</p>` : ''}
    <label>Name <input name="name" autocomplete="username" required maxlength="64" autofocus /></label>
    <label
      >Password <input name="password" type="password" autocomplete="current-password" required maxlength="1000"
    /></label>
    <button class="main">Log in</button>
    <p class="dim">No account? On the host, <code>npx decoymx console</code> prints a link that logs in once.</p>
  </form>`
}
