/**
 * How fast a recording is told again: a million events of made-up senders, on three boxes, under two sets of rules.
 *
 * Nobody else does this, so there is no rival: the figures are of this machine. The journals stay where they are said to be,
 * so that `decoymx replay` can be tried on them.
 */
import { appendFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { toLine } from '../src/core/evidence.ts'
import { DEFAULT_LAYOUT, readLayout } from '../src/core/mx.ts'
import { prepareRetelling } from '../src/core/retelling.ts'
import { readRules, type Rules } from '../src/core/rules.ts'
import { findRecording, tellRecordings } from '../src/reputation/reputation.ts'
import { BOTS } from '../src/simulation/bots.ts'
import { HONEST, STRANDED } from '../src/simulation/honest.ts'
import { liveWeek } from '../src/simulation/world.ts'
import { progress, rowOf, type Table } from './table.ts'

const EVENTS = 1_000_000
/** So many times as many senders as an ordinary made-up week has: a week then has a little more than a million events. */
const TIMES = 36
const BOXES = ['primary', 'backup', 'real'] as const

export async function measureReplay(): Promise<Table> {
  const source = readFileSync(join(import.meta.dirname, '../rules.yaml'), 'utf8')
  const sides = [source, source.replace('defer: 70', 'defer: 40').replace('block: 100', 'block: 60')].map(rulesOf)
  const folders = record(sides[0] as Rules)
  const found = await Promise.all(folders.map(findRecording))
  const recordings = found.flatMap((each) => (typeof each === 'string' ? [] : [each]))
  const total = recordings.reduce((sum, { bytes }) => sum + bytes, 0)
  const retelling = prepareRetelling({ sides: sides.map((rules) => ({ rules })), watchAt: () => 'witness' })
  let tenth = 0
  const show = (bytes: number) => {
    if (bytes < (total * tenth) / 10) return
    progress(`telling it again: ${tenth++ * 10} %`)
  }
  const [began, beganAt] = [process.cpuUsage(), performance.now()]
  await tellRecordings(recordings, { hear: retelling.add, progress: show })
  const { events } = retelling.end()
  const wallSeconds = (performance.now() - beganAt) / 1000
  const { user, system } = process.cpuUsage(began)
  const seconds = (user + system) / 1_000_000
  return {
    part: 'replay',
    rival: 'nobody',
    rows: [
      rowOf('events', [{ value: events }], []),
      rowOf('seconds of one core', [{ value: seconds }], []),
      rowOf('seconds by the clock', [{ value: wallSeconds }], []),
      rowOf('events a second of one core', [{ value: events / seconds }], []),
    ],
    method: `Events of a made-up week on ${BOXES.length} boxes, read, merged and judged under two sets of rules; one round.\nThe journals: ${folders.join(' ')}`,
  }
}

function rulesOf(source: string): Rules {
  const read = readRules('rules.yaml', source)
  if (!read.ok) throw new Error('the rules are unsound')
  return read.rules
}

/** Three journals: each box has what was seen at its role; and all have the looks at the real MX. */
function record(rules: Rules): string[] {
  const layout = readLayout(DEFAULT_LAYOUT)
  if (typeof layout === 'string') throw new Error(layout)
  const root = join(tmpdir(), 'decoymx-bench-replay')
  const clear = () => rmSync(root, { recursive: true, force: true })
  clear()
  process.once('exit', clear)
  const boxes = BOXES.map((role, i) => {
    const folder = join(root, role)
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'box'), `${String(i).repeat(12)}\n`)
    const file = join(folder, '2026-01-05-000000000001.jsonl')
    let [seq, waiting] = [0, '']
    return {
      folder,
      write: (event: Parameters<typeof toLine>[0]['event']) => {
        waiting += toLine({ seq: ++seq, event })
        if (waiting.length > 1 << 20) waiting = (appendFileSync(file, waiting), '')
      },
      end: () => appendFileSync(file, waiting),
    }
  })
  let [written, shown] = [0, 0]
  liveWeek({
    rules,
    layout,
    seed: 1,
    behaviours: [...HONEST, ...STRANDED, ...BOTS].map((each) => ({ ...each, senders: each.senders * TIMES })),
    hear: ({ event }) => {
      if (written >= EVENTS) return
      if (written >= shown) {
        progress(`making up a week: ${written.toLocaleString('en')} of ${EVENTS.toLocaleString('en')} events`)
        shown += EVENTS / 10
      }
      for (const [i, { write }] of boxes.entries()) {
        if (written >= EVENTS || (event.type === 'evidence' && event.role !== BOXES[i])) continue
        write(event)
        written++
      }
    },
  })
  for (const { end } of boxes) end()
  return boxes.map(({ folder }) => folder)
}
