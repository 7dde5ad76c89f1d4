/**
 * One client: what stands about it, the sum and its reasons, when it came as a picture, and what it said.
 */
import { html } from 'hono/html'
import { countKinds, type Counts, HOUR_MS, total, WAIVED_FACTS } from '../../core/facts.ts'
import type { Client } from '../../core/client.ts'
import type { Evidence, Instant } from '../../core/evidence.ts'
import type { Visitor } from '../../core/rights.ts'
import { type Explanation, isUntold } from '../../reputation/reputation.ts'
import { spellExcuse, spellWaiting, spellWaived } from '../excuses.ts'
import { outlasting, sumBeside } from '../outlasting.ts'
import type { Visit } from '../visits.ts'
import { type Guest, lasting, stateOf, unsaid } from './guest.ts'
import { acts, chip, type Html, known, time, until, sheet } from './layout.ts'

const DAYS = 14
const [WIDTH, LANE] = [840, 44]
const ROLES = ['primary', 'backup', 'real'] as const
const WAIVED: ReadonlySet<string> = new Set(WAIVED_FACTS)

/** What the decoys have of the client: what it did, and its connections now; so many workers did not say in time. */
export type Met = {
  readonly visits: readonly Visit[]
  readonly here: { readonly count: number; readonly some: readonly Guest[]; readonly silent: number }
}

export function clientPage(
  client: Client,
  { decision, since, verdict, unmet, trustedUntil, facts, contacts, pending, journalTrouble }: Explanation,
  { visits, here }: Met,
  rulesFile: string,
  visitor: Visitor | undefined,
  now: Instant,
): Html[] {
  const reasons = (verdict?.reasons ?? []).toSorted((a, b) => b.weight - a.weight)
  const stands = decision.verdict !== 'clean'
  const outlasts =
    verdict &&
    outlasting({
      verdict: decision.verdict,
      by: decision.by,
      score: verdict.score,
      threshold: verdict.threshold,
      clears: verdict.clearsAt,
    })
  return [
    html`<section class="head" data-live id="head">
      <h1 class="ip">${client.ip}${known(client)}</h1>
      ${chip(decision.verdict)}${isUntold(decision) ? html` <small>told to nobody</small>` : ''}
      <p>
        ${decision.because ?? verdict?.never ?? (verdict ? 'Nothing stands about it.' : 'Nothing stands about it in our copy of the decisions.')}
        ${stands ? html`<small>${decision.by === 'operator' ? "by an operator's word" : 'by the rules'}, ${until(decision.until, now)} · ticket <code>${decision.ticket ?? '-'}</code></small>` : ''}
      </p>
      ${
        verdict
          ? ''
          : html`<p class="alarm">
              The store did not answer in time: what was seen of this client is not known
              now.${stands && trustedUntil !== undefined ? html` What stands is from our copy of the decisions, which refuses ${until(trustedUntil, now)}, and longer if the store answers before.` : ''}
            </p>`
      }
      ${
        journalTrouble
          ? html`<p class="alarm">
              The journal cannot be written, and evidence is lost since ${time(journalTrouble.since)}: what this client
              did since then may be missing here.
            </p>`
          : ''
      }
      ${acts(client.ip, visitor, wordsAbout(decision.verdict))}
    </section>`,
    html`<section data-live id="here">${hereNow(here, now)}</section>`,
    html`<section data-live id="sum">
      <h2>
        The sum:
        ${verdict ? html`<b class="sum">${sumBeside(verdict.threshold, verdict.score, 0)}</b>, and ${verdict.threshold} blocks` : 'not known, for the store did not answer'}
      </h2>
      ${outlasts ? html`<p>That is ${outlasts.little}. This one stands ${since === undefined ? '' : html`since ${time(since)} and `}${until(decision.until, now)}: ${outlasts.kept}.</p>` : ''}
      ${
        !verdict
          ? html`<p class="empty">What the rules saw of it is not known.</p>`
          : reasons.length + unmet.length === 0
            ? html`<p class="empty">No rule saw anything of it.</p>`
            : html`<div class="scroll">
                ${sheet(
                  ['n:Adds', 'Rule', 'Because', 'n:Seen', 'Last'],
                  [
                    ...reasons.map(
                      (reason) =>
                        html`<tr>
                          <td class="n" data-th="Adds">
                            <b>${reason.weight > 0 ? `+${reason.weight.toFixed(0)}` : '0'}</b>
                          </td>
                          <td data-th="Rule">${reason.rule} <small>${rulesFile}:${reason.line}</small></td>
                          <td class="wide" data-th="Because">
                            ${reason.because}${reason.excuse ? html` <small>(${reason.waived} waived: ${spellExcuse(reason.excuse, contacts.real > 0)})</small>` : ''}
                          </td>
                          <td class="n" data-th="Seen">${reason.count}</td>
                          <td data-th="Last">${time(reason.last)}</td>
                        </tr>`,
                    ),
                    ...unmet.map(
                      (each) =>
                        html`<tr>
                          <td class="n" data-th="Adds">0</td>
                          <td data-th="Rule">${each.rule} <small>${rulesFile}:${each.line}</small></td>
                          <td class="wide" data-th="Because">
                            ${each.because}
                            <small>(not yet: it would add ${each.weight.toFixed(0)}, only with ${each.lacks})</small>
                          </td>
                          <td class="n" data-th="Seen">${each.count}</td>
                          <td data-th="Last">${time(each.last)}</td>
                        </tr>`,
                    ),
                  ],
                )}
              </div>`
      }
    </section>`,
    html`<section data-live id="times">
      <h2>When it came, the last ${DAYS} days</h2>
      ${verdict ? html`<div class="wide-picture" tabindex="0">${picture(facts.own, now)}</div>` : html`<p class="empty">Not known.</p>`}
      ${uncounted(facts.own, pending).map((sentence) => html`<p class="dim">${sentence}.</p>`)}
    </section>`,
    html`<section data-live id="wire">
      <h2>What it said</h2>
      ${visits.length === 0 ? html`<p class="empty">Nothing ${here.count > 0 ? 'that is told yet' : 'since the appliance began'}; the journal has what came before.</p>` : ''}
      ${visits.map(
        (visit) =>
          html`<article>
            <h3>${visit.role}${visit.where ? html` at <code>${visit.where}</code>` : ''} · ${time(visit.first)}</h3>
            ${visit.deeds.length > 0 ? deedsOf(visit) : html`<p class="empty">${onlyConnected(visit)}</p>`}
          </article>`,
      )}
    </section>`,
  ]
}

