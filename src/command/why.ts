/**
 * `why IP|CIDR|TICKET`: the decision and its arithmetic, so that nobody ever has to guess why a client is refused.
 *
 * Exit codes for scripts: 0 clean, 10 observed or deferred, 11 blocked, 12 allowed; 1 when it cannot be told.
 */
import type { ClientView, RulingView, TicketView } from '../answer/views.ts'
import { spellExcuse, spellWaiting, spellWaived } from '../console/excuses.ts'
import { outlasting, sumBeside } from '../console/outlasting.ts'
import { hanging, type Screen, when, wrapped } from '../console/terminal.ts'
import { parseClient } from '../core/client.ts'
import { parsePrefix } from '../core/prefixes.ts'
import { INEXCUSABLE } from '../core/outage.ts'
import { span } from '../core/span.ts'
import { stateOf, unsaid } from '../console/pages/guest.ts'
import { ask } from './appliance.ts'
import { typed } from '../console/called.ts'
import { printRulings } from './decisions.ts'
import { type Complain, exitCodeFor, USAGE } from './exit-codes.ts'
import { BOUNDS } from './governor.ts'
import { frozen } from './status.ts'

const EXIT_OF: Record<string, number> = { clean: 0, release: 0, observe: 10, defer: 10, block: 11, allow: 12 }

export async function why(
  folder: string,
  subject: string,
  options: { json: boolean; screen: Screen; complain: Complain },
): Promise<number> {
  const { json, screen, complain } = options
  if (parseClient(subject)) return whyClient(folder, subject, options)
  if (TICKET.test(subject)) {
    const code = subject.replace('-', '').toUpperCase()
    const { status, body } = await ask(folder, 'GET', `/api/v1/tickets/${code.slice(0, 4)}-${code.slice(4)}`)
    if (status !== 200)
      return subject.includes('-') ? complain(body, exitCodeFor(status)) : complain(unreadable(subject), USAGE)
    const ruling = body as TicketView
    if (ruling.ended && !json)
      for (const line of wrapped(endedLine(ruling, Date.now()), screen.width, 0)) screen.print(line)
    const address = ruling.target.split('/')[0] as string
    if (ruling.by === 'rules') return whyClient(folder, address, options)
    if (json) screen.print(JSON.stringify(ruling, null, 2))
    else printRulings(screen, [ruling], Date.now())
    return ruling.ended ? 0 : (EXIT_OF[ruling.word] ?? 1)
  }
  const prefix = parsePrefix(subject, SUBJECT)
  if (typeof prefix === 'string') return complain(unreadable(subject, prefix), USAGE)
  const { status, body } = await ask(folder, 'GET', `/api/v1/decisions?within=${encodeURIComponent(prefix.cidr)}`)
  if (status !== 200) return complain(body, exitCodeFor(status))
  const { decisions } = body as { decisions: RulingView[] }
  if (json) screen.print(JSON.stringify({ network: prefix.cidr, decisions }, null, 2))
  else if (decisions.length === 0) screen.print(`${prefix.cidr}  clean: no decision stands about any client in it`)
  else printRulings(screen, decisions, Date.now())
  return Math.max(0, ...decisions.map((each) => EXIT_OF[each.word] ?? 1))
}

/** Why this is no subject, as far as that can be told without an appliance. */
export function mistakesInSubject(subject: string): string[] {
  const prefix = parsePrefix(subject, SUBJECT)
  return typeof prefix !== 'string' || TICKET.test(subject) ? [] : [prefix]
}

const SUBJECT = 'an IP address, a CIDR or a ticket'

/** Tickets have no I, L, O and U, which are misread; with all eight letters in one it is one only if it is known. */
const TICKET = /^[0-9a-hjkmnp-tv-z]{4}-?[0-9a-hjkmnp-tv-z]{4}$/i

/** What somebody copied by eye. */
const MISREAD_TICKET = /^[0-9a-z]{4}-[0-9a-z]{4}$/i

