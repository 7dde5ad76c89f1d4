/**
 * The browser's half of the console: keeps what is marked data-live as the server has it, and carries the operator's word there.
 *
 * The server says that something changed; then this page is read again and its live parts are put in place of the old. So what
 * is on the screen is always what the store says, after a click, too.
 */
import { asTyped } from './elements.js'

const proof = document.querySelector('meta[name=proof]').content
const toast = document.getElementById('toast')
const dialog = document.getElementById('act')
const line = document.getElementById('line')
const pause = document.getElementById('pause')
let paused = false
/** Words that stand for a time. */
const LASTING = ['allow', 'block']

/** `anew`: something was said just now, and must be seen. */
async function refresh(anew = false) {
  const cache = anew ? 'reload' : 'default'
  const answer = await fetch(location.href, { headers: { accept: 'text/html' }, cache })
  if (!answer.ok || answer.redirected) return
  const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html')
  for (const part of document.querySelectorAll('[data-live]')) {
    const next = fresh.getElementById(part.id)
    if (!next || next.innerHTML === part.innerHTML || part.contains(document.activeElement)) continue
    part.replaceChildren(...next.childNodes)
  }
}

if (line) {
  const news = new EventSource('ticks')
  news.addEventListener('tick', () => paused || document.hidden || void refresh())
  news.addEventListener('open', () => line.classList.add('on'))
  news.addEventListener('error', () => line.classList.remove('on'))
}
/** Between two readings of the page, times that run go on. */
setInterval(() => {
  if (paused) return
  for (const cell of document.querySelectorAll('[data-running]')) {
    const seconds = 1 + cell.textContent.split(':').reduce((sum, part) => sum * 60 + Number(part), 0)
    const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60]
    const shown = parts[0] > 0 ? parts : parts.slice(1)
    cell.textContent = shown.map((part, i) => (i > 0 ? String(part).padStart(2, '0') : part)).join(':')
  }
}, 1000)
pause?.addEventListener('click', () => {
  paused = !paused
  pause.setAttribute('aria-pressed', String(paused))
  pause.textContent = paused ? 'Go on' : 'Pause'
  if (!paused) void refresh()
})

async function say(word) {
  const headers = { 'content-type': 'application/json', 'x-decoymx-proof': proof }
  const answer = await fetch('api/v1/words', { method: 'POST', headers, body: JSON.stringify(word) })
  const told = await answer.json()
  document.activeElement?.blur()
  await refresh(true)
  return answer.ok ? told : { error: asTyped(told.error + (told.hint ? ` (${told.hint})` : '')) }
}

/**
 * What takes a word back: what the operator had said before, for as long as it was to stand; else the same word for a second,
 * and what the rules say stands again. A release forgets what was seen, so a block of the rules comes back as one of yours.
 */
function undoOf({ word, target, stood }) {
  if (!LASTING.includes(word) && word !== 'release') return undefined
  if (!stood || (stood.by === 'rules' && word !== 'release'))
    return word === 'release' ? undefined : { word, target, for: '1s', because: 'undo' }
  if (stood.word !== 'allow' && stood.word !== 'block') return undefined
  const minutes = stood.until === null ? undefined : Math.ceil((Date.parse(stood.until) - Date.now()) / 60_000)
  const because = `${stood.because.replace(/ \(restored\)$/, '').slice(0, 280)} (restored)`
  return { word: stood.word, target, because, force: true, ...(minutes ? { for: `${Math.max(1, minutes)}m` } : {}) }
}

function tell(text, undo) {
  toast.replaceChildren(text)
  if (undo) {
    const button = document.createElement('button')
    button.textContent = 'Undo'
    button.addEventListener('click', async () => {
      button.disabled = true
      const { error } = await say(undo)
      // A word that is said for a second alone has ended then, and what stood before it stands again.
      if (!error && undo.for === '1s') await new Promise((over) => setTimeout(over, 1500))
      await refresh(true)
      tell(error ?? 'Undone.')
    })
    toast.append(' ', button)
  }
}

document.addEventListener('click', (event) => {
  const button = event.target.closest?.('[data-say]')
  if (!button) return
  const { say: word, of: target } = button.dataset
  dialog.querySelector('[data-word]').textContent = word
  dialog.querySelector('[data-does]').textContent = word[0].toUpperCase() + word.slice(1)
  dialog.querySelector('[data-target]').textContent = target
  dialog.querySelector('[name=for]').closest('label').hidden = !LASTING.includes(word)
  dialog.querySelector('form').reset()
  dialog.returnValue = ''
  dialog.onclose = async () => {
    if (dialog.returnValue !== 'do') return
    const data = new FormData(dialog.querySelector('form'))
    const span = LASTING.includes(word) ? data.get('for') : ''
    const told = await say({ word, target, because: data.get('because'), ...(span ? { for: span } : {}) })
    if (told.error) return tell(told.error)
    const untold = told.untold ? ' Mode observe: nobody is told.' : ''
    tell(`${word} ${told.target}: ${told.outcome}.${untold} ${told.notes.join(' ')}`, undoOf(told))
  }
  dialog.showModal()
})

dialog?.querySelector('[data-cancel]').addEventListener('click', () => dialog.close())

const keys = document.getElementById('keys')
document.getElementById('help')?.addEventListener('click', () => keys.showModal())
document.addEventListener('keydown', (event) => {
  if (event.target.matches('input, select, textarea') || event.ctrlKey || event.metaKey || event.altKey) return
  if (document.querySelector('dialog[open]')) return
  const field = { '/': '.find input', f: '.filter input' }[event.key]
  if (field) {
    event.preventDefault()
    document.querySelector(field)?.focus()
  }
  if (event.key === '?') keys.showModal()
  const rows = [...document.querySelectorAll('tbody a.ip')]
  if (event.key === 'p') pause?.click()
  const step = { j: 1, k: -1 }[event.key]
  if (step && rows.length > 0)
    rows[Math.max(0, Math.min(rows.length - 1, rows.indexOf(document.activeElement) + step))].focus()
})

document.getElementById('theme')?.addEventListener('click', () => {
  const said = document.documentElement.dataset.theme
  const dark = said ? said === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches
  document.documentElement.dataset.theme = dark ? 'light' : 'dark'
  document.cookie = `decoymx_theme=${dark ? 'light' : 'dark'}; SameSite=Strict; Max-Age=31536000`
})
