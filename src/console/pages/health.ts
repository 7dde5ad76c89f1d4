/**
 * Health: the mail exchangers as senders meet them, what the witness has seen, and every listener.
 */
import { html } from 'hono/html'
import { chip, type Html } from './layout.ts'

/** What this page reads of the status. */
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
    readonly rulings: Readonly<Record<'rules' | 'operator', Readonly<Record<'allow' | 'defer' | 'block', number>>>> & {
      readonly overruled: number
    }
  }
  readonly kernel: { readonly state: string } | null
  readonly realMx: {
    readonly mxs: readonly { readonly name: string; readonly outcome: string; readonly because: string }[]
  } | null
  /** What DNS says of the protected domains, where it is asked. */
  readonly layouts: readonly Layout[]
}

type Layout = {
  readonly domain: string
  readonly mx: readonly { readonly preference: number; readonly name: string; readonly decoy: boolean }[]
}

/** Domains whose records are listed. */
const LAYOUTS_MAX = 20

export function healthPage(status: Health, unready: readonly string[]): Html {
  return html`<h1>Health ${chip(unready.length === 0 ? 'ready' : 'unready')}</h1>
    <div data-live id="health">
      ${unready.map((sentence) => html`<p class="alarm">${sentence}</p>`)} ${drawing(status)}
      <p>Witness: ${status.witness}</p>
      <p class="dim">
        decoymx ${status.version}, mode ${status.mode}; store ${status.reputation.store}, copy
        ${status.reputation.ledger}, ${status.reputation.waiting} events on their way.
      </p>
      ${status.layouts.length > 0 ? records(status.layouts) : ''}
      <h2>Listeners</h2>
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
                  <td data-th="Listener">${name}</td>
                  <td data-th="Address"><code>${address}</code></td>
                  <td data-th="State" ${open ? '' : html`class="alarm"`}>${open ? 'open' : (error ?? 'shut')}</td>
                </tr>`,
            )}
          </tbody>
        </table>
      </div>
    </div>`
}

/** The way of a mail server from the left, that of a bot from the right; what both tell flows down. */
function drawing(status: Health): Html {
  const real = status.realMx?.mxs ?? []
  const [state, note, kind] =
    real.length === 0
      ? (['not watched', 'real-mx in the settings', 'unseen'] as const)
      : ([
          real.map(({ outcome }) => outcome).join(', '),
          real.length === 1 ? (real[0]?.name ?? '') : `${real.length} exchanges`,
          real.every(({ outcome }) => outcome === 'up') ? 'real' : 'bad',
        ] as const)
  const shut = (role: string) => status.doors.some(({ name, open }) => name.startsWith(`${role} decoy`) && !open)
  const there = (role: string) => status.doors.some(({ name }) => name.startsWith(`${role} decoy`))
  const decoy = (role: string) => (shut(role) ? 'bad' : there(role) ? 'decoy' : 'unseen')
  const [first, second, last] = preferences(status.layouts[0])
  const turned = status.kernel?.state === 'on' ? 'the kernel refuses strangers' : 'resets strangers'
  return html`<svg
    class="mx"
    viewBox="0 0 900 236"
    role="img"
    aria-label="Mail servers try the primary decoy first and deliver at the real MX; bots go to the backup decoy"
  >
    <defs>
      <marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
        <path class="tip" d="M 0 0 L 8 4 L 0 8 z" />
      </marker>
    </defs>
    <text class="note" x="62" y="96">mail server</text>
    <path class="walk" d="M 20 104 H 124" marker-end="url(#tip)" />
    <path class="walk" d="M 318 104 H 354" marker-end="url(#tip)" />
    <text class="note" x="842" y="96">bot</text>
    <path class="bot" d="M 884 104 H 782" marker-end="url(#tip)" />
    <path class="told" d="M 222 152 C 222 190, 300 204, 356 206" marker-end="url(#tip)" />
    <path class="told" d="M 680 152 C 680 190, 602 204, 546 206" marker-end="url(#tip)" />
    <path class="told" d="M 451 190 V 156" marker-end="url(#tip)" />
    <text class="note" x="208" y="204">evidence</text>
    <text class="note" x="694" y="204">evidence</text>
    <text class="t" x="451" y="212">decoymx</text>
    <text class="note" x="478" y="178">refuse</text>
    ${box(128, first, 'primary decoy', there('primary') ? `${status.held.primary} held` : 'not here', turned, decoy('primary'))}
    ${box(358, second, 'real MX', state, note, kind)}
    ${box(588, last, 'backup decoy', there('backup') ? `${status.held.backup} held` : 'not here', 'listens, says later', decoy('backup'))}
  </svg>`
}

/** What stands in DNS above each box; without DNS, what should. */
function preferences(layout: Layout | undefined): [string, string, string] {
  if (!layout) return ['MX, lowest', 'MX', 'MX, highest']
  const real = layout.mx.filter(({ decoy }) => !decoy).map(({ preference }) => preference)
  const spelt = (numbers: readonly number[], none: string) =>
    numbers.length === 0 ? none : `MX ${[...new Set(numbers)].toSorted((a, b) => a - b).join(', ')}`
  const decoys = layout.mx.filter(({ decoy }) => decoy).map(({ preference }) => preference)
  const [least, most] = [Math.min(...real), Math.max(...real)]
  return [
    spelt(
      decoys.filter((preference) => preference < least),
      'no MX record',
    ),
    spelt(real, 'no MX record'),
    spelt(
      decoys.filter((preference) => preference > most),
      'no MX record',
    ),
  ]
}

function box(x: number, above: string, title: string, state: string, note: string, kind: string): Html {
  return html`<g class="${kind}"
    ><text class="note" x="${x + 93}" y="36">${above}</text
    ><rect x="${x}" y="48" width="186" height="100" rx="10" /><text class="t" x="${x + 93}" y="80">${title}</text
    ><text x="${x + 93}" y="104">${state}</text><text class="note" x="${x + 93}" y="128">${note}</text></g
  >`
}

function records(layouts: readonly Layout[]): Html {
  return html`<h2>In DNS</h2>
    <div class="scroll">
      <table>
        <thead>
          <tr>
            <th>Domain</th>
            <th class="n">Preference</th>
            <th>Exchange</th>
            <th>Is</th>
          </tr>
        </thead>
        <tbody>
          ${layouts.slice(0, LAYOUTS_MAX).map(({ domain, mx }) =>
            mx.map(
              ({ preference, name, decoy }, i) =>
                html`<tr>
                  <td data-th="Domain">${i === 0 ? domain : ''}</td>
                  <td class="n" data-th="Preference">${preference}</td>
                  <td data-th="Exchange"><code>${name}</code></td>
                  <td data-th="Is">${decoy ? 'a decoy' : 'a real MX'}</td>
                </tr>`,
            ),
          )}
        </tbody>
      </table>
      ${layouts.length > LAYOUTS_MAX ? html`<p class="dim">${layouts.length - LAYOUTS_MAX} more domains.</p>` : ''}
    </div>`
}
