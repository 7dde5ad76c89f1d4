/**
 * The browser's half of the rules editor: a plain textarea with line numbers; what the API says of the text, by lines; a replay as it
 * goes; and saving, with what somebody else has saved meanwhile shown and never undone unseen.
 *
 * Nothing is decided here. What the API says is set as text, never as markup; the picture is an image, in which no script runs.
 */
import { asTyped, counted, make } from './elements.js'
import { eventsOf, headlineOf, reportOf } from './replay-report.js'

const editor = document.getElementById('editor')
const area = document.getElementById('source')
const gutter = editor.querySelector('.gutter')
const saying = document.getElementById('saying')
const list = document.getElementById('problems')
const replayed = document.getElementById('replayed')
const proof = document.querySelector('meta[name=proof]').content
const may = editor.dataset.may
const force = editor.querySelector('[name=force]')
const button = (name) => editor.querySelector(`[data-do=${name}]`)
const LONG = 12

/** The text that this one was made of, and its digest. */
let base = { text: area.value, digest: editor.dataset.digest }
let marks = new Map()
let replaying

const isChanged = () => area.value !== base.text

function say(kind, ...parts) {
  saying.className = kind
  saying.replaceChildren(...parts)
}

function act(text, does) {
  const made = make('button', { type: 'button' }, text)
  made.addEventListener('click', does)
  return made
}

/** Line numbers beside the text, marked where there is something to say. */
function number() {
  const lines = area.value.split('\n').length
  gutter.replaceChildren(
    ...Array.from({ length: lines }, (_, i) => {
      const kind = marks.get(i + 1)
      return kind ? make('b', { class: kind }, `${i + 1}\n`) : `${i + 1}\n`
    }),
  )
  gutter.scrollTop = area.scrollTop
}

function look() {
  document.getElementById('rules-now').hidden = isChanged()
  if (may === 'read') return
  button('save').disabled = may !== 'save' || !isChanged()
  button('revert').disabled = !isChanged()
  document.getElementById('unsaved').hidden = !isChanged()
}

function goTo(line, column = 1) {
  const lines = area.value.split('\n')
  const start = lines.slice(0, line - 1).reduce((sum, each) => sum + each.length + 1, 0)
  const text = lines[line - 1] ?? ''
  const height = Number.parseFloat(getComputedStyle(area).lineHeight)
  area.focus()
  area.setSelectionRange(start + Math.min(column - 1, text.length), start + text.length)
  area.scrollTop = Math.max(0, (line - 4) * height)
  gutter.scrollTop = area.scrollTop
}

function show(problems) {
  marks = new Map()
  list.replaceChildren(
    ...problems.map((problem) => {
      const { file, line, column, message, hint, code, warning, excerpt } = problem
      if (!warning || !marks.has(line)) marks.set(line, warning ? 'warning' : 'error')
      const head = make('button', { type: 'button', class: 'quiet' }, `${file}:${line}:${column}`)
      head.addEventListener('click', () => goTo(line, column))
      const drawn = excerpt
        ? make(
            'pre',
            {},
            `${excerpt.text}\n${' '.repeat(excerpt.column - 1)}`,
            make('b', {}, '^'.repeat(excerpt.width)),
          )
        : ''
      return make(
        'li',
        { class: warning ? 'warning' : 'error' },
        head,
        ` ${warning ? 'warning: ' : ''}${asTyped(message)}`,
        code ? make('small', {}, ` ${code}`) : '',
        drawn,
        hint ? make('p', {}, asTyped(hint)) : '',
      )
    }),
  )
  number()
}

/** The text as the file has its lines. */
function source() {
  return editor.dataset.ends === 'crlf' ? area.value.replaceAll('\n', '\r\n') : area.value
}

async function ask(method, path, body, headers = {}) {
  const answer = await fetch(path, {
    method,
    headers: { 'x-decoymx-proof': proof, ...(body ? { 'content-type': 'application/json' } : {}), ...headers },
    ...(body ? { body: JSON.stringify(body) } : {}),
  })
  return { status: answer.status, told: await answer.json() }
}

