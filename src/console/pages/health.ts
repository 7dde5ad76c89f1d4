/**
 * Health: the mail exchangers as senders meet them, what the witness has seen, and every listener.
 */
import { html } from 'hono/html'
import { asTyped } from '../called.ts'
import { chip, type Html, sheet } from './layout.ts'

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

/** What is not well, and what to do about it. */
export type Remark = {
  readonly level: 'ok' | 'note' | 'warn' | 'fail'
  readonly seen: string
  readonly next: string | null
}

/** Domains whose records are listed. */
const LAYOUTS_MAX = 20

export function healthPage(status: Health, unready: readonly string[], remarks: readonly Remark[]): Html {
  return html`<h1>Health</h1>
    <div data-live id="health">
      <p>${chip(unready.length === 0 ? 'ready' : 'unready')} ${verdictOf(remarks)}</p>
      ${unready.map((sentence) => html`<p class="alarm">${sentence}</p>`)}
      ${
        remarks.length === 0
          ? ''
          : html`<ul class="remarks">
              ${remarks.map(
                ({ level, seen, next }) =>
                  html`<li class="${level}">
                    ${asTyped(seen)}${next === null ? '' : html`<br /><small><b>next</b> ${asTyped(next)}</small>`}
                  </li>`,
              )}
            </ul>`
      }
      ${drawing(status)}
      <p>Witness: ${status.witness}</p>
      <p class="dim">
        decoymx ${status.version}, mode ${status.mode}; store ${status.reputation.store}, copy
        ${status.reputation.ledger}, ${status.reputation.waiting} events on their way.
      </p>
      ${status.layouts.length > 0 ? records(status.layouts) : ''}
      <h2>Listeners</h2>
      <div class="scroll">
        ${sheet(
          ['Listener', 'Address', 'State'],
          status.doors.map(
            ({ name, address, open, error }) =>
              html`<tr>
                <td data-th="Listener">${name}</td>
                <td data-th="Address"><code>${address}</code></td>
                <td data-th="State" ${open ? '' : html`class="alarm"`}>${open ? 'open' : (error ?? 'shut')}</td>
              </tr>`,
          ),
        )}
      </div>
    </div>`
}

/** The word that status begins with. */
function verdictOf([worst]: readonly Remark[]): Html {
  if (worst === undefined || worst.level === 'note') return chip('ok')
  return chip(worst.level === 'fail' ? 'critical' : 'warning')
}

/** The mail exchangers as boxes: beside each other where there is room, else one below the other. */
function drawing(status: Health): Html[] {
  const real = status.realMx?.mxs ?? []
  const [state, note, kind] =
    real.length === 0
      ? (['not watched', 'real-mx in the settings', 'unseen'] as const)
      : ([
          [...new Set(real.map(({ outcome }) => outcome))].join(', '),
          real.length === 1 ? (real[0]?.name ?? '') : `${real.length} exchanges`,
          real.every(({ outcome }) => outcome === 'up') ? 'real' : 'bad',
        ] as const)
  const [first, second, last] = preferences(status.layouts[0])
  const turned = status.kernel?.state === 'on' ? 'the kernel refuses strangers' : 'resets strangers'
  const primary = decoyBox(status, 'primary', first, turned)
  const backup = decoyBox(status, 'backup', last, 'listens, says later')
  return picture({ kind, lines: [second, 'real MX', state, note, ''] }, primary, backup)
}

/** What kind of thing it is; its MX records, its name, how it is, what it does, and where it listens. */
type Box = { readonly kind: string; readonly lines: readonly string[] }

function decoyBox({ doors, held }: Health, role: 'primary' | 'backup', records: string, does: string): Box {
  const shared = 'primary and backup decoy'
  const own = doors.filter(({ name }) => name.startsWith(`${role} decoy`) || name.startsWith(shared))
  const direct = own.filter(({ name }) => !name.includes('PROXY'))
  const [address, ...more] = (direct.length > 0 ? direct : own).map((door) => door.address)
  const where = more.length > 0 ? `${address} and ${more.length} more` : (address ?? '')
  const kind = own.length === 0 ? 'unseen' : own.every(({ open }) => open) ? 'decoy' : 'bad'
  return {
    kind,
    lines: [records, `${role} decoy`, own.length > 0 ? `${held[role]} here now` : 'not on this host', does, where],
  }
}

