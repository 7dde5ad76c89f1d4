/**
 * The door: a name and a password, or a link from the host.
 */
import { html } from 'hono/html'
import { typed } from '../called.ts'
import type { Html } from './layout.ts'

export function loginPage(mistake: string | undefined): Html {
  return html`<form class="login" method="post" action="login">
    <h1>Log in</h1>
    ${mistake ? html`<p class="alarm" role="alert">${mistake}</p>` : ''}
    <label>Name <input name="name" autocomplete="username" required maxlength="64" autofocus /></label>
    <label
      >Password <input name="password" type="password" autocomplete="current-password" required maxlength="1000"
    /></label>
    <button class="main">Log in</button>
    <p class="dim">No account? On the host, <code>${typed('console')}</code> prints a link that logs in once.</p>
  </form>`
}