/** One thing at a time; whatever goes wrong on the way is said. */
async function busy(name, work) {
  const pressed = button(name)
  pressed.disabled = true
  editor.setAttribute('aria-busy', 'true')
  try {
    await work()
  } catch (error) {
    if (error.name !== 'AbortError') say('bad', `The appliance did not answer: ${error.message}`)
  } finally {
    pressed.disabled = false
    editor.removeAttribute('aria-busy')
    look()
  }
}

function refused({ error, hint }) {
  say('bad', asTyped(hint ? `${error}: ${hint}.` : `${error}.`))
}

/** Without what is none. */
function effectOf({ effect, told }) {
  if (!effect) return told
  const { listed, released, changed, refused, spared } = effect
  const named = { '+$ listed': listed, '-$ released': released, '$ listed by another word': changed }
  const real = { '+$ refused at the real MX': refused, '-$ refused there no more': spared }
  const all = Object.entries(refused === listed && spared === released ? named : { ...named, ...real })
  return all.flatMap(([text, n]) => (n > 0 ? [text.replace('$', n)] : [])).join(', ') || 'nothing changes'
}

const check = () =>
  busy('check', async () => {
    say('', 'Checking …')
    const { status, told } = await ask('POST', 'api/v1/rules/check', { source: source() })
    if (status !== 200) return refused(told)
    show([...told.problems, ...told.warnings])
    if (!told.ok) {
      say('bad', `${counted(told.problems.length, 'problem')}.`)
      return bring(told.problems[0])
    }
    const warned = told.warnings.length > 0 ? `, with ${counted(told.warnings.length, 'warning')}` : ''
    say(
      'good',
      make('b', {}, `Sound${warned}.`),
      ' In effect now they would mean ',
      make('code', {}, effectOf(told)),
      '.',
    )
  })

/** What was found wrong, and the line of the first of it; who writes goes on writing where they were. */
function bring(problem) {
  if (problem?.line)
    area.scrollTop = Math.max(0, (problem.line - 4) * Number.parseFloat(getComputedStyle(area).lineHeight))
  gutter.scrollTop = area.scrollTop
  saying.scrollIntoView({ block: 'nearest' })
  list.firstElementChild?.scrollIntoView({ block: 'nearest' })
}

const save = () =>
  busy('save', async () => {
    const text = area.value
    const body = { source: source(), force: force.checked }
    const { status, told } = await ask('PUT', 'api/v1/rules', body, { 'if-match': `"${base.digest}"` })
    if (told.problems) show([...told.problems, ...told.warnings])
    if (status === 412) return theirs(told.digest)
    if (status === 409 && told.effect) {
      force.closest('label').hidden = false
      return say('bad', `Not saved: ${told.error}.`)
    }
    if (status !== 200) {
      refused(told)
      if (status === 409 || (status === 403 && may === 'save')) saying.append(' ', act('Copy the text', copy))
      return
    }
    base = { text, digest: told.digest }
    force.checked = false
    force.closest('label').hidden = true
    say(
      'good',
      make('b', {}, 'Saved, and in use: '),
      make('code', {}, effectOf(told)),
      '. The old file is beside it, as .bak.',
    )
  })

async function copy() {
  try {
    await navigator.clipboard.writeText(area.value)
    say('good', 'Copied.')
  } catch {
    area.focus()
    area.select()
    say('', 'Selected: copy it with Ctrl+C.')
  }
}

