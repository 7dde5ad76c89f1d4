/**
 * Mail in the lab: what the senders send, what of it has come, and what came back. Each message is told by a word of its own.
 */
import { expect } from 'vitest'
import { domainOf, type Lab, type LabSender, type Layout, LAYOUTS } from './lab.ts'
import { type Column, COLUMNS } from './matrix.ts'

/** A message that comes later than this came in another attempt. */
const ATTEMPT_MS = 30_000
/** Once the real MX is back: all that waits arrives in this time, told again and again to try now. */
export const RECOVERY_MS = 120_000
const FLUSH_MS = 8000
/** From the last arrival to a queue that knows of it. */
const QUEUE_EMPTIES_MS = 15_000

export const DECOYED = LAYOUTS.filter((layout) => layout in COLUMNS) as readonly Column[]

/** How long a message took to the mailbox, or undefined when it has not come in one attempt. */
export async function delivery(lab: Lab, sender: LabSender, layout: Layout): Promise<number | undefined> {
  const word = wordFor(sender, 'once', layout)
  const since = performance.now()
  const [at] = await Promise.all([
    lab.realMx.arrivals.next(word, ATTEMPT_MS),
    sender.send(word, `postbox@${domainOf(layout)}`),
  ])
  return at === undefined ? undefined : at - since
}

/** Every sender sends to every layout, twice, and is told again and again to try now. */
export async function sendWhile(lab: Lab, what: string, lastsMs: number): Promise<readonly string[]> {
  const words: string[] = []
  const over = performance.now() + lastsMs
  for (let turn = 0; performance.now() < over; turn++) {
    const next = Math.min(over, performance.now() + FLUSH_MS)
    if (turn % 5 === 0)
      await Promise.all(
        lab.senders.map(async (sender) => {
          for (const layout of DECOYED) {
            const word = wordFor(sender, `${what}${turn}`, layout)
            await sender.send(word, `postbox@${domainOf(layout)}`)
            words.push(word)
          }
        }),
      )
    // One after the other: all at once they would be felt by who measures beside this.
    else for (const sender of lab.senders) await sender.flush()
    await pause(next - performance.now())
  }
  return words
}

/** The words of which a message has come. */
export function arrived(lab: Lab, words: readonly string[]): string[] {
  return words.filter((word) => lab.realMx.arrivals.of(word).length > 0)
}

/** All of them come, no queue holds anything, and nothing comes back. */
export async function allArrive(lab: Lab, words: readonly string[]): Promise<void> {
  const since = performance.now()
  const left = () => {
    const there = new Set(arrived(lab, words))
    return words.filter((word) => !there.has(word))
  }
  const late = performance.now() + RECOVERY_MS
  while (left().length > 0 && performance.now() < late) {
    await Promise.all(lab.senders.map((sender) => sender.flush()))
    const next = performance.now() + FLUSH_MS
    for (const word of left()) await lab.realMx.arrivals.next(word, next - performance.now())
  }
  for (const sender of lab.senders) {
    const own = words.filter((word) => word.startsWith(wordOf(sender))).flatMap((word) => lab.realMx.arrivals.of(word))
    const lastMs = Math.max(...own) - since
    process.stderr.write(`${sender.name}: ${own.length} messages, the last after ${(lastMs / 1000).toFixed(1)} s\n`)
  }
  const stories = left().length === 0 ? [] : await Promise.all(lab.senders.map((sender) => sender.story()))
  expect(left(), stories.join('\n')).toEqual([])
  for (const sender of lab.senders) await until(QUEUE_EMPTIES_MS, async () => (await sender.waiting()) === 0)
  expect(cameBack(lab)).toEqual([])
}

/** Notices that a message is given up: they have no sender. Some only tell early that it waits: it is not lost by that. */
export function cameBack({ realMx }: Lab): string[] {
  return [...realMx.bounces.texts, ...realMx.arrivals.texts].filter(
    (text) =>
      /^Return-Path: <>/m.test(text) &&
      !/^Subject:.*\b(delayed|warning)\b/im.test(text) &&
      !/^Action: delayed/im.test(text),
  )
}

let words = 0
function wordFor(sender: LabSender, what: string, layout: Layout): string {
  return `${wordOf(sender)}${what}_${layout}_${words++}`
}

function wordOf({ name }: LabSender): string {
  return `${name.replaceAll(/\W+/g, '')}_`
}

/** Looks again until it is so. */
export async function until(deadlineMs: number, isSo: () => Promise<boolean>): Promise<void> {
  const late = performance.now() + deadlineMs
  while (!(await isSo())) {
    if (performance.now() > late) throw new Error(`it has not become so within ${deadlineMs / 1000} s`)
    await pause(500)
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)))
}