/** The way of a mail server is green, that of a bot red; what we hear and tell is dotted. */
function picture(real: Box, primary: Box, backup: Box): Html[] {
  const label = 'Mail servers try the primary decoy first and deliver at the real MX; bots go to the backup decoy'
  const tip = (id: string) =>
    html`<defs
      ><marker id="${id}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"
        ><path class="tip" d="M 0 0 L 8 4 L 0 8 z" /></marker
    ></defs>`
  const arrow = (id: string, kind: string, way: string) =>
    html`<path class="${kind}" d="${way}" marker-end="url(#${id})" />`
  const text = (x: number, y: number, words: string, kind = 'note') =>
    html`<text class="${kind}" x="${x}" y="${y}">${words}</text>`
  return [
    html`<svg class="mx across" viewBox="0 0 900 256" role="img" aria-label="${label}">
      ${tip('across')}${text(60, 82, 'mail server')}${arrow('across', 'walk', 'M 16 92 H 120')}
      ${arrow('across', 'walk', 'M 324 92 H 348')}${arrow('across', 'bot', 'M 884 92 H 780')}${text(834, 82, 'bot')}
      ${arrow('across', 'told', 'M 222 170 C 222 214, 300 226, 376 228')}${text(212, 222, 'evidence')}
      ${arrow('across', 'told', 'M 680 170 C 680 214, 602 226, 526 228')}${text(694, 222, 'evidence')}
      ${arrow('across', 'told', 'M 450 212 V 172')}${text(478, 198, 'refuse')}${text(450, 234, 'decoymx', 't')}
      ${box(124, 18, 196, primary)}${box(352, 18, 196, real)}${box(580, 18, 196, backup)}
    </svg>`,
    html`<svg class="mx down" viewBox="0 0 340 672" role="img" aria-label="${label}">
      ${tip('down')}${text(170, 16, 'mail server')}${arrow('down', 'walk', 'M 170 22 V 42')}
      ${arrow('down', 'walk', 'M 170 198 V 232')}${arrow('down', 'bot', 'M 170 650 V 622')}${text(170, 666, 'bot')}
      ${arrow('down', 'told', 'M 290 122 C 344 122, 344 424, 212 424')}${text(244, 219, 'evidence')}
      ${arrow('down', 'told', 'M 170 462 V 438')}${text(212, 456, 'evidence')}
      ${arrow('down', 'told', 'M 170 412 V 392')}${text(204, 406, 'refuse')}${text(170, 430, 'decoymx', 't')}
      ${box(50, 46, 240, primary)}${box(50, 236, 240, real)}${box(50, 466, 240, backup)}
    </svg>`,
  ]
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

function box(x: number, y: number, width: number, { kind, lines }: Box): Html {
  return html`<g class="${kind}"
    ><rect x="${x}" y="${y}" width="${width}" height="148" rx="10" />${lines.map(
      (line, i) =>
        html`<text class="${i === 1 ? 't' : 'note'}" x="${x + width / 2}" y="${y + 26 + 26 * i}">${line}</text>`,
    )}</g
  >`
}

function records(layouts: readonly Layout[]): Html {
  return html`<h2>In DNS</h2>
    <div class="scroll">
      ${sheet(
        ['Domain', 'n:Preference', 'Exchange', 'Is'],
        layouts.slice(0, LAYOUTS_MAX).map(({ domain, mx }) =>
          mx.map(
            ({ preference, name, decoy }, i) =>
              html`<tr>
                <td data-th="Domain">${i === 0 ? domain : ''}</td>
                <td class="n" data-th="Preference">${preference}</td>
                <td data-th="Exchange"><code>${name}</code></td>
                <td data-th="Is">${decoy ? 'a decoy' : 'a real MX'}</td>
              </tr>`,
          ),
        ),
      )}
      ${layouts.length > LAYOUTS_MAX ? html`<p class="dim">${layouts.length - LAYOUTS_MAX} more domains.</p>` : ''}
    </div>`
}