/** Somebody else has saved: what they changed, and the choice. */
async function theirs(digest) {
  const { status, told } = await ask('GET', 'api/v1/rules')
  if (status !== 200) return refused(told)
  const text = told.source.replaceAll('\r\n', '\n')
  const take = () => {
    base = { text, digest: told.digest }
    area.value = text
    show([])
    look()
    say('', 'This is the file as it is now.')
  }
  if (!isChanged()) return take()
  const keep = () => {
    base = { text, digest: told.digest }
    look()
    say('', 'Your text stays; saving it replaces theirs.')
  }
  say(
    'bad',
    make('b', {}, 'Somebody else has changed the rules file. '),
    digest ? 'Nothing was saved; your text is still here. ' : 'Your text is still here. ',
    'They changed:',
    difference(base.text.split('\n'), text.split('\n')),
    act('Take theirs', take),
    ' ',
    act('Keep mine', keep),
  )
}

/** The lines that only one of the two has. */
function difference(before, after) {
  const without = (lines, others, sign) => {
    const known = new Set(others)
    return lines.flatMap((line, i) => (known.has(line) ? [] : [`${String(i + 1).padStart(4)} ${sign} ${line}`]))
  }
  const lines = [...without(before, after, '-'), ...without(after, before, '+')]
  const more = lines.length > LONG ? [`… ${lines.length - LONG} lines more`] : []
  return make('pre', {}, [...lines.slice(0, LONG), ...more].join('\n') || 'the order of lines, or blank ones')
}

const replay = () =>
  busy('replay', async () => {
    replaying = new AbortController()
    button('stop').hidden = false
    const bar = make('progress', { max: '1', value: '0', 'aria-label': 'Replay' })
    const left = make('span', {}, ' the recording is read')
    say('', bar, left)
    try {
      const answer = await fetch('api/v1/rules/replay', {
        method: 'POST',
        headers: { 'x-decoymx-proof': proof, 'content-type': 'application/json' },
        body: JSON.stringify({ source: source() }),
        signal: replaying.signal,
      })
      if (!answer.ok) {
        const told = await answer.json()
        if (told.problems) show(told.problems)
        return refused(told)
      }
      for await (const { event, data } of eventsOf(answer.body)) {
        if (event === 'failed') return refused(data)
        if (event === 'done') return tellReplay(data)
        bar.value = data.share
        left.textContent = ` ${Math.round(data.share * 100)} %, ${Math.ceil(data.leftSeconds)} s left`
      }
      say('bad', 'The replay ended before it was done.')
    } finally {
      button('stop').hidden = true
      if (replaying.signal.aborted) say('', 'Stopped.')
    }
  })

function tellReplay(told) {
  say(...headlineOf(told.figures))
  replayed.hidden = false
  replayed.replaceChildren(...reportOf(told))
}

area.addEventListener('scroll', () => (gutter.scrollTop = area.scrollTop))
document.addEventListener('click', (event) => {
  const link = event.target.closest?.('[data-line]')
  if (!link) return
  event.preventDefault()
  goTo(Number(link.dataset.line))
  area.scrollIntoView({ block: 'center' })
})

if (may !== 'read') {
  area.readOnly = false
  editor.querySelector('.tools').hidden = false
  area.addEventListener('input', () => {
    number()
    look()
  })
  button('check').addEventListener('click', check)
  button('replay').addEventListener('click', replay)
  button('stop').addEventListener('click', () => replaying?.abort())
  button('copy')?.addEventListener('click', copy)
  button('save').addEventListener('click', save)
  button('revert').addEventListener('click', () => {
    area.value = base.text
    show([])
    look()
    say('', 'As it was.')
  })
  editor.addEventListener('keydown', (event) => {
    if (!event.ctrlKey && !event.metaKey) return
    const does = { Enter: 'check', s: 'save' }[event.key]
    if (!does) return
    event.preventDefault()
    button(does).click()
  })
  addEventListener('beforeunload', (event) => isChanged() && event.preventDefault())
}
// The live part of the page says which file is there now: another one, and not by us, has been saved by somebody else.
new MutationObserver(() => {
  const now = document.querySelector('#rules-now [data-digest]')?.dataset.digest
  if (now && now !== base.digest && !editor.hasAttribute('aria-busy')) void theirs()
}).observe(document.getElementById('rules-now'), { childList: true })
look()
number()
