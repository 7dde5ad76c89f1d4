/**
 * A replay of proposed rules, as the browser shows it: its news as they come, its headline, and what it came to in figures, a
 * picture and the clients that it changes something for.
 */
import { counted, make } from './elements.js'

const FIGURES = ['Blocked', 'Deferred', 'Answers: refused', 'Answers: later']

/** Server-sent events as they come in: WHATWG HTML, section 9.2, as far as the API uses it. */
export async function* eventsOf(body) {
  let rest = ''
  for await (const text of body.pipeThrough(new TextDecoderStream())) {
    const blocks = (rest + text).split('\n\n')
    rest = blocks.pop()
    for (const block of blocks) {
      const event = /^event: (.*)$/m.exec(block)?.[1]
      const data = /^data: (.*)$/m.exec(block)?.[1]
      if (event && data) yield { event, data: JSON.parse(data) }
    }
  }
}

/** How it is said, then what: bad is what a person should look at first. */
export function headlineOf({ short, changes }) {
  return [
    changes.doubtful > 0 || short ? 'bad' : 'good',
    make('b', {}, `${short ? `${short}. ` : ''}${n(changes.new)} newly listed, ${n(changes.released)} no longer; `),
    `${n(changes.heavier)} more heavily, ${n(changes.lighter)} less, ${n(changes.alike)} as before. `,
    changes.doubtful > 0
      ? `Look first at ${n(changes.doubtful)} worse off who followed through, are allowed or were released.`
      : 'Of those worse off nobody ever followed through, is allowed, or was released.',
  ]
}

export function reportOf({ figures, picture }) {
  const { events, from, to, before, after, questions, clients } = figures
  const day = (iso) => iso.slice(0, 16).replace('T', ' ')
  const row = (name, side) =>
    make(
      'tr',
      {},
      make('th', { scope: 'row' }, name),
      ...[side.blocked, side.deferred, side.answers.refused, side.answers.deferred].map((each, i) =>
        make('td', { class: 'n', 'data-th': FIGURES[i] }, n(each)),
      ),
    )
  const headed = (names, rows) =>
    make(
      'div',
      { class: 'scroll' },
      make(
        'table',
        {},
        make(
          'thead',
          {},
          make('tr', {}, ...names.map((name) => make('th', FIGURES.includes(name) ? { class: 'n' } : {}, name))),
        ),
        make('tbody', {}, ...rows),
      ),
    )
  const word = (told) => (told ? `${told.word} ${Math.round(told.score)}` : '-')
  const rows = clients.slice(0, 50).map((each) => {
    const speaks = [each.walked && 'walked', each.allowed && 'allowed', each.freed && 'released']
    const cells = [word(each.before), word(each.after), speaks.filter(Boolean).join(', ')]
    return make(
      'tr',
      {},
      make('td', { 'data-th': 'Change' }, each.change === 'released' ? 'no longer' : each.change),
      make('td', { 'data-th': 'Client' }, make('a', { class: 'ip', href: `clients/${each.client}` }, each.client)),
      ...cells.map((cell, i) => make('td', { 'data-th': ['In use', 'These', 'For it'][i] }, cell)),
      make('td', { class: 'wide', 'data-th': 'Because' }, (each.after ?? each.before)?.because ?? ''),
    )
  })
  const image = make('img', { alt: 'Clients listed over time under the rules in use and under these' })
  image.src = `data:image/svg+xml,${encodeURIComponent(picture)}`
  return [
    make(
      'h3',
      {},
      `${n(events)} events, ${day(from)} to ${day(to)} UTC, both as if enforced; ${counted(questions, 'question')} of the real MX`,
    ),
    make(
      'div',
      { class: 'wide-picture', tabindex: '0', role: 'group', 'aria-label': 'The picture; it scrolls sideways' },
      image,
    ),
    headed(['', ...FIGURES], [row('in use', before), row('these', after)]),
    rows.length > 0 ? headed(['Change', 'Client', 'In use', 'These', 'For it', 'Because'], rows) : '',
  ]
}

const n = (value) => value.toLocaleString('en')