function unreadable(
  subject: string,
  error = `expected an IP address, a CIDR or a ticket, got "${subject}"`,
): { error: string; hint: string } {
  if (MISREAD_TICKET.test(subject))
    return { error, hint: 'a ticket has none of the letters I, L, O and U: is it a 1, a 0 or a V?' }
  return { error, hint: error.includes('host bits') ? NETWORK_HINT : 'like 192.0.2.1, 2001:db8::/64 or 7F3K-9Q2M' }
}

const NETWORK_HINT = 'an address alone is one client; a CIDR is all the clients in it'

function endedLine({ ticket, word, target, because, ended }: TicketView, now: number): string {
  return `${ticket}: ${word} of ${target} (${because}) ended ${when(ended ?? '', now)}. What is known now:`
}

async function whyClient(
  folder: string,
  ip: string,
  { json, screen, complain }: { json: boolean; screen: Screen; complain: Complain },
): Promise<number> {
  const { status, body } = await ask(folder, 'GET', `/api/v1/clients/${encodeURIComponent(ip)}`)
  if (status !== 200) return complain(body, exitCodeFor(status))
  const view = body as ClientView
  if (json) screen.print(JSON.stringify(view, null, 2))
  else for (const line of page(view, screen, Date.now())) screen.print(line)
  return EXIT_OF[view.verdict] ?? 1
}

/** What a person reads about a client. */
export function page(view: ClientView, screen: Screen, now: number): string[] {
  const { colours } = screen
  const { green, yellow, red } = colours
  const paint = { clean: green, allow: green, observe: yellow, defer: yellow, block: red }[view.verdict]
  const head = [colours.bold(view.client), paint(view.verdict.toUpperCase())]
  if (view.until) head.push(`until ${when(view.until, now)}`)
  if (view.ticket) head.push(`ticket ${colours.bold(view.ticket)}`)
  const { width } = screen
  const [first = '', ...others] = head
  return [
    ...hanging(`${first}  `, others.join('  '), width, 2),
    ...wrapped(standing(view), width, 2),
    ...(view.known ? [] : wrapped(forgotten(view, now), width, 2).map(colours.yellow)),
    ...(view.lost ? wrapped(unknown(view.lost, now), width, 2).map(colours.yellow) : []),
    '',
    ...arithmetic(view, screen, now),
    ...[
      ...belongs(view, now),
      ...earned(view, now),
      ...hereNow(view.here, now),
      ...visits(view),
      ...uncounted(view, now),
    ].flatMap((sentence) => hanging('  ', sentence, width, 4)),
    ...next(view, screen),
  ]
}

function standing(view: ClientView): string {
  if (view.standing.never) return `Never listed: it is ${view.standing.never}.`
  if (view.standing.allowed) return `Allowed by ${view.standing.allowed.by}: ${view.standing.allowed.because}`
  if (view.doubt && view.doubt !== 'store')
    return `Our copy of the decisions is ${view.doubt}: askers are told nothing against it.`
  if (view.waiting)
    return `The rules say ${view.waiting.word}, and the governor holds it back (${BOUNDS[view.waiting.why]}): ${typed('governor')}`
  if (!view.known && view.verdict === 'clean') return 'Nothing stands about it in our copy of the decisions.'
  const harmless = (view.score ?? 0) > 0 ? 'Too little speaks against it.' : 'Nothing speaks against it.'
  const said = view.by === 'operator' ? `The operator: ${view.because}` : (view.because ?? harmless)
  return `${said}${told(view)}`
}

/** The decision is from memory, its reasons are in the store. */
function forgotten({ verdict, effect, trustedUntil }: ClientView, now: number): string {
  const seen = 'The store did not answer in time: what was seen of it is not known now.'
  if (verdict !== 'block' && verdict !== 'defer') return seen
  if (effect === 'pass' || !trustedUntil) return seen
  const copy = `What stands is from our copy of the decisions, which is good until ${when(trustedUntil, now)}`
  return `${seen} ${copy}, and longer if the store answers before; after that nobody is refused: ${typed('status')}`
}

