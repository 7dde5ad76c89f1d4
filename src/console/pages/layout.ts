/**
 * What all pages of the console have in common: head, navigation, words for times and verdicts. Text is escaped by hono/html.
 *
 * All addresses are relative to the page (`root`), so that the console works below any path that a proxy gives it.
 */
import { html, raw } from 'hono/html'
import { isCanary } from '../../core/canary.ts'
import { type Client, isLoopback, parseClient } from '../../core/client.ts'
import type { Instant } from '../../core/evidence.ts'
import { neverListed } from '../../core/never.ts'
import { parsePrefix, type Prefix } from '../../core/prefixes.ts'
import type { Visitor } from '../../core/rights.ts'
import { COMMANDS, programName } from '../called.ts'
import { when } from '../terminal.ts'

export type Html = ReturnType<typeof html>

export type Frame = {
  readonly title: string
  /** From the page to the root of the console: `./` or `../`. */
  readonly root: string
  readonly here: string
  readonly visitor: Visitor | undefined
  readonly proof?: string | undefined
  readonly theme?: string | undefined
}

const PAGES = [
  ['', 'Live'],
  ['decisions', 'Decisions'],
  ['rules', 'Rules'],
  ['health', 'Health'],
] as const

export function page(frame: Frame, body: Html | Html[]): Html {
  const { title, root, here, visitor, proof = '', theme = '' } = frame
  return html`<!doctype html>
    <html lang="en" data-theme="${theme}">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="proof" content="${proof}" />
        <base href="${root}" />
        <title>${title} · decoymx</title>
        <link rel="stylesheet" href="assets/console.css" />
        <link rel="icon" href="data:," />
        <script type="module" src="assets/browser.js"></script>
      </head>
      <body data-called="${programName()}" data-commands="${COMMANDS.join('|')}">
        <a class="skip" href="${here}#main">To the content</a>
        <header class="top">
          <a class="brand" href="./">decoy<b>mx</b></a>
          ${visitor ? navigation(here, visitor) : ''}
        </header>
        <main id="main" tabindex="-1">${body}</main>
        <div id="toast" role="status" aria-live="polite"></div>
        ${visitor?.rights === 'operator' ? DIALOG : ''} ${KEYS}
      </body>
    </html>`
}

function navigation(here: string, visitor: Visitor): Html {
  const links = PAGES.map(
    ([path, name]) => html`<a href="./${path}" ${path === here ? raw('aria-current="page"') : ''}>${name}</a>`,
  )
  return html`<nav aria-label="Pages">${links}</nav>
    <form class="find" action="find" method="get" role="search">
      <input name="q" type="search" placeholder="IP address or ticket  ( / )" aria-label="IP address or ticket" />
    </form>
    <span id="line" class="line" title="Live connection">live</span>
    <button id="help" type="button" class="quiet" aria-label="By keys" title="By keys ( ? )">?</button>
    <button id="theme" type="button" class="quiet" aria-label="Light or dark">◐</button>
    ${
      visitor.by === 'nearby'
        ? html`<a class="who" href="login">viewing · log in</a>`
        : html`<form method="post" action="logout" class="who">
            <span>${visitor.name.startsWith('console (') ? visitor.rights : `${visitor.name} · ${visitor.rights}`}</span
            ><button class="quiet">Log out</button>
          </form>`
    }`
}

const DIALOG = html`<dialog id="act">
  <form method="dialog">
    <h2><span data-word></span> <code data-target></code></h2>
    <label>Because <input name="because" maxlength="300" required placeholder="why; kept, and shown by why" /></label>
    <label
      >For
      <select name="for">
        <option value="24h">24 hours</option>
        <option value="7d" selected>7 days</option>
        <option value="30d">30 days</option>
        <option value="">until released</option>
      </select></label
    >
    <p class="row">
      <button type="button" data-cancel>Cancel</button><button value="do" class="main" data-does></button>
    </p>
  </form>
</dialog>`

