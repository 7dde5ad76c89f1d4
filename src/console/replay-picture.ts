/**
 * A replay as a picture: how many are listed when, under the rules of today and under the others; and below, when each client
 * began to be listed that only one of them lists. An SVG that needs nothing else, for a browser, a mail or a ticket.
 *
 * Shaded is when the real MX was in doubt, for then no order of visits counts, and a flat stretch has its reason.
 */
import type { Instant } from '../core/evidence.ts'
import { span } from '../core/span.ts'

export type ReplayPicture = {
  readonly old: string
  readonly other: string
  readonly first: Instant
  readonly last: Instant
  readonly events: number
  /** Why it tells nothing, where it does not. */
  readonly short: string | undefined
  readonly outages: readonly { readonly from: Instant; readonly to: Instant }[]
  readonly before: readonly Count[]
  readonly after: readonly Count[]
  readonly added: readonly Begun[]
  readonly removed: readonly Begun[]
}

type Count = { readonly at: Instant; readonly defer: number; readonly block: number }
/** A client that only one of the two lists, since when; doubtful: it followed through, was allowed or was released. */
type Begun = { readonly at: Instant; readonly doubtful: boolean }

const WIDTH = 1080
const LEFT = 76
const RIGHT = WIDTH - 36
const PANELS = { listed: [112, 372], begun: [430, 560] } as const
const HEIGHT = 648
const BARS = 48

/** Told apart also by who sees no red or green: blue and orange of the palette of Okabe and Ito (2008). */
const INK = '#1f2933'
const SOFT = '#52606d'
const OLD = '#0072b2'
const NEW = '#d55e00'
const DOUBT = '#a4005a'
const GRID = '#e4e7eb'