/** Nobody knows whose evidence it was. */
function unknown({ events, since }: NonNullable<ClientView['lost']>, now: number): string {
  const lost = events === 1 ? '1 event is lost' : `${events} events are lost`
  return `In doubt: the journal cannot be written. ${lost} since ${when(since, now)}, and what this client did may be among them: ${typed('status')}`
}

/** What askers hear, where it is not the verdict. */
function told({ verdict, effect, mode }: ClientView): string {
  if (verdict === 'clean' || effect === verdict) return ''
  const instead = effect === 'pass' ? 'nobody is told' : `askers are told ${effect}`
  return mode === 'observe' ? ` (mode observe: ${instead})` : ` (only with rules in mode observe: ${instead})`
}

function arithmetic(view: ClientView, { colours, width }: Screen, now: number): string[] {
  if (!view.known) return []
  if (view.reasons.length + view.unmet.length === 0) return ['  No rule saw anything.', '']
  const lines = view.reasons
    .toSorted((a, b) => b.weight - a.weight)
    .flatMap((reason) => {
      const weight = `+${reason.weight.toFixed(1)}`.padStart(8)
      const seen = [
        `counted ${reason.count}`,
        ...(reason.factor < 1 ? [`weighs ${percent(reason.factor)}`] : []),
        ...(reason.mode === 'observe' ? ['in mode observe'] : []),
        ...(reason.waived > 0
          ? [`waived ${reason.waived} (${spellExcuse(reason.excuse ?? 'real-mx', (view.contacts?.real ?? 0) > 0)})`]
          : []),
      ]
      return [
        ...hanging(
          `${reason.weight > 0 ? colours.bold(weight) : colours.dim(weight)}  `,
          `${reason.rule}  ${seen.join(', ')}, last ${span(now - Date.parse(reason.last))} ago  ${colours.dim(`${view.rules}:${reason.line}`)}`,
          width,
          SUM_MARGIN,
        ),
        ...wrapped(reason.because, width, SUM_MARGIN),
      ]
    })
  const unmet = view.unmet.flatMap((each) => [
    ...hanging(
      `${colours.dim('+0.0'.padStart(8))}  `,
      `${each.rule}  saw ${each.count}, would add ${each.weight.toFixed(1)}${each.mode === 'observe' ? ' in mode observe' : ''}, last ${span(now - Date.parse(each.last))} ago  ${colours.dim(`${view.rules}:${each.line}`)}`,
      width,
      SUM_MARGIN,
    ),
    ...wrapped(`not yet, for it weighs only with ${each.lacks}`, width, SUM_MARGIN),
  ])
  const outlasts = outlasting({ ...view, score: view.score ?? 0, threshold: view.threshold ?? 0 })
  const stands = [
    ...(view.since ? [`since ${when(view.since, now)}`] : []),
    ...(view.until ? [`until ${when(view.until, now)}`] : []),
  ]
  const clears = outlasts
    ? `: ${outlasts.little}. This one stands ${stands.join(' and ')}: ${outlasts.kept}`
    : view.clears
      ? `; with nothing new below its threshold ${when(view.clears, now)}${view.by === 'rules' && view.clears < (view.until ?? '') ? ', and what stands does so to its end' : ''}`
      : ''
  const summed = (score: number | null | undefined, what: string) =>
    hanging(`${sumBeside(view.threshold ?? 0, score ?? 0, 1).padStart(8)}  `, what, width, SUM_MARGIN)
  return [
    ...lines,
    ...unmet,
    '  ------',
    ...(view.enforcedScore === view.score
      ? []
      : summed(view.enforcedScore, 'by the rules that are enforced, and with those in mode observe')),
    ...summed(view.score, `of the ${view.threshold} that block${clears}`),
    '',
  ]
}

/** Below the weights, what is said about them begins here. */
const SUM_MARGIN = 10

function percent(share: number): string {
  return `${Math.round(share * 100)} %`
}

