/**
 * The rules: each with what stands because of it, and the file itself, which an operator may check, replay and save (editor.js).
 *
 * Without scripts the file is there to be read. Its text is a control's value, so that nothing in it is ever markup.
 */
import { html } from 'hono/html'
import type { Visitor } from '../../core/rights.ts'
import type { Rules } from '../../core/rules.ts'
import { asTyped } from '../called.ts'
import { chip, type Html, sheet } from './layout.ts'

/** The rules file as it is now. */
export type RulesFile = {
  readonly file: string
  readonly source: string
  readonly digest: string
  readonly inUse: string
  readonly hindrance: { readonly error: string; readonly hint: string } | null
}

export function rulesPage(rules: Rules, standing: Standing, file: RulesFile, visitor: Visitor | undefined): Html[] {
  return [
    html`<h1>
      Rules <small><a href="rules#editor">${rules.file}</a>, mode ${rules.mode}</small>
    </h1>`,
    html`<div class="beside">${table(rules, standing)} ${editor(file, visitor?.rights === 'operator')}</div>`,
  ]
}

/** For how many clients each reason decides. */
type Standing = ReadonlyMap<string, number>

function table(rules: Rules, standing: Standing): Html {
  const most = Math.max(1, ...standing.values())
  const rows = rules.list.map(({ name, weight, counts, because, mode, line }) => {
    const n = standing.get(because) ?? 0
    return html`<tr>
      <td data-th="Rule">
        <b>${name}</b> <a href="rules#source" data-line="${line}">line ${line}</a>
        ${mode === 'observe' ? chip('observe') : ''}
      </td>
      <td class="n" data-th="Weight">${weight}</td>
      <td class="wide" data-th="Counts">${counts.join(', ')}</td>
      <td class="wide" data-th="Because">${because}</td>
      <td data-th="Decides now"><progress max="${most}" value="${n}" aria-label="Decides now"></progress> ${n}</td>
    </tr>`
  })
  return html`<div class="scroll" data-live id="rules">
    ${sheet(['Rule', 'n:Weight', 'Counts', 'Because', 'Decides now'], rows)}
  </div>`
}

function editor({ file, source, digest, inUse, hindrance }: RulesFile, operator: boolean): Html {
  const lines = source.split('\n')
  const mayNot =
    operator && hindrance
      ? html`<p class="note">
          <b>Save:</b> ${hindrance.error}; ${asTyped(hindrance.hint)}.
          <button type="button" data-do="copy">Copy the text</button>
        </p>`
      : ''
  // A browser takes a line feed at the beginning of a textarea for its own.
  return html`<link rel="stylesheet" href="assets/editor.css" />
    <section
      id="editor"
      data-digest="${digest}"
      data-ends="${source.includes('\r\n') ? 'crlf' : 'lf'}"
      data-may="${operator ? (hindrance ? 'check' : 'save') : 'read'}"
    >
      <h2>${file}</h2>
      <p data-live id="rules-now" data-of="${digest}">
        <span data-digest="${digest}"></span
        >${digest === inUse ? html`<small>The file as it was saved is in use.</small>` : html`<span class="alarm">The file is not what is in use: the old rules stay until it can be loaded.</span>`}
      </p>
      <p id="unsaved" class="alarm" hidden>Changed here, and not saved.</p>
      <div class="code">
        <pre class="gutter" aria-hidden="true">${lines.map((_, i) => `${i + 1}\n`).join('')}</pre>
        <textarea
          id="source"
          rows="${Math.min(28, Math.max(8, lines.length + 1))}"
          wrap="off"
          spellcheck="false"
          autocapitalize="off"
          autocomplete="off"
          aria-label="Text of the rules file"
          readonly
        >
${source}</textarea>
      </div>
      ${mayNot} ${operator ? TOOLS : ''}
      <div id="saying" role="status" aria-live="polite"></div>
      <ol id="problems"></ol>
      <section id="replayed" aria-label="Replay" hidden></section>
    </section>
    <script type="module" src="assets/editor.js"></script>`
}

const TOOLS = html`<p class="tools" hidden>
    <button type="button" data-do="check" title="Ctrl+Enter">Check</button>
    <button type="button" data-do="replay">Replay</button>
    <button type="button" data-do="stop" hidden>Stop</button>
    <button type="button" data-do="save" class="main" title="Ctrl+S" disabled>Save</button>
    <button type="button" data-do="revert" class="quiet" disabled>Discard changes</button>
    <label class="force" hidden><input type="checkbox" name="force" /> it is meant, save beyond the bound</label>
    <small
      >Check: mistakes, and what would change now. Replay: the recording under these rules. Ctrl+Enter checks.</small
    >
  </p>
  <noscript><p class="dim">Editing here needs scripts. The file can be edited on the host.</p></noscript>`