export function drawReplay(picture: ReplayPicture): string {
  const { old, other, first, last, events, short, before, after, outages } = picture
  const lengthMs = Math.max(1, last - first)
  const x = (at: Instant) => LEFT + ((at - first) / lengthMs) * (RIGHT - LEFT)
  const sum = ({ defer, block }: Count) => defer + block
  const top = niceTop(Math.max(1, ...before.map(sum), ...after.map(sum)))
  const [upper, lower] = PANELS.listed
  const y = (count: number) => lower - (count / top) * (lower - upper)
  const curve = (points: readonly Count[], of: (count: Count) => number) =>
    points.map((point) => `${round(x(point.at))},${round(y(of(point)))}`).join(' ')
  const line = (points: readonly Count[], of: (count: Count) => number, colour: string, style: string) =>
    `<polyline points="${curve(points, of)}" fill="none" stroke="${colour}" stroke-linejoin="round" ${style}/>`
  const between = `${curve(after, sum)} ${before
    .toReversed()
    .map((point) => `${round(x(point.at))},${round(y(sum(point)))}`)
    .join(' ')}`
  const shade = outages
    .map(({ from, to }) => {
      const width = Math.max(1, x(to) - x(from))
      const label = `the real MX was in doubt from ${clock(from)} to ${clock(to)} UTC`
      return `<rect x="${round(x(from))}" y="${upper}" width="${round(width)}" height="${PANELS.begun[1] - upper}" fill="#f0e3b8" opacity="0.6"><title>${label}</title></rect>`
    })
    .join('')
  const levels = [0, 1, 2, 3, 4].map((i) => (top / 4) * i).filter((level) => Number.isInteger(level))
  const rows = levels
    .map((level) => `${rule(y(level))}${label(LEFT - 10, y(level) + 4, level.toLocaleString('en'), 'end')}`)
    .join('')
  const ticks = timeTicks(first, last)
    .map(
      ({ at, text }) =>
        `<line x1="${round(x(at))}" x2="${round(x(at))}" y1="${upper}" y2="${PANELS.begun[1]}" stroke="${GRID}"/>${label(x(at), PANELS.begun[1] + 20, text, 'middle')}`,
    )
    .join('')
  const about = `${events.toLocaleString('en')} events, ${clock(first)} to ${clock(last)} UTC (${span(lengthMs)}), both as if enforced`
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img" font-family="system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif" font-size="13" fill="${SOFT}">
<title>Clients listed over time under ${escape(old)} and ${escape(other)}</title>
<rect width="${WIDTH}" height="${HEIGHT}" fill="#ffffff"/>
<text x="${LEFT}" y="34" font-size="20" font-weight="600" fill="${INK}">Clients listed over time</text>
<text x="${LEFT}" y="56">${about}</text>
${legend(old, other, outages.length > 0)}
${shade}${ticks}${rows}
<polygon points="${between}" fill="${NEW}" opacity="0.09"/>
${line(before, ({ block }) => block, OLD, 'stroke-width="5" stroke-opacity="0.4" stroke-dasharray="2 4"')}
${line(after, ({ block }) => block, NEW, 'stroke-width="1.6" stroke-dasharray="2 4"')}
${line(before, sum, OLD, 'stroke-width="6" stroke-opacity="0.4"')}
${line(after, sum, NEW, 'stroke-width="2.4"')}
${axisName((upper + lower) / 2, 'clients listed')}
${begun(picture, x)}
${short === undefined ? '' : `<text x="${(LEFT + RIGHT) / 2}" y="${(upper + lower) / 2}" font-size="17" font-weight="600" fill="${DOUBT}" text-anchor="middle">${escape(short)}</text>`}
<text x="${LEFT}" y="${HEIGHT - 18}" font-size="12">Solid: deferred and blocked together. Dotted: blocked alone. Below: when each client that only one of the two lists began to be listed.</text>
</svg>
`
}

/** Upwards those whom only the other rules list, downwards those whom they let go. */
function begun({ added, removed, first, last }: ReplayPicture, x: (at: Instant) => number): string {
  const [upper, lower] = PANELS.begun
  const lengthMs = Math.max(1, last - first)
  const bins = Array.from({ length: BARS }, () => ({ added: 0, doubtful: 0, removed: 0 }))
  const binOf = (at: Instant) => bins[Math.min(BARS - 1, Math.floor(((at - first) / lengthMs) * BARS))]
  for (const { at, doubtful } of added) {
    const bin = binOf(at)
    if (bin) bin[doubtful ? 'doubtful' : 'added']++
  }
  for (const { at } of removed) {
    const bin = binOf(at)
    if (bin) bin.removed++
  }
  const up = niceTop(Math.max(1, ...bins.map((bin) => bin.added + bin.doubtful)))
  const down = Math.max(0, ...bins.map((bin) => bin.removed))
  const below = down > 0 ? niceTop(down) : 0
  const scale = (lower - upper) / (up + below)
  const zero = upper + up * scale
  const width = (RIGHT - LEFT) / BARS - 3
  const bars = bins.map((bin, i) => {
    const at = first + (lengthMs * i) / BARS
    const left = round(x(at) + 1.5)
    const bar = (from: number, many: number, colour: string, what: string) =>
      many === 0
        ? ''
        : `<rect x="${left}" y="${round(from)}" width="${round(width)}" height="${round(many * scale)}" fill="${colour}" rx="1.5"><title>${clock(at)}: ${many} ${what}</title></rect>`
    return [
      bar(zero - bin.added * scale, bin.added, NEW, 'newly listed'),
      bar(zero - (bin.added + bin.doubtful) * scale, bin.doubtful, DOUBT, 'newly listed that something speaks for'),
      bar(zero, bin.removed, OLD, 'no longer listed'),
    ].join('')
  })
  return `${rule(upper)}${label(LEFT - 10, upper + 4, `+${up.toLocaleString('en')}`, 'end')}
${below > 0 ? `${rule(lower)}${label(LEFT - 10, lower + 4, `−${below.toLocaleString('en')}`, 'end')}` : ''}
${bars.join('')}<line x1="${LEFT}" x2="${RIGHT}" y1="${round(zero)}" y2="${round(zero)}" stroke="${SOFT}"/>
${label(LEFT - 10, zero + 4, '0', 'end')}${axisName((upper + lower) / 2, 'new / no longer')}`
}

function legend(old: string, other: string, outages: boolean): string {
  const items: [string, string][] = [
    [OLD, `${short(old)} (today), and listed only there`],
    [NEW, `${short(other)}, and newly listed there`],
    [DOUBT, 'newly, but followed through or allowed'],
    ...(outages ? [['#f0e3b8', 'real MX in doubt'] as [string, string]] : []),
  ]
  let left = LEFT
  return items
    .map(([colour, text]) => {
      const item = `<rect x="${left}" y="74" width="14" height="14" rx="3" fill="${colour}"/><text x="${left + 20}" y="86" font-size="12" fill="${INK}">${escape(text)}</text>`
      left += 38 + Math.ceil(text.length * 6.3)
      return item
    })
    .join('')
}

function short(file: string): string {
  const name = file.slice(file.lastIndexOf('/') + 1)
  return name.length <= 24 ? name : `${name.slice(0, 23)}…`
}

function rule(y: number): string {
  return `<line x1="${LEFT}" x2="${RIGHT}" y1="${round(y)}" y2="${round(y)}" stroke="${GRID}"/>`
}

function label(x: number, y: number, text: string, anchor: 'end' | 'middle'): string {
  return `<text x="${round(x)}" y="${round(y)}" text-anchor="${anchor}" font-size="12">${text}</text>`
}

function axisName(y: number, text: string): string {
  return `<text transform="translate(20 ${y}) rotate(-90)" text-anchor="middle" font-size="12">${text}</text>`
}

/** 4, 8, 20, 40, 80, ...: a top that is cut into four without fractions. */
function niceTop(most: number): number {
  for (let size = 1; ; size *= 10) for (const step of [4, 8, 12, 20]) if (step * size >= most) return step * size
}

const STEPS_MS = [
  1 / 60,
  1 / 30,
  1 / 12,
  1 / 6,
  1 / 2,
  1,
  2,
  5,
  10,
  15,
  30,
  60,
  120,
  180,
  360,
  720,
  1440,
  2880,
  7 * 1440,
  14 * 1440,
  28 * 1440,
].map((minutes) => Math.round(minutes * 60_000))

/** At round moments of UTC, eleven at most. */
function timeTicks(first: Instant, last: Instant): { at: Instant; text: string }[] {
  const stepMs = STEPS_MS.find((step) => (last - first) / step <= 11) ?? Math.ceil((last - first) / 11)
  const ticks: { at: Instant; text: string }[] = []
  for (let at = Math.ceil(first / stepMs) * stepMs; at <= last; at += stepMs) {
    const iso = new Date(at).toISOString()
    const day = `${Number(iso.slice(8, 10))} ${MONTHS[Number(iso.slice(5, 7)) - 1]}`
    ticks.push({
      at,
      text: stepMs < 60_000 ? iso.slice(11, 19) : iso.slice(11, 16) === '00:00' ? day : iso.slice(11, 16),
    })
  }
  return ticks
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

function clock(at: Instant): string {
  return new Date(at).toISOString().slice(0, 16).replace('T', ' ')
}

function round(n: number): number {
  return Math.round(n * 10) / 10
}

function escape(text: string): string {
  return text.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`)
}
