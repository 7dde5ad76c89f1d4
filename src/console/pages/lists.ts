/**
 * The rules and what stands because of each; and the door.
 */
import { html } from 'hono/html'
import type { Rules } from '../../core/rules.ts'
import type { Ruling } from '../../reputation/reputation.ts'
import { chip, type Html } from './layout.ts'

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