/** A client may be here many times. */
const GUESTS_MAX = 5

/** Nothing where it is not here, as far as all have said. */
function hereNow({ count, some, silent }: Met['here'], now: Instant): Html | string {
  if (count === 0 && silent === 0) return ''
  const shown = some.slice(0, GUESTS_MAX)
  const more = count - shown.length
  const held = some.some(({ outcome }) => outcome === 'tarpit')
  return html`<h2>Here now</h2>
    ${shown.map(
      ({ role, since, outcome }) =>
        html`<p>At the ${role} for <span data-running>${lasting(now - since)}</span>: ${stateOf(outcome)}.</p>`,
    )}
    ${more > 0 ? html`<p class="dim">… and ${more.toLocaleString('en')} more of it.</p>` : ''}
    ${held ? html`<p class="dim">What a known offender does is told a minute after it came, and shows below from then on.</p>` : ''}
    ${silent > 0 ? html`<p class="dim">${unsaid(silent)}.</p>` : ''}`
}

/** What was seen and does not show above, and why. */
function uncounted(counts: Counts, pending: readonly Evidence[]): string[] {
  const waived = WAIVED_FACTS.map((fact) => [fact, total(counts, fact)] as const).filter(([, n]) => n > 0)
  return [...spellWaived(Object.fromEntries(waived)), ...spellWaiting(countKinds(pending))]
}

function deedsOf({ first, deeds }: Visit): Html {
  return html`<ol class="wire">
    ${deeds.map(
      ({ kind, detail, at }) =>
        html`<li><span>${((at - first) / 1000).toFixed(1)} s</span><b>${kind}</b><q>${detail ?? ''}</q></li>`,
    )}
  </ol>`
}

/** Whoever is held as a known offender, or comes in a flood, is told of without a place and a session, and not listened to. */
function onlyConnected({ where, first, last, times }: Visit): Html {
  const often = times > 1 ? `, ${times.toLocaleString('en')} times` : ''
  const until = last - first >= 60_000 ? html`, last ${time(last)}` : ''
  return html`Only
  connected${often}${until}${where === undefined ? ': not talked to, and what it sent was thrown away' : ''}.`
}

/** What can be said of it: nothing that stands already. */
function wordsAbout(verdict: string): ('allow' | 'block' | 'release')[] {
  if (verdict === 'clean') return ['allow', 'block']
  return verdict === 'allow' ? ['block', 'release'] : ['allow', 'block', 'release']
}

/** A lane for each place; a dot for each hour with something seen, the larger the more, and hollow where it does not count. */
function picture(counts: Counts, now: Instant): Html {
  const from = now - DAYS * 24 * HOUR_MS
  const x = (at: Instant) => (60 + ((at - from) / (now - from)) * (WIDTH - 80)).toFixed(1)
  const days = Array.from({ length: DAYS + 1 }, (_, i) => from + i * 24 * HOUR_MS)
  const lanes = ROLES.map((role, i) => {
    const y = LANE * i + 24
    const dots = [...counts]
      .filter(([fact]) => (WAIVED.has(fact) ? role === 'backup' : fact.startsWith(`${role}.`)))
      .flatMap(([fact, buckets]) => buckets.filter(({ last }) => last >= from).map((bucket) => ({ fact, ...bucket })))
      .map(
        ({ fact, count, last }) =>
          html`<circle
            class="${role}${WAIVED.has(fact) ? ' waived' : ''}"
            cx="${x(last)}"
            cy="${y}"
            r="${Math.min(14, 3 + Math.log2(count + 1) * 1.5).toFixed(1)}"
            ><title>${fact} × ${count}${WAIVED.has(fact) ? ', not counted' : ''}</title></circle
          >`,
      )
    return html`<text x="0" y="${y + 4}">${role}</text><line x1="60" x2="${WIDTH - 10}" y1="${y}" y2="${y}" />${dots}`
  })
  const height = LANE * ROLES.length + 22
  return html`<svg class="times" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="Sightings over time">
    ${days.map((day, i) => (i % 2 === 0 ? html`<text class="day" x="${x(day)}" y="${height - 4}" text-anchor="${i === DAYS ? 'end' : 'start'}">${i === DAYS ? 'today' : new Date(day).toISOString().slice(5, 10)}</text>` : ''))}
    ${lanes}
  </svg>`
}