const KEYS = html`<dialog id="keys">
  <form method="dialog">
    <h2>By keys</h2>
    <dl>
      <dt><kbd>j</kbd> <kbd>k</kbd></dt>
      <dd>the next client of the table, the one before; <kbd>Enter</kbd> opens it</dd>
      <dt><kbd>/</kbd></dt>
      <dd>look for an address or a ticket</dd>
      <dt><kbd>f</kbd></dt>
      <dd>narrow what this page shows</dd>
      <dt><kbd>p</kbd></dt>
      <dd>pause the page, or let it go on</dd>
      <dt><kbd>?</kbd></dt>
      <dd>these keys</dd>
    </dl>
    <p class="row"><button class="main" value="read">Go on</button></p>
  </form>
</dialog>`

/** What a page is narrowed to: a text that is looked for, and one of some choices; both empty: everything. */
export type Filter = { readonly q: string; readonly choice: string }

export function filterForm(
  path: string,
  { q, choice }: Filter,
  name: string,
  all: string,
  choices: readonly string[],
  placeholder: string,
  more: Html | string = '',
): Html {
  return html`<form class="filter" method="get" action="./${path}" role="search">
    <input name="q" value="${q}" placeholder="${placeholder}" aria-label="Filter" />
    ${picker(name, all, choices, choice)} ${more}<button>Filter</button>
    <button type="button" id="pause" aria-pressed="false" title="p">Pause</button>
  </form>`
}

/** The network that somebody looks for, if it is one. */
export function networkIn(q: string): Prefix | undefined {
  const prefix = q.includes('/') ? parsePrefix(q) : ''
  return typeof prefix === 'string' ? undefined : prefix
}

/** One of these, or none. */
export function picker(name: string, all: string, choices: readonly string[], chosen: string): Html {
  return html`<select name="${name}" aria-label="${all}">
    ${['', ...choices].map(
      (each) => html`<option value="${each}" ${each === chosen ? 'selected' : ''}>${each === '' ? all : each}</option>`,
    )}
  </select>`
}

/** A table; `n:` before a head is for a column of numbers. */
export function sheet(heads: readonly string[], rows: Html | readonly Html[] | readonly (readonly Html[])[]): Html {
  return html`<table>
    <thead>
      <tr>
        ${heads.map((head) => (head.startsWith('n:') ? html`<th class="n">${head.slice(2)}</th>` : html`<th>${head}</th>`))}
      </tr>
    </thead>
    <tbody>
      ${rows}
    </tbody>
  </table>`
}

export function chip(word: string): Html {
  return html`<span class="chip ${word}">${word}</span>`
}

export function time(at: Instant): Html {
  const iso = new Date(at).toISOString()
  return html`<time datetime="${iso}" title="${iso}">${iso.slice(0, 16).replace('T', ' ')}</time>`
}

/** Until when something stands, in words. */
export function until(at: Instant | undefined, now: Instant): Html {
  if (at === undefined) return html`until released`
  const iso = new Date(at).toISOString()
  return html`<time datetime="${iso}" title="${iso}">until ${when(iso, now)}</time>`
}

/** Who this is, where its address alone would mislead: one that we play to ourselves, or that can never be listed. */
export function known(client: Client): Html | string {
  const what = isCanary(client.ip)
    ? 'our own canary'
    : isLoopback(client)
      ? 'this host itself: doctor, or by hand'
      : neverListed(client)
  return what === undefined ? '' : html` <small class="known">${what}</small>`
}

/** Buttons for the operator's word. Who can never be listed needs no allow, and takes no block. */
export function acts(
  target: string,
  visitor: Visitor | undefined,
  words: readonly ('allow' | 'block' | 'release' | 'enlist' | 'discard')[],
): Html | string {
  // A word about our own canary would only break the proof that it is.
  if (visitor?.rights !== 'operator' || isCanary(target)) return ''
  const client = parseClient(target)
  const never = client !== undefined && neverListed(client) !== undefined
  const offered = words.filter((word) => !never || (word !== 'allow' && word !== 'block'))
  if (offered.length === 0) return ''
  return html`<span class="acts"
    >${offered.map((word) => html`<button type="button" data-say="${word}" data-of="${target}">${word}${target === 'all' ? ' all' : ''}</button>`)}</span
  >`
}