/** The pool that it belongs to, and how that is known. */
function belongs({ standing: { pool } }: ClientView, now: number): string[] {
  if (!pool) return []
  const how = pool.found === 'spf' ? 'its SPF record names this network' : 'its reverse name leads there and back'
  return [`Pool: ${pool.name} (${how}, as of ${when(pool.at, now)})`]
}

/** What it has earned: said as soon as there is any. */
function earned({ standing: { credit } }: ClientView, now: number): string[] {
  if (!credit || credit.walks + credit.networkWalks === 0) return []
  const last = credit.last ? `, last ${span(now - Date.parse(credit.last))} ago` : ''
  const whose = `${walks(credit.walks)} from the primary to the real MX${last}; its network ${walks(credit.networkWalks)}`
  const worth = credit.good ? 'good: the order of its visits weighs nothing' : `good from ${credit.needed} on`
  return [`Credit: ${credit.points.toFixed(1)}, ${worth} (${whose})`]
}

function walks(hours: number): string {
  return `${hours} ${hours === 1 ? 'hour' : 'hours'} with a walk`
}

/** Its connections at the decoys: so many of each role and of what becomes of them, and since when. */
export function hereNow({ count, some, silent }: ClientView['here'], now: number): string[] {
  const groups = Map.groupBy(some, ({ role, outcome }) => `the ${role} decoy, ${stateOf(outcome)}`)
  const told = [...groups].map(([what, group]) => {
    const first = group[0] as (typeof group)[number]
    const lasts = span(now - Date.parse(first.since))
    return group.length === 1 ? `at ${what}, for ${lasts}` : `${group.length} at ${what}, the first for ${lasts}`
  })
  const more = count - some.length
  const many = count > 1 ? `${count.toLocaleString('en')} connections: ` : ''
  const held = some.some(({ outcome }) => outcome === 'tarpit')
  return [
    ...(count > 0
      ? [`Here now: ${many}${[...told, ...(more > 0 ? [`${more.toLocaleString('en')} more`] : [])].join('; ')}`]
      : []),
    ...(held ? ['What a known offender does is told a minute after it came, and counts from then on'] : []),
    ...(silent > 0 ? [`Here now: ${unsaid(silent)}`] : []),
  ]
}

function visits({ contacts, networkContacts, network, facts }: ClientView): string[] {
  const count = (of: ClientView['contacts']) =>
    of === null ? 'not known' : `primary ${of.primary}, backup ${of.backup}, real MX ${of.real}`
  const seen = Object.entries(facts).map(([fact, n]) => `${fact} ${n}`)
  return [
    `Contacts: ${count(contacts)}`,
    `Its network ${network}: ${count(networkContacts)}`,
    ...(seen.length > 0 ? [`Seen: ${seen.join(', ')}`] : []),
  ]
}

/** What the guard held back, and why: nobody shall wonder where a visit went. */
function uncounted({ waived, pending, freeze, facts }: ClientView, now: number): string[] {
  const because = spellWaived(waived)
  const waits = spellWaiting(pending)
  const rude = [...INEXCUSABLE].filter((kind) => facts[`backup.${kind}`] !== undefined)
  return [
    ...because,
    ...(freeze ? [`The order of visits ${frozen(freeze, now)}${rude.length > 0 ? '' : ALL_THE_SAME}`] : []),
    ...waits,
    ...(rude.length > 0 && because.length + waits.length + (freeze ? 1 : 0) > 0
      ? [
          `Not held back: ${rude.join(', ')}, which no mail server does wherever it is sent, and what came after that in the session`,
        ]
      : []),
  ]
}

/** What belongs behind it where nothing of the kind was seen of this client. */
const ALL_THE_SAME = '. What no mail server does counts all the same, and so does all else in a session with it'

function next(view: ClientView, { colours, width }: Screen): string[] {
  if (view.verdict === 'clean') return []
  const command =
    view.by === 'operator' || view.verdict === 'allow'
      ? typed(`release ${view.client} --because "..."`)
      : typed(`allow ${view.client} --for 7d --because "..."`)
  return ['', ...hanging('  Wrong?  ', command, width, SUM_MARGIN).map(colours.dim)]
}
